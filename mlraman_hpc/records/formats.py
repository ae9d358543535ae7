"""File formats that a deck may name, and the module that reads each."""

from __future__ import annotations

# format -> module of mlraman_hpc.readers.trajectory that has it as FORMAT; the first whose file names fit is taken
TRAJECTORY_FORMATS = {
    "xdatcar": ".xdatcar",
    "vasprun": ".vasprun",
    "vaspout": ".vaspout",
    "extxyz": ".extxyz",
    "lammps-dump": ".lammps",
    "ase-traj": ".ase_traj",
    "h5md": ".h5md",
}
