"""Polarizability series and what follows from them: Raman spectra, comparisons, coupling."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlraman_hpc.records.fields import Record, stored


class Relaxation(str, Enum):
    """Whether part of alpha's fluctuations relaxes; a member begins the text of `CentralPeak.verdict`."""

    RELAXES = "something relaxes"
    UNDECIDED = "undecided whether something relaxes"
    NONE = "no relaxation is seen"
    NO_FLUCTUATION = "no fit: alpha does not fluctuate"
    TOO_FEW_POINTS = "no fit: only"

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def of(cls, probability: float) -> Relaxation:
        """RELAXES from a probability of 0.95 on, NONE up to 0.05, which may mean too weak to be seen."""
        if probability >= LIKELY:
            return cls.RELAXES
        return cls.NONE if probability <= 1 - LIKELY else cls.UNDECIDED


LIKELY = 0.95


class RelaxingTerm(Enum):
    """Kind of the relaxing term in the fit of `CentralPeak`; its text completes 'the best fit is ...'."""

    NONE = "no Debye term"
    DEBYE = "a Debye term"
    TWO_DEBYE = "two Debye terms"
    COLE_COLE = "a Cole-Cole term"

    def __str__(self) -> str:
        return self.value

    @property
    def parameters(self) -> int:
        """Number of parameters: area and half width of each term, and Cole and Cole's exponent."""
        return {"NONE": 0, "DEBYE": 2, "COLE_COLE": 3, "TWO_DEBYE": 4}[self.name]


@dataclass(frozen=True)
class PolarizabilitySeries(Record, file_name="alpha.h5", kind="polarizability"):
    """alpha along a trajectory (alpha.h5, H5MD 1.1).

    value       (frames, 3, 3) of the whole cell, symmetric
    by_species  (frames, species, 3, 3) share of each centre species; their sum is `value`
    members     (frames, members, 3, 3) of each committee member; their deviations from their mean are as errors
    outliers    (frames,) atoms far outside the model's training range
    cell        (frames, 3, 3) lattice vectors, where the cell varies; None of a series made elsewhere
    """

    value: np.ndarray = stored("observables/polarizability/value", "Angstrom^3")
    step: np.ndarray = stored("observables/polarizability/step", "1")
    time: np.ndarray = stored("observables/polarizability/time", "fs")
    by_species: np.ndarray | None = stored("observables/polarizability_by_species/value", "Angstrom^3", default=None)
    members: np.ndarray | None = stored("observables/polarizability_committee/value", "Angstrom^3", default=None)
    outliers: np.ndarray | None = stored("observables/outliers/value", "1", default=None)
    species: tuple[str, ...] | None = stored("observables/polarizability_by_species/species", "1", default=None)
    cell: np.ndarray | None = stored("observables/cell/value", "Angstrom", default=None)

    @property
    def frame_interval(self) -> float:
        """fs"""
        return float(self.time[1] - self.time[0])


@dataclass(frozen=True)
class CellPart:
    """What of alpha was linear in the cell of each frame, and was taken out before the spectrum was computed.

    kind               volume or strain; share: of the variance of alpha, weighted as in the intensity
    volume_spread      root mean square of the volume over its mean
    volume_derivative  d ln alpha/d ln V of the mean polarizability along the trajectory; NaN where V rests
    """

    kind: str = stored("kind", "1")
    share: float = stored("share", "1")
    volume_spread: float = stored("volume_spread", "1")
    volume_derivative: float = stored("volume_derivative", "1")


