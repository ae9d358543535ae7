"""Plain columns of numbers with a commented header."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.records.spectra import RamanSpectrum


def write_table(path: Path, columns: dict[str, np.ndarray], units: dict[str, str], lines: Iterable[str] = ()) -> None:
    """Columns of equal length, after `lines` of provenance and the names with units, all commented with '#'."""
    names = [f"{name}[{units[name]}]" if units.get(name, "1") != "1" else name for name in columns]
    widths = [max(15, len(name) + 2) for name in names]
    with atomic_write(Path(path)) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for line in lines:
            for part in str(line).splitlines() or [""]:
                file.write(f"# {part}\n")
        file.write("#" + "".join(name.rjust(width) for name, width in zip(names, widths))[1:] + "\n")
        rows = np.column_stack(list(columns.values()))
        np.savetxt(file, rows, fmt=[f"%{width}.7e" for width in widths], delimiter="")


def raman_table(path: Path, spectrum: RamanSpectrum, lines: Iterable[str] = (), end: float | None = None) -> None:
    """raman.dat: wavenumber, smoothed intensities, their errors, shares of species; up to where nothing is left."""
    columns, units = {"wavenumber": spectrum.wavenumber}, {"wavenumber": "cm^-1"}
    groups = [
        ("", spectrum.intensity),
        ("error_statistical_", spectrum.error_statistical),
        ("error_model_", spectrum.error_model),
        ("species_", spectrum.species),
        ("geometry_", spectrum.geometry),
        ("error_geometry_", spectrum.error_geometry),
    ]
    for prefix, group in groups:
        for name, values in (group or {}).items():
            label = prefix + name.replace(" ", "_")
            columns[label], units[label] = values, "Angstrom^6"
    columns["depolarization_ratio"] = spectrum.depolarization_ratio
    visible = spectrum.wavenumber <= (end or spectrum.visible_end)
    header = [*lines, *_description(spectrum)]
    write_table(path, {name: values[visible] for name, values in columns.items()}, units, header)


def _description(spectrum: RamanSpectrum) -> list[str]:
    kind, measure = spectrum.smoothing_kind.split()
    return [
        f"{spectrum.frames} frames, {spectrum.frame_interval:g} fs apart",
        f"Nyquist wavenumber {spectrum.nyquist:.1f} cm^-1",
        f"smoothing: {kind}, {measure} = {spectrum.smoothing:g} cm^-1",
        *(f"warning: {text}" for text in spectrum.warnings),
    ]
