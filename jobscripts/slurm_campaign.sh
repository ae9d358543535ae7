#!/bin/bash
# Slurm: a campaign as a job array. Each task computes every n-th material, n being the number of tasks; the last one to end
# leaves the complete ranking. Change the lines marked <--, then: sbatch --array=0-7 slurm_campaign.sh campaign.yaml
# As one job instead, groups of ranks sharing the materials: sbatch slurm_campaign.sh campaign.yaml --groups 8
#SBATCH --job-name=campaign
#SBATCH --nodes=1                  # <-- nodes of each task
#SBATCH --ntasks-per-node=48       # <-- cores of a node: one rank for each core is fastest
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00            # <-- 'mlraman check campaign.yaml' gives an estimate
#SBATCH --signal=USR1@120          # two minutes before the limit mlraman writes what it has and exits with code 75
#SBATCH --requeue
#SBATCH --open-mode=append         # keep the log when a task is started again
#SBATCH --output=campaign-%j.log
# Add your site's --account and --partition.

deck=${1:?usage: sbatch [--array=0-7] slurm_campaign.sh campaign.yaml [--groups N]}
shift

module load Python OpenMPI         # <-- your site's modules; the MPI must be the one that srun talks to
source "$HOME/mlraman/bin/activate"  # <-- the environment that mlraman is installed in

export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
# MPICH or Intel MPI may need --mpi=pmi2, Open MPI --mpi=pmix
srun --kill-on-bad-exit=1 mlraman campaign "$deck" ${SLURM_ARRAY_TASK_ID:+--array} "$@"
code=$?

# Code 75: stopped before the limit. Queue this task again; it goes on from there. Code 3: a material failed, see the log.
[ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
