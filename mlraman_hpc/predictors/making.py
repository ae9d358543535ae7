"""From a deck's settings to the model on a rank, and where it comes from."""

from __future__ import annotations

import inspect
from importlib import metadata
from pathlib import Path
from typing import Any

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.base.named_objects import named_files, named_object
from mlraman_hpc.predictors.ase_calculator import KNOWN, AseModel
from mlraman_hpc.predictors.metatomic import NAME, MetatomicModel
from mlraman_hpc.predictors.other_model import KEY, OtherModel, Resources, Settings


def make(settings: Settings, resources: Resources) -> OtherModel:
    """The model, loaded. Raises DeckKeyError that names the key."""
    check_name(settings)
    return MetatomicModel(settings, resources) if settings.calculator == NAME else AseModel(settings, resources)


def check_name(settings: Settings) -> None:
    """Raises DeckKeyError for a calculator that is neither module:Class nor a short name."""
    names = (NAME, *KNOWN)
    if ":" not in settings.calculator and settings.calculator not in names:
        raise DeckKeyError(
            f"{KEY}.calculator",
            f"'{settings.calculator}' is neither module:Class nor one of the short names {', '.join(names)}",
        )


def files_of(settings: Settings) -> list[Path]:
    """Files that the results depend on: those of the model, and the source of a class that no package installed."""
    files = [Path(file) for file in settings.files]
    files += [file for arguments in settings.arguments for file in named_files(arguments, settings.folder)]
    if (source := _own_source(settings)) is not None:
        files.append(source)
    return files


def provenance_of(settings: Settings) -> dict[str, Any]:
    """Name of the class, and name and version of the package that it comes from, for the history of results."""
    target = _target(settings)
    names = metadata.packages_distributions().get(target.split(":")[0].split(".")[0], [])
    versions = {name: metadata.version(name) for name in sorted(set(names))}
    return {"calculator": target, "packages": versions}


def _target(settings: Settings) -> str:
    if settings.calculator == NAME:
        return "metatomic.torch:load_atomistic_model"
    known = KNOWN.get(settings.calculator)
    return known.target if known else settings.calculator


def _own_source(settings: Settings) -> Path | None:
    """The module of a class that belongs to no installed package, such as one beside the deck."""
    if ":" not in settings.calculator or metadata.packages_distributions().get(
        settings.calculator.split(":")[0].split(".")[0]
    ):
        return None
    target = named_object(settings.calculator, f"{KEY}.calculator")
    try:
        return Path(inspect.getsourcefile(target) or "")
    except TypeError:
        return None
