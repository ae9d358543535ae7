"""The nouns: frozen dataclasses of arrays, with axes and units.

A field made with `stored` says where it lies in its HDF5 file and in which unit; `store.py` needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlraman_hpc.schema.motion import Jumps
from mlraman_hpc.schema.stored import stored


@dataclass(frozen=True)
class Frames:
    """Atomic configurations; the atoms of all frames are laid end to end, so their number may vary.

    positions   (atoms of all frames, 3) Angstrom, Cartesian
    numbers     (atoms of all frames,) atomic numbers
    first_atom  (frames + 1,) frame k owns atoms first_atom[k] to first_atom[k + 1]
    cells       (frames, 3, 3) Angstrom, rows are lattice vectors; zero along directions that are not periodic
    periodic    (frames, 3) bool
    index       (frames,) number of each frame in the file (or chain of files) it was read from, from 0
    """

    positions: np.ndarray
    numbers: np.ndarray
    first_atom: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.first_atom) - 1

    @property
    def atoms_per_frame(self) -> np.ndarray:
        return np.diff(self.first_atom)

    @property
    def frame_of_atom(self) -> np.ndarray:
        return np.repeat(np.arange(len(self)), self.atoms_per_frame)

    @property
    def volumes(self) -> np.ndarray:
        """(frames,) Angstrom^3; NaN where the frame is not periodic in all three directions."""
        volumes = np.abs(np.linalg.det(self.cells))
        return np.where(self.periodic.all(axis=1), volumes, np.nan)

    def take(self, which) -> Frames:
        """The frames with these places (integers or a boolean mask), in this order."""
        which = np.arange(len(self))[which]
        counts = self.atoms_per_frame[which]
        starts = self.first_atom[which]
        first_atom = np.concatenate([[0], np.cumsum(counts)])
        atoms = np.arange(first_atom[-1]) + np.repeat(starts - first_atom[:-1], counts)
        return replace(
            self, positions=self.positions[atoms], numbers=self.numbers[atoms], first_atom=first_atom,
            cells=self.cells[which], periodic=self.periodic[which], index=self.index[which],
        )

    @staticmethod
    def join(parts: list[Frames]) -> Frames:
        """Frames of all parts, one after another."""
        counts = np.concatenate([part.atoms_per_frame for part in parts])
        return Frames(
            positions=np.concatenate([part.positions for part in parts]),
            numbers=np.concatenate([part.numbers for part in parts]),
            first_atom=np.concatenate([[0], np.cumsum(counts)]),
            cells=np.concatenate([part.cells for part in parts]),
            periodic=np.concatenate([part.periodic for part in parts]),
            index=np.concatenate([part.index for part in parts]),
        )


@dataclass(frozen=True)
class Labels:
    """Frames with reference tensors.

    polarizability  (frames, 3, 3) Angstrom^3, of the whole cell, symmetric
    source          where each came from: 'file.extxyz, frame 12' or '000010.OUTCAR.gz'
    """

    frames: Frames
    polarizability: np.ndarray
    source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, which) -> Labels:
        which = np.arange(len(self))[which]
        return Labels(self.frames.take(which), self.polarizability[which], tuple(self.source[k] for k in which))


@dataclass(frozen=True)
class Descriptor:
    """Hyper-parameters of lambda-SOAP, featomic's names; lengths in Angstrom. max_radial + 1 radial functions."""

    cutoff: float = stored("cutoff", "Angstrom")
    cutoff_width: float = stored("cutoff_width", "Angstrom")
    density_width: float = stored("density_width", "Angstrom")
    max_angular: int = stored("max_angular", "1")
    max_radial: int = stored("max_radial", "1")


ELEMENTS = tuple(
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og".split()
)


