"""Input of other engines that samples as planned: LAMMPS, GPUMD, i-PI, VASP. Force fields are the user's to fill in."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.md.settings import Run, Settings


def engine_files(engine: str, atoms: Any, settings: Settings, run: Run) -> dict[str, str]:
    """{file name: content} of one run, for 'lammps', 'gpumd', 'ipi' or 'vasp'."""
    return {"lammps": _lammps, "gpumd": _gpumd, "ipi": _ipi, "vasp": _vasp}[engine](atoms, settings, run)


def trajectory_section(engine: str, settings: Settings, folder: str) -> str:
    """The deck's section that reads what the engine writes."""
    file, more = {
        "lammps": ("trajectory.lammpstrj", ", format: lammps-dump"),
        "gpumd": ("dump.xyz", ", format: extxyz"),
        "ipi": ("run.pos_0.extxyz", f", format: extxyz, first: {_frames_before(settings)}"),
        "vasp": ("XDATCAR", ", format: xdatcar"),
    }[engine]
    return f"trajectory: {{files: {folder}/{file}{more}, frame_interval: {settings.frame_interval:g}}}"


def without_barostat(engine: str) -> bool:
    """Whether the input has no run at constant pressure, so that the cell is that of the structure."""
    return engine in ("ipi", "vasp")


