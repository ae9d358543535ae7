"""The deck of a campaign: the ordinary sections for all materials, and `materials:` with what is different for each.

Every material becomes an ordinary deck, with absolute paths, that can be run alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import yaml

from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.keys import Files, Section, Walltime, key

COMMON_FOLDER = "common_model"  # of the model that several materials share


class ModelSource(str, Enum):
    """Where the model of a material comes from; the text is what tables and result files show."""

    OWN = "own"  # trained on the material's labels
    SHARED = "common"  # trained for several materials
    GIVEN = "given"  # a file that the deck names
    PREDICTOR = "predictor"  # a model that another program made
    COMPUTED = "computed"  # trained on labels that `label` computes
    NONE = "none"  # no Raman spectrum: dynamics only, or a series

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec)


OWN, SHARED, GIVEN, PREDICTOR, COMPUTED, NONE = ModelSource


class CampaignKeys(Section):
    """What a campaign's deck has beside the ordinary sections."""

    title: str = key("", "title of the report")
    output: str = key(..., "folder of the results, relative to the current folder; each material has a folder in it")
    walltime: Walltime = key(None, "time limit of the whole campaign", "minutes")
    groups: int = key(1, "groups of ranks, each computing one material at a time", ge=1)
    train_together: list[str] = key([], "materials whose labels train one common model")


class MaterialKeys(Section):
    """One of the materials: its name and what is different for it."""

    name: str = key(..., "name of the material, and of its folder in output")
    temperature: float | None = key(None, "short for spectrum.temperature", "K")
    mobile: list[str] = key([], "short for dynamics.mobile")
    trajectory: Files | None = key(None, "short for trajectory.files")
    reference: Files | None = key(None, "short for reference.files")
    series: str | None = key(None, "short for series.file")
    forces: Files | None = key(None, "short for forces.files")
    arrhenius: str | None = key(None, "short for dynamics.arrhenius")
    model: str | None = key(None, "short for model.file; or 'common', the model of train_together; or 'none'")


@dataclass
class Material:
    """One material of a campaign.

    deck    the ordinary deck
    model   where its model comes from
    labels  a deck with its own labels, where these do not train a model of its own; else None
    """

    name: str
    deck: Deck
    model: ModelSource
    labels: Deck | None = None

    @property
    def folder(self) -> Path:
        """Folder of its results."""
        return Path(self.deck.output)


@dataclass
class Campaign:
    """All materials of a campaign.

    name      file of the deck
    common    deck that trains the common model, if there is one
    together  materials whose labels train it
    """

    name: str
    keys: CampaignKeys
    materials: list[Material]
    common: Deck | None = None
    together: list[Material] = field(default_factory=list)

    @property
    def output(self) -> Path:
        """Folder of the results, absolute."""
        return Path(self.keys.output).absolute()


def ordinary_yaml(deck: Deck) -> str:
    """The deck with the keys that were set, to be run alone."""
    head = "# Made by 'mlraman campaign'. 'mlraman run' with this file computes this material alone.\n"
    return head + yaml.safe_dump(deck.model_dump(exclude_unset=True), sort_keys=False, allow_unicode=True)
