"""What the numbers of a run allow to be said, and no more: rows for a table, and sentences."""

from __future__ import annotations

import math

import numpy as np

from mlraman_hpc.base.numbers import diffusion, number, percent, probability, scientific
from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.records.spectra import CentralPeak, Coupling, RamanSpectrum, Relaxation, RelaxingTerm
from mlraman_hpc.records.training import Tuning
from mlraman_hpc.records.transport import Dynamics, JumpMotion, Jumps, Motion
from mlraman_hpc.reports.conductivity_wording import Row, conductivity_rows

HARDLY = 0.05  # where errors of candidates differ by less, the choice does not matter


def tuning_sentence(tuning: Tuning) -> str:
    """Which descriptor was chosen, and whether it matters."""
    scale, exponent = tuning.scale[tuning.chosen], tuning.exponent[tuning.chosen]
    scaling = (
        f"radial scaling of {scale:g} Å with exponent {exponent:g}" if math.isfinite(scale) else "no radial scaling"
    )
    text = f"Descriptor: {scaling}"
    if not np.isfinite(tuning.error).any():
        return f"{text}; {tuning.labels} labels are too few to tell one from another."
    if tuning.range < HARDLY:
        return f"{text}; the choice hardly matters, leave-one-out errors differ by {percent(tuning.range)}."
    if tuning.ratio < 1:
        return f"{text}; {percent(1 - tuning.ratio)} less leave-one-out error than without."
    return f"{text}; with it the leave-one-out error is not clearly smaller here."


def summary(spectrum: RamanSpectrum | None, dynamics: Dynamics | None) -> list[Row]:
    """Low-frequency scattering and diffusion, side by side."""
    rows: list[Row] = []
    if spectrum is not None and spectrum.central_peak is not None:
        rows += _raman_rows(spectrum, spectrum.central_peak)
    if dynamics is not None:
        for name in dynamics.mobile or tuple(dynamics.diffusion):
            rows += _dynamics_rows(dynamics, name)
        rows += conductivity_rows(dynamics.conductivity) if dynamics.conductivity is not None else []
    return rows


def _raman_rows(spectrum: RamanSpectrum, peak: CentralPeak) -> list[Row]:
    weight = number(peak.weight, peak.full_weight_error)
    rows = [(f"share of the Raman intensity below {peak.cutoff:g} cm⁻¹", weight, "")]
    relaxing, error = spectrum.relative(peak.relaxing_below), spectrum.relative(peak.full_relaxing_error)
    if math.isfinite(relaxing):
        name = f"relaxing variance of the polarizability below {peak.cutoff:g} cm⁻¹, per atom and relative"
        rows.append((name, number(relaxing, error), ""))
    bound = "at least " if peak.zero_is_lower_bound else ""
    for name in ("isotropic", "anisotropic"):
        limit = bound + number(getattr(peak, f"zero_{name}"), getattr(peak, f"zero_{name}_error"))
        rows.append((f"zero-frequency limit of the polarizability's fluctuations, {name}", limit, "Å⁶\u00a0cm"))
    beyond = f"{peak.cutoff:g} to {2 * peak.cutoff:g} cm⁻¹"
    rise = bound + number(peak.rise, peak.rise_error)
    rows.append((f"fluctuations at zero wavenumber, over their mean from {beyond}", rise, ""))
    if peak.probability is not None:
        rows.append(("probability that part of the fluctuations relaxes", probability(peak.probability), ""))
        share = number(peak.relaxing_share, peak.relaxing_share_error)
        rows.append((f"relaxing share of the fluctuations' variance below {5 * peak.cutoff:g} cm⁻¹", share, ""))
    if peak.debye_width is not None:
        width, area = (
            number(getattr(peak, key), getattr(peak, key + "_error")) for key in ("debye_width", "debye_area")
        )
        kind = {RelaxingTerm.COLE_COLE: "Cole-Cole", RelaxingTerm.TWO_DEBYE: "Debye, the larger of two"}
        name = kind.get(peak.term, "Debye")
        rows += [(f"width of the central peak ({name})", width, "cm⁻¹"), ("its area", area, "Å⁶")]
        if peak.second_debye_width is not None:
            second = number(peak.second_debye_width, peak.second_debye_width_error)
            rows.append(("width of the smaller one", second, "cm⁻¹"))
        if peak.cole_cole_exponent is not None:
            exponent = number(peak.cole_cole_exponent, peak.cole_cole_exponent_error)
            rows.append(("its exponent (1: one rate; less: a distribution of rates)", exponent, ""))
    return rows


