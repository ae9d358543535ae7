import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra.intensity import averages
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.numerics.spectra.single_crystal import Geometry, angle_resolved, geometry_weights, polarized_intensity
from tests.close import assert_close
from tests.numerics.synthetic import random_rotation

INTERVAL = 10.0
OPTIONS = RamanOptions(blocks=0, laser_wavelength=None)


@pytest.fixture(scope="module")
def alpha():
    tensors = np.random.default_rng(0).normal(size=(400, 3, 3)).cumsum(axis=0)
    return tensors + np.swapaxes(tensors, 1, 2)


@pytest.fixture(scope="module")
def spectrum(alpha):
    return raman_spectrum(alpha, INTERVAL, OPTIONS)


def component(spectrum):
    return np.array(list(spectrum.component.values()))


def sphere():
    """Directions and weights that integrate polynomials of degree 9 on the sphere exactly."""
    z, weight = np.polynomial.legendre.leggauss(5)
    phi = 2 * np.pi * np.arange(10) / 10
    r = np.sqrt(1 - z**2)
    e = np.array([[r[i] * np.cos(p), r[i] * np.sin(p), z[i]] for i in range(5) for p in phi])
    return e, np.repeat(weight / 20, 10)


def test_powder_is_the_mean_over_orientations(spectrum):
    e, weight = sphere()
    parallel = weight @ polarized_intensity(component(spectrum), e, e)
    assert_close(parallel, spectrum.intensity["polarized"], rtol=1e-10)
    crossed = 0
    for one, w in zip(e, weight):
        first = np.cross(one, [0.3, 0.5, 0.8])
        first /= np.linalg.norm(first)
        for turn in np.pi / 4 * np.arange(4):
            across = np.cos(turn) * first + np.sin(turn) * np.cross(one, first)
            crossed = crossed + w / 4 * polarized_intensity(component(spectrum), one, across)
    assert_close(crossed, spectrum.intensity["depolarized"], rtol=1e-10)


def test_rotating_the_sample(alpha, spectrum):
    rotation = random_rotation(np.random.default_rng(1))
    turned = raman_spectrum(rotation @ alpha @ rotation.T, INTERVAL, OPTIONS)
    for name, values in spectrum.intensity.items():
        assert_close(turned.intensity[name], values, rtol=1e-12)
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    in_laboratory = polarized_intensity(component(turned), x, y)
    assert_close(polarized_intensity(component(spectrum), x, y, rotation), in_laboratory, rtol=1e-10)


def test_a_geometry_is_the_spectrum_of_the_projected_series(alpha, spectrum):
    geometry = Geometry("a", (1, 0, 0), (0, 3, 0), (0, 0, 1), (0, 0, -1))
    found = geometry_weights(geometry) @ component(spectrum)
    assert_close(found, spectrum.component["xy-xy"], rtol=1e-12)
    incident, scattered = np.array([0.6, 0.8, 0]), np.array([0, 0.6, 0.8])
    projected = np.einsum("a,tab,b->t", scattered, alpha, incident)
    direct = raman_spectrum(projected[:, None, None] * np.eye(3), INTERVAL, OPTIONS).intensity["isotropic"]
    assert_close(polarized_intensity(component(spectrum), incident, scattered), direct, rtol=1e-9)


def test_polarization_must_be_transverse():
    with pytest.raises(DataError, match=r"'b'.*scattered.*45\.0 degrees.*orthogonal"):
        geometry_weights(Geometry("b", (1, 0, 0), (1, 1, 0), None, (1, 0, 0)))
    with pytest.raises(DataError, match="not a direction"):
        geometry_weights(Geometry("c", (0, 0, 0), (1, 1, 0)))


def test_angle_map(spectrum):
    angle, parallel, crossed = angle_resolved(component(spectrum), (0, 0, 2), (1, 0, 0.5), 45.0)
    assert angle.tolist() == [0, 45, 90, 135, 180]
    assert_close(parallel[[0, 2]], [spectrum.component["xx-xx"], spectrum.component["yy-yy"]], rtol=1e-10)
    assert_close(crossed[0], spectrum.component["xy-xy"], rtol=1e-9)
    with pytest.raises(DataError, match="parallel to the propagation"):
        angle_resolved(component(spectrum), (0, 0, 1), (0, 0, 1), 5.0)


def test_averages_hold_for_a_single_symmetric_tensor():
    named = averages(np.array([1.0]), np.array([0.0]))
    assert named["depolarized"] == 0 and named["polarized"] == named["total"] == 1
    named = averages(np.array([0.0]), np.array([1.0]))
    assert named["depolarized"] / named["polarized"] == pytest.approx(0.75)
    assert named["total"] == pytest.approx(named["polarized"] + named["depolarized"])


def test_geometries_have_error_bars(alpha):
    """A geometry that sees what the mean polarizability sees has its error bars."""
    x = alpha[:, :1, :1] * np.eye(3)
    result = raman_spectrum(x, INTERVAL, RamanOptions(geometries=(Geometry("z(xx)z", (1, 0, 0), (1, 0, 0)),)))
    assert_close(result.geometry["z(xx)z"], result.intensity["isotropic"], rtol=1e-7)
    assert_close(result.error_geometry["z(xx)z"], result.error_statistical["isotropic"], rtol=1e-6)
