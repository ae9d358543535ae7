"""Figures of spectra: Raman, its parts by polarization, species and angle, other runs and measurements, coupling."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.numbers import number
from mlraman_hpc.plots.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PAGE,
    SMALL,
    TALLEST,
    VERMILION,
    band,
    colour_of,
    drawing,
    legend_above,
    mark_nyquist,
)
from mlraman_hpc.records.spectra import Comparison, Coupling, RamanSpectrum, RelaxingTerm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHIFT = "Raman shift (cm⁻¹)"
INTENSITY = "Intensity (arb. units)"


def raman_figure(path: Path | None, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> Figure:
    """Spherically averaged total intensity with error bands.

    The axis ends at `end` (cm^-1), or where the intensity has vanished. The highest value is 1.
    """
    with drawing(path, title) as figure:
        axes = figure.subplots()
        scale = _scale(spectrum.intensity["total"])
        _error_band(axes, spectrum, "model", "total", scale, ORANGE, "± model error")
        _error_band(axes, spectrum, "statistical", "total", scale, BLUE, "± statistical error")
        axes.plot(spectrum.wavenumber, spectrum.intensity["total"] * scale, color=BLACK, zorder=3)
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, ylim=(0, None))
        _set_range(axes, spectrum, end)
        legend_above(axes, note(spectrum))
    return figure


def polarization_figure(
    path: Path | None, spectrum: RamanSpectrum, title: str = "", end: float | None = None
) -> Figure:
    """Parallel (VV) and crossed (VH) polarization of a powder or liquid, and the depolarization ratio below."""
    with drawing(path, title, height=3.4) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        scale = _scale(spectrum.intensity["polarized"])
        for name, label, colour in (("polarized", "VV", BLUE), ("depolarized", "VH", VERMILION)):
            _error_band(top, spectrum, "statistical", name, scale, colour)
            top.plot(spectrum.wavenumber, spectrum.intensity[name] * scale, color=colour, label=label, zorder=3)
        strong = spectrum.intensity["polarized"] * scale > 0.005
        bottom.plot(spectrum.wavenumber, np.where(strong, spectrum.depolarization_ratio, np.nan), color=BLACK)
        bottom.axhline(0.75, color=GREY, linestyle=":", linewidth=0.8)
        bottom.set(ylim=(0, 0.9), yticks=(0, 0.25, 0.5, 0.75), xlabel=SHIFT, ylabel="VH / VV")
        top.set(ylabel=INTENSITY, ylim=(0, None))
        _set_range(top, spectrum, end)
        if spectrum.nyquist < top.get_xlim()[1]:
            bottom.axvline(spectrum.nyquist, color=GREY, linestyle="--", linewidth=0.8)
        legend_above(top, note(spectrum))
    return figure


def reduced_figure(path: Path | None, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> Figure:
    """Total intensity beside the reduced one, nu S without laser and temperature factors; highest values are 1."""
    with drawing(path, title) as figure:
        axes = figure.subplots()
        names = {"total": ("intensity", BLACK), "susceptibility": ("reduced, ∝ χ″", BLUE)}
        for name, (label, colour) in names.items():
            values = spectrum.intensity[name]
            scale = _scale(values)
            _error_band(axes, spectrum, "statistical", name, scale, colour)
            axes.plot(spectrum.wavenumber, values * scale, color=colour, label=label, zorder=3)
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, ylim=(0, None))
        _set_range(axes, spectrum, end)
        legend_above(axes, note(spectrum))
    return figure


def species_figure(path: Path | None, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> Figure:
    """Auto spectra of the species' shares and their cross terms, one above another, on one scale with the total."""
    visible = spectrum.wavenumber <= _end(spectrum, end)
    scale = _scale(spectrum.intensity["total"])
    rows = {
        name: values[visible] * scale
        for name, values in reversed({"total": spectrum.intensity["total"], **(spectrum.species or {})}.items())
    }
    rise = np.array([max(values.max(), 0.15) + 0.08 for values in rows.values()])
    fall = np.array([-min(values.min(), 0.0) for values in rows.values()])
    base = np.cumsum(rise + fall) - rise
    total = base[-1] + rise[-1]
    with drawing(path, title, height=min(0.7 + 1.1 * total, TALLEST)) as figure:
        axes = figure.subplots()
        for (name, values), offset in zip(rows.items(), base):
            colour = colour_of(name)
            axes.axhline(offset, color="0.8", linewidth=0.4)
            axes.plot(spectrum.wavenumber[visible], values + offset, color=colour)
            label = name.replace("-", " × ")
            axes.annotate(label, (1.02, offset), xycoords=("axes fraction", "data"), color=colour, fontsize=7)
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, yticks=[], ylim=(-fall[0] - 0.05, total + 0.05))
        _set_range(axes, spectrum, end)
        legend_above(axes, note(spectrum))
    return figure


