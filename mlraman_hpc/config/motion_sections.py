"""Sections of the deck on molecular dynamics: made, read, analysed, and its forces checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mlraman_hpc.config.keys import (
    Cell,
    Elements,
    ElementsOfAtoms,
    Files,
    Section,
    Temperatures,
    TrajectoryFormat,
    VelocityUnit,
    key,
)


class TrajectorySection(Section):
    """The molecular dynamics run along which alpha is predicted."""

    files: Files = key(..., "pieces of one run, in order; a glob is sorted by name")
    format: TrajectoryFormat = key("auto", "format of the files")
    frame_interval: float | None = key(
        None, "time between stored frames; needed where the file does not say", "fs", gt=0
    )
    runs: bool = key(
        False,
        "the files are not pieces of one run but independent runs of one system, all of one length: spectra, mean "
        "squared displacements and D are averaged, errors are from the scatter between runs",
    )
    first: int | None = key(None, "first frame to use, from 0; negative counts from the end")
    last: int | None = key(None, "frame before which to stop, as in a Python slice")
    every: int = key(1, "use every n-th frame", ge=1)
    species: ElementsOfAtoms | None = key(
        None,
        "elements of types 1, 2, ..., where the file has only types; of labels, as {1: Ag, Ow: O}; of every atom, or "
        "as [Ag16, I16], where it has not even types; D and T are hydrogen with their masses",
    )
    cell: Cell | None = key(None, "three lengths or three vectors of a fixed cell, where the file has none", "Angstrom")


class MdSection(Section):
    """Molecular dynamics with a force field that ASE can call, for those who have no trajectory."""

    structure: str = key(..., "structure file that ASE reads; constraints in it are not used")
    supercell: list[Annotated[int, Field(ge=1)]] = key(
        [1, 1, 1], "repetitions along the lattice vectors", min_length=3, max_length=3
    )
    calculator: str = key(
        ...,
        "ASE calculator as module:Class, or emt, lj, mace, mace-mp, sevennet, chgnet, upet, metatomic, nep, deepmd, "
        "lammps; its package is yours to install",
    )
    arguments: dict[str, Any] = key({}, "of the calculator, by name; names of files are relative to the deck")
    temperature: Temperatures = key(..., "one, or a list", "K")
    ensemble: Literal["nvt", "nve"] = key(
        "nvt", "of what is stored: a Nose-Hoover chain, or constant energy; both begin from equilibrated NVT"
    )
    replicas: int = key(1, "independent runs at each temperature", ge=1)
    length: float | None = key(None, "stored time of each run; null: planned from spectrum.smoothing", "fs", gt=0)
    time_step: float | None = key(None, "of the integrator; null: planned from the highest band", "fs", gt=0)
    frame_interval: float | None = key(
        None, "time between stored frames, a multiple of time_step; null: planned from the highest band", "fs", gt=0
    )
    highest_band: float | None = key(
        None, "highest wavenumber of the spectrum; null: by a Lanczos iteration with the force field", "cm^-1", gt=0
    )
    equilibration: float = key(
        2000.0, "before the first stored frame; prolonged up to five times while the energy drifts", "fs", ge=0
    )
    npt: float = key(
        0.0, "run at constant pressure before, whose mean volume scales the cell; 0: the structure's cell", "fs", ge=0
    )
    pressure: float = key(0.0, "of that run", "GPa")
    thermostat_time: float = key(100.0, "of the Nose-Hoover chain and of the Langevin thermostat", "fs", gt=0)
    seed: int = key(0, "of the velocities and the Langevin thermostat", ge=0)
    checkpoint: int = key(500, "steps between two states on the disk that a restart goes on from", ge=1)
    renew_calculator: bool | None = key(
        None,
        "make the calculator anew at each checkpoint, so that a restart gives the same bits though the calculator "
        "remembers earlier steps; null: unless it is known to remember none",
    )


class DynamicsSection(Section):
    """Vibrational density of states, mean squared displacement, diffusion; all stored frames, not every n-th."""

    mobile: Elements = key([], "elements that may diffuse, such as [Ag]; all others are the host lattice")
    drift: Literal["total", "host"] | None = key(
        None,
        "centre of mass at rest in the mean squared displacement: of everything or of the host lattice; "
        "null: host where 'mobile' leaves one",
    )
    fit_from: float | None = key(
        None, "shortest lag of the fit of D; null: where the mean squared displacement is straight", "fs", gt=0
    )
    fit_to: float | None = key(None, "longest lag of the fit of D; null: half of the trajectory", "fs", gt=0)
    smoothing: float = key(4.0, "sigma of the Gaussian that the density of states is convolved with", "cm^-1", gt=0)
    mass_weighted: bool = key(True, "density of states weighted with the masses; false: all atoms alike")
    blocks: int = key(8, "trajectory blocks for the error bars of the density of states", ge=2)
    memory: float | None = key(
        None,
        "for the atoms' motion on each rank; what is more is kept in a file in the output folder; null: half of "
        "what is free on the host, divided by its ranks",
        "MB",
        gt=0,
    )
    velocities: VelocityUnit = key(
        "auto", "unit of the file's velocities, told from the displacements with 'auto'; positions: not used"
    )
    charges: dict[str, float] = key(
        {},
        "charges of elements for the ionic conductivity, such as {Ag: 1, I: -1}; others: the usual oxidation "
        "states that make the cell neutral",
        "e",
    )
    arrhenius: str | None = key(
        None,
        "name of a series: the materials of a campaign that share it are one material at several temperatures, "
        "which gives its activation energy",
        pattern="^[^/]+$",
    )
    masses: dict[str, Annotated[float, Field(gt=0)]] = key(
        {}, "masses of elements, such as {H: 2.014}; others: those in the trajectory's files, or standard ones", "u"
    )
    temperature: float | None = key(
        None,
        "temperature of the run, with which that of the kinetic energy is compared; null: spectrum.temperature",
        "K",
        gt=0,
    )
    lattice_sites: str | None = key(
        None,
        "structure file with the sites of the mobile elements and the host lattice, in the trajectory's cell or "
        "one of which that is a multiple; given: jumps between sites are counted",
    )
    site_core: float | None = key(
        None,
        "distance from a site within which an atom has arrived there; null: a third of the distance to the "
        "nearest other site",
        "Angstrom",
        gt=0,
    )


class ForcesSection(Section):
    """Forces of the force field against those of the reference method, eV/Angstrom."""

    files: Files = key(..., "extended XYZ with the reference forces; a glob is sorted by name")
    reference: str = key("forces", "name of the array of reference forces")
    predicted: str | None = key(
        None,
        "name of the array of predicted forces, in the same files or in predicted_files; null: as 'reference', "
        "where there are predicted_files",
    )
    predicted_files: Files | None = key(
        None, "extended XYZ with the predicted forces of the same structures in the same order; null: the same files"
    )
