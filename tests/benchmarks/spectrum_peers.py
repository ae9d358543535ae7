"""Band areas of known spectra as other programs find them.

Series of damped oscillators of equal variance, sampled exactly; the area of nu S(nu) within 25 cm^-1 of each band over
its expectation, relative to the first band, mean over independent series. A program is compared if it is there:
calorine and ramannoodle when they can be imported, TRAVIS when its path is given:

    python tests/benchmarks/spectrum_peers.py [travis]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mlraman_hpc.base.units import SECOND_RADIATION_CM_K
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from tests.numerics.synthetic import Oscillator, isotropic

SERIES = 300


def ours(x, interval):
    result = raman_spectrum(isotropic(x), interval, RamanOptions(laser_wavelength=None, blocks=0))
    return result.wavenumber, result.intensity["total"]


def calorine(x, interval):
    import pandas
    from calorine.tools import get_raman_spectrum

    frame = pandas.DataFrame({"xx": x, "yy": x, "zz": x, "xy": 0 * x, "yz": 0 * x, "xz": 0 * x})
    table = get_raman_spectrum(frame, dt=interval / 1000, t_sigma=1.327)
    nu = table["wavenumber_invcm"].to_numpy()
    return nu, table["raman_isotropic"].to_numpy() * nu


def ramannoodle(x, interval):
    from ramannoodle.spectrum import MDRamanSpectrum

    nu, spectrum = MDRamanSpectrum(isotropic(x), interval).measure(laser_correction=True, laser_wavelength=500)
    with np.errstate(divide="ignore", invalid="ignore"):
        spectrum = np.where(nu > 0, spectrum / (1 - nu / 20000) ** 4, 0)
    return nu, np.nan_to_num(spectrum)


def travis(x, interval):
    """Its output without the laser's and the Bose-Einstein factor."""
    nyquist = 1 / (2 * 2.99792458e-5 * interval)
    answers = [
        "1",
        "1",
        "0",
        "1.0",
        f"{interval}",
        f"{int(6600 / interval)}",
        "",
        "",
        f"{nyquist:.2f}",
        "",
        "",
        "",
        "",
        "20000",
        "300",
        "n",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder) / "alpha.dat", isotropic(x).reshape(-1, 9))
        subprocess.run(
            [sys.argv[1], "-nocolor", "-ramanfrompola", "alpha.dat"],
            input="\n".join(answers) + "\n" * 9,
            text=True,
            cwd=folder,
            env={"HOME": folder},
            capture_output=True,
            check=True,
        )
        nu, spectrum = np.loadtxt(
            Path(folder) / "spectrum_raman_unpol_import.csv", delimiter=";", comments="#", usecols=(0, 1)
        ).T
    return nu, spectrum * -np.expm1(-SECOND_RADIATION_CM_K * nu / 300) / (1 - nu / 20000) ** 4


def compare(interval: float, frames: int, bands: tuple[float, ...]) -> None:
    rng = np.random.default_rng(2)
    modes = [Oscillator(nu, 15.0) for nu in bands]
    x = sum(mode.series(SERIES, frames, interval, rng) for mode in modes)
    fine = np.linspace(0, 1 / (2 * 2.99792458e-5 * interval), 200001)
    truth = areas(fine, sum(mode.density(fine, interval) for mode in modes) * fine, bands)
    print(f"| frames {interval:g} fs apart | " + " | ".join(f"{nu:g}" for nu in bands) + " |")
    print("|---" * (len(bands) + 1) + "|")
    for program in (ours, calorine, ramannoodle, *([travis] if len(sys.argv) > 1 else [])):
        try:
            found = np.array([areas(*program(one, interval), bands) for one in x]) / truth
        except ImportError:
            continue
        mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(SERIES)
        cells = (f"{m / mean[0]:.3f} +- {e / mean[0]:.3f}" for m, e in zip(mean, error))
        print(f"| {program.__name__} | " + " | ".join(cells) + " |", flush=True)


def areas(nu, spectrum, bands):
    """Integrals within 25 cm^-1 of each band."""
    inner = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(nu) * (spectrum[1:] + spectrum[:-1]))])
    return np.array([np.interp(nu0 + 25, nu, inner) - np.interp(max(nu0 - 25, 0.0), nu, inner) for nu0 in bands])


if __name__ == "__main__":
    compare(10.0, 4000, (50.0, 200.0, 400.0, 800.0, 1200.0))
    compare(100.0, 4000, (50.0, 100.0, 150.0))
