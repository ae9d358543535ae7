"""The polarizability model: fit it to labelled frames, check it against featomic and against a trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model.descriptors import Features, reference_features
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.numerics.regression import correlated, coverage, outliers, ridge
from mlraman_hpc.numerics.regression.scores import relative_error, tensor_scores
from mlraman_hpc.numerics.tensors import from_spherical, to_spherical
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model

COMPARED_ATOMS = 64  # of each species, by `check_against_featomic`: featomic takes 0.3 to 4 MB for each


@dataclass(frozen=True)
class _RidgeProblem:
    """y = C b + X w for one lambda; the rows of a structure are contiguous.

    columns (rows, P) X; scale: mean variance of a row; kernel = X X^T / scale; targets (rows,) y; baseline (rows, S) C
    or None; block: rows of one structure, 1 for lambda = 0 and 5 for lambda = 2; reach: so many structures on either
    side of one in the list resemble it and are left out along with it
    """

    columns: np.ndarray
    scale: float
    kernel: np.ndarray
    targets: np.ndarray
    baseline: np.ndarray | None
    block: int
    reach: int = 0

    def weights(self, duals: np.ndarray) -> np.ndarray:
        """(..., rows) -> (..., P)"""
        return duals @ self.columns / self.scale


@dataclass(frozen=True)
class _RidgeSolution:
    """Weights (P,), baseline (S,), the same of the committee (M, ...), ridge parameter and the committee's factor."""

    weights: np.ndarray
    baseline: np.ndarray
    committee_weights: np.ndarray
    committee_baseline: np.ndarray
    ridge: float
    calibration: float
    warnings: tuple[str, ...]


def fit(
    features: Features,
    labels: Labels,
    train: np.ndarray,
    test: np.ndarray,
    descriptor: Descriptor,
    regularization: str | float = "auto",
    committee: int = 0,
    seed: int = 0,
) -> tuple[Model, tuple[str, ...]]:
    """min_w sum |alpha^lambda - baseline - X^lambda w|^2 + mu |w|^2 for lambda = 0 and 2, each with its own mu.

    features and labels share their rows; train and test are row numbers. regularization: 'auto' (leave one
    structure out) or a ridge parameter relative to the mean variance of the features. committee: 0, or the number of
    members (at least 4), each fitted to half of the training structures. Returns the model and warnings to the user.
    Raises DataError for labels that cannot be fitted.
    """
    train, test = np.asarray(train, dtype=int), np.asarray(test, dtype=int)
    _check_labels(labels, train, committee)
    train_features, train_labels = features.take(train), labels.take(train)
    alpha0, alpha2 = to_spherical(train_labels.polarizability)
    problem0 = _problem(train_features.X0[:, None], alpha0[:, None], train_features.composition)
    problem0, problem2 = _with_reach(problem0, _problem(train_features.X2, alpha2, None))
    subsets = ridge.half_samples(len(train), committee, seed, problem0.reach)
    solution0 = _solve(problem0, regularization, subsets, 0)
    solution2 = _solve(problem2, regularization, subsets, 2)
    model = Model(
        descriptor=descriptor,
        species=tuple(ELEMENTS[z] for z in features.species),
        baseline=solution0.baseline / sqrt(3),
        isotropic=solution0.weights,
        anisotropic=solution2.weights,
        committee_baseline=solution0.committee_baseline / sqrt(3),
        committee_isotropic=solution0.committee_weights,
        committee_anisotropic=solution2.committee_weights,
        regularization={"isotropic": solution0.ridge, "anisotropic": solution2.ridge},
        calibration={"isotropic": solution0.calibration, "anisotropic": solution2.calibration},
        train=train,
        test=test,
        scores={},
        lowest=train_features.lowest.min(axis=0),
        highest=train_features.highest.max(axis=0),
        number_density=density_range(train_labels.frames),
        coverage=coverage.training_coverage(train_features.X0, train_features.composition),
    )
    pair = labels.polarizability[test], predict_features(model, features.take(test))
    model = replace(model, scores=tensor_scores(*pair), relative_error=relative_error(*pair))
    warnings = _repetitions(features, labels, train, test) + solution0.warnings + solution2.warnings
    warnings += _correlation(problem0.reach, train, test)
    return model, warnings


