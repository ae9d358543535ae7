"""Matplotlib made fit for batch jobs: no display, no home directory, no messages; journal sizes and colours.

Figures are made through the object interface, so no global state of matplotlib is touched. It is loaded when the first
figure is drawn: most ranks draw none, and a second of start-up for each is a lot.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from mlraman_hpc.base.atomic_files import atomic_write


def _settle_configuration() -> None:
    """Where the home directory cannot be written, matplotlib's cache goes to the temporary folder, silently."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if "MPLCONFIGDIR" in os.environ:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache") / "matplotlib"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path(os.path.expanduser("~")) / ".config") / "matplotlib"
    if not (_writable(cache) and _writable(config)):
        os.environ["MPLCONFIGDIR"] = str(Path(tempfile.gettempdir()) / f"mlraman-matplotlib-{os.getuid()}")


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


COLUMN = 3.4  # inches, one column of a journal
PAGE = 7.0

# Okabe and Ito: distinguishable with any colour vision
BLACK, BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW = (
    "#000000",
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "legend.frameon": False,
    "axes.titlesize": 8,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "axes.unicode_minus": True,
}


@contextmanager
def drawing(path: Path, width: float = COLUMN, height: float = 2.5):
    """A figure to draw on; saved as PNG and PDF beside each other when the block ends.

    `path` names the PNG. Each file appears complete or not at all.
    """
    _settle_configuration()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        for suffix in (".png", ".pdf"):
            target = Path(path).with_suffix(suffix)
            with atomic_write(target) as temporary:
                figure.savefig(temporary, format=suffix[1:], metadata=_undated(suffix))


def _undated(suffix: str) -> dict:
    """The same data give the same file."""
    return {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
