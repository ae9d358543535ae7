"""Records come back as they were written, with their origin; strangers and damaged files are refused."""

import dataclasses
import tracemalloc
from dataclasses import dataclass

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.records.campaign import Status
from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.alpha_file import AlphaFile
from mlraman_hpc.storage.provenance import Origin
from tests.helpers import changed

ORIGIN = Origin("test", "output: out\n", "key", {"a.xyz": "abc"})


@dataclass(frozen=True)
class Everything(Record, file_name="thing.h5", kind="thing"):
    array: np.ndarray = stored("group/array", "Angstrom^3")
    number: float = stored("number", "fs")
    count: int = stored("count", "1")
    names: tuple[str, ...] = stored("names", "1")
    table: dict[str, np.ndarray] = stored("table", "cm^-1")
    descriptor: Descriptor = stored("descriptor", "1")
    absent: np.ndarray | None = stored("absent", "1", default=None)
    none: tuple[str, ...] = stored("none", "1", default=())


def everything():
    return Everything(
        np.arange(6.0).reshape(2, 3), 2.5, 3, ("Ag", "I"), {"total": np.ones(2)}, Descriptor(5.0, 0.5, 0.3, 4, 5)
    )


def test_record_comes_back(tmp_path):
    path = tmp_path / "new folder" / "a.h5"
    content = hdf5.save(everything(), path, ORIGIN)
    back = hdf5.load(Everything, path)
    assert np.array_equal(back.array, everything().array)
    assert (back.number, back.count, back.names, back.descriptor, back.absent, back.none) == (
        2.5,
        3,
        ("Ag", "I"),
        everything().descriptor,
        None,
        (),
    )
    assert np.array_equal(back.table["total"], np.ones(2))
    assert hdf5.content_of(path) == content
    assert hdf5.read_origin(path).parents == {"a.xyz": "abc"}
    with h5py.File(path) as file:
        assert file["group/array"].attrs["unit"] == "Angstrom^3"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.h5"]


def test_enumerations_are_stored_as_their_texts(tmp_path):
    record = dataclasses.replace(everything(), names=("Ag", Status.DONE), table={"status": Status.DYNAMICS_ONLY})
    hdf5.save(record, tmp_path, ORIGIN)
    with h5py.File(tmp_path / "thing.h5") as file:
        assert file["names"].asstr()[:].tolist() == ["Ag", "done"]
        assert file["table/status"].asstr()[()] == "dynamics only"


def test_content_does_not_depend_on_origin(tmp_path):
    other = Origin("test", "title: x\n", "other", {})
    assert hdf5.save(everything(), tmp_path / "a.h5", ORIGIN) == hdf5.save(everything(), tmp_path / "b.h5", other)


