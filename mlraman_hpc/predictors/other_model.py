"""What all models that other programs made have in common: their tensors are checked, converted, and averaged."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError, FrameError, UserError, first_line
from mlraman_hpc.base.units import POLARIZABILITY_UNITS
from mlraman_hpc.model.predictor import Prediction
from mlraman_hpc.numerics import Floats
from mlraman_hpc.records.frames import Frames

KEY = "model.predictor"
PROPERTY = "polarizability"


@dataclass(frozen=True)
class Settings:
    """What the deck says of the model.

    calculator  'module:Class' or a short name
    files       of the model; more than one: an ensemble
    arguments   of the calculator; more than one mapping: an ensemble
    output      what the polarizability is called among the model's results; None: what is usual
    quantity    what the tensors are: polarizability, dielectric, susceptibility
    unit        of a polarizability
    folder      that files among the arguments are relative to
    """

    calculator: str
    files: tuple[str, ...] = ()
    arguments: tuple[dict[str, Any], ...] = ({},)
    output: str | None = None
    quantity: str = PROPERTY
    unit: str | None = None
    folder: str = "."


@dataclass(frozen=True)
class Resources:
    """What a rank may use: threads, and its number among the ranks of its host, which share the host's GPUs."""

    threads: int = 1
    rank_on_host: int = 0


class OtherModel(ABC):
    """A model that another program made, on one rank. Calling it gives a `Prediction` without parts of species.

    Its tensors are symmetrised: alpha_ab = (T_ab + T_ba)/2. With more than one member alpha is their mean.

    name     how messages and logs call it
    members  number of models in the ensemble; 0 where it is a single one
    device   what it runs on, for the log
    gpu      tells one GPU of the host from another; empty on the CPU
    sign     a convention that `settle` decides on; the same for all ranks
    """

    species: tuple[str, ...] = ()
    concurrent = False  # not to be called by several threads
    whole_batches = True  # last bits may depend on which frames are computed together
    device = "CPU"
    gpu = ""
    sign = 1.0

    def __init__(self, settings: Settings, name: str, count: int):
        self.settings, self.name = settings, name
        self.members = count if count > 1 else 0
        self.asymmetry = 0.0

    @property
    def tensors(self) -> int:
        """Number of tensors that come out for each frame."""
        return 1 + self.members

    def settle(self, frames: Frames) -> str:
        """Decide from frames on what the model does not say of itself; a line for the log, or none."""
        return ""

    def _use_gpu(self, torch: Any, resources: Resources) -> int:
        """Number of this rank's GPU: rank k of a host takes GPU k, modulo the number that PyTorch sees."""
        number: int = resources.rank_on_host % torch.cuda.device_count()
        self.device = f"GPU {number} ({torch.cuda.get_device_name(number)})"
        # Ranks may each see one GPU alone, which is number 0 for all of them
        visible = f"{os.environ.get('CUDA_VISIBLE_DEVICES', '')} {number}"
        self.gpu = str(getattr(torch.cuda.get_device_properties(number), "uuid", visible))
        return number

    @abstractmethod
    def _evaluate(self, frames: Frames) -> Floats:
        """(members or 1, frames, 3, 3) in the model's own unit; raises FrameError."""

    def __call__(self, frames: Frames) -> Prediction:
        """Prediction for frames. Raises FrameError where the model gives none that can be used."""
        try:
            tensors = self._evaluate(frames)
        except UserError:
            raise
        except MemoryError:
            raise
        except Exception as error:  # another program's
            more = f" (or on one of the frames to {frames.index[-1]}, computed with it)" if len(frames) > 1 else ""
            raise FrameError(int(frames.index[0]), f"{self.name} failed{more}: {described(error)}") from None
        bad = np.argwhere(~np.isfinite(tensors).all(axis=(2, 3)))
        if len(bad):
            of = f" of member {bad[0][0]}" if self.members else ""
            raise FrameError(
                int(frames.index[bad[0][1]]), f"the polarizability{of} that {self.name} gives is not a number"
            )
        turned = tensors.swapaxes(2, 3)
        self.asymmetry = max(self.asymmetry, float(np.abs(tensors - turned).max() / (np.abs(tensors).max() or 1.0)))
        alpha = self._in_angstrom3((tensors + turned) / 2, frames)
        members = np.ascontiguousarray(alpha.swapaxes(0, 1)) if self.members else None
        return Prediction(None, members, None, alpha[0] if members is None else alpha.mean(axis=0))

    def _in_angstrom3(self, tensors: Floats, frames: Frames) -> Floats:
        """alpha of the whole cell; of a dielectric tensor alpha = V (epsilon - 1)/(4 pi)."""
        if self.settings.quantity == PROPERTY:
            return tensors * POLARIZABILITY_UNITS[str(self.settings.unit)]
        volumes = frames.volumes
        if not np.isfinite(volumes).all():
            frame = int(frames.index[np.flatnonzero(~np.isfinite(volumes))[0]])
            raise FrameError(frame, f"is not periodic, so a {self.settings.quantity} tensor says nothing of alpha")
        chi = tensors - np.eye(3) if self.settings.quantity == "dielectric" else tensors
        result: Floats = chi * (volumes / (4 * np.pi))[None, :, None, None]
        return result


def check_unit(settings: Settings, known: str | None = None) -> None:
    """Raises DeckKeyError where it is not said what the numbers are; `known`: the unit that the model file says."""
    if settings.quantity != PROPERTY and settings.unit:
        raise DeckKeyError(f"{KEY}.unit", f"a {settings.quantity} tensor has none; leave the key out")
    if settings.quantity == PROPERTY and settings.unit is None:
        says = f", which says '{known}'" if known else ", which does not say it"
        raise DeckKeyError(
            f"{KEY}.unit",
            f"must be given: the unit of the polarizability that comes out of {settings.calculator}{says}; one of "
            f"{', '.join(POLARIZABILITY_UNITS)}",
        )


def as_tensor(value: Any, frame: int, name: str) -> Floats:
    """(3, 3) of what a calculator gives as polarizability: nine numbers. Raises FrameError for anything else."""
    try:
        tensor = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise FrameError(
            frame, f"the polarizability that {name} gives is no array of numbers, but a {type(value).__name__}"
        ) from None
    if tensor.size != 9:
        raise FrameError(
            frame, f"the polarizability that {name} gives has the shape {tensor.shape}; (3, 3) of the cell is needed"
        )
    return tensor.reshape(3, 3)


def described(error: BaseException) -> str:
    """'ValueError: its first line'"""
    text = first_line(error)
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"
