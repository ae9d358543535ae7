"""Training on derivatives of the polarizability, with or without tensors: d alpha/d r = (dX/d r) w is linear too.

The rows of one frame are 3 N for lambda = 0 and 15 N for lambda = 2. They are made frame by frame, each by one rank in
one way, and added in the order of frames, so the model has the same bits on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd, sqrt

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.model.kernels.inputs import periodic_cells
from mlraman_hpc.model.regression import density_range, predict_features
from mlraman_hpc.numerics.regression import normal_equations, ridge
from mlraman_hpc.numerics.regression.normal_equations import Rows, Solution
from mlraman_hpc.numerics.regression.scores import relative_error, tensor_scores
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.records.frames import DerivativeLabels, Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model

DISPLACEMENT = 1e-3  # Angstrom; the error of the central difference is a few 1e-7 of the features' own size
BATCH = 16  # atoms displaced at a time
GROUPS = 8  # of neighbouring atoms, the units of few frames: four parts of a frame, each in two halves
FEW_FRAMES = 8  # below, rows are made in groups of atoms, of which the committee draws instead of frames
MOST_UNITS = 20  # more frames share units, which are left out and drawn together: that bounds the memory
FOLDS = 5
MOST_COLUMNS, SAMPLED_ROWS = 2000, 3000  # more columns are projected on the leading directions of so many rows of all
LEAST_VALUE = 1e-12  # of the largest eigenvalue, below which a direction is rounding
UNEXPLAINED = 0.2  # left-out R2 of an element's derivatives, below which they are called noise
NAMES = {0: "isotropic", 2: "anisotropic"}


def derivative_features(
    calculator: FeatureCalculator, frames: Frames, k: int, displacement: float = DISPLACEMENT
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """dX/dr = [X(r + h) - X(r - h)]/(2 h) of frame k: (atoms, dX0 (atoms, 3, P0), dX2 (atoms, 3, 5, P2)), in batches.

    Only centres within the cutoff of the displaced atom change, and only these are summed.
    """
    frame = frames.take([k])
    atoms = len(frame.numbers)
    near = _within(frame, calculator.cutoff + 2 * displacement)
    for start in range(0, atoms, BATCH):
        batch = np.arange(start, min(start + BATCH, atoms))
        centres = np.repeat(near[batch], 6, axis=0).ravel()
        features = calculator(_displaced(frame, batch, displacement), centres)
        shape = (len(batch), 3, 2)
        X0 = features.X0.reshape(*shape, -1)
        X2 = features.X2.reshape(*shape, 5, features.X2.shape[-1])
        yield (
            batch,
            (X0[:, :, 0] - X0[:, :, 1]) / (2 * displacement),
            (X2[:, :, 0] - X2[:, :, 1]) / (2 * displacement),
        )


def _displaced(frame: Frames, atoms: np.ndarray, displacement: float) -> Frames:
    """Each of these atoms by +h and -h along x, y and z: 6 frames for each atom."""
    count = len(frame.numbers)
    positions = np.repeat(frame.positions[None], 6 * len(atoms), axis=0)
    moved = positions.reshape(len(atoms), 3, 2, count, 3)
    for row, atom in enumerate(atoms):
        for axis in range(3):
            moved[row, axis, 0, atom, axis] += displacement
            moved[row, axis, 1, atom, axis] -= displacement
    copies = len(positions)
    return Frames(
        positions=positions.reshape(-1, 3),
        numbers=np.tile(frame.numbers, copies),
        first_atom=np.arange(copies + 1) * count,
        cells=np.repeat(frame.cells, copies, axis=0),
        periodic=np.repeat(frame.periodic, copies, axis=0),
        index=np.repeat(frame.index, copies),
    )


def _within(frame: Frames, distance: float) -> np.ndarray:
    """(atoms, atoms) bool: whether any image of the one is within this distance of the other."""
    return _distances(frame, distance) < distance


def _distances(frame: Frames, farthest: float) -> np.ndarray:
    """(atoms, atoms) Angstrom, of nearest images; exact up to `farthest`."""
    cell = periodic_cells(frame, farthest)[0]
    inverse = np.linalg.inv(cell)
    fractional = frame.positions @ inverse
    difference = fractional[:, None] - fractional[None]
    difference -= np.round(difference)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    reach = np.ceil(farthest / heights).astype(int)
    squares = np.full(difference.shape[:2], np.inf)
    for shift in np.ndindex(*(2 * reach + 1)):
        vectors = (difference + (np.array(shift) - reach)) @ cell
        squares = np.minimum(squares, (vectors**2).sum(axis=-1))
    return np.sqrt(squares)


def atom_groups(frame: Frames) -> np.ndarray:
    """(atoms,) group 0 to GROUPS - 1 of each atom: neighbours are together, and so are groups 2 q and 2 q + 1."""
    distances = _distances(frame, 1.0)
    groups = np.empty(len(frame.numbers), dtype=int)
    for quarter, members in enumerate(_parts(distances, np.arange(len(groups)), GROUPS // 2)):
        for half, atoms in enumerate(_parts(distances, members, 2)):
            groups[atoms] = 2 * quarter + half
    return groups


def _parts(distances: np.ndarray, atoms: np.ndarray, count: int) -> list[np.ndarray]:
    """As even as possible: the nearest to the first atom that is left, and so on."""
    parts = []
    for k in range(count, 0, -1):
        size = len(atoms) // k
        order = np.argsort(np.round(distances[atoms[:1], atoms], 6).ravel(), kind="stable")
        parts.append(np.sort(atoms[order[:size]]))
        atoms = np.sort(atoms[order[size:]])
    return parts


@dataclass(frozen=True)
class Columns:
    """Columns of the features as they are fitted: themselves, or their projections on `basis` {lambda: (P, M)}."""

    basis: dict[int, np.ndarray]

    def project(self, values: np.ndarray, order: int) -> np.ndarray:
        """(..., P) -> (..., M)"""
        return values @ self.basis[order] if order in self.basis else values

    def weights(self, values: np.ndarray, order: int) -> np.ndarray:
        """(..., M) -> (..., P): the weights of the features themselves."""
        return values @ self.basis[order].T if order in self.basis else values


@dataclass(frozen=True)
class Sample:
    """Every n-th row of all frames, of one of them, for each lambda with too many columns: {lambda: (rows, P)}."""

    rows: dict[int, np.ndarray]


def needs_projection(calculator: FeatureCalculator) -> bool:
    """Whether some lambda has more columns than are fitted."""
    return max(calculator.columns) > MOST_COLUMNS


def sample(calculator: FeatureCalculator, labels: DerivativeLabels, k: int) -> Sample:
    """Rows of frame k for `columns_of`: its share of SAMPLED_ROWS of all frames, whose time grows with their cube."""
    before, total = int(labels.frames.first_atom[k]), len(labels.frames.numbers)
    chosen: dict[int, list[np.ndarray]] = {order: [] for order in (0, 2)}
    for atoms, *features in derivative_features(calculator, labels.frames, k):
        for order, values in zip((0, 2), features):
            if values.shape[-1] <= MOST_COLUMNS:
                continue
            step = max(1, -(-total * 3 * (2 * order + 1) // SAMPLED_ROWS))
            while gcd(step, 15) > 1:  # else only some axes or components would be sampled
                step += 1
            flat = values.reshape(-1, values.shape[-1])
            first = -((before + atoms[0]) * 3 * (2 * order + 1)) % step
            chosen[order].append(flat[first::step].copy())
    return Sample({order: np.concatenate(rows) for order, rows in chosen.items() if rows})


def columns_of(samples: list[Sample]) -> Columns:
    """The leading principal directions of the sampled rows, in frame order."""
    basis = {}
    for order in samples[0].rows if samples else ():
        rows = np.concatenate([item.rows[order] for item in samples])
        values, vectors = np.linalg.eigh(rows @ rows.T)
        leading = np.flatnonzero(values > LEAST_VALUE * values[-1])[::-1][:MOST_COLUMNS]
        basis[order] = rows.T @ (vectors[:, leading] / np.sqrt(values[leading]))
    return Columns(basis)


FrameRows = dict[int, list[Rows]]


def frame_rows(
    calculator: FeatureCalculator, labels: DerivativeLabels, k: int, columns: Columns, grouped: bool
) -> FrameRows:
    """{lambda: rows of frame k}: kind is the displaced atom's element, unit its group, 0 for all unless `grouped`."""
    frame = labels.frames.take([k])
    X: dict[int, list[np.ndarray]] = {0: [], 2: []}
    for _, dX0, dX2 in derivative_features(calculator, labels.frames, k):
        X[0].append(columns.project(dX0, 0)[:, :, None])
        X[2].append(columns.project(dX2, 2))
    y0, y2 = to_spherical(labels.of_frame(k))
    targets = {0: y0[:, :, None], 2: y2}
    groups = atom_groups(frame) if grouped else np.zeros(len(frame.numbers), dtype=int)
    result: FrameRows = {0: [], 2: []}
    for order in (0, 2):
        values = np.concatenate(X.pop(order))
        for group in np.unique(groups):
            for kind, number in enumerate(calculator.species):
                atoms = (groups == group) & (frame.numbers == number)
                if atoms.any():
                    flat = values[atoms].reshape(-1, values.shape[-1])
                    result[order].append(Rows.of(flat, targets[order][atoms].ravel(), kind, int(group)))
    return result


