"""Deck file -> Deck. All mistakes at once, each with its line, key and nearest spelling."""

from __future__ import annotations

import difflib
import glob
import json
import os
import typing
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlraman_hpc.base.errors import DeckError, KeyLocations, Mistake
from mlraman_hpc.base.time_limits import TookTooLong, processor_time
from mlraman_hpc.config import yaml_source
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.keys import section_type
from mlraman_hpc.config.paths import expand_paths, make_absolute

GLOB_SECONDS = 5.0  # of processor time for one pattern
_SENTENCES = {  # type of pydantic's error -> what the value should be
    "string_type": "should be text",
    "int_type": "should be an integer",
    "int_from_float": "should be an integer",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "list_type": "should be a list",
    "model_type": "should be a section with keys of its own",
    "literal_error": "should be {expected}",
    "greater_than": "should be greater than {gt:g}",
    "greater_than_equal": "should be at least {ge:g}",
    "less_than": "should be less than {lt:g}",
    "less_than_equal": "should be at most {le:g}",
    "too_short": "should have {min_length} or more items",
    "string_too_short": "should have {min_length} or more characters",
    "string_pattern_mismatch": "should match the pattern {pattern}",
    "value_error": "{error}",
}


_OTHER_NAMES: dict[str, tuple[str, ...]] = {  # what other programs call a key
    **dict.fromkeys(("dt", "timestep", "time_step", "interval", "frame_step", "delta_t"), ("frame_interval",)),
    **dict.fromkeys(("stride", "skip", "step", "thin"), ("every",)),
    **dict.fromkeys(("elements", "types", "type_map", "symbols", "atom_types"), ("species",)),
    **dict.fromkeys(("lattice", "box", "unit_cell"), ("cell",)),
    **dict.fromkeys(("sigma", "fwhm", "width", "broadening", "gaussian"), ("smoothing",)),
    **dict.fromkeys(("temp", "t", "kelvin"), ("temperature",)),
    **dict.fromkeys(("laser", "wavelength", "excitation"), ("laser_wavelength",)),
    **dict.fromkeys(("ntrain", "n_train", "n_t", "training"), ("train",)),
    **dict.fromkeys(("rcut", "r_cut", "rc", "cutoff_radius"), ("cutoff",)),
    **dict.fromkeys(("lmax", "l_max"), ("max_angular",)),
    **dict.fromkeys(("nmax", "n_max"), ("max_radial",)),
    **dict.fromkeys(("ridge", "alpha", "lambda"), ("regularization",)),
    **dict.fromkeys(("path", "filename", "input"), ("files", "file")),
    **dict.fromkeys(("out", "outdir", "output_dir"), ("output",)),
}


def read_deck(path: str | Path, changes: Sequence[str] = ()) -> Deck:
    """The deck in file `path` with `changes` ('spectrum.smoothing=8') applied. Raises DeckError with every mistake."""
    source = yaml_source.read(path, changes)
    if "materials" in source.values:
        text = f"this is the deck of a campaign; 'mlraman campaign {path}' computes it"
        raise DeckError.at(source.locations.nearest(("materials",)), text)
    deck, mistakes = validate(source.values, source.locations, str(Path(path).parent))
    if mistakes := source.mistakes + mistakes:
        raise DeckError.from_mistakes(mistakes)
    assert deck is not None
    return deck


def validate(values: dict[str, Any], locations: KeyLocations, folder: str) -> tuple[Deck | None, list[Mistake]]:
    """The deck with these values and what is wrong with it; None where a key is unknown, missing or of a wrong type."""
    try:
        deck = Deck.model_validate(values)
    except ValidationError as error:
        return None, mistakes_of(error, locations)
    deck.set_source(locations, folder)
    unknown = [deck.mistake(error.key, error.text) for error in expand_paths(deck)]
    return deck, unknown + _contradictions(deck)


def mistakes_of(error: ValidationError, locations: KeyLocations) -> list[Mistake]:
    """What pydantic found, in the deck's terms."""
    mistakes = []
    for problem in error.errors():
        path = tuple(map(str, problem["loc"]))
        mistakes.append(locations.mistake(path, _explanation(problem, path, locations)))
    return mistakes


