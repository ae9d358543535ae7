"""What of alpha follows a cell that varies, as under a barostat, and alpha without it.

    alpha'_ij(t) = alpha_ij(t) - sum_c b_ij^c [e_c(t) - <e_c>],      b_ij by least squares over all frames,

e_c being the volume, or the six components of the cell's strain against its mean. At equilibrium <delta alpha delta
V>/<delta V^2> is d<alpha>/dV at constant temperature, whatever the barostat: with it the line goes that the cell's
own motion makes, atoms that follow the cell included. Nothing is taken where the cell does not move: vibrations
faster than the barostat stay. By chance it also takes the share 1/n from the rest of alpha at the barostat's
wavenumbers, for each e_c, where these have n independent values. What is quadratic in e_c stays. No label needs to know
what alpha does with the volume.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.base.cells import flips
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics import Floats
from mlraman_hpc.records.spectra import CellPart, PolarizabilitySeries

AT_REST = 1e-7  # root mean square of strain up to which a cell does not move, and, over the largest one, a direction
NOT_SEPARATE = 1e-3


def without_cell_part(series: PolarizabilitySeries, kind: str) -> tuple[PolarizabilitySeries, CellPart]:
    """The series, its shares and members without what is linear in the cell's 'volume' or 'strain', and how much it is.

    Raises DataError for a series without cells.
    """
    if kind not in ("volume", "strain"):
        raise DataError(f"remove_cell is {kind!r}; it must be volume or strain")
    cells = series.cell
    if cells is None or not np.isfinite(cells).all() or not np.abs(np.linalg.det(cells)).min() > 0:
        raise DataError("there are no cells beside the polarizabilities, whose volume would be needed")
    volumes = np.abs(np.linalg.det(cells))
    basis = _directions(strains(cells) if kind == "strain" else (volumes / volumes.mean())[:, None])
    taken = basis @ (basis.T @ series.value.reshape(len(cells), -1)).reshape(-1, 9)
    isotropic = series.value.trace(axis1=1, axis2=2) / 3
    change = volumes / volumes.mean() - 1
    part = CellPart(
        kind,
        share=_power(taken.reshape(-1, 3, 3)) / (_power(series.value - series.value.mean(axis=0)) or np.nan),
        volume_spread=float(change.std()),
        volume_derivative=float(change @ isotropic / (change @ change or np.nan) / isotropic.mean()),
    )

    def rest(values: Floats | None) -> Floats | None:
        if values is None:
            return None
        flat = values.reshape(len(values), -1)
        return (flat - basis @ (basis.T @ flat)).reshape(values.shape)

    value = rest(series.value)
    assert value is not None
    return replace(series, value=value, by_species=rest(series.by_species), members=rest(series.members)), part


def strains(cells: Floats) -> Floats:
    """(frames, 6) xx, yy, zz, xy, yz, zx of the strain that makes cells (frames, 3, 3) of their mean."""
    turned = flips(cells)
    smooth = cells if turned is None else turned @ cells
    gradient = np.linalg.inv(smooth.mean(axis=0)) @ smooth - np.eye(3)
    symmetric = 0.5 * (gradient + gradient.transpose(0, 2, 1))
    return symmetric[:, [0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]]


def _directions(motion: Floats) -> Floats:
    """(frames, k) orthonormal and without mean: the independent ones of the columns of `motion` (frames, c)."""
    centred = motion - motion.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    least = max(AT_REST * np.sqrt(len(motion)), NOT_SEPARATE * sizes[0])
    directions: Floats = left[:, sizes > least]
    return directions


def _power(tensors: Floats) -> float:
    """<a^2> + 7/45 <gamma^2>, as the Raman intensity weights it."""
    a = tensors.trace(axis1=1, axis2=2) / 3
    rest = tensors - a[:, None, None] * np.eye(3)
    return float(np.mean(a**2) + 7 / 45 * 1.5 * np.mean((rest**2).sum(axis=(1, 2))))
