#!/bin/bash
# Installs mlraman against a site's own MPI: run it once on a login node, from a copy of the repository.
set -euo pipefail

module load Python OpenMPI         # <-- your site's modules, the same as in the job script

python3 -m venv "$HOME/mlraman"    # <-- where; a shared file system that the compute nodes see
source "$HOME/mlraman/bin/activate"
pip install .                      # without the extra [mpi]: that would bring an MPI of its own, which hides the site's

# mpi4py's wheel finds the MPI library that the modules put on LD_LIBRARY_PATH. Where it does not, name the library:
#   export MPI4PY_LIBMPI=/path/to/libmpi.so
# and put that line into the job script too.
mlraman info
