import subprocess
import sys

CODE = """
import sys
from mlraman_hpc.model import featomic_reference as definition
left_out = "ase.neighborlist", "scipy.integrate", "scipy.optimize", "scipy.sparse", "scipy.special"
assert not [name for name in sys.modules if name.startswith(left_out)]
import featomic.basis
assert featomic.basis.HAS_SCIPY
print(featomic.basis.scipy.integrate.quad(lambda x: x * x, 0, 3)[0])
import scipy.special
from scipy.optimize import brentq
print(scipy.special.erf(0.0), brentq(lambda x: x - 2, 0, 5))
import ase
from featomic.systems import AseSystem
system = AseSystem(ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.7]], cell=[9, 9, 9], pbc=True))
system.compute_neighbors(1.0)
print(len(system.pairs()))
"""


def test_what_featomic_does_not_need_is_loaded_by_who_needs_it():
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [round(float(word), 9) for word in done.stdout.split()] == [9.0, 0.0, 2.0, 1.0]
