"""How good a model is, and how much is enough: learning curves, convergence, tests on labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.records.fields import Record, stored


@dataclass(frozen=True)
class Tuning(Record, file_name="tuning.h5", kind="choice of the descriptor"):
    """Radial scalings that were tried, with leave-one-out errors of the training labels (tuning.h5, and in model.h5).

    scale, exponent  (candidates,); NaN: no radial scaling
    error            (candidates,) sqrt(<da^2> + 7/45 <dgamma^2>); NaN where no label can be left out
    fluctuation      the same of the labels themselves, about their mean
    chosen           the first candidate, in the order of preference, that is as good as the best
    """

    scale: np.ndarray = stored("scale", "Angstrom")
    exponent: np.ndarray = stored("exponent", "1")
    error: np.ndarray = stored("error", "Angstrom^3")
    fluctuation: float = stored("fluctuation", "Angstrom^3")
    chosen: int = stored("chosen", "1")
    labels: int = stored("labels", "1")

    @property
    def range(self) -> float:
        """How much the errors differ: the largest over the smallest, less one."""
        return float(np.nanmax(self.error) / np.nanmin(self.error)) - 1

    @property
    def ratio(self) -> float:
        """The chosen candidate's error over that without radial scaling."""
        return float(self.error[self.chosen] / self.error[np.isnan(self.scale)][0])


@dataclass(frozen=True)
class LabelChecks:
    """Which labels are doubtful, by name: 'labels.extxyz, frame 40' (model.h5).

    outlier      do not fit what a model of the others says, and are used; deviation: by how many robust deviations
    left_out     that the deck leaves out, each with the reason in brackets
    unconverged  that are used although their calculation did not reach its own criterion
    """

    outlier: tuple[str, ...] = stored("outlier", "1")
    deviation: np.ndarray = stored("outlier_deviation", "1")
    left_out: tuple[str, ...] = stored("left_out", "1")
    unconverged: tuple[str, ...] = stored("unconverged", "1")


@dataclass(frozen=True)
class TrainingCoverage:
    """Where the summed features of lambda = 0 of the training set lie, see `numerics.regression.coverage` (model.h5).

    composition  (S, P0) features that an atom of each species adds on the average
    directions   (R, P0) orthonormal, along which the rest varies; shrinkage (R,) how well each of them is known, 0 to 1
    scale        mean squared norm of that rest
    left_out     mean leverage of the training structures, each by the others
    """

    composition: np.ndarray = stored("composition", "1")
    directions: np.ndarray = stored("directions", "1")
    shrinkage: np.ndarray = stored("shrinkage", "1")
    scale: float = stored("scale", "1")
    left_out: float = stored("left_out", "1")


@dataclass(frozen=True)
class LearningCurve(Record, file_name="learning_curve.h5", kind="learning curve"):
    """Errors on one test set of `test_size` labels against N_T (learning_curve.h5); keys are 'diagonal', 'xx', ...

    r2, rmse              (sizes,) means over draws; ..._spread: standard deviations
    r2_draws, rmse_draws  (sizes, draws)
    relative_error        (sizes,) weighted as the intensity, over the test labels' fluctuation; None in older files
    relative_error_draws  (sizes, draws)
    frames                True where train_size counts frames with derivatives of the polarizability, else None
    expected_size         sizes beyond the last at which the curve is extrapolated; None in older files
    expected_error        (3, expected sizes) lower end, value, upper end of relative_error there, NaN where unknown
    expected_r2           {'diagonal', 'off_diagonal'} -> (3, expected sizes) the same of R2
    cost                  (2,) CPU-s of a label (or frame), and of what is trained on beside; None where they do not say
    """

    train_size: np.ndarray = stored("train_size", "1")
    r2: dict[str, np.ndarray] = stored("r2", "1")
    rmse: dict[str, np.ndarray] = stored("rmse", "Angstrom^3")
    r2_spread: dict[str, np.ndarray] = stored("spread/r2", "1")
    rmse_spread: dict[str, np.ndarray] = stored("spread/rmse", "Angstrom^3")
    r2_draws: dict[str, np.ndarray] = stored("draws/r2", "1")
    rmse_draws: dict[str, np.ndarray] = stored("draws/rmse", "Angstrom^3")
    test_size: int = stored("test_size", "1")
    relative_error: np.ndarray | None = stored("relative_error", "1", default=None)
    relative_error_draws: np.ndarray | None = stored("draws/relative_error", "1", default=None)
    frames: bool | None = stored("frames", "1", default=None)
    expected_size: np.ndarray | None = stored("expected/size", "1", default=None)
    expected_error: np.ndarray | None = stored("expected/relative_error", "1", default=None)
    expected_r2: dict[str, np.ndarray] | None = stored("expected/r2", "1", default=None)
    cost: np.ndarray | None = stored("cost", "s", default=None)


@dataclass(frozen=True)
class Convergence(Record, file_name="convergence.h5", kind="convergence"):
    """Spectra on the way to the final one (convergence.h5).

    A distance is the relative L2 norm ||I - I_final|| / ||I_final|| of the smoothed total, where it has intensity.

    train_size, train_distance    (sizes,); train_spectra (sizes, wavenumbers); None without labels
    train_frames                  True where sizes are numbers of frames with derivatives, each beside all tensors
    length, length_distance       (parts,) ps; length_spectra (parts, wavenumbers)
    length_expected               (parts,) the distance that statistics alone let expect
    statistical_error             of the final spectrum, as such a norm
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    length: np.ndarray = stored("length/time", "ps")
    length_spectra: np.ndarray = stored("length/intensity", "Angstrom^6")
    length_distance: np.ndarray = stored("length/distance", "1")
    length_expected: np.ndarray = stored("length/expected_distance", "1")
    statistical_error: float = stored("statistical_error", "1")
    train_size: np.ndarray | None = stored("train/size", "1", default=None)
    train_spectra: np.ndarray | None = stored("train/intensity", "Angstrom^6", default=None)
    train_distance: np.ndarray | None = stored("train/distance", "1", default=None)
    train_frames: bool | None = stored("train/frames", "1", default=None)

    @property
    def trained_on(self) -> str:
        """What `train_size` counts."""
        return "frames with derivatives" if self.train_frames else "labels"


@dataclass(frozen=True)
class LabelTest(Record, file_name="label_test.h5", kind="label test"):
    """Errors of a model that was not made for one material alone, on this material's labels (label_test.h5).

    left_out  whether none of these labels was trained on
    """

    r2: dict[str, float] = stored("r2", "1")
    rmse: dict[str, float] = stored("rmse", "Angstrom^3")
    labels: int = stored("labels", "1")
    left_out: bool = stored("left_out", "1")
