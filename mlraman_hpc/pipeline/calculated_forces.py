"""Predicted forces of labelled structures by the deck's own calculator, where the deck names no others."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.md.calculators import named_files
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.molecular_dynamics import md_factory
from mlraman_hpc.storage.provenance import hash_of

ARRAY = "calculated_forces"
FILE = "calculated_forces.extxyz"
_KEY = "mlraman_key"


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
        reason = (str(error).splitlines() or [""])[0]
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
            reason = (str(error).splitlines() or [""])[0]
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
