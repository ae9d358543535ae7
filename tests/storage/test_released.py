"""Result files of released versions stay readable: today's code finds in them the numbers that they were written with.

numbers.json has, by file and HDF5 path, texts, or of each array its length, and count, sum and largest absolute value
of the finite elements, as the released version itself read them.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.model import Model, RadialScaling
from mlraman_hpc.records.spectra import Comparison, Coupling, PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LabelTest, LearningCurve
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5, upgrades
from mlraman_hpc.storage.provenance import Origin
from tests.helpers import changed

RELEASED = Path(__file__).parent / "released"
RECORDS = {
    record.file_name: record
    for record in (
        *(Model, LearningCurve, PolarizabilitySeries, RamanSpectrum, Comparison, Coupling, Dynamics, Convergence),
        *(Forces, LabelTest, Ranking),
    )
} | {"convergence_alpha.h5": PolarizabilitySeries}
NUMBERS = {version.name: json.loads((version / "numbers.json").read_text()) for version in sorted(RELEASED.iterdir())}


def unpacked(version: str, name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((RELEASED / version / f"{name}.gz").read_bytes()))
    return path


def values_of(record, prefix: str = "") -> dict:
    """{HDF5 path: value} of all fields, those of records and dictionaries inside too."""
    values = {}
    for field in dataclasses.fields(record):
        value, path = getattr(record, field.name), prefix + field.metadata["path"]
        values |= _flat(path, value)
    return values


def _flat(path: str, value) -> dict:
    if value is None:
        return {}
    if dataclasses.is_dataclass(value):
        return values_of(value, f"{path}/")
    if isinstance(value, dict):
        return {name: item for key, inner in value.items() for name, item in _flat(f"{path}/{key}", inner).items()}
    return {path: value}


@pytest.mark.parametrize(("version", "name"), [(version, name) for version in NUMBERS for name in NUMBERS[version]])
def test_numbers_of_a_released_file(version, name, tmp_path):
    path = unpacked(version, name, tmp_path)
    values = values_of(hdf5.load(RECORDS[name], path))
    for key, expected in NUMBERS[version][name].items():
        value = values[key]
        if isinstance(value, (str, tuple)):
            assert (list(value) if isinstance(value, tuple) else value) == expected, key
            continue
        array = np.ravel(np.asarray(value, dtype=float))
        finite = array[np.isfinite(array)]
        length, count, total, largest = expected
        assert (len(array), len(finite)) == (length, count), key
        found = finite.sum(), np.abs(finite).max(initial=0)
        np.testing.assert_allclose(found, [total, largest], rtol=1e-12, atol=1e-12 * largest * max(count, 1))
    assert hdf5.read_origin(path).history[-1]["mlraman_hpc"] == version
    with h5py.File(path) as file:
        assert hdf5.content_hash(file) == hdf5.content_of(path)


@pytest.mark.parametrize("version", [name for name in NUMBERS if (RELEASED / name / "trajectory.h5.gz").exists()])
def test_a_released_trajectory_is_a_trajectory(version, tmp_path):
    path = unpacked(version, "trajectory.h5", tmp_path)
    index = build_index([path], "auto", tmp_path / "cache", None, pytest.fail, None)
    assert (len(index), len(index.numbers), index.frame_interval) == (64, 5, 20.0)
    assert np.isfinite(read_frames(index, [63]).positions).all()


@dataclass(frozen=True)
class Curve(Record, file_name="curve.h5", kind="curve", version=2):
    time: np.ndarray = stored("time", "fs")
    names: tuple[str, ...] = stored("names", "1")


def test_an_old_format_is_upgraded_step_by_step(tmp_path, monkeypatch):
    hdf5.save(Curve(np.arange(3.0), ("a",)), tmp_path, Origin("test", "", "key", {}))
    with changed(tmp_path / "curve.h5") as file:  # as it would have been: time in ps, no names
        file["time"][:] = [0.0, 0.001, 0.002]
        del file["names"], file.attrs["format_version"]
    before = (tmp_path / "curve.h5").read_bytes()
    with pytest.raises(DataError, match="too old"):
        hdf5.load(Curve, tmp_path)

    def to_femtoseconds(file):
        file["time"][:] *= 1000.0

    def with_names(file):
        file["names"] = ["unknown"]

    monkeypatch.setattr(upgrades, "UPGRADES", {("curve", 0): to_femtoseconds, ("curve", 1): with_names})
    curve = hdf5.load(Curve, tmp_path / "curve.h5")
    np.testing.assert_allclose(curve.time, [0.0, 1.0, 2.0], rtol=1e-12, atol=1e-12)
    assert curve.names == ("unknown",)
    assert (tmp_path / "curve.h5").read_bytes() == before


@pytest.mark.parametrize(("version", "scaling"), [("0.4.0", None), ("0.7.0", RadialScaling(3.0, 4.0))])
def test_models_of_before_radial_scaling_have_none(version, scaling, tmp_path):
    assert hdf5.load(Model, unpacked(version, "model.h5", tmp_path)).descriptor.radial_scaling == scaling


def test_a_spectrum_of_before_fits_over_three_ranges_has_one_probability(tmp_path):
    peak = hdf5.load(RamanSpectrum, unpacked("0.7.0", "raman.h5", tmp_path)).central_peak
    assert 0 <= peak.probability <= 1 and peak.probability_lowest is None
