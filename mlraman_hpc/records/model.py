"""The polarizability model and its descriptor (model.h5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.records.training import LabelChecks, TrainingCoverage, Tuning


@dataclass(frozen=True)
class RadialScaling:
    """u(r) = rate / (rate + (r / scale)^exponent), the weight of a neighbour at the distance r.

    featomic's `density.scaling` of type Willatt2018. Willatt, Musil, Ceriotti, PCCP 20, 29661 (2018).
    """

    scale: float = stored("scale", "Angstrom")
    exponent: float = stored("exponent", "1")
    rate: float = stored("rate", "1", default=1.0)

    def __call__(self, distances: np.ndarray) -> np.ndarray:
        """u at distances in Angstrom."""
        return np.asarray(self.rate / (self.rate + (distances / self.scale) ** self.exponent))


@dataclass(frozen=True)
class Descriptor:
    """Hyper-parameters of lambda-SOAP, featomic's names; lengths in Angstrom. max_radial + 1 radial functions.

    radial_scaling  None: every neighbour within the cutoff counts alike
    """

    cutoff: float = stored("cutoff", "Angstrom", default=6.0)
    cutoff_width: float = stored("cutoff_width", "Angstrom", default=0.5)
    density_width: float = stored("density_width", "Angstrom", default=0.4)
    max_angular: int = stored("max_angular", "1", default=4)
    max_radial: int = stored("max_radial", "1", default=5)
    radial_scaling: RadialScaling | None = stored("radial_scaling", "1", default=None)

    @classmethod
    def from_keys(cls, keys: Mapping[str, Any]) -> Descriptor:
        """Of the deck's keys; `radial_scaling` is None or has keys of its own."""
        scaling = keys.get("radial_scaling")
        if isinstance(scaling, Mapping):
            scaling = RadialScaling(**scaling)
        return cls(**{**keys, "radial_scaling": scaling})

    def __str__(self) -> str:
        """'scaling 2 Angstrom, exponent 3, cutoff 6 Angstrom (soft over 0.5)', for logs and tables."""
        u = self.radial_scaling
        scaling = "no scaling" if u is None else f"scaling {u.scale:g} Angstrom, exponent {u.exponent:g}"
        rate = "" if u is None or u.rate == 1 else f", rate {u.rate:g}"
        return f"{scaling}{rate}, cutoff {self.cutoff:g} Angstrom (soft over {self.cutoff_width:g})"


@dataclass(frozen=True)
class Model(Record, file_name="model.h5", kind="model"):
    """Linear lambda-SOAP model of the polarizability (model.h5).

    alpha = sum_s N_s b_s 1 + spherical parts lambda = 0, 2 of sum over centre species s of X^{s, lambda} w^{s, lambda};
    the columns P0, P2 are those of `model.descriptors.Features`.

    species         S symbols, in the order of centre species and of neighbour channels
    baseline        (S,) b_s, Angstrom^3 for each atom of the species
    isotropic       (P0,) weights for lambda = 0; anisotropic (P2,) for lambda = 2
    committee_...   (M, ...) the same of each committee member: fits to half of the labels, whose deviations from their
                    mean are scaled by `calibration`; M may be 0
    regularization  {'isotropic', 'anisotropic'}: ridge parameter relative to the features' variance
    calibration     {'isotropic', 'anisotropic'}: factor by which the committee's spread was scaled
    train, test     rows of the labelled set
    scores          {'r2', 'rmse'} -> {'diagonal', 'off_diagonal', 'xx', ...} of the test rows
    lowest, highest (S, K) range of the training atoms' invariants, see `Features`
    number_density  (2,) smallest and largest of fully periodic training frames, atoms/Angstrom^3; NaN without any
    relative_error  of the test rows, weighted as the Raman intensity, over their fluctuation; None in older files
    tuning          the descriptors that were tried; None where the deck gives one
    label_checks    labels that are doubtful or were left out; None in older files
    coverage        where the training set lies, to tell other ensembles; None in older files, or of few tensors

    Only where derivatives of the polarizability were trained on:

    derivative_frames, derivative_rows  how many frames, and how many numbers of lambda = 0 and 2 together
    derivative_noise    {'isotropic', 'anisotropic'} -> {element: root mean square of left-out residuals}
    derivative_r2       the same of 1 - (noise/size)^2
    tensor_noise        {'isotropic', 'anisotropic'}: root mean square of left-out residuals; None without tensors
    """

    descriptor: Descriptor = stored("descriptor", "1")
    species: tuple[str, ...] = stored("species", "1")
    baseline: np.ndarray = stored("weights/baseline", "Angstrom^3")
    isotropic: np.ndarray = stored("weights/isotropic", "Angstrom^3")
    anisotropic: np.ndarray = stored("weights/anisotropic", "Angstrom^3")
    committee_baseline: np.ndarray = stored("committee/baseline", "Angstrom^3")
    committee_isotropic: np.ndarray = stored("committee/isotropic", "Angstrom^3")
    committee_anisotropic: np.ndarray = stored("committee/anisotropic", "Angstrom^3")
    regularization: dict[str, float] = stored("regularization", "1")
    calibration: dict[str, float] = stored("calibration", "1")
    train: np.ndarray = stored("train", "1")
    test: np.ndarray = stored("test", "1")
    scores: dict[str, dict[str, float]] = stored("scores", "1 for r2, Angstrom^3 for rmse")
    lowest: np.ndarray = stored("training_range/lowest", "1")
    highest: np.ndarray = stored("training_range/highest", "1")
    number_density: np.ndarray = stored("training_range/number_density", "1/Angstrom^3")
    relative_error: float | None = stored("scores/relative_error", "1", default=None)
    tuning: Tuning | None = stored("tuning", "1", default=None)
    label_checks: LabelChecks | None = stored("label_checks", "1", default=None)
    coverage: TrainingCoverage | None = stored("coverage", "1", default=None)
    derivative_frames: int | None = stored("derivatives/frames", "1", default=None)
    derivative_rows: int | None = stored("derivatives/rows", "1", default=None)
    derivative_noise: dict[str, dict[str, float]] | None = stored("derivatives/noise", "Angstrom^2", default=None)
    derivative_r2: dict[str, dict[str, float]] | None = stored("derivatives/r2", "1", default=None)
    tensor_noise: dict[str, float] | None = stored("derivatives/tensor_noise", "Angstrom^3", default=None)

    @property
    def numbers(self) -> np.ndarray:
        """(S,) atomic numbers"""
        return np.array([ELEMENTS.index(symbol) for symbol in self.species])

    @property
    def members(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """(baseline, isotropic, anisotropic) of each committee member"""
        return tuple(zip(self.committee_baseline, self.committee_isotropic, self.committee_anisotropic))

    def with_spread(self, factor: float) -> Model:
        """The same model with `factor` times the deviations of its committee."""

        def spread(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
            return weights + factor * (members - weights)

        return replace(
            self,
            committee_baseline=spread(self.committee_baseline, self.baseline),
            committee_isotropic=spread(self.committee_isotropic, self.isotropic),
            committee_anisotropic=spread(self.committee_anisotropic, self.anisotropic),
        )
