"""The tensor among the keys of an extended XYZ comment line."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.readers.text import FrameLocation, parse_numbers, quoted
from mlraman_hpc.readers.trajectory import extxyz

KEYS = {
    "polarizability": ("polarizability", "polarizability_tensor", "alpha", "pol", "polar"),
    "dielectric": (
        "dielectric",
        "dielectric_tensor",
        "dielectric_constant",
        "epsilon",
        "epsilon_inf",
        "eps",
        "eps_inf",
    ),
    "susceptibility": ("susceptibility", "susceptibility_tensor", "chi", "chi_inf"),
}


def choose_key(
    text: bytes, place: FrameLocation, quantity: str | None, tensor_key: str | None, section: str
) -> tuple[str, str]:
    """Name of the tensor in the comment line of the first frame, and what it is.

    Errors: DataError where no or several names are there, listing them; DeckError where what it is remains open.
    """
    there = _info_keys(text)
    if tensor_key is not None:
        return _chosen(tensor_key, there, quantity, place, section)
    wanted = [quantity] if quantity else list(KEYS)
    found = [(key, kind) for key in there for kind in wanted if key.lower() in KEYS[kind]]
    if len(found) == 1:
        return found[0]
    listed = f"the comment line has {', '.join(there) or 'no key'}"
    if not found:
        raise place.error(
            f"no {quantity or 'polarizability, dielectric tensor or susceptibility'}: {listed}. "
            f"Give its name in {section}.tensor.",
            1,
        )
    raise place.error(
        f"several tensors, {', '.join(key for key, _ in found)}: {listed}. Give the one to use in {section}.tensor.", 1
    )


def _chosen(key: str, there: list[str], quantity: str | None, place: FrameLocation, section: str) -> tuple[str, str]:
    if key not in there:
        raise place.error(f"{section}.tensor is '{key}', the comment line has {', '.join(there) or 'no key'}.", 1)
    kind = quantity or next((kind for kind, keys in KEYS.items() if key.lower() in keys), None)
    if kind is None:
        raise DeckError(
            f"{section}.quantity: give polarizability, dielectric or susceptibility; '{key}' does not say which it is."
        )
    return key, kind


def _info_keys(text: bytes) -> list[str]:
    keys = extxyz.keys(text.split(b"\n", 2)[1])
    return [key for key in keys if key.lower() not in ("lattice", "properties", "pbc")]


def tensor_in(text: bytes, key: str, place: FrameLocation) -> np.ndarray:
    """(3, 3) of `key` in a comment line: nine numbers row by row, or a nested list."""
    found = extxyz.value(text.split(b"\n", 2)[1], key)
    if found is None:
        raise place.error(f"no '{key}': the comment line has {', '.join(_info_keys(text)) or 'no key'}.", 1)
    plain = re.sub(rb"[\[\],]", b" ", found.removeprefix(b"_JSON"))
    values = parse_numbers(plain, 9)
    if values is None and len(plain.split()) == 6:
        raise place.error(f"'{key}' has 6 numbers, whose order the file does not say; write all nine, row by row.", 1)
    if values is None:
        raise place.error(f"'{key}' needs nine numbers, row by row; found {quoted(found)}.", 1)
    return values.reshape(3, 3)
