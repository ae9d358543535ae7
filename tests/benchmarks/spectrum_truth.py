"""How far spectra and their error bars can be trusted: many independent series with a spectrum known in closed form.

python tests/benchmarks/spectrum_truth.py [areas|coverage|peak|relaxation] [--length 100] [--rows "HI alone"]

prints tables for mlraman_hpc/docs/spectra.md
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mlraman_hpc.numerics.spectra.errorbars import calibrate
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.numerics.spectra.smoothing import smooth
from mlraman_hpc.records.spectra import Relaxation, RelaxingTerm
from tests.numerics.synthetic import (
    Oscillator,
    Relaxator,
    Telegraph,
    anisotropic,
    gaussian_mean,
    isotropic,
    six_channels,
)


def areas(seeds: int = 2000) -> None:
    """Area of each band over its expectation, mean over seeds and its standard error; isotropic and anisotropic."""
    print("| interval (fs) | frames | band (cm^-1) | isotropic | anisotropic | centroid - truth (cm^-1) |")
    print("|---|---|---|---|---|---|")
    for interval, frames, bands in ((10.0, 4000, (50, 200, 400, 800, 1200)), (100.0, 2000, (50, 100, 150))):
        _areas(interval, frames, bands, seeds)


def _areas(interval, frames, bands, seeds) -> None:
    rng = np.random.default_rng(1)
    modes = [Oscillator(nu, 20.0) for nu in bands]
    x = sum(mode.series(seeds, frames, interval, rng) for mode in modes)
    y = sum(mode.series(seeds, frames, interval, rng) for mode in modes)
    options = RamanOptions(laser_wavelength=None, blocks=0)
    found, nu = {"isotropic": [], "anisotropic": []}, None
    for s in range(seeds):
        result = raman_spectrum(isotropic(x[s]) + anisotropic(y[s]), interval, options)
        nu = result.wavenumber
        for name in found:
            found[name].append(result.intensity[name])
    edges = np.concatenate([[0], 0.5 * (np.array(bands[1:]) + bands[:-1]), [nu[-1]]])
    fine = np.arange(20 * (len(nu) - 1) + 1) * nu[1] / 20
    truth = smooth(sum(mode.density(fine, interval) for mode in modes) * fine, interval, 4.0)[::20]
    for k, band in enumerate(bands):
        inside = (nu >= edges[k]) & (nu < edges[k + 1])
        cells = []
        for name, share in (("isotropic", 1.0), ("anisotropic", 7 / 45)):
            ratio = np.array(found[name])[:, inside].sum(axis=1) / (share * truth[inside].sum())
            cells.append(f"{ratio.mean():.4f} +- {ratio.std() / np.sqrt(seeds):.4f}")
        rows = np.array(found["isotropic"])[:, inside]
        centroid = (rows @ nu[inside]).sum() / rows.sum() - (truth[inside] @ nu[inside]) / truth[inside].sum()
        print(f"| {interval:g} | {frames} | {band} | {cells[0]} | {cells[1]} | {centroid:+.3f} |")


def coverage(series: int = 300) -> None:
    """Share of independent series whose 68.27 % bars hold the known truth, at four places, and on average."""
    print("| process | length (ps) | blocks | bars' factor | -8 | 0 | +8 | +60 cm^-1 | all | bias at 0 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for process in (Oscillator(300.0, 4.0), Oscillator(300.0, 15.0), Oscillator(300.0, 40.0), Relaxator(15.0)):
        for frames, blocks in ((1000, 4), (1000, 8), (4000, 8), (12000, 8), (12000, 16)):
            _coverage(process, frames, blocks, series)


def _coverage(process, frames, blocks, series, interval=10.0) -> None:
    rng = np.random.default_rng(frames + blocks)
    options = RamanOptions(laser_wavelength=None, blocks=blocks, most_modes=0)
    results = [raman_spectrum(isotropic(x), interval, options) for x in process.series(series, frames, interval, rng)]
    centre = getattr(process, "wavenumber", 15.0)
    at = np.array([centre - 8, centre, centre + 8, centre + 60])
    fine = np.arange(0, 1667.0, 0.05)
    truth = gaussian_mean(fine, fine * process.density(fine, interval), at, 4.0)
    nu = results[0].wavenumber
    value = np.array([np.interp(at, nu, result.intensity["isotropic"]) for result in results])
    error = np.array([np.interp(at, nu, result.error_statistical["isotropic"]) for result in results])
    inside = np.abs(value - truth) < error
    factor = calibrate(spectrum_plan(frames, interval, options)).factor
    share = " | ".join(f"{x:.2f}" for x in inside.mean(axis=0))
    print(
        f"| {process} | {frames * interval / 1000:g} | {blocks} | {factor:.2f} | {share} | {inside.mean():.2f} | "
        f"{value[:, 1].mean() / truth[1] - 1:+.3f} |",
        flush=True,
    )


def peak(seeds: int = 40) -> None:
    """Debye width and area found by the fit beside two oscillators."""
    rng = np.random.default_rng(5)
    print("| Gamma (cm^-1) | length (ps) | found | scatter | mean error bar | Debye term found in |")
    print("|---|---|---|---|---|---|")
    for width in (5.0, 15.0, 30.0, None):
        for frames in (2500, 12000):
            _peak(width, frames, seeds, rng)


def _peak(width, frames, seeds, rng, interval=20.0) -> None:
    terms = [Oscillator(90.0, 15.0), Oscillator(140.0, 12.0)]
    x = sum(term.series(seeds, frames, interval, rng) for term in terms)
    if width:
        x = x + Relaxator(width).series(seeds, frames, interval, rng)
    peaks = [raman_spectrum(isotropic(one), interval).central_peak for one in x]
    found = [p for p in peaks if p.debye_width is not None]
    widths, errors = np.array([[p.debye_width, p.debye_width_error] for p in found] or [[np.nan] * 2]).T
    print(
        f"| {width or 'none'} | {frames * interval / 1000:g} | {widths.mean():.2f} | {widths.std():.2f} | "
        f"{errors.mean():.2f} | {len(found)}/{seeds} |",
        flush=True,
    )


def _stretched(time_ps: float, exponent: float = 0.5) -> list[tuple[float, Relaxator]]:
    """exp[-(t/tau)^beta] as a sum of relaxators, by non-negative least squares."""
    widths = np.geomspace(0.01, 2000.0, 25) / time_ps
    times = np.geomspace(time_ps / 300, time_ps * 30, 200)
    decay = np.exp(-2 * np.pi * 0.0299792458 * widths * times[:, None])
    shares, _ = nnls(decay, np.exp(-((times / time_ps) ** exponent)))
    return [(share, Relaxator(width)) for share, width in zip(shares / shares.sum(), widths) if share > 1e-4]


HARD = [(1.0, Oscillator(120.0, 10.0)), (1.0, Oscillator(150.0, 12.0))]  # HI in the table
RELAXING = {
    "HI alone": HARD,
    "soft mode 25 (g = 5) and HI": [(1.0, Oscillator(25.0, 5.0)), *HARD],
    "soft mode 35 (g = 10) and HI": [(1.0, Oscillator(35.0, 10.0)), *HARD],
    "soft mode 45 (g = 15) and HI": [(1.0, Oscillator(45.0, 15.0)), *HARD],
    "mode 40 (g = 20) of 0.05 and HI": [(0.05, Oscillator(40.0, 20.0)), *HARD],
    "17 modes from 20 to 100": [(1.0, Oscillator(nu, 8.0)) for nu in range(20, 105, 5)],
    "one mode 60, g = 60": [(1.0, Oscillator(60.0, 60.0)), *HARD],
    "one mode 60, g = 80": [(1.0, Oscillator(60.0, 80.0)), *HARD],
    "overdamped, 40, g = 100": [(1.0, Oscillator(40.0, 100.0)), *HARD],
    "Debye 40 and mode 75": [(1.0, Relaxator(40.0)), (3.0, Oscillator(75.0, 20.0))],
    "Debye 60 and mode 90": [(1.0, Relaxator(60.0)), (3.0, Oscillator(90.0, 30.0))],
    "Debye 3 and 40, HI": [(0.49, Relaxator(3.0)), (1.0, Relaxator(40.0)), *HARD],
    "stretched (beta = 0.5), 1 ps, HI": [*_stretched(1.0), *HARD],
    "stretched (beta = 0.5), 0.2 ps, HI": [*_stretched(0.2), *HARD],
    "jumps every 1 ps, HI": [(0.25, Telegraph(1000.0)), *HARD],
    "jumps every 10 ps, HI": [(0.25, Telegraph(10000.0)), *HARD],
    "jumps every 100 ps, HI": [(0.25, Telegraph(100000.0)), *HARD],
    "jumps every 5 ps of 0.05, HI": [(0.05, Telegraph(5000.0)), *HARD],
    "jumps every 5 ps of 0.01, HI": [(0.01, Telegraph(5000.0)), *HARD],
}


def relaxation(lengths=(20, 100), rows=tuple(RELAXING), series: int = 20, interval: float = 20.0) -> None:
    """How often the verdict says that something relaxes, is undecided, or sees nothing, and the term that is fitted.

    rises: how often S(0) exceeds the mean from 50 to 100 cm^-1 by three errors, the rule of version 0.4.
    """
    print("| process | length (ps) | rises | relaxes / undecided / not seen | median probability | Debye / two / CC |")
    print("|---|---|---|---|---|---|")
    for length in lengths:
        for name in rows:
            rng = np.random.default_rng([20261129, length, list(RELAXING).index(name)])
            peaks, rises = [], 0
            for _ in range(series):
                channels = sum(
                    np.sqrt(area) * process.series(6, int(1000 * length / interval), interval, rng)
                    for area, process in RELAXING[name]
                )
                alpha = six_channels(channels)
                peaks.append(raman_spectrum(alpha, interval, blocks=2).central_peak)  # blocks only make error bars
                former = raman_spectrum(alpha, interval, blocks=8, most_modes=0).central_peak
                rises += former.rise - 1 > 3 * former.rise_error
            verdicts = [
                sum(peak.relaxation is verdict for peak in peaks)
                for verdict in (Relaxation.RELAXES, Relaxation.UNDECIDED, Relaxation.NONE)
            ]
            kinds = [
                sum(peak.term is kind for peak in peaks)
                for kind in (RelaxingTerm.DEBYE, RelaxingTerm.TWO_DEBYE, RelaxingTerm.COLE_COLE)
            ]
            probability = np.median([peak.probability for peak in peaks])
            cells = (f"{rises}/{series}", " / ".join(map(str, verdicts)), f"{probability:.3f}")
            print(f"| {name} | {length} | {' | '.join(cells)} | {' / '.join(map(str, kinds))} |", flush=True)


if __name__ == "__main__":
    begin = time.time()
    tables = {"areas": areas, "coverage": coverage, "peak": peak, "relaxation": relaxation}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=tables, default=list(tables))
    parser.add_argument("--length", nargs="+", type=int, default=[20, 100], help="ps, of relaxation")
    parser.add_argument("--rows", nargs="+", choices=RELAXING, default=list(RELAXING), help="of relaxation")
    arguments = parser.parse_args()
    for name in arguments.tables:
        tables[name](*((arguments.length, arguments.rows) if name == "relaxation" else ()))
    print(f"{time.time() - begin:.0f} s")
