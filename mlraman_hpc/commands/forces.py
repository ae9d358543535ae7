"""`mlraman forces`: forces of the force field against the reference method -> forces.h5, forces.png (Fig. S1)."""

from __future__ import annotations

from mlraman_hpc.numerics.regression.force_errors import Density, ForceSums, force_warnings, soft_elements
from mlraman_hpc.pipeline.forces import add_up_forces, force_frames, with_calculated_forces
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.plots import training as figures
from mlraman_hpc.readers.force_pairs import ForceFrames
from mlraman_hpc.records.fields import columns_from
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.storage.provenance import Origin


def forces(job: Job) -> None:
    """Write forces.h5 and its figure; skipped where it is up to date."""
    job.section("forces")
    job = with_calculated_forces(job)
    run_step(job, Forces, _origin, _compute)


def _origin(job: Job) -> Origin:
    section = job.section("forces")
    parents = hashes(job.files("forces.files"))
    if section.predicted_files:
        parents |= hashes(job.files("forces.predicted_files"))
    return job.origin("forces", parents, section.model_dump(exclude={"files", "predicted_files"}))


def _compute(step: Step) -> Output | None:
    job = step.job
    frames = job.session.only_on_root(force_frames, job)
    sums, counts = add_up_forces(job, frames)
    return job.session.only_on_root(_output, job, frames, sums, counts)


def _output(job: Job, frames: tuple[ForceFrames, ForceFrames], sums: dict[str, ForceSums], counts) -> Output:
    total = sum(list(sums.values())[1:], start=next(iter(sums.values())))
    result = _forces({**sums, "total": total}, counts, frames[0])
    figure = (figures.forces_figure, result, job.deck.title)
    return Output(result, figures={"forces.png": figure}, lines=_lines(result), warnings=[*result.warnings])


def _forces(sums: dict[str, ForceSums], counts: dict[str, Density], frames: ForceFrames) -> Forces:
    edges = {name: counted.edges() for name, counted in counts.items()}
    return Forces(
        **columns_from(Forces, sums),
        frames=len(frames),
        largest_error={name: values.largest[0] for name, values in sums.items()},
        largest_at={name: _frame_name(frames, values.largest[1]) for name, values in sums.items()},
        density={name: counted.counts for name, counted in counts.items()},
        edges_reference={name: pair[0] for name, pair in edges.items()},
        edges_predicted={name: pair[1] for name, pair in edges.items()},
        warnings=_warnings(sums),
    )


def _warnings(sums: dict[str, ForceSums]) -> tuple[str, ...]:
    """About all atoms; about elements, unless the units may be others or the arrays the same."""
    total = sums["total"]
    elements = {name: values for name, values in sums.items() if name != "total"}
    other_units = not 0.3 < total.slope < 3
    return (*force_warnings(total), *([] if other_units else soft_elements(elements)))


def _frame_name(frames: ForceFrames, row: int) -> str:
    location = frames.location(row)
    return f"{location.file}, frame {location.frame}"


def _lines(result: Forces) -> list[str]:
    lines = ["           RMSE      MAE   rms force  RMSE/rms        R2   slope   (eV/Angstrom)"]
    lines += [
        f"  {name:<5} {result.rmse[name]:8.4f} {result.mae[name]:8.4f}   {result.rms_reference[name]:9.4f}  "
        f"{100 * result.relative_rmse[name]:6.1f} %  {result.r2[name]:8.4f}  {result.slope[name]:6.3f}"
        for name in result.rmse
    ]
    largest = f"{result.largest_error['total']:.3g} eV/Angstrom, {result.largest_at['total']}"
    return [*lines, f"largest error of an atom's force: {largest}"]