def _explanation(problem: ErrorDetails, path: tuple[str, ...], locations: KeyLocations) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key" + _suggestion(path, locations)
    if problem["type"] == "missing":
        return "is missing and must be given" + _sentence(path)
    template = _SENTENCES.get(problem["type"])
    text = template.format(**problem.get("ctx", {})) if template else problem["msg"]
    value = problem["input"]
    if value is None and problem["type"] != "value_error":
        return f"is empty; {text}"
    return f"{text}, found {value!r}"


def _suggestion(path: tuple[str, ...], locations: KeyLocations) -> str:
    """A key that may be meant: a slip of the pen here, the same key in another section, something similar anywhere.

    Sections that the deck has come before those that it has not.
    """
    name, section = path[-1], _section_at(path[:-1])
    here = list(section.model_fields) if section else []
    everywhere = sorted(_key_paths(Deck, ()), key=lambda other: (other[:-1] not in locations, len(other)))
    elsewhere = [other for other in everywhere if other[:-1] != path[:-1]]
    same = [".".join(other) for other in elsewhere if other[-1] == name]
    similar_names = difflib.get_close_matches(name, {other[-1] for other in elsewhere}, n=1, cutoff=0.8)
    similar = [".".join(other) for other in elsewhere if other[-1] in similar_names]
    meant = [".".join(other) for other in everywhere if other[-1] in _OTHER_NAMES.get(name.lower(), ())]
    longer = [".".join(other) for other in everywhere if len(other) > 1 and len(name) > 3 and name in other[-1]]
    prefix = ".".join((*path[:-1], ""))
    candidates = [
        *difflib.get_close_matches(name, here, n=1, cutoff=0.8),
        *same,
        *(key.removeprefix(prefix) for key in sorted(meant, key=lambda key: not key.startswith(prefix))),
        *similar,
        *(key.removeprefix(prefix) for key in sorted(longer, key=lambda key: not key.startswith(prefix))),
        *difflib.get_close_matches(name, here, n=1, cutoff=0.6),
    ]
    if candidates:
        return f", did you mean '{candidates[0]}'?"
    return f"; known here: {', '.join(here)}" if here else ""


