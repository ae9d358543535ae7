"""Reference and predicted forces of the deck, those of its own calculator too, and their sums over all ranks."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError, DeckKeyError, first_line
from mlraman_hpc.base.named_objects import named_files
from mlraman_hpc.numerics.regression.force_errors import Density, ForceSums, density, force_sums
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.molecular_dynamics import md_factory
from mlraman_hpc.pipeline.trajectory import batches
from mlraman_hpc.readers import force_pairs
from mlraman_hpc.readers.force_pairs import ForceFrames, ForcePairs
from mlraman_hpc.storage.provenance import hash_of

ARRAY = "calculated_forces"
FILE = "calculated_forces.extxyz"
_KEY = "mlraman_key"
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


def with_calculated_forces(job: Job) -> Job:
    """The same job or, with 'md' and no predicted forces in the deck, one that reads those of the calculator.

    Structures are shared among the ranks; the file calculated_forces.extxyz is made anew where anything has changed.
    """
    section = job.deck.forces
    if section.predicted or section.predicted_files or job.deck.md is None:
        return job
    session, path = job.session, job.output / FILE
    session.enter_step("calculate")
    key, structures = session.on_root(_missing, job, path)
    if structures:
        share = structures[session.rank :: session.size]
        with job.located(), session.collective_errors():
            forces = _forces(job, share)
        gathered = session.gather(forces)
        session.on_root(_write, path, structures, gathered, key)
    changed = section.model_copy(
        update={"predicted": ARRAY, "predicted_files": [os.path.relpath(path, job.deck.folder)]}
    )
    return dataclasses.replace(job, deck=job.deck.model_copy(update={"forces": changed}))


def _missing(job: Job, path: Path) -> tuple[str, list[Any]]:
    """The key of the calculation and its structures; no structures where the file has that key already."""
    from ase.io import iread, read

    md, files = job.deck.md, job.files("forces.files")
    parents = hashes([*files, *named_files(md.arguments, job.deck.folder)])
    key = hash_of("calculated forces", list(parents.values()), md.calculator, md.arguments)
    try:
        if path.exists() and not job.force and read(path, index=0, parallel=False).info.get(_KEY) == key:
            return key, []
        structures = [atoms for file in files for atoms in iread(file, index=":", format="extxyz", parallel=False)]
    except Exception as error:  # every reader of ASE fails in its own way
        reason = first_line(error)
        raise job.deck.data_error("forces.files", f"ASE cannot read the structures: {reason}") from None
    for atoms in structures:
        atoms.calc = None
    job.console.say(f"forces: {len(structures)} structures with '{md.calculator}'")
    return key, structures


def _forces(job: Job, structures: list[Any]) -> list[Any]:
    if not structures:
        return []
    calculator, forces = md_factory(job)(), []
    for atoms in structures:
        atoms.calc = calculator
        try:
            forces.append(atoms.get_forces(apply_constraint=False))
        except Exception as error:
            reason = first_line(error)
            raise DataError(
                f"{job.deck.location('md.calculator')}: the calculator raised {type(error).__name__} on "
                f"{atoms.get_chemical_formula()}: {reason}"
            ) from None
        atoms.calc = None
    return forces


def _write(path: Path, structures: list[Any], gathered: list[list[Any]], key: str) -> None:
    """All structures in their order, with the forces alone beside the positions."""
    from ase import Atoms
    from ase.io import write

    size, plain = len(gathered), []
    for number, atoms in enumerate(structures):
        copy = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        copy.arrays[ARRAY] = gathered[number % size][number // size]
        copy.info[_KEY] = key
        plain.append(copy)
    with atomic_write(path) as temporary:
        write(temporary, plain, format="extxyz", parallel=False, columns=["symbols", "positions", ARRAY])
