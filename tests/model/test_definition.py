import subprocess
import sys

CODE = """
import sys
from mlraman_hpc.model import definition
assert not [name for name in sys.modules if name.startswith(("scipy.integrate", "scipy.optimize", "scipy.special"))]
import featomic.basis
assert featomic.basis.HAS_SCIPY
print(featomic.basis.scipy.integrate.quad(lambda x: x * x, 0, 3)[0])
import scipy.special
from scipy.optimize import brentq
print(scipy.special.erf(0.0), brentq(lambda x: x - 2, 0, 5))
"""


def test_what_featomic_does_not_need_is_loaded_by_who_needs_it():
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [round(float(word), 9) for word in done.stdout.split()] == [9.0, 0.0, 2.0]
