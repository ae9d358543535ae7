"""How the loops of this room are compiled, and where the result is kept.

numba renews what it keeps on disk when the file of the function called first changes, not when that of one called by it
does. So the folder is named after the text of all files of this room.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config, njit

# Products may be fused with sums (one rounding less), but sums keep their order.
FLAGS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
inner = njit(**FLAGS)


def outer(function):
    """Compile a function that Python calls, and keep the result on disk where there is a place for it."""
    given, config.CACHE_DIR = config.CACHE_DIR, str(_folder(config.CACHE_DIR))
    try:
        return njit(cache=True, **FLAGS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return inner(function)
    finally:
        config.CACHE_DIR = given


def _folder(given: str) -> Path:
    """In the folder that NUMBA_CACHE_DIR names, else beside the package if we may write there, else in the user's."""
    here = Path(__file__).parent
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlraman_hpc"
    base = Path(given) if given else here / "__pycache__" if os.access(here, os.W_OK) else home
    texts = b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    return base / f"loops-{hashlib.sha256(texts).hexdigest()[:12]}"
