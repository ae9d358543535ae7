"""The way of a spectrum to enough labels (labelling.h5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.records.fields import Record, stored


@dataclass(frozen=True)
class LabellingHistory(Record, file_name="labelling.h5", kind="labelling"):
    """Rounds of labelling, one after another (labelling.h5).

    round              (rounds,) from 1
    labels             (rounds,) frames trained on; of tensors or of derivatives
    cpu_seconds        (rounds,) of all calculations so far; NaN where none is known
    model_error        (rounds,) relative error bar of the spectrum over the range, from the committee
    statistical_error  (rounds,) the same from blocks of the trajectory
    change             (rounds,) relative distance to the spectrum of the round before; NaN in the first
    test_error         (rounds,) of tensors on the test frames over their fluctuation; NaN without any
    spectra            (rounds, wavenumbers) total intensity
    share              the deck's stop_share
    low, high          the range
    verdict            why it ended, or that it goes on
    digest             of the labels of each round
    """

    round: np.ndarray = stored("round", "1")
    labels: np.ndarray = stored("labels", "1")
    cpu_seconds: np.ndarray = stored("cpu_time", "s")
    model_error: np.ndarray = stored("error/model", "1")
    statistical_error: np.ndarray = stored("error/statistical", "1")
    change: np.ndarray = stored("change", "1")
    test_error: np.ndarray = stored("test_error", "1")
    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    spectra: np.ndarray = stored("intensity", "Angstrom^6")
    share: float = stored("stop/share", "1")
    low: float = stored("stop/low", "cm^-1")
    high: float = stored("stop/high", "cm^-1")
    verdict: str = stored("stop/verdict", "1")
    digest: tuple[str, ...] = stored("digest", "1")

    def __len__(self) -> int:
        return len(self.round)
