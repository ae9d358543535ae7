"""Columns against the arrays that they stand for, and the memory of an index against its frames."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from mlraman_hpc.readers import text as pieces
from mlraman_hpc.readers.trajectory import column as column_module
from mlraman_hpc.readers.trajectory import extxyz as extxyz_module
from mlraman_hpc.readers.trajectory import xdatcar
from mlraman_hpc.readers.trajectory.column import BLOCK, SPAN, Column, Growing
from mlraman_hpc.readers.trajectory.index import build_index, read_frames

ROWS = 3 * BLOCK + 17


def columns() -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(3), np.arange(ROWS)
    walk, extreme = np.cumsum(rng.integers(340, 350, ROWS)), np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
    return {
        "constant": np.full(ROWS, -7),
        "progression": 12 + 355 * rows,
        "falling": 10**12 - 3 * rows,
        "one longer": 355 * rows + (rows > 5000),
        "starts again": rows % 5001,
        "sizes": walk,
        "larger sizes": np.cumsum(rng.integers(100, 350, ROWS)),
        "wide": rng.integers(-(2**40), 2**40, ROWS),
        "any bits": rng.choice(extreme, ROWS) + rng.integers(0, 2, ROWS),
        "stairs": rows // 300,
        "random stairs": np.sort(rng.integers(0, 2000, ROWS)),
        "one": np.array([5]),
        "two": np.array([5, -5]),
        "none": np.empty(0, np.int64),
        "long": np.arange(2 * SPAN + 5),
        "times": 0.5 * rows,
        "rounded times": rows / 10,
        "tenths": 0.1 * rows,
        "real": rng.normal(size=ROWS),
        "special": np.array([0.0, -0.0, 1e300, -1e300, 5e-324, np.inf]),
    }


def grown(values: np.ndarray, seed: int) -> Column:
    """Appended in parts of random length."""
    rng, growing, at = np.random.default_rng(seed), Growing(values.dtype == float), 0
    while at < len(values):
        part = int(rng.choice([1, 2, 50, BLOCK, 3000, 9000]))
        growing.append(values[at : at + part])
        at += part
    assert len(growing) == len(values)
    return growing.column()


def same(found, expected: np.ndarray) -> bool:
    """To the bit."""
    return np.asarray(found).dtype == expected.dtype and np.asarray(found).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", columns())
def test_a_column_is_its_array(name):
    values, rng = columns()[name], np.random.default_rng(7)
    for column in (grown(values, 1), Column.of(values, values.dtype == float)):
        assert len(column) == len(values) and same(column, values) and same(column[:], values)
        assert column.tolist() == list(column) == values.tolist()
        rows = rng.integers(-len(values), len(values), 300) if len(values) else np.empty(0, int)
        assert same(column[rows], values[rows]) and same(column[np.sort(rows)], values[np.sort(rows)])
        assert [column[row] for row in rows[:5].tolist()] == values[rows[:5]].tolist()
        for part in (slice(3, 10), slice(BLOCK - 1, 2 * BLOCK + 2), slice(-9, None), slice(1, None, 70), slice(9, 3)):
            assert same(column[part], values[part])
        chosen = range(len(values))[2::37]
        assert same(column[chosen], values[2::37])
        assert same(pickle.loads(pickle.dumps(column)), values)


@pytest.mark.parametrize("name", columns())
def test_blocks_and_what_is_made_of_them(name):
    values, column = columns()[name], grown(columns()[name], 2)
    found = list(column.blocks())
    assert [row for row, _ in found] == list(range(0, len(values), SPAN))
    assert same(np.concatenate([values[:0], *(part for _, part in found)]), values)
    strides = [part for _, part in column.strides()]
    assert same(np.concatenate([values[:0], *strides]), np.diff(values))
    if len(values):
        assert (column.min(), column.max()) == (values.min(), values.max())
    rows = np.random.default_rng(5).integers(0, len(values), 40 if len(values) > 1 else 0).tolist()
    assert same(column.without(rows), np.delete(values, rows))
    assert column == grown(values, 6) and (len(values) == 0 or column != column.without([0]))
    if values.dtype == int:
        joined = Column.joined([column, Column.progression(3, 2, 9), column])
        assert same(joined, np.concatenate([values, 3 + 2 * np.arange(9), values]))


def test_progressions_take_no_memory():
    made = {name: grown(values, 4) for name, values in columns().items()}
    for name in ("constant", "progression", "falling", "one longer", "starts again", "times"):
        assert made[name].nbytes < 2000 + 33 * (ROWS // BLOCK) + (8 * BLOCK if name == "times" else 0)
    assert made["sizes"].nbytes < 0.6 * ROWS and made["larger sizes"].nbytes < 1.1 * ROWS
    assert Column.of(0.1 * np.arange(50 * BLOCK), real=True).nbytes < 1.5 * 50 * BLOCK  # the last digit wanders
    assert same(Column.multiples(0.1, ROWS), 0.1 * np.arange(ROWS)) and Column.progression(1, 4, 0).tolist() == []
    with pytest.raises(IndexError):
        made["sizes"][ROWS]


def cells(frames: int) -> str:
    """An XDATCAR of one atom; cells and sizes of frames change."""
    return "".join(
        f"x\n 1\n {5 + 1e-6 * (k * k % 7919):.6f} 0 0\n 0 5 0\n 0 0 5\n Na\n 1\n"
        f"Direct configuration= {' ' * (k * k % 7)}{k}\n  0.1 0.2 0.{k % 1000:03d}\n"
        for k in range(frames)
    )


def extxyz(frames: int) -> str:
    return "".join(
        f'1\nstep={10 * k} time_fs={k / 2} e={k * k % 97} Lattice="5 0 0 0 5 0 0 0 5" note="{80 * "x"}"\n'
        f"Na 1 2 3.{k % 1000:03d}\n"
        for k in range(frames)
    )


def peak(path, content: str, scratch) -> int:
    path.write_text(content)
    del content
    tracemalloc.start()
    index = build_index([path], "auto", scratch, None, lambda text: None)
    assert len(read_frames(index, [len(index) - 1])) == 1
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("name, write", [("XDATCAR", cells), ("md.xyz", extxyz)])
def test_memory_of_an_index_hardly_grows_with_frames(tmp_path, monkeypatch, name, write):
    for module in (column_module, pieces, extxyz_module, xdatcar):
        monkeypatch.setattr(module, "BLOCK", 256)  # what is looked at together is small in short files too
    monkeypatch.setattr(column_module, "SPAN", 256)
    monkeypatch.setattr(extxyz_module, "line_ends", lambda text: pieces.line_ends(text, 1 << 14))
    short, long = 2000, 8000
    few, many = (peak(tmp_path / name, write(frames), tmp_path / "scratch") for frames in (short, long))
    assert (many - few) / (long - short) < 10  # bytes; arrays took 124
