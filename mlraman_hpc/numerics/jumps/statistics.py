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

from dataclasses import dataclass, replace

import numpy as np

from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS
from mlraman_hpc.numerics.jumps.sites import Sites, Stays
from mlraman_hpc.numerics.spectra.errorbars import student_factor

PS = 1e-3  # ps in a fs
SHELL = 0.15  # Angstrom between the lengths of two kinds of jumps
HOPPING, LIQUID = 0.2, 0.5  # share of the time in flight below which atoms hop, and above which they flow
UNDONE = 0.5  # f below which most of what jumps achieve is lost again
LILLIEFORS = 1.094  # over sqrt(n): 5 % point of the largest difference from an exponential with fitted mean
LEAST_STAYS = 20  # to say anything about their distribution
LEAST_RESIDENCE = 10  # frames between two jumps of an atom, for jumps to be told apart
ZERO_SEEN = 3.0  # jumps that may be expected at most (95 %) where none was seen


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
    lengths: np.ndarray
    counts: np.ndarray
    time: np.ndarray
    survival: np.ndarray
    expected: np.ndarray
    one_rate: bool | None
    diffusion: float
    diffusion_error: float
    correlation: float
    correlation_error: float
    occupancy: np.ndarray
    verdict: str
    warnings: tuple[str, ...]


def jump_statistics(stays: Stays, sites: Sites, frames: int, interval: float, diffusion: np.ndarray) -> JumpStatistics:
    """`diffusion` (atoms,): D of each (cm^2/s) from its mean squared displacement, NaN where there is none."""
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
    found = JumpStatistics(
        count,
        count / time if count else ZERO_SEEN / time,
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
        "",
        _warnings(stays, sites, square, count, frames),
    )
    return _with_verdict(found)


def _correlation(diffusion: np.ndarray, jumped: np.ndarray) -> tuple[float, float]:
    """f and its error from each atom's D and D_jump (atoms,); a single atom has no scatter, and the error is NaN."""
    atoms, mean = len(jumped), jumped.mean()
    f = float(diffusion.mean() / mean)
    if atoms < 2:
        return f, np.nan
    scatter = float(np.std(diffusion - f * jumped, ddof=1))
    return f, scatter / np.sqrt(atoms) / float(mean) * student_factor(atoms - 1)


def _summed_error(values: np.ndarray, atom: np.ndarray, atoms: int) -> float:
    """Standard error of a sum over jumps: of independent jumps, or from the scatter among atoms if that is larger."""
    independent = float(np.sum(values**2))
    if atoms > 1:
        sums = np.bincount(atom, values, minlength=atoms)
        independent = max(independent, atoms * float(np.var(sums, ddof=1)))
    return float(np.sqrt(independent))


def _shells(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean length and number of jumps of each kind: lengths closer than SHELL are of one kind."""
    order = np.sort(lengths)
    groups = np.split(order, 1 + np.flatnonzero(np.diff(order) > SHELL)) if len(order) else []
    return np.array([group.mean() for group in groups]), np.array([len(group) for group in groups], dtype=int)


def _returns(stays: Stays, sites: Sites, jumped: np.ndarray) -> float:
    """Of the jumps that follow another jump of the same atom."""
    pairs = jumped[1:] & jumped[:-1]
    back = np.linalg.norm(stays.vector[1:] + stays.vector[:-1], axis=1) < 1e-3
    return float(back[pairs].mean()) if pairs.any() else np.nan


def _occupancy(stays: Stays, sites: int, frames: int) -> np.ndarray:
    return np.bincount(stays.site, stays.last - stays.first + 1, minlength=sites) / frames


def _distribution(stays: Stays, interval: float):
    """(times in ps, share of stays that last longer, expected with one rate, whether there is one rate)."""
    nothing = np.zeros(0)
    later = np.concatenate([[False], stays.atom[1:] == stays.atom[:-1]])[: len(stays.atom)]
    lasted = (stays.last - stays.first + 1)[later]
    ended = np.concatenate([later[1:], [False]])[later] if len(later) else later
    events = int(ended.sum())
    if not events:
        return nothing, nothing, nothing, None
    longest = int(lasted.max())
    ends = np.bincount(lasted[ended], minlength=longest + 1)[1:]
    at_risk = np.cumsum(np.bincount(lasted, minlength=longest + 1)[::-1])[::-1][1:]
    survival = np.cumprod(1 - ends / at_risk)
    expected = (1 - events / lasted.sum()) ** np.arange(1, longest + 1)
    one_rate = bool(np.abs(survival - expected).max() < LILLIEFORS / np.sqrt(events)) if events >= LEAST_STAYS else None
    keep = np.unique(np.geomspace(1, longest, 200).astype(int)) - 1
    return (keep + 1) * interval * PS, survival[keep], expected[keep], one_rate


def _warnings(stays: Stays, sites: Sites, square: np.ndarray, count: int, frames: int) -> tuple[str, ...]:
    texts = []
    lost = stays.atoms - len(np.unique(stays.atom))
    if lost:
        texts.append(f"{lost} of {stays.atoms} atoms are never in the core of any site; sites may be missing")
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


def _with_verdict(found: JumpStatistics) -> JumpStatistics:
    return replace(found, verdict=_verdict(found))


def _verdict(found: JumpStatistics) -> str:
    if not found.jumps:
        return "no jump between sites was seen"
    share = f"{100 * found.transit:.0f} % of the time is spent between sites"
    if found.transit > LIQUID:
        return f"liquid-like: {share}"
    kind = "hopping" if found.transit < HOPPING else "between hopping and liquid-like"
    rates = {
        True: ", and residence times are those of one rate",
        None: "",
        False: ", and residence times are not those of one rate",
    }[found.one_rate]
    undone = "; most jumps are undone by later ones" if found.correlation + 2 * found.correlation_error < UNDONE else ""
    return f"{kind}: {share}{rates}{undone}"
