"""Campaign deck -> an ordinary deck for each material. All mistakes at once, each with its line and material."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.config import campaign_table, deck_reader
from mlraman_hpc.config.campaign_deck import COMMON, GIVEN, NONE, OWN, SHARED, Campaign, CampaignKeys, Material
from mlraman_hpc.config.deck import Deck, Section

OWN_KEYS = ("materials", "groups", "train_together")
_SHORT = {"temperature": "spectrum.temperature", "mobile": "dynamics.mobile", "arrhenius": "dynamics.arrhenius"}
_FILES = {"trajectory": "files", "reference": "files", "model": "file", "series": "file", "forces": "files"}
_PATHS = ("file", "files", "predicted_files", "lattice_sites")
_NAME = re.compile(r"[\w(][\w.,+()=-]*")
_TAKEN = (COMMON, "cache")
_PATTERN = re.compile(r"\{([A-Za-z_][\w.]*)\}")


@dataclass
class _Draft:
    """A material on its way: own values, all values, the place of every key, variables of patterns."""

    name: str
    own: dict
    places: dict
    variables: dict[str, str]
    values: dict = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    model: str = NONE
    labels: dict | None = None


def is_campaign(path: str | Path) -> bool:
    """Whether the deck in this file has materials. Raises DeckError as read_deck does."""
    values, _, _ = deck_reader.parse(deck_reader.read_text(path), str(path))
    return "materials" in values


def read_campaign(path: str | Path, changes: list[str] = ()) -> Campaign:
    """The campaign in file `path`. Raises DeckError with every mistake, one on each line."""
    name = str(path)
    values, places, mistakes = deck_reader.parse(deck_reader.read_text(path), name)
    for change in changes:
        mistakes += deck_reader.apply(change, values, places)
    keys = _keys(values, places, name, mistakes)
    if "materials" not in values:
        mistakes.append(f"{name}: a campaign needs the section 'materials'; 'mlraman docs campaign' shows one")
    drafts = _drafts(values.get("materials"), places, name, mistakes)
    keys = keys or CampaignKeys(output=".")
    reader = _Reader(name, Path(path).absolute().parent, keys, values, places, mistakes)
    campaign = reader.campaign(drafts)
    _stop_at(mistakes)
    return campaign


def _stop_at(mistakes: list[str]) -> None:
    if mistakes:
        raise DeckError("\n".join(deck_reader.in_order(mistakes)))


def _keys(values: dict, places: dict, name: str, mistakes: list[str]) -> CampaignKeys | None:
    own = {key: values[key] for key in CampaignKeys.model_fields if key in values}
    try:
        return CampaignKeys.model_validate(own)
    except ValidationError as error:
        mistakes += [deck_reader.describe(problem, places, name) for problem in error.errors()]
        return None


# materials


def _drafts(given, places: dict, name: str, mistakes: list[str]) -> list[_Draft]:
    if given is None:
        return []
    if isinstance(given, dict):
        rows = _from_table(given, places, name, mistakes)
    elif isinstance(given, list):
        rows = _from_list(given, places, name, mistakes)
    else:
        mistakes.append(f"{places[('materials',)]}: 'materials' should be a list, or 'table: FILE.csv'")
        return []
    drafts: list[_Draft] = []
    for where, values, row_places, variables in rows:
        if (draft := _draft(where, values, row_places, variables, mistakes)) is None:
            continue
        if draft.name in (other.name for other in drafts):
            mistakes.append(f"{where}: material '{draft.name}' is there already; each needs a name of its own")
        drafts.append(draft)
    if not drafts and not mistakes:
        mistakes.append(f"{places[('materials',)]}: 'materials' is empty")
    return drafts


def _from_list(given: list, places: dict, name: str, mistakes: list[str]) -> list[tuple]:
    """(place, values, {path: place}, variables) of each item."""
    rows = []
    for number, item in enumerate(given):
        start = ("materials", str(number))
        where = places.get(start, name)
        if not isinstance(item, dict):
            mistakes.append(f"{where}: a material is a list of 'key: value' with at least 'name', found {item!r}")
            continue
        inner = {path[2:]: place for path, place in places.items() if path[:2] == start and len(path) > 2}
        rows.append((where, item, inner, {str(key): str(value) for key, value in _flat(item).items()}))
    return rows


def _flat(values: dict, prefix: str = "") -> dict:
    found = {}
    for key_, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key_}.")
        elif not isinstance(value, list):
            found[f"{prefix}{key_}"] = value
    return found


def _from_table(given: dict, places: dict, name: str, mistakes: list[str]) -> list[tuple]:
    wrong = [key for key in given if key != "table"]
    if wrong or not isinstance(given.get("table"), str):
        place = places.get(("materials", str(wrong[0])), name) if wrong else places[("materials",)]
        mistakes.append(f"{place}: 'materials' should be a list, or 'table: FILE.csv' and nothing else")
        return []
    path = os.path.join(os.path.dirname(name), os.path.expanduser(given["table"]))
    try:
        return campaign_table.read(path, deck_reader.scalar)
    except DeckError as error:
        mistakes.append(f"{places[('materials', 'table')]}: {error}" if not str(error).startswith(path) else str(error))
        return []


def _draft(where: str, values: dict, places: dict, variables: dict, mistakes: list[str]) -> _Draft | None:
    name = str(values.get("name", "") or "")
    if not name:
        mistakes.append(f"{where}: the material has no 'name'")
        return None
    if not _NAME.fullmatch(name) or name in _TAKEN:
        mistakes.append(
            f"{where}: '{name}' cannot be the name of a folder of results; use letters, digits and . _ - + "
            f"= ( ), and none of {', '.join(_TAKEN)}"
        )
        return None
    mark = f"material '{name}'"
    draft = _Draft(name, {}, {(): f"{where}: {mark}"}, variables | {"name": name})
    for dotted, value in values.items():
        if dotted == "name":
            continue
        path = tuple(str(dotted).split("."))
        if str(dotted) in _SHORT:
            path = tuple(_SHORT[str(dotted)].split("."))
        for below, place in places.items():
            if below[0] == str(dotted):
                draft.places[(*path, *below[1:])] = f"{place}: {mark}"
        _put(draft.own, path, _long(path, value))
    return draft


def _long(path: tuple, value):
    """`trajectory: XDATCAR` means `trajectory: {files: XDATCAR}`."""
    inner = _FILES.get(path[0]) if len(path) == 1 else None
    return {inner: value} if inner and isinstance(value, (str, list)) else value


def _put(values: dict, path: tuple, value) -> None:
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    before = values.get(path[-1])
    values[path[-1]] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value


def merged(common: dict, own: dict) -> dict:
    """`common` with every key of `own` in its place, section by section; an empty section of `own` leaves it out."""
    result = dict(common)
    for name, value in own.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            result[name] = merged(before, value)
        elif isinstance(before, dict) and value is None:
            del result[name]
        else:
            result[name] = value
    return result


# from drafts to decks


class _Reader:
    """Makes ordinary decks of drafts; mistakes are collected."""

    def __init__(self, name: str, folder: Path, keys: CampaignKeys, values: dict, places: dict, mistakes: list[str]):
        self.name, self.folder, self.keys, self.mistakes = name, folder, keys, mistakes
        self.output = os.path.abspath(keys.output)
        self.places = places
        left_out = (*OWN_KEYS, "title", "output", "walltime")
        self.values = {name: _long((name,), value) for name, value in values.items() if name not in left_out}

    def campaign(self, drafts: list[_Draft]) -> Campaign:
        one_for_all = self._one_for_all()
        self._check_together(drafts, one_for_all)
        for draft in drafts:
            self._assign_model(draft, one_for_all or bool(self.keys.train_together))
        self._check_columns(drafts)
        materials = [found for draft in drafts if (found := self._material(draft)) is not None]
        together = [material for material in materials if material.name in self.keys.train_together]
        used = any(draft.model == SHARED for draft in drafts)
        common = self._common_deck(together) if used and not self.mistakes else None
        return Campaign(self.name, self.keys, materials, common, together)

    def _one_for_all(self) -> bool:
        """Whether the common `reference` names the same files for every material."""
        files = (self.values.get("reference") or {}).get("files")
        return files is not None and not _PATTERN.search(str(files))

    def _check_together(self, drafts: list[_Draft], one_for_all: bool) -> None:
        where = self.places.get(("train_together",), self.name)
        names = [draft.name for draft in drafts]
        for name in self.keys.train_together:
            if name not in names:
                self.mistakes.append(
                    f"{where}: 'train_together': there is no material '{name}'; there are: "
                    f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
                )
        if self.keys.train_together and one_for_all:
            self.mistakes.append(
                f"{where}: 'train_together': the common 'reference' trains one model for all already; keep one of them"
            )

    def _assign_model(self, draft: _Draft, has_common: bool) -> None:
        """Which model serves the material: its own labels or file come before the common ones."""
        own = dict(draft.own)
        wish = (own.get("model") or {}).get("file") if isinstance(own.get("model"), dict) else None
        if wish in (SHARED, NONE):
            own["model"] = {name: value for name, value in own["model"].items() if name != "file"}
        values = self._filled(draft, merged(self.values, own))
        reference = values.pop("reference", None)
        model = dict(values.get("model") or {})
        trained_together = draft.name in self.keys.train_together
        of_its_own = own.get("reference") is not None or (reference is not None and not self._one_for_all())
        if wish is None and not of_its_own and model.get("file") == NONE:  # for all that say nothing else
            wish = NONE
        if wish == SHARED and not has_common:
            where = draft.places.get(("model",), draft.places[()])
            self.mistakes.append(
                f"{where}: 'model': there is no common model; 'train_together' or a common 'reference' makes one"
            )
        if wish == NONE:
            draft.model, reference = NONE, None
        elif wish == SHARED or trained_together:
            draft.model = SHARED
        elif wish is not None:
            draft.model = GIVEN
        elif of_its_own:
            draft.model = OWN
        elif model.get("file") is not None:
            draft.model = GIVEN
        elif reference is not None:
            draft.model = SHARED
        if trained_together and not of_its_own:
            self.mistakes.append(f"{draft.places[()]}: is in 'train_together', but has no 'reference'")
        draft.values = self._with_model(values, model, draft.model)
        if draft.model == OWN:
            draft.values["reference"] = reference
        elif draft.model in (SHARED, GIVEN) and of_its_own:
            draft.labels = {**draft.values, "reference": reference}

    def _with_model(self, values: dict, model: dict, kind: str) -> dict:
        if kind in (OWN, NONE):
            model.pop("file", None)
        if kind == SHARED:
            model["file"] = os.path.join(self.output, COMMON, "model.h5")
        if kind == NONE:
            values.pop("convergence", None)
        values.pop("model", None)
        return {**values, "model": model} if model else values

    def _filled(self, draft: _Draft, values):
        """`values` with {variables} of the material in every text."""
        if isinstance(values, dict):
            return {name: self._filled(draft, value) for name, value in values.items()}
        if isinstance(values, list):
            return [self._filled(draft, value) for value in values]
        if not isinstance(values, str):
            return values

        def of(found):
            draft.used.add(found[1])
            if found[1] not in draft.variables:
                self.mistakes.append(
                    f"{draft.places[()]}: '{values}': the material has no '{found[1]}'; it has "
                    f"{', '.join(draft.variables)}"
                )
            return draft.variables.get(found[1], "")

        return _PATTERN.sub(of, values)

    def _check_columns(self, drafts: list[_Draft]) -> None:
        """What is used in patterns alone is no key of the deck."""
        used = set().union(*(draft.used for draft in drafts))
        for draft in drafts:
            for name in used & set(draft.values) - set(Deck.model_fields):
                del draft.values[name]
                if draft.labels is not None:
                    draft.labels.pop(name, None)

    def _material(self, draft: _Draft) -> Material | None:
        places = {path: place for path, place in self.places.items() if path[:1] != ("materials",)} | draft.places
        own = {"title": draft.name, "output": os.path.join(self.output, draft.name)}
        deck = self._deck({**own, **draft.values}, places)
        labels = self._deck({**own, **draft.labels}, places) if draft.labels else None
        if deck is None:
            return None
        if draft.model == NONE and not deck.series and not deck.dynamics:
            self.mistakes.append(
                f"{draft.places[()]}: has neither labels nor a model, and without the section "
                "'dynamics' there is nothing to compute"
            )
        return Material(draft.name, deck, draft.model, labels)

    def _deck(self, values: dict, places: dict) -> Deck | None:
        where = places.get((), self.name)  # names the material, if it is one
        try:
            deck = Deck.model_validate(values)
        except ValidationError as error:
            self.mistakes += [deck_reader.describe(problem, places, where) for problem in error.errors()]
            return None
        deck._places, deck._folder, deck._name = places, str(self.folder), where
        try:
            deck_reader.check_tasks(deck)
        except DeckError as error:
            self.mistakes += str(error).splitlines()
        _make_absolute(deck)
        return deck

    def _common_deck(self, together: list[Material]) -> Deck | None:
        """The ordinary deck that trains the common model, from labels in one folder or in one file."""
        output = os.path.join(self.output, COMMON)
        names = ("descriptor", "model", "reference", "figures")
        values = {name: self.values[name] for name in names if name in self.values}
        values = {"title": f"common model of {self.keys.title or self.name}", "output": output, **values}
        values["model"] = {name: value for name, value in (values.get("model") or {}).items() if name != "file"}
        if together:
            drawn = {
                name: value
                for name, value in (values.get("reference") or {}).items()
                if name in ("train", "test", "seed")
            }
            values["reference"] = {
                "files": [os.path.join(output, f"{material.name}.extxyz") for material in together],
                "format": "extxyz",
                "quantity": "polarizability",
                "unit": "angstrom^3",
                "tensor": "polarizability",
                **drawn,
            }
        return self._deck(values, self.places)


def _make_absolute(deck: Deck) -> None:
    """Paths of the deck's files, so that it means the same wherever it is kept."""

    def absolute(path: str) -> str:
        return os.path.abspath(os.path.join(deck._folder, os.path.expanduser(path)))

    def walk(section: Section) -> None:
        for name in type(section).model_fields:
            value = getattr(section, name)
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, Section):
                    walk(inner)
            if name in _PATHS and value:
                setattr(section, name, absolute(value) if isinstance(value, str) else [absolute(one) for one in value])

    walk(deck)
