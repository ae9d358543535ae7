"""mlraman_hpc: Raman spectra from molecular dynamics and machine-learned polarizabilities.

    import mlraman_hpc as mr
    model = mr.load_model("out/agi/model.h5")
    alpha = model.predict(mr.Trajectory("trajectory.extxyz.gz"))
    spectrum = mr.raman_spectrum(alpha, smoothing=4.0)
    spectrum.plot("raman.png")

The public names are loaded when they are used: the command line sets the number of threads before NumPy is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.8.0"
__all__ = [
    "PolarizabilityModel",
    "PolarizabilityWarning",
    "Result",
    "Trajectory",
    "__version__",
    "load",
    "load_model",
    "raman_spectrum",
    "train",
]

if TYPE_CHECKING:
    from mlraman_hpc.api import (
        PolarizabilityModel,
        PolarizabilityWarning,
        Result,
        Trajectory,
        load,
        load_model,
        raman_spectrum,
        train,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mlraman_hpc import api

        return getattr(api, name)
    raise AttributeError(f"module 'mlraman_hpc' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
