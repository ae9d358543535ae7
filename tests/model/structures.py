"""Small structures, and the comparison of what is computed for them."""

import numpy as np

from mlraman_hpc.records.frames import Frames


def frames(*structures) -> Frames:
    """Frames from (positions, numbers, cell or None, periodic) tuples."""
    counts = [len(positions) for positions, *_ in structures]
    cells = [np.zeros((3, 3)) if cell is None else np.array(cell, float) for _, _, cell, _ in structures]
    return Frames(
        positions=np.concatenate([np.asarray(positions, float) for positions, *_ in structures]),
        numbers=np.concatenate([np.asarray(numbers) for _, numbers, *_ in structures]),
        first_atom=np.concatenate([[0], np.cumsum(counts)]),
        cells=np.array(cells),
        periodic=np.array([np.broadcast_to(periodic, 3) for *_, periodic in structures]),
        index=np.arange(len(structures)),
    )


def gas(seed, count, cell, numbers=(3, 16), periodic=True, separation=1.5):
    """`count` atoms at random in a cell, at least `separation` Angstrom from each other; every element occurs."""
    rng = np.random.default_rng(seed)
    cell = np.array(cell, float)
    shifts = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]) @ cell
    positions = []
    while len(positions) < count:
        new = rng.random(3) @ cell
        distances = [np.linalg.norm(new - old + shifts, axis=1).min() for old in positions]
        if not distances or min(distances) > separation:
            positions.append(new)
    kinds = np.array(numbers)[np.arange(count) % len(numbers)]
    return np.array(positions), kinds, cell, periodic


CUBE = 7.0 * np.eye(3)
SKEW = np.array([[6.0, 0, 0], [2.9, 5.5, 0], [-2.5, 1.9, 5.8]])
SMALL = np.array([[3.1, 0, 0], [1.2, 3.0, 0], [0.4, -0.9, 3.3]])


def several() -> Frames:
    """Skew cells, a cell smaller than the cutoff, molecules, a single atom, a single element, mixed periodicity."""
    molecule, kinds, _, _ = gas(3, 7, CUBE)
    slab, slab_kinds, cell, _ = gas(4, 9, CUBE)
    cell = cell.copy()
    cell[2] = 0
    return frames(
        gas(0, 12, CUBE),
        gas(1, 9, SKEW),
        gas(2, 3, SMALL, separation=1.2),
        (molecule, kinds, None, False),
        ([[0.1, 0.2, 0.3]], [16], None, False),
        gas(5, 5, CUBE, numbers=(3,)),
        (slab, slab_kinds, cell, (True, True, False)),
        (molecule + 40.0, kinds, 9 * np.eye(3), (False, True, False)),
        (slab - 100.0, slab_kinds, CUBE, True),
    )


def assert_close(values, expected, tolerance=1e-10):
    """Within `tolerance` of the largest of the expected numbers."""
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * np.abs(expected).max())
