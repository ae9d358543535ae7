"""The rooms and who may import whom; the top level of the repository."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mlraman_hpc"
BASE = {"base", "records"}
ALLOWED = {  # room -> (rooms of ours, packages of others)
    "base": ({"base"}, {"ase", "numpy"}),
    "records": ({"base", "records"}, {"numpy"}),
    "runtime": ({*BASE, "runtime"}, {"mpi4py"}),
    "config": ({*BASE, "config"}, {"pydantic", "pydantic_core", "yaml"}),
    "readers": ({*BASE, "readers"}, {"ase", "h5py", "numpy", "scipy"}),
    "numerics": ({*BASE, "numerics"}, {"numba", "numpy", "scipy"}),
    "plots": ({*BASE, "plots"}, {"matplotlib", "numpy"}),
    "reports": ({*BASE, "reports"}, {"jinja2", "numpy"}),
    "storage": ({*BASE, "storage", "runtime"}, {"h5py", "numpy", "yaml"}),
    "model": ({*BASE, "numerics", "model"}, {"ase", "featomic", "llvmlite", "metatensor", "numba", "numpy", "scipy"}),
    "md": ({*BASE, "numerics", "storage", "md"}, {"ase", "h5py", "numpy"}),
    "pipeline": (
        {*BASE, "runtime", "config", "readers", "numerics", "plots", "reports", "storage", "model", "md", "pipeline"},
        {"ase", "numpy"},
    ),
}
ALLOWED["commands"] = ({*ALLOWED["pipeline"][0], "commands"}, {"numpy"})
ALLOWED["campaign"] = ({*ALLOWED["pipeline"][0], "commands", "campaign"}, {"numpy"})
ALLOWED["cli"] = ({"base", "runtime", "config", "pipeline", "commands", "campaign"}, set())
ALLOWED["__main__"] = ({"cli"}, set())
ALLOWED["api"] = ({*BASE, "readers", "numerics", "model", "storage", "plots"}, {"ase", "matplotlib", "numpy", "pandas"})
ALLOWED["__init__"] = ({"api"}, set())


def _room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def _base(path: Path, level: int) -> str:
    """The package that a relative import starts from."""
    return ".".join(path.relative_to(PACKAGE.parent).parts[:-level]) if level else ""


def _imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [_base(path, node.level), node.module]))
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "LazyModule"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


def _permitted(name: str, ours: set, others: set) -> bool:
    top = name.split(".")[0]
    if top == "mlraman_hpc":
        inner = name.removeprefix("mlraman_hpc.")
        return inner in ("__version__",) or any(inner == room or inner.startswith(room + ".") for room in ours)
    return top in sys.stdlib_module_names or top in others


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
    ours, others = ALLOWED[_room(path)]
    wrong = [name for name in _imports(path) if not _permitted(name, ours, others)]
    assert not wrong


def test_modules_can_be_held_in_the_head():
    long = {path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 600}
    assert not long


def test_mpi_has_one_room():
    importers = [path.name for path in PACKAGE.rglob("*.py") if any("mpi4py" in name for name in _imports(path))]
    assert importers == ["session.py"]
