"""`mlraman init`: commented decks to start from. Every value is one that may be left as it is.

What only the user knows (the time between frames, units, elements) is null: where a file does not tell it either, the
program asks for it, while a number that is merely plausible would go through in silence. Sections that need many labels
or more files are commented out.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlraman_hpc.config.campaign_deck import CampaignKeys
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.describe import description
from mlraman_hpc.config.keys import section_type

_WIDTH, _COLUMN = 112, 36  # of a line; where comments begin
_FILES = {  # what must be given
    "output": "out",
    "reference.files": ["labels.extxyz"],
    "trajectory.files": ["trajectory.extxyz"],
    "series.file": "alpha.dat",
    "forces.files": ["forces.extxyz"],
    "forces.predicted": "mace_forces",
    "md.structure": "POSCAR",
    "md.calculator": "mace",
    "md.temperature": [300.0],
}
_OPTIONAL = ("learning_curve", "convergence", "series", "comparison", "forces", "labelling", "md")  # commented out


@dataclass(frozen=True)
class Starter:
    """A deck to start from.

    purpose   lines at its head
    keys      {dotted key: value}; None is the key's default
    comments  {dotted key: what is said instead of its description}
    offers    the same as `keys`, commented out
    """

    purpose: str
    keys: dict[str, Any]
    comments: dict[str, str] = field(default_factory=dict)
    offers: dict[str, Any] = field(default_factory=dict)


_HEAD = {"title": None, "output": None}
_MODEL = {"descriptor.mode": "auto", "model.committee": 16}
_RESULTS = {"spectrum.smoothing": None, "spectrum.temperature": None, "dynamics.mobile": None}
_MORE = {"learning_curve.draws": None, "convergence.fraction": None}
_TEMPERATURE = "given, in K: Bose-Einstein factor, as in a measured spectrum; null: the classical, reduced spectrum"
_COMMENTS = {
    "model.committee": "members that give the model's error bars; 0: none, and faster",
    "spectrum.temperature": _TEMPERATURE,
    "dynamics.mobile": "elements that may diffuse, such as [Li]; they are left out of the host lattice",
    "learning_curve.draws": "random training sets of each size: would more labels help? Needs 30 labels or more",
    "convergence.fraction": "shares of the trajectory, and of the labels: would less have done?",
}

STARTERS = {
    "vasp": Starter(
        "VASP: a molecular dynamics run (XDATCAR), and calculations with LEPSILON = .TRUE. of configurations from it",
        {
            **_HEAD,
            "reference.files": ["dfpt/*/OUTCAR"],
            "trajectory.files": ["md/XDATCAR"],
            "trajectory.frame_interval": None,
            **_MODEL,
            **_RESULTS,
        },
        {
            "reference.files": "OUTCAR, vasprun.xml or vaspout.h5; packed with gzip is fine",
            "trajectory.files": "pieces of one run, in order",
            "trajectory.frame_interval": "fs, POTIM x NBLOCK: must be given, for an XDATCAR does not say it",
        },
        _MORE,
    ),
    "lammps": Starter(
        "LAMMPS: a dump with id, element (or type) and x y z, and labels of any code as extended XYZ",
        {
            **_HEAD,
            "reference.files": None,
            "reference.unit": None,
            "trajectory.files": ["production.lammpstrj"],
            "trajectory.species": None,
            "trajectory.frame_interval": None,
            **_MODEL,
            **_RESULTS,
        },
        {
            "reference.files": "extended XYZ with a tensor in each comment line, or outputs of the DFT code itself",
            "reference.unit": "bohr^3 or angstrom^3 of a polarizability; a dielectric tensor has none",
            "trajectory.species": "elements of types 1, 2, ..., such as [Li, P, S]; needless with a column 'element'",
            "trajectory.frame_interval": "fs, time step x dump interval; not with 'dump_modify time yes units yes'",
        },
        _MORE,
    ),
    "gpumd": Starter(
        "GPUMD: dump.xyz of a run (dump_exyz), and labels as in train.xyz of a TNEP model",
        {
            **_HEAD,
            "reference.files": ["train.xyz"],
            "reference.unit": None,
            "trajectory.files": ["dump.xyz"],
            "trajectory.frame_interval": None,
            **_MODEL,
            **_RESULTS,
        },
        {
            "reference.unit": "bohr^3 or angstrom^3: GPUMD takes any, so only you know",
            "trajectory.frame_interval": "fs, time_step x interval of dump_exyz, which dump.xyz does not say",
            "series.file": "of dump_polarizability; take the sections reference and trajectory out then",
            "series.unit": "bohr^3 or angstrom^3: that of the labels of the TNEP model",
            "series.frame_interval": "fs, time_step x interval; null: as the head of the file says",
        },
        {**_MORE, "series.file": "polarizability.out", "series.unit": None, "series.frame_interval": None},
    ),
    "cp2k": Starter(
        "CP2K: positions of a run (PROJECT-pos-1.xyz), and calculations with &POLAR of configurations from it",
        {
            **_HEAD,
            "reference.files": ["polar/*.out"],
            "trajectory.files": ["run-pos-1.xyz"],
            "trajectory.cell": None,
            "trajectory.frame_interval": None,
            **_MODEL,
            **_RESULTS,
        },
        {
            "trajectory.cell": "Angstrom, three lengths or three vectors; null: of PROJECT-1.cell beside the positions",
            "trajectory.frame_interval": "fs; null: as the file says in its comment lines",
            "series.file": "PROJECT-1.polar of a run, instead of reference and trajectory; or as reference.files",
        },
        {**_MORE, "series.file": "run-1.polar"},
    ),
    "md": Starter(
        "A structure and a force field: 'mlraman run' begins with molecular dynamics ('mlraman docs md')",
        {
            **_HEAD,
            "md.structure": None,
            "md.calculator": None,
            "md.arguments": None,
            "md.temperature": None,
            "md.replicas": None,
            "md.length": None,
            "trajectory.files": ["out/trajectory_300K_0.h5"],
            "reference.files": None,
            "reference.unit": None,
            **_MODEL,
            **_RESULTS,
        },
        {
            "md.arguments": "of the calculator, such as {model_paths: my.model}; files are relative to this deck",
            "trajectory.files": "what the run will write: 'output', temperature and number of the replica",
            "reference.unit": "bohr^3 or angstrom^3 of a polarizability; a dielectric tensor has none",
        },
        _MORE,
    ),
    "labelling": Starter(
        "A trajectory without labels yet: 'mlraman label THIS_FILE' has them computed, until the spectrum is known",
        {**_HEAD, "trajectory.files": None, "trajectory.frame_interval": None, "labelling": None, **_MODEL, **_RESULTS},
        {"trajectory.frame_interval": "fs; null: as the file says"},
        {"reference.files": ["out/labels.extxyz"], "reference.unit": "angstrom^3", **_MORE},
    ),
}
KINDS = (*STARTERS, "campaign")


def starter_deck(kind: str | None = None) -> str:
    """The deck of that kind; None: every key at its default."""
    if kind is None:
        return _text(_complete())
    if kind == "campaign":
        return _text(_campaign()) + _MATERIALS
    return _text(STARTERS[kind])


_MATERIALS = """
materials:                          # what is different for each; any key above may be given here too
  - name: first
    # temperature: 300              # K, short for spectrum.temperature
    # mobile: [Li]                  # short for dynamics.mobile
  - name: second
