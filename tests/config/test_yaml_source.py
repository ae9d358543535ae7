"""YAML text becomes values with the line of every key."""

import math

import pytest

from mlraman_hpc.base.errors import DeckError, Location
from mlraman_hpc.config.yaml_source import parse, scalar


def test_every_key_and_item_has_its_line():
    source = parse("a: 1\nb:\n  c: {d: 2}\n  e:\n    - 3\n    - f: 4\n", "deck.yaml")
    assert source.values == {"a": 1, "b": {"c": {"d": 2}, "e": [3, {"f": 4}]}}
    lines = {".".join(path): location.line for path, location in source.locations.items()}
    assert lines == {"": None, "a": 1, "b": 2, "b.c": 3, "b.c.d": 3, "b.e": 4, "b.e.0": 5, "b.e.1": 6, "b.e.1.f": 6}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("-.5", -0.5),
        ("7", 7),
        ("007", 7),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("True", True),
        ("2026-01-01", "2026-01-01"),
        ("[Li, No]", ["Li", "No"]),
        ("0x10", "0x10"),
        ("a: b", "a: b"),
        ("{", "{"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert scalar(text) == value and type(scalar(text)) is type(value)


def test_not_a_number():
    assert math.isnan(scalar(".NaN"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "given twice, first on line 1; keep one"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key must be a word"),
        ("a: [1\n", 2, "not valid YAML"),
        ("a: !thing 3\n", 1, "could not determine a constructor"),
        ("- a\n", 1, "a deck is a list of 'key: value' lines"),
        ("", None, "the deck is empty"),
    ],
)
def test_what_is_no_deck(text, line, words):
    with pytest.raises(DeckError) as caught:
        parse(text, "deck.yaml")
    (mistake,) = caught.value.mistakes
    assert mistake.location == Location("deck.yaml", line) and words in mistake.text


def test_options_of_the_command_line():
    source = parse("a: {b: 1}\n", "deck.yaml")
    for change in ("a.b=[2, 3]", "c.d=x", "a.b", "e={"):
        source.change(change)
    assert source.values == {"a": {"b": [2, 3]}, "c": {"d": "x"}}
    assert source.locations[("a",)] == Location("deck.yaml", 1)
    assert source.locations[("a", "b")] == Location("--set a.b=[2, 3]")
    assert source.locations[("c",)] == source.locations[("c", "d")] == Location("--set c.d=x")
    assert [mistake.location.source for mistake in source.mistakes] == ["--set a.b", "--set e={"]
