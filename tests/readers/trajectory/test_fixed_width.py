"""Numbers in fixed columns are read to the same bits as one by one, or left to the slower reader."""

import numpy as np
import pytest

from mlraman_hpc.readers.text import FrameLocation
from mlraman_hpc.readers.trajectory import xdatcar
from mlraman_hpc.readers.trajectory.fixed_width import three_numbers


def rows(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).reshape(text.count(b"\n"), -1)


@pytest.mark.parametrize("form", ["%12.8f", "%16.8f", "%10.5f", "%9.1f", "%18.12f", " %20.6f"])
def test_same_bits_as_float(form):
    values = np.random.default_rng(0).normal(size=(20000, 3)) * [0.3, 2.0, 9.0]
    values[5] = [-0.0, 0.0, -1.0]
    text = b"".join(((form * 3 + "\n") % tuple(row)).encode() for row in values)
    expected = np.array(
        [
            [float(line[k : k + len(form % 1)]) for k in np.arange(3) * len(form % 1)]
            for line in text.decode().splitlines()
        ]
    )
    found = three_numbers(rows(text))
    assert (found == expected).all()
    assert (np.signbit(found) == np.signbit(expected)).all()


@pytest.mark.parametrize(
    "line",
    [
        b"  0.1  0.2 x0.3\n",
        b"  0-1  0.2  0.3\n",
        b" - .1  0.2  0.3\n",
        b"  0.1 -2.2 1 .3\n",
        b"  0.1  0.2  .3 \n",
        b"  0.1  0.2- 0.3\n",
        b"  nan  0.2  0.3\n",
        b"  0.1  0.2  0.x\n",
        b"  0.1  0.2  0.3x",
        b"  0.1  0.2 --.3\n",
    ],
)
def test_anything_else_is_left_alone(line):
    good = b"  0.1  0.2  0.3\n"
    assert three_numbers(np.frombuffer(good + line, np.uint8).reshape(2, -1)) is None


def test_too_many_digits_are_left_alone():
    assert three_numbers(rows(b" 0.12345678901234567 0.1 0.2\n")) is None


def test_frames_all_at_once_are_the_frames_one_by_one():
    rng = np.random.default_rng(1)
    cells, numbers = rng.normal(size=(4, 3, 3)), np.array([3, 3, 16])
    texts = [
        b"Direct configuration= %5d\n" % k
        + b"".join(b"%12.8f%12.8f%12.8f\n" % tuple(row) for row in rng.random((3, 3)))
        for k in range(4)
    ]
    found = xdatcar.parse_alike(texts, numbers, cells)
    for text, cell, (positions, kinds, box, periodic, _) in zip(texts, cells, found):
        expected = xdatcar.parse_frame(text, FrameLocation("XDATCAR", 1, 0), numbers, cell)
        assert (positions == expected[0]).all()
        assert (kinds == numbers).all()
        assert (box == cell).all()
        assert periodic.all()
    assert xdatcar.parse_alike([*texts[:3], texts[3][:-1]], numbers, cells) is None
    assert xdatcar.parse_alike([*texts[:3], texts[3].replace(b"0.", b"0,", 1)], numbers, cells) is None
