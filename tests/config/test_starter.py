"""Decks to start from: valid, and every value may be left as it is."""

import json
import re

import pytest

from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.config.describe import json_schema, key_pages, key_rows, key_table
from mlraman_hpc.config.keys import section_type
from mlraman_hpc.config.starter import KINDS, starter_deck

GIVEN_BY_HAND = {"output", "descriptor.mode", "reference.files", "trajectory.files", "model.committee"}
GIVEN_BY_HAND |= {"md.structure", "md.calculator", "md.temperature"}
PROGRAMS = ["vasp", "lammps", "gpumd", "cp2k", "md", "labelling"]


def write(tmp_path, text):
    path = tmp_path / "deck.yaml"
    path.write_text(text)
    return path


def set_values(section, prefix=""):
    """{dotted: (value, default)} of every key that the deck sets."""
    for name in section.model_fields_set:
        value, info = getattr(section, name), type(section).model_fields[name]
        if section_type(info.annotation) is not None and value is not None and not isinstance(value, list):
            yield from set_values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, (value, None if info.is_required() else info.get_default(call_default_factory=True))


@pytest.mark.parametrize("kind", [None, *PROGRAMS])
def test_values_are_defaults_but_for_names_of_files(tmp_path, kind):
    """What only the user knows stays null, so that it is asked for; a plausible number would go through in silence."""
    deck = read_deck(write(tmp_path, starter_deck(kind)))
    changed = {name for name, (value, default) in set_values(deck) if value != default}
    assert changed <= GIVEN_BY_HAND
    assert deck.trajectory.frame_interval is None and deck.trajectory.every == 1
    assert deck.learning_curve is None and deck.convergence is None


@pytest.mark.parametrize("kind", [None, *PROGRAMS])
def test_what_is_commented_out_is_valid_too(tmp_path, kind):
    """Taking '# ' away from whole sections gives a deck again, but for those that exclude one another."""
    text = re.sub(r"^# (?=\w+:$|\w+: +#|  )", "", starter_deck(kind), flags=re.MULTILINE)
    text = re.sub(r"^series:.*?(?=\n\n)", "", text, flags=re.MULTILINE | re.DOTALL)
    deck = read_deck(write(tmp_path, text))
    assert deck.learning_curve is not None and deck.convergence is not None


def test_the_campaign_has_materials_with_files_of_their_own(tmp_path):
    campaign = read_campaign(write(tmp_path, starter_deck("campaign")))
    assert [material.name for material in campaign.materials] == ["first", "second"]
    assert campaign.materials[0].deck.trajectory.files == [str(tmp_path / "md" / "first" / "XDATCAR")]


def test_every_key_is_in_the_complete_deck_the_table_and_the_schema():
    text, table, schema = starter_deck(), key_table(), json_schema()
    for name, info in Deck.model_fields.items():
        section = section_type(info.annotation)
        for key in section.model_fields if section else []:
            assert re.search(rf"^#? +{key}: ", text, re.MULTILINE), f"{name}.{key}"
            assert f"{name}.{key}" in table and f'"{key}"' in schema


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_lines_are_short_enough_for_a_terminal(kind):
    assert max(map(len, starter_deck(kind).splitlines())) <= 120


def test_the_schema_takes_a_word_where_a_list_may_stand():
    section = json.loads(json_schema())["$defs"]["DynamicsSection"]["properties"]
    assert {"type": "string"} in section["mobile"]["anyOf"]


def test_pages_of_keys_have_every_key_in_a_table_of_four_columns():
    pages, rows = key_pages(), [row for part in key_rows() for row in part]
    lines = [line for line in pages.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [name for name, *_ in rows]
    assert {line.count("|") for line in lines} == {5} and "## trajectory\n" in pages
