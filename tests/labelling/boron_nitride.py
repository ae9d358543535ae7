"""Eight atoms of cubic boron nitride, whose tensors CP2K computes in seconds: a trajectory and a deck."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import small_system as small

CELL = 3.615 * np.eye(3)
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SITES = np.concatenate([FCC, FCC + 0.25])
SPECIES = ["B"] * 4 + ["N"] * 4
DECK = """output: out
figures: false
trajectory: {files: trajectory.extxyz}
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 2, max_radial: 3}
model: {committee: 4}
spectrum: {smoothing: 30, blocks: 4}
labelling:
  code: cp2k
  frames: 4
  test: 2
  most: 8
  min_interval: 50
  parameters: {basis: SZV-MOLOPT-SR-GTH, cutoff: 100, relative_cutoff: 20, eps_default: 1.0E-8, eps_scf: 1.0E-6}
  command: cp2k.psmp -i {input} -o {output}
"""


def needs_cp2k() -> None:
    if shutil.which("cp2k.psmp") is None:
        pytest.skip("cp2k is not installed")


def positions(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, 8, 3) Angstrom: a smooth random motion about the sites, which is no dynamics."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(scale=0.3, size=(frames, 8, 3)), axis=0)
    return SITES @ CELL + 0.08 * np.sin(steps)


def write(folder: Path, frames: int = 120) -> Path:
    """trajectory.extxyz and deck.yaml; frames are 10 fs apart."""
    text = small.extxyz(positions(frames), interval=10.0, species=SPECIES, cell=CELL, digits=10)
    (folder / "trajectory.extxyz").write_text(text)
    (folder / "deck.yaml").write_text(DECK)
    return folder / "deck.yaml"