@dataclass(frozen=True)
class Model:
    """Linear lambda-SOAP model of the polarizability (model.h5).

    alpha = sum_s N_s b_s 1 + spherical parts lambda = 0, 2 of sum over centre species s of X^{s, lambda} w^{s, lambda};
    the columns P0, P2 are those of `model.descriptors.Features`.

    species         S symbols, in the order of centre species and of neighbour channels
    baseline        (S,) b_s, Angstrom^3 for each atom of the species
    isotropic       (P0,) weights for lambda = 0; anisotropic (P2,) for lambda = 2
    committee_...   (M, ...) the same of each committee member, calibrated; M may be 0
    regularization  {'isotropic', 'anisotropic'}: ridge parameter relative to the features' variance
    calibration     {'isotropic', 'anisotropic'}: factor by which the committee's spread was scaled
    train, test     rows of the labelled set
    scores          {'r2', 'rmse'} -> {'diagonal', 'off_diagonal', 'xx', ...} of the test rows
    lowest, highest (S, K) range of the training atoms' invariants, see `Features`
    number_density  (2,) smallest and largest of fully periodic training frames, atoms/Angstrom^3; NaN without any
    """

    descriptor: Descriptor = stored("descriptor", "1")
    species: tuple[str, ...] = stored("species", "1")
    baseline: np.ndarray = stored("weights/baseline", "Angstrom^3")
    isotropic: np.ndarray = stored("weights/isotropic", "Angstrom^3")
    anisotropic: np.ndarray = stored("weights/anisotropic", "Angstrom^3")
    committee_baseline: np.ndarray = stored("committee/baseline", "Angstrom^3")
    committee_isotropic: np.ndarray = stored("committee/isotropic", "Angstrom^3")
    committee_anisotropic: np.ndarray = stored("committee/anisotropic", "Angstrom^3")
    regularization: dict[str, float] = stored("regularization", "1")
    calibration: dict[str, float] = stored("calibration", "1")
    train: np.ndarray = stored("train", "1")
    test: np.ndarray = stored("test", "1")
    scores: dict[str, dict[str, float]] = stored("scores", "1 for r2, Angstrom^3 for rmse")
    lowest: np.ndarray = stored("training_range/lowest", "1")
    highest: np.ndarray = stored("training_range/highest", "1")
    number_density: np.ndarray = stored("training_range/number_density", "1/Angstrom^3")

    @property
    def numbers(self) -> np.ndarray:
        """(S,) atomic numbers"""
        return np.array([ELEMENTS.index(symbol) for symbol in self.species])

    @property
    def members(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """(baseline, isotropic, anisotropic) of each committee member"""
        return tuple(zip(self.committee_baseline, self.committee_isotropic, self.committee_anisotropic))


@dataclass(frozen=True)
class LearningCurve:
    """Errors on one test set of `test_size` labels against N_T (learning_curve.h5); keys are 'diagonal', 'xx', ...

    r2, rmse              (sizes,) means over draws; ..._spread: standard deviations
    r2_draws, rmse_draws  (sizes, draws)
    """

    train_size: np.ndarray = stored("train_size", "1")
    r2: dict[str, np.ndarray] = stored("r2", "1")
    rmse: dict[str, np.ndarray] = stored("rmse", "Angstrom^3")
    r2_spread: dict[str, np.ndarray] = stored("spread/r2", "1")
    rmse_spread: dict[str, np.ndarray] = stored("spread/rmse", "Angstrom^3")
    r2_draws: dict[str, np.ndarray] = stored("draws/r2", "1")
    rmse_draws: dict[str, np.ndarray] = stored("draws/rmse", "Angstrom^3")
    test_size: int = stored("test_size", "1")


@dataclass(frozen=True)
class Convergence:
    """Spectra on the way to the final one (convergence.h5).

    A distance is the relative L2 norm ||I - I_final|| / ||I_final|| of the smoothed total, where it has intensity.

    train_size, train_distance    (sizes,); train_spectra (sizes, wavenumbers); None without labels
    length, length_distance       (parts,) ps; length_spectra (parts, wavenumbers)
    length_expected               (parts,) the distance that statistics alone let expect
    statistical_error             of the final spectrum, as such a norm
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    length: np.ndarray = stored("length/time", "ps")
    length_spectra: np.ndarray = stored("length/intensity", "Angstrom^6")
    length_distance: np.ndarray = stored("length/distance", "1")
    length_expected: np.ndarray = stored("length/expected_distance", "1")
    statistical_error: float = stored("statistical_error", "1")
    train_size: np.ndarray | None = stored("train/size", "1", default=None)
    train_spectra: np.ndarray | None = stored("train/intensity", "Angstrom^6", default=None)
    train_distance: np.ndarray | None = stored("train/distance", "1", default=None)


@dataclass(frozen=True)
class Comparison:
    """The smoothed total against other spectra (comparison.h5).

    ours, error         (wavenumbers,) prediction and its statistical error
    reference           of reference tensors; distance: relative L2 norm of the difference where there is intensity
    experiment          measured intensity times `scale`, which makes the areas over `scaled_over` (2,) equal
    spectra             {label: {wavenumber, intensity, error}} of this and other runs, relative to the highest
    weight              {label: value, error, cutoff} share of the intensity below the cutoff
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
    spectra: dict[str, dict[str, np.ndarray]] | None = stored("spectra", "1, wavenumber in cm^-1", default=None)
    weight: dict[str, np.ndarray] | None = stored("weight", "1, cutoff in cm^-1", default=None)


@dataclass(frozen=True)
class PolarizabilitySeries:
    """alpha along a trajectory (alpha.h5, H5MD 1.1).

    value       (frames, 3, 3) of the whole cell, symmetric
    by_species  (frames, species, 3, 3) share of each centre species; their sum is `value`
    members     (frames, members, 3, 3) of each committee member, calibrated
    outliers    (frames,) atoms far outside the model's training range
    """

    value: np.ndarray = stored("observables/polarizability/value", "Angstrom^3")
    step: np.ndarray = stored("observables/polarizability/step", "1")
    time: np.ndarray = stored("observables/polarizability/time", "fs")
    by_species: np.ndarray | None = stored("observables/polarizability_by_species/value", "Angstrom^3", default=None)
    members: np.ndarray | None = stored("observables/polarizability_committee/value", "Angstrom^3", default=None)
    outliers: np.ndarray | None = stored("observables/outliers/value", "1", default=None)
    species: tuple[str, ...] | None = stored("observables/polarizability_by_species/species", "1", default=None)

    @property
    def frame_interval(self) -> float:
        """fs"""
        return float(self.time[1] - self.time[0])


@dataclass(frozen=True)
class CentralPeak:
    """Low-frequency part of the spectrum; each number with its jackknife error.

    weight                share of the total intensity below `cutoff`
    zero_*                zero-frequency limit of the one-sided spectral density of alpha's fluctuations
    debye_width           Gamma of the Debye term (2/pi) A Gamma / (Gamma^2 + nu^2); NaN without one
    debye_area            A of that term; modes: area, wavenumber and damping of the damped oscillators
    rise                  total density at zero over its mean between `cutoff` and twice it; above 1: something relaxes
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
    debye_area: float | None = stored("debye_area", "Angstrom^6", default=None)
    debye_area_error: float | None = stored("debye_area_error", "Angstrom^6", default=None)
    debye_width: float | None = stored("debye_width", "cm^-1", default=None)
    debye_width_error: float | None = stored("debye_width_error", "cm^-1", default=None)
    mode_area: np.ndarray | None = stored("mode_area", "Angstrom^6", default=None)
    mode_area_error: np.ndarray | None = stored("mode_area_error", "Angstrom^6", default=None)
    mode_wavenumber: np.ndarray | None = stored("mode_wavenumber", "cm^-1", default=None)
    mode_wavenumber_error: np.ndarray | None = stored("mode_wavenumber_error", "cm^-1", default=None)
    mode_damping: np.ndarray | None = stored("mode_damping", "cm^-1", default=None)
    mode_damping_error: np.ndarray | None = stored("mode_damping_error", "cm^-1", default=None)
    fit_wavenumber: np.ndarray | None = stored("fit_wavenumber", "cm^-1", default=None)
    fit: np.ndarray | None = stored("fit", "Angstrom^6 cm", default=None)


@dataclass(frozen=True)
class AngleMap:
    """Intensity of an oriented crystal against polarization angle; parallel and crossed (angles, wavenumbers)."""

    angle: np.ndarray = stored("angle", "degree")
    parallel: np.ndarray = stored("parallel", "Angstrom^6")
    crossed: np.ndarray = stored("crossed", "Angstrom^6")


@dataclass(frozen=True)
class RamanSpectrum:
    """Raman spectra on one grid (raman.h5).

    intensity and raw      the same names, with and without smoothing: total = isotropic + anisotropic, polarized (VV),
                           depolarized (VH), susceptibility (no laser, no temperature)
    fluctuation            smoothed one-sided spectral densities of alpha itself: isotropic S_a, anisotropic S_g, total
    error_statistical      one standard error of `intensity`, from trajectory blocks
    error_model            one standard deviation over the committee's members
    error_geometry         one standard error of `geometry`, from trajectory blocks
    species                smoothed auto spectra ('Ag') and cross spectra ('Ag-I'); they add up to the total
    component              smoothed cross spectra 'xx-yy' of tensor components, in the axes of the trajectory
    geometry               oriented single crystal, one spectrum for each scattering geometry
    resolution             sigma of the Gaussian as wide as the taper's spectral kernel
    visible_end            where the total has vanished
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
    error_geometry: dict[str, np.ndarray] | None = stored("error/geometry", "Angstrom^6", default=None)
    blocks: int | None = stored("error/blocks", "1", default=None)
    species: dict[str, np.ndarray] | None = stored("species", "Angstrom^6", default=None)
    geometry: dict[str, np.ndarray] | None = stored("geometry", "Angstrom^6", default=None)
    angle_map: AngleMap | None = stored("angle_map", "1", default=None)
    central_peak: CentralPeak | None = stored("central_peak", "1", default=None)
    warnings: tuple[str, ...] = stored("warnings", "1", default=())


@dataclass(frozen=True)
class Dynamics:
    """Motion of the atoms (dynamics.h5); dicts go by species.

    vdos, vdos_error    degrees of freedom per cm^-1, smoothed, also 'total'; degrees: their integrals
    msd                 all time origins; drift of `drift` removed
    non_gaussian        alpha_2 at `lag_time`; rms_displacement: about each atom's mean position
    diffusion           NaN where `verdict` is not 'diffusive'; diffusion_axes (3,) along each axis
    fit_window          (2,) first and last lag; the line is fit_offset + 6 fit_slope t
    diffusion_upper     the line's slope plus two standard errors
    diffusion_from_vdos zero-frequency limit of the velocities' spectrum, in the frame of the MSD
    source              of the velocities; resolution: sigma of the Gaussian as wide as the taper's spectral kernel
    """

    wavenumber: np.ndarray = stored("vdos/wavenumber", "cm^-1")
    vdos: dict[str, np.ndarray] = stored("vdos", "cm")
    vdos_error: dict[str, np.ndarray] = stored("error/vdos", "cm")
    degrees: dict[str, float] = stored("degrees_of_freedom", "1")
    time: np.ndarray = stored("msd/time", "fs")
    msd: dict[str, np.ndarray] = stored("msd", "Angstrom^2")
    lag_time: np.ndarray = stored("non_gaussian/time", "fs")
    non_gaussian: dict[str, np.ndarray] = stored("non_gaussian", "1")
    rms_displacement: dict[str, float] = stored("rms_displacement", "Angstrom")
    diffusion: dict[str, float] = stored("diffusion", "cm^2/s")
    diffusion_error: dict[str, float] = stored("error/diffusion", "cm^2/s")
    diffusion_axes: dict[str, np.ndarray] = stored("diffusion_axes", "cm^2/s")
    diffusion_axes_error: dict[str, np.ndarray] = stored("error/diffusion_axes", "cm^2/s")
    diffusion_upper: dict[str, float] = stored("diffusion_upper", "cm^2/s")
    diffusion_from_vdos: dict[str, float] = stored("diffusion_from_vdos", "cm^2/s")
    diffusion_from_vdos_error: dict[str, float] = stored("error/diffusion_from_vdos", "cm^2/s")
    fit_window: dict[str, np.ndarray] = stored("fit/window", "fs")
    fit_offset: dict[str, float] = stored("fit/offset", "Angstrom^2")
    fit_slope: dict[str, float] = stored("fit/diffusion", "cm^2/s")
    verdict: dict[str, str] = stored("verdict", "1")
    temperature: float = stored("temperature", "K")
    frames: int = stored("frames", "1")
    frame_interval: float = stored("frame_interval", "fs")
    smoothing: float = stored("smoothing", "cm^-1")
    resolution: float = stored("resolution", "cm^-1")
    nyquist: float = stored("nyquist", "cm^-1")
    mass_weighted: bool = stored("mass_weighted", "1")
    drift: str = stored("drift", "1")
    source: str = stored("velocity_source", "1")
    jumps: Jumps | None = stored("jumps", "1", default=None)
    mobile: tuple[str, ...] = stored("mobile", "1", default=())
    warnings: tuple[str, ...] = stored("warnings", "1", default=())
