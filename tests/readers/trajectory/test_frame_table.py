"""The table of frames in memory and memory-mapped, and the memory of an index against its frames."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.readers.text import line_ends
from mlraman_hpc.readers.trajectory import extxyz as extxyz_module
from mlraman_hpc.readers.trajectory import frame_table, index_cache, xdatcar
from mlraman_hpc.readers.trajectory import index as index_module
from mlraman_hpc.readers.trajectory.frame_table import FRAME, FrameTable, TableNotWritten, concatenated
from mlraman_hpc.readers.trajectory.index import build_index, read_frames

MODULES_OF_CHUNKS = (
    (frame_table, "CHUNK_ROWS"),
    (frame_table, "SCAN_ROWS"),
    (extxyz_module, "CHUNK_ROWS"),
    (xdatcar, "CHUNK_ROWS"),
)
ROWS = 3 * frame_table.CHUNK_ROWS + 17


def filled(path: Path | None, rows: int = ROWS) -> np.ndarray:
    """Some rows one by one, then the others together."""
    table, alone = FrameTable(path), rows // 2
    for k in range(alone):
        table.add(10 * k, 10 * k + 10, 3 * k + 1, 7, header=k // 5, step=-k, time=0.1 * k)
    k = np.arange(alone, rows)
    table.extend(len(k), first_byte=10 * k, last_byte=10 * k + 10, line=3 * k + 1, atoms=7, header=k // 5, step=-k)
    assert len(table) == rows
    return table.finish()


def test_a_table_in_a_file_is_one_in_memory(tmp_path):
    memory, mapped = filled(None), filled(tmp_path / "a" / "table")
    assert memory.dtype == mapped.dtype == FRAME and np.array_equal(memory, mapped)
    assert not mapped.flags.writeable
    assert (memory["frame"] == np.arange(ROWS)).all() and (memory["step"] == -np.arange(ROWS)).all()
    assert memory["time"][:3].tolist() == [0.0, 0.1, 0.2]
    for table in (memory, mapped):
        rows = np.random.default_rng(1).integers(0, ROWS, 50000)
        assert np.array_equal(frame_table.rows_of(table, rows), memory[rows])
        assert np.array_equal(frame_table.column_of(table, "line", rows), memory["line"][rows])
        assert frame_table.column_of(table, "time", rows[:0]).dtype == float
    assert len(filled(tmp_path / "empty", 0)) == 0


def test_chunks_and_differences(monkeypatch, tmp_path):
    monkeypatch.setattr(frame_table, "SCAN_ROWS", 1000)
    table = filled(tmp_path / "table")
    starts, chunks = zip(*frame_table.chunks(table))
    assert starts == tuple(range(0, ROWS, 1000)) and np.array_equal(np.concatenate(chunks), table)
    starts, differences = zip(*frame_table.differences(table, "header"))
    assert starts[:2] == (1, 1001) and np.array_equal(np.concatenate(differences), np.diff(table["header"]))


@pytest.mark.parametrize("in_file", [False, True])
def test_tables_one_after_another(monkeypatch, tmp_path, in_file):
    monkeypatch.setattr(frame_table, "SCAN_ROWS", 100)
    path = tmp_path / "joined" if in_file else None
    a, b = filled(None, 250), filled(None, 333)
    joined = concatenated([a, b], np.array([], int), path)
    assert len(joined) == 583 and (joined["frame"] == np.arange(583)).all()
    assert (joined["file"] == np.repeat([0, 1], [250, 333])).all()
    assert np.array_equal(joined["line"], np.concatenate([a["line"], b["line"]]))
    less = concatenated([joined], np.array([0, 99, 100, 250, 582]), path)
    assert (less["frame"] == np.arange(578)).all()
    assert np.array_equal(less["first_byte"], np.delete(joined["first_byte"], [0, 99, 100, 250, 582]))
    assert (less["file"] == np.repeat([0, 1], [247, 331])).all()
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TableNotWritten):
        FrameTable(tmp_path / "file" / "table")
    table = FrameTable(Path("/dev/full"))
    with pytest.raises(TableNotWritten):
        for k in range(2 * frame_table.CHUNK_ROWS):
            table.add(k, k, k, 1)
    table.close()


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


def test_an_index_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(index_cache, "LEAST_BYTES", 0)
    monkeypatch.setattr(index_module, "MEMORY_ROWS", 0)
    (tmp_path / "scratch").write_text("a file where the folder should be")
    files = [tmp_path / "0.xyz", tmp_path / "1.xyz"]
    for file in files:
        file.write_text(extxyz(20) + "1\nhalf a frame")
    warnings: list[str] = []
    index = build_index(files, "auto", tmp_path / "scratch", None, warnings.append)
    assert len(index) == 40 and sum("incomplete" in text for text in warnings) == 2
    assert index.table["file"].tolist() == 20 * [0] + 20 * [1] and len(read_frames(index, [0, 39])) == 2


def peak(path: Path, content: str, scratch: Path) -> int:
    """Bytes that Python and NumPy hold at most while an index is built and used; mapped files do not count."""
    path.write_text(content)
    del content
    tracemalloc.start()
    index = build_index([path], "auto", scratch, None, lambda text: None)
    assert len(read_frames(index, [len(index) - 1])) == 1
    bytes_ = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return bytes_


@pytest.mark.slow
@pytest.mark.parametrize("name, write", [("XDATCAR", cells), ("md.xyz", extxyz)])
def test_memory_of_an_index_does_not_grow_with_frames(tmp_path, monkeypatch, name, write):
    monkeypatch.setattr(index_cache, "LEAST_BYTES", 0)
    for module, constant in MODULES_OF_CHUNKS:  # what is handled together is small in short files too
        monkeypatch.setattr(module, constant, 256)
    monkeypatch.setattr(extxyz_module, "line_ends", lambda text: line_ends(text, 1 << 14))
    few, many = (peak(tmp_path / name, write(frames), tmp_path / "scratch") for frames in (2000, 8000))
    assert (many - few) / 6000 < 5  # bytes a frame; a row of the table has 64
