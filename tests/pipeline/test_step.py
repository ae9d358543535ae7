"""The skeleton of a command: up to date or made, the record last, errors with the deck's line."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError, DeckKeyError
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

DECK = "output: {out}\nspectrum:\n  smoothing: 20\nforces: {{files: f.extxyz, predicted: ml}}\n"


@dataclass(frozen=True)
class Curve(Record, file_name="curve.h5", kind="curve"):
    values: np.ndarray = stored("values", "1")


@dataclass(frozen=True)
class Partial:
    values: np.ndarray


def job_in(folder, changes=(), force=False) -> Job:
    (folder / "deck.yaml").write_text(DECK.format(out=folder / "out"))
    (folder / "out").mkdir(exist_ok=True)
    session = Session()
    deck = read_deck(folder / "deck.yaml", list(changes))
    return Job(deck, session, Console(session, stream=io.StringIO()), force)


def origin(job):
    return job.origin("curve", {"a": "hash"}, job.deck.spectrum.smoothing)


def compute(step: Step) -> Output:
    curve = Curve(np.array([step.job.deck.spectrum.smoothing]))
    return Output(
        curve,
        figures={"curve.png": (_write_absent, step.path)},
        files={"curve.dat": (_write_absent, step.path)},
        lines=["it is flat"],
        warnings=["too flat"],
    )


def _write_absent(path, record_path):
    """The record is not there yet, or of an earlier run."""
    path.write_text("there" if record_path.exists() else "absent")


@pytest.mark.parametrize("root_alone", [True, False])
def test_made_once_and_made_again_when_something_changes(tmp_path, root_alone):
    job = job_in(tmp_path)
    run_step(job, Curve, origin, compute, root_alone=root_alone)
    out, log = tmp_path / "out", job.console.stream.getvalue()
    assert log.splitlines() == ["it is flat", f"wrote {out / 'curve.h5'}, curve.dat, curve.png"]
    assert job.console.warnings == {"too flat": 1}
    assert (out / "curve.png").read_text() == (out / "curve.dat").read_text() == "absent"
    assert hdf5.load(Curve, out).values.tolist() == [20]

    job = job_in(tmp_path)
    run_step(job, Curve, origin, lambda step: pytest.fail("computed again"), root_alone=root_alone)
    assert job.console.stream.getvalue() == f"{out / 'curve.h5'} is up to date\n"

    for changed in (job_in(tmp_path, ["spectrum.smoothing=8"]), job_in(tmp_path, ["spectrum.smoothing=8"], force=True)):
        run_step(changed, Curve, origin, compute, root_alone=root_alone)
        assert "it is flat" in changed.console.stream.getvalue()
        assert hdf5.load(Curve, out).values.tolist() == [8]


def test_figures_that_are_not_wanted_are_removed(tmp_path):
    run_step(job_in(tmp_path), Curve, origin, compute)
    job = job_in(tmp_path, ["figures=false"], force=True)
    run_step(job, Curve, origin, compute)
    assert not (tmp_path / "out" / "curve.png").exists() and (tmp_path / "out" / "curve.dat").exists()
    assert job.console.stream.getvalue().endswith("curve.h5, curve.dat\n")


def test_a_checkpoint_is_continued_and_removed_with_the_result(tmp_path):
    partial = tmp_path / "out" / "curve.partial.h5"

    def interrupted(step):
        checkpoint = step.checkpoint(("spectrum",), "curve")
        with checkpoint.guard():
            checkpoint.file.put("first", Partial(np.arange(2.0)))
            raise DataError("the disk is full")

    def continued(step):
        checkpoint = step.checkpoint(("spectrum",), "curve")
        return Output(Curve(checkpoint.file.get("first", Partial).values))

    with pytest.raises(DataError, match="the disk is full"):
        run_step(job_in(tmp_path), Curve, origin, interrupted)
    left = partial.read_bytes()
    with pytest.raises(
        DataError, match=r"an interrupted curve of another deck.*spectrum\.smoothing was 20\.0, is 8\.0"
    ):
        run_step(job_in(tmp_path, ["spectrum.smoothing=8"]), Curve, origin, continued)
    run_step(job_in(tmp_path), Curve, origin, continued)
    assert hdf5.load(Curve, tmp_path / "out").values.tolist() == [0, 1] and not partial.exists()
    partial.write_bytes(left)  # as if it had been killed just before
    run_step(job_in(tmp_path), Curve, origin, continued)
    assert not partial.exists()


def test_a_key_that_is_wrong_gets_the_deck_and_its_line(tmp_path):
    def wrong(step):
        raise DeckKeyError("spectrum.smoothing", "is too large; make it smaller")

    job = job_in(tmp_path)
    with pytest.raises(DeckError) as caught:
        run_step(job, Curve, origin, wrong, root_alone=True)
    assert str(caught.value) == f"{tmp_path / 'deck.yaml'}:3: 'spectrum.smoothing': is too large; make it smaller"
    assert caught.value.shared
    error = pickle.loads(pickle.dumps(DeckKeyError("a.b", "text")))
    assert (error.key, error.text, str(error)) == ("a.b", "text", "a.b: text")
