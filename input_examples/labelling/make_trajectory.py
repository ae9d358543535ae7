"""trajectory.extxyz.gz of this example: diamond, eight atoms, 300 K, Keating's valence force field.

    V = 3 a/(16 d^2) sum_bonds (r^2 - d^2)^2 + 3 b/(8 d^2) sum_angles (r_ij . r_ik + d^2/3)^2

with b = 0.655 a and a such that the Raman line of the harmonic crystal lies at 1332 cm^-1. Keating, Phys. Rev. 145, 637
(1966). Constant energy after 2 ps of Langevin dynamics; time step 0.5 fs.
"""

import gzip

import numpy as np

LATTICE, MASS, TEMPERATURE = 3.567, 12.011, 300.0  # Angstrom, u, K
BOLTZMANN, ACCELERATION = 8.617333e-5, 9.648533e-3  # eV/K; Angstrom/fs^2 of 1 eV/(Angstrom u)
STEP, STORED, FRAMES = 0.5, 8, 2000  # fs, steps between frames
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SITES = np.concatenate([FCC, FCC + 0.25]) * LATTICE
BOND = np.sqrt(3) / 4 * LATTICE


def neighbours() -> tuple[np.ndarray, np.ndarray]:
    """(8, 4) neighbours of each atom, and (8, 4, 3) the lattice vectors to their images."""
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    vectors = SITES[None, :, None] + LATTICE * images - SITES[:, None, None]
    _, other, image = np.nonzero(np.abs(np.linalg.norm(vectors, axis=-1) - BOND) < 0.1)
    return other.reshape(8, 4), LATTICE * images[image].reshape(8, 4, 3)


OTHER, SHIFT = neighbours()


def forces(positions: np.ndarray, a: float) -> np.ndarray:
    """(8, 3) eV/Angstrom"""
    b, result = 0.655 * a, np.zeros((8, 3))
    r = positions[OTHER] + SHIFT - positions[:, None]  # each bond twice
    stretch = 3 * a / (16 * BOND**2) * 2 * ((r**2).sum(axis=-1) - BOND**2)[..., None] * 2 * r / 2
    gradient = stretch
    dots = np.einsum("ijc,ikc->ijk", r, r) + BOND**2 / 3
    dots[:, range(4), range(4)] = 0
    gradient = gradient + 3 * b / (8 * BOND**2) * 2 * np.einsum("ijk,ikc->ijc", dots, r)
    np.add.at(result, OTHER.ravel(), -gradient.reshape(-1, 3))
    return result + gradient.sum(axis=1)


def raman_line(a: float) -> float:
    """cm^-1, from the force constant of the two sublattices against one another."""
    shift = np.zeros((8, 3))
    shift[:4, 0], shift[4:, 0] = 1e-4, -1e-4
    constant = -forces(SITES + shift, a)[0, 0] / 1e-4
    return float(np.sqrt(constant / MASS * ACCELERATION) / (2 * np.pi) / 2.99792458e-5)


def main() -> None:
    a = (1332 / raman_line(1.0)) ** 2
    rng = np.random.default_rng(3)
    thermal = np.sqrt(BOLTZMANN * TEMPERATURE / MASS * ACCELERATION)
    positions, velocities = SITES.copy(), rng.normal(scale=thermal, size=(8, 3))
    velocities -= velocities.mean(axis=0)
    factor, force = ACCELERATION / MASS * STEP / 2, forces(positions, a)
    temperatures = []
    with gzip.open("trajectory.extxyz.gz", "wt", compresslevel=9) as file:
        for step in range(-4000, STORED * FRAMES):
            velocities += factor * force
            positions += STEP * velocities
            force = forces(positions, a)
            velocities += factor * force
            if step < 0:
                kept = np.exp(-STEP / 100)
                velocities = kept * velocities + np.sqrt(1 - kept**2) * thermal * rng.normal(size=(8, 3))
                velocities -= velocities.mean(axis=0)
            elif step % STORED == 0:
                cell = f'Lattice="{LATTICE} 0 0 0 {LATTICE} 0 0 0 {LATTICE}"'
                file.write(f'8\n{cell} Properties=species:S:1:pos:R:3 time_fs={step * STEP:g} pbc="T T T"\n')
                file.writelines(f"C {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in positions)
                temperatures.append(MASS * (velocities**2).sum() / ACCELERATION / BOLTZMANN / 21)
    print(f"a = {a:.3f} eV/Angstrom^2; {np.mean(temperatures):.0f} K")


if __name__ == "__main__":
    main()
