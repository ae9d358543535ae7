"""How far D and its error bar can be trusted: processes whose D is known.

    python tests/benchmarks/diffusion_truth.py [SEEDS]      prints the table of 'mlraman docs dynamics'

`known` processes were looked at when the rule for the fit's lags and the error bars was made, `fresh` ones were not.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import special

from mlraman_hpc.numerics.transport.diffusion import diffusion
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags
from mlraman_hpc.records.transport import Motion

UNIT = 0.1  # cm^2/s for 1 Angstrom^2/fs
JUMP = 3.0  # Angstrom
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def caged(sites: np.ndarray, rng, rms: float = 0.3, memory: float = 0.7) -> np.ndarray:
    """Positions (atoms, 3, frames): a damped vibration about the sites."""
    noise = rng.normal(scale=rms * np.sqrt(1 - memory**2), size=sites.shape)
    local = rng.normal(scale=rms, size=sites.shape[:2])
    positions = sites.copy()
    for k in range(sites.shape[-1]):
        local = memory * local + noise[..., k]
        positions[..., k] += local
    return positions


def hops(rng, atoms: int, frames: int, residence, back: float = 0.0) -> np.ndarray:
    """Continuous-time random walk on a cubic lattice; `residence(rng, n)` draws n times in frames.

    back: probability that a jump goes back at once where it came from, else any of the six directions.
    """
    sites = np.zeros((atoms, 3, frames))
    start = 20.0 * float(np.mean(residence(rng, 1000)))  # the walk is stationary when we begin to look
    for atom in range(atoms):
        times = np.cumsum(residence(rng, int(3 * (frames + start) / np.mean(residence(rng, 1000))) + 50)) - start
        steps = AXES[rng.integers(6, size=len(times))] * JUMP
        if back:
            for k in np.flatnonzero(rng.random(len(times)) < back):
                steps[k] = -steps[k - 1] if k else steps[k]
        inside = (times >= 0) & (times < frames)
        at = np.minimum(np.ceil(times[inside]).astype(int), frames - 1)
        for axis in range(3):
            sites[atom, axis] = np.cumsum(np.bincount(at, weights=steps[inside, axis], minlength=frames))
    return sites


def exponential(mean: float):
    return lambda rng, n: rng.exponential(mean, n)


def two_times(short: float, long: float):
    """Half of the sites are left soon, half late."""
    return lambda rng, n: rng.exponential(np.where(rng.random(n) < 0.5, short, long))


def regular(mean: float):
    """Residence times that vary by half of their mean: gamma distribution of order 4."""
    return lambda rng, n: rng.gamma(4, mean / 4, n)


def liquid(rng, atoms: int, frames: int, memory: float = 30.0, speed: float = 0.05) -> np.ndarray:
    """Velocities that decay over `memory` frames: D = speed^2 memory."""
    keep = np.exp(-1 / memory)
    velocity = rng.normal(scale=speed, size=(atoms, 3))
    kicks = rng.normal(scale=speed * np.sqrt(1 - keep**2), size=(frames, atoms, 3))
    positions = np.empty((atoms, 3, frames))
    at = np.zeros((atoms, 3))
    for k in range(frames):
        velocity = keep * velocity + kicks[k]
        at = at + velocity
        positions[..., k] = at
    return positions


def liquid_d(memory: float = 30.0, speed: float = 0.05) -> float:
    """Of the walk with discrete steps: half the sum of the velocity's correlation."""
    keep = np.exp(-1 / memory)
    return 0.5 * speed**2 * (1 + keep) / (1 - keep)


def patches(rng, atoms: int, frames: int, lasting: float = 150.0, step: float = 0.4) -> np.ndarray:
    """Atoms that are mobile and stuck in turn, each for `lasting` frames on average."""
    mobile = np.empty((atoms, frames), dtype=bool)
    state = rng.random(atoms) < 0.5
    for k in range(frames):
        mobile[:, k] = state
        state = state ^ (rng.random(atoms) < 1 / lasting)
    return np.cumsum(rng.normal(scale=step, size=(atoms, 3, frames)) * mobile[:, None, :], axis=-1)


def washboard(
    rng, atoms: int, frames: int, barrier: float = 3.0, substeps: int = 20, spread: float = 0.1
) -> np.ndarray:
    """Overdamped motion in barrier kT sin^2(pi x/JUMP) along each axis; free D = spread^2/2 a substep."""
    x = rng.uniform(0, JUMP, size=(atoms, 3))
    positions = np.empty((atoms, 3, frames))
    push = 0.5 * spread**2 * barrier * np.pi / JUMP
    for k in range(-200, frames):
        for _ in range(substeps):
            x = x - push * np.sin(2 * np.pi / JUMP * x) + rng.normal(scale=spread, size=x.shape)
        if k >= 0:
            positions[..., k] = x
    return positions


def washboard_d(barrier: float = 3.0, substeps: int = 20, spread: float = 0.1) -> float:
    """S. Lifson, J. L. Jackson, J. Chem. Phys. 36, 2410 (1962): D_0 / I_0(barrier/2)^2."""
    return 0.5 * spread**2 * substeps / special.i0(barrier / 2) ** 2


