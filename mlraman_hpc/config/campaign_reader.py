"""Campaign deck -> an ordinary deck for each material. All mistakes at once, each with its line and material."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlraman_hpc.base.errors import DeckError, KeyLocations, Mistake
from mlraman_hpc.config import deck_reader, yaml_source
from mlraman_hpc.config.campaign_deck import COMMON_FOLDER, Campaign, CampaignKeys, Material, ModelSource
from mlraman_hpc.config.campaign_materials import MaterialDraft, long_form, merged, read_materials
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.paths import expand_paths, make_absolute
from mlraman_hpc.config.yaml_source import YamlSource

_CAMPAIGN_KEYS = ("materials", "groups", "train_together", "title", "output", "walltime")  # not for all materials
_VARIABLE = re.compile(r"(?<!\$)\{([A-Za-z_][\w.]*)\}")  # ${NAME} is a variable of the environment

_OF_COMMAND = frozenset({"program", "input", "output", "slot"})  # filled in when labelling.command runs


def is_campaign(path: str | Path) -> bool:
    """Whether the deck in this file has materials. Raises DeckError as read_deck does."""
    return "materials" in yaml_source.read(path).values


def read_campaign(path: str | Path, changes: Sequence[str] = ()) -> Campaign:
    """The campaign in file `path` with `changes` applied. Raises DeckError with every mistake."""
    source = yaml_source.read(path, changes)
    keys, wrong_keys = _campaign_keys(source)
    drafts, wrong_materials = read_materials(source)
    reader = _CampaignReader(source, Path(path).absolute().parent, keys)
    campaign = reader.campaign(drafts)
    if mistakes := [*source.mistakes, *wrong_keys, *wrong_materials, *reader.mistakes]:
        raise DeckError.from_mistakes(mistakes)
    return campaign


def _campaign_keys(source: YamlSource) -> tuple[CampaignKeys, list[Mistake]]:
    values = {name: source.values[name] for name in CampaignKeys.model_fields if name in source.values}
    try:
        keys = CampaignKeys.model_validate(values)
        return keys, [source.locations.mistake((error.key,), error.text) for error in expand_paths(keys)]
    except ValidationError as error:
        return CampaignKeys(output="."), deck_reader.mistakes_of(error, source.locations)


@dataclass
class _Assignment:
    """A draft with the source of its model.

    values          of the ordinary deck
    labelled        values of a deck with the material's labels, where these do not train its own model
    used_variables  names that the patterns of its values contain
    """

    draft: MaterialDraft
    model: ModelSource
    values: dict[str, Any]
    labelled: dict[str, Any] | None = None
    used_variables: set[str] = field(default_factory=set)


class _CampaignReader:
    """Makes ordinary decks of drafts; mistakes are collected."""

    def __init__(self, source: YamlSource, folder: Path, keys: CampaignKeys) -> None:
        self.name, self.folder, self.keys = source.name, str(folder), keys
        self.output = os.path.abspath(keys.output)
        self.common = {
            name: long_form((name,), value) for name, value in source.values.items() if name not in _CAMPAIGN_KEYS
        }
        self.locations = KeyLocations(
            {path: location for path, location in source.locations.items() if path[:1] != ("materials",)}
        )
        self.mistakes: list[Mistake] = []

    def campaign(self, drafts: list[MaterialDraft]) -> Campaign:
        self._check_train_together([draft.name for draft in drafts])
        assignments = [self._assign(draft) for draft in drafts]
        _remove_pattern_columns(assignments)
        materials = [material for item in assignments if (material := self._material(item)) is not None]
        together = [material for material in materials if material.name in self.keys.train_together]
        shared = any(item.model is ModelSource.SHARED for item in assignments)
        common = self._common_deck(together) if shared and not self.mistakes else None
        return Campaign(self.name, self.keys, materials, common, together)

    @property
    def _one_reference_for_all(self) -> bool:
        """Whether the common `reference` names the same files for every material."""
        files = _section(self.common, "reference").get("files")
        return files is not None and not _VARIABLE.search(str(files))

    def _check_train_together(self, names: list[str]) -> None:
        path = ("train_together",)
        for name in self.keys.train_together:
            if name not in names:
                known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
                text = f"there is no material '{name}'; there are: {known}"
                self.mistakes.append(self.locations.mistake(path, text))
        if self.keys.train_together and self._one_reference_for_all:
            text = "the common 'reference' trains one model for all already; keep one of them"
            self.mistakes.append(self.locations.mistake(path, text))

    # which model serves a material

    def _assign(self, draft: MaterialDraft) -> _Assignment:
        """Values of the material's deck; its own labels, model file or predictor come before the common ones."""
        own, requested = _without_model_keyword(draft.values)
        if _section(own, "model").get("predictor"):
            return self._with_predictor(draft, own, ("reference", "file", "committee"))
        if requested is None and own.get("reference") is None and _section(self.common, "model").get("predictor"):
            return self._with_predictor(draft, own, ())
        item = _Assignment(draft, ModelSource.NONE, {})
        values = self._fill(merged(self.common, own), item)
        reference = values.pop("reference", None)
        file = _section(values, "model").get("file")
        has_labels = own.get("reference") is not None or (reference is not None and not self._one_reference_for_all)
        if requested is None and not has_labels and file == ModelSource.NONE:  # for all materials that name no other
            requested = file
        self._check_request(draft, requested, has_labels)
        item.model = self._model_source(draft, requested, has_labels, file, reference is not None)
        if (
            item.model is ModelSource.NONE
            and requested is None
            and values.get("labelling")
            and not values.get("series")
        ):
            item.model = ModelSource.COMPUTED
        item.values = self._with_model(values, item)
        if item.model is ModelSource.OWN:
            item.values["reference"] = reference
        elif item.model is not ModelSource.NONE and has_labels:
            item.labelled = {**item.values, "reference": reference}
        return item

    def _with_predictor(self, draft: MaterialDraft, own: dict[str, Any], of_others: tuple[str, ...]) -> _Assignment:
        """With the model of another program; what else is said of a linear model is refused when the deck is checked.

        of_others  common keys of the linear model, which are for the other materials
        """
        item = _Assignment(draft, ModelSource.PREDICTOR, {})
        model = {name: value for name, value in _section(self.common, "model").items() if name not in of_others}
        left_out = ("model", "convergence", *of_others)
        common = {name: value for name, value in self.common.items() if name not in left_out}
        item.values = self._fill(merged({**common, "model": model}, own), item)
        return item

    def _check_request(self, draft: MaterialDraft, requested: str | None, has_labels: bool) -> None:
        has_common_model = self._one_reference_for_all or bool(self.keys.train_together)
        if requested == ModelSource.SHARED and not has_common_model:
            text = "there is no common model; 'train_together' or a common 'reference' makes one"
            self.mistakes.append(draft.locations.mistake(("model",), text))
        if draft.name in self.keys.train_together and not has_labels:
            self._refuse(draft, "is in 'train_together', but has no 'reference'")

    def _model_source(
        self, draft: MaterialDraft, requested: str | None, has_labels: bool, file: str | None, has_reference: bool
    ) -> ModelSource:
        if requested == ModelSource.NONE:
            return ModelSource.NONE
        if requested == ModelSource.SHARED or draft.name in self.keys.train_together:
            return ModelSource.SHARED
        if requested is not None:
            return ModelSource.GIVEN
        if has_labels:
            return ModelSource.OWN
        if file is not None:
            return ModelSource.GIVEN
        return ModelSource.SHARED if has_reference else ModelSource.NONE

    def _with_model(self, values: dict[str, Any], item: _Assignment) -> dict[str, Any]:
        """`values` with the model file that the source of the item's model means."""
        source = item.model
        if not isinstance(values.get("model", {}), (dict, type(None))):
            return values  # of a wrong type, which the check of the deck will tell
        model = _section(values, "model")
        model.pop("predictor", None)
        if source in (ModelSource.OWN, ModelSource.NONE):
            model.pop("file", None)
        if source is ModelSource.SHARED:
            model["file"] = os.path.join(self.output, COMMON_FOLDER, "model.h5")
        if source is ModelSource.COMPUTED:
            model["file"] = os.path.join(self.output, item.draft.name, "model.h5")
        left_out = ("model", "convergence") if source is ModelSource.NONE else ("model",)
        values = {name: value for name, value in values.items() if name not in left_out}
        return {**values, "model": model} if model else values

    # patterns

    def _fill(self, values: Any, item: _Assignment, kept: frozenset[str] = frozenset()) -> Any:
        """`values` with the {variables} of the material replaced in every text; those that are `kept` stay."""
        if isinstance(values, dict):
            return {
                name: self._fill(value, item, _OF_COMMAND if name == "labelling" else kept)
                for name, value in values.items()
            }
        if isinstance(values, list):
            return [self._fill(value, item, kept) for value in values]
        if not isinstance(values, str):
            return values
        variables, used = item.draft.variables, set(_VARIABLE.findall(values)) - kept
        for name in sorted(used - set(variables)):
            text = f"'{values}': the material has no '{name}'; it has {', '.join(variables)}"
            self._refuse(item.draft, text)
        item.used_variables |= used
        return _VARIABLE.sub(lambda match: match[0] if match[1] in kept else variables.get(match[1], ""), values)

    # decks

    def _material(self, item: _Assignment) -> Material | None:
        draft = item.draft
        locations = KeyLocations(self.locations | draft.locations)
        head = {"title": draft.name, "output": os.path.join(self.output, draft.name)}
        deck = self._deck({**head, **item.values}, locations)
        labels = self._deck({**head, **item.labelled}, locations) if item.labelled else None
        if deck is None:
            return None
        if item.model is ModelSource.NONE and not deck.series and not deck.dynamics:
            text = "has neither labels nor a model, and without the section 'dynamics' there is nothing to compute"
            self._refuse(draft, text)
        return Material(draft.name, deck, item.model, labels)

    def _common_deck(self, together: list[Material]) -> Deck | None:
        """The ordinary deck that trains the common model, from labels in one folder or in one file."""
        output = os.path.join(self.output, COMMON_FOLDER)
        names = {"descriptor", "model", "reference", "figures"}
        sections = {name: value for name, value in self.common.items() if name in names}
        values = {"title": f"common model of {self.keys.title or self.name}", "output": output, **sections}
        of_others = ("file", "predictor") if together else ("file",)
        values["model"] = {name: value for name, value in _section(sections, "model").items() if name not in of_others}
        if together:
            reference = _section(sections, "reference")
            values["reference"] = {
                "files": [os.path.join(output, f"{material.name}.extxyz") for material in together],
                "format": "extxyz",
                "quantity": "polarizability",
                "unit": "angstrom^3",
                "tensor": "polarizability",
                **{name: reference[name] for name in ("train", "test", "seed") if name in reference},
                **({"leave_out": reference["leave_out"]} if reference.get("leave_out") == "outliers" else {}),
            }
        return self._deck(values, self.locations)

    def _deck(self, values: dict[str, Any], locations: KeyLocations) -> Deck | None:
        deck, mistakes = deck_reader.validate(values, locations, self.folder)
        self.mistakes += mistakes
        if deck is not None:
            make_absolute(deck, deck.folder)
        return deck

    def _refuse(self, draft: MaterialDraft, text: str) -> None:
        self.mistakes.append(Mistake(draft.locations[()], "", text))


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of a section; empty where there is none, or something else by its name."""
    section = values.get(name)
    return dict(section) if isinstance(section, dict) else {}


def _without_model_keyword(values: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A material's values, and its `model.file`; the keywords 'common' and 'none' are not left as names of files."""
    model = _section(values, "model")
    requested = model.get("file")
    if requested not in (ModelSource.SHARED, ModelSource.NONE):
        return values, requested
    return {**values, "model": {name: value for name, value in model.items() if name != "file"}}, requested


def _remove_pattern_columns(assignments: list[_Assignment]) -> None:
    """What the patterns of any material use, and is no section of a deck, is no mistake in the others either."""
    variables = set().union(*(item.used_variables for item in assignments)) - set(Deck.model_fields)
    for item in assignments:
        for name in variables:
            item.values.pop(name, None)
            if item.labelled is not None:
                item.labelled.pop(name, None)
