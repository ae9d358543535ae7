"""The tensor among the keys of an extended XYZ comment line."""

from __future__ import annotations

import re

import numpy as np

from ..errors import DeckError
from . import extxyz
from .pieces import Place, numbers_in, shown

KEYS = {
    "polarizability": ("polarizability", "polarizability_tensor", "alpha", "pol", "polar"),
    "dielectric": ("dielectric", "dielectric_tensor", "dielectric_constant", "epsilon", "epsilon_inf", "eps",
                   "eps_inf"),
    "susceptibility": ("susceptibility", "susceptibility_tensor", "chi", "chi_inf"),
}

def choose_key(
    text: bytes, place: Place, quantity: str | None, tensor_key: str | None, section: str
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
        raise place.fault(f"no {quantity or 'polarizability, dielectric tensor or susceptibility'}: {listed}. "
                          f"Give its name in {section}.tensor.", 1)
    raise place.fault(f"several tensors, {', '.join(key for key, _ in found)}: {listed}. "
                      f"Give the one to use in {section}.tensor.", 1)


def _chosen(key: str, there: list[str], quantity: str | None, place: Place, section: str) -> tuple[str, str]:
    if key not in there:
        raise place.fault(f"{section}.tensor is '{key}', the comment line has {', '.join(there) or 'no key'}.", 1)
    kind = quantity or next((kind for kind, keys in KEYS.items() if key.lower() in keys), None)
    if kind is None:
        raise DeckError(f"{section}.quantity: give polarizability, dielectric or susceptibility; '{key}' does "
                        "not say which it is.")
    return key, kind


def _info_keys(text: bytes) -> list[str]:
    keys = extxyz.keys(text.split(b"\n", 2)[1])
    return [key for key in keys if key.lower() not in ("lattice", "properties", "pbc")]


def tensor_in(text: bytes, key: str, place: Place) -> np.ndarray:
    """(3, 3) of `key` in a comment line: nine numbers row by row, or a nested list."""
    found = extxyz.value(text.split(b"\n", 2)[1], key)
    if found is None:
        raise place.fault(f"no '{key}': the comment line has {', '.join(_info_keys(text)) or 'no key'}.", 1)
    plain = re.sub(rb"[\[\],]", b" ", found.removeprefix(b"_JSON"))
    values = numbers_in(plain, 9)
    if values is None and len(plain.split()) == 6:
        raise place.fault(f"'{key}' has 6 numbers, whose order the file does not say; write all nine, row by row.", 1)
    if values is None:
        raise place.fault(f"'{key}' needs nine numbers, row by row; found {shown(found)}.", 1)
    return values.reshape(3, 3)
