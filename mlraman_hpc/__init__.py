"""mlraman_hpc: Raman spectra from molecular dynamics and machine-learned polarizabilities.

This module imports nothing heavy: the number of threads must be set before numpy is loaded (see runtime.session).
"""

__version__ = "0.4.0"
