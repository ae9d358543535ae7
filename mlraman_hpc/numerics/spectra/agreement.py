"""A computed spectrum against a measured one: instrument width, background, and how well they agree.

A measurement is c f_m(nu) (G * S)(nu) + b(nu): the density S seen with the line shape G of the instrument and the
factor f_m of laser and temperature, on a background. What is compared is

    r = sum_k x_k y_k / (|x| |y|),   x = I - mean(I),   y = M - mean(M)

of the computed intensity I, broadened to the instrument's width, and the measured M, less background and with the
factor of I in place of f_m. r is 1 for equal shapes whatever the scale.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mlraman_hpc.numerics import Floats

DEGREES = {"none": -1, "constant": 0, "linear": 1}  # of the background's polynomial


def added_width(instrument: float, smoothing: float) -> float:
    """sigma (cm^-1) that broadens what has the sigma `smoothing` to that of the instrument; 0 where it is wider."""
    return float(np.sqrt(max(instrument**2 - smoothing**2, 0.0)))


def broadened(values: Floats, step: float, width: float) -> Floats:
    """Convolution with a Gaussian of sigma `width` on a grid `step` apart, continued evenly beyond both ends."""
    return np.asarray(gaussian_filter1d(values, width / step, mode="mirror", truncate=6.0)) if width > 0 else values


def background(wavenumber: Floats, measured: Floats, computed: Floats, kind: str) -> Floats:
    """(2,) b_0, b_1 of the background b_0 + b_1 nu, fitted to the measured intensity together with the computed one."""
    coefficients = np.zeros(2)
    degree = DEGREES[kind]
    if degree >= 0:
        columns = [computed, *(wavenumber**k for k in range(degree + 1))]
        scales = np.array([max(float(np.abs(column).max()), 1e-300) for column in columns])
        fit = np.linalg.lstsq(np.stack(columns, axis=1) / scales, measured, rcond=None)[0] / scales
        coefficients[: degree + 1] = fit[1:]
    return coefficients


def correlation(computed: Floats, measured: Floats) -> float:
    """r of two spectra on one grid; NaN where one of them is constant."""
    x, y = computed - computed.mean(), measured - measured.mean()
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norms if norms > 0 else float("nan")


def correlation_error(
    inside: Floats, computed: Floats, measured: Floats, error: Floats, step: float, smoothing: float, width: float
) -> float:
    """One standard error of r from that of the computed spectrum.

    inside             (n,) bool, the wavenumbers that r is over; computed, measured: the spectra there
    error              (n,) one standard error before the spectrum was broadened by `width`
    smoothing, width   sigma, cm^-1

    A smoothed periodogram's values at nu and nu' are correlated by exp[-(nu - nu')^2 / (4 smoothing^2)]; those of the
    model's error are taken alike.
    """
    x, y = computed - computed.mean(), measured - measured.mean()
    x_norm, y_norm = np.linalg.norm(x), np.linalg.norm(y)
    if not (x_norm > 0 and y_norm > 0):
        return float("nan")
    gradient = np.zeros(len(error))
    gradient[inside] = (y / y_norm - correlation(computed, measured) * x / x_norm) / x_norm
    weighted = broadened(gradient, step, width) * error
    # exp[-d^2/(4 s^2)] is the autocorrelation of a Gaussian of sigma s: a sum of squares, never negative
    spread = broadened(weighted, step, smoothing)
    return float(np.sqrt(2 * np.sqrt(np.pi) * smoothing / step * (spread @ spread)))