@dataclass(frozen=True)
class CentralPeak:
    """Low-frequency part of the spectrum; each number with its jackknife error.

    weight                share of the total intensity below `cutoff`
    zero_*                zero-frequency limit of the one-sided spectral density of alpha's fluctuations
    zero_is_lower_bound   1 where part of what relaxes is too slow for smoothing or length of the trajectory, so that
                          zero_* and rise are lower bounds; zero_unsmoothed: the fit at half of the trajectory's
                          resolution over the same fit after smoothing, at zero
    debye_width           Gamma of the Debye term (2/pi) A Gamma / (Gamma^2 + nu^2), or of the larger of two, or of
                          Cole and Cole's; None without one
    debye_area            A of that term; modes: area, wavenumber and damping of the damped oscillators
    second_debye_*        the smaller of two Debye terms, where the data ask for two
    cole_cole_exponent    beta of Cole and Cole's term (1 would be a Debye term), where the data ask for it
    rise                  total density at zero over its mean between `cutoff` and twice it: of Debye terms, soft modes,
                          or both
    probability           that something relaxes: that a Debye term, or an oscillator so damped that its maximum is at
                          zero, is there, against oscillators alone, from fits below three, four and five times the
                          cutoff; _lowest and _highest of one of them; None in files of older versions
    relaxing_share        share of the fitted variance in such terms; relaxing_area: that variance
    relaxing_below        variance below `cutoff` of the part of the relaxing fit that falls from zero wavenumber on,
                          less its level at twice the cutoff, in the mean over these fits, times the probability;
                          relaxing_half_width: half of it lies below
    *_model_error         of the members of a committee; None without one
    maximum_at_zero       1 where the fit falls from zero wavenumber on, else 0
    verdict               what the fit found, or why there is none
    """

    cutoff: float = stored("cutoff", "cm^-1")
    weight: float = stored("weight", "1")
    weight_error: float = stored("weight_error", "1")
    zero_isotropic: float = stored("zero_isotropic", "Angstrom^6 cm")
    zero_isotropic_error: float = stored("zero_isotropic_error", "Angstrom^6 cm")
    zero_anisotropic: float = stored("zero_anisotropic", "Angstrom^6 cm")
    zero_anisotropic_error: float = stored("zero_anisotropic_error", "Angstrom^6 cm")
    rise: float = stored("rise", "1", default=float("nan"))
    rise_error: float = stored("rise_error", "1", default=float("nan"))
    verdict: str = stored("verdict", "1", default="")
    probability: float | None = stored("relaxation/probability", "1", default=None)
    probability_lowest: float | None = stored("relaxation/probability_lowest", "1", default=None)
    probability_highest: float | None = stored("relaxation/probability_highest", "1", default=None)
    relaxing_share: float | None = stored("relaxation/share", "1", default=None)
    relaxing_share_error: float | None = stored("relaxation/share_error", "1", default=None)
    relaxing_area: float | None = stored("relaxation/area", "Angstrom^6", default=None)
    relaxing_area_error: float | None = stored("relaxation/area_error", "Angstrom^6", default=None)
    weight_model_error: float | None = stored("weight_model_error", "1", default=None)
    relaxing_below: float | None = stored("relaxation/below_cutoff", "Angstrom^6", default=None)
    relaxing_below_error: float | None = stored("relaxation/below_cutoff_error", "Angstrom^6", default=None)
    relaxing_below_model_error: float | None = stored("relaxation/below_cutoff_model_error", "Angstrom^6", default=None)
    relaxing_half_width: float | None = stored("relaxation/half_width", "cm^-1", default=None)
    zero_is_lower_bound: int | None = stored("relaxation/zero_is_lower_bound", "1", default=None)
    zero_unsmoothed: float | None = stored("relaxation/zero_unsmoothed", "1", default=None)
    maximum_at_zero: int | None = stored("relaxation/maximum_at_zero", "1", default=None)
    debye_area: float | None = stored("debye_area", "Angstrom^6", default=None)
    debye_area_error: float | None = stored("debye_area_error", "Angstrom^6", default=None)
    debye_width: float | None = stored("debye_width", "cm^-1", default=None)
    debye_width_error: float | None = stored("debye_width_error", "cm^-1", default=None)
    second_debye_area: float | None = stored("second_debye_area", "Angstrom^6", default=None)
    second_debye_area_error: float | None = stored("second_debye_area_error", "Angstrom^6", default=None)
    second_debye_width: float | None = stored("second_debye_width", "cm^-1", default=None)
    second_debye_width_error: float | None = stored("second_debye_width_error", "cm^-1", default=None)
    cole_cole_exponent: float | None = stored("cole_cole_exponent", "1", default=None)
    cole_cole_exponent_error: float | None = stored("cole_cole_exponent_error", "1", default=None)
    mode_area: np.ndarray | None = stored("mode_area", "Angstrom^6", default=None)
    mode_area_error: np.ndarray | None = stored("mode_area_error", "Angstrom^6", default=None)
    mode_wavenumber: np.ndarray | None = stored("mode_wavenumber", "cm^-1", default=None)
    mode_wavenumber_error: np.ndarray | None = stored("mode_wavenumber_error", "cm^-1", default=None)
    mode_damping: np.ndarray | None = stored("mode_damping", "cm^-1", default=None)
    mode_damping_error: np.ndarray | None = stored("mode_damping_error", "cm^-1", default=None)
    fit_wavenumber: np.ndarray | None = stored("fit_wavenumber", "cm^-1", default=None)
    fit: np.ndarray | None = stored("fit", "Angstrom^6 cm", default=None)

    @property
    def full_weight_error(self) -> float:
        """Of statistics, and of the model where there is a committee."""
        return float(np.hypot(self.weight_error, self.weight_model_error or 0.0))

    @property
    def full_relaxing_error(self) -> float:
        """Of `relaxing_below`, in the same way; NaN without a fit."""
        if self.relaxing_below_error is None:
            return float("nan")
        return float(np.hypot(self.relaxing_below_error, self.relaxing_below_model_error or 0.0))

    @property
    def term(self) -> RelaxingTerm:
        """Kind of the relaxing term that the fit chose."""
        if self.debye_width is None:
            return RelaxingTerm.NONE
        if self.cole_cole_exponent is not None:
            return RelaxingTerm.COLE_COLE
        return RelaxingTerm.DEBYE if self.second_debye_width is None else RelaxingTerm.TWO_DEBYE

    def relaxing_density(self, wavenumber: np.ndarray) -> np.ndarray:
        """(n,) density of the relaxing term at wavenumbers above zero, Angstrom^6 cm."""
        area, width, nu = self.debye_area, self.debye_width, wavenumber
        assert area is not None and width is not None, "the fit has no relaxing term"
        if (beta := self.cole_cole_exponent) is not None:
            angle = beta * np.pi / 2
            return area * np.sin(angle) / (np.pi * nu * (np.cosh(beta * np.log(nu / width)) + np.cos(angle)))
        density: np.ndarray = area * 2 / np.pi * width / (width**2 + nu**2)
        if self.second_debye_width is not None and self.second_debye_area is not None:
            second = self.second_debye_width
            density = density + self.second_debye_area * 2 / np.pi * second / (second**2 + nu**2)
        return density

    @property
    def relaxation(self) -> Relaxation:
        """UNDECIDED where there is no fit, or none of this version."""
        return Relaxation.UNDECIDED if self.probability is None else Relaxation.of(self.probability)


