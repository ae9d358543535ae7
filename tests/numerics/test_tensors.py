import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mlraman_hpc.numerics import tensors
from tests.close import assert_close


@pytest.fixture
def alpha():
    values = np.random.default_rng(1).normal(size=(7, 3, 3))
    return values + np.swapaxes(values, 1, 2)


def test_spherical_parts_and_back(alpha):
    assert_close(tensors.from_spherical(*tensors.to_spherical(alpha)), alpha, rtol=0)


def test_spherical_parts_keep_the_norm(alpha):
    isotropic, anisotropic = tensors.to_spherical(alpha)
    assert_close(isotropic**2 + (anisotropic**2).sum(-1), (alpha**2).sum((1, 2)))


def test_unit_tensor_is_isotropic():
    isotropic, anisotropic = tensors.to_spherical(np.eye(3))
    assert isotropic == pytest.approx(np.sqrt(3))
    assert np.abs(anisotropic).max() < 1e-12


def test_anisotropic_part_is_the_harmonics_of_an_axis():
    """n n^T has alpha^2 proportional to Y_2m(n) in the order xy, yz, 3z^2 - r^2, xz, x^2 - y^2."""
    x, y, z = n = np.array([0.36, -0.48, 0.8])
    _, anisotropic = tensors.to_spherical(np.outer(n, n))
    expected = [x * y, y * z, (3 * z * z - 1) / np.sqrt(12), x * z, (x * x - y * y) / 2]
    assert_close(anisotropic, np.sqrt(2) * np.array(expected))


def test_invariants_are_those_of_equation_s3_and_do_not_turn(alpha):
    xx, yy, zz, xy, yz, zx = tensors.components(alpha).T
    gamma = 3 * (xy**2 + yz**2 + zx**2) + ((xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2) / 2
    mean, squared = tensors.invariants(alpha)
    assert_close(mean, (xx + yy + zz) / 3)
    assert_close(squared, gamma)
    turned = tensors.rotate(alpha, Rotation.random(random_state=3).as_matrix())
    assert_close(tensors.invariants(turned), (mean, squared))


def test_components_in_the_order_of_the_deck():
    alpha = np.array([[1, 4, 6], [4, 2, 5], [6, 5, 3.0]])
    assert tensors.components(alpha).tolist() == [1, 2, 3, 4, 5, 6]
    assert (tensors.from_components(np.arange(1.0, 7)) == alpha).all()


def test_bits_do_not_depend_on_the_batch(alpha):
    isotropic, anisotropic = tensors.to_spherical(alpha)
    whole = tensors.from_spherical(isotropic, anisotropic)
    alone = [tensors.from_spherical(isotropic[k : k + 1], anisotropic[k : k + 1])[0] for k in range(len(alpha))]
    assert (whole == np.array(alone)).all()
