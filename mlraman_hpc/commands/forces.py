"""`mlraman forces`: forces of the force field against the reference method -> forces.h5, forces.png (Fig. S1)."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.numerics.regression.density import Density, density
from mlraman_hpc.numerics.regression.force_errors import ForceSums, force_sums, force_warnings
from mlraman_hpc.pipeline.calculated_forces import with_calculated_forces
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import batches
from mlraman_hpc.plots import forces as figures_forces
from mlraman_hpc.readers import force_pairs
from mlraman_hpc.readers.force_pairs import ForceFrames, ForcePairs
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

KIND = "forces"
ROUND = 8  # batches between two meetings of the ranks


def forces(job: Job) -> None:
    """Write forces.h5 and its figure; skipped where it is up to date."""
    job.section("forces")
    job = with_calculated_forces(job)
    path = job.output / "forces.h5"
    origin = job.session.on_root(_origin, job)
    if job.session.on_root(job.up_to_date, path, origin):
        job.console.say(f"{path} is up to date")
        return
    both = job.session.only_on_root(force_frames, job)
    sums, squares = _add_up(job, both)
    job.session.on_root(_finish, job, path, origin, both, sums, squares)


def _origin(job: Job) -> Origin:
    section = job.deck.forces
    parents = hashes(job.files("forces.files"))
    if section.predicted_files:
        parents |= hashes(job.files("forces.predicted_files"))
    return job.origin("forces", parents, section.model_dump(exclude={"files", "predicted_files"}))


def force_frames(job: Job) -> tuple[ForceFrames, ForceFrames]:
    """Where reference and predicted forces lie, on root."""
    section, warn = job.deck.forces, job.console.warn
    files = job.files("forces.files")
    if section.predicted is None and not section.predicted_files:
        there = ", ".join(force_pairs.vectors_in(files[0], job.scratch, warn)) or "none"
        raise DeckError(
            f"{job.deck.location('forces.predicted')}: must be given: the name of the array of predicted "
            f"forces; arrays of three columns in {files[0]}: {there}"
        )
    reference = force_pairs.find_frames(files, section.reference, job.scratch, warn)
    others = job.files("forces.predicted_files") if section.predicted_files else files
    predicted = force_pairs.find_frames(
        others,
        section.predicted or section.reference,
        job.scratch,
        warn if section.predicted_files else lambda text: None,
    )
    with job.deck_lines():
        force_pairs.check_alike(reference, predicted)
    job.console.say(
        f"forces: {len(reference)} frames, {reference.atoms.sum()} atoms; reference '{reference.array}', "
        f"predicted '{predicted.array}'"
    )
    return reference, predicted


def _add_up(job: Job, both: tuple[ForceFrames, ForceFrames] | None):
    """Sums and counts for each element, on root. Batches of frames do not depend on ranks, and add up in order."""
    session = job.session
    rounds, total = session.on_root(_rounds, both, session.size)
    reference, predicted, starts, first = session.scatter(_hands(both, session.size) if session.is_root else None)
    squares: dict[str, Density] = {}
    found = []
    with job.console.progress("reading", total, "frames") as advance:
        for at in range(0, rounds, ROUND):
            mine = []
            with session.collective_errors():
                for k in range(at, min(at + ROUND, len(starts) - 1)):
                    rows = np.arange(starts[k], starts[k + 1])
                    sums = _measure(reference.take(rows), predicted.take(rows), squares)
                    mine.append((first + k, sums, len(rows)))
            for part in session.gather(mine) or []:
                found += part
                advance(sum(count for _, _, count in part))
    return _in_order(found), _together(session.gather(squares))


def _rounds(both: tuple[ForceFrames, ForceFrames], size: int) -> tuple[int, int]:
    """Batches of the rank that has most of them, and frames in all."""
    return -(-(len(batches(both[0].atoms)) - 1) // size), len(both[0])


def _hands(both: tuple[ForceFrames, ForceFrames], size: int) -> list[tuple]:
    """For each rank: its frames in both, the first row of each of its batches and the end, its first batch's number."""
    starts = batches(both[0].atoms)
    hands = []
    for hand in np.array_split(np.arange(len(starts) - 1), size):
        cuts = starts[hand[0] : hand[-1] + 2] if len(hand) else np.zeros(1, int)
        rows = np.arange(cuts[0], cuts[-1])
        hands.append((*(frames.take(rows) for frames in both), cuts - cuts[0], int(hand[0]) if len(hand) else 0))
    return hands