def _key_paths(section: type[BaseModel], prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every section and key of decks; lists of sections are left out."""
    for name, field in section.model_fields.items():
        yield (*prefix, name)
        inner = section_type(field.annotation)
        if inner is not None and typing.get_origin(field.annotation) is not list:
            yield from _key_paths(inner, (*prefix, name))


def _sentence(path: tuple[str, ...]) -> str:
    section = _section_at(path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    return f" ({field.description})" if field is not None else ""


def _section_at(path: tuple[str, ...]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = Deck
    for name in path:
        if section is None:
            return None
        if not name.isdigit():  # which is an item of a list
            field = section.model_fields.get(name)
            section = section_type(field.annotation) if field else None
    return section


def _contradictions(deck: Deck) -> list[Mistake]:
    """What single types and ranges cannot say: keys that need or exclude one another."""
    mistakes = []

    def refuse_if(condition: Any, dotted: str, text: str) -> None:
        if condition:
            mistakes.append(deck.mistake(dotted, text))

    refuse_if(
        deck.series and (deck.reference or deck.trajectory),
        "series",
        "takes the place of reference and trajectory; keep one of them",
    )
    refuse_if(
        deck.series and deck.spectrum.remove_cell,
        "spectrum.remove_cell",
        "needs the cell of every frame, and a series has no cells; leave the key out",
    )
    if not (deck.series or deck.reference or deck.trajectory or deck.forces or deck.md):
        mistakes.append(Mistake(deck.source, "", "nothing to do: give reference and trajectory, or series, or md"))
    if deck.model.predictor:
        for value, key in ((deck.reference, "reference"), (deck.model.file, "model.file")):
            refuse_if(value, "model.predictor", f"takes the place of {key}; keep one of them")
        refuse_if(deck.series, "model.predictor", "is for a trajectory; a series has its polarizabilities already")
        refuse_if(
            deck.model.committee,
            "model.committee",
            "is of the linear model; a predictor's ensemble has several model.predictor.files",
        )
    if md := deck.md:
        refuse_if(
            md.time_step and md.frame_interval and not _is_multiple(md.frame_interval, md.time_step),
            "md.frame_interval",
            "must be a multiple of md.time_step",
        )
        refuse_if(len(set(md.temperature)) < len(md.temperature), "md.temperature", "a temperature is there twice")
    if forces := deck.forces:
        refuse_if(
            not forces.predicted_files and forces.predicted == forces.reference,
            "forces.predicted",
            "names the array of reference forces itself",
        )
    if reference := deck.reference:
        refuse_if(
            not reference.files and not reference.derivatives,
            "reference.files",
            "is missing and must be given (one file, a list, or a glob such as outcar/*.OUTCAR.gz), or "
            "reference.derivatives instead",
        )
        if not reference.derivatives:
            few = [size for size in (deck.learning_curve and deck.learning_curve.sizes) or [] if size < 2]
            refuse_if(reference.train in (0, 1), "reference.train", f"should be at least 2, found {reference.train}")
            refuse_if(few, "learning_curve.sizes", f"should be at least 2, found {few}")
        is_table, by_name = reference.format == "table", reference.frame_from_name is not None
        refuse_if(is_table and not deck.trajectory, "reference.format", "a table needs a trajectory for its structures")
        refuse_if(
            is_table and not reference.order,
            "reference.order",
            "must be given for a table, such as [xx, yy, zz, xy, yz, zx]",
        )
        refuse_if(by_name and not deck.trajectory, "reference.frame_from_name", "needs a trajectory")
        refuse_if(by_name and is_table, "reference.frame_from_name", "a table has reference.first and every instead")
    descriptor = deck.descriptor
    refuse_if(
        descriptor.cutoff_width >= descriptor.cutoff,
        "descriptor.cutoff_width",
        f"must be smaller than the cutoff ({descriptor.cutoff:g} Angstrom), found {descriptor.cutoff_width:g}",
    )
    refuse_if(
        descriptor.mode == "auto" and descriptor.radial_scaling,
        "descriptor.radial_scaling",
        "is chosen with mode: auto; leave one of them out",
    )
    return mistakes


def _is_multiple(value: float, unit: float) -> bool:
    return round(value / unit) >= 1 and abs(value / unit - round(value / unit)) < 1e-6


def input_files(deck: Deck, dotted: str, patterns: Sequence[str]) -> list[Path]:
    """The files that a deck key names, relative to the deck's folder; globs are sorted by name.

    Raises DataError where a file does not exist or nothing matches a glob.
    """
    files: list[Path] = []
    for pattern in patterns:
        path = os.path.join(deck.folder, pattern)
        if os.path.isfile(path):
            files.append(Path(path))
        elif any(sign in pattern for sign in "*?["):
            try:
                with processor_time(GLOB_SECONDS):
                    matches = sorted(set(filter(os.path.isfile, glob.iglob(path, recursive=True))))
            except TookTooLong:
                text = f"{path} looks through too many folders; say more closely where the files are"
                raise deck.data_error(dotted, text) from None
            if not matches:
                raise deck.data_error(dotted, f"no file matches {path}")
            files += map(Path, matches)
        else:
            reason = "is a folder, not a file" if os.path.isdir(path) else "no such file"
            raise deck.data_error(dotted, f"{path}: {reason}")
    return files


def resolved_yaml(deck: Deck) -> str:
    """The deck with every key and its value, as YAML that can be run from any folder: all paths are absolute."""
    resolved = deck.model_copy(deep=True)
    make_absolute(resolved, deck.folder)
    return _yaml(resolved.model_dump_json())


@lru_cache(maxsize=4)  # every result stores the same deck
def _yaml(text: str) -> str:
    return yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)


@lru_cache(maxsize=8)
def resolved_values(text: str) -> dict[str, Any]:
    """The sections of a resolved deck, from its YAML; not to be changed."""
    values: dict[str, Any] = yaml.safe_load(text)
    return values