def draw_rows(count: int, train: int, test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on, drawn at random; test first, so that the test set does not depend on N_T."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[test : test + train]), np.sort(order[:test])


def predict_features(model: Model, features: Features) -> np.ndarray:
    """alpha (frames, 3, 3) Angstrom^3 from features."""
    baseline = sqrt(3) * features.composition @ model.baseline
    return from_spherical(baseline + features.X0 @ model.isotropic, features.X2 @ model.anisotropic)


def density_range(frames: Frames) -> np.ndarray:
    """(2,) smallest and largest number density, atoms/Angstrom^3; NaN without fully periodic frames.

    The smallest is 0 where clusters in vacuum are among the frames.
    """
    density = frames.atoms_per_frame / frames.volumes
    density = density[np.isfinite(density)]
    if not len(density):
        return np.array([np.nan, np.nan])
    return np.array([0.0 if not frames.periodic.any(axis=1).all() else density.min(), density.max()])


def _check_labels(labels: Labels, train: np.ndarray, committee: int) -> None:
    if len(train) < 2:
        raise DataError(f"{len(train)} training structures are too few to fit a model; give at least 2")
    if committee and (committee < 4 or len(train) < 4):
        raise DataError(
            f"a committee of {committee} on {len(train)} structures cannot be calibrated; ask for at least "
            "4 members and 4 training structures, or for none (0)"
        )
    bad = np.flatnonzero(~np.isfinite(labels.polarizability).all(axis=(1, 2)))
    if len(bad):
        raise DataError(f"{labels.source[bad[0]]}: the polarizability is not a number; remove this label")


def _repetitions(features: Features, labels: Labels, train: np.ndarray, test: np.ndarray) -> tuple[str, ...]:
    """A warning if some structure is among the labels more than once."""
    rows = np.concatenate([train, test])
    sums = features.X0.sum(axis=1)[rows]
    order = np.argsort(sums)
    candidates = order[np.flatnonzero(np.diff(sums[order]) <= 1e-9 * np.abs(sums).max(initial=0))[:, None] + [0, 1]]
    tolerance = 1e-8 * max(features.X2.max(initial=0), -features.X2.min(initial=0))  # no copy: they may be gigabytes
    pairs = [pair for pair in rows[candidates] if np.abs(np.subtract(*features.X2[pair])).max(initial=0) <= tolerance]
    if not pairs:
        return ()
    first, second = (labels.source[row] for row in sorted(pairs[0]))
    split = sum(np.isin(pair, test).sum() == 1 for pair in pairs)
    more = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
    flattery = f"; of {split} one is trained and the other tested on: the scores flatter the model" if split else ""
    return (f"{first} and {second}{more} are the same structure{flattery}",)


def _correlation(reach: int, train: np.ndarray, test: np.ndarray) -> tuple[str, ...]:
    """What to say of labels that resemble their neighbours in the list."""
    if not reach:
        return ()
    text = (
        f"labels resemble their neighbours in the list of labels ({reach} on either side in the training set): they "
        "are close in time. Such neighbours are left out together when regularization and committee are chosen"
    )
    spacing = np.median(np.diff(train)) if len(train) > 1 else 1
    near = np.abs(test[:, None] - train[None]).min(axis=1, initial=np.iinfo(int).max) <= reach * spacing
    if near.any():
        text += (
            f". {near.sum()} of {len(test)} test labels are that close to training labels: the scores on them flatter "
            "the model; test on labels of another part of the trajectory, or of another run"
        )
    return (text,)


def _problem(columns: np.ndarray, targets: np.ndarray, baseline: np.ndarray | None) -> _RidgeProblem:
    flat = columns.reshape(targets.size, columns.shape[-1])
    kernel = flat @ flat.T
    variance = np.trace(kernel)
    if baseline is not None:
        outside = np.eye(len(kernel)) - baseline @ np.linalg.pinv(baseline, rcond=1e-10)
        variance = np.trace(outside @ kernel @ outside)
    scale = float(variance) / len(kernel) or 1.0
    return _RidgeProblem(flat, scale, kernel / scale, targets.ravel(), baseline, targets.shape[1])


def _with_reach(isotropic: _RidgeProblem, anisotropic: _RidgeProblem) -> tuple[_RidgeProblem, _RidgeProblem]:
    """With the labels' correlation along their list, in the features of both together."""
    squares = sum(correlated.squared_distances(problem.kernel, problem.block) for problem in (isotropic, anisotropic))
    reach = correlated.reach(np.asarray(squares))
    return replace(isotropic, reach=reach), replace(anisotropic, reach=reach)


def _solve(problem: _RidgeProblem, regularization: str | float, subsets: np.ndarray, order: int) -> _RidgeSolution:
    spectrum = ridge.eigensystem(problem.kernel, problem.baseline, problem.block, problem.reach)
    if regularization == "auto" and not spectrum.free.any():
        raise DataError(
            f"{len(spectrum.free)} training structures are too few to choose "
            "the regularization, each has a composition of its own; add labels or set model.regularization"
        )
    mu, edge = (
        ridge.choose_ridge(spectrum, problem.targets) if regularization == "auto" else (float(regularization), "")
    )
    duals = ridge.duals(spectrum, problem.targets, mu)
    members = _committee_duals(problem, mu, subsets)
    baseline, baselines = _baseline(problem, duals), np.array([_baseline(problem, member) for member in members])
    factor = 1.0
    if len(subsets):
        residuals = ridge.left_out_residuals(spectrum, problem.targets, mu)
        fitted = members @ problem.kernel + (0 if problem.baseline is None else baselines @ problem.baseline.T)
        factor = ridge.calibration(residuals, fitted.reshape(len(members), *residuals.shape), subsets)
        # Their spread becomes that of the errors; their mean stays that of fits to half of the labels.
        members, baselines = (
            values.mean(axis=0) + factor * (values - values.mean(axis=0)) for values in (members, baselines)
        )
    return _RidgeSolution(
        weights=problem.weights(duals),
        baseline=baseline,
        committee_weights=problem.weights(members),
        committee_baseline=baselines.reshape(len(members), len(baseline)),
        ridge=mu,
        calibration=factor,
        warnings=_edge_warning(edge, mu, order),
    )


def _committee_duals(problem: _RidgeProblem, mu: float, subsets: np.ndarray) -> np.ndarray:
    """(members, rows): dual coefficients of the fit to each subset of structures, zero for the others."""
    duals = np.zeros((len(subsets), len(problem.targets)))
    for member, structures in zip(duals, subsets):
        rows = np.repeat(structures, problem.block)
        baseline = None if problem.baseline is None else problem.baseline[rows]
        member[rows] = ridge.solve(problem.kernel[np.ix_(rows, rows)], problem.targets[rows], mu, baseline)
    return duals


def _baseline(problem: _RidgeProblem, duals: np.ndarray) -> np.ndarray:
    """Minimum-norm baseline of the rows that take part (duals not zero) given their dual coefficients."""
    if problem.baseline is None:
        return np.zeros(0)
    rows = duals != 0 if (duals == 0).any() else slice(None)
    residuals = problem.targets[rows] - (problem.kernel @ duals)[rows]
    return np.linalg.pinv(problem.baseline[rows], rcond=1e-10) @ residuals


def _edge_warning(edge: str, mu: float, order: int) -> tuple[str, ...]:
    if not edge:
        return ()
    advice = {
        "lower": "the labels look free of noise to this descriptor; check the learning curve",
        "upper": "the features explain nothing of the labels; check the labels' units, order of components and cutoff",
    }
    return (
        f"regularization for lambda = {order}: leave-one-out chose the {edge} end of the grid ({mu:.0e}); "
        f"{advice[edge]}",
    )


def check_against_featomic(model: Model, predictor: Predictor, frames: Frames, most: int = COMPARED_ATOMS) -> float:
    """max |predictor - featomic| / max |featomic| over the components of alpha, the largest of these frames.

    alpha of all atoms, or of `most` atoms of each species where there are more.
    """
    centres = compared_atoms(frames, most)
    reference = predict_features(model, reference_features(frames, model.descriptor, model.numbers, centres))
    deviation = np.abs(predictor(frames, centres).polarizability - reference).max(axis=(1, 2))
    return float((deviation / np.abs(reference).max(axis=(1, 2))).max())


def compared_atoms(frames: Frames, most: int) -> np.ndarray:
    """(atoms,) bool: `most` atoms of each frame and species, at equal distances in the list, or all of fewer."""
    groups, group = np.unique(np.stack([frames.frame_of_atom, frames.numbers]), axis=1, return_inverse=True)
    centres = np.zeros(len(frames.numbers), dtype=bool)
    for k in range(groups.shape[1]):
        atoms = np.flatnonzero(group.ravel() == k)
        centres[atoms[np.linspace(0, len(atoms) - 1, min(most, len(atoms))).astype(int)]] = True
    return centres


def check_applicable(model: Model, species: tuple[str, ...], frames: Frames, tolerance: float = 0.05) -> None:
    """DataError for elements that the model has not seen, for frames in vacuum where it was trained on crystals, and
    for a mean number density of the frames outside [min/(1+t), max (1+t)], or one of a frame outside twice that margin.

    species: symbols of all elements in the trajectory. The density is not checked for frames that are periodic in one
    or two directions, nor for a model trained on none that is periodic in all.
    """
    unknown = [symbol for symbol in species if symbol not in model.species]
    if unknown:
        raise DataError(
            f"the trajectory contains {', '.join(unknown)}, but the model was trained on "
            f"{', '.join(model.species)} only; train one on labels with these elements"
        )
    density = frames.atoms_per_frame / frames.volumes
    low, high = model.number_density
    alone = np.flatnonzero(~frames.periodic.any(axis=1))
    if len(alone) and low > 0:
        raise DataError(
            f"frame {frames.index[alone[0]]} of the trajectory is not periodic (no cell, or pbc F F F), but the model "
            "was trained on periodic structures and would take the frame for a cluster in vacuum; give its cell in "
            "trajectory.cell (Angstrom)"
        )
    with np.errstate(invalid="ignore"):
        excess = np.maximum(low / density, density / high) - 1
        average = density[np.isfinite(density)].mean() if np.isfinite(density).any() else np.nan
        mean = max(low / average, average / high) - 1
    far = np.flatnonzero(excess > 2 * tolerance)
    if len(far) or mean > tolerance:
        k = far[0] if len(far) else int(np.argmax(excess))
        found = f"frame {frames.index[k]}: {density[k]:.5g}" if len(far) else f"the trajectory has {average:.5g}"
        raise DataError(
            f"{found} atoms/Angstrom^3, but the model was trained on {low:.5g} to {high:.5g} and knows little of what "
            f"alpha does beyond; train it at this density, or widen model.density_tolerance ({tolerance:g}, twice that "
            "for a single frame)"
        )


def left_out_problem(features: Features, labels: Labels) -> tuple[_RidgeProblem, _RidgeProblem]:
    """What `left_out_error` needs of features and labels that share their rows: kernels, without the features."""
    alpha0, alpha2 = to_spherical(labels.polarizability)
    isotropic = _problem(features.X0[:, None], alpha0[:, None], features.composition)
    isotropic, anisotropic = _with_reach(isotropic, _problem(features.X2, alpha2, None))
    none = np.empty((0, 0))
    return replace(isotropic, columns=none), replace(anisotropic, columns=none)


@dataclass(frozen=True)
class LeftOut:
    """How far labels are from what the model of the others says of them.

    deviations  (labels,) robust deviations of the left-out residual; NaN where the label cannot be left out
    outside     (labels,) bool, beyond `outliers.LIMIT` of them
    scale       of the residuals of the labels that are not
    """

    deviations: np.ndarray
    outside: np.ndarray
    scale: outliers.Scale


def left_out_labels(features: Features, labels: Labels, regularization: str | float = "auto") -> LeftOut:
    """Left-out residuals of all labels in closed form, and which of them are outliers; see `outliers.search`."""
    problems = left_out_problem(features, labels)

    def residuals(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = (_left_out_of(problem, kept, regularization) for problem in problems)
        return first[:, 0], second

    isotropic, anisotropic = (_without_baseline(problem) for problem in problems)
    return LeftOut(*outliers.search(len(labels), residuals, outliers.scale_of(isotropic[:, 0], anisotropic)))


def _without_baseline(problem: _RidgeProblem) -> np.ndarray:
    targets = problem.targets
    if problem.baseline is not None:
        targets = targets - problem.baseline @ (np.linalg.pinv(problem.baseline, rcond=1e-10) @ targets)
    return targets.reshape(-1, problem.block)


def _left_out_of(problem: _RidgeProblem, kept: np.ndarray, regularization: str | float) -> np.ndarray:
    """(structures, block): of kept structures by the fit to the other kept ones, of the others by that to all kept."""
    rows = np.repeat(kept, problem.block)
    baseline = None if problem.baseline is None else problem.baseline[rows]
    part = replace(problem, kernel=problem.kernel[np.ix_(rows, rows)], targets=problem.targets[rows], baseline=baseline)
    result = np.full((len(kept), problem.block), np.nan)
    spectrum = ridge.eigensystem(part.kernel, part.baseline, part.block)
    if not spectrum.free.any():
        return result
    auto = regularization == "auto"
    mu = ridge.choose_ridge(spectrum, part.targets)[0] if auto else float(regularization)
    result[kept] = ridge.left_out_residuals(spectrum, part.targets, mu)
    if not kept.all():
        duals = ridge.duals(spectrum, part.targets, mu)
        predicted = problem.kernel[np.ix_(~rows, rows)] @ duals
        if problem.baseline is not None:
            predicted = predicted + problem.baseline[~rows] @ _baseline(part, duals)
        result[~kept] = (problem.targets[~rows] - predicted).reshape(-1, problem.block)
    return result


def left_out_error(problems: tuple[_RidgeProblem, _RidgeProblem], regularization: str | float = "auto") -> float:
    """Error of each structure by the fit to all others, in closed form, as the Raman intensity weights it.

    sqrt(<da^2> + 7/45 <dgamma^2>), Angstrom^3: with the residuals r of lambda = 0 and 2, <r0^2>/3 + 7/30 <|r2|^2>. NaN
    where no structure can be left out.
    """
    squares = []
    for problem in problems:
        spectrum = ridge.eigensystem(problem.kernel, problem.baseline, problem.block, problem.reach)
        if not spectrum.free.any():
            return float("nan")
        auto = regularization == "auto"
        mu = ridge.choose_ridge(spectrum, problem.targets)[0] if auto else float(regularization)
        residuals = ridge.left_out_residuals(spectrum, problem.targets, mu)
        squares.append(float(np.nanmean((residuals**2).sum(axis=1))))
    return sqrt(squares[0] / 3 + 7 / 30 * squares[1])