def angle_figure(path: Path | None, spectrum: RamanSpectrum, title: str = "", end: float | None = None) -> Figure:
    """Single-crystal intensity against polarization angle, parallel and crossed."""
    last = _end(spectrum, end)
    visible = spectrum.wavenumber <= last
    angles = spectrum.angle_map
    scale = _scale(np.concatenate([angles.parallel, angles.crossed]))
    with drawing(path, title, height=3.6) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, name in zip(panels, ("parallel", "crossed")):
            image = axes.pcolormesh(
                spectrum.wavenumber[visible],
                angles.angle,
                np.sqrt(np.maximum(getattr(angles, name)[:, visible] * scale, 0)),
                cmap="viridis",
                vmin=0,
                vmax=1,
                shading="nearest",
                rasterized=True,
            )
            axes.set(ylabel="Angle (°)", yticks=np.arange(0, 181, 45), xlim=(0, last), title=name)
        panels[-1].set_xlabel(SHIFT)
        figure.colorbar(image, ax=panels, label="√Intensity (arb. units)", fraction=0.05)
    return figure


_TERM_NAMES = {
    RelaxingTerm.DEBYE: "Debye",
    RelaxingTerm.TWO_DEBYE: "two Debye terms, the larger",
    RelaxingTerm.COLE_COLE: "Cole-Cole",
}


def central_peak_figure(path: Path | None, spectrum: RamanSpectrum, title: str = "") -> Figure:
    """Density of alpha's fluctuations at low wavenumber, with the fitted Debye term and oscillators."""
    peak = spectrum.central_peak
    last = peak.fit_wavenumber[-1] if peak.fit_wavenumber is not None else 5 * peak.cutoff
    visible = spectrum.wavenumber <= last
    density = spectrum.fluctuation["total"][visible]
    with drawing(path, title) as figure:
        axes = figure.subplots()
        axes.plot(spectrum.wavenumber[visible], density, color=BLACK, label="smoothed")
        if peak.fit is not None:
            axes.plot(peak.fit_wavenumber, peak.fit, color=VERMILION, linestyle="--", label="fit, not smoothed")
        if peak.debye_width is not None:
            nu, width = peak.fit_wavenumber, number(peak.debye_width, peak.debye_width_error)
            label = f"{_TERM_NAMES[peak.term]}, Γ = {width} cm⁻¹"
            axes.plot(nu, peak.relaxing_density(nu), color=BLUE, linestyle=":", label=label)
        axes.set(xlim=(0, last), xlabel=SHIFT, ylabel="$S(ν)$ (Å⁶ cm)")
        positive = density[density > 0]
        if len(positive):
            highest = max(positive.max(), 0 if peak.fit is None else peak.fit.max())
            axes.set(yscale="log", ylim=(0.5 * positive.min(), 2 * highest))
        legend_above(axes)
    return figure


