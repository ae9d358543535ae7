"""ASE's integrators, and their state as arrays: what a restart needs to go on with the same bits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.md.settings import Settings

Stage = Literal["npt", "equilibration", "nvt", "nve"]
CHAIN = 3  # thermostats of a chain
PRESSURE_TIMES = 10.0  # time of the barostat, in those of the thermostat

# private attributes of ASE's classes: everything but positions, momenta and cell that changes from step to step
_STATE: dict[str, tuple[str, ...]] = {
    "npt": (
        "_thermostat._eta",
        "_thermostat._p_eta",
        "_barostat._xi",
        "_barostat._p_xi",
        "_eps",
        "_p_eps",
        "_volume0",
        "_cell0",
    ),
    "equilibration": (),
    "nvt": ("_thermostat._eta", "_thermostat._p_eta"),
    "nve": (),
}


def make_integrator(
    stage: Stage, atoms: Any, temperature: float, settings: Settings, random: np.random.Generator
) -> Any:
    """The integrator of a stage, beginning with the positions and momenta of `atoms`.

    npt            isotropic Martyna-Tobias-Klein barostat with Nose-Hoover chains
    equilibration  Langevin: it thermalises every mode, also of a harmonic crystal, where a chain does not
    nvt            Nose-Hoover chain of the 3N - 3 degrees of freedom that are left with the centre of mass at rest
    nve            velocity Verlet

    Raises DataError where ASE is too old to have them.
    """
    integrator = _integrator(stage, atoms, temperature, settings, random)
    _alone(integrator)
    return integrator


def _integrator(stage: Stage, atoms: Any, temperature: float, settings: Settings, random: np.random.Generator) -> Any:
    from ase import units

    step, damping = settings.time_step * units.fs, settings.thermostat_time * units.fs
    try:
        if stage == "equilibration":
            from ase.md.langevin import Langevin

            return Langevin(
                atoms, step, temperature_K=temperature, friction=1 / damping, rng=random, **_without_fixed_centre()
            )
        if stage == "nve":
            from ase.md.verlet import VelocityVerlet

            return VelocityVerlet(atoms, step)
        from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
    except ImportError as error:
        raise DataError(f"'mlraman md' needs a newer ASE, with its Nose-Hoover chains: {error}") from None
    if stage == "nvt":
        integrator: Any = NoseHooverChainNVT(atoms, step, temperature, damping, tchain=CHAIN)
    else:
        integrator = IsotropicMTKNPT(
            atoms,
            step,
            temperature,
            settings.pressure * units.GPa,
            damping,
            PRESSURE_TIMES * damping,
            tchain=CHAIN,
            pchain=CHAIN,
        )
    _thermostat_of_internal_motion(integrator, temperature, damping)
    return integrator


def _alone(integrator: Any) -> None:
    """ASE would broadcast random numbers from MPI's first rank, where each rank has a run of its own."""
    from ase.parallel import DummyMPI

    integrator.comm = integrator.communicator = DummyMPI()  # the second is the name in older versions


def _without_fixed_centre() -> dict[str, Any]:
    """Older versions of ASE hold the centre of mass fixed by default, which does not sample NVT."""
    import inspect

    from ase.md.langevin import Langevin

    return {"fixcm": False} if "fixcm" in inspect.signature(Langevin).parameters else {}


def _thermostat_of_internal_motion(integrator: Any, temperature: float, damping: float) -> None:
    """ASE counts 3N degrees of freedom; with the centre of mass at rest that is too hot by N/(N - 1)."""
    from ase.md.nose_hoover_chain import NoseHooverChainThermostat

    integrator._thermostat = NoseHooverChainThermostat(
        num_atoms_global=max(1, len(integrator.atoms) - 1),
        masses=integrator.masses,
        temperature_K=temperature,
        tdamp=damping,
        tchain=CHAIN,
    )


def integrator_state(stage: Stage, integrator: Any) -> dict[str, np.ndarray]:
    """{attribute: value} of what changes from step to step, apart from the atoms."""
    return {path: np.array(getattr(*_owner(integrator, path))) for path in _STATE[stage]}


def set_integrator_state(stage: Stage, integrator: Any, state: dict[str, np.ndarray]) -> None:
    """The inverse of `integrator_state`."""
    for path in _STATE[stage]:
        value = state[path]
        setattr(*_owner(integrator, path), value.copy() if value.ndim else float(value))


def _owner(integrator: Any, path: str) -> tuple[Any, str]:
    *parents, name = path.split(".")
    for parent in parents:
        integrator = getattr(integrator, parent)
    return integrator, name


def conserved_energy(stage: Stage, integrator: Any) -> float:
    """eV; constant along an exact trajectory of the stage: the total energy, with that of the thermostat in NVT."""
    atoms = integrator.atoms
    energy = atoms.get_potential_energy() + atoms.get_kinetic_energy()
    if stage == "nvt":
        energy += integrator._thermostat.get_thermostat_energy()
    return float(energy)


def start_velocities(atoms: Any, temperature: float, random: np.random.Generator) -> None:
    """Maxwell-Boltzmann momenta with the centre of mass at rest, at exactly this temperature."""
    masses = atoms.get_masses()[:, None]
    atoms.set_momenta(random.standard_normal((len(atoms), 3)) * np.sqrt(masses))
    rest_centre_of_mass(atoms)
    present = kinetic_temperature(atoms)
    if present > 0:
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature / present))


def rest_centre_of_mass(atoms: Any) -> None:
    """Takes the velocity of the centre of mass from every atom; what is left of a canonical sample is canonical."""
    momenta, masses = atoms.get_momenta(), atoms.get_masses()[:, None]
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def kinetic_temperature(atoms: Any) -> float:
    """K, of the 3N - 3 degrees of freedom that are left with the centre of mass at rest."""
    from ase import units

    return float(2 * atoms.get_kinetic_energy() / (degrees_of_freedom(len(atoms)) * units.kB))


def degrees_of_freedom(atoms: int) -> int:
    """3N - 3, and 3 for one atom."""
    return max(3 * atoms - 3, 3)
