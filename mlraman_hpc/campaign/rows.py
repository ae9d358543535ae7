"""What each material of a campaign has to show, read from its results."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.base.numbers import percent
from mlraman_hpc.campaign.material import State, status
from mlraman_hpc.config.campaign_deck import COMPUTED, NONE, OWN, PREDICTOR, Material
from mlraman_hpc.config.deck_reader import resolved_yaml
from mlraman_hpc.pipeline.spectra import relative_total
from mlraman_hpc.records.campaign import Status
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.records.training import LabelTest
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import read_outliers

NAN = math.nan
MOST_EXTRAPOLATED = 0.2  # of the atoms outside the range of the labels, beyond which a material is not ranked


@dataclass
class Row:
    """One line of the ranking; the names are those of `records.campaign.Ranking`."""

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
    relaxing: float = NAN
    relaxing_error: float = NAN
    relaxing_half_width: float = NAN
    relaxing_probability: float = NAN
    convention: str = ""
    unlike: str = ""
    extrapolated: float = NAN
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


def row_of(material: Material) -> Row:
    """The material's results; nothing but a message where they are missing or of another deck."""
    row = Row(material.name, material.deck.title, Status.MISSING, model=material.model)
    state, message = status(material)
    if state is not State.DONE:
        row.status = Status.FAILED if state is State.FAILED else Status.MISSING
        row.message = message or str(state)
        return row
    if _resolved(material) != resolved_yaml(material.deck):
        row.message = "computed with another deck; start the campaign again"
        return row
    try:
        _read(row, material)
    except (UserError, OSError) as error:
        row.status, row.message = Status.FAILED, str(error)
    return row


