"""Pages from the templates beside this file: one self-contained HTML file each, which fetches nothing."""

from __future__ import annotations

import base64
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.base.numbers import diffusion, number, percent, probability, r_squared, scientific

DOTS_PER_INCH = 300.0  # of the PNG files
REM_PER_INCH, LEAST_PER_INCH = 10.0, 5.5  # on a desk; legible on a phone, where a wide figure is scrolled


@dataclass(frozen=True)
class Figure:
    """A PNG to embed, and its width in units of the page's type, the same for all figures per inch."""

    base64: str
    width: float
    least_width: float

    @classmethod
    def read(cls, path: Path) -> Figure:
        image = path.read_bytes()
        inches = struct.unpack(">I", image[16:20])[0] / DOTS_PER_INCH
        text = base64.b64encode(image).decode("ascii")
        return cls(text, round(REM_PER_INCH * inches, 1), round(LEAST_PER_INCH * inches, 1))


def figures_in(folder: Path) -> dict[str, Figure]:
    """All figures of a folder by file name."""
    return {path.name: Figure.read(path) for path in sorted(folder.glob("*.png"))}


def render(template: str, **values) -> str:
    """The page of a template; all text in `values` is escaped. Undefined names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlraman_hpc.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "version": __version__,
        "number": number,
        "scientific": scientific,
        "percent": percent,
        "diffusion": diffusion,
        "probability": probability,
        "r_squared": r_squared,
        "exp": math.exp,
    }
    environment.tests["finite"] = math.isfinite
    return environment.get_template(template).render(values)
