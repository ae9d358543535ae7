#!/bin/bash
# Slurm: many spectra, each a task of a job array, eight at a time. Each deck needs an 'output' of its own.
# Change the lines marked <--, then: sbatch --array=0-19%8 slurm_array.sh decks/*.yaml   (20 decks: 0-19)
#SBATCH --job-name=mlraman
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=48       # <-- cores of a node
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00            # <-- for the longest of them
#SBATCH --signal=USR1@120          # two minutes before the limit mlraman writes what it has and exits with code 75
#SBATCH --requeue
#SBATCH --open-mode=append         # keep the log when a task is started again
#SBATCH --output=mlraman-%A_%a.log
# Add your site's --account and --partition.

decks=("$@")
deck=${decks[${SLURM_ARRAY_TASK_ID:?submit with --array}]:?there are only $# decks}

module load Python OpenMPI         # <-- your site's modules; the MPI must be the one that srun talks to
source "$HOME/mlraman/bin/activate"  # <-- the environment that mlraman is installed in

export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
srun --kill-on-bad-exit=1 mlraman run "$deck"   # MPICH or Intel MPI may need --mpi=pmi2, Open MPI --mpi=pmix
code=$?

# Code 75: stopped before the limit. Queue this task again; it goes on from there.
[ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