def added(units: list[FrameRows], rows: FrameRows, k: int) -> list[FrameRows]:
    """With the rows of frame k, k = 0, 1, ... in turn: the first MOST_UNITS frames are units, later ones join them.

    A unit holds at most P + 1 rows of each element and group then, whatever the number of frames.
    """
    if k < MOST_UNITS:
        return [*units, rows]
    own = k % MOST_UNITS
    joined = {order: [Rows.join(units[own][order] + rows[order]).reduced()] for order in rows}
    return [*units[:own], joined, *units[own + 1 :]]


@dataclass(frozen=True)
class Fitted:
    """The model, warnings to the user, and left-out pairs {lambda: {element: (reference, predicted)}} Angstrom^2."""

    model: Model
    warnings: tuple[str, ...]
    pairs: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]]


def fit_with_derivatives(
    rows: list[FrameRows],
    columns: Columns,
    derivatives: DerivativeLabels,
    derivative_ranges: Features,
    features: Features,
    labels: Labels,
    train: np.ndarray,
    test: np.ndarray,
    descriptor: Descriptor,
    regularization: str | float = "auto",
    committee: int = 0,
    seed: int = 0,
) -> Fitted:
    """Weighted least squares over derivatives and tensors; the noise of each kind is that of its left-out residuals.

    rows               of the units, in their order, from `frame_rows` and `added`: frames, or some frames together;
                       with groups for fewer than FEW_FRAMES
    derivative_ranges  features of the frames themselves
    features, labels   of all tensors, may be empty; train and test are rows of them
    The rest as in `regression.fit`. Errors: DataError for a committee that cannot be made.
    """
    train, test = np.asarray(train, dtype=int), np.asarray(test, dtype=int)
    alpha = dict(zip((0, 2), to_spherical(labels.polarizability[train])))
    if not np.isfinite(labels.polarizability[train]).all():
        raise DataError("a polarizability of the training set is not a number; remove this label")
    groups = 1 + max(part.unit.max() for frame in rows for part in frame[0])
    first, folds = _units(len(rows), int(groups), len(train))
    subsets = _subsets(first, len(train), committee, seed)
    mu = None if regularization == "auto" else float(regularization)
    solutions: dict[int, Solution] = {}
    pairs = {}
    for order in (0, 2):
        own = [replace(part, unit=part.unit + k * groups) for k, frame in enumerate(rows) for part in frame[order]]
        joined = Rows.join(own + _tensor_rows(features, alpha, train, order, columns, first))
        solutions[order] = normal_equations.fit(joined, folds, mu, subsets)
        pairs[order] = _pairs(joined, solutions[order], features.species)
    model = _model(solutions, columns, derivatives, features, train, test, descriptor)
    ranges = [derivative_ranges, features.take(train)]
    frames = Frames.join([derivatives.frames, labels.frames.take(train)])
    model = replace(
        model,
        lowest=np.minimum.reduce([part.lowest.min(axis=0) for part in ranges if len(part)]),
        highest=np.maximum.reduce([part.highest.max(axis=0) for part in ranges if len(part)]),
        number_density=density_range(frames),
    )
    tested = labels.polarizability[test]
    predicted = predict_tensors(model, features.take(test), tested)
    model = replace(model, scores=tensor_scores(tested, predicted), relative_error=relative_error(tested, predicted))
    return Fitted(model, _warnings(solutions, len(train)) + _noisy_elements(model), pairs)


