#!/bin/bash
# PBS: one spectrum. Change the lines marked <--, then: qsub -v deck=deck.yaml pbs.sh
#PBS -N mlraman
#PBS -l select=1:ncpus=48:mpiprocs=48   # <-- nodes and cores of a node
#PBS -l walltime=01:00:00               # <-- 'mlraman check deck.yaml' gives an estimate
#PBS -j oe

cd "$PBS_O_WORKDIR" || exit
module load python openmpi              # <-- your site's modules
source "$HOME/mlraman/bin/activate"     # <-- the environment that mlraman is installed in

# PBS gives no warning, so mlraman is told the limit; many materials: mlraman campaign "$deck" --groups 8 ...
mpirun mlraman run "${deck:?qsub -v deck=deck.yaml pbs.sh}" --set walltime=01:00:00   # <-- as above
code=$?

# Code 75: stopped before the limit, or on request (qsig -s USR1). Submitted again, the job goes on where it stopped.
[ "$code" -eq 75 ] && qsub -v deck="$deck" "$PBS_O_WORKDIR/pbs.sh"
exit "$code"
