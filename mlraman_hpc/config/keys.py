"""Types of deck keys and the class of a section, from which checks, messages, schema and resolved deck are made."""

from __future__ import annotations

import math
import re
import types
import typing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from mlraman_hpc.base.units import DERIVATIVE_UNITS, POLARIZABILITY_UNITS, VELOCITY_UNITS, canonical_unit
from mlraman_hpc.records.formats import TRAJECTORY_FORMATS

AXES = ("xx", "yy", "zz", "xy", "yz", "zx", "xz", "yx", "zy")
Quantity = Literal["polarizability", "dielectric", "susceptibility"]
LabelFormat = Literal[
    "auto", "extxyz", "outcar", "vasprun", "vaspout", "qe-ph", "cp2k", "anaddb", "aims", "deepmd", "npy", "table"
]
_TRAJECTORY_NAMES = ("auto", *TRAJECTORY_FORMATS)
TrajectoryFormat = Literal[_TRAJECTORY_NAMES]  # type: ignore[valid-type]
_POLARIZABILITY_UNITS, _DERIVATIVE_UNITS = tuple(POLARIZABILITY_UNITS), tuple(DERIVATIVE_UNITS)
_VELOCITY_UNITS = ("auto", "positions", *VELOCITY_UNITS)


def _unit_among(known: tuple[str, ...]) -> BeforeValidator:
    """A^3, au, bohr3 and other usual names are the unit that they mean."""
    return BeforeValidator(
        lambda value: canonical_unit(value, known) if isinstance(value, str) else value, json_schema_input_type=str
    )


PolarizabilityUnit = Annotated[Literal[_POLARIZABILITY_UNITS], _unit_among(_POLARIZABILITY_UNITS)]  # type: ignore[valid-type]
DerivativeUnit = Annotated[Literal[_DERIVATIVE_UNITS], _unit_among(_DERIVATIVE_UNITS)]  # type: ignore[valid-type]
VelocityUnit = Annotated[Literal[_VELOCITY_UNITS], _unit_among(_VELOCITY_UNITS)]  # type: ignore[valid-type]


def key(default: Any, sentence: str, unit: str | None = None, **limits: Any) -> Any:
    """One deck key. Without `default` (...) it must be given."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit} if unit else None, **limits)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_words(value: Any) -> Any:
    """'Ag' or 'Ag, I', as tables have it, is a list too."""
    return re.split(r"[,;\s]+", value.strip()) if isinstance(value, str) else value


def _unquoted(value: Any) -> Any:
    """ "[xx, yy]" in quotation marks is the list that it looks like."""
    if isinstance(value, str) and (quoted := re.fullmatch(r"\s*\[([^\[\]]*)\]\s*", value)):
        return [item for word in quoted[1].split(",") if (item := word.strip().strip("'\""))]
    return value


def _with_text_keys(value: Any) -> Any:
    """{1: Ag} and {C1: C} alike: labels are text."""
    return {str(label): item for label, item in value.items()} if isinstance(value, dict) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))


def _positive_or_auto(value: Any) -> Any:
    if value == "auto":
        return value
    if _is_number(value) and value > 0:
        return float(value)
    raise ValueError("should be 'auto' or a number greater than 0")


def _component(value: Any) -> Any:
    if value in AXES or value in ("step", "time", "skip"):
        return value
    raise ValueError(f"should be one of {', '.join(AXES)}, or step, time, skip for another column")


def _unit_vector(value: Any) -> list[float]:
    if not _is_vector(value) or not any(value):
        raise ValueError("should be a vector of three numbers that is not zero")
    length = math.hypot(*value)
    return [x / length for x in value]


def _cell(value: Any) -> list[list[float]]:
    """Rows are lattice vectors; three lengths make an orthorhombic cell."""
    vectors = [[x if i == k else 0 for i in range(3)] for k, x in enumerate(value)] if _is_vector(value) else value
    if not (isinstance(vectors, list) and len(vectors) == 3 and all(map(_is_vector, vectors))):
        raise ValueError("should be three lengths or three lattice vectors")
    (a, b, c), (d, e, f), (g, h, i) = vectors
    if abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) < 1e-6:
        raise ValueError("should be a cell with a volume")
    return [[float(x) for x in row] for row in vectors]


def _walltime(value: Any) -> float | None:
    """Minutes of a number, 'HH:MM:SS' or 'D-HH:MM:SS'."""
    if isinstance(value, str) and (clock := re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", value)):
        days, hours, minutes, seconds = (int(number or 0) for number in clock.groups())
        value = (days * 24 + hours) * 60 + minutes + seconds / 60
    if value is None:
        return None
    if _is_number(value) and value > 0:
        return float(value)
    raise ValueError("should be minutes, 'HH:MM:SS' or 'D-HH:MM:SS', and more than 0")


def _as_numbers(value: Any) -> Any:
    return [float(item) for item in value] if isinstance(value, list) and all(map(_is_number, value)) else value


def _left_out(value: Any) -> Any:
    if value is None or value == "outliers":
        return value
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, (str, int)) and not isinstance(item, bool) for item in items):
        return items
    raise ValueError("should be 'outliers', or a list of labels: names such as 'labels.extxyz, frame 12', or numbers")


def _temperatures(value: Any) -> Any:
    return _as_numbers([value] if _is_number(value) else value)


Walltime = Annotated[Any, PlainValidator(_walltime, json_schema_input_type=float | str | None)]
Temperatures = Annotated[
    list[Annotated[float, Field(gt=0)]],
    BeforeValidator(_temperatures, json_schema_input_type=float | list[float]),
    Field(min_length=1),
]
LeaveOut = Annotated[Any, PlainValidator(_left_out, json_schema_input_type=str | list[str | int] | None)]
TextOrList = str | list[str]
Files = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=TextOrList), Field(min_length=1)]
Elements = Annotated[list[str], BeforeValidator(_as_words, json_schema_input_type=TextOrList)]
ElementsOfAtoms = Annotated[
    list[str] | dict[str, str],
    BeforeValidator(_as_words),
    BeforeValidator(_with_text_keys, json_schema_input_type=TextOrList | dict[str, str]),
]
Components = list[Annotated[str, PlainValidator(_component, json_schema_input_type=str)]]
Vector = Annotated[list[float], PlainValidator(_unit_vector, json_schema_input_type=list[float])]
Cell = Annotated[list[list[float]], PlainValidator(_cell, json_schema_input_type=list[float] | list[list[float]])]
Regularization = Annotated[Any, PlainValidator(_positive_or_auto, json_schema_input_type=float | Literal["auto"])]


class Section(BaseModel):
    """Keys that stand together; checked when a deck is read, which only one rank does."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_of_words(cls, values: Any) -> Any:
        """Lists in quotation marks, for keys that hold lists of words."""
        if not isinstance(values, dict):
            return values
        words = {
            name
            for name, field in cls.model_fields.items()
            if "list[" in (kind := str(field.annotation)) and "str" in kind
        }
        return {name: _unquoted(value) if name in words else value for name, value in values.items()}


def section_type(annotation: Any) -> type[BaseModel] | None:
    """The section inside `Section`, `Section | None` or `list[Section]`; None for the type of a single key."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    inner = map(section_type, typing.get_args(annotation))
    return next((section for section in inner if section is not None), None)