def _measure(reference: ForceFrames, predicted: ForceFrames, squares: dict[str, Density]) -> dict[str, ForceSums]:
    """Sums of each element over a batch; `squares` grows by its pairs."""
    pairs = force_pairs.read_pairs(reference, predicted)
    sums = {}
    for number in np.unique(pairs.numbers):
        name = symbols([number])[0]
        part = _of(pairs, pairs.numbers == number)
        sums[name] = force_sums(part.reference, part.predicted, part.frame)
        counted = density(part.reference.ravel(), part.predicted.ravel())
        squares[name] = squares[name] + counted if name in squares else counted
    return sums


def _of(pairs: ForcePairs, mask: np.ndarray) -> ForcePairs:
    return ForcePairs(pairs.numbers[mask], pairs.frame[mask], pairs.reference[mask], pairs.predicted[mask])


def _in_order(found: list[tuple[int, dict[str, ForceSums], int]]) -> dict[str, ForceSums]:
    sums: dict[str, ForceSums] = {}
    for _, part, _ in sorted(found, key=lambda one: one[0]):
        for name, values in part.items():
            sums[name] = sums[name] + values if name in sums else values
    return dict(sorted(sums.items()))


def _together(gathered: list[dict[str, Density]] | None) -> dict[str, Density]:
    squares: dict[str, Density] = {}
    for part in gathered or []:
        for name, counted in part.items():
            squares[name] = squares[name] + counted if name in squares else counted
    return dict(sorted(squares.items()))


def _finish(job: Job, path, origin: Origin, both, sums: dict[str, ForceSums], squares: dict[str, Density]) -> None:
    total = sum(list(sums.values())[1:], start=next(iter(sums.values())))
    result = _result({**sums, "total": total}, squares, both[0])
    for text in result.warnings:
        job.console.warn(text)
    job.draw("forces.png", figures_forces.forces_figure, result, job.deck.title)
    hdf5.save(path, result, KIND, origin)  # last: what is up to date has its figure
    _report(job, result)
    job.console.say(f"wrote {path} and {path.with_suffix('.png').name}")


def _result(sums: dict[str, ForceSums], squares: dict[str, Density], frames: ForceFrames) -> Forces:
    def each(field):
        return {name: getattr(found, field) for name, found in sums.items()}

    edges = {name: found.edges() for name, found in squares.items()}
    return Forces(
        frames=len(frames),
        atoms=each("atoms"),
        rmse=each("rmse"),
        mae=each("mae"),
        rms_reference=each("rms_reference"),
        relative_rmse=each("relative_rmse"),
        r2=each("r2"),
        slope=each("slope"),
        largest_error={name: found.largest[0] for name, found in sums.items()},
        largest_at={name: _where(frames, found.largest[1]) for name, found in sums.items()},
        density={name: found.counts for name, found in squares.items()},
        edges_reference={name: found[0] for name, found in edges.items()},
        edges_predicted={name: found[1] for name, found in edges.items()},
        warnings=tuple(force_warnings(sums["total"])),
    )


def _where(frames: ForceFrames, row: int) -> str:
    return f"{frames.names[frames.file_of_frame[row]]}, frame {frames.frame[row]}"


def _report(job: Job, found: Forces) -> None:
    say = job.console.say
    say("           RMSE      MAE   rms force  RMSE/rms        R2   slope   (eV/Angstrom)")
    for name in found.rmse:
        say(
            f"  {name:<5} {found.rmse[name]:8.4f} {found.mae[name]:8.4f}   {found.rms_reference[name]:9.4f}  "
            f"{100 * found.relative_rmse[name]:6.1f} %  {found.r2[name]:8.4f}  {found.slope[name]:6.3f}"
        )
    say(
        f"largest error of an atom's force: {found.largest_error['total']:.3g} eV/Angstrom, {found.largest_at['total']}"
    )
