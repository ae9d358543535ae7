"""Motion of the atoms: vibrations, diffusion, jumps between sites, activation energies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.fields import Record, stored


class Motion(str, Enum):
    """Whether a species diffuses within the trajectory. A member is the text of `Dynamics.verdict`.

    brief  a few words, for a label. The text of TOO_SHORT is followed by numbers in the file.
    """

    brief: str

    DIFFUSIVE = "diffusive", "diffusive"
    BOUND = "no diffusion: the mean squared displacement does not grow beyond its error", "no diffusion"
    CURVED = (
        "not diffusive yet: the mean squared displacement is still curved at the longest lags",
        "not diffusive yet",
    )
    LOCAL = (
        "not diffusive yet: local motion is larger than what is travelled in half of the trajectory",
        "not diffusive yet",
    )
    AT_REST = "the atoms do not move", "the atoms do not move"
    TOO_SHORT = "the trajectory is too short", "the trajectory is too short"

    def __new__(cls, text: str, brief: str) -> Motion:
        member = str.__new__(cls, text)
        member._value_ = text
        member.brief = brief
        return member

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def of(cls, verdict: str) -> Motion:
        """The member of a stored verdict; of those, only the one of TOO_SHORT has numbers in it."""
        return next((member for member in cls if member == verdict), cls.TOO_SHORT)


class JumpMotion(str, Enum):
    """What kind of motion the jumps between sites are. A member begins the text of `Jumps.verdict`."""

    NO_JUMPS = "no jump between sites was seen"
    HOPPING = "hopping"
    BETWEEN = "between hopping and liquid-like"
    LIQUID = "liquid-like"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Jumps:
    """Jumps between lattice sites (/jumps of dynamics.h5); dicts go by species.

    jumps               number; rate: for each atom, an upper bound (95 %) where there are none
    residence, flight   mean times on a site and between two; transit: share of the time between two
    outside             share of all time in no core; outside_volume: of the cell's volume
    returns             share of the jumps that lead back to the site before
    lengths, counts     of each kind of jump
    survival            share of stays that outlast `time`; expected: with one rate; one_rate: 1 yes, 0 no, -1 too few
    diffusion           of a random walk with these jumps; correlation: f = D / that
    position            (sites, 3) in the trajectory's mean cell; radius: of the cores; occupancy: mean number of atoms
    misfit              rms distance of the host's mean positions from the reference's
    """

    jumps: dict[str, int] = stored("number", "1")
    rate: dict[str, float] = stored("rate", "1/ps")
    rate_error: dict[str, float] = stored("error/rate", "1/ps")
    residence: dict[str, float] = stored("residence_time", "ps")
    residence_error: dict[str, float] = stored("error/residence_time", "ps")
    flight: dict[str, float] = stored("flight_time", "ps")
    transit: dict[str, float] = stored("transit", "1")
    outside: dict[str, float] = stored("outside", "1")
    outside_volume: dict[str, float] = stored("outside_volume", "1")
    returns: dict[str, float] = stored("returns", "1")
    lengths: dict[str, np.ndarray] = stored("length/value", "Angstrom")
    counts: dict[str, np.ndarray] = stored("length/number", "1")
    time: dict[str, np.ndarray] = stored("survival/time", "ps")
    survival: dict[str, np.ndarray] = stored("survival/share", "1")
    expected: dict[str, np.ndarray] = stored("survival/one_rate", "1")
    one_rate: dict[str, int] = stored("one_rate", "1")
    diffusion: dict[str, float] = stored("diffusion", "cm^2/s")
    diffusion_error: dict[str, float] = stored("error/diffusion", "cm^2/s")
    correlation: dict[str, float] = stored("correlation", "1")
    correlation_error: dict[str, float] = stored("error/correlation", "1")
    position: dict[str, np.ndarray] = stored("site/position", "Angstrom")
    radius: dict[str, np.ndarray] = stored("site/radius", "Angstrom")
    occupancy: dict[str, np.ndarray] = stored("site/occupancy", "1")
    cell: np.ndarray = stored("site/cell", "Angstrom")
    verdict: dict[str, str] = stored("verdict", "1")
    misfit: float = stored("misfit", "Angstrom")

    def motion(self, name: str) -> JumpMotion | None:
        """The member of a species' verdict; None for a species without one."""
        verdict = self.verdict.get(name, "")
        return next((member for member in JumpMotion if verdict.startswith(member.value)), None)


FOLDED = 0.02  # of the highest density of states, at the Nyquist wavenumber


def misses_fast_motion(vdos: np.ndarray) -> bool:
    """Whether the total density of states has not vanished at its end: frames are too far apart to see all motion."""
    return bool(vdos[-1] > FOLDED * vdos.max())


@dataclass(frozen=True)
class Dynamics(Record, file_name="dynamics.h5", kind="dynamics"):
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
    conductivity: Conductivity | None = stored("conductivity", "1", default=None)
    mobile: tuple[str, ...] = stored("mobile", "1", default=())
    warnings: tuple[str, ...] = stored("warnings", "1", default=())

    @property
    def misses_fast_motion(self) -> bool:
        return misses_fast_motion(self.vdos["total"])


@dataclass(frozen=True)
class Arrhenius:
    """Activation energies of materials computed at several temperatures; dicts go by 'series element'.

    material, temperature     (points,) of each series, by rising temperature
    diffusion, error, upper   (points,) NaN where there is only the upper end
    energy, prefactor         E_a and D_0; room: (3,) D at 300 K and both ends of one standard error
    line                      the fit from 300 K to the highest temperature; line_error: one standard error of ln D
    chi2, probability         NaN with two temperatures; energy and all else NaN where there is no fit
    verdict                   what limits the result
    """

    material: dict[str, tuple[str, ...]] = stored("material", "1")
    temperature: dict[str, np.ndarray] = stored("temperature", "K")
    diffusion: dict[str, np.ndarray] = stored("diffusion", "cm^2/s")
    error: dict[str, np.ndarray] = stored("error/diffusion", "cm^2/s")
    upper: dict[str, np.ndarray] = stored("upper", "cm^2/s")
    energy: dict[str, float] = stored("activation_energy", "eV")
    energy_error: dict[str, float] = stored("error/activation_energy", "eV")
    prefactor: dict[str, float] = stored("prefactor/value", "cm^2/s")
    prefactor_error: dict[str, float] = stored("prefactor/error_of_logarithm", "1")
    room: dict[str, np.ndarray] = stored("diffusion_300K", "cm^2/s")
    line_temperature: dict[str, np.ndarray] = stored("line/temperature", "K")
    line: dict[str, np.ndarray] = stored("line/diffusion", "cm^2/s")
    line_error: dict[str, np.ndarray] = stored("line/error_of_logarithm", "1")
    points: dict[str, int] = stored("points", "1")
    chi2: dict[str, float] = stored("chi2", "1")
    probability: dict[str, float] = stored("probability", "1")
    verdict: dict[str, str] = stored("verdict", "1")