def predict_tensors(model: Model, features: Features, reference: np.ndarray) -> np.ndarray:
    """alpha (frames, 3, 3) Angstrom^3; its mean trace is that of the reference where the model has no constant part."""
    predicted = predict_features(model, features)
    if model.tensor_noise is None and len(reference):
        shift = np.trace(reference - predicted, axis1=1, axis2=2).mean() / 3
        predicted = predicted + shift * np.eye(3)
    return predicted


def _units(frames: int, groups: int, tensors: int) -> tuple[int, np.ndarray]:
    """Number of the first tensor's unit, and the fold of each unit: a frame, or a quarter of the only one."""
    unit = np.arange(frames * groups)
    folds = unit // 2 if frames == 1 else (unit // groups) % FOLDS
    return len(unit), np.concatenate([folds, np.arange(tensors) % (folds.max() + 1)]).astype(int)


def _subsets(units: int, tensors: int, committee: int, seed: int) -> np.ndarray | None:
    """(members, units): half of the frames, or of the groups of atoms of few frames, and half of the tensors."""
    if not committee:
        return None
    if committee < 4:
        raise DataError(f"a committee of {committee} cannot be calibrated; ask for at least 4 members, or for none (0)")
    halves = [ridge.half_samples(units, committee, seed)]
    if tensors:
        halves.append(ridge.half_samples(tensors, committee, seed + 1))
    return np.concatenate(halves, axis=1)


