"""Labels against the trajectory: elements that are exchanged, and tensors that belong to frames beside theirs."""

from __future__ import annotations

import time
from itertools import combinations, permutations, product

import numpy as np

from mlraman_hpc.base.cells import completed
from mlraman_hpc.base.elements import symbols
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import descriptor_of, elements_of
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames, Labels

SOME_FRAMES, SOME_ATOMS, MOST_ATOMS = 5, 60, 2000  # that distances are measured in, and from
MISFIT, OTHER, BETTER = 0.12, 0.3, 0.5  # logarithm of a ratio of distances; of the misfit with other names
ALL_ORDERS = 4  # elements, of which every order is tried; of more, exchanges of two
SHIFTS = 10  # frames to either side
SHIFT_LABELS, SHIFT_SECONDS = 48, 5.0
CLEARLY = 0.7  # of the error with the deck's frames

Pairs = dict[tuple[int, int], float]


def nearest_distances(frames: Frames) -> Pairs:
    """{(z, other z): mean distance (Angstrom) of an atom to the nearest one of the other kind}, over some atoms."""
    rows = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), SOME_FRAMES)).astype(int))
    distances: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        frame = frames.take([int(row)])
        cell = completed(frame.cells, frame.periodic[0])[0]
        numbers, positions = frame.numbers[:MOST_ATOMS], frame.positions[:MOST_ATOMS]
        images = _images(cell, frame.periodic[0])
        for z in np.unique(numbers):
            for atom in np.flatnonzero(numbers == z)[:SOME_ATOMS]:
                _add_nearest(distances, int(z), positions - positions[atom], numbers, cell, frame.periodic[0], images)
    return {pair: float(np.mean(values)) for pair, values in distances.items()}


def _images(cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    steps = [(-1, 0, 1) if flag else (0,) for flag in periodic]
    return np.array(list(product(*steps))) @ cell


def _add_nearest(by_pair: dict, z: int, apart: np.ndarray, numbers, cell, periodic, images: np.ndarray) -> None:
    apart = apart - (np.round(apart @ np.linalg.inv(cell)) * periodic) @ cell
    distances = np.linalg.norm(apart[:, None] + images, axis=2)
    distances = np.where(distances > 1e-6, distances, np.inf).min(axis=1)
    for other in np.unique(numbers):
        nearest = distances[numbers == other].min()
        if np.isfinite(nearest):
            by_pair.setdefault((z, int(other)), []).append(float(nearest))


def exchanged_elements(labels: Frames, trajectory: Frames) -> str | None:
    """What to say where distances between elements are not those of the labels; None where they are."""
    known, measured = nearest_distances(labels), nearest_distances(trajectory)
    elements = sorted({z for pair in measured for z in pair})
    same = {z: z for z in elements}
    misfit, pair = _misfit(known, measured, same)
    if misfit < MISFIT or pair is None:
        return None
    best = min(_orders(elements), key=lambda names: _misfit(known, measured, names)[0], default=same)
    a, b = symbols(list(pair))
    told = f"the nearest {b} of {a} is at {measured[pair]:.3g} Angstrom, in the labels at {known[pair]:.3g}"
    if _misfit(known, measured, best)[0] < BETTER * misfit:
        changed = ", ".join(f"{symbols([z])[0]} as {symbols([best[z]])[0]}" for z in elements if best[z] != z)
        return (
            f"elements of the trajectory seem to be exchanged: {told}; read {changed} they fit. Check "
            "trajectory.species"
        )
    if misfit > OTHER:
        return f"{told}: is the trajectory of the labelled system? Check trajectory.species, units and cell"
    return None


def _orders(elements: list[int]) -> list[dict[int, int]]:
    if len(elements) <= ALL_ORDERS:
        return [dict(zip(elements, order)) for order in permutations(elements)]
    same = {z: z for z in elements}
    return [same | {a: b, b: a} for a, b in combinations(elements, 2)]


def _misfit(known: Pairs, measured: Pairs, names: dict[int, int]) -> tuple[float, tuple[int, int] | None]:
    """The largest |ln| of a ratio of distances, and its pair, with the trajectory's elements renamed."""
    ratios = {
        pair: abs(float(np.log(distance / known[renamed])))
        for pair, distance in measured.items()
        if (renamed := (names[pair[0]], names[pair[1]])) in known
    }
    if not ratios:
        return np.inf, None
    worst = max(ratios, key=lambda pair: ratios[pair])
    return ratios[worst], worst


def neighbouring_frames(job: Job, index: TrajectoryIndex, labels: Labels) -> str | None:
    """Of a table: what to say where tensors fit frames beside those that the deck gives them; None otherwise.

    The left-out error of some labels on the structures of frames n + shift, for shifts to SHIFTS.
    """
    section = job.section("reference")
    rows = section.first + section.every * np.arange(len(labels))
    inside = np.flatnonzero((rows >= SHIFTS) & (rows < len(index) - SHIFTS))
    some = inside[np.unique(np.linspace(0, len(inside) - 1, SHIFT_LABELS).astype(int))] if len(inside) else inside
    if len(some) < 12:
        return None
    calculator = FeatureCalculator(descriptor_of(job), elements_of(labels))
    errors: dict[int, float] = {}
    began = time.perf_counter()
    for shift in sorted(range(-SHIFTS, SHIFTS + 1), key=abs):
        frames = read_frames(index, rows[some] + shift)
        problems = polarizability.left_out_problem(calculator(frames), labels.take(some))
        errors[shift] = polarizability.left_out_error(problems)
        if time.perf_counter() - began > SHIFT_SECONDS:
            break
    best = min(errors, key=lambda shift: errors[shift])
    if best == 0 or not errors[best] < CLEARLY * errors[0]:
        return None
    side = "after" if best > 0 else "before"
    return (
        f"{job.deck.location('reference.first')}: the tensors fit the frames {abs(best)} {side} those that they are "
        f"given to (left-out error {errors[best]:.3g} instead of {errors[0]:.3g} Angstrom^3); is reference.first "
        f"{section.first + best}?"
    )
