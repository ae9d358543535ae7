"""How a record's fields say where they lie in their HDF5 file."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def stored(path: str, unit: str, **kwargs: Any) -> Any:
    """A dataclass field that lies at `path` in the HDF5 file, in `unit` ('1' for a number without unit)."""
    return field(metadata={"path": path, "unit": unit}, **kwargs)
