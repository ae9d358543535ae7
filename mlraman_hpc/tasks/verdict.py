"""Does this material conduct like a liquid? The numbers side by side, and what they allow to be said."""

from __future__ import annotations

import math

from mlraman_hpc.schema.records import Dynamics, RamanSpectrum

CLEAR = 3.0  # standard errors


def table(spectrum: RamanSpectrum | None, dynamics: Dynamics | None) -> list[list[str]]:
    """Rows of quantity, value, error, unit."""
    rows = []
    if spectrum is not None and spectrum.central_peak is not None:
        rows += _raman_rows(spectrum)
    if dynamics is not None:
        rows += _dynamics_rows(dynamics)
    return rows


def _raman_rows(spectrum: RamanSpectrum) -> list[list[str]]:
    peak = spectrum.central_peak
    rows = [[f"share of the Raman intensity below {peak.cutoff:g} cm⁻¹", f"{peak.weight:.4f}",
             f"{peak.weight_error:.4f}", ""]]
    for name in ("isotropic", "anisotropic"):
        value, error = getattr(peak, f"zero_{name}"), getattr(peak, f"zero_{name}_error")
        rows.append([f"zero-frequency limit of the polarizability's fluctuations, {name}", f"{value:.3g}",
                     f"{error:.2g}", "Å⁶ cm"])
    if peak.debye_width is not None:
        rows.append(["width of the central (Debye) peak", f"{peak.debye_width:.3g}", f"{peak.debye_width_error:.2g}",
                     "cm⁻¹"])
        rows.append(["its area", f"{peak.debye_area:.3g}", f"{peak.debye_area_error:.2g}", "Å⁶"])
    return rows


def _dynamics_rows(dynamics: Dynamics) -> list[list[str]]:
    rows = []
    for name in dynamics.mobile or tuple(dynamics.diffusion):
        value, error = dynamics.diffusion[name], dynamics.diffusion_error[name]
        shown = [f"{value:.3g}", f"{error:.2g}"] if math.isfinite(value) else ["not determined", ""]
        rows.append([f"self-diffusion coefficient of {name}", *shown, "cm²/s"])
        rows.append([f"the same from the zero-frequency VDOS of {name}", f"{dynamics.diffusion_from_vdos[name]:.3g}",
                     f"{dynamics.diffusion_from_vdos_error[name]:.2g}", "cm²/s"])
    return rows


def sentences(spectrum: RamanSpectrum | None, dynamics: Dynamics | None) -> list[str]:
    """What the numbers allow to be said, no more."""
    texts = []
    if spectrum is not None and spectrum.central_peak is not None and spectrum.central_peak.verdict:
        texts.append(f"Raman: {spectrum.central_peak.verdict}.")
    for name in dynamics.mobile if dynamics is not None else ():
        texts.append(f"{name}: {dynamics.verdict[name]}.")
    return texts