def _dynamics_rows(dynamics: Dynamics, name: str) -> list[Row]:
    value = dynamics.diffusion[name]
    text = diffusion(value, dynamics.diffusion_error[name], dynamics.diffusion_upper[name])
    rows = [(f"self-diffusion coefficient of {name}", text, "cm²/s")]
    if math.isfinite(value):
        from_vdos = scientific(dynamics.diffusion_from_vdos[name], dynamics.diffusion_from_vdos_error[name])
        rows.append((f"the same from the zero-frequency VDOS of {name}", from_vdos, "cm²/s"))
    jumps = dynamics.jumps
    return rows + _jump_rows(jumps, name) if jumps is not None and jumps.jumps.get(name) else rows


def _jump_rows(jumps: Jumps, name: str) -> list[Row]:
    """Of a species that jumps between sites."""
    rows = [
        (f"jumps of each {name}", number(jumps.rate[name], jumps.rate_error[name]), "ps⁻¹"),
        (f"residence time of {name} on a site", number(jumps.residence[name], jumps.residence_error[name]), "ps"),
        (f"share of the time that {name} is between sites", f"{jumps.transit[name]:.2f}", ""),
    ]
    if math.isfinite(jumps.correlation[name]):
        factor = number(jumps.correlation[name], jumps.correlation_error[name])
        rows.append((f"correlation factor of {name}, D over that of a random walk with these jumps", factor, ""))
    return rows


def sentences(spectrum: RamanSpectrum | None, dynamics: Dynamics | None) -> list[str]:
    """Does this material conduct like a liquid?"""
    texts = []
    peak = spectrum.central_peak if spectrum is not None else None
    if peak is not None:
        texts.append(relaxation_sentence(peak))
        if peak.zero_is_lower_bound:
            texts.append(_lower_bound(peak))
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


def _lower_bound(peak: CentralPeak) -> str:
    text = (
        "The zero-frequency limits of the polarizability's fluctuations, and how they rise to it, are lower bounds: "
        "part of what relaxes is slower than smoothing or length of the trajectory resolve"
    )
    if peak.zero_unsmoothed is None or not peak.zero_unsmoothed > 1.05:
        return f"{text}; a longer trajectory would tell more."
    return f"{text}. Unsmoothed, the fit is {peak.zero_unsmoothed:.2g} times as high at the lowest wavenumber it knows."


def relaxation_sentence(peak: CentralPeak) -> str:
    """What the fit decides."""
    if peak.probability is None:
        return f"Whether part of the polarizability's fluctuations relaxes was not decided: {peak.verdict or 'no fit'}."
    return f"The polarizability's fluctuations: {peak.verdict}."


def _together(peak: CentralPeak, dynamics: Dynamics) -> str:
    """One sentence from relaxation, diffusion and jumps; where they do not agree, it says so."""
    moving = [name for name in dynamics.mobile if dynamics.verdict[name] == Motion.DIFFUSIVE]
    if not moving:
        return _without_diffusion(peak)
    names, hopping = ", ".join(moving), [name for name in moving if _jumps_as(dynamics, name, JumpMotion.HOPPING)]
    if peak.relaxation is Relaxation.UNDECIDED:
        text = f"{names} diffuses, but whether the low-frequency Raman scattering relaxes is undecided"
        return f"{text}: no more can be said of the kind of conduction than the jumps say." if hopping else f"{text}."
    if peak.relaxation is Relaxation.NONE:
        if any(_jumps_as(dynamics, name, JumpMotion.LIQUID) for name in moving):
            return f"{names} moves as in a liquid, but nothing of it relaxes in the low-frequency Raman scattering."
        return (
            f"{names} diffuses, but no relaxation is seen in the low-frequency Raman scattering: as in conduction by "
            "hopping, or it is too weak or too broad to be told from vibrations."
        )
    if hopping:
        return _hopping_and_relaxation(peak, dynamics, hopping)
    text = f"{names} diffuses and the low-frequency Raman scattering relaxes: as in liquid-like conduction"
    if dynamics.jumps is None:
        return f"{text}, or by hops that the polarizability follows; jumps (dynamics.lattice_sites) would tell."
    liquid = all(_jumps_as(dynamics, name, JumpMotion.LIQUID) for name in moving)
    return f"{text}." if liquid else f"{text}, though the jumps alone do not say so."


