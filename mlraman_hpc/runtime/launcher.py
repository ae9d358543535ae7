"""Who has started this process, and whether launcher and MPI library agree on the number of ranks.

A launcher of another MPI than the library's starts N serial copies, each of which would do all the work: refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from mlraman_hpc.base.errors import ExitCode
from mlraman_hpc.runtime.console import error_lines, write_stderr

# Order matters: mpirun inside an srun step has the variables of both.
_LAUNCHERS = (
    ("mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpirun (PMI)", "PMI_SIZE", "PMI_RANK"),
    ("mpiexec (PALS)", "PALS_SIZE", "PALS_RANKID"),
    ("mpirun (MVAPICH2)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


@dataclass(frozen=True)
class Launch:
    """What the launcher says of this process, from the environment alone."""

    name: str
    size: int
    rank: int

    def refuse_without_mpi(self, reason: Exception) -> NoReturn:
        """Leave, since mpi4py cannot be imported for this reason."""
        self._refuse(
            f"MPI cannot be used: {str(reason).splitlines()[0]}; load the site's MPI module or set MPI4PY_LIBMPI "
            "(on a laptop: pip install 'mlraman_hpc[mpi]')"
        )

    def refuse_foreign_library(self, library: str) -> None:
        """Leave if the launcher is of another kind of MPI than the library, which may hang or crash at its start."""
        of_open_mpi = any(name in library for name in ("Open MPI", "Spectrum"))
        if ("Open MPI" in self.name and not of_open_mpi) or (self.name == "mpirun (PMI)" and of_open_mpi):
            self._refuse(
                f"the MPI library is {library}: launcher and library do not match. Use the mpirun of that library, or "
                "load the launcher's (MPI4PY_LIBMPI names it)"
            )

    def refuse_serial_copies(self, size: int, library: str) -> None:
        """Leave if the MPI library sees another number of ranks than the launcher has started."""
        if size != self.size:
            self._refuse(
                f"the MPI library sees only {size}: launcher and library do not match, and each process would do all "
                f"the work. The library is {library}. Use the mpirun of that library, or srun --mpi=pmi2 (MPICH, "
                "Intel MPI) or --mpi=pmix (Open MPI)"
            )

    def _refuse(self, reason: str) -> NoReturn:
        if self.rank == 0:
            write_stderr(error_lines(f"{self.name} started {self.size} processes, but {reason}"))
        sys.exit(ExitCode.DECK)


def idle_tasks(env: Mapping[str, str] = os.environ) -> int:
    """Tasks of a Slurm job that do nothing, where this process was started in it without srun or mpirun."""
    tasks = env.get("SLURM_NTASKS", "")
    alone = launched(env) is None and "SLURM_JOB_ID" in env
    return int(tasks) - 1 if alone and tasks.isdigit() and int(tasks) > 1 else 0


def launched(env: Mapping[str, str] = os.environ) -> Launch | None:
    """The launcher that has started this process; None for a process by itself."""
    for name, size, rank in _LAUNCHERS:
        if env.get(size, "").isdigit():
            return Launch(name, int(env[size]), int(env.get(rank) or 0))
    return None
