"""Every stage of every command is one where a rank can be made to fail, and leaves readable files; stages.py does it on
ranks."""

import ast
import os
from pathlib import Path

import pytest

import mlraman_hpc
from mlraman_hpc import cli
from mlraman_hpc.commands import benchmark
from mlraman_hpc.runtime.fault_injection import Fault
from mlraman_hpc.runtime.session import Session
from tests.robustness.stages import STAGES, arguments, lay_out, unreadable

# Steps that the deck of the table does not reach: it has no 'md' section and no labels that are derivatives
OTHER_DECKS = {"plan", "runs", "calculate", "derivatives", "calculations", "choice", "space"}


def execute(folder, command, fault=""):
    os.chdir(folder)
    session = Session()
    session.fault = Fault.parse(fault)
    cli.execute(session, cli.parser().parse_args([*arguments(command), "--quiet"]))


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