# or a table with a column for each key (commas, semicolons or tabs):
# materials: {table: materials.csv}
"""


def _campaign() -> Starter:
    return Starter(
        "Many materials, one deck, one ranking: 'mlraman campaign THIS_FILE'. {name} is filled in for each material",
        {
            **_HEAD,
            "groups": None,
            "figures": None,
            "reference.files": ["labels/{name}/*.OUTCAR"],
            "trajectory.files": ["md/{name}/XDATCAR"],
            "trajectory.frame_interval": None,
            **_MODEL,
            **_RESULTS,
        },
        {"trajectory.frame_interval": "fs; null: as the files say"},
    )


def _complete() -> Starter:
    keys = dict.fromkeys(dotted for dotted, _ in _every_key(optional=False))
    return Starter(
        "Every key at its default", keys, {}, dict.fromkeys(dotted for dotted, _ in _every_key(optional=True))
    )


def _every_key(optional: bool) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in Deck.model_fields.items():
        section = section_type(info.annotation)
        if (name in _OPTIONAL) == optional:
            yield from (
                ((f"{name}.{key}", inner) for key, inner in section.model_fields.items()) if section else [(name, info)]
            )


def _text(starter: Starter) -> str:
    lines = [
        *_comment(f"{starter.purpose}.", ""),
        "# Paths are relative to this file, 'output' to the folder you start from; ~ and $VARIABLES may be used.",
        "# 'mlraman check THIS_FILE' looks at deck and data, 'mlraman run THIS_FILE' computes; 'mlraman schema' lists",
        "# every key. Values may stay as they are; null means: as the file says, or what the comment says.",
        "# Editors complete keys after 'mlraman schema --json > schema.json' and a first line",
        "# '# yaml-language-server: $schema=schema.json'.",
        "",
    ]
    for name, info in (*Deck.model_fields.items(), *_campaign_fields(starter)):
        lines += _section(starter, name, info)
    return "\n".join(lines) + "\n"


def _campaign_fields(starter: Starter) -> list[tuple[str, FieldInfo]]:
    return [
        (name, CampaignKeys.model_fields[name])
        for name in starter.keys
        if name not in Deck.model_fields and "." not in name and name in CampaignKeys.model_fields
    ]


def _section(starter: Starter, name: str, info: FieldInfo) -> list[str]:
    """The lines of one section, or of a key that stands alone."""
    section = section_type(info.annotation)
    if section is None:
        return _line(starter, "", name, info, starter.keys[name]) if name in starter.keys else []
    keys = _of_section(starter.keys, name, section)
    offers = _of_section(starter.offers, name, section)
    if not keys and not offers:
        return []
    before = "" if keys else "# "
    lines = ["", *_with_comment(f"{before}{name}:", (section.__doc__ or "").strip().splitlines()[0], "")]
    for key, value in (keys | offers).items():
        inner = section.model_fields[key]
        indent = "  " if key in keys else "  # " if keys else "#   "
        lines += _line(starter, indent, f"{name}.{key}", inner, value)
    return lines


def _of_section(keys: dict[str, Any], name: str, section: type[BaseModel]) -> dict[str, Any]:
    """{key: value} of one section; the section's name alone means all of its keys."""
    if name in keys:
        return dict.fromkeys(section.model_fields)
    return {dotted.partition(".")[2]: value for dotted, value in keys.items() if dotted.partition(".")[0] == name}


def _line(starter: Starter, indent: str, dotted: str, info: FieldInfo, value: Any) -> list[str]:
    value = _default(dotted, info) if value is None else value
    words = starter.comments.get(dotted) or (_COMMENTS.get(dotted) if starter.comments else None) or description(info)
    key = dotted.rpartition(".")[2]
    return _with_comment(f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}", words, indent)


def _default(dotted: str, info: FieldInfo) -> Any:
    if dotted in _FILES:
        return _FILES[dotted]
    value = info.get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value


def _with_comment(line: str, words: str, indent: str) -> list[str]:
    """The comment beside the line or, where it is long, above it."""
    beside = f"{line.ljust(_COLUMN)}# {words}" if len(line) < _COLUMN else f"{line}  # {words}"
    return [beside] if len(beside) <= _WIDTH else [*_comment(words, indent), line]


def _comment(words: str, indent: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
