"""Decks that no one should write, and a few of the fuzz: messages and exit codes of the promised kinds, in no time."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlraman_hpc.base.errors import DataError, DeckError, DeckKeyError
from mlraman_hpc.config import deck_reader, yaml_source
from mlraman_hpc.config.deck_reader import input_files, read_deck
from mlraman_hpc.readers.tensors import trajectory_labels
from tests.config import fuzz

SERIES = "output: out\nseries: {file: s.npy, frame_interval: 1, unit: angstrom^3}\n"
BOMB = "a0: &a0 [x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 100000 values, with what anchors"),
        ("title: &a [*a]\n", "inside itself"),
        ("trajectory: &a\n  files: x\n  cell: *a\n", "line 2: .*inside itself|inside itself"),
        ("title: " + "[" * 6000 + "]" * 6000, "nested deeper than 60 levels"),
        ("walltime: !!int abc\n", "deck.yaml:1: .*not a value of the kind 'int'"),
        ("figures: !!bool maybe\n", "not a value of the kind 'bool'"),
        ("title: !!timestamp abc\n", "not a value of the kind 'timestamp'"),
        ('title: "a\\0b"\n', "a character that no file name or title can have"),
        ('title: "\\uD800"\n', "a character that no file name or title can have"),
        ("walltime: 1e300\n", "numbers lie between 1e-30 and 1e\\+30 or are 0, found 1e\\+300"),
        (f"walltime: {'9' * 60}\n", "found 1e\\+60"),
        (f"output: out\nreference: {{files: x, seed: {'9' * 5000}}}\n", "'reference.seed': should be"),
        (SERIES + "spectrum: {geometries: [{incident: [1e-200, 0, 0], scattered: [1, 0, 0]}]}\n", "1e-200"),
        (
            SERIES + "spectrum: {angle_map: {direction: [0, 0, 1], start: [1, 0, 0], step: 1e-9}}\n",
            "'spectrum.angle_map.step'",
        ),
        (SERIES + "spectrum: {geometries: [{incident: [.inf, 0, 0], scattered: [1, 0, 0]}]}\n", "vector of three"),
    ],
)
def test_absurd_decks_have_one_message(text, message, tmp_path):
    (tmp_path / "deck.yaml").write_text(text)
    with pytest.raises(DeckError, match=message) as caught:
        read_deck(tmp_path / "deck.yaml")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400


def test_changes_of_the_command_line_are_bounded_too(tmp_path):
    (tmp_path / "deck.yaml").write_text(SERIES)
    for change in ("title=&a [*a]", "walltime=!!int abc", "walltime=1e300", 'title="a\\0b"'):
        with pytest.raises(DeckError, match="is not a valid value"):
            read_deck(tmp_path / "deck.yaml", [change])


def test_decks_that_are_no_files(tmp_path, monkeypatch):
    import os

    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(DeckError, match="cannot be read: not a regular file"):
            read_deck(name)
    monkeypatch.setattr(yaml_source, "LONGEST", 1 << 20)
    (tmp_path / "deck.yaml").write_text("#" * (1 << 20) + "\n")
    with pytest.raises(DeckError, match="is it a deck"):
        read_deck(tmp_path / "deck.yaml")
    with pytest.raises(DeckError, match="File name too long"):
        read_deck(tmp_path / ("a" * 300))


# The limit may strike between the opening of a folder and its closing.
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_pattern_through_all_folders_ends(tmp_path, monkeypatch):
    (tmp_path / "deck.yaml").write_text("output: out\ntrajectory: {files: '/**/**/**/nothing*', frame_interval: 1}\n")
    monkeypatch.setattr(deck_reader, "GLOB_SECONDS", 0.1)
    deck = read_deck(tmp_path / "deck.yaml")
    with pytest.raises(DataError, match="looks through too many folders"):
        input_files(deck, "trajectory.files", deck.trajectory.files)


def test_a_regular_expression_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(trajectory_labels, "PATTERN_SECONDS", 0.1)
    with pytest.raises(DeckKeyError, match="repetitions within repetitions"):
        trajectory_labels._number_in_name("a" * 60 + "!", r"(a+)+(\d+)$")


@pytest.mark.parametrize("number", range(len(fuzz.DECKS)))
def test_the_decks_that_the_fuzz_changes_are_valid(number, tmp_path):
    (tmp_path / "deck.yaml").write_text(fuzz.DECKS[number])
    assert read_deck(tmp_path / "deck.yaml")


@pytest.mark.slow
def test_fuzz():
    """In a process of its own, since its cases are forks of it."""
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, str(script), "6", "40"], capture_output=True, text=True, cwd=script.parents[2], timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
