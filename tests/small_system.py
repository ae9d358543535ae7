"""A small system for tests of whole commands: a cubic cell of two elements, with tensors that its bonds explain."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SPECIES = ["Ag", "Ag", "Ag", "I", "I"]
CELL = np.diag([6.0, 6.2, 6.4])
SITES = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0.25, 0.25, 0.25], [0.7, 0.75, 0.7]])


def frames(count: int, seed: int = 0) -> np.ndarray:
    """(count, 5, 3) positions: damped vibrations about the sites, Angstrom."""
    rng = np.random.default_rng(seed)
    motion = np.cumsum(rng.normal(scale=0.05, size=(count, 5, 3)), axis=0)
    motion = motion - np.linspace(0, 1, count)[:, None, None] * motion[-1]
    return SITES @ CELL + 0.15 * np.tanh(motion)


def alpha(positions: np.ndarray) -> np.ndarray:
    """(count, 3, 3) Angstrom^3 from bonds within 4.5 Angstrom."""
    result = np.zeros((len(positions), 3, 3))
    images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ CELL
    for i in range(5):
        for j in range(5):
            bonds = positions[:, j] - positions[:, i] + images[:, None]
            lengths = np.linalg.norm(bonds, axis=-1)
            weight = np.where((lengths > 0.1) & (lengths < 4.5), np.exp(-lengths / 2), 0.0)
            result += np.einsum("nf,nfa,nfb->fab", weight, bonds, bonds)
    return result + 30 * np.eye(3)


def extxyz(
    positions: np.ndarray,
    tensors: np.ndarray | None = None,
    interval: float | None = None,
    species=SPECIES,
    cell=CELL,
    digits: int = 8,
) -> str:
    lines = []
    lattice = " ".join(f"{x:.{digits}f}" for x in np.ravel(cell))
    for number, atoms in enumerate(positions):
        comment = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"'
        if tensors is not None:
            comment += ' polarizability="' + " ".join(f"{x:.10f}" for x in tensors[number].ravel()) + '"'
        if interval is not None:
            comment += f" time_fs={number * interval:.3f}"
        lines += [str(len(atoms)), comment]
        lines += [f"{name} {x:.{digits}f} {y:.{digits}f} {z:.{digits}f}" for name, (x, y, z) in zip(species, atoms)]
    return "\n".join(lines) + "\n"


def xdatcar(positions: np.ndarray) -> str:
    lines = ["small", "1.0", *(" ".join(f"{x:.8f}" for x in row) for row in CELL), "Ag I", "3 2"]
    for number, atoms in enumerate(positions @ np.linalg.inv(CELL), start=1):
        lines += [f"Direct configuration= {number:5d}", *(" ".join(f"{x:12.8f}" for x in row) for row in atoms)]
    return "\n".join(lines) + "\n"


DECK = """title: small
output: out
reference: {files: labels.extxyz, quantity: polarizability, unit: angstrom^3, train: 16, test: 8}
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 3, max_radial: 3}
model: {committee: 4}
trajectory: {files: XDATCAR, frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
"""


def write(folder: Path, count: int = 150) -> Path:
    """labels.extxyz, XDATCAR and deck.yaml in `folder`; the deck's path."""
    labelled = frames(24, seed=1)
    (folder / "labels.extxyz").write_text(extxyz(labelled, alpha(labelled)))
    (folder / "XDATCAR").write_text(xdatcar(frames(count)))
    (folder / "deck.yaml").write_text(DECK)
    return folder / "deck.yaml"
