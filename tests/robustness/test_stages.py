"""Every stage of every command is one where a rank can be made to fail, and leaves readable files; stages.py does it on
ranks. Every command meets a full disk."""

import ast
import os
import shutil
from pathlib import Path

import pytest

import mlraman_hpc
from mlraman_hpc import cli
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.commands import benchmark
from mlraman_hpc.runtime.fault_injection import Fault
from mlraman_hpc.runtime.session import Session
from tests.robustness.stages import STAGES, arguments, lay_out, unreadable

# Steps that the deck of the table does not reach: it has no 'md' section and no labels that are derivatives
OTHER_DECKS = {"plan", "runs", "calculate", "derivatives", "calculations", "choice", "space"}


def execute(folder, command, fault="", changes=()):
    os.chdir(folder)
    session = Session()
    session.fault = Fault.parse(fault)
    options = [word for change in changes for word in ("--set", change)]
    cli.execute(session, cli.parser().parse_args([*arguments(command), *options, "--quiet"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = lay_out(tmp_path_factory.mktemp("stages"))
    for command in ("run", "convert"):
        execute(folder, command)
    return folder


@pytest.mark.parametrize(("command", "stage"), [(command, stage) for command in STAGES for stage in STAGES[command]])
def test_failure_leaves_readable_files(command, stage, folder, monkeypatch):
    monkeypatch.setattr(benchmark, "STAGE_SECONDS", 0.01)
    with pytest.raises(RuntimeError, match="asked for by MLRAMAN_TEST_FAIL"):
        execute(folder, command, f"{stage}:0:exception")
    assert not unreadable(folder)


def bytes_of(folder):
    """Of every result; the others tell of the run that failed."""
    others = ("status.json", "log.txt", "resolved_deck.yaml")
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in others and ".partial" not in path.name and "cache" not in path.parts
    }


@pytest.mark.parametrize("free", [0, 16])
@pytest.mark.parametrize("command", [command for command in STAGES if command not in ("check", "benchmark")])
def test_a_full_disk_is_one_message_and_leaves_earlier_results(command, free, folder, disk):
    """`free` kB, which are none, and less than most results."""
    disk.make(20000)
    shutil.copytree(folder / "out", disk.path / "out")
    disk.remount(f"size={disk.used() + free}k")
    before = bytes_of(disk.path)
    output = "campaign" if command == "campaign" else "out"
    with pytest.raises(DataError, match="No space left on device") as caught:
        execute(folder, command, changes=[f"output={disk.path / output}", "figures=true"])
    assert len(str(caught.value).splitlines()) == 1
    after = bytes_of(disk.path)
    assert {path: after.get(path) for path in before} == before
    assert not unreadable(disk.path)


def test_the_table_has_every_stage():
    known = {part for stages in STAGES.values() for stage in stages for part in stage.split("/")}
    named = set()
    for path in Path(mlraman_hpc.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") in ("enter_stage", "enter_step")
                and isinstance(node.args[0], ast.Constant)
            ):
                named.add(node.args[0].value)
    assert named - OTHER_DECKS <= known
    assert named >= OTHER_DECKS and not known & OTHER_DECKS
