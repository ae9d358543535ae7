"""The style of all figures: sizes and type of a journal, colours, titles, legends, and how files are written.

Works in batch jobs: no display, no home directory, no messages. Figures are made through Matplotlib's object interface,
so none of its global state is touched. It is imported when the first figure is drawn: most ranks draw none, and a
second of start-up for each of them is a lot.
"""

from __future__ import annotations

import logging
import os
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.private_folders import held_folder

COLUMN, WIDE, PAGE = 3.4, 5.2, 7.0  # inches: one column of a journal, one and a half, two
TALLEST = 9.0  # inches
SMALL = 6.5  # points

# Okabe and Ito: told apart with any colour vision
BLACK, BLUE, ORANGE, GREEN, VERMILION, SKY, PINK = (
    "#000000",
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
GREY = "0.45"

# Colour of an element. Elements that are likely to meet in one material differ with normal, deuteranopic and
# protanopic vision; a test holds a list of such materials.
_ELEMENTS_OF_COLOUR = {
    BLUE: "Ag Na",
    VERMILION: "I Be Si Ti Ta Hf Pt At",
    GREEN: "Cl Sn Au He Ne Ar Kr Xe Rn",
    ORANGE: "F Zn Mn Fe Cr Ge Zr In W Bi Er U",
    SKY: "P Co Mo Rb Sb Tl V Y Th Ru Rh Pd Tc",
    PINK: "N La Ca Sc As Pr Nd Pm Eu Tb Dy Ho Tm Yb Lu",
    "#332288": "Li Mg K Cu Cd Cs Ce Fr",
    "#999933": "H Gd Sm",
    "#882255": "O Br Po",
    "#8C4A2F": "S Se Te Al Ba Pb Ni Sr Ra",
    "#A78BE8": "C Ga Nb Pu Re Os Ir",
    "#888888": "B Hg",
}
_COLOUR_OF_ELEMENT = {name: colour for colour, names in _ELEMENTS_OF_COLOUR.items() for name in names.split()}
_OTHER = "#888888"  # elements beyond plutonium and labels that are no element
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 1)), (0, (5, 1, 1, 1)))

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
}


def colour_of(name: str) -> str:
    """The colour of an element, the same in every figure; black for 'total'.

    A pair 'Ag-I' has the mean of both colours, a series of temperatures 'my material Ag' that of its last word.
    """
    if name == "total":
        return BLACK
    parts = [_COLOUR_OF_ELEMENT.get(part, _OTHER) for part in name.split()[-1].split("-")]
    channels = [[int(part[k : k + 2], 16) for k in (1, 3, 5)] for part in parts]
    return "#" + "".join(f"{round(float(value)):02X}" for value in np.mean(channels, axis=0))


def line_styles(names: Iterable[str]) -> dict[str, dict]:
    """Colour and dashes of the lines in one figure: solid, but dashed for the second species of the same colour."""
    styles: dict[str, dict] = {}
    for name in names:
        colour = colour_of(name)
        users = sum(style["color"] == colour for style in styles.values())
        styles[name] = {"color": colour, "linestyle": _DASHES[users % len(_DASHES)]}
    return styles


@contextmanager
def drawing(path: Path | None, title: str = "", width: float = COLUMN, height: float = 2.5) -> Iterator:
    """A figure to draw on, `width` by `height` inches without its title; saved at the end of the block with a path.

    `path` names the PNG; a PDF is written beside it. Raises DataError where they cannot be written.
    """
    _settle_configuration()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        if title:
            _add_title(figure, title)
        yield figure
        if path is not None:
            save(figure, path)


def save(figure, path: Path) -> None:
    """PNG and PDF. Each file appears complete or not at all; the same data give the same bytes."""
    for suffix, undated in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with atomic_write(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=undated)


def _add_title(figure, title: str) -> None:
    """Above all panels, in as many lines as it needs; the figure grows by them. It is plain text: '$' is a dollar."""
    text = figure.suptitle(title, x=0.05 / figure.get_figwidth(), ha="left", fontsize=8, parse_math=False)
    available = (figure.get_figwidth() - 0.1) * figure.dpi
    for characters in range(len(title), 0, -1):
        text.set_text("\n".join(textwrap.wrap(title, characters)))
        extent = text.get_window_extent()
        if extent.width <= available:
            break
    figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi + 0.03)


def legend_above(axes, note: str = "") -> None:
    """Above the axes, so that it covers no data, in as many columns as are as wide as the axes; a note on top of it.

    The figure grows by its height. To be called when everything else is drawn.
    """
    from matplotlib.transforms import ScaledTranslation

    figure = axes.figure
    entries = len(axes.get_legend_handles_labels()[1])
    if not entries:
        axes.set_title(note, loc="left", fontsize=SMALL, color=GREY)
        return
    figure.draw_without_rendering()
    right = axes.get_tightbbox().x1
    above = (axes.get_tightbbox().y1 - axes.bbox.y1) / figure.dpi  # inches of tick labels and the like
    for columns in range(entries, 0, -1):
        legend = axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            bbox_transform=axes.transAxes + ScaledTranslation(0, above, figure.dpi_scale_trans),
            ncols=columns,
            title=note or None,
            alignment="left",
            borderaxespad=0.2,
            borderpad=0.1,
            labelspacing=0.3,
        )
        legend.get_title().set_color(GREY)
        extent = legend.get_window_extent()
        if axes.bbox.x0 + extent.width <= right:
            break
    figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)


def band(axes, x, value, error, colour: str, label: str | None = None, lowest: float = 0.0) -> None:
    """value - error to value + error, not below `lowest`."""
    low = np.maximum(value - error, lowest)
    axes.fill_between(x, low, value + error, color=colour, alpha=0.3, linewidth=0, label=label)


def mark_nyquist(axes, nyquist: float) -> None:
    """A line at the end of what the trajectory's frames resolve (cm^-1), and its entry of the legend."""
    axes.axvline(nyquist, color=GREY, linestyle="--", linewidth=0.8, label=f"Nyquist, {nyquist:.0f} cm⁻¹")
    axes.set_xlim(0, 1.03 * nyquist)


def logarithmic_errors(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(2, n) lower and upper error bars for a logarithmic axis, where nothing reaches zero."""
    return np.array([np.minimum(error, 0.9 * value), error])


def _settle_configuration() -> None:
    """Where the home directory cannot be written, Matplotlib's cache goes to the temporary folder, silently."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if "MPLCONFIGDIR" in os.environ:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache") / "matplotlib"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path(os.path.expanduser("~")) / ".config") / "matplotlib"
    if not (_writable(cache) and _writable(config)):
        folder = Path(tempfile.gettempdir()) / f"mlraman-matplotlib-{os.getuid()}"
        with suppress(OSError), held_folder(folder, make=True):  # a matplotlibrc can name code to run
            os.environ["MPLCONFIGDIR"] = str(folder)


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
