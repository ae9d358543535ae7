"""labels.json: what is written is read; what is no manifest is refused with a reason."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.labelling.manifest import (
    Calculation,
    Kind,
    Manifest,
    Purpose,
    Status,
    read_manifest,
    structure_hash,
    write_manifest,
)
from mlraman_hpc.readers.text import build_frames

ITEM = Calculation(7, Purpose.TRAIN, Kind.DERIVATIVES, 1, "random", "abc")


def manifest() -> Manifest:
    other = replace(ITEM, frame=9, status=Status.FAILED, reason="did not end", cpu_seconds=1.5, attempts=2)
    return Manifest({"run.xyz": "123"}, 10, (ITEM, other), {"1": "456"})


def test_what_is_written_is_read(tmp_path):
    write_manifest(tmp_path / "labels.json", manifest())
    assert read_manifest(tmp_path / "labels.json") == manifest()
    assert read_manifest(tmp_path / "other.json") is None


def test_counts_and_updates():
    one = manifest()
    assert one.open == [ITEM] and one.rounds == 1 and one.count() == {"selected": 1, "failed": 1}
    done = one.updated([replace(ITEM, status=Status.FINISHED)])
    assert not done.open and [item.frame for item in done.calculations] == [7, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(format="other"), "is no manifest"),
        (lambda values: values.update(version=9), "version 9"),
        (lambda values: values.pop("frames"), "'frames' is missing"),
        (lambda values: values["calculations"][1].update(status="eaten"), "calculation 1: 'eaten' is not a valid"),
        (lambda values: values["calculations"][0].update(colour="red"), "calculation 0: unknown keys"),
        (lambda values: values["calculations"][0].update(frame=99), "frame 99, but the trajectory has 10"),
        (lambda values: values["calculations"][0].update(frame="7"), "should be integers"),
        (lambda values: values["calculations"][1].update(frame=7), "are both frame_000007_derivatives"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    path = tmp_path / "labels.json"
    write_manifest(path, manifest())
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_text_that_is_cut_short_is_refused_with_its_line(tmp_path):
    path = tmp_path / "labels.json"
    write_manifest(path, manifest())
    path.write_text(path.read_text()[:300])
    with pytest.raises(DataError, match=r"labels\.json, line \d+: no JSON"):
        read_manifest(path)


def test_the_hash_of_a_structure_knows_elements_positions_and_cell():
    positions, numbers, cell = np.array([[0, 0, 0], [1, 1, 1.0]]), np.array([3, 1]), 4 * np.eye(3)

    def digest(*values):
        return structure_hash(build_frames([(*values, np.ones(3, bool))], np.arange(1)), 0)

    same = digest(positions + 1e-8, numbers, cell)
    assert same == digest(positions, numbers, cell) == digest(positions - 1e-9, numbers, cell)
    assert len({same, digest(positions + 1e-4, numbers, cell), digest(positions, numbers[::-1], cell)}) == 3
    assert digest(positions, numbers, 1.001 * cell) != same
