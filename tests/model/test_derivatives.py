"""Derivative features against featomic, a model from derivatives alone, rotations, groups of atoms."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mlraman_hpc.model import derivatives as module
from mlraman_hpc.model.derivatives import Columns, atom_groups, derivative_features, fit_with_derivatives, frame_rows
from mlraman_hpc.model.descriptors import FeatureCalculator, features, reference_features
from mlraman_hpc.model.regression import predict_features
from mlraman_hpc.numerics.regression.normal_equations import Rows
from mlraman_hpc.numerics.tensors import from_spherical, rotate
from mlraman_hpc.records.frames import DerivativeLabels, Frames, Labels
from tests.model.small_model import DESCRIPTOR, NUMBERS
from tests.model.structures import CUBE, SKEW, frames, gas


def moved(frame: Frames, atom: int, axis: int, step: float) -> Frames:
    positions = frame.positions.copy()
    positions[atom, axis] += step
    return Frames(positions, frame.numbers, frame.first_atom, frame.cells, frame.periodic, frame.index)


def derivative_labels(structures: Frames, seed=3, noise=0.0) -> tuple[DerivativeLabels, tuple]:
    """Of a model that is linear in the features; also its weights."""
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    rng = np.random.default_rng(seed)
    w0, w2 = rng.normal(size=calculator.columns[0]), rng.normal(size=calculator.columns[1])
    values = []
    for k in range(len(structures)):
        parts = [from_spherical(d0 @ w0, d2 @ w2) for _, d0, d2 in derivative_features(calculator, structures, k)]
        values.append(np.concatenate(parts))
    values = np.concatenate(values)
    scatter = rng.normal(size=values.shape)
    values = values + noise * (scatter + np.swapaxes(scatter, -1, -2))
    source = tuple(f"made up, frame {k}" for k in range(len(structures)))
    return DerivativeLabels(structures, values, np.zeros((len(structures), 3, 3, 3)), source), (w0, w2)


def no_labels() -> Labels:
    empty = frames(gas(1, 8, CUBE)).take([])
    return Labels(empty, np.zeros((0, 3, 3)), ())


def fit_alone(labels: DerivativeLabels, tensors: Labels | None = None, grouped=True, **options):
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    rows = [frame_rows(calculator, labels, k, Columns({}), grouped) for k in range(len(labels))]
    tensors = tensors or no_labels()
    train = np.arange(len(tensors))
    known = calculator(tensors.frames)
    ranges = calculator(labels.frames)
    return fit_with_derivatives(
        rows, Columns({}), labels, ranges, known, tensors, train, train[:0], DESCRIPTOR, **options
    )


@pytest.mark.parametrize("cell", [CUBE, SKEW])
def test_derivative_features_are_finite_differences_of_featomic(cell):
    frame = frames(gas(4, 9, cell))
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    batches = list(derivative_features(calculator, frame, 0))
    dX0, dX2 = (np.concatenate([batch[k] for batch in batches]) for k in (1, 2))
    assert dX0.shape[:2] == (9, 3) and dX2.shape[:3] == (9, 3, 5)
    step = module.DISPLACEMENT
    for atom, axis in ((0, 0), (4, 1), (8, 2)):
        ahead, behind = (
            reference_features(moved(frame, atom, axis, sign * step), DESCRIPTOR, NUMBERS) for sign in (1, -1)
        )
        for ours, name in ((dX0, "X0"), (dX2, "X2")):
            expected = (getattr(ahead, name)[0] - getattr(behind, name)[0]) / (2 * step)
            np.testing.assert_allclose(ours[atom, axis], expected, rtol=0, atol=1e-6 * np.abs(ours).max())


def test_central_difference_is_converged():
    """Richardson: the error of the step h is (D(2h) - D(h))/3."""
    frame = frames(gas(4, 9, SKEW))
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    one, two = (
        np.concatenate([part[2] for part in derivative_features(calculator, frame, 0, step)])
        for step in (module.DISPLACEMENT, 2 * module.DISPLACEMENT)
    )
    assert np.abs(two - one).max() / 3 < 1e-5 * np.abs(one).max()


def test_derivatives_sum_to_zero_over_atoms():
    frame = frames(gas(5, 9, SKEW))
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    total = sum(part[2].sum(axis=0) for part in derivative_features(calculator, frame, 0))
    largest = max(np.abs(part[2]).max() for part in derivative_features(calculator, frame, 0))
    assert np.abs(total).max() < 1e-5 * largest


def test_changes_of_alpha_are_learnt_without_any_tensor():
    labels, (w0, w2) = derivative_labels(frames(*(gas(10 + k, 10, CUBE) for k in range(3))))
    fitted = fit_alone(labels)
    other = frames(*(gas(40 + k, 10, CUBE) for k in range(6)))
    X = features(other, DESCRIPTOR, NUMBERS)
    expected = from_spherical(X.X0 @ w0, X.X2 @ w2)
    predicted = predict_features(fitted.model, X)
    assert (fitted.model.baseline == 0).all() and "unknown" in " ".join(fitted.warnings)
    change, true = predicted - predicted.mean(axis=0), expected - expected.mean(axis=0)
    assert np.sqrt(np.mean((change - true) ** 2)) < 0.5 * np.sqrt(np.mean(true**2))
    assert fitted.model.derivative_frames == 3 and fitted.model.derivative_rows == 18 * 30


def test_noise_of_an_element_is_found():
    structures = frames(*(gas(10 + k, 12, CUBE) for k in range(4)))
    labels, _ = derivative_labels(structures)
    values = labels.derivatives.copy()
    bad = structures.numbers == NUMBERS[0]
    size = np.sqrt(np.mean(values**2))
    scatter = np.random.default_rng(0).normal(size=values[bad].shape)
    values[bad] += 5 * size * (scatter + np.swapaxes(scatter, -1, -2))
    noisy = DerivativeLabels(structures, values, labels.net, labels.source)
    fitted = fit_alone(noisy)
    noise = fitted.model.derivative_noise["anisotropic"]
    assert noise["Li"] > 3 * noise["S"]
    assert any("derivatives of Li (R2" in text and "are noise" in text for text in fitted.warnings)
    assert not any("are noise" in text for text in fit_alone(labels).warnings)


def test_tensors_give_the_baseline():
    structures = frames(*(gas(10 + k, 8 + k % 4, CUBE) for k in range(4)))
    labels, (w0, w2) = derivative_labels(structures)
    more = frames(*(gas(60 + k, 8 + k % 4, CUBE) for k in range(10)))
    X = features(more, DESCRIPTOR, NUMBERS)
    alpha = from_spherical(np.sqrt(3) * X.composition @ [0.7, 2.5] + X.X0 @ w0, X.X2 @ w2)
    tensors = Labels(more, alpha, tuple("made up" for _ in range(10)))
    model = fit_alone(labels, tensors).model
    predicted = predict_features(model, X)
    np.testing.assert_allclose(
        np.trace(predicted, axis1=1, axis2=2).mean(), np.trace(alpha, axis1=1, axis2=2).mean(), rtol=0.02
    )
    assert set(model.tensor_noise) == {"isotropic", "anisotropic"}


def test_a_rotated_set_gives_the_rotated_model():
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()
    structures = frames(*(gas(10 + k, 8, SKEW) for k in range(2)))
    labels, _ = derivative_labels(structures, noise=0.1)
    turned = Frames(
        structures.positions @ turn.T, structures.numbers, structures.first_atom, structures.cells @ turn.T,
        structures.periodic, structures.index,
    )  # fmt: skip
    values = np.einsum("cd,idab->icab", turn, rotate(labels.derivatives, turn))
    other = DerivativeLabels(turned, values, labels.net, labels.source)
    first, second = fit_alone(labels).model, fit_alone(other).model
    sample = frames(*(gas(80 + k, 8, SKEW) for k in range(3)))
    rotated = Frames(
        sample.positions @ turn.T, sample.numbers, sample.first_atom, sample.cells @ turn.T, sample.periodic,
        sample.index,
    )  # fmt: skip
    expected = rotate(predict_features(first, features(sample, DESCRIPTOR, NUMBERS)), turn)
    predicted = predict_features(second, features(rotated, DESCRIPTOR, NUMBERS))
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_committee_of_a_single_frame():
    labels, _ = derivative_labels(frames(gas(10, 12, CUBE)), noise=0.1)
    model = fit_alone(labels, committee=6).model
    assert model.committee_anisotropic.shape[0] == 6
    mean = model.committee_anisotropic.mean(axis=0)  # of fits to half of the atoms each
    assert np.corrcoef(mean, model.anisotropic)[0, 1] > 0.7
    assert model.calibration["anisotropic"] > 0


def test_groups_are_even_and_neighbours():
    frame = frames(gas(3, 17, SKEW))
    groups = atom_groups(frame)
    counts = np.bincount(groups, minlength=module.GROUPS)
    assert counts.sum() == 17 and counts.max() - counts.min() <= 1


def test_projection_on_leading_directions_changes_little(monkeypatch):
    labels, _ = derivative_labels(frames(*(gas(10 + k, 10, CUBE) for k in range(2))), noise=0.05)
    exact = fit_alone(labels).model
    monkeypatch.setattr(module, "MOST_COLUMNS", 200)
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    assert module.needs_projection(calculator)
    columns = module.columns_of([module.sample(calculator, labels, k) for k in range(2)])
    rows = [frame_rows(calculator, labels, k, columns, True) for k in range(2)]
    empty, none = no_labels(), np.arange(0)
    fitted = fit_with_derivatives(
        rows, columns, labels, calculator(labels.frames), calculator(empty.frames), empty, none, none, DESCRIPTOR
    )
    X = features(frames(*(gas(40 + k, 10, CUBE) for k in range(4))), DESCRIPTOR, NUMBERS)
    one, two = predict_features(exact, X), predict_features(fitted.model, X)
    assert np.sqrt(np.mean((one - two) ** 2)) < 0.1 * np.std(one - one.mean(axis=0))


def test_sampled_rows_of_all_frames_are_bounded_and_see_every_axis_and_component(monkeypatch):
    labels, _ = derivative_labels(frames(*(gas(10 + k, 10, CUBE) for k in range(4))))
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    monkeypatch.setattr(module, "MOST_COLUMNS", 10)
    monkeypatch.setattr(module, "SAMPLED_ROWS", 200)  # of 600 for lambda = 2: each third, which would be one axis
    samples = [module.sample(calculator, labels, k).rows[2] for k in range(4)]
    assert 100 < sum(map(len, samples)) <= 200
    rows = np.concatenate(
        [part[2].reshape(-1, samples[0].shape[1]) for part in derivative_features(calculator, labels.frames, 0)]
    )
    found = {int(np.flatnonzero((rows == row).all(axis=1))[0]) % 15 for row in samples[0]}
    assert {k // 5 for k in found} == {0, 1, 2} and {k % 5 for k in found} == {0, 1, 2, 3, 4}


def test_many_frames_share_units_and_give_the_same_sums(monkeypatch):
    labels, _ = derivative_labels(frames(*(gas(10 + k, 8, CUBE) for k in range(5))), noise=0.1)
    calculator = FeatureCalculator(DESCRIPTOR, NUMBERS)
    rows = [frame_rows(calculator, labels, k, Columns({}), False) for k in range(5)]
    monkeypatch.setattr(module, "MOST_UNITS", 2)
    units: list = []
    for k, part in enumerate(rows):
        units = module.added(units, part, k)
    assert len(units) == 2
    for order in (0, 2):
        apart, together = (Rows.join([r for unit in parts for r in unit[order]]) for parts in (rows, units))
        assert together.count.sum() == apart.count.sum() == 5 * 8 * 3 * (2 * order + 1)
        for kind in (0, 1):
            sums = [r.columns[r.kind == kind].T @ r.targets[r.kind == kind] for r in (apart, together)]
            np.testing.assert_allclose(*sums, rtol=0, atol=1e-10 * np.abs(sums[0]).max())
    monkeypatch.setattr(Rows, "reduced", lambda self: self)
    longer: list = []
    for k, part in enumerate(rows):
        longer = module.added(longer, part, k)
    assert len(units[0][2][0].targets) <= len(longer[0][2][0].targets)
