"""The rooms and who may import whom; the top level of the repository."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mlraman_hpc"
ALLOWED = {  # room -> (rooms of ours, packages of others)
    "errors": (set(), set()),
    "units": (set(), set()),
    "files": ({"errors"}, set()),
    "later": (set(), set()),
    "machine": (set(), set()),
    "stopping": ({"errors"}, set()),
    "starting": (set(), set()),
    "place": (set(), set()),
    "parallel": ({"errors", "machine", "place", "starting", "stopping"}, {"mpi4py"}),
    "console": ({"parallel"}, set()),
    "schema": ({"errors", "files", "later", "units", "schema"}, {"pydantic", "pydantic_core", "yaml", "h5py", "numpy"}),
    "numerics": ({"errors", "units", "numerics", "schema.records"}, {"numpy", "scipy", "numba"}),
    "model": ({"errors", "later", "numerics", "model", "schema.records", "units"},
              {"featomic", "metatensor", "numpy", "scipy", "numba", "llvmlite"}),
    "io": ({"errors", "files", "later", "units", "io", "schema.records", "schema.ranking", "schema.motion",
            "schema.force_record"},
           {"ase", "h5py", "matplotlib", "numpy", "scipy"}),
    "tasks": ({"errors", "files", "units", "machine", "parallel", "console", "schema", "numerics", "model", "io",
               "tasks"}, {"numpy"}),
    "cli": ({"errors", "machine", "parallel", "console", "schema", "tasks"}, set()),
    "__main__": ({"cli"}, set()),
    "__init__": (set(), set()),
}


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
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Later" and isinstance(
                node.args[0], ast.Constant):
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
    long = {path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 400}
    assert not long


def test_mpi_has_one_room():
    importers = [path.name for path in PACKAGE.rglob("*.py") if any("mpi4py" in name for name in _imports(path))]
    assert importers == ["parallel.py"]