def comparison_figure(
    path: Path | None, comparison: Comparison, end: float, label: str = "", title: str = ""
) -> Figure:
    """Predicted (black, with its statistical error), reference tensors (blue), measured (red), on one scale."""
    scale = _scale(comparison.ours)
    with drawing(path, title) as figure:
        axes = figure.subplots()
        if comparison.error is not None:
            band(axes, comparison.wavenumber, comparison.ours * scale, comparison.error * scale, BLACK)
        axes.plot(comparison.wavenumber, comparison.ours * scale, color=BLACK, label="predicted")
        if comparison.broadened is not None:
            broadened = comparison.broadened * scale
            axes.plot(comparison.wavenumber, broadened, color=BLACK, linestyle=":", label="at the instrument's width")
        if comparison.reference is not None:
            reference = comparison.reference * scale
            axes.plot(comparison.wavenumber, reference, color=BLUE, linestyle="--", label="reference tensors")
        if comparison.experiment is not None:
            measured = comparison.experiment * scale
            text = textwrap.fill(f"{label or 'measured'}{_agreement(comparison)}", 48)
            axes.plot(comparison.experiment_wavenumber, measured, color=VERMILION, linewidth=0.8, label=text)
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, xlim=(0, end), ylim=(0, None))
        legend_above(axes)
    return figure


def _agreement(comparison: Comparison) -> str:
    if comparison.agreement is None or not np.isfinite(comparison.agreement[0]):
        return ""
    return f" (r = {number(*comparison.agreement)})"


LOW_PANEL = 2.0  # times the cutoff: end of the magnified panel