@dataclass(frozen=True)
class AngleMap:
    """Intensity of an oriented crystal against polarization angle; parallel and crossed (angles, wavenumbers)."""

    angle: np.ndarray = stored("angle", "degree")
    parallel: np.ndarray = stored("parallel", "Angstrom^6")
    crossed: np.ndarray = stored("crossed", "Angstrom^6")


@dataclass(frozen=True)
class RamanSpectrum(Record, file_name="raman.h5", kind="raman spectrum"):
    """Raman spectra on one grid (raman.h5).

    intensity and raw      the same names, with and without smoothing: total = isotropic + anisotropic, polarized (VV),
                           depolarized (VH), susceptibility (no laser, no temperature)
    fluctuation            smoothed one-sided spectral densities of alpha itself: isotropic S_a, anisotropic S_g, total
    error_statistical      one standard error of `intensity`, from trajectory blocks
    error_model            of the model, as `numerics.spectra.committee` has it: scatter of the members, and what more
                           labels may bring; error_model_bias: the latter alone
    added                  what the members' deviations add, contained in `intensity` and all other spectra; None
                           without a committee
    error_geometry         one standard error of `geometry`, from trajectory blocks
    species                smoothed auto spectra ('Ag') and cross spectra ('Ag-I'); they add up to the total
    component              smoothed cross spectra 'xx-yy' of tensor components, in the axes of the trajectory
    geometry               oriented single crystal, one spectrum for each scattering geometry
    resolution             sigma of the Gaussian as wide as the taper's spectral kernel
    visible_end            where the total has vanished
    laser_wavelength       of the factor (1 - nu/nu_in)^4, temperature: of the Bose-Einstein factor; None without either
    mean_polarizability    of the cell, a third of the trace; None where alpha is known but for a constant
    atoms                  in the cell, composition: of each element; None where the series does not say
    cell_part              what followed the cell and was taken out; None where nothing was
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    intensity: dict[str, np.ndarray] = stored("intensity", "Angstrom^6")
    raw: dict[str, np.ndarray] = stored("raw", "Angstrom^6")
    depolarization_ratio: np.ndarray = stored("depolarization_ratio", "1")
    fluctuation: dict[str, np.ndarray] = stored("fluctuation", "Angstrom^6 cm")
    component: dict[str, np.ndarray] = stored("component", "Angstrom^6")
    frames: int = stored("frames", "1")
    frame_interval: float = stored("frame_interval", "fs")
    smoothing: float = stored("smoothing", "cm^-1")
    smoothing_kind: str = stored("smoothing_kind", "1")
    nyquist: float = stored("nyquist", "cm^-1")
    resolution: float = stored("resolution", "cm^-1")
    visible_end: float = stored("visible_end", "cm^-1")
    error_statistical: dict[str, np.ndarray] | None = stored("error/statistical", "Angstrom^6", default=None)
    error_model: dict[str, np.ndarray] | None = stored("error/model", "Angstrom^6", default=None)
    error_model_bias: dict[str, np.ndarray] | None = stored("error/model_bias", "Angstrom^6", default=None)
    added: dict[str, np.ndarray] | None = stored("committee/added", "Angstrom^6", default=None)
    error_geometry: dict[str, np.ndarray] | None = stored("error/geometry", "Angstrom^6", default=None)
    blocks: int | None = stored("error/blocks", "1", default=None)
    species: dict[str, np.ndarray] | None = stored("species", "Angstrom^6", default=None)
    geometry: dict[str, np.ndarray] | None = stored("geometry", "Angstrom^6", default=None)
    angle_map: AngleMap | None = stored("angle_map", "1", default=None)
    central_peak: CentralPeak | None = stored("central_peak", "1", default=None)
    warnings: tuple[str, ...] = stored("warnings", "1", default=())
    laser_wavelength: float | None = stored("laser_wavelength", "nm", default=None)
    temperature: float | None = stored("temperature", "K", default=None)
    mean_polarizability: float | None = stored("mean_polarizability", "Angstrom^3", default=None)
    atoms: int | None = stored("atoms", "1", default=None)
    composition: dict[str, int] | None = stored("composition", "1", default=None)
    cell_part: CellPart | None = stored("cell_part", "1", default=None)

    def relative(self, variance: float | None) -> float:
        """N V/<a>^2: a variance V of alpha (Angstrom^6) for each atom, over the square of an atom's share of <a>.

        N atoms that move alike and independently give the same number whatever N. NaN where N or <a> is not known.
        """
        if variance is None or self.atoms is None or not self.mean_polarizability:
            return float("nan")
        return self.atoms * variance / self.mean_polarizability**2


@dataclass(frozen=True)
class Comparison(Record, file_name="comparison.h5", kind="comparison"):
    """The smoothed total against other spectra (comparison.h5).

    ours, error         (wavenumbers,) prediction and its statistical error
    reference           of reference tensors; distance: relative L2 norm of the difference where there is intensity
    experiment          measured intensity times `scale`, which makes the areas over `scaled_over` (2,) equal; less
                        `background` (2,), b_0 + b_1 nu in the file's unit, with our laser's and temperature's factors
    broadened           (wavenumbers,) prediction with the instrument's line width; None without
    agreement           (2,) correlation coefficient of prediction and measurement over `scaled_over`, and its error
    spectra             {label: {wavenumber, intensity, error}} of this and other runs, relative to the highest
    weight              {label: value, error, cutoff} share of the intensity below the cutoff
    difference          {label of another run: relative L2 norm of its difference from this run, share of the
                        wavenumbers at which the difference is within the two errors together}, statistical and model's
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    ours: np.ndarray = stored("predicted/intensity", "Angstrom^6")
    error: np.ndarray | None = stored("predicted/error", "Angstrom^6", default=None)
    reference: np.ndarray | None = stored("reference/intensity", "Angstrom^6", default=None)
    distance: float | None = stored("reference/distance", "1", default=None)
    experiment_wavenumber: np.ndarray | None = stored("experiment/wavenumber", "cm^-1", default=None)
    experiment: np.ndarray | None = stored("experiment/intensity", "Angstrom^6", default=None)
    scale: float | None = stored("experiment/scale", "Angstrom^6", default=None)
    scaled_over: np.ndarray | None = stored("experiment/scaled_over", "cm^-1", default=None)
    background: np.ndarray | None = stored("experiment/background", "of the file", default=None)
    broadened: np.ndarray | None = stored("experiment/predicted", "Angstrom^6", default=None)
    agreement: np.ndarray | None = stored("experiment/agreement", "1", default=None)
    spectra: dict[str, dict[str, np.ndarray]] | None = stored("spectra", "1, wavenumber in cm^-1", default=None)
    weight: dict[str, np.ndarray] | None = stored("weight", "1, cutoff in cm^-1", default=None)
    difference: dict[str, np.ndarray] | None = stored("difference", "1", default=None)


