"""`mlraman converge`: spectra against N_T and against trajectory length -> convergence.h5, convergence.png (S5-S12).

Models of all sizes are carried along the trajectory together, like the members of a committee: the price of one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.commands.predict import predict_with
from mlraman_hpc.commands.spectrum import options_of, our_series, series_origin
from mlraman_hpc.commands.train import descriptor_of, draw, label_features, read_labels, training_origin
from mlraman_hpc.config.deck import ConvergenceSection
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.numerics.spectra.convergence import expected_distance
from mlraman_hpc.numerics.spectra.plan import calibration_of, plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.pipeline.checkpointing import Kept, drop
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.plots import training as figures
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import KIND as ALPHA

KIND = "convergence"
SECTIONS = ("reference", "descriptor", "model", "trajectory", "spectrum", "convergence")
ESTIMATOR = "2"  # raised where the same input gives other numbers: what an older version wrote is made again
LEAST_FRAMES = 64  # of a part of the trajectory


def converge(job: Job) -> None:
    """Distances of spectra to the final one: from fewer labels, and from shorter trajectories."""
    path = job.output / "convergence.h5"
    origin = job.session.on_root(_origin, job)
    if job.session.on_root(job.up_to_date, path, origin):
        job.session.only_on_root(drop, path, origin)
        job.console.say(f"{path} is up to date")
        return
    kept = Kept(job, path, origin, SECTIONS, KIND)
    sizes, by_size = _against_labels(job, kept) if job.deck.reference else ([], None)
    job.session.enter_step("spectra")
    job.session.on_root(_finish, job, path, origin, sizes, by_size)
    job.session.only_on_root(kept.end)


def _section(job: Job) -> ConvergenceSection:
    return job.deck.convergence or ConvergenceSection()


def _origin(job: Job):
    parents, history = series_origin(job)
    settings = [ESTIMATOR, _section(job).model_dump(), job.deck.spectrum.model_dump()]
    if job.deck.reference:
        parents |= training_origin(job, "converge", {}).parents
        settings += [
            job.deck.reference.model_dump(exclude={"files"}),
            job.deck.descriptor.model_dump(),
            job.deck.model.model_dump(include={"regularization"}),
            job.deck.trajectory.model_dump(),
        ]
    return job.origin("converge", parents, *settings, history=history)


def _against_labels(job: Job, kept: Kept) -> tuple[list[int], PolarizabilitySeries | None]:
    """Sizes N_T, and root's series with one 'member' for each; each training set holds the smaller ones."""
    labels = job.session.on_root(read_labels, job)
    sizes = job.session.on_root(_sizes, job, len(labels))
    path, origin = job.output / "convergence_alpha.h5", job.session.on_root(_series_origin, job, sizes)
    if not job.session.on_root(job.up_to_date, path, origin):
        _fit_all(job, kept, labels, sizes)
        predict_with(job, job.session.on_root(_model, kept.pieces, sizes), origin, path)
    return sizes, job.session.only_on_root(hdf5.load, path, PolarizabilitySeries, ALPHA)


def _series_origin(job: Job, sizes: list[int]):
    training = training_origin(job, "converge", {"sizes": sizes})
    parents = hashes(job.files("trajectory.files")) | training.parents
    return job.origin("converge", parents, training.key, job.deck.trajectory.model_dump(exclude={"files"}))


