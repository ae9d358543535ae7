"""The packages and which of them each may import; their sizes."""

import ast
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mlraman_hpc"
BASE = {"base", "records"}
ALLOWED = {  # package -> (packages of ours, packages of others); no command imports a command
    "base": ({"base"}, {"ase", "numpy"}),
    "records": ({"base", "records"}, {"numpy"}),
    "runtime": ({*BASE, "runtime"}, {"mpi4py"}),
    "config": ({*BASE, "config"}, {"pydantic", "pydantic_core", "yaml"}),
    "readers": ({*BASE, "readers"}, {"ase", "h5py", "numpy", "scipy"}),
    "numerics": ({*BASE, "numerics"}, {"numba", "numpy", "scipy"}),
    "plots": ({*BASE, "plots"}, {"matplotlib", "numpy"}),
    "reports": ({*BASE, "reports"}, {"jinja2", "numpy"}),
    "storage": ({*BASE, "storage", "runtime"}, {"h5py", "numpy", "yaml"}),
    "model": (
        {*BASE, "numerics", "model"},
        {"ase", "featomic", "llvmlite", "metatensor", "metatomic", "numba", "numpy", "scipy", "torch"},
    ),
    "predictors": ({*BASE, "numerics", "model", "predictors"}, {"ase", "numpy"}),
    "md": ({*BASE, "numerics", "storage", "md"}, {"ase", "h5py", "numpy"}),
    "pipeline": (
        {
            *(*BASE, "runtime", "config", "readers", "numerics", "plots", "reports", "storage", "model", "predictors"),
            *("md", "pipeline"),
        },
        {"ase", "numpy"},
    ),
}
ALLOWED["labelling"] = ({*ALLOWED["pipeline"][0], "labelling"}, {"jinja2", "numpy"})
ALLOWED["commands"] = (ALLOWED["labelling"][0], {"numpy"})
ALLOWED["campaign"] = ({*ALLOWED["labelling"][0], "commands", "campaign"}, {"numpy"})
ALLOWED["cli"] = ({"base", "runtime", "config", "pipeline", "commands", "campaign"}, set())
ALLOWED["__main__"] = ({"cli"}, set())
ALLOWED["api"] = ({*BASE, "readers", "numerics", "model", "storage", "plots"}, {"ase", "matplotlib", "numpy", "pandas"})
ALLOWED["__init__"] = ({"api"}, set())


def _package(path: Path) -> str:
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
        return inner in ("__version__",) or any(inner == package or inner.startswith(package + ".") for package in ours)
    return top in sys.stdlib_module_names or top in others


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
    ours, others = ALLOWED[_package(path)]
    wrong = [name for name in _imports(path) if not _permitted(name, ours, others)]
    assert not wrong


def test_packages_import_one_another_without_circles():
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        names = [name.split(".") for name in _imports(path)]
        others = {parts[1] for parts in names if parts[0] == "mlraman_hpc" and (PACKAGE / parts[1]).is_dir()}
        graph.setdefault(_package(path), set()).update(others - {_package(path)})
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_modules_and_folders_have_a_size_to_be_read():
    lines = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    files = Counter(str(path.parent.relative_to(PACKAGE)) for path in modules)
    assert not {name: count for name, count in lines.items() if count > 600}
    assert not {name: count for name, count in files.items() if count > 16 and name != "commands"}  # a file for each


def test_one_module_imports_mpi():
    importers = [path.name for path in PACKAGE.rglob("*.py") if any("mpi4py" in name for name in _imports(path))]
    assert importers == ["session.py"]
