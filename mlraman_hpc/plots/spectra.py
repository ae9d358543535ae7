"""Figures of Raman spectra, for a column of a journal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import BLACK, BLUE, CYCLE, ORANGE, VERMILION, drawing
from mlraman_hpc.records.spectra import RamanSpectrum

SHIFT = "Raman shift (cm⁻¹)"
INTENSITY = "Intensity (arb. units)"
DENSE = 2000  # points beyond which a parity plot is coloured by density


def raman_figure(path: Path, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> None:
    """Spherically averaged total intensity with error bands.

    The axis ends at `end` (cm^-1), or where the intensity has vanished. The highest value is 1.
    """
    with drawing(path) as figure:
        axes = figure.subplots()
        scale = _scale(spectrum.intensity["total"])
        _bands(axes, spectrum, "total", scale)
        axes.plot(spectrum.wavenumber, spectrum.intensity["total"] * scale, color=BLACK, zorder=3)
        _finish(axes, spectrum, title, end)
        _legend(axes, note(spectrum))


def polarization_figure(path: Path, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> None:
    """Parallel (VV) and crossed (VH) polarization of a powder or liquid, and the depolarization ratio below."""
    with drawing(path, height=3.4) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        scale = _scale(spectrum.intensity["polarized"])
        for name, label, colour in (("polarized", "VV", BLUE), ("depolarized", "VH", VERMILION)):
            _band(top, spectrum, spectrum.error_statistical, name, scale, colour, None)
            top.plot(spectrum.wavenumber, spectrum.intensity[name] * scale, color=colour, label=label, zorder=3)
        strong = spectrum.intensity["polarized"] * scale > 0.005
        bottom.plot(spectrum.wavenumber, np.where(strong, spectrum.depolarization_ratio, np.nan), color=BLACK)
        bottom.axhline(0.75, color=BLACK, linestyle=":", linewidth=0.6)
        bottom.set(ylim=(0, 1), ylabel="VH / VV")
        _finish(top, spectrum, title, end)
        top.set_xlabel("")
        bottom.set_xlabel(SHIFT)
        _legend(top, note(spectrum))


def species_figure(path: Path, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> None:
    """Auto spectra of the species' shares and their cross terms, one above another, on one scale with the total."""
    with drawing(path, height=1.2 + 0.65 * (len(spectrum.species) + 1)) as figure:
        axes = figure.subplots()
        scale = _scale(spectrum.intensity["total"])
        rows = {"total": spectrum.intensity["total"], **spectrum.species}
        offset, last = 0.0, _end(spectrum, end)
        shown = spectrum.wavenumber <= last
        for k, (name, values) in enumerate(reversed(rows.items())):
            values = values[shown] * scale
            offset -= min(values.min(), 0.0)
            colour = BLACK if name == "total" else CYCLE[k % len(CYCLE)]
            axes.axhline(offset, color="0.7", linewidth=0.4)
            axes.plot(spectrum.wavenumber[shown], values + offset, color=colour)
            axes.annotate(_pretty(name), (1.02, offset), xycoords=("axes fraction", "data"), color=colour, fontsize=7)
            offset += max(values.max(), 0.15) + 0.08
        axes.set_yticks([])
        _finish(axes, spectrum, title, end)
        axes.set_ylim(None, offset + 0.05)
        _legend(axes, note(spectrum))


def _pretty(name: str) -> str:
    return name.replace("-", " × ")


