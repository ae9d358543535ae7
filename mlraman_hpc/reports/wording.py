"""Does this material conduct like a liquid? The numbers side by side, and what they allow to be said."""

from __future__ import annotations

import math

from mlraman_hpc.base.numbers import pair, scientific
from mlraman_hpc.records.spectra import CentralPeak, RamanSpectrum
from mlraman_hpc.records.transport import Dynamics, Jumps

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
    rows = [
        [
            f"share of the Raman intensity below {peak.cutoff:g} cm⁻¹",
            f"{peak.weight:.4f}",
            f"{peak.weight_error:.4f}",
            "",
        ]
    ]
    for name in ("isotropic", "anisotropic"):
        value, error = getattr(peak, f"zero_{name}"), getattr(peak, f"zero_{name}_error")
        rows.append(
            [f"zero-frequency limit of the polarizability's fluctuations, {name}", *pair(value, error), "Å⁶\u00a0cm"]
        )
    beyond = f"{peak.cutoff:g} to {2 * peak.cutoff:g} cm⁻¹"
    rows.append(
        [
            f"rise of the fluctuations towards zero, over their mean from {beyond}",
            f"{peak.rise:.3g}",
            f"{peak.rise_error:.2g}",
            "",
        ]
    )
    if peak.debye_width is not None:
        rows.append(
            ["width of the central (Debye) peak", f"{peak.debye_width:.3g}", f"{peak.debye_width_error:.2g}", "cm⁻¹"]
        )
        rows.append(["its area", f"{peak.debye_area:.3g}", f"{peak.debye_area_error:.2g}", "Å⁶"])
    return rows


def _dynamics_rows(dynamics: Dynamics) -> list[list[str]]:
    rows = []
    for name in dynamics.mobile or tuple(dynamics.diffusion):
        value, error = dynamics.diffusion[name], dynamics.diffusion_error[name]
        shown = [f"{value:.3g}", f"{error:.2g}"] if math.isfinite(value) else ["not determined", ""]
        rows.append([f"self-diffusion coefficient of {name}", *shown, "cm²/s"])
        rows.append(
            [
                f"the same from the zero-frequency VDOS of {name}",
                f"{dynamics.diffusion_from_vdos[name]:.3g}",
                f"{dynamics.diffusion_from_vdos_error[name]:.2g}",
                "cm²/s",
            ]
        )
        if dynamics.jumps is not None and dynamics.jumps.jumps.get(name):
            rows += _jump_rows(dynamics.jumps, name)
    return rows


def _jump_rows(jumps: Jumps, name: str) -> list[list[str]]:
    """Of a species that jumps between sites."""
    rows = [
        [f"jumps of each {name}", *pair(jumps.rate[name], jumps.rate_error[name]), "ps⁻¹"],
        [f"residence time of {name} on a site", *pair(jumps.residence[name], jumps.residence_error[name]), "ps"],
        [f"share of the time that {name} is between sites", f"{jumps.transit[name]:.2f}", "", ""],
    ]
    if math.isfinite(jumps.correlation[name]):
        rows.append(
            [
                f"correlation factor of {name}, D over that of a random walk with these jumps",
                *pair(jumps.correlation[name], jumps.correlation_error[name]),
                "",
            ]
        )
    return rows


def sentences(spectrum: RamanSpectrum | None, dynamics: Dynamics | None) -> list[str]:
    """What the numbers allow to be said, no more."""
    texts = []
    peak = spectrum.central_peak if spectrum is not None else None
    if peak is not None:
        texts.append(_rise(peak))
        if peak.verdict:
            texts.append(f"Fit of the low-frequency part: {peak.verdict}.")
    for name in dynamics.mobile if dynamics is not None else ():
        texts.append(_motion(dynamics, name))
        if dynamics.jumps is not None and name in dynamics.jumps.jumps:
            texts.append(f"Jumps of {name} between lattice sites: {dynamics.jumps.verdict[name]}.")
    if peak is not None and dynamics is not None and dynamics.mobile:
        texts.append(_together(peak, dynamics))
    return texts


def _motion(dynamics: Dynamics, name: str) -> str:
    if math.isfinite(dynamics.diffusion[name]):
        d = scientific(dynamics.diffusion[name], dynamics.diffusion_error[name])
        return f"The motion of {name} is {dynamics.verdict[name]}, D = {d} cm²/s."
    return f"{name}: {dynamics.verdict[name]}."


def rises(peak: CentralPeak) -> bool:
    """Whether the fluctuations rise towards zero wavenumber by more than chance."""
    return bool(peak.rise - 1 > CLEAR * peak.rise_error)


def _rise(peak: CentralPeak) -> str:
    size = f"{peak.rise:.3g} ± {peak.rise_error:.2g} times their mean from {peak.cutoff:g} to {2 * peak.cutoff:g} cm⁻¹"
    if not math.isfinite(peak.rise):
        return "The polarizability's fluctuations at zero wavenumber cannot be told from a trajectory this short."
    if rises(peak):
        return (
            f"The polarizability's fluctuations rise towards zero wavenumber, to {size}: more than chance, "
            "something relaxes."
        )
    return (
        f"The polarizability's fluctuations at zero wavenumber are {size}: no rise beyond what a sample without "
        "relaxation gives by chance."
    )


def _together(peak: CentralPeak, dynamics: Dynamics) -> str:
    moving = [name for name in dynamics.mobile if dynamics.verdict[name].startswith("diffusive")]
    if moving and rises(peak):
        return (
            f"{', '.join(moving)} diffuses and the low-frequency Raman scattering rises: as in liquid-like conduction."
        )
    if moving:
        return (
            f"{', '.join(moving)} diffuses, but the low-frequency Raman scattering does not rise: as in conduction "
            "by hopping."
        )
    if rises(peak):
        return (
            "The low-frequency Raman scattering rises, but no diffusion of the mobile ions was seen: something "
            "else relaxes, or the trajectory is short."
        )
    return "Neither diffusion nor a rise of the low-frequency Raman scattering was seen."
