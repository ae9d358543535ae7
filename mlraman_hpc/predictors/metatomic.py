"""metatomic models (.pt, as metatrain exports them) with a spherical or Cartesian polarizability as an output."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DeckKeyError, FrameError, first_line
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.tensors import from_spherical
from mlraman_hpc.predictors.other_model import KEY, PROPERTY, OtherModel, Resources, Settings, check_unit, described
from mlraman_hpc.records.frames import Frames

NAME, PACKAGE = "metatomic", "metatomic-torch"
ARGUMENTS = ("device", "extensions")
_UNITS = {"angstrom^3": "angstrom^3", "a^3": "angstrom^3", "bohr^3": "bohr^3", "e^2*angstrom^2/ev": "e^2 angstrom^2/eV"}


class MetatomicModel(OtherModel):
    """One model file for each member. The frames of a batch are evaluated in one call, always the same ones.

    sign  of the isotropic component: +1 where alpha^0 = tr(alpha)/sqrt(3), -1 where it is -tr(alpha)/sqrt(3), as
          featomic's cartesian_to_spherical has it; decided on the first frame, since no polarizability has a negative
          trace
    """

    def __init__(self, settings: Settings, resources: Resources):
        """Raises DeckKeyError for a package that is missing, or a file or output that cannot be used."""
        if not settings.files:
            raise DeckKeyError(f"{KEY}.files", "must be given: the exported model (.pt), or several of an ensemble")
        super().__init__(settings, NAME, len(settings.files))
        self._spherical = False
        arguments = _arguments(settings)
        self._torch, self._metatomic = _package("torch"), _package("metatomic.torch")
        neighbours = _package("vesin.metatomic")
        self._torch.set_num_threads(resources.threads)
        self._models = [self._load(Path(file), arguments.get("extensions")) for file in settings.files]
        self._output, unit = self._choose_output()
        self.settings = _with_unit(settings, unit)
        self._device = self._choose_device(arguments.get("device"), resources)
        with _quiet():  # without a skin no list of neighbours depends on the frame before
            for model in self._models:
                model.to(self._device)
            self._neighbours = [
                neighbours.neighbor_lists_for_model("angstrom", model, skin=0.0) for model in self._models
            ]

    def settle(self, frames: Frames) -> str:
        """Decide on `sign` from a frame."""
        trace = np.trace(self._evaluate(frames)[:, 0].mean(axis=0))
        if not self._spherical or trace >= 0:
            return ""
        self.sign = -1.0
        return "the isotropic component of its output is -tr(alpha)/sqrt(3), as in featomic, since alpha is positive"

    def _load(self, file: Path, extensions: str | None) -> Any:
        beside = file.parent / "extensions"  # where metatrain puts them
        folder = extensions or (str(beside) if beside.is_dir() else None)
        try:
            with _quiet():
                return self._metatomic.load_atomistic_model(str(file), extensions_directory=folder)
        except Exception as error:  # another program's
            text = f"{file}: cannot be loaded: {first_line(error)}"
            if file.suffix == ".ckpt":
                text += "; a checkpoint of metatrain is exported with 'mtt export'"
            elif "extension" in str(error):
                text += "; model.predictor.arguments: {extensions: FOLDER} names the folder that was exported with it"
            raise DeckKeyError(f"{KEY}.files", text) from None

    def _choose_output(self) -> tuple[str, str]:
        """Name and unit of the polarizability among the outputs, which all members share."""
        outputs = [dict(model.capabilities().outputs) for model in self._models]
        own = [name for name in outputs[0] if "::aux::" not in name and not name.startswith("feature")]
        candidates = [name for name in own if PROPERTY in name]
        wanted = self.settings.output or (candidates[0] if len(candidates) == 1 else None)
        known = f"its outputs are {', '.join(own) or 'none'}"
        if wanted is None:
            count = "several outputs are" if candidates else "no output is"
            raise DeckKeyError(
                f"{KEY}.output", f"must be given: {count} called polarizability in {self.settings.files[0]}; {known}"
            )
        for file, outputs_of_file in zip(self.settings.files, outputs):
            if wanted not in outputs_of_file:
                raise DeckKeyError(f"{KEY}.output", f"{file} has no output '{wanted}'; {known}")
        return wanted, str(outputs[0][wanted].unit)

    def _choose_device(self, wanted: str | None, resources: Resources) -> Any:
        supported = set.intersection(*(set(model.capabilities().supported_devices) for model in self._models))
        cuda = self._torch.cuda
        if wanted not in (None, "cpu", "cuda") or (wanted and wanted not in supported):
            raise DeckKeyError(
                f"{KEY}.arguments", f"device '{wanted}': the model runs on {', '.join(sorted(supported))}"
            )
        if wanted == "cuda" and not cuda.is_available():
            raise DeckKeyError(f"{KEY}.arguments", "device 'cuda': PyTorch sees no GPU here")
        if wanted == "cpu" or "cuda" not in supported or not cuda.is_available():
            return self._torch.device("cpu")
        return self._torch.device("cuda", self._use_gpu(self._torch, resources))

    def _evaluate(self, frames: Frames) -> Floats:
        return np.stack([self._of_member(number, frames) for number in range(len(self._models))])

    def _of_member(self, number: int, frames: Frames) -> Floats:
        model, metatomic = self._models[number], self._metatomic
        capabilities = model.capabilities()
        unknown = ~np.isin(frames.numbers, np.array(list(capabilities.atomic_types)))
        if unknown.any():
            atom = int(np.flatnonzero(unknown)[0])
            raise FrameError(
                int(frames.index[frames.frame_of_atom[atom]]),
                f"holds {symbols(frames.numbers[[atom]])[0]}, but {self.settings.files[number]} was trained on "
                f"{', '.join(symbols(np.array(sorted(capabilities.atomic_types))))} only",
            )
        with _quiet(), self._torch.no_grad():
            systems = [self._system(frames, k, getattr(self._torch, capabilities.dtype)) for k in range(len(frames))]
            for neighbours in self._neighbours[number]:
                neighbours.add_neighbor_list(systems)
            options = metatomic.ModelEvaluationOptions(
                length_unit="angstrom", outputs={self._output: metatomic.ModelOutput()}
            )
            outputs = model([system.to(device=self._device) for system in systems], options, check_consistency=False)
        return self._tensors(outputs[self._output], frames)

    def _system(self, frames: Frames, k: int, dtype: Any) -> Any:
        torch, rows = self._torch, slice(*frames.first_atom[k : k + 2])
        cell = frames.cells[k] * frames.periodic[k][:, None]  # metatomic wants zeros where there is no period
        return self._metatomic.System(
            types=torch.as_tensor(frames.numbers[rows].astype(np.int32)),
            positions=torch.as_tensor(frames.positions[rows]).to(dtype),
            cell=torch.as_tensor(cell).to(dtype),
            pbc=torch.as_tensor(frames.periodic[k]),
        )

    def _tensors(self, tensor_map: Any, frames: Frames) -> Floats:
        """(frames, 3, 3) of a TensorMap."""
        blocks = {}
        for key, block in tensor_map.items():
            values = block.values.detach().cpu().double().numpy()
            names = list(tensor_map.keys.names)
            order = int(key["o3_lambda"]) if "o3_lambda" in names else None
            if values.shape[0] != len(frames) or values.shape[-1] != 1:
                raise self._of_wrong_layout(tensor_map, frames)
            blocks[order] = values[..., 0]
        if None in blocks and len(blocks) == 1 and blocks[None].shape[1:] == (3, 3):
            return blocks[None]
        shapes = {order: values.shape[1:] for order, values in blocks.items() if order in (0, 2)}
        if shapes != {0: (1,), 2: (5,)}:
            raise self._of_wrong_layout(tensor_map, frames)
        self._spherical = True
        return from_spherical(self.sign * blocks[0][:, 0], blocks[2])

    def _of_wrong_layout(self, tensor_map: Any, frames: Frames) -> FrameError:
        shapes = "; ".join(f"{key}: {tuple(block.values.shape)}" for key, block in tensor_map.items())
        return FrameError(
            int(frames.index[0]),
            f"the output '{self._output}' of {self.settings.files[0]} is neither one tensor of the cell (frames, 3, 3, "
            f"1) nor its spherical parts o3_lambda = 0 and 2; it has the blocks {shapes}",
        )


def _package(module: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(module)
    except Exception as error:  # packages fail to load in many ways
        raise DeckKeyError(
            f"{KEY}.calculator",
            f"'{NAME}' needs the package {PACKAGE}, which cannot be imported here: {described(error)}; "
            f"'pip install {PACKAGE}'",
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of PyTorch and metatomic about their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _arguments(settings: Settings) -> dict[str, Any]:
    if len(settings.arguments) > 1:
        raise DeckKeyError(f"{KEY}.arguments", "an ensemble of metatomic models is several model.predictor.files")
    arguments = dict(settings.arguments[0])
    if unknown := [name for name in arguments if name not in ARGUMENTS]:
        raise DeckKeyError(f"{KEY}.arguments", f"'{unknown[0]}' is not known; metatomic takes {', '.join(ARGUMENTS)}")
    if folder := arguments.get("extensions"):
        arguments["extensions"] = str(Path(settings.folder) / str(folder))
    return arguments


def _with_unit(settings: Settings, stated: str) -> Settings:
    """With the unit that the model file says, where the deck has none. Raises DeckKeyError where they contradict."""
    known = _UNITS.get(stated.lower().replace(" ", "").replace("**", "^"))
    if settings.quantity != PROPERTY or known is None:
        check_unit(settings, stated)
        return settings
    if settings.unit not in (None, known):
        raise DeckKeyError(
            f"{KEY}.unit", f"{settings.unit}, but {settings.files[0]} says '{stated}'; leave the key out"
        )
    return replace(settings, unit=known)