@dataclass(frozen=True)
class Coupling(Record, file_name="coupling.h5", kind="coupling"):
    """Raman intensity over density of states (coupling.h5), (n,) on the grid of the density of states.

    coupling        C(nu), mean Raman activity of a degree of freedom; NaN where the density of states is not clear of 0
    activity        C g: the density of d(alpha)/dt over k_B T; vdos: g, the total
    error_model     one standard deviation of C over the committee's members
    mean            of C over all states; low: over those below `cutoff`, relative to it
    spread          standard deviation of C over the states relative to its mean, noise deducted; 0: all scatter alike
    intensity       nu S/g, the intensity without temperature factor over the density of states; fluctuation: S/g;
                    ..._spread: of these, as `spread`
    exponent        p of C ~ nu^p over the states, which makes nu S/g ~ nu^(p - 1) and S/g ~ nu^(p - 2)
    exponent_model_error  one standard deviation over the committee's members
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    coupling: np.ndarray = stored("coupling", "Angstrom^4/u")
    error: np.ndarray = stored("error/coupling", "Angstrom^4/u")
    activity: np.ndarray = stored("activity", "Angstrom^4 cm/u")
    activity_error: np.ndarray = stored("error/activity", "Angstrom^4 cm/u")
    vdos: np.ndarray = stored("vdos", "cm")
    vdos_error: np.ndarray = stored("error/vdos", "cm")
    mean: float = stored("mean", "Angstrom^4/u")
    cutoff: float = stored("cutoff", "cm^-1")
    low: float = stored("low_over_mean", "1")
    low_error: float = stored("error/low_over_mean", "1")
    spread: float = stored("spread", "1")
    temperature: float = stored("temperature", "K")
    smoothing: float = stored("smoothing", "cm^-1")
    error_model: np.ndarray | None = stored("error/model", "Angstrom^4/u", default=None)
    intensity: np.ndarray | None = stored("intensity_over_vdos", "Angstrom^6/cm", default=None)
    fluctuation: np.ndarray | None = stored("fluctuation_over_vdos", "Angstrom^6", default=None)
    intensity_spread: float | None = stored("intensity_over_vdos_spread", "1", default=None)
    fluctuation_spread: float | None = stored("fluctuation_over_vdos_spread", "1", default=None)
    exponent: float | None = stored("exponent", "1", default=None)
    exponent_error: float | None = stored("error/exponent", "1", default=None)
    exponent_model_error: float | None = stored("error/exponent_model", "1", default=None)

    @property
    def full_exponent_error(self) -> float:
        """Of statistics, and of the model where there is a committee."""
        return float(np.hypot(self.exponent_error or 0.0, self.exponent_model_error or 0.0))