def test_history_grows(tmp_path):
    hdf5.save(everything(), tmp_path / "a.h5", ORIGIN)
    first = hdf5.read_origin(tmp_path / "a.h5").history
    hdf5.save(everything(), tmp_path / "b.h5", Origin("next", "", "k", {}, first))
    assert [entry["task"] for entry in hdf5.read_origin(tmp_path / "b.h5").history] == ["test", "next"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "not a readable HDF5 file"),
        (lambda path: path.write_text("hello"), "not a readable HDF5 file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, message):
    path = tmp_path / "a.h5"
    hdf5.save(everything(), path, ORIGIN)
    damage(path)
    with pytest.raises(DataError, match=message):
        hdf5.load(Everything, path)
    with pytest.raises(DataError, match=message):
        hdf5.content_of(path)
    assert hdf5.history_of(path) == ()


def test_other_kinds_newer_versions_and_missing_parts_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    hdf5.save(everything(), path, ORIGIN)
    with pytest.raises(DataError, match="holds 'thing', but 'model' is needed"):
        hdf5.load(Model, path)
    with changed(path) as file:
        del file["number"]
    with pytest.raises(DataError, match="'number' is missing"):
        hdf5.load(Everything, path)
    with changed(path) as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DataError, match="newer"):
        hdf5.load(Everything, path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    hdf5.save(everything(), path, ORIGIN)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        hdf5.save(Everything(object(), 1.0, 1, (), {}, None), path, ORIGIN)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unwritable_folder_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot be written"):
        hdf5.save(everything(), tmp_path / "file" / "a.h5", ORIGIN)


def test_large_files_are_hashed_by_their_ends(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(bytes(1 << 24) + b"1")
    first = provenance.hash_of_file(path)
    path.write_bytes(bytes(1 << 24) + b"2")
    assert provenance.hash_of_file(path) != first


def _partial(path):
    return AlphaFile.create(
        path,
        frames=4,
        steps=np.arange(4).__getitem__,
        times=(np.arange(4) * 10.0).__getitem__,
        species=("Ag", "I"),
        members=3,
        batches=2,
        origin=ORIGIN,
    )


def test_memory_of_a_partial_file_does_not_grow_with_frames(tmp_path):
    frames, slices = 200_000, []

    def values(rows):
        slices.append(rows.stop - rows.start)
        return np.arange(rows.start, rows.stop)

    tracemalloc.start()
    path = tmp_path / "alpha.partial.h5"
    file = AlphaFile.create(
        path,
        frames=frames,
        steps=values,
        times=lambda rows: 0.1 * values(rows),
        species=("Ag",),
        members=0,
        batches=2,
        origin=ORIGIN,
    )
    file.write(slice(0, 1), slice(7, 9), np.ones((2, 1, 3, 3)), None, np.array([3, 0]))
    assert file.count_outliers() == (3, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    file.close()
    assert peak < 5e6 < 8 * frames * 4 and sum(slices) == 2 * frames
    with h5py.File(path) as made:
        assert np.array_equal(made["observables/polarizability/step"], np.arange(frames))
        assert np.array_equal(made["observables/outliers/time"], 0.1 * np.arange(frames))


def _resume(path, origin=ORIGIN):
    return AlphaFile.resume(path, origin, ("trajectory",))


def _rows(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 2, 3, 3)), rng.normal(size=(2, 3, 3, 3)), np.array([0, 1])


def test_alpha_file_goes_on_where_it_stopped(tmp_path):
    partial, final = tmp_path / "alpha.partial.h5", tmp_path / "alpha.h5"
    file = _partial(partial)
    file.write(slice(1, 2), slice(2, 4), *_rows(1))
    file.commit()
    file.write(slice(0, 1), slice(0, 2), *_rows(0))  # not committed: as if killed here
    file.close()
    file = _resume(partial)
    assert file.done.tolist() == [False, True]
    file.write(slice(0, 1), slice(0, 2), *_rows(0))
    file.commit()
    file.finish(final, ORIGIN)
    series = hdf5.load(PolarizabilitySeries, final)
    shares = np.concatenate([_rows(0)[0], _rows(1)[0]])
    assert np.array_equal(series.by_species, shares)
    assert np.array_equal(series.value, shares.sum(axis=1))
    assert series.species == ("Ag", "I") and series.frame_interval == 10.0
    assert series.outliers.tolist() == [0, 1, 0, 1] and series.members.shape == (4, 3, 3, 3)
    assert not partial.exists()
    with h5py.File(final) as h5md:
        assert h5md["h5md"].attrs["version"].tolist() == [1, 1]
        for name in ("polarizability", "polarizability_by_species", "polarizability_committee"):
            assert {"step", "time", "value"} <= set(h5md[f"observables/{name}"])


def test_alpha_file_of_another_calculation_is_refused(tmp_path):
    partial = tmp_path / "alpha.partial.h5"
    assert _resume(partial) is None
    _partial(partial).close()
    parents = {"b/a.xyz": "0", "b/c.xyz": "1"}
    changed = dataclasses.replace(ORIGIN, key="other", deck="trajectory: {every: 5}", parents=parents)
    with pytest.raises(DataError, match=r"trajectory\.every was None, is 5; a\.xyz has changed; c\.xyz is new"):
        _resume(partial, changed)
    for size in (100, partial.stat().st_size - 8):
        partial.write_bytes(partial.read_bytes()[:size])
        with pytest.raises(DataError, match="cannot be read"):
            _resume(partial)