def _tensor_rows(features: Features, alpha: dict, train: np.ndarray, order: int, columns: Columns, first: int):
    """A unit for each tensor; the baseline takes part in lambda = 0 alone."""
    X = features.X0[:, None] if order == 0 else features.X2
    kind = len(features.species)
    return [
        Rows.of(
            columns.project(X[row], order),
            np.atleast_1d(alpha[order][k]),
            kind,
            first + k,
            features.composition[row][None] if order == 0 else None,
        )
        for k, row in enumerate(train)
    ]


def _pairs(rows: Rows, solution: Solution, species: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        ELEMENTS[number]: (rows.targets[mask], rows.targets[mask] - solution.residuals[mask])
        for kind, number in enumerate(species)
        if (mask := rows.kind == kind).any()
    }


def _model(solutions, columns, derivatives, features, train, test, descriptor) -> Model:
    species = tuple(ELEMENTS[z] for z in features.species)
    members = len(solutions[0].committee_weights)
    count = len(species)
    baseline, baselines = np.zeros(count), np.zeros((members, count))
    if len(train):
        baseline = solutions[0].offsets / sqrt(3)
        baselines = solutions[0].committee_offsets / sqrt(3)
    present = [k for k, number in enumerate(features.species) if (derivatives.frames.numbers == number).any()]

    def by_element(values):
        return {species[k]: float(values[k]) for k in present}

    return Model(
        descriptor=descriptor,
        species=species,
        baseline=baseline,
        isotropic=columns.weights(solutions[0].weights, 0),
        anisotropic=columns.weights(solutions[2].weights, 2),
        committee_baseline=baselines,
        committee_isotropic=columns.weights(solutions[0].committee_weights, 0),
        committee_anisotropic=columns.weights(solutions[2].committee_weights, 2),
        regularization={NAMES[order]: solution.ridge for order, solution in solutions.items()},
        calibration={NAMES[order]: solution.calibration for order, solution in solutions.items()},
        train=train,
        test=test,
        scores={},
        lowest=np.zeros(0),
        highest=np.zeros(0),
        number_density=np.zeros(2),
        derivative_frames=len(derivatives),
        derivative_rows=18 * len(derivatives.frames.numbers),
        derivative_noise={NAMES[order]: by_element(solution.noise) for order, solution in solutions.items()},
        derivative_r2={
            NAMES[order]: by_element(1 - (solution.noise / solution.size) ** 2) for order, solution in solutions.items()
        },
        tensor_noise={NAMES[order]: float(solution.noise[count]) for order, solution in solutions.items()}
        if len(train)
        else None,
    )


def _noisy_elements(model: Model) -> tuple[str, ...]:
    """Elements whose derivatives the model of the others cannot foretell at all; their rows have little weight."""
    r2 = model.derivative_r2 or {}
    noisy = [name for name in r2["isotropic"] if max(r2[part][name] for part in NAMES.values()) < UNEXPLAINED]
    if not noisy:
        return ()
    listed = ", ".join(f"{name} (R2 {r2['isotropic'][name]:.2f} and {r2['anisotropic'][name]:.2f})" for name in noisy)
    return (
        f"derivatives of {listed} are noise to the model, for lambda = 0 and 2 alike, and count little: a hard "
        "pseudopotential or a coarse grid makes an element's forces noisy, or one frame says too little about it",
    )


def _warnings(solutions: dict[int, Solution], tensors: int) -> tuple[str, ...]:
    warnings = [
        f"regularization for lambda = {order}: left-out residuals chose the {solution.grid_end} end of the grid "
        f"({solution.ridge:.0e}); check unit and order of the derivatives, and the descriptor"
        for order, solution in solutions.items()
        if solution.grid_end
    ]
    if not tensors:
        warnings.append(
            "no tensors were trained on: the constant part of alpha is unknown and taken as zero, which does not "
            "matter for Raman spectra; alpha itself means nothing but for its changes, and test labels are compared "
            "after their mean trace was made equal"
        )
    return tuple(warnings)
