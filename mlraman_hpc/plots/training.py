"""Figures of how good a model is: parity of polarizabilities and forces, learning curves, convergence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.numbers import percent, r_squared
from mlraman_hpc.plots.spectra import INTENSITY, SHIFT
from mlraman_hpc.plots.style import (
    BLACK,
    BLUE,
    PAGE,
    SMALL,
    TALLEST,
    VERMILION,
    WIDE,
    band,
    colour_of,
    drawing,
    legend_above,
)
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.training import Convergence, LearningCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSE = 2000  # points beyond which a parity plot is coloured by density
STEP = 1.08  # height of one spectrum in a stack
COMPONENTS = {"diagonal": ((0, 1, 2), (0, 1, 2)), "off-diagonal": ((0, 1, 2), (1, 2, 0))}


def parity_figure(path: Path | None, reference: np.ndarray, predicted: np.ndarray, title: str = "") -> Figure:
    """Predicted against reference polarizabilities (structures, 3, 3) in Angstrom^3: diagonal and off-diagonal."""
    dense = 3 * len(reference) > DENSE
    with drawing(path, title, width=WIDE + 0.6 * dense, height=3.1) as figure:
        figure.set_layout_engine("compressed")
        panels = figure.subplots(1, 2)
        for axes, (name, (rows, columns)) in zip(panels, COMPONENTS.items()):
            image = _parity(axes, reference[:, rows, columns].ravel(), predicted[:, rows, columns].ravel(), name)
            if dense:
                figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="components" * (axes is panels[-1]))
    return figure


def _parity(axes, reference: np.ndarray, predicted: np.ndarray, name: str):
    _diagonal(axes, min(reference.min(), predicted.min()), max(reference.max(), predicted.max()), 0.05)
    deviation = predicted - reference
    variation = np.sum((reference - reference.mean()) ** 2)
    r2 = 1 - np.sum(deviation**2) / variation if variation > 0 else np.nan
    heading = f"{name}\n$R^2$ = {r_squared(r2)}, RMSE = {np.sqrt(np.mean(deviation**2)):.3g} Å³"
    axes.set(title=heading, xlabel="$α$ reference (Å³)", ylabel="$α$ predicted (Å³)")
    if len(reference) > DENSE:
        return axes.hexbin(reference, predicted, gridsize=60, bins="log", cmap="viridis", mincnt=1, linewidths=0.1)
    return axes.scatter(reference, predicted, s=6, color=BLUE, alpha=0.5, linewidths=0, zorder=2)


def derivative_parity_figure(path: Path | None, pairs: dict, title: str = "") -> Figure:
    """Left-out derivatives by element: pairs {lambda: {element: (reference, predicted)}} in Angstrom^2."""
    with drawing(path, title, width=WIDE, height=3.1) as figure:
        figure.set_layout_engine("compressed")
        for axes, (order, elements) in zip(figure.subplots(1, len(pairs)), pairs.items()):
            every = np.concatenate([values for pair in elements.values() for values in pair])
            _diagonal(axes, every.min(), every.max(), 0.05)
            for name, (reference, predicted) in sorted(elements.items()):
                mean_square = np.mean(reference**2)
                error = np.mean((predicted - reference) ** 2)
                r2 = 1 - error / mean_square if mean_square > 0 else np.nan
                label = f"{name}: $R^2$ = {r_squared(r2)}, RMSE = {np.sqrt(error):.2g} Å²"
                step = max(1, len(reference) // DENSE)
                points = reference[::step], predicted[::step]
                axes.scatter(*points, s=3, color=colour_of(name), alpha=0.5, linewidths=0, label=label, zorder=2)
            axes.legend(fontsize=SMALL, loc="upper left", markerscale=2)
            axes.set(title=f"$λ$ = {order}", xlabel="$∂α/∂r$ reference (Å²)", ylabel="$∂α/∂r$ predicted (Å²)")
    return figure


def _diagonal(axes, low: float, high: float, margin: float) -> None:
    """A square panel with the line of perfect agreement."""
    margin = margin * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="0.6", linewidth=0.6, zorder=1)
    axes.set(xlim=limits, ylim=limits, aspect="equal")


MOST_COLUMNS = 4
PANEL = 1.5  # inches


def forces_figure(path: Path | None, forces: Forces, title: str = "") -> Figure:
    """One panel for each element; colour: components in a square, on one logarithmic scale for all panels."""
    names = list(forces.density)
    columns = min(MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    most = max(int(counts.max()) for counts in forces.density.values())
    panel = min(PANEL, (PAGE - 1.2) / columns - 0.3)
    size = {"width": 1.2 + (panel + 0.3) * columns, "height": 0.45 + (panel + 0.55) * rows}
    with drawing(path, title, **size) as figure:
        from matplotlib.colors import LogNorm

        figure.set_layout_engine("compressed")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(panels, names):
            image = _forces_panel(axes, forces, name, LogNorm(1, max(2, most)))
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel("Reference force (eV/Å)", fontsize=8)
        figure.supylabel("Predicted force (eV/Å)", fontsize=8)
        figure.colorbar(image, ax=list(panels), label="Components in a square", fraction=0.03, pad=0.02)
    return figure


def _forces_panel(axes, forces: Forces, name: str, norm):
    reference, predicted = forces.edges_reference[name], forces.edges_predicted[name]
    _diagonal(axes, min(reference[0], predicted[0]), max(reference[-1], predicted[-1]), 0.04)
    counts = np.ma.masked_equal(forces.density[name].T, 0)
    heading = f"{name}\nRMSE {forces.rmse[name]:.3f} eV/Å\n$R^2$ = {r_squared(forces.r2[name])}"
    axes.set_title(heading, fontsize=SMALL)
    return axes.pcolormesh(reference, predicted, counts, cmap="viridis", norm=norm, rasterized=True, zorder=2)


def learning_curve_figure(path: Path | None, curve: LearningCurve, title: str = "") -> Figure:
    """R2 and RMSE against log N_T, diagonal and off-diagonal; bands are one standard deviation over draws."""
    with drawing(path, title, width=WIDE, height=2.5) as figure:
        left, right = figure.subplots(1, 2)
        for axes, mean, deviation in ((left, curve.r2, curve.r2_spread), (right, curve.rmse, curve.rmse_spread)):
            for name, colour in (("diagonal", BLUE), ("off_diagonal", VERMILION)):
                value, error = mean[name], np.nan_to_num(deviation[name])
                axes.plot(curve.train_size, value, "o-", markersize=3, color=colour, label=name.replace("_", "-"))
                lowest = -np.inf if axes is left else 0.5 * value.min()
                band(axes, curve.train_size, value, error, colour, lowest=lowest)
                if axes is left and curve.expected_r2 is not None and curve.expected_size is not None:
                    _extrapolate(axes, curve, value, curve.expected_r2[name], colour)
            axes.set_xlabel("Frames with derivatives" if curve.frames else "Training set size $N_T$")
            axes.set_xscale("log")
            for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
                set_formatter(_plain)
            if curve.cost is not None:
                _add_cost(axes, *curve.cost)
        left.set_ylabel("$R^2$")
        if left.get_ylim()[0] < -1:  # worse than no model: the rest is to be seen
            left.set_ylim(bottom=-1)
        right.set(ylabel="RMSE (Å³)", yscale="log")
        for set_formatter in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
            set_formatter(_plain)
        legend_above(left)
    return figure


def _add_cost(axes: Axes, each: float, beside: float) -> None:
    """CPU time of the labels on the upper axis."""
    top = axes.secondary_xaxis(
        "top", functions=(lambda size: (each * size + beside) / 3600, lambda hours: (3600 * hours - beside) / each)
    )
    top.set_xlabel("CPU time of the labels (h)")
    axes.tick_params(top=False, which="both")


def _extrapolate(axes: Axes, curve: LearningCurve, known: np.ndarray, expected: np.ndarray, colour: str) -> None:
    """Dotted beyond the last point, with its band."""
    if curve.expected_size is None or not np.isfinite(expected[1]).any():
        return
    x = np.concatenate([curve.train_size[-1:], curve.expected_size])
    low, value, high = (np.concatenate([known[-1:], ends]) for ends in expected)
    axes.plot(x, value, ":", color=colour)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _plain(value: float, position: int) -> str:
    """0.02 rather than 2e-02, at 1, 2 and 5 of each decade."""
    mantissa = value / 10.0 ** np.floor(np.log10(value) + 1e-9)
    return f"{value:g}" if min(abs(mantissa - digit) for digit in (1, 2, 5)) < 1e-6 else ""


def convergence_figure(path: Path | None, convergence: Convergence, title: str = "") -> Figure:
    """Spectra of fewer labels and of shorter trajectories, one above another, with their distance to the final one.

    The final spectrum, at the top, is drawn in grey behind each.
    """
    length = [f"{length:.3g} ps" for length in convergence.length]
    stacks = [list(zip(length, convergence.length_spectra, convergence.length_distance))]
    if convergence.train_size is not None:
        unit = "frame" if convergence.train_frames else "label"
        size = [f"{size} {unit}{'s' if size > 1 else ''}" for size in convergence.train_size]
        stacks.insert(0, list(zip(size, convergence.train_spectra, convergence.train_distance)))
    height = min(0.8 + 0.6 * max(map(len, stacks)), TALLEST)
    with drawing(path, title, width=0.6 + 2.6 * len(stacks), height=height) as figure:
        for axes, stack in zip(figure.subplots(1, len(stacks), squeeze=False)[0], stacks):
            _stack(axes, convergence.wavenumber, stack)
    return figure


def _stack(axes, wavenumber: np.ndarray, stack: list) -> None:
    scale = 1 / (max((values.max() for _, values, _ in stack), default=1.0) or 1.0)
    final = stack[-1][1] * scale
    for k, (name, values, distance) in enumerate(stack):
        last = k == len(stack) - 1
        offset, colour = STEP * k, BLACK if last else BLUE
        if not last:
            axes.plot(wavenumber, final + offset, color="0.75", linewidth=1.6)
        axes.plot(wavenumber, values * scale + offset, color=colour, linewidth=0.9)
        text = name if last else f"{name}\n{percent(distance)}"
        axes.text(1.03, offset, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, color=colour)
    top = STEP * len(stack) + 0.05
    axes.set(xlabel=SHIFT, ylabel=INTENSITY, xlim=(0, wavenumber[-1]), ylim=(-0.08, top), yticks=[])
