"""raman.jdx: the spectrum as JCAMP-DX 4.24, which programs of spectroscopy and databases read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.records.spectra import RamanSpectrum

_STEPS = 99_999_999  # integers up to the highest ordinate
_PER_LINE = 6


def write_raman_jdx(
    path: Path, spectrum: RamanSpectrum, title: str, remarks: list[str], end: float | None = None
) -> None:
    """The smoothed total up to `end` (cm^-1); null: to where it has vanished. `remarks` become comments."""
    rows = spectrum.wavenumber <= (end or spectrum.visible_end)
    notes = [*remarks, f"smoothed: {spectrum.smoothing_kind}, {spectrum.smoothing:g} cm^-1"]
    text = jcamp_dx(spectrum.wavenumber[rows], spectrum.intensity["total"][rows], title, notes)
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(text, encoding="ascii", errors="replace")


def jcamp_dx(wavenumber: np.ndarray, intensity: np.ndarray, title: str, remarks: list[str]) -> str:
    """The text of such a file. Ordinates are integers times YFACTOR."""
    largest = float(np.abs(intensity).max()) or 1.0
    factor = largest / _STEPS
    numbers = np.rint(intensity / factor).astype(int)
    step = float(wavenumber[-1] - wavenumber[0]) / (len(wavenumber) - 1)
    header = {
        "TITLE": title or "Raman spectrum",
        "JCAMP-DX": "4.24",
        "DATA TYPE": "RAMAN SPECTRUM",
        "ORIGIN": f"calculated by mlraman_hpc {__version__}",
        "OWNER": "unknown",
        "XUNITS": "1/CM",
        "YUNITS": "ARBITRARY UNITS",
        "FIRSTX": f"{wavenumber[0]:.10g}",
        "LASTX": f"{wavenumber[-1]:.10g}",
        "DELTAX": f"{step:.10g}",
        "XFACTOR": "1",
        "YFACTOR": f"{factor:.12g}",
        "MAXY": f"{intensity.max():.8g}",
        "MINY": f"{intensity.min():.8g}",
        "NPOINTS": str(len(wavenumber)),
        "FIRSTY": f"{numbers[0] * factor:.8g}",
    }
    lines = [f"##{label}={value}" for label, value in header.items()]
    lines += [f"$$ {part[:76]}" for remark in remarks for part in str(remark).splitlines()]
    lines.append("##XYDATA=(X++(Y..Y))")
    for start in range(0, len(numbers), _PER_LINE):
        row = numbers[start : start + _PER_LINE]
        lines.append(f"{wavenumber[start]:.10g} " + " ".join(map(str, row)))
    return "\n".join([*lines, "##END="]) + "\n"
