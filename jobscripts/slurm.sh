#!/bin/bash
# Slurm: one spectrum on any number of nodes. Change the lines marked <--, then: sbatch slurm.sh deck.yaml
#SBATCH --job-name=mlraman
#SBATCH --nodes=1                  # <-- nodes
#SBATCH --ntasks-per-node=48       # <-- cores of a node: one rank for each core is fastest
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00            # <-- 'mlraman check deck.yaml' gives an estimate
#SBATCH --signal=USR1@120          # two minutes before the limit mlraman writes what it has and exits with code 75
#SBATCH --requeue
#SBATCH --open-mode=append         # keep the log when the job is started again
#SBATCH --output=mlraman-%j.log
# Add your site's --account and --partition.
#
# Two sockets of 24 cores with two hardware threads each, such as JUWELS' nodes: 48 ranks as above, one for each core, and
#   #SBATCH --hint=nomultithread
# Large cells that fill the memory with 48 ranks: fewer ranks of several threads, none of them across sockets,
#   #SBATCH --ntasks-per-node=8
#   #SBATCH --cpus-per-task=6
#   srun --cpu-bind=cores --distribution=block:cyclic ...

deck=${1:?usage: sbatch slurm.sh deck.yaml}

module load Python OpenMPI         # <-- your site's modules; the MPI must be the one that srun talks to
source "$HOME/mlraman/bin/activate"  # <-- the environment that mlraman is installed in

export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}   # newer versions of srun do not take it from the lines above

# --kill-on-bad-exit: a rank that dies (out of memory, say) ends the job at once instead of using up its time.
srun --kill-on-bad-exit=1 mlraman run "$deck"   # MPICH or Intel MPI may need --mpi=pmi2, Open MPI --mpi=pmix
code=$?

# Code 75: stopped before the limit, all that was computed is kept. Queue the job again; it goes on from there.
# A job that gets nowhere within its time would do so for ever, hence the count.
[ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
