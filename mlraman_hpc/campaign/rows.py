"""What each material of a campaign has to show, read from its results."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.campaign import material as materials
from mlraman_hpc.commands.compare import relative
from mlraman_hpc.commands.dynamics import FOLDED
from mlraman_hpc.config.campaign_deck import NONE, OWN, Material
from mlraman_hpc.config.deck_reader import resolved_yaml
from mlraman_hpc.records.campaign import DONE, DYNAMICS_ONLY, FAILED, MISSING
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.records.training import LabelTest
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import read_outliers

NAN = math.nan


@dataclass
class Row:
    """One line of the ranking; the names are those of schema.ranking.Ranking."""

    name: str
    title: str
    status: str
    message: str = ""
    model: str = NONE
    tested_on: str = ""
    tested: int = 0
    r2_diagonal: float = NAN
    r2_off_diagonal: float = NAN
    rmse_diagonal: float = NAN
    rmse_off_diagonal: float = NAN
    cutoff: float = NAN
    weight: float = NAN
    weight_error: float = NAN
    statistical_error: float = NAN
    diffusing: str = ""
    motion: str = ""
    diffusion: float = NAN
    diffusion_error: float = NAN
    diffusion_upper: float = NAN
    diffusion_from_vdos: float = NAN
    diffusion_from_vdos_error: float = NAN
    temperature: float = NAN
    frames: int = 0
    length: float = NAN
    warnings: int = 0
    warning_text: str = ""
    spectrum: dict[str, np.ndarray] = field(default_factory=dict)


def row_of(one: Material) -> Row:
    """The material's results; nothing but a message where they are missing or of another deck."""
    row = Row(one.name, one.deck.title, MISSING, model=one.model)
    said = materials.status(one)
    if said != materials.DONE:
        row.status = FAILED if said not in ("", materials.UNFINISHED) else MISSING
        row.message = said or "not begun"
        return row
    if _resolved(one) != resolved_yaml(one.deck):
        row.message = "computed with another deck; start the campaign again"
        return row
    try:
        _read(row, one)
    except (UserError, OSError) as error:
        row.status, row.message = FAILED, str(error)
    return row


def _resolved(one: Material) -> str:
    try:
        return (one.folder / "resolved_deck.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""


def _read(row: Row, one: Material) -> None:
    raman = one.model != NONE or one.deck.series is not None
    row.status = DONE if raman else DYNAMICS_ONLY
    warnings: list[str] = []
    if raman:
        warnings += _raman(row, hdf5.load(RamanSpectrum, one.folder / "raman.h5"))
        warnings += _outliers(one) if one.deck.series is None else []
    if one.deck.dynamics:
        warnings += _dynamics(row, hdf5.load(Dynamics, one.folder / "dynamics.h5"))
    _scores(row, one)
    row.warnings, row.warning_text = len(warnings), "\n".join(warnings)


def _raman(row: Row, spectrum: RamanSpectrum) -> tuple[str, ...]:
    total, shown = spectrum.intensity["total"], spectrum.wavenumber <= spectrum.visible_end
    error = spectrum.error_statistical["total"] if spectrum.error_statistical else np.full(len(total), NAN)
    row.spectrum = relative(spectrum)
    row.statistical_error = float(np.linalg.norm(error[shown]) / (np.linalg.norm(total[shown]) or NAN))
    row.frames, row.length = spectrum.frames, spectrum.frames * spectrum.frame_interval / 1000
    peak = spectrum.central_peak
    if peak is not None:
        row.cutoff, row.weight, row.weight_error = peak.cutoff, peak.weight, peak.weight_error
    return spectrum.warnings


def _outliers(one: Material) -> list[str]:
    outliers = read_outliers(one.folder / "alpha.h5")
    if outliers is None or not outliers.any():
        return []
    return [
        f"in {np.count_nonzero(outliers)} of {len(outliers)} frames some atoms are far outside the "
        "model's training range"
    ]


def _dynamics(row: Row, found: Dynamics) -> tuple[str, ...]:
    total = found.vdos["total"]
    if total[-1] <= FOLDED * total.max():  # else frames are too far apart to see all motion
        row.temperature = found.temperature
    row.frames = row.frames or found.frames
    row.length = row.length if math.isfinite(row.length) else found.frames * found.frame_interval / 1000
    names = found.mobile or tuple(found.diffusion)

    def fastest(name: str) -> tuple:
        value = found.diffusion[name]
        return (math.isfinite(value), value if math.isfinite(value) else found.diffusion_upper[name])

    name = max(names, key=fastest)
    row.diffusing, row.motion = name, found.verdict[name]
    for target, source in (
        ("diffusion", found.diffusion),
        ("diffusion_error", found.diffusion_error),
        ("diffusion_upper", found.diffusion_upper),
        ("diffusion_from_vdos", found.diffusion_from_vdos),
        ("diffusion_from_vdos_error", found.diffusion_from_vdos_error),
    ):
        setattr(row, target, float(source[name]))
    return found.warnings


def _scores(row: Row, one: Material) -> None:
    """Errors on labels: the material's own where there are any."""
    path = one.folder / materials.TEST
    if one.labels is not None and path.exists():
        found = hdf5.load(LabelTest, path)
        scores, row.tested = {"r2": found.r2, "rmse": found.rmse}, found.labels
        row.tested_on = "own, left out of the training" if found.left_out else "own, which may have been trained on"
    elif one.model != NONE:
        path = one.folder / "model.h5" if one.model == OWN else one.deck.model.file
        model = hdf5.load(Model, path)
        scores, row.tested = model.scores, len(model.test)
        row.tested_on = "own, left out of the training" if one.model == OWN else "those of the model"
    if row.tested:
        row.r2_diagonal, row.r2_off_diagonal = scores["r2"]["diagonal"], scores["r2"]["off_diagonal"]
        row.rmse_diagonal, row.rmse_off_diagonal = scores["rmse"]["diagonal"], scores["rmse"]["off_diagonal"]
    else:
        row.tested_on = ""
