"""raman.dat: columns of numbers with names, which NumPy, pandas, spreadsheets and plotting programs read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.records.spectra import RamanSpectrum

_PARTS = ("isotropic", "anisotropic", "polarized", "depolarized")
Columns = dict[str, tuple[np.ndarray, str]]  # name: values, unit


def write_table(path: Path, columns: Columns, lines: Iterable[str] = ()) -> None:
    r"""Names in the first line; comments ('#') with `lines` and with number, name and unit of each column; numbers.

    `numpy.genfromtxt(path, names=True)` and `pandas.read_csv(path, sep=r"\s+", comment="#")` read it as it is.
    """
    widths = [max(14, len(name) + 1) for name in columns]
    numbered = [
        f"column {number}: {name} [{unit}]" for number, (name, (_, unit)) in enumerate(columns.items(), start=1)
    ]
    with atomic_write(Path(path)) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("".join(name.rjust(width) for name, width in zip(columns, widths)) + "\n")
        for line in (*lines, *numbered):
            file.writelines(f"# {part}\n" for part in str(line).splitlines() or [""])
        rows = np.column_stack([values for values, _ in columns.values()])
        np.savetxt(file, rows, fmt=[f"%{widths[0]}.9f", *(f"%{width}.6e" for width in widths[1:])], delimiter="")


def raman_table(path: Path, spectrum: RamanSpectrum, lines: Iterable[str] = (), end: float | None = None) -> None:
    """raman.dat: the smoothed spectrum on the grid of raman.h5, up to `end` (cm^-1), with the errors of its total.

    Whatever is not here (errors of the parts, raw spectra, components) is in raman.h5.
    """
    rows = slice(None) if end is None else spectrum.wavenumber <= end
    columns = {name: (values[rows], unit) for name, (values, unit) in _columns(spectrum).items()}
    write_table(path, columns, [*lines, *_description(spectrum)])


def _columns(spectrum: RamanSpectrum) -> Columns:
    unit = "Angstrom^6"
    columns: Columns = {"wavenumber": (spectrum.wavenumber, "cm^-1"), "total": (spectrum.intensity["total"], unit)}
    if spectrum.error_statistical:
        columns["error_statistical"] = spectrum.error_statistical["total"], unit
    if spectrum.error_model:
        columns["error_model"] = spectrum.error_model["total"], unit
    columns |= {name: (spectrum.intensity[name], unit) for name in _PARTS}
    columns["depolarization_ratio"] = spectrum.depolarization_ratio, "1"
    for prefix, group in (("species", spectrum.species), ("geometry", spectrum.geometry)):
        columns |= {_identifier(f"{prefix}_{name}"): (values, unit) for name, values in (group or {}).items()}
    return columns


def _identifier(name: str) -> str:
    """Letters, digits and underscores: what NumPy takes as the name of a field."""
    return re.sub(r"[\W_]+", "_", name).strip("_")


def _description(spectrum: RamanSpectrum) -> list[str]:
    kind, measure = spectrum.smoothing_kind.split()
    return [
        f"{spectrum.frames} frames, {spectrum.frame_interval:g} fs apart",
        f"Nyquist wavenumber {spectrum.nyquist:.1f} cm^-1",
        f"smoothing: {kind}, {measure} = {spectrum.smoothing:g} cm^-1",
        "errors: one standard error from trajectory blocks; of the model from its committee (scatter, and what more "
        "labels may bring)",
        *(["spectra are the mean over the committee's members"] if spectrum.added is not None else []),
        *(f"warning: {text}" for text in spectrum.warnings),
    ]
