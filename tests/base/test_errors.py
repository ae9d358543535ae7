"""Errors are data: they sort by line, make their text at the end and survive the journey between ranks."""

import pickle

import pytest

from mlraman_hpc.base.errors import (
    DataError,
    DeckError,
    DeckKeyError,
    KeyLocations,
    Location,
    Mistake,
    StoppedEarly,
    UserError,
)

MISTAKES = (
    Mistake(Location("--set spectrum.blocks=x"), "spectrum.blocks", "should be an integer"),
    Mistake(Location("deck.yaml", 10), "reference.train", "should be at least 2"),
    Mistake(Location("deck.yaml", 9, "material 'A'"), "", "has no model"),
    Mistake(Location("deck.yaml", 10), "reference.train", "should be at least 2"),
)


def test_a_message_has_one_line_for_each_mistake_in_the_order_of_the_file():
    assert str(DeckError.from_mistakes(MISTAKES)).splitlines() == [
        "deck.yaml:9: material 'A': has no model",
        "deck.yaml:10: 'reference.train': should be at least 2",
        "--set spectrum.blocks=x: 'spectrum.blocks': should be an integer",
    ]


def test_mistakes_of_two_files_stay_together():
    mistakes = [Mistake(Location(name, line), "", "x") for name, line in [("b", 1), ("a", 7), ("b", 5), ("a", 2)]]
    lines = [(m.location.source, m.location.line) for m in DeckError.from_mistakes(mistakes).mistakes]
    assert lines == [("a", 2), ("a", 7), ("b", 1), ("b", 5)]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UserError("a text"), 2),
        (DeckError("a text"), 2),
        (DeckError.from_mistakes(MISTAKES), 2),
        (DeckKeyError("reference.unit", "is missing"), 2),
        (DataError("a text"), 3),
        (StoppedEarly("a text"), 75),
    ],
)
def test_errors_survive_pickle_with_all_attributes(error, exit_code):
    error.shared = True
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and copy.exit_code == exit_code
    assert str(copy) == str(error) and copy.args == error.args and vars(copy) == vars(error)


def test_a_key_error_names_its_key():
    error = DeckKeyError("reference.unit", "is missing")
    assert (error.key, error.text, str(error)) == ("reference.unit", "is missing", "reference.unit: is missing")


def test_a_missing_key_is_located_by_the_section_around_it():
    locations = KeyLocations({(): Location("deck.yaml"), ("spectrum",): Location("deck.yaml", 3)})
    assert locations.mistake(("spectrum", "blocks"), "x") == Mistake(Location("deck.yaml", 3), "spectrum.blocks", "x")
    assert locations.nearest(("title",)) == Location("deck.yaml")