def swinging(sites: np.ndarray, rng, rms: float = 0.3, period: float = 14.0, memory: float = 0.93) -> np.ndarray:
    """Positions (atoms, 3, frames): an underdamped vibration about the sites, real part of a turning complex number."""
    keep = memory * np.exp(2j * np.pi / period)

    def noise():
        return rms * (rng.normal(size=sites.shape[:2]) + 1j * rng.normal(size=sites.shape[:2]))

    local, positions = noise(), sites.copy()
    for k in range(sites.shape[-1]):
        local = keep * local + np.sqrt(1 - memory**2) * noise()
        positions[..., k] += local.real
    return positions


def uneven(mean: float):
    """Residence times from a lognormal distribution whose logarithm varies by one."""
    return lambda rng, n: rng.lognormal(np.log(mean) - 0.5, 1.0, n)


def fresh():
    """name -> (function of (rng, atoms, frames), D in Angstrom^2 a frame)."""
    d = JUMP**2 / 6
    return {
        "periodic potential, barrier 3 kT": (washboard, washboard_d()),
        "periodic potential, barrier 7 kT": (lambda rng, n, f: washboard(rng, n, f, 7.0), washboard_d(7.0)),
        "hops, residence 6 frames, swinging": (lambda rng, n, f: swinging(hops(rng, n, f, exponential(6)), rng), d / 6),
        "hops, 30 frames, swinging": (lambda rng, n, f: swinging(hops(rng, n, f, exponential(30)), rng), d / 30),
        "hops, 120 frames, slow vibration": (
            lambda rng, n, f: caged(hops(rng, n, f, exponential(120)), rng, 0.4, 0.9),
            d / 120,
        ),
        "hops, lognormal, mean 40": (lambda rng, n, f: caged(hops(rng, n, f, uneven(40)), rng), d / 40),
        "hops, 30 frames, a quarter goes back": (
            lambda rng, n, f: caged(hops(rng, n, f, exponential(30), 0.25), rng),
            d / 30 * 0.75 / 1.25,
        ),
        "hops, 40 frames, in a plane": (
            lambda rng, n, f: caged(hops(rng, n, f, exponential(40)) * np.array([1, 1, 0])[:, None], rng),
            d / 40 * 2 / 3,
        ),
        "liquid, velocity lasts 5 and 40": (
            lambda rng, n, f: liquid(rng, n, f, 5, 0.1) + liquid(rng, n, f, 40, 0.03),
            liquid_d(5, 0.1) + liquid_d(40, 0.03),
        ),
        "mobile and stuck in turn, 60 each, vibration": (
            lambda rng, n, f: caged(patches(rng, n, f, 60), rng),
            0.5 * 0.4**2 / 2,
        ),
        "Brownian": (lambda rng, n, f: np.cumsum(rng.normal(scale=0.3, size=(n, 3, f)), axis=-1), 0.045),
    }


def known():
    """name -> (function of (rng, atoms, frames), D in Angstrom^2 a frame)."""
    d = JUMP**2 / 6
    found = {
        f"hops, residence {tau} frames": (
            lambda rng, n, f, tau=tau: caged(hops(rng, n, f, exponential(tau)), rng),
            d / tau,
        )
        for tau in (10, 50, 250)
    }
    found["hops, residence 20 or 200"] = (lambda rng, n, f: caged(hops(rng, n, f, two_times(20, 200)), rng), d / 110)
    found["hops, residence 50 ± 25"] = (lambda rng, n, f: caged(hops(rng, n, f, regular(50)), rng), d / 50)
    # each jump is followed by its reverse with probability b: <u_k u_(k+m)> = (-b)^m, D = D_0 (1 - b)/(1 + b)
    found["hops, residence 20, half go back"] = (
        lambda rng, n, f: caged(hops(rng, n, f, exponential(20), 0.5), rng),
        d / 20 / 3,
    )
    found["liquid, velocity lasts 30"] = (liquid, liquid_d())
    found["mobile and stuck in turn, 150 each"] = (lambda rng, n, f: caged(patches(rng, n, f), rng), 0.5 * 0.4**2 / 2)
    return found


SIZES = {known: ((16, 2400), (64, 700)), fresh: ((24, 1500), (96, 600))}  # atoms, frames


def main(seeds: int) -> None:
    print("| process | atoms | frames | diffusive | within 1 | within 2 | mean D / truth | scatter | error bar |")
    print("|---|---|---|---|---|---|---|---|---|")
    for group, sizes in SIZES.items():
        for name, (make, truth) in group().items():
            for atoms, frames in sizes:
                print(row(name, make, truth, atoms, frames, seeds), flush=True)


def row(name: str, make, truth: float, atoms: int, frames: int, seeds: int) -> str:
    values, errors = [], []
    lags = log_lags(frames)
    for seed in range(seeds):
        positions = make(np.random.default_rng([seed, atoms, frames]), atoms, frames)
        found = diffusion(displacement_sums(positions, lags), lags, 1.0)
        if found.motion is Motion.DIFFUSIVE:
            values.append(found.value / UNIT / truth)
            errors.append(found.error / UNIT / truth)
    head = f"| {name} | {atoms} | {frames} | {100 * len(values) / seeds:.0f} % |"
    if len(values) < seeds / 10:
        return head + " - | - | - | - | - |"
    values, errors = np.array(values), np.array(errors)
    z = np.abs(values - 1) / errors
    return (
        f"{head} {np.mean(z < 1):.2f} | {np.mean(z < 2):.2f} | {values.mean():.3f} | {values.std(ddof=1):.3f} | "
        f"{np.sqrt(np.mean(errors**2)):.3f} |"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
