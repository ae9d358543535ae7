"""How good a model is, and how much is enough: learning curves, convergence, tests on labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.records.fields import Record, stored


@dataclass(frozen=True)
class LearningCurve(Record, file_name="learning_curve.h5", kind="learning curve"):
    """Errors on one test set of `test_size` labels against N_T (learning_curve.h5); keys are 'diagonal', 'xx', ...

    r2, rmse              (sizes,) means over draws; ..._spread: standard deviations
    r2_draws, rmse_draws  (sizes, draws)
    frames                True where train_size counts frames with derivatives of the polarizability, else None
    """

    train_size: np.ndarray = stored("train_size", "1")
    r2: dict[str, np.ndarray] = stored("r2", "1")
    rmse: dict[str, np.ndarray] = stored("rmse", "Angstrom^3")
    r2_spread: dict[str, np.ndarray] = stored("spread/r2", "1")
    rmse_spread: dict[str, np.ndarray] = stored("spread/rmse", "Angstrom^3")
    r2_draws: dict[str, np.ndarray] = stored("draws/r2", "1")
    rmse_draws: dict[str, np.ndarray] = stored("draws/rmse", "Angstrom^3")
    test_size: int = stored("test_size", "1")
    frames: bool | None = stored("frames", "1", default=None)


@dataclass(frozen=True)
class Convergence(Record, file_name="convergence.h5", kind="convergence"):
    """Spectra on the way to the final one (convergence.h5).

    A distance is the relative L2 norm ||I - I_final|| / ||I_final|| of the smoothed total, where it has intensity.

    train_size, train_distance    (sizes,); train_spectra (sizes, wavenumbers); None without labels
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


@dataclass(frozen=True)
class LabelTest(Record, file_name="label_test.h5", kind="label test"):
    """Errors of a model that was not made for one material alone, on this material's labels (label_test.h5).

    left_out  whether none of these labels was trained on
    """

    r2: dict[str, float] = stored("r2", "1")
    rmse: dict[str, float] = stored("rmse", "Angstrom^3")
    labels: int = stored("labels", "1")
    left_out: bool = stored("left_out", "1")
