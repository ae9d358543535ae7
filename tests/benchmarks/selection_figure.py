"""The figure of 'mlraman docs labelling' from what tests/benchmarks/selection.py has left.

python tests/benchmarks/selection_figure.py FOLDER [PICTURE]
"""

import sys
from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import BLACK, BLUE, SMALL, VERMILION, drawing

CASES = {
    "agi": "alpha-AgI, 32 atoms",
    "sio2": "alpha-SiO$_2$, 9 atoms",
    "synthetic": "induced dipoles on frames of AgI",
}
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 50, 70)  # per cent
COLOURS = {"random": BLACK, "spread": BLUE, "informative": VERMILION}


def main(folder: Path, picture: Path) -> None:
    with drawing(picture, "", width=6.0, height=6.2) as figure:
        panels = figure.subplots(3, 2)
        for row, (name, title) in zip(panels, CASES.items()):
            found = np.load(folder / f"selection_{name}.npz")
            for axes, key, label in zip(
                row, ("error", "distance"), ("error of the tensors", "distance of the spectrum")
            ):
                for shift, (rule, values) in zip((0.96, 1.0, 1.04), zip(found["rules"], found[key])):
                    values = 100 * values[np.isfinite(values).all(axis=1)]
                    axes.errorbar(
                        found["sizes"] * shift,
                        values.mean(axis=0),
                        values.std(axis=0, ddof=1),
                        fmt="o-",
                        markersize=3,
                        linewidth=1,
                        color=COLOURS[str(rule)],
                        label=str(rule),
                        capsize=2,
                    )
                axes.set(xscale="log", yscale="log", ylabel=f"{label} (%)", title=title)
                axes.set_xticks(found["sizes"], [str(size) for size in found["sizes"]])
                axes.minorticks_off()
                low, high = axes.get_ylim()
                ticks = [tick for tick in TICKS if low <= tick <= high]
                axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
                axes.title.set_fontsize(SMALL)
        for axes in panels[-1]:
            axes.set_xlabel("labels")
        panels[0, 0].legend(fontsize=SMALL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "mlraman_hpc/docs/label_selection.png"))