def _without_diffusion(peak: CentralPeak) -> str:
    if peak.relaxation is Relaxation.RELAXES:
        return (
            "The low-frequency Raman scattering relaxes, but no diffusion of the mobile ions was seen: something "
            "else relaxes, or the trajectory is short."
        )
    if peak.relaxation is Relaxation.NONE:
        return "Neither diffusion nor relaxation in the low-frequency Raman scattering was seen."
    return "No diffusion was seen, and whether the low-frequency Raman scattering relaxes is undecided."


def _jumps_as(dynamics: Dynamics, name: str, motion: JumpMotion) -> bool:
    jumps = dynamics.jumps
    return jumps is not None and jumps.motion(name) is motion


def _hopping_and_relaxation(peak: CentralPeak, dynamics: Dynamics, hopping: list[str]) -> str:
    """Hopping relaxes alpha in the residence time; another time means another process."""
    text = f"{', '.join(hopping)} diffuses by hopping, and the low-frequency Raman scattering relaxes"
    if peak.debye_width is None or not peak.debye_width > 0 or dynamics.jumps is None:
        return f"{text}: the hops, or something else."
    time = 1 / (2000 * math.pi * LIGHT_CM_PER_FS * peak.debye_width)  # ps
    stays = ", ".join(f"{dynamics.jumps.residence[name]:.2g} ps" for name in hopping)
    return f"{text} within {time:.2g} ps (residence time {stays}): the hops if these agree, something else if not."


def coupling_sentence(coupling: Coupling) -> str:
    """What C(nu) says."""
    if not coupling.mean > 0:
        return "The polarizability does not change: there is no coupling of motion to light."
    low = f"There are no states below {coupling.cutoff:g} cm⁻¹"
    if math.isfinite(coupling.low):
        low = (
            f"Below {coupling.cutoff:g} cm⁻¹ a degree of freedom scatters {number(coupling.low, coupling.low_error)} "
            "times as strongly as on average"
        )
    if not coupling.spread > 0:
        text = f"{low}; beyond its errors, the coupling C(ν) does not vary over the states."
    else:
        text = (
            f"{low}, and the coupling C(ν) varies by {100 * coupling.spread:.0f} % (standard deviation) over the "
            "states: it would be constant if no selection rule were left and all motion scattered alike."
        )
    return f"{text} {_exponents(coupling)}".strip()


def _exponents(coupling: Coupling) -> str:
    """How C, the intensity over g and S/g go with the wavenumber."""
    if coupling.exponent is None or not math.isfinite(coupling.exponent):
        return ""
    p = number(coupling.exponent, coupling.full_exponent_error)
    spreads = [
        f"{name} varies by {100 * value:.0f} %"
        for name, value in (("ν S/g", coupling.intensity_spread), ("S/g", coupling.fluctuation_spread))
        if value is not None and math.isfinite(value)
    ]
    return (
        f"C goes as ν^p with p = {p}. Without selection rules p is 0, and the intensity without temperature factor, "
        "ν S, over the density of states g goes as 1/ν, S/g as 1/ν²; an intensity that follows the density of states, "
        f"ν S/g constant, means p = 1, motion that scatters the more the faster it is. Here {', '.join(spreads)}."
    )


def jump_sentence(jumps: Jumps, name: str) -> str:
    """The jumps of a species between sites."""
    if not jumps.jumps[name]:
        return f"no jump between sites; fewer than {jumps.rate[name]:.2g} for each atom and ps (95 %)"
    usual = float(jumps.lengths[name][np.argmax(jumps.counts[name])])
    text = (
        f"{jumps.jumps[name]} jumps between sites, {number(jumps.rate[name], jumps.rate_error[name])} for each "
        f"atom and ps, mostly of {usual:.2f} Å; residence time "
        f"{number(jumps.residence[name], jumps.residence_error[name])} ps, flight {jumps.flight[name]:.2g} ps"
    )
    if math.isfinite(jumps.correlation[name]):
        text += f"; correlation factor {number(jumps.correlation[name], jumps.correlation_error[name])}"
    return f"{text}; {jumps.verdict[name]}"
