import subprocess
import sys

CODE = """
import sys
from mlraman_hpc.model import descriptors, predictor, regression
from mlraman_hpc.model.kernels import interface, tables
print(*sorted({name.split(".")[0] for name in sys.modules} & {"featomic", "metatensor", "scipy", "numba", "ase"}))
tables.featomic_reference.clebsch_gordan
print(*sorted({name.split(".")[0] for name in sys.modules} & {"featomic", "metatensor", "numba"}))
"""


def test_featomic_is_loaded_when_it_is_used():
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "featomic metatensor"]