def _frames_before(settings: Settings) -> int:
    """Frames of i-PI's equilibration, which is in one run with production."""
    return -(-settings.equilibration // settings.stride)


def _seed(run: Run) -> int:
    return 1000 * run.seed + round(run.temperature) + 100_003 * run.replica + 1


def _written(atoms: Any, format_name: str, **options: Any) -> str:
    from ase.io import write

    stream = io.StringIO()
    write(stream, atoms, format=format_name, **options)
    return stream.getvalue()


def _kinds(atoms: Any) -> list[str]:
    """Elements in the order of their atomic numbers."""
    return symbols(np.unique(atoms.numbers))


def _lammps(atoms: Any, settings: Settings, run: Run) -> dict[str, str]:
    kinds, temperature, seed = _kinds(atoms), run.temperature, _seed(run)
    damping = settings.thermostat_time / 1000
    pressure, half = 1e4 * settings.pressure, max(1, settings.npt_steps // 2)
    barostat = f"""
# cell: the mean volume of the second half of a run at constant pressure
fix cell all npt temp {temperature:g} {temperature:g} {damping:g} iso {pressure:g} {pressure:g} {10 * damping:g}
variable volume equal vol
fix mean all ave/time 1 {half} {settings.npt_steps} v_volume
run {settings.npt_steps}
variable factor equal $((f_mean/vol)^(1/3))
change_box all x scale ${{factor}} y scale ${{factor}} z scale ${{factor}} remap
unfix mean
unfix cell
"""
    if (np.abs(atoms.cell.cellpar()[3:] - 90) > 1e-6).any():
        barostat = barostat.replace(
            "remap", "xy final $(xy*v_factor) xz final $(xz*v_factor) yz final $(yz*v_factor) remap"
        )
    if not settings.npt_steps:
        barostat = ""
    integrator = f"nvt temp {temperature:g} {temperature:g} {damping:g}" if settings.ensemble == "nvt" else "nve"
    text = f"""# {run.name}
units metal
atom_style atomic
boundary p p p
read_data structure.data

# the force field: fill in these two lines; types are {" ".join(kinds)}
pair_style FILL_IN
pair_coeff * * FILL_IN {" ".join(kinds)}

timestep {settings.time_step / 1000:g}
thermo 100
thermo_style custom step temp pe ke etotal press vol
velocity all create {temperature:g} {seed} mom yes rot no dist gaussian
{barostat}
# equilibration
fix bath all langevin {temperature:g} {temperature:g} {damping:g} {seed}
fix motion all nve
run {settings.equilibration}
unfix bath
unfix motion

# production
velocity all zero linear
reset_timestep 0
fix motion all {integrator}
dump frames all custom {settings.stride} trajectory.lammpstrj id element xu yu zu vx vy vz
dump_modify frames sort id element {" ".join(kinds)} format float %.10g
restart {settings.checkpoint} restart.1 restart.2
run {settings.production}
"""
    return {"in.lammps": text, "structure.data": _written(atoms, "lammps-data", specorder=kinds, masses=True)}


def _gpumd(atoms: Any, settings: Settings, run: Run) -> dict[str, str]:
    temperature = run.temperature
    damping = max(1, round(settings.thermostat_time / settings.time_step))
    pressure = f"{settings.pressure:g} 100 {10 * damping}"  # 100 GPa: the order of an elastic modulus
    if (np.abs(atoms.cell.cellpar()[3:] - 90) > 1e-6).any():  # of a skewed cell all components are controlled
        pressure = f"{f'{settings.pressure:g} ' * 3}0 0 0 {'100 ' * 6}{10 * damping}"
    barostat = (
        f"ensemble npt_scr {temperature:g} {temperature:g} {damping} {pressure}\nrun {settings.npt_steps}\n"
        if settings.npt_steps
        else ""
    )
    ensemble = f"nvt_nhc {temperature:g} {temperature:g} {damping}" if settings.ensemble == "nvt" else "nve"
    text = f"""# {run.name}
potential nep.txt
velocity {temperature:g} seed {_seed(run)}
time_step {settings.time_step:g}
{barostat}
# equilibration
ensemble nvt_lan {temperature:g} {temperature:g} {damping}
dump_thermo 100
run {settings.equilibration}

# production
ensemble {ensemble}
dump_thermo 100
dump_exyz {settings.stride} 1 0
run {settings.frames * settings.stride}
"""
    return {"run.in": text, "model.xyz": _written(atoms, "extxyz")}


def _ipi(atoms: Any, settings: Settings, run: Run) -> dict[str, str]:
    thermostat = f"<thermostat mode='svr'><tau units='femtosecond'> {settings.thermostat_time:g} </tau></thermostat>"
    text = f"""<!-- {run.name}; start the force field as a client of the socket 'mlraman' -->
<simulation verbosity='medium'>
  <output prefix='run'>
    <properties stride='100'> [step, time{{picosecond}}, conserved, temperature{{kelvin}}, potential] </properties>
    <trajectory filename='pos' stride='{settings.stride}' format='ase'> positions{{ase}} </trajectory>
    <checkpoint stride='{settings.checkpoint}'/>
  </output>
  <total_steps> {_frames_before(settings) * settings.stride + settings.production} </total_steps>
  <prng><seed> {_seed(run)} </seed></prng>
  <ffsocket name='force' mode='unix' pbc='false'><address> mlraman </address></ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='ase'> structure.extxyz </file>
      <velocities mode='thermal' units='kelvin'> {run.temperature:g} </velocities>
    </initialize>
    <forces><force forcefield='force'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nvt'>
        {thermostat}
        <timestep units='femtosecond'> {settings.time_step:g} </timestep>
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> {run.temperature:g} </temperature></ensemble>
  </system>
</simulation>
"""
    return {"input.xml": text, "structure.extxyz": _written(atoms, "extxyz")}


def _vasp(atoms: Any, settings: Settings, run: Run) -> dict[str, str]:
    """POSCAR and two INCARs: the first equilibrates, the second goes on from its CONTCAR."""
    order = atoms[[atom for kind in _kinds(atoms) for atom, symbol in enumerate(atoms.symbols) if symbol == kind]]
    count, friction = len(_kinds(atoms)), 1000 / settings.thermostat_time
    common = f"""SYSTEM = {run.name}
ISTART = 0
IBRION = 0
ISYM = 0
ISIF = 2
EDIFF = 1E-6
PREC = Normal
POTIM = {settings.time_step:g}
TEBEG = {run.temperature:g}
TEEND = {run.temperature:g}
"""
    period = max(1, round(settings.thermostat_time / settings.time_step))
    bath = (
        f"MDALGO = 4\nNHC_NCHAINS = 3\nNHC_PERIOD = {period}\n"
        if settings.ensemble == "nvt"
        else ("MDALGO = 1\nANDERSEN_PROB = 0.0\n")
    )
    seed = f"RANDOM_SEED = {_seed(run) % 900_000_000} 0 0\n"
    return {
        "POSCAR": _written(order, "vasp", direct=True),
        "INCAR.equilibration": common
        + seed
        + f"NSW = {settings.equilibration}\nMDALGO = 3\nLANGEVIN_GAMMA = {' '.join([f'{friction:g}'] * count)}\n",
        "INCAR.production": common + f"NSW = {settings.frames * settings.stride}\nNBLOCK = {settings.stride}\n" + bath,
    }
