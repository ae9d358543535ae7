"""What a format has to be: an object in a table, whose names the deck knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.config import model_sections, spectrum_sections
from mlraman_hpc.readers.series import formats as series
from mlraman_hpc.readers.tensors import formats
from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat
from mlraman_hpc.readers.tensors.components import QUANTITIES
from mlraman_hpc.readers.tensors.labels import read_labels

EPSILON = [[2.0, 0, 0], [0, 3.0, 0], [0, 0, 4.0]]
ALPHA = [[5.0, 1, 0], [1, 6.0, 0], [0, 0, 7.0]]


class Toy(LabelFormat):
    """JSON: a list of steps, each with any of the quantities; the cell lies in a file beside it."""

    name = "toy"
    file_name = r"\.toy$"
    magic = rb"\s*\[\s*\{"

    def read(self, path, request, warn):
        cell = np.diag(json.loads(path.with_suffix(".cell").read_text()))
        steps = json.loads(path.read_text())
        if not steps:
            raise FileError(path, "no step.")
        return [
            Calculation(
                np.zeros((1, 3)),
                np.array([11]),
                cell,
                {name: np.array(value) for name, value in step.items()},
                f"{path}, step {k}",
            )
            for k, step in enumerate(steps)
        ]

    def combine(self, calculations):
        return [item for item in calculations if item.tensors]

    def companions(self, path):
        return [path.with_suffix(".cell")]


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Writes a toy file; the format is added to the table."""
    monkeypatch.setattr(formats, "LABEL_FORMATS", [*formats.LABEL_FORMATS, Toy()])

    def write(name: str, *steps: dict) -> Path:
        (tmp_path / name).write_text(json.dumps(steps))
        (tmp_path / name).with_suffix(".cell").write_text("[4, 5, 6]")
        return tmp_path / name

    return write


def test_a_format_is_one_entry_of_the_table(toy):
    files = [toy("a.toy", {"dielectric": EPSILON}, {}, {"polarizability": ALPHA}), toy("b.toy", {"dielectric": ALPHA})]
    labels = read_labels(files, "auto", None, None, pytest.fail)
    scale = 120 / (4 * np.pi)
    expected = [scale * (np.array(EPSILON) - np.eye(3)), ALPHA, scale * (np.array(ALPHA) - np.eye(3))]
    np.testing.assert_allclose(labels.polarizability, expected, rtol=1e-12, atol=1e-11)
    assert labels.source == (f"{files[0]}, step 0", f"{files[0]}, step 2", f"{files[1]}, step 0")
    assert formats.companions(files) == [file.with_suffix(".cell") for file in files]
    assert "toy" in formats.names()


def test_a_format_is_known_by_name_of_file_by_first_bytes_and_by_the_deck(toy, tmp_path):
    named, other = toy("a.toy", {"dielectric": EPSILON}), toy("a.json", {"dielectric": EPSILON})
    other.rename(tmp_path / "empty").write_text("")
    assert formats.format_of([named]).name == formats.format_of([toy("a.json", {})]).name == "toy"
    assert formats.format_of([tmp_path / "empty"], "toy").name == "toy"
    assert formats.companions([other], "toy") == [other.with_suffix(".cell")] and not formats.companions([other])
    with pytest.raises(DataError, match=r"a.toy is toy but .* is outcar"):
        formats.format_of([tmp_path / "OUTCAR", named])


def test_several_quantities_in_a_file(toy):
    file = toy("a.toy", {"dielectric": EPSILON, "polarizability": ALPHA})
    np.testing.assert_array_equal(
        read_labels([file], "auto", "polarizability", None, pytest.fail).polarizability, [ALPHA]
    )
    with pytest.raises(DeckKeyError, match="holds a dielectric and a polarizability tensor; give the one") as error:
        read_labels([file], "auto", None, None, pytest.fail)
    assert error.value.key == "reference.quantity"
    with pytest.raises(DeckKeyError, match="set dielectric or polarizability"):
        read_labels([file], "auto", "susceptibility", None, pytest.fail)


def test_mistakes_in_a_file_are_those_of_the_format(toy):
    with pytest.raises(FileError, match="no step") as error:
        read_labels([toy("a.toy")], "auto", None, None, pytest.fail)
    assert error.value.reason == "no step."


def _values(section: type, key: str) -> set[str]:
    return set(get_args(section.model_fields[key].annotation))


def test_the_deck_knows_the_names_of_all_formats_and_quantities():
    assert _values(model_sections.Reference, "format") == {"auto", "table", *formats.names()}
    assert _values(spectrum_sections.SeriesSection, "format") == {
        "auto",
        *(format.name for format in series.SERIES_FORMATS),
    }
    assert _values(spectrum_sections.SeriesSection, "quantity") == set(QUANTITIES)


def test_a_series_format_is_one_entry_of_the_table(monkeypatch, tmp_path):
    class Json(series.SeriesFormat):
        name = "json"
        file_name = r"\.json$"

        def read(self, file, request):
            return series.Series(np.array(json.loads(file.read_text())), steps=np.array([0, 5]))

    monkeypatch.setattr(series, "SERIES_FORMATS", [Json(), *series.SERIES_FORMATS])
    (tmp_path / "a.json").write_text(json.dumps([ALPHA, ALPHA]))
    for name in ("auto", "json"):
        value, steps, messages = series.read_series(
            tmp_path / "a.json", name, None, "polarizability", "angstrom^3", None
        )
        assert value.tolist() == [ALPHA, ALPHA] and steps.tolist() == [0, 5] and not messages
