"""Usual oxidation states of the elements, and which of them make a composition neutral."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod

USUAL = {  # of each element, the most usual one first
    "H": (1, -1), "Li": (1,), "Be": (2,), "B": (3,), "C": (4, -4, 2, -2), "N": (-3, 5, 3), "O": (-2,), "F": (-1,),
    "Na": (1,), "Mg": (2,), "Al": (3,), "Si": (4, -4), "P": (5, -3, 3), "S": (-2, 6, 4), "Cl": (-1, 7, 5), "K": (1,),
    "Ca": (2,), "Sc": (3,), "Ti": (4, 3, 2), "V": (5, 4, 3, 2), "Cr": (3, 6, 2), "Mn": (2, 4, 3, 7), "Fe": (3, 2),
    "Co": (2, 3), "Ni": (2, 3), "Cu": (2, 1), "Zn": (2,), "Ga": (3,), "Ge": (4, 2), "As": (5, 3, -3),
    "Se": (-2, 4, 6), "Br": (-1, 5, 7), "Rb": (1,), "Sr": (2,), "Y": (3,), "Zr": (4,), "Nb": (5, 4), "Mo": (6, 4),
    "Tc": (7, 4), "Ru": (4, 3), "Rh": (3,), "Pd": (2, 4), "Ag": (1,), "Cd": (2,), "In": (3, 1), "Sn": (4, 2),
    "Sb": (5, 3, -3), "Te": (-2, 4, 6), "I": (-1, 5, 7), "Cs": (1,), "Ba": (2,), "La": (3,), "Ce": (4, 3), "Pr": (3,),
    "Nd": (3,), "Pm": (3,), "Sm": (3,), "Eu": (3, 2), "Gd": (3,), "Tb": (3,), "Dy": (3,), "Ho": (3,), "Er": (3,),
    "Tm": (3,), "Yb": (3, 2), "Lu": (3,), "Hf": (4,), "Ta": (5,), "W": (6, 4), "Re": (7, 4), "Os": (4, 8),
    "Ir": (4, 3), "Pt": (4, 2), "Au": (3, 1), "Hg": (2,), "Tl": (1, 3), "Pb": (2, 4), "Bi": (3, 5), "Th": (4,),
    "U": (6, 4),
}  # fmt: skip
MOST_COMBINATIONS = 100_000


def neutral_charges(counts: Mapping[str, int], given: Mapping[str, float]) -> dict[str, float] | None:
    """One charge (e) for each element, those of `given` and usual oxidation states of the others, that add up to zero.

    counts  number of atoms of each element. Of several such choices the one that is farthest up the lists of USUAL, by
            the sum of places. None: there is none, or two are equally far up.
    """
    states = {name: ((given[name],) if name in given else USUAL.get(name, ())) for name in counts}
    if not 0 < prod(map(len, states.values())) <= MOST_COMBINATIONS:
        return None
    best: list[tuple[float, ...]] = []
    fewest = None
    for ranks in product(*(range(len(of_element)) for of_element in states.values())):
        charges = tuple(float(of_element[rank]) for of_element, rank in zip(states.values(), ranks))
        if abs(sum(number * charge for number, charge in zip(counts.values(), charges))) > 1e-6 * sum(counts.values()):
            continue
        if fewest is None or sum(ranks) < fewest:
            fewest, best = sum(ranks), []
        if sum(ranks) == fewest:
            best.append(charges)
    return dict(zip(counts, best[0])) if len(best) == 1 else None
