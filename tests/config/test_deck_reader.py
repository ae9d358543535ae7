"""One broken deck per mistake; the messages name line, key and remedy."""

import pickle
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from mlraman_hpc.base.errors import DataError, DeckError, Location, Mistake
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.deck_reader import input_files, read_deck, resolved_yaml
from mlraman_hpc.config.keys import section_type
from mlraman_hpc.config.model_sections import DescriptorSection
from mlraman_hpc.config.paths import PATH_KEYS
from mlraman_hpc.records.model import Descriptor

BAD = Path(__file__).with_name("decks_bad")
GOOD = "output: out\nseries:\n  file: a.dat\n  frame_interval: 10\n"


def expected(deck: Path) -> list[str]:
    """The lines '#! text' of a bad deck are what its messages must contain."""
    return [line[2:].strip() for line in deck.read_text().splitlines() if line.startswith("#!")]


@pytest.mark.parametrize("deck", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_has_its_message(deck):
    with pytest.raises(DeckError) as caught:
        read_deck(deck)
    message = str(caught.value)
    wanted = expected(deck)
    assert wanted, "the '#!' lines of a bad deck are what must be reported"
    for text in wanted:
        assert text in message
    assert len(message.splitlines()) == len(wanted)


def write(tmp_path, text):
    path = tmp_path / "deck.yaml"
    path.write_text(text)
    return path


def test_numbers_and_words_as_people_write_them(tmp_path):
    deck = read_deck(write(tmp_path, GOOD + "model: {regularization: 1e-6}\ntitle: no\n"))
    assert deck.model.regularization == 1e-6
    assert deck.title == "no"


def test_set_overrides_and_is_named_in_messages(tmp_path):
    path = write(tmp_path, GOOD)
    assert read_deck(path, ["spectrum.smoothing=8"]).spectrum.smoothing == 8
    with pytest.raises(DeckError, match=r"^--set spectrum.smoothing=-8: 'spectrum.smoothing': should be greater"):
        read_deck(path, ["spectrum.smoothing=-8"])
    with pytest.raises(DeckError, match="should be KEY=VALUE"):
        read_deck(path, ["spectrum"])


def test_resolved_deck_reads_back_as_itself(tmp_path):
    """It lies in the output folder and can be run from anywhere: its paths are absolute, all else is the same."""
    deck = read_deck(write(tmp_path, GOOD))
    again = tmp_path / "out" / "resolved_deck.yaml"
    again.parent.mkdir()
    again.write_text(resolved_yaml(deck))
    resolved = read_deck(again)
    assert resolved.series.file == str(tmp_path / "a.dat") and resolved.output == str(Path.cwd() / "out")
    resolved.series.file, resolved.output = deck.series.file, deck.output
    assert resolved.model_dump() == deck.model_dump()


def test_home_and_variables_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("SCRATCH", "/scratch")
    monkeypatch.delenv("NOTHING", raising=False)
    text = (
        "output: $SCRATCH/x\nseries: {file: ~/a.dat, frame_interval: 10}\ndynamics: {lattice_sites: '${SCRATCH}/s'}\n"
    )
    deck = read_deck(write(tmp_path, text))
    assert (deck.output, deck.series.file) == ("/scratch/x", "/home/somebody/a.dat")
    assert deck.dynamics.lattice_sites == "/scratch/s" and "drift" not in deck.dynamics.model_fields_set
    assert read_deck(write(tmp_path, GOOD), ["output=~/y"]).output == "/home/somebody/y"
    for value, reason in (("$NOTHING/x", "this variable is not set"), ("~nobody-here/x", "no such user")):
        with pytest.raises(DeckError, match=reason) as caught:
            read_deck(write(tmp_path, GOOD), [f"output={value}"])
        assert caught.value.mistakes[0].key == "output"


def test_every_key_with_files_is_known_as_a_path():
    """A key of another name must be added to PATH_KEYS, or `~` stays in it and the resolved deck cannot be run."""

    def names(section):
        for name, field in section.model_fields.items():
            inner = section_type(field.annotation)
            yield from names(inner) if inner is not None else [name]

    assert {name for name in names(Deck) if re.search("file|folder|sites|^structure$|^template$", name)} == set(
        PATH_KEYS
    )


@pytest.mark.parametrize(
    ("lines", "meant"),
    [
        ("reference: {file: a.xyz}", "files"),  # not model.file, which has the same name elsewhere
        ("spectrum: {frame_interval: 2}", "series.frame_interval"),  # the deck has no trajectory
        ("spectrum: {smothing: 8}", "smoothing"),
        ("series: {smothing: 8, file: a, frame_interval: 1}", "spectrum.smoothing"),
        ("smoothing: 8", "spectrum.smoothing"),
        ("trajectroy: {files: a}", "trajectory"),
    ],
)
def test_did_you_mean_looks_here_first_and_at_the_neighbours(tmp_path, lines, meant):
    text = GOOD if not lines.startswith("series") else "output: out\n"
    with pytest.raises(DeckError, match="unknown key") as caught:
        read_deck(write(tmp_path, text + lines + "\n"))
    assert f"did you mean '{meant}'?" in str(caught.value)


def test_lists_in_quotation_marks_and_words_with_commas(tmp_path):
    text = "output: out\ntitle: '[a, b]'\nseries: {file: a, frame_interval: 1, order: '[xx, yy, zz, xy, yz, zx]'}\n"
    deck = read_deck(write(tmp_path, text + "dynamics: {mobile: 'Ag, Cu'}\n"))
    assert deck.series.order == ["xx", "yy", "zz", "xy", "yz", "zx"]
    assert deck.dynamics.mobile == ["Ag", "Cu"] and deck.title == "[a, b]"


def test_files_are_relative_to_the_deck_and_empty_globs_are_refused(tmp_path):
    path = write(tmp_path, GOOD)
    (tmp_path / "b 2.xyz").touch()
    (tmp_path / "b 1.xyz").touch()
    deck = read_deck(path)
    assert [file.name for file in input_files(deck, "series.file", ["b*.xyz"])] == ["b 1.xyz", "b 2.xyz"]
    with pytest.raises(DataError, match=r"deck.yaml:3: 'series.file': no file matches"):
        input_files(deck, "series.file", ["c*.xyz"])
    with pytest.raises(DataError, match="no such file"):
        input_files(deck, "series.file", ["c.xyz"])


def test_a_deck_knows_its_file_and_lines_on_every_rank(tmp_path):
    path = write(tmp_path, GOOD)
    deck = pickle.loads(pickle.dumps(read_deck(path)))
    assert str(deck.source) == str(path) and deck.folder == str(tmp_path)
    assert deck.location("series.file") == f"{path}:3: 'series.file'"
    assert deck.location("spectrum.smoothing") == f"{path}: 'spectrum.smoothing'"
    assert deck.mistake("series.unit", "is missing") == Mistake(Location(str(path), 2), "series.unit", "is missing")
    assert (
        str(deck.error("series.file", "x")) == str(deck.data_error("series.file", "x")) == f"{path}:3: 'series.file': x"
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("title: 3", "should be text, found 3"),
        ("figures: 1", "should be true or false, found 1"),
        ("spectrum: {blocks: 1}", "should be at least 2, found 1"),
        ("spectrum: {blocks: 2.5}", "should be an integer, found 2.5"),
        ("spectrum: {smoothing: .Inf}", "should be a finite number, found inf"),
        ("spectrum: 3", "should be a section with keys of its own, found 3"),
        ("spectrum: {geometries: 3}", "should be a list, found 3"),
        ("descriptor: {max_angular: 13}", "should be at most 12, found 13"),
        ("trajectory: {files: []}", "should have 1 or more items, found []"),
        ("comparison: {label: ''}", "should have 1 or more characters, found ''"),
        ("dynamics: {arrhenius: a/b}", "should match the pattern ^[^/]+$, found 'a/b'"),
        ("walltime: 0", "should be minutes, 'HH:MM:SS' or 'D-HH:MM:SS', and more than 0, found 0"),
        ("nothing: 0", "unknown key; known here: "),
    ],
)
def test_what_a_value_should_be(tmp_path, line, text):
    with pytest.raises(DeckError) as caught:
        read_deck(write(tmp_path, GOOD + line + "\n"))
    (mistake,) = caught.value.mistakes
    assert mistake.location.line == 5 and mistake.text.startswith(text)


def test_missing_deck(tmp_path):
    with pytest.raises(DeckError, match="no such deck"):
        read_deck(tmp_path / "none.yaml")


def test_the_deck_and_python_have_one_default_descriptor():
    assert DescriptorSection().model_dump(exclude={"mode"}) == asdict(Descriptor())


def test_the_descriptor_is_chosen_where_the_deck_says_nothing_or_auto():
    for text in ({}, {"descriptor": "auto"}, {"descriptor": {"mode": "auto"}}):
        assert Deck.model_validate({"output": "out", **text}).descriptor.mode == "auto"
    fixed = Deck.model_validate({"output": "out", "descriptor": {"cutoff": 5.0}}).descriptor
    assert fixed.mode == "fixed" and fixed.radial_scaling is None
