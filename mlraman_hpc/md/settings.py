"""What a run of molecular dynamics is: numbers without defaults, and steps instead of times."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Ensemble = Literal["nvt", "nve"]
EXTENSIONS = 4  # times that equilibration is prolonged by its own length while the energy drifts
SAMPLE_STEPS = 10  # steps between two samples of energy and volume before production


@dataclass(frozen=True)
class Settings:
    """Numbers that all runs of a deck share.

    time_step         fs
    stride            steps between stored frames
    frames            stored frames of each run
    equilibration     steps of a Langevin thermostat before the drift test; prolonged by as many, EXTENSIONS times
    npt_steps         steps at constant pressure from whose second half the cell is taken; 0: the cell of the structure
    pressure          GPa
    thermostat_time   fs, of the Nose-Hoover chain; 1/friction of the Langevin thermostat
    checkpoint        steps between two states that a restart goes on from
    renew             whether the calculator is made anew at each of them
    """

    ensemble: Ensemble
    time_step: float
    stride: int
    frames: int
    equilibration: int
    npt_steps: int
    pressure: float
    thermostat_time: float
    checkpoint: int
    renew: bool

    @property
    def frame_interval(self) -> float:
        """fs between stored frames"""
        return self.time_step * self.stride

    @property
    def production(self) -> int:
        """Steps from the first stored frame to the last."""
        return (self.frames - 1) * self.stride

    @property
    def steps(self) -> int:
        """Steps of a run whose equilibration is not prolonged."""
        return self.npt_steps + self.equilibration + self.production

    def as_dict(self) -> dict[str, Any]:
        """For the key that says whether a result is up to date."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """One trajectory: temperature (K), number of the replica from 0, and the seed of the deck."""

    temperature: float
    replica: int
    seed: int

    @property
    def name(self) -> str:
        """'300 K, replica 2', for messages."""
        return f"{self.temperature:g} K, replica {self.replica}"

    @property
    def file_name(self) -> str:
        return f"trajectory_{self.temperature:g}K_{self.replica}.h5"

    @property
    def entropy(self) -> list[int]:
        """Of the random numbers: runs of one deck are independent, and each is the same whichever others there are."""
        return [self.seed, round(self.temperature * 1000), self.replica]