def _resolved(material: Material) -> str:
    try:
        return (material.folder / "resolved_deck.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""


def _read(row: Row, material: Material) -> None:
    raman = material.model != NONE or material.deck.series is not None
    row.status = Status.DONE if raman else Status.DYNAMICS_ONLY
    warnings: list[str] = []
    if raman:
        spectrum = hdf5.load(RamanSpectrum, material.folder)
        warnings += _raman(row, spectrum)
        row.convention = convention_of(material)
        warnings += _outliers(row, material, spectrum.atoms) if material.deck.series is None else []
    if material.deck.dynamics:
        warnings += _dynamics(row, hdf5.load(Dynamics, material.folder))
    _scores(row, material)
    row.warnings, row.warning_text = len(warnings), "\n".join(warnings)


def _raman(row: Row, spectrum: RamanSpectrum) -> tuple[str, ...]:
    total, visible = spectrum.intensity["total"], spectrum.wavenumber <= spectrum.visible_end
    error = spectrum.error_statistical["total"] if spectrum.error_statistical else np.full(len(total), NAN)
    row.spectrum = relative_total(spectrum)
    row.statistical_error = float(np.linalg.norm(error[visible]) / (np.linalg.norm(total[visible]) or NAN))
    row.frames, row.length = spectrum.frames, spectrum.frames * spectrum.frame_interval / 1000
    peak = spectrum.central_peak
    if peak is not None:
        row.cutoff, row.weight = peak.cutoff, peak.weight
        row.weight_error = peak.full_weight_error
        row.relaxing = spectrum.relative(peak.relaxing_below)
        row.relaxing_error = spectrum.relative(peak.full_relaxing_error)
        row.relaxing_half_width = NAN if peak.relaxing_half_width is None else peak.relaxing_half_width
        row.relaxing_probability = NAN if peak.probability is None else peak.probability
    return spectrum.warnings


def convention_of(material: Material) -> str:
    """What numbers of two materials must share to be compared: 'low_frequency 50; smoothing ...'.

    A temperature may differ, but not whether there is a Bose-Einstein factor.
    """
    section = material.deck.spectrum
    laser = "none" if section.laser_wavelength is None else f"{section.laser_wavelength:g} nm"
    return "; ".join(
        [
            f"low_frequency {section.low_frequency:g} cm^-1",
            f"smoothing {section.smoothing_kind} {section.smoothing_measure} {section.smoothing:g} cm^-1",
            f"laser_wavelength {laser}",
            f"Bose-Einstein factor {'no' if section.temperature is None else 'yes'}",
        ]
    )


def mark_unlike(rows: list[Row]) -> None:
    """Say of rows with another convention than most have how it differs; they are not ranked with the others."""
    counts = Counter(row.convention for row in rows if row.convention)
    if not counts:
        return
    common, _ = counts.most_common(1)[0]  # the first in the deck's order where several are as frequent
    for row in rows:
        if row.convention and row.convention != common:
            pairs = zip(row.convention.split("; "), common.split("; "))
            row.unlike = ", ".join(f"{own} (the others: {other})" for own, other in pairs if own != other)


def mark_extrapolated(rows: list[Row]) -> None:
    """Rows whose model hardly knows their atoms' surroundings are not ranked: the number is no result."""
    for row in rows:
        if row.extrapolated > MOST_EXTRAPOLATED:
            text = f"{percent(row.extrapolated)} of the atoms are outside the range of the model's labels"
            row.unlike = f"{row.unlike}, {text}" if row.unlike else text


def _outliers(row: Row, material: Material, atoms: int | None) -> list[str]:
    outliers = read_outliers(material.folder)
    if outliers is None:
        return []
    row.extrapolated = outliers.mean() / atoms if atoms else NAN
    if not outliers.any():
        return []
    share = f" ({percent(outliers.mean() / atoms)} of all)" if atoms else ""
    return [
        f"in {np.count_nonzero(outliers)} of {len(outliers)} frames some atoms{share} are far outside the "
        "model's training range"
    ]


def _dynamics(row: Row, dynamics: Dynamics) -> tuple[str, ...]:
    if not dynamics.misses_fast_motion:
        row.temperature = dynamics.temperature
    row.frames = row.frames or dynamics.frames
    row.length = row.length if math.isfinite(row.length) else dynamics.frames * dynamics.frame_interval / 1000
    names = dynamics.mobile or tuple(dynamics.diffusion)

    def fastest(name: str) -> tuple:
        value = dynamics.diffusion[name]
        return (math.isfinite(value), value if math.isfinite(value) else dynamics.diffusion_upper[name])

    name = max(names, key=fastest)
    row.diffusing, row.motion = name, dynamics.verdict[name]
    for target, source in (
        ("diffusion", dynamics.diffusion),
        ("diffusion_error", dynamics.diffusion_error),
        ("diffusion_upper", dynamics.diffusion_upper),
        ("diffusion_from_vdos", dynamics.diffusion_from_vdos),
        ("diffusion_from_vdos_error", dynamics.diffusion_from_vdos_error),
    ):
        setattr(row, target, float(source[name]))
    return dynamics.warnings


def _scores(row: Row, material: Material) -> None:
    """Errors on labels: the material's own where there are any."""
    scores: dict[str, dict[str, float]] = {}
    if material.labels is not None and (material.folder / LabelTest.file_name).exists():
        test = hdf5.load(LabelTest, material.folder)
        scores, row.tested = {"r2": test.r2, "rmse": test.rmse}, test.labels
        row.tested_on = "own, left out of the training" if test.left_out else "own, which may have been trained on"
    elif material.model not in (NONE, PREDICTOR):
        own = material.model in (OWN, COMPUTED)
        model = hdf5.load(Model, material.folder if own else Path(material.deck.model.file))
        scores, row.tested = model.scores, len(model.test)
        row.tested_on = "own, left out of the training" if own else "those of the model"
    if row.tested:
        row.r2_diagonal, row.r2_off_diagonal = scores["r2"]["diagonal"], scores["r2"]["off_diagonal"]
        row.rmse_diagonal, row.rmse_off_diagonal = scores["rmse"]["diagonal"], scores["rmse"]["off_diagonal"]
    else:
        row.tested_on = ""
