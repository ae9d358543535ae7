#!/bin/bash
# LSF: one spectrum. Change the lines marked <--, then: DECK=deck.yaml bsub < lsf.sh
#BSUB -J mlraman
#BSUB -n 48                        # <-- ranks
#BSUB -R "span[ptile=48]"          # <-- cores of a node
#BSUB -W 01:00                     # <-- 'mlraman check deck.yaml' gives an estimate
#BSUB -wa USR1 -wt 2               # two minutes before the limit mlraman writes what it has and exits with code 75
#BSUB -Q 75                        # LSF queues the job again, and it goes on where it stopped
#BSUB -o mlraman-%J.log

module load python openmpi         # <-- your site's modules
source "$HOME/mlraman/bin/activate"  # <-- the environment that mlraman is installed in

mpirun mlraman run "${DECK:?set DECK to your deck}"   # many materials: mlraman campaign "$DECK" --groups 8
