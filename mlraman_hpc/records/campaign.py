"""What a campaign finds: one entry for each material, side by side (campaign.h5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.records.transport import Arrhenius


class Status(str, Enum):
    """How far a material of a campaign is; the text is what tables and result files show."""

    DONE = "done"
    DYNAMICS_ONLY = "dynamics only"
    FAILED = "failed"
    MISSING = "not computed"

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec)


DONE, DYNAMICS_ONLY, FAILED, MISSING = Status


@dataclass(frozen=True)
class Ranking(Record, file_name="campaign.h5", kind="campaign"):
    """Materials in the order of the relaxing variance of their polarizability (campaign.h5); (materials,) each.

    status                texts of `Status`; message: why
    relaxing              N V/<a>^2, V being the variance of alpha below `cutoff` that relaxes, times the probability
                          that anything does (`CentralPeak.relaxing_below`): for each atom and relative; the error is of
                          statistics, model and that probability. relaxing_half_width: half of V lies below
    convention            of the spectrum; unlike: why a material is not ranked with the others: how its convention
                          differs from that of most, or that its model extrapolates
    extrapolated          share of the atoms far outside the range of the model's labels, NaN where it is not known
    weight                share of the Raman intensity below `cutoff`; its error is of statistics and model
    statistical_error     of the spectrum: root of its integrated square, relative to the spectrum's
    diffusing             the mobile element of the largest D; diffusion: of that element, NaN where there is none
    diffusion_upper       the line's slope plus two standard errors
    diffusion_from_vdos   zero-frequency limit of the velocities' spectrum
    model                 where it comes from: own, common, given, none
    r2_..., rmse_...      on labels not trained on, `tested` of them; tested_on: whose they are
    length                of the trajectory
    warnings              number of them; warning_text: all
    correlation           Spearman's, of `relaxing` and D of those that are ranked, with a 95 % bootstrap interval (2,);
                          NaN below 4 materials
    arrhenius             activation energies of series of temperatures, where the deck has any
    relaxing..., convention, unlike: None in files of 0.4 and before, which were ranked by weight
    spectrum              {name: {wavenumber, intensity, error}}, intensities relative to the highest
    """

    name: tuple[str, ...] = stored("name", "1")
    title: tuple[str, ...] = stored("title", "1")
    status: tuple[str, ...] = stored("status", "1")
    message: tuple[str, ...] = stored("message", "1")
    model: tuple[str, ...] = stored("model/kind", "1")
    tested_on: tuple[str, ...] = stored("model/tested_on", "1")
    tested: np.ndarray = stored("model/labels", "1")
    r2_diagonal: np.ndarray = stored("model/r2_diagonal", "1")
    r2_off_diagonal: np.ndarray = stored("model/r2_off_diagonal", "1")
    rmse_diagonal: np.ndarray = stored("model/rmse_diagonal", "Angstrom^3")
    rmse_off_diagonal: np.ndarray = stored("model/rmse_off_diagonal", "Angstrom^3")
    cutoff: np.ndarray = stored("cutoff", "cm^-1")
    weight: np.ndarray = stored("weight", "1")
    weight_error: np.ndarray = stored("weight_error", "1")
    statistical_error: np.ndarray = stored("statistical_error", "1")
    diffusing: tuple[str, ...] = stored("diffusion/species", "1")
    motion: tuple[str, ...] = stored("diffusion/verdict", "1")
    diffusion: np.ndarray = stored("diffusion/value", "cm^2/s")
    diffusion_error: np.ndarray = stored("diffusion/error", "cm^2/s")
    diffusion_upper: np.ndarray = stored("diffusion/upper", "cm^2/s")
    diffusion_from_vdos: np.ndarray = stored("diffusion/from_vdos", "cm^2/s")
    diffusion_from_vdos_error: np.ndarray = stored("diffusion/from_vdos_error", "cm^2/s")
    temperature: np.ndarray = stored("temperature", "K")
    frames: np.ndarray = stored("frames", "1")
    length: np.ndarray = stored("length", "ps")
    warnings: np.ndarray = stored("warnings", "1")
    warning_text: tuple[str, ...] = stored("warning_text", "1")
    correlation: float = stored("correlation/spearman", "1")
    correlation_interval: np.ndarray = stored("correlation/interval", "1")
    correlated: int = stored("correlation/materials", "1")
    spectrum: dict[str, dict[str, np.ndarray]] = stored("spectrum", "1, wavenumber in cm^-1")
    arrhenius: Arrhenius | None = stored("arrhenius", "1", default=None)
    relaxing: np.ndarray | None = stored("relaxing/variance", "1", default=None)
    relaxing_error: np.ndarray | None = stored("relaxing/error", "1", default=None)
    relaxing_half_width: np.ndarray | None = stored("relaxing/half_width", "cm^-1", default=None)
    relaxing_probability: np.ndarray | None = stored("relaxing/probability", "1", default=None)
    convention: tuple[str, ...] | None = stored("convention", "1", default=None)
    unlike: tuple[str, ...] | None = stored("unlike", "1", default=None)
    extrapolated: np.ndarray | None = stored("extrapolated", "1", default=None)

    def __len__(self) -> int:
        return len(self.name)

    @property
    def ranked(self) -> np.ndarray:
        """(materials,) bool: comparable with one another, and with a number to be ranked by; none in older files."""
        if self.relaxing is None or self.unlike is None:
            return np.zeros(len(self), dtype=bool)
        return np.isfinite(self.relaxing) & np.equal(self.unlike, "")