def angle_figure(path: Path, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> None:
    """Single-crystal intensity against polarization angle, parallel and crossed."""
    turned = spectrum.angle_map
    last = _end(spectrum, end)
    shown = spectrum.wavenumber <= last
    with drawing(path, height=3.6) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        scale = _scale(np.concatenate([turned.parallel, turned.crossed]))
        for axes, name in zip(panels, ("parallel", "crossed")):
            root = np.sqrt(np.maximum(getattr(turned, name)[:, shown] * scale, 0))
            image = axes.pcolormesh(
                spectrum.wavenumber[shown],
                turned.angle,
                root,
                cmap="viridis",
                vmin=0,
                vmax=1,
                shading="nearest",
                rasterized=True,
            )
            axes.set(ylabel="Angle (°)", yticks=np.arange(0, 181, 45), xlim=(0, last), title=name)
        panels[-1].set_xlabel(SHIFT)
        figure.colorbar(image, ax=panels, label="√Intensity (arb. units)", fraction=0.05)
        if title:
            figure.suptitle(title, fontsize=8)


def central_peak_figure(path: Path, spectrum: RamanSpectrum, title: str = "") -> None:
    """Density of alpha's fluctuations at low wavenumber, with the fitted Debye term and oscillators."""
    peak = spectrum.central_peak
    with drawing(path) as figure:
        axes = figure.subplots()
        last = peak.fit_wavenumber[-1] if peak.fit_wavenumber is not None else 5 * peak.cutoff
        shown = spectrum.wavenumber <= last
        density = spectrum.fluctuation["total"]
        axes.plot(spectrum.wavenumber[shown], density[shown], color=BLACK, label="smoothed")
        if peak.fit is not None:
            axes.plot(peak.fit_wavenumber, peak.fit, color=VERMILION, linestyle="--", label="fit, not smoothed")
        if peak.debye_width is not None:
            nu = peak.fit_wavenumber
            axes.plot(
                nu,
                peak.debye_area * 2 / np.pi * peak.debye_width / (peak.debye_width**2 + nu**2),
                color=BLUE,
                linestyle=":",
                label=f"Debye, Γ = {peak.debye_width:.3g} ± {peak.debye_width_error:.2g} cm⁻¹",
            )
        axes.set_yscale("log")
        positive = density[shown][density[shown] > 0]
        axes.set(xlim=(0, last), xlabel=SHIFT, ylabel="S(ν) (Å⁶ cm)", ylim=(0.3 * positive.min(), 8 * positive.max()))
        axes.set_title(title, loc="left")
        axes.legend(loc="upper right")


def parity_figure(path: Path, reference: np.ndarray, predicted: np.ndarray, title: str = "") -> None:
    """Predicted against reference polarizabilities (structures, 3, 3) in Angstrom^3: diagonal and off-diagonal."""
    with drawing(path, width=PARITY_WIDTH, height=2.7) as figure:
        for axes, (name, rows, columns) in zip(figure.subplots(1, 2), PARITY_PANELS):
            _parity(axes, reference[:, rows, columns].ravel(), predicted[:, rows, columns].ravel(), name)
        if title:
            figure.suptitle(title, fontsize=8)


PARITY_WIDTH = 5.2
PARITY_PANELS = (("diagonal", (0, 1, 2), (0, 1, 2)), ("off-diagonal", (0, 1, 2), (1, 2, 0)))


def _parity(axes, reference: np.ndarray, predicted: np.ndarray, name: str) -> None:
    low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="0.6", linewidth=0.6, zorder=1)
    if len(reference) > DENSE:
        axes.hexbin(reference, predicted, gridsize=60, bins="log", cmap="viridis", mincnt=1, linewidths=0.1)
    else:
        axes.scatter(reference, predicted, s=6, color=BLUE, alpha=0.5, linewidths=0, zorder=2)
    rmse = np.sqrt(np.mean((predicted - reference) ** 2))
    spread = np.sum((reference - reference.mean()) ** 2)
    r2 = 1 - np.sum((predicted - reference) ** 2) / spread if spread > 0 else np.nan
    axes.text(0.04, 0.96, f"R² = {r2:.4f}\nRMSE = {rmse:.3g} Å³", transform=axes.transAxes, va="top", fontsize=7)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=name, xlabel="α reference (Å³)", ylabel="α predicted (Å³)")


def note(spectrum: RamanSpectrum) -> str:
    """What the reader must know to interpret the bands: smoothing, and which errors they hold."""
    kind, measure = spectrum.smoothing_kind.split()
    symbol = {"gaussian sigma": "σ", "lorentzian sigma": "HWHM"}.get(f"{kind} {measure}", "FWHM")
    text = f"{kind.capitalize()}, {symbol} = {spectrum.smoothing:g} cm⁻¹"
    return text if spectrum.error_model is not None else text + "; model error not included"


def _scale(values: np.ndarray) -> float:
    return 1 / values.max() if values.max() > 0 else 1.0


def _end(spectrum: RamanSpectrum, end: float | None) -> float:
    return float(min(end or spectrum.visible_end, spectrum.wavenumber[-1]))


def _bands(axes, spectrum: RamanSpectrum, name: str, scale: float) -> None:
    _band(axes, spectrum, spectrum.error_model, name, scale, ORANGE, "± model error")
    _band(axes, spectrum, spectrum.error_statistical, name, scale, BLUE, "± statistical error")


def _band(axes, spectrum, errors, name, scale, colour, label) -> None:
    if errors is None:
        return
    value, error = spectrum.intensity[name] * scale, errors[name] * scale
    axes.fill_between(
        spectrum.wavenumber,
        np.maximum(value - error, 0),
        value + error,
        color=colour,
        alpha=0.4,
        linewidth=0,
        label=label,
    )


def _finish(axes, spectrum: RamanSpectrum, title: str, end: float | None) -> None:
    last = _end(spectrum, end)
    axes.set(xlim=(0, last), xlabel=SHIFT, ylabel=INTENSITY)
    axes.set_title(title, loc="left")
    axes.set_ylim(bottom=0)
    if last > 0.9 * spectrum.nyquist:
        axes.set_xlim(0, 1.03 * spectrum.nyquist)
        axes.axvline(spectrum.nyquist, color=VERMILION, linestyle="--", linewidth=0.8)
        axes.annotate(
            "Nyquist ",
            (spectrum.nyquist, 0.5),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="center",
            color=VERMILION,
            fontsize=6,
        )


def _legend(axes, text: str) -> None:
    axes.text(1.0, 1.01, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=5.5, color="0.3")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
