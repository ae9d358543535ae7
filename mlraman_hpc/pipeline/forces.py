"""Reference and predicted forces of the deck, and their sums over all ranks."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.numerics.regression.force_errors import Density, ForceSums, density, force_sums
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.trajectory import batches
from mlraman_hpc.readers import force_pairs
from mlraman_hpc.readers.force_pairs import ForceFrames, ForcePairs

ROUND = 8  # batches between two exchanges of the ranks


def force_frames(job: Job) -> tuple[ForceFrames, ForceFrames]:
    """Where reference and predicted forces lie; on root."""
    section, warn = job.section("forces"), job.console.warn
    files = job.files("forces.files")
    if section.predicted is None and not section.predicted_files:
        there = ", ".join(force_pairs.vectors_in(files[0], job.scratch, warn)) or "none"
        raise DeckKeyError(
            "forces.predicted",
            f"must be given: the name of the array of predicted forces; arrays of three columns in {files[0]}: {there}",
        )
    reference = force_pairs.find_frames(files, section.reference, job.scratch, warn)
    others = job.files("forces.predicted_files") if section.predicted_files else files
    predicted = force_pairs.find_frames(
        others,
        section.predicted or section.reference,
        job.scratch,
        warn if section.predicted_files else lambda text: None,
    )
    with job.located():
        force_pairs.check_alike(reference, predicted)
    job.console.say(
        f"forces: {len(reference)} frames, {reference.atoms.sum()} atoms; reference '{reference.array}', "
        f"predicted '{predicted.array}'"
    )
    return reference, predicted


def add_up_forces(
    job: Job, frames: tuple[ForceFrames, ForceFrames] | None
) -> tuple[dict[str, ForceSums], dict[str, Density]]:
    """Sums and counts of each element, on root, from root's `frames`: reference and predicted.

    Batches of frames do not depend on ranks, and add up in their order.
    """
    session = job.session
    rounds, total = session.on_root(_rounds, frames, session.size)
    reference, predicted, starts, first = session.scatter(None if frames is None else _work_units(frames, session.size))
    counts: dict[str, Density] = {}
    gathered = []
    with job.console.progress("reading", total, "frames") as advance:
        for at in range(0, rounds, ROUND):
            measured = []
            with session.collective_errors():
                for k in range(at, min(at + ROUND, len(starts) - 1)):
                    rows = np.arange(starts[k], starts[k + 1])
                    sums = _measure(reference.take(rows), predicted.take(rows), counts)
                    measured.append((first + k, sums, len(rows)))
            for part in session.gather(measured) or []:
                gathered += part
                advance(sum(count for _, _, count in part))
    return _in_order(gathered), _together(session.gather(counts))


def _rounds(frames: tuple[ForceFrames, ForceFrames], size: int) -> tuple[int, int]:
    """Batches of the rank that has most of them, and frames in all."""
    return -(-(len(batches(frames[0].atoms)) - 1) // size), len(frames[0])


def _work_units(frames: tuple[ForceFrames, ForceFrames], size: int) -> list[tuple]:
    """For each rank: its frames in both, the first row of each of its batches and the end, its first batch's number."""
    starts = batches(frames[0].atoms)
    units = []
    for numbers in np.array_split(np.arange(len(starts) - 1), size):
        cuts = starts[numbers[0] : numbers[-1] + 2] if len(numbers) else np.zeros(1, int)
        rows = np.arange(cuts[0], cuts[-1])
        parts = [part.take(rows) for part in frames]
        units.append((*parts, cuts - cuts[0], int(numbers[0]) if len(numbers) else 0))
    return units


def _measure(reference: ForceFrames, predicted: ForceFrames, counts: dict[str, Density]) -> dict[str, ForceSums]:
    """Sums of each element over a batch; `counts` grows by its pairs."""
    pairs = force_pairs.read_pairs(reference, predicted)
    sums = {}
    for number in np.unique(pairs.numbers):
        name = symbols([number])[0]
        part = _of(pairs, pairs.numbers == number)
        sums[name] = force_sums(part.reference, part.predicted, part.frame)
        counted = density(part.reference.ravel(), part.predicted.ravel())
        counts[name] = counts[name] + counted if name in counts else counted
    return sums


def _of(pairs: ForcePairs, mask: np.ndarray) -> ForcePairs:
    return ForcePairs(pairs.numbers[mask], pairs.frame[mask], pairs.reference[mask], pairs.predicted[mask])


def _in_order(gathered: list[tuple[int, dict[str, ForceSums], int]]) -> dict[str, ForceSums]:
    sums: dict[str, ForceSums] = {}
    for _, part, _ in sorted(gathered, key=lambda item: item[0]):
        for name, values in part.items():
            sums[name] = sums[name] + values if name in sums else values
    return dict(sorted(sums.items()))


def _together(gathered: list[dict[str, Density]] | None) -> dict[str, Density]:
    counts: dict[str, Density] = {}
    for part in gathered or []:
        for name, counted in part.items():
            counts[name] = counts[name] + counted if name in counts else counted
    return dict(sorted(counts.items()))
