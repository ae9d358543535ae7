"""Jump statistics from stays of atoms on sites: rates, residence times, lengths, and what kind of motion they mean.

With n jumps of N atoms in the time t, the rate is n/(N t), and a random walk of these jumps diffuses with

    D_jump = sum of l^2 / (6 N t),        f = D / D_jump,

D being that of the mean squared displacement. f = 1 where successive jumps do not know of one another; jumps back
make it smaller. How many jumps there happened to be, and how long they were, is in both, so that the error of f is that
of a ratio: with D_i of each atom from its own mean squared displacement, weighted as D is, and d_i from its own jumps,
the scatter of D_i - f d_i, over D_jump and the root of N. The mean residence time is the time that all atoms spend on
sites over n, the mean flight that between sites over n: right whatever the distribution, and although the first and
last stays are cut off by the trajectory.

The distribution of residence times is Kaplan and Meier's estimate of the share of stays that outlast a time, from all
stays but each atom's first, the last ones counting as cut off. It is compared with one rate, (1 - p)^k for k frames, by
the largest difference (Lilliefors' test).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS
from mlraman_hpc.numerics import Booleans, Floats, Integers
from mlraman_hpc.numerics.jumps.sites import Sites, Stays
from mlraman_hpc.numerics.spectra.errorbars import student_factor
from mlraman_hpc.records.transport import JumpMotion

PS = 1e-3  # ps in a fs
SHELL = 0.15  # Angstrom between the lengths of two kinds of jumps
HOPPING, LIQUID = 0.2, 0.5  # share of the time in flight below which atoms hop, and above which they flow
UNDONE = 0.5  # f below which most of what jumps achieve is lost again
LILLIEFORS = 1.094  # over sqrt(n): 5 % point of the largest difference from an exponential with fitted mean
LEAST_STAYS = 20  # to say anything about their distribution
LEAST_RESIDENCE = 10  # frames between two jumps of an atom, for jumps to be told apart
UNSEEN = 3.0  # jumps that may be expected at most (95 %) where there was none


@dataclass(frozen=True)
class JumpStatistics:
    """Of one species.

    jumps, rate        number; 1/ps for each atom, with one standard error; upper bound (95 %) where there are none
    residence, flight  mean times, ps; NaN without jumps
    transit            share of the time in flight, between the core left and the core entered
    outside            share of all time in no core; outside_volume: the same for atoms spread evenly over the cell
    returns            share of the jumps that lead back to where the atom came from
    lengths, counts    (kinds,) mean length (Angstrom) and number of jumps of each length
    time, survival     (points,) ps, share of stays that last longer; expected: with one rate
    one_rate           True, False, or None where there are too few stays
    diffusion          D_jump, cm^2/s; correlation: f
    occupancy          (sites,) mean number of atoms
    """

    jumps: int
    rate: float
    rate_error: float
    residence: float
    residence_error: float
    flight: float
    transit: float
    outside: float
    outside_volume: float
    returns: float
    lengths: Floats
    counts: Integers
    time: Floats
    survival: Floats
    expected: Floats
    one_rate: bool | None
    diffusion: float
    diffusion_error: float
    correlation: float
    correlation_error: float
    occupancy: Floats
    warnings: tuple[str, ...]

    @property
    def motion(self) -> JumpMotion:
        """By the share of the time between sites."""
        if not self.jumps:
            return JumpMotion.NO_JUMPS
        if self.transit > LIQUID:
            return JumpMotion.LIQUID
        return JumpMotion.HOPPING if self.transit < HOPPING else JumpMotion.BETWEEN

    @property
    def undone(self) -> bool:
        """Whether the correlation factor is certainly so small that most jumps are undone by others."""
        return self.correlation + 2 * self.correlation_error < UNDONE

    @property
    def verdict(self) -> str:
        """The text of `Jumps.verdict`."""
        if self.motion is JumpMotion.NO_JUMPS:
            return str(self.motion)
        text = f"{self.motion}: {100 * self.transit:.0f} % of the time is spent between sites"
        if self.motion is JumpMotion.LIQUID:
            return text
        if self.one_rate is not None:
            text += f", and residence times are {'' if self.one_rate else 'not '}those of one rate"
        return text + ("; most jumps are undone by later ones" if self.undone else "")


def jump_statistics(stays: Stays, sites: Sites, frames: int, interval: float, diffusion: Floats) -> JumpStatistics:
    """Rate n/(N t), D_jump = sum of l^2 / (6 N t), f = D / D_jump and what else follows from the stays.

    interval: fs between frames; diffusion (atoms,): D of each (cm^2/s) from its mean squared displacement, NaN without
    one.
    """
    jumped = np.isfinite(stays.vector[:, 0])
    count, time = int(jumped.sum()), stays.atoms * frames * interval * PS  # ps
    square = np.sum(stays.vector[jumped] ** 2, axis=1)
    error = _summed_error(np.ones(count), stays.atom[jumped], stays.atoms)
    stayed, flown = (stays.last - stays.first + 1).sum(), (stays.first[1:] - stays.last[:-1] - 1)[jumped[1:]].sum()
    residence = stayed / count * interval * PS if count else np.nan
    lengths, counts = _shells(np.sqrt(square))
    unit = 1e-3 * CM2_PER_S_PER_ANGSTROM2_PER_FS / (6 * time)  # 1/ps is 1e-3/fs
    d_jump, d_error = square.sum() * unit, _summed_error(square, stays.atom[jumped], stays.atoms) * unit
    by_atom = np.bincount(stays.atom[jumped], square, minlength=stays.atoms) * unit * stays.atoms
    f, f_error = _correlation(diffusion, by_atom) if count else (np.nan, np.nan)
    times, survival, expected, one_rate = _distribution(stays, interval)
    transit = float(flown / (stayed + flown)) if stayed else np.nan
    return JumpStatistics(
        count,
        count / time if count else UNSEEN / time,
        error / time if count else np.nan,
        residence,
        residence * error / count if count else np.nan,
        flown / count * interval * PS if count else np.nan,
        transit,
        1 - float(stays.inside.sum() / (stays.atoms * frames)),
        sites.outside,
        _returns(stays, sites, jumped),
        lengths,
        counts,
        times,
        survival,
        expected,
        one_rate,
        d_jump,
        d_error,
        f,
        f_error,
        _occupancy(stays, len(sites.scaled), frames),
        _warnings(stays, sites, square, count, frames),
    )


def _correlation(diffusion: Floats, jumped: Floats) -> tuple[float, float]:
    """f and its error from each atom's D and D_jump (atoms,); a single atom has no scatter, and the error is NaN."""
    atoms, mean = len(jumped), jumped.mean()
    f = float(diffusion.mean() / mean)
    if atoms < 2:
        return f, np.nan
    scatter = float(np.std(diffusion - f * jumped, ddof=1))
    return f, scatter / np.sqrt(atoms) / float(mean) * student_factor(atoms - 1)


