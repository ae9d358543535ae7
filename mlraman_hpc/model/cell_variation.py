"""What a cell that varies along the trajectory does to alpha, and whether the model knows anything of it."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.numbers import percent
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model

SAMPLE, MOST_ATOMS = 64, 200_000  # frames that are looked at, and their atoms together
VARIES = 5e-4  # rms of the volume over its mean
BEYOND = 2e-3  # of the number density, outside the labels' range


def sampled_rows(frames: int, atoms: int) -> np.ndarray:
    """Rows of a selection at even distances, the first and the last among them."""
    count = max(2, min(SAMPLE, frames, MOST_ATOMS // max(atoms, 1)))
    return np.unique(np.linspace(0, frames - 1, min(count, frames)).astype(int))


def cell_warnings(model: Model, frames: Frames) -> list[str]:
    """What to tell of the volumes of these frames of a trajectory; nothing where they are not periodic."""
    volumes = frames.volumes
    if not np.isfinite(volumes).all() or not len(volumes):
        return []
    low, high = model.number_density
    density = frames.atoms_per_frame / volumes
    share = float(volumes.std() / volumes.mean())
    texts = []
    if share > VARIES:
        text = (
            f"the cell's volume varies by {percent(share)} (root mean square): it moves the mean polarizability and "
            "adds an isotropic line of its own at the barostat's wavenumbers; run at constant volume, or take it out "
            "with spectrum.remove_cell"
        )
        if not (np.isfinite(low) and high / low - 1 > 0.5 * (density.max() / density.min() - 1)):
            text += ". The labels cover less than half of that range, and what alpha does with the volume is a guess"
        texts.append(text)
    outside = max(float(low / density.min() - 1), float(density.max() / high - 1)) if np.isfinite(low) else 0.0
    if outside > BEYOND and share <= VARIES:
        texts.append(
            f"the number density of the trajectory, {density.mean():.5g} atoms/Angstrom^3, is {percent(outside)} "
            f"outside that of the labels ({low:.5g} to {high:.5g}), which say little of it; label frames of this cell"
        )
    return texts
