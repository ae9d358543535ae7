"""One model for several materials of a campaign, trained on the labels of all of them.

Labels of different codes, units and formats are first written as extended XYZ of one kind, a file for each material, so
that the model's deck is an ordinary one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, UserError
from mlraman_hpc.commands.run import run
from mlraman_hpc.config.campaign_deck import Campaign, Material, ordinary_yaml
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import read_labels, training_origin
from mlraman_hpc.records.model import Model
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.labels_extxyz import extended_xyz

ROWS = "labels.json"  # {material: [first row, row after the last, hash]}


def train(plan: Campaign, job: Job) -> None:
    """Write the common model; `job` has locked its folder."""
    job.session.only_on_root(_prepare, plan, job)
    run(job)


def _prepare(plan: Campaign, job: Job) -> None:
    with atomic_write(job.output / "deck.yaml") as temporary:
        temporary.write_text(ordinary_yaml(plan.common), encoding="utf-8")
    before, rows, first = _rows(job.output), {}, 0
    for material in plan.together:
        try:
            entry = _export(material, job, before.get(material.name), first)
        except UserError as error:
            raise DataError(f"labels of {material.name}: {error}") from None
        rows[material.name] = entry
        first = entry[1]
    with atomic_write(job.output / ROWS) as temporary:
        temporary.write_text(json.dumps(rows, indent=1))


def _export(material: Material, job: Job, before: list | None, first: int) -> list:
    """[first row, row after the last, hash] of the material's labels, which are written unless they are there."""
    labels_job = replace(job, deck=material.labels)
    key = training_origin(labels_job, "labels", {}).key
    path = job.output / f"{material.name}.extxyz"
    if before is not None and before[2] == key and path.exists():
        return [first, first + before[1] - before[0], key]
    labels = read_labels(labels_job)
    with atomic_write(path) as temporary:
        temporary.write_text(extended_xyz(labels), encoding="utf-8")
    return [first, first + len(labels), key]


def _rows(folder: Path) -> dict:
    try:
        return json.loads((folder / ROWS).read_text())
    except (OSError, ValueError):
        return {}


def test_rows(plan: Campaign, material: Material) -> np.ndarray | None:
    """Those of the material's labels that the common model was not trained on; None where it shares none."""
    if material not in plan.together:
        return None
    folder = Path(plan.common.output)
    first, last, _ = _rows(folder)[material.name]
    test = hdf5.load(Model, folder).test
    return test[(test >= first) & (test < last)] - first
