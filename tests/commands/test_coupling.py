"""`mlraman coupling`: what it needs, what it writes, and when it is left out of a run."""

from __future__ import annotations

import io
from dataclasses import replace

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.commands.coupling import coupling
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.commands.run import CHAIN
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.spectra import Coupling, PolarizabilitySeries
from mlraman_hpc.reports.wording import coupling_sentence
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from tests import small_system as small

DECK = """output: {out}
trajectory: {{files: XDATCAR, frame_interval: 10, every: 2}}
model: {{file: model.h5}}
dynamics: {{mobile: [Ag], smoothing: 20, blocks: 4}}
"""


@pytest.fixture
def job(tmp_path):
    """dynamics.h5, and an alpha.h5 of every second frame with a committee of two."""
    positions = small.frames(400)
    (tmp_path / "XDATCAR").write_text(small.xdatcar(positions))
    (tmp_path / "deck.yaml").write_text(DECK.format(out=tmp_path / "out"))
    stream = io.StringIO()
    job = Job(read_deck(tmp_path / "deck.yaml", ["figures=false"]), Session(), Console(Session(), stream=stream))
    job.output.mkdir()
    dynamics(job)
    alpha, step = small.alpha(positions[::2]), np.arange(0, 400, 2)
    series = PolarizabilitySeries(alpha, step, step * 10.0, members=np.stack([alpha, 1.01 * alpha], axis=1))
    hdf5.save(series, job.output / "alpha.h5", job.origin("predict", {}))
    return job


def test_what_the_file_holds(job):
    job.deck.figures = True
    coupling(job)
    path = job.output / "coupling.h5"
    found = hdf5.load(Coupling, path)
    with h5py.File(path) as file, h5py.File(job.output / "dynamics.h5") as motion:
        assert file["coupling"].attrs["unit"] == "Angstrom^4/u"
        np.testing.assert_array_equal(file["vdos"], motion["vdos/total"])
        assert np.isnan(file["coupling"][:][file["wavenumber"][:] > 834]).all()  # Nyquist of every second frame
    assert set(hdf5.read_origin(path).parents) == {str(job.output / name) for name in ("alpha.h5", "dynamics.h5")}
    there = np.isfinite(found.coupling)
    np.testing.assert_allclose(found.error_model[there], 0.0201 / np.sqrt(2) * found.coupling[there], rtol=1e-3)
    assert found.mean > 0 and "Below 50 cm⁻¹ a degree of freedom scatters" in coupling_sentence(found)
    assert "no selection rule were left" in coupling_sentence(replace(found, spread=0.5))
    assert "does not vary" in coupling_sentence(replace(found, spread=0.0))
    assert "no states below 50" in coupling_sentence(replace(found, low=np.nan))
    assert "does not change" in coupling_sentence(replace(found, mean=0.0))
    assert (job.output / "coupling.png").stat().st_size > 1000
    before = path.stat().st_mtime_ns
    coupling(job)
    assert path.stat().st_mtime_ns == before


def test_what_is_missing_is_said(job):
    (job.output / "alpha.h5").unlink()
    with pytest.raises(DataError, match="'mlraman predict' makes it"):
        coupling(job)


def test_another_length_is_refused(job):
    step = np.arange(0, 200, 2)
    series = PolarizabilitySeries(small.alpha(small.frames(400)[:200:2]), step, step * 10.0)
    hdf5.save(series, job.output / "alpha.h5", job.origin("predict", {}))
    with pytest.raises(DataError, match="compute both with one deck"):
        coupling(job)


def test_run_leaves_it_out_where_it_means_nothing(job):
    assert CHAIN["coupling"](job.deck)
    job.deck.dynamics.mass_weighted = False
    assert not CHAIN["coupling"](job.deck)
    job.deck.dynamics = None
    assert not CHAIN["coupling"](job.deck)
