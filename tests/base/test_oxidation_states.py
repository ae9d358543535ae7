"""Charges that make a composition neutral."""

import pytest

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.oxidation_states import USUAL, neutral_charges


@pytest.mark.parametrize(
    ("counts", "given", "expected"),
    [
        ({"Ag": 16, "I": 16}, {}, {"Ag": 1, "I": -1}),
        ({"Na": 48, "P": 16, "S": 64}, {}, {"Na": 1, "P": 5, "S": -2}),
        ({"Na": 47, "S": 64, "Sb": 15, "W": 1}, {}, {"Na": 1, "S": -2, "Sb": 5, "W": 6}),
        ({"Li": 6, "P": 1, "S": 5, "Cl": 1}, {}, {"Li": 1, "P": 5, "S": -2, "Cl": -1}),
        ({"Li": 1, "Fe": 1, "P": 1, "O": 4}, {}, {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ({"H": 2, "O": 1}, {}, {"H": 1, "O": -2}),
        ({"Ag": 20, "I": 12}, {"Ag": 0.6}, {"Ag": 0.6, "I": -1}),
        ({"Fe": 3, "O": 4}, {}, None),  # a mixture of states
        ({"Cu": 1, "Fe": 1, "S": 2}, {}, None),  # Cu(2+) Fe(2+) is no farther down the lists than Cu(1+) Fe(3+)
        ({"Ag": 32}, {}, None),
        ({"Ag": 1, "Xe": 1}, {}, None),
        ({"Ag": 20, "I": 12}, {}, None),
    ],
)
def test_neutral_choices(counts, given, expected):
    assert neutral_charges(counts, given) == expected


def test_states_are_of_elements_and_differ():
    for name, states in USUAL.items():
        assert name in ELEMENTS and 0 not in states and len(set(states)) == len(states)


def test_too_many_combinations_are_not_tried():
    assert neutral_charges(dict.fromkeys(USUAL, 1), {}) is None
