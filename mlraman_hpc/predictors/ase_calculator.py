"""ASE calculators whose results hold the polarizability: by 'module:Class', or by a short name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import all_changes

from mlraman_hpc.base.errors import DeckKeyError, FrameError, UserError
from mlraman_hpc.base.named_objects import named_object, resolved
from mlraman_hpc.numerics import Floats
from mlraman_hpc.predictors.other_model import (
    KEY,
    PROPERTY,
    OtherModel,
    Resources,
    Settings,
    as_tensor,
    check_unit,
    described,
)
from mlraman_hpc.records.frames import Frames


@dataclass(frozen=True)
class Known:
    """A calculator that has a short name.

    target    'module:Class'
    package   what pip calls it
    file      argument that takes the model's file
    defaults  of other arguments
    uses_gpu  whether an argument 'device' chooses between 'cpu' and 'cuda'
    """

    target: str
    package: str
    file: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    uses_gpu: bool = False


KNOWN = {
    "tnep": Known("calorine.calculators:CPUNEP", "calorine", "model_filename"),
    "mace": Known(
        "mace.calculators:MACECalculator",
        "mace-torch",
        "model_paths",
        {"model_type": "DipolePolarizabilityMACE"},
        uses_gpu=True,
    ),
}


class AseModel(OtherModel):
    """Calculators, one for each member; frames are computed one by one."""

    def __init__(self, settings: Settings, resources: Resources):
        """Raises DeckKeyError for a package that is missing, or arguments that the calculator refuses."""
        check_unit(settings)
        known = KNOWN.get(settings.calculator)
        target, package = (known.target, known.package) if known else (settings.calculator, None)
        calculator = named_object(target, f"{KEY}.calculator", package)
        variants = _arguments(settings, known)
        super().__init__(settings, settings.calculator, len(variants))
        self._property = settings.output or PROPERTY
        torch: Any = sys.modules.get("torch")  # where the calculator uses it
        has_gpu = torch is not None and torch.cuda.is_available()
        if known and known.uses_gpu:
            variants = [{"device": "cuda" if has_gpu else "cpu", **variant} for variant in variants]
        if torch is not None:
            torch.set_num_threads(resources.threads)
        if has_gpu:  # the current one is also that of a calculator that asks PyTorch by itself
            torch.cuda.set_device(resources.rank_on_host % torch.cuda.device_count())
            if any(str(variant.get("device", "")).startswith("cuda") for variant in variants):
                self._use_gpu(torch, resources)
        self._calculators = [self._make(calculator, variant) for variant in variants]

    def _make(self, calculator: Any, arguments: dict[str, Any]) -> Any:
        try:
            made = calculator(**arguments)
        except UserError:
            raise
        except Exception as error:  # another program's
            raise DeckKeyError(f"{KEY}.arguments", f"{self.name} refuses them: {described(error)}") from None
        if not hasattr(made, "calculate"):
            raise DeckKeyError(
                f"{KEY}.calculator", f"'{self.name}' gives a {type(made).__name__}, which is no ASE calculator"
            )
        return made

    def _evaluate(self, frames: Frames) -> Floats:
        result = np.empty((len(self._calculators), len(frames), 3, 3))
        for k, frame in enumerate(frames.index):
            rows = slice(*frames.first_atom[k : k + 2])
            atoms = ase.Atoms(
                frames.numbers[rows], frames.positions[rows], cell=frames.cells[k], pbc=frames.periodic[k]
            )
            for member, calculator in enumerate(self._calculators):
                result[member, k] = self._of_frame(calculator, atoms, int(frame))
        return result

    def _of_frame(self, calculator: Any, atoms: ase.Atoms, frame: int) -> Floats:
        name = self._property
        try:
            if hasattr(calculator, "reset"):
                calculator.reset()  # nothing is carried over from the frame before
            calculator.calculate(atoms, [name], all_changes)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # another program's
            raise FrameError(frame, f"{self.name} failed: {described(error)}") from None
        results = getattr(calculator, "results", {})
        if name not in results:
            names = ", ".join(map(str, results)) or "nothing"
            raise FrameError(
                frame,
                f"the results of {self.name} hold no '{name}', but {names}; model.predictor.output names the one that "
                "is the polarizability",
            )
        return as_tensor(results[name], frame, self.name)


def _arguments(settings: Settings, known: Known | None) -> list[dict[str, Any]]:
    """Arguments of each member's calculator."""
    given = [
        {name: resolved(value, settings.folder) for name, value in arguments.items()}
        for arguments in settings.arguments
    ]
    if not settings.files:
        if known and not any(known.file in arguments for arguments in given):
            raise DeckKeyError(f"{KEY}.files", "must be given: the file of the model, or several of an ensemble")
        return [{**(known.defaults if known else {}), **arguments} for arguments in given]
    if known is None:
        raise DeckKeyError(
            f"{KEY}.files",
            f"which argument of {settings.calculator} takes them is not known here; name the file in "
            "model.predictor.arguments, which may be a list of mappings, one for each member of an ensemble",
        )
    if len(given) > 1:
        raise DeckKeyError(f"{KEY}.arguments", "give several files or several mappings of arguments, not both")
    return [{**known.defaults, **given[0], known.file: file} for file in settings.files]
