"""The linear model for other programs: a metatomic model (.pt), which needs featomic-torch to be made."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import warnings
from pathlib import Path

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, first_line
from mlraman_hpc.records.model import Model

PACKAGE = "featomic-torch"
EXTENSIONS = "extensions"  # folder beside the model with the compiled parts of featomic, where metatrain has them


def export_metatomic(model: Model, path: Path) -> tuple[str, ...]:
    """Write the model as a metatomic model, whose output is alpha (3, 3) Angstrom^3 of the cell; what to know of it.

    Other files in `extensions` beside it stay. Raises DataError where featomic-torch is missing, or the name is none of
    a metatomic model.
    """
    if path.suffix != ".pt":
        raise DataError(f"{path}: the name of a metatomic model ends with .pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        try:
            torch_model = importlib.import_module("mlraman_hpc.model.torch_model")
        except Exception as error:  # packages fail to load in many ways
            raise DataError(
                f"a metatomic model is made with the package {PACKAGE}, which cannot be imported here: "
                f"{first_line(error)}; 'pip install {PACKAGE}'"
            ) from None
        with tempfile.TemporaryDirectory() as scratch:
            torch_model.write(model, Path(scratch) / path.name, Path(scratch) / EXTENSIONS)
            with atomic_write(path) as temporary:
                shutil.copyfile(Path(scratch) / path.name, temporary)
                shutil.copytree(Path(scratch) / EXTENSIONS, path.parent / EXTENSIONS, dirs_exist_ok=True)
    notes = [
        f"{path}: output '{torch_model.OUTPUT}', alpha of the cell in Angstrom^3; keep the folder {EXTENSIONS} beside "
        f"it, compiled for PyTorch {torch_model.torch.__version__} on this kind of machine",
        "it computes what 'predict' does at the speed of featomic, about a hundred times slower, on the CPU, and looks "
        "neither at densities nor at the training range",
    ]
    if len(model.committee_baseline):
        notes.append(f"the {len(model.committee_baseline)} members of the committee are left out")
    return tuple(notes)