@dataclass(frozen=True)
class StackRow:
    """One spectrum relative to its highest value, with its low-frequency weight below `cutoff` (NaN: none)."""

    name: str
    wavenumber: np.ndarray
    intensity: np.ndarray
    error: np.ndarray
    weight: float
    weight_error: float
    cutoff: float

    def below(self, end: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wavenumber, intensity and error (0 where it is unknown) up to `end`."""
        visible = self.wavenumber <= end
        return self.wavenumber[visible], self.intensity[visible], np.nan_to_num(self.error[visible])

    def highest(self, end: float) -> float:
        """Of intensity and error below `end`; errors beyond the spectrum's own height do not count."""
        _, intensity, error = self.below(end)
        return float(np.max(intensity + np.minimum(error, 1.0), initial=1e-4))


def stack_figure(path: Path | None, rows: list[StackRow]) -> Figure:
    """The first row on top; right, below twice the largest cutoff.

    In the right panel each spectrum is magnified by a factor of its own, which is written beside it with the weight.
    """
    last = max(row.wavenumber[-1] for row in rows)
    cutoffs = [row.cutoff for row in rows if np.isfinite(row.cutoff)]
    low = min(LOW_PANEL * max(cutoffs, default=0.5 * last / LOW_PANEL), last)
    step = 1.08 * max(row.highest(last) for row in rows)
    offsets = step * np.arange(len(rows))[::-1]
    with drawing(path, width=PAGE, height=min(0.9 + 0.55 * len(rows), TALLEST)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        for row, offset in zip(rows, offsets):
            factor = _magnification(row, low, step)
            _stack_curve(left, row, offset, 1.0, last, step)
            _stack_curve(right, row, offset, factor, low, step)
            weight = number(row.weight, row.weight_error) if np.isfinite(row.weight) else ""
            text, beside = f"× {factor:g}\n{weight}", right.get_yaxis_transform()
            right.text(1.03, offset + 0.45 * step, text, transform=beside, fontsize=SMALL, va="center")
        names = [textwrap.fill(row.name, 20, max_lines=3) for row in rows]
        left.set(xlim=(0, last), ylim=(-0.05, step * len(rows)), xlabel=SHIFT, ylabel=INTENSITY)
        left.set_yticks(offsets + 0.4 * step, names)
        right.set(xlim=(0, low), xlabel=SHIFT)
        right.text(1.03, 1.0, "weight", transform=right.transAxes, fontsize=SMALL, color=GREY)
        for axes in (left, right):
            axes.tick_params(left=False, right=False, which="both")
    return figure


def overlay_figure(path: Path | None, spectra: dict[str, RamanSpectrum], title: str = "") -> Figure:
    """The first in black, the others over it, in the same units, relative to the highest value of all.

    Bands are the statistical and the model's error in quadrature; a curve with one of them alone has that.
    """
    scale = _scale(np.concatenate([spectrum.intensity["total"] for spectrum in spectra.values()]))
    colours = (BLACK, BLUE, VERMILION, ORANGE, GREY)
    with drawing(path, title) as figure:
        axes = figure.subplots()
        for k, (label, spectrum) in enumerate(spectra.items()):
            value, colour = spectrum.intensity["total"] * scale, colours[k % len(colours)]
            errors = [item["total"] for item in (spectrum.error_statistical, spectrum.error_model) if item is not None]
            if errors:
                band(axes, spectrum.wavenumber, value, scale * np.sqrt(sum(e**2 for e in errors)), colour)
            axes.plot(spectrum.wavenumber, value, color=colour, label=label)
        end = max(spectrum.visible_end for spectrum in spectra.values())
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, ylim=(0, None), xlim=(0, end))
        legend_above(axes)
    return figure


def _stack_curve(axes, row: StackRow, offset: float, factor: float, end: float, step: float) -> None:
    wavenumber, intensity, error = row.below(end)
    axes.axhline(offset, color="0.8", linewidth=0.4)
    low, high = (np.clip(factor * edge, 0, 0.98 * step) for edge in (intensity - error, intensity + error))
    axes.fill_between(wavenumber, offset + low, offset + high, color=BLUE, alpha=0.3, linewidth=0)
    axes.plot(wavenumber, offset + factor * intensity, color=BLACK, linewidth=0.9)


def _magnification(row: StackRow, low: float, step: float) -> float:
    """1, 2, 5, 10, ... so that the spectrum below `low` about fills its row."""
    factors = [digit * 10.0**power for power in range(4) for digit in (1, 2, 5)]
    return max(factor for factor in factors if factor == 1 or factor * row.highest(low) <= 0.98 * step)


def coupling_figure(path: Path | None, coupling: Coupling, title: str = "") -> Figure:
    """Density of states and C g, which they would equal if C were its mean; C with its error; C, nu S/g and S/g."""
    error = coupling.error if coupling.error_model is None else np.hypot(coupling.error, coupling.error_model)
    defined = np.flatnonzero(np.isfinite(coupling.coupling))
    last = coupling.wavenumber[defined[-1] if len(defined) else -1]
    visible = coupling.wavenumber <= min(1.05 * last + 5, coupling.wavenumber[-1])
    nu = coupling.wavenumber[visible]
    compared = coupling.intensity is not None and coupling.fluctuation is not None and coupling.mean > 0
    with drawing(path, title, height=5.2 if compared else 3.8) as figure:
        top, bottom, *third = figure.subplots(2 + compared, 1, sharex=True, height_ratios=(1, 1.3, 1.3)[: 2 + compared])
        _curve(top, nu, coupling.vdos[visible], coupling.vdos_error[visible], BLUE, "VDOS $g$")
        if coupling.mean > 0:
            activity, activity_error = coupling.activity / coupling.mean, coupling.activity_error / coupling.mean
            label = "Raman $C g$ / mean $C$"
            _curve(top, nu, activity[visible], activity_error[visible], VERMILION, label)
        top.set(ylabel="States / cm⁻¹", ylim=(0, None))
        legend_above(top)
        highest = _highest_known(coupling, error)
        fits = coupling.coupling + error <= highest
        _curve(bottom, nu, np.where(fits, coupling.coupling, np.nan)[visible], error[visible], BLACK, "$C$")
        bottom.axhline(coupling.mean, color=GREY, linestyle="--", linewidth=0.8, label="mean")
        bottom.set(ylabel="Coupling $C$ (Å⁴/u)", xlim=(0, nu[-1]), ylim=(0, 1.05 * highest))
        legend_above(bottom)
        for axes in third:
            _ratios(axes, coupling, visible, error)
        (third or [bottom])[0].set_xlabel(SHIFT)
    return figure


def _ratios(axes, coupling: Coupling, visible: np.ndarray, error: np.ndarray) -> None:
    """C, nu S/g and S/g, each over its mean over the states, where C is known to half of itself."""
    nu, g = coupling.wavenumber, coupling.vdos
    known = visible & np.isfinite(coupling.coupling) & (error < 0.5 * coupling.coupling) & (nu >= coupling.smoothing)
    for values, colour, label in (
        (coupling.coupling, BLACK, "$C$"),
        (coupling.intensity, ORANGE, "$ν S/g$"),
        (coupling.fluctuation, BLUE, "$S/g$"),
    ):
        mean = (values[known] @ g[known]) / g[known].sum() if known.any() else np.nan
        axes.plot(nu[visible], np.where(known, values / mean, np.nan)[visible], color=colour, label=label)
    if coupling.exponent is not None and np.isfinite(coupling.exponent) and known.any():
        weight = g[known] / g[known].sum()
        level = weight @ (np.log(coupling.coupling[known]) - coupling.exponent * np.log(nu[known]))
        mean = weight @ coupling.coupling[known]
        line = np.exp(level + coupling.exponent * np.log(nu[known])) / mean
        power = number(coupling.exponent, coupling.full_exponent_error)
        axes.plot(nu[known], line, color=GREY, linestyle="--", linewidth=0.8, label=f"$C ∼ ν^p$, $p$ = {power}")
    axes.set(ylabel="Over its mean", yscale="log")
    legend_above(axes)


def _curve(axes, nu, value, error, colour: str, label: str) -> None:
    band(axes, nu, value, error, colour)
    axes.plot(nu, value, color=colour, label=label)


def _highest_known(coupling: Coupling, error: np.ndarray) -> float:
    """The top of the axis: what lies in a gap between bands may be large and uncertain, and is left out."""
    known = np.isfinite(coupling.coupling) & (error < 0.5 * coupling.coupling)
    return float(np.max((coupling.coupling + error)[known], initial=1.1 * coupling.mean)) or 1.0


def note(spectrum: RamanSpectrum) -> str:
    """What the reader must know to compare and to interpret: convention, smoothing, and which errors the bands hold."""
    kind, measure = spectrum.smoothing_kind.split()
    symbol = {"gaussian sigma": "σ", "lorentzian sigma": "HWHM"}.get(f"{kind} {measure}", "FWHM")
    smoothing = f"{kind.capitalize()}, {symbol} = {spectrum.smoothing:g} cm⁻¹"
    laser = "no laser factor" if spectrum.laser_wavelength is None else f"laser {spectrum.laser_wavelength:g} nm"
    heat = "no Bose factor" if spectrum.temperature is None else f"Bose factor of {spectrum.temperature:g} K"
    missing = "" if spectrum.error_model is not None else "; model error not included"
    part = spectrum.cell_part
    cell = f"\nwithout what follows the cell's {part.kind}" if part is not None else ""
    return f"{smoothing}{missing}\n{laser}, {heat}, orientation average{cell}"


def _scale(values: np.ndarray) -> float:
    return 1 / values.max() if values.max() > 0 else 1.0


def _end(spectrum: RamanSpectrum, end: float | None) -> float:
    return float(min(end or spectrum.visible_end, spectrum.wavenumber[-1]))


def _error_band(axes, spectrum: RamanSpectrum, kind: str, name: str, scale: float, colour: str, label=None) -> None:
    errors = getattr(spectrum, f"error_{kind}")
    if errors is not None:
        band(axes, spectrum.wavenumber, spectrum.intensity[name] * scale, errors[name] * scale, colour, label)


def _set_range(axes, spectrum: RamanSpectrum, end: float | None) -> None:
    """Wavenumbers of the axis, with the Nyquist wavenumber where the spectrum comes close to it."""
    last = _end(spectrum, end)
    axes.set_xlim(0, last)
    if last > 0.9 * spectrum.nyquist:
        mark_nyquist(axes, spectrum.nyquist)