def _summed_error(values: Floats, atom: Integers, atoms: int) -> float:
    """Standard error of a sum over jumps: of independent jumps, or from the scatter among atoms if that is larger."""
    independent = float(np.sum(values**2))
    if atoms > 1:
        sums = np.bincount(atom, values, minlength=atoms)
        independent = max(independent, atoms * float(np.var(sums, ddof=1)))
    return float(np.sqrt(independent))


def _shells(lengths: Floats) -> tuple[Floats, Integers]:
    """Mean length and number of jumps of each kind: lengths closer than SHELL are of one kind."""
    order = np.sort(lengths)
    groups = np.split(order, 1 + np.flatnonzero(np.diff(order) > SHELL)) if len(order) else []
    return np.array([group.mean() for group in groups]), np.array([len(group) for group in groups], dtype=int)


def _returns(stays: Stays, sites: Sites, jumped: Booleans) -> float:
    """Of the jumps that follow another jump of the same atom, the share that leads back."""
    pairs = jumped[1:] & jumped[:-1]
    back = np.linalg.norm(stays.vector[1:] + stays.vector[:-1], axis=1) < 1e-3
    return float(back[pairs].mean()) if pairs.any() else np.nan


def _occupancy(stays: Stays, sites: int, frames: int) -> Floats:
    """(sites,) mean number of atoms."""
    return np.bincount(stays.site, stays.last - stays.first + 1, minlength=sites) / frames


def _distribution(stays: Stays, interval: float) -> tuple[Floats, Floats, Floats, bool | None]:
    """(times in ps, share of stays that last longer, expected with one rate, whether there is one rate)."""
    empty = np.zeros(0)
    not_first = np.concatenate([[False], stays.atom[1:] == stays.atom[:-1]])[: len(stays.atom)]
    duration = (stays.last - stays.first + 1)[not_first]
    ended = np.concatenate([not_first[1:], [False]])[not_first] if len(not_first) else not_first
    events = int(ended.sum())
    if not events:
        return empty, empty, empty, None
    longest = int(duration.max())
    ends = np.bincount(duration[ended], minlength=longest + 1)[1:]
    at_risk = np.cumsum(np.bincount(duration, minlength=longest + 1)[::-1])[::-1][1:]
    survival = np.cumprod(1 - ends / at_risk)
    expected = (1 - events / duration.sum()) ** np.arange(1, longest + 1)
    one_rate = bool(np.abs(survival - expected).max() < LILLIEFORS / np.sqrt(events)) if events >= LEAST_STAYS else None
    points = np.unique(np.geomspace(1, longest, 200).astype(int)) - 1
    return (points + 1) * interval * PS, survival[points], expected[points], one_rate


def _warnings(stays: Stays, sites: Sites, square: Floats, count: int, frames: int) -> tuple[str, ...]:
    texts = []
    never = stays.atoms - len(np.unique(stays.atom))
    if never:
        texts.append(f"{never} of {stays.atoms} atoms are never in the core of any site; sites may be missing")
    if count and stays.atoms * frames / count < LEAST_RESIDENCE:
        texts.append(
            f"an atom jumps every {stays.atoms * frames / count:.2g} frames, so that jumps are missed and "
            "joined; store frames more often"
        )
    long = float(np.mean(np.sqrt(square) > 1.6 * sites.neighbour.max())) if count else 0.0
    if long > 0.1:
        texts.append(
            f"{100 * long:.0f} % of the jumps pass over neighbouring sites: frames are too far apart, sites "
            "are missing, or atoms flow"
        )
    return tuple(texts)
