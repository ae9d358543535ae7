"""`mlraman collect` on outputs that others have made, one of each program: structures compared, tensors read."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.commands.collect import collect
from mlraman_hpc.commands.prepare import prepare
from mlraman_hpc.commands.select import select
from mlraman_hpc.labelling.inputs import atom_order
from mlraman_hpc.labelling.manifest import read_manifest
from mlraman_hpc.readers.tensors.base import Request
from mlraman_hpc.readers.tensors.formats import format_of
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.text import build_frames
from mlraman_hpc.storage.labels_extxyz import frames_extended_xyz
from tests.labelling import system

TIME = "+Overall time at end (sec) : cpu=         12.0  wall=         16.0\n"
ABINIT_ENDS = {"calculation.abo": f"Calculation completed\n{TIME}", "anaddb.log": "the run completed succesfully"}
TIO2 = "samples/tio2_Ti5_0.1x_eps.OUTCAR.gz"
CASES = {  # code: (format, structure from, {file in the run's folder: sample}, texts beside them, parameters)
    "vasp": ("outcar", TIO2, {"OUTCAR": TIO2}, {}, "encut: 400"),
    "cp2k": ("cp2k", "samples/cp2k_h2o_polar.out", {"calculation.out": "samples/cp2k_h2o_polar.out"}, {}, ""),
    "qe": (
        "qe-ph", "samples/qe_si_distorted_ph.out",
        {"pw.out": "samples/qe_si_distorted_scf.out", "ph.out": "samples/qe_si_distorted_ph.out"}, {},
        "ecutwfc: 20, pseudo_dir: ., pseudopotentials: Si.UPF",
    ),
    "abinit": (
        "anaddb", "codes/alas_anaddb.nc", {"anaddb_anaddb.nc": "codes/alas_anaddb.nc"}, ABINIT_ENDS,
        "ecut: 20, pseudo_dir: ., pseudopotentials: x.psp8",
    ),
}  # fmt: skip
SECONDS = {"vasp": 32 * 2273.490, "cp2k": 6.204, "qe": 0.40 + 1.78, "abinit": 16.0}  # elapsed time times cores


def prepared(folder: Path, data: Path, code: str, moved: float = 0.0) -> Path:
    """The folder of the calculation of the sample's structure, an atom of which is `moved` (Angstrom); nothing else."""
    format, structure, _, _, parameters = CASES[code]
    path = data / structure
    item = format_of([path], format).read(path, Request("reference"), lambda text: None)[0]
    positions = item.positions + moved * np.eye(len(item.positions), 3)
    order = atom_order(item.numbers)
    assert np.array_equal(order, np.arange(len(order)))
    shaken = positions + np.random.default_rng(0).normal(scale=0.1, size=positions.shape)
    frames = build_frames([(x, item.numbers, item.cell, item.periodic) for x in (positions, shaken)], np.arange(2))
    (folder / "run.extxyz").write_text(frames_extended_xyz(frames, ["time_fs=0", "time_fs=10"]))
    (folder / "deck.yaml").write_text(
        "output: out\ntrajectory: {files: run.extxyz}\n"
        f"labelling: {{code: {code}, frames: 2, test: 0, min_interval: 0, parameters: {{{parameters}}}}}\n"
    )
    job = system.job(folder)
    select(job)
    prepare(job)
    return folder / "out" / "calculations" / "frame_000000_polarizability"


def fill(run: Path, data: Path, code: str) -> list[Path]:
    _, _, files, texts, _ = CASES[code]
    for name, sample in files.items():
        content = (data / sample).read_bytes()
        (run / name).write_bytes(gzip.decompress(content) if sample.endswith(".gz") else content)
    for name, text in texts.items():
        (run / name).write_text(text)
    return [run / name for name in files]


@pytest.mark.parametrize("code", list(CASES))
def test_a_real_output_is_a_label(data, tmp_path, code):
    run = prepared(tmp_path, data, code)
    files = fill(run, data, code)
    job = system.job(tmp_path)
    collect(job)
    assert "1 prepared, 1 finished" in job.console.stream.getvalue(), job.console.warnings
    label = read_labels([tmp_path / "out" / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    expected = read_labels(files, CASES[code][0], None, None, lambda text: None)
    np.testing.assert_array_equal(label.polarizability, expected.polarizability)
    (item,) = (one for one in read_manifest(tmp_path / "out" / "labels.json").calculations if one.cpu_seconds)
    assert item.cpu_seconds == pytest.approx(SECONDS[code])


@pytest.mark.parametrize("code", list(CASES))
def test_of_another_structure_it_is_refused(data, tmp_path, code):
    fill(prepared(tmp_path, data, code, moved=0.02), data, code)
    job = system.job(tmp_path)
    collect(job)
    assert "1 failed" in job.console.stream.getvalue()
    assert "an atom is" in "".join(job.console.warnings)


def test_a_damaged_outcar_has_failed(data, tmp_path):
    run = prepared(tmp_path, data, "vasp")
    (run / "OUTCAR").write_bytes(gzip.decompress((data / "samples/malformed_eps.OUTCAR.gz").read_bytes()))
    job = system.job(tmp_path)
    collect(job)
    assert "1 failed" in job.console.stream.getvalue()