def _sizes(job: Job, labels: int) -> list[int]:
    """The deck's sizes below the number of training labels, and that number."""
    train, _ = draw(job, labels)
    wanted = _section(job).train or [max(2, len(train) // part) for part in (8, 4, 2)]
    sizes = sorted({size for size in wanted if size < len(train)})
    if not sizes:
        raise DataError(
            f"{job.deck.location('convergence.train')}: no size is below the {len(train)} labels trained on"
        )
    return [*sizes, len(train)]


def _fit_all(job: Job, kept: Kept, labels: Labels, sizes: list[int]) -> None:
    """A model of each size that is not kept already."""
    todo = job.session.on_root(lambda: [size for size in sizes if str(size) not in kept.pieces])
    if not todo:
        return
    known = label_features(job, labels)
    job.session.enter_step("fits")
    with kept.going():
        for size in todo:
            job.session.only_on_root(lambda size=size: kept.pieces.put(str(size), _fit(job, labels, known, size)))
            kept.pause()


def _fit(job: Job, labels: Labels, known, size: int) -> Model:
    train, test = draw(job, len(labels))
    shuffled = np.random.default_rng(job.deck.reference.seed).permutation(train)
    return polarizability.fit(
        known, labels, np.sort(shuffled[:size]), test, descriptor_of(job), job.deck.model.regularization
    )[0]


def _model(pieces, sizes: list[int]) -> Model:
    """The model of all training labels, with one of each size in place of a committee."""
    fits = [pieces.get(str(size), Model) for size in sizes]
    return replace(
        fits[-1],
        committee_baseline=np.array([fit.baseline for fit in fits]),
        committee_isotropic=np.array([fit.isotropic for fit in fits]),
        committee_anisotropic=np.array([fit.anisotropic for fit in fits]),
    )


def _finish(job: Job, path: Path, origin, sizes: list[int], by_size: PolarizabilitySeries | None) -> None:
    series, options = our_series(job), options_of(job)
    final = raman_spectrum(series.value, series.frame_interval, options)
    lengths = _against_length(job, series, final, options)
    labels = _size_spectra(by_size, final, options) if by_size is not None else {}
    shown = final.wavenumber <= final.visible_end
    convergence = Convergence(
        wavenumber=final.wavenumber[shown],
        train_size=np.array(sizes, dtype=int) if sizes else None,
        **{name: values[..., shown] if values.ndim == 2 else values for name, values in (labels | lengths).items()},
        statistical_error=_norm(final.error_statistical["total"], final) if final.error_statistical else np.nan,
    )
    job.draw("convergence.png", figures.convergence_figure, convergence, job.deck.title)
    hdf5.save(path, convergence, KIND, origin)  # last: what is up to date has its figure
    _report(job, convergence)
    job.console.say(f"wrote {path} and {path.with_suffix('.png').name}")


def _norm(values: np.ndarray, final: RamanSpectrum) -> float:
    """Root of the integrated square, relative to the final spectrum's."""
    shown = final.wavenumber <= final.visible_end
    return float(np.linalg.norm(values[shown]) / np.linalg.norm(final.intensity["total"][shown]))


def _size_spectra(by_size: PolarizabilitySeries, final: RamanSpectrum, options: RamanOptions) -> dict:
    bare = replace(options, blocks=0)
    spectra = np.array(
        [
            raman_spectrum(by_size.members[:, k], by_size.frame_interval, bare).intensity["total"]
            for k in range(by_size.members.shape[1])
        ]
    )
    return {"train_spectra": spectra, "train_distance": _distances(spectra, final)}


def _distances(spectra: np.ndarray, final: RamanSpectrum) -> np.ndarray:
    return np.array([_norm(values - final.intensity["total"], final) for values in spectra])


def _against_length(job: Job, series: PolarizabilitySeries, final: RamanSpectrum, options: RamanOptions) -> dict:
    """Spectra of the first parts of the trajectory, on the final grid, their distances, and those that are expected."""
    frames = [round(fraction * len(series.value)) for fraction in sorted({*_section(job).fraction, 1.0})]
    usable = [count for count in frames if count >= LEAST_FRAMES]
    if len(usable) < len(frames):
        job.console.warn(
            f"{job.deck.location('convergence.fraction')}: parts with fewer than {LEAST_FRAMES} frames are left out"
        )
    bare = replace(options, blocks=0)
    spectra = np.array(
        [_on_grid(raman_spectrum(series.value[:count], series.frame_interval, bare), final) for count in usable]
    ).reshape(len(usable), len(final.wavenumber))
    return {
        "length": np.array(usable) * series.frame_interval / 1000,
        "length_spectra": spectra,
        "length_distance": _distances(spectra, final),
        "length_expected": _expected(final, options, usable),
    }


def _expected(final: RamanSpectrum, options: RamanOptions, frames: list[int]) -> np.ndarray:
    """Distances (parts,) that chance alone makes; NaN without error bars."""
    if not final.error_statistical:
        return np.full(len(frames), np.nan)
    whole = plan(final.frames, final.frame_interval, options)
    error = _norm(final.error_statistical["total"], final) / calibration_of(whole).student  # root mean square, not 68 %
    return error * np.array([expected_distance(plan(count, final.frame_interval, options), whole) for count in frames])


def _on_grid(spectrum: RamanSpectrum, final: RamanSpectrum) -> np.ndarray:
    return np.interp(final.wavenumber, spectrum.wavenumber, spectrum.intensity["total"])


def _report(job: Job, found: Convergence) -> None:
    say = job.console.say
    say(f"statistical error of the final spectrum: {100 * found.statistical_error:.1f} % (relative L2)")
    if found.train_size is not None:
        say("    N_T   distance to the final spectrum")
        for size, distance in zip(found.train_size, found.train_distance):
            say(f"  {size:5d}   {100 * distance:.1f} %")
    say("  length   distance   expected by chance")
    for length, distance, expected in zip(found.length, found.length_distance, found.length_expected):
        say(f"  {length:5.4g} ps   {100 * distance:.1f} %   {100 * expected:.1f} %")
    if found.train_size is not None and len(found.train_size) > 1:
        last = found.train_distance[-2]
        verdict = "smaller" if last < found.statistical_error else "larger"
        say(
            f"from {found.train_size[-2]} to {found.train_size[-1]} labels the spectrum changes by {100 * last:.1f} %, "
            f"{verdict} than its statistical error"
        )
