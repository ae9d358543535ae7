"""`mlraman collect`: what is finished is a label, what is not is named, and nothing doubtful is trained on."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.commands.collect import collect
from mlraman_hpc.commands.prepare import prepare
from mlraman_hpc.commands.select import select
from mlraman_hpc.labelling.codes import Recipe, Step
from mlraman_hpc.labelling.cost import core_seconds, cost
from mlraman_hpc.labelling.outliers import outliers
from mlraman_hpc.readers.tensors.labels import read_labels
from tests.labelling import boron_nitride, system

OUTPUT = gzip.decompress((Path(__file__).parent / "files" / "bn_frame67.out.gz").read_bytes())
FRAME = 67  # of the output, which random selection draws first
OLD = 1_600_000_000


@pytest.fixture
def calculations(tmp_path):
    """Prepared; frame 67 is finished."""
    boron_nitride.write(tmp_path)
    job = system.job(tmp_path)
    select(job)
    prepare(job)
    folder = tmp_path / "out" / "calculations"
    write(folder, FRAME, OUTPUT)
    return folder


def write(folder: Path, frame: int, text: bytes) -> None:
    """An output that nobody has touched for long."""
    path = folder / f"frame_{frame:06d}_polarizability" / "calculation.out"
    path.write_bytes(text)
    os.utime(path, (OLD, OLD))


def collected(folder: Path) -> tuple[dict[int, dict], str]:
    """{frame: calculation}, and the log with its warnings."""
    job = system.job(folder.parents[1])
    collect(job)
    found = json.loads((folder.parent / "labels.json").read_text())["calculations"]
    return {item["frame"]: item for item in found}, job.console.stream.getvalue() + "\n".join(job.console.warnings)


def frames_of(folder: Path) -> list[int]:
    return [int(path.name.split("_")[1]) for path in sorted(folder.glob("frame_*"))]


def test_a_finished_calculation_is_a_label_with_its_provenance(calculations):
    found, log = collected(calculations)
    assert "6 calculations: 5 prepared, 1 finished" in log
    labels = read_labels([calculations.parent / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    assert len(labels) == 1 and found[FRAME]["status"] == "finished"
    np.testing.assert_allclose(labels.frames.positions, boron_nitride.positions(120)[FRAME], atol=1e-9)
    expected = read_labels(
        [calculations / f"frame_{FRAME:06d}_polarizability/calculation.out"], "cp2k", None, None, print
    )
    np.testing.assert_array_equal(labels.polarizability, expected.polarizability)
    text = (calculations.parent / "labels.extxyz").read_text()
    assert f"frame={FRAME} purpose=test round=0 rule=random code=cp2k input={found[FRAME]['input']}" in text


def test_what_went_wrong_is_told_and_listed_to_be_done_again(calculations):
    cut, unconverged, metal, foreign, running = (k for k in frames_of(calculations) if k != FRAME)
    write(calculations, cut, OUTPUT[: len(OUTPUT) // 2])
    write(calculations, unconverged, OUTPUT.replace(b"*** SCF run converged", b"*** SCF run NOT converged"))
    write(calculations, metal, OUTPUT.replace(b"HOMO - LUMO gap [eV] :    ", b"HOMO - LUMO gap [eV] :   0.00000001#"))
    write(calculations, foreign, OUTPUT)
    (calculations / f"frame_{running:06d}_polarizability" / "calculation.out").write_bytes(OUTPUT[:2000])  # just now
    metal_text = b"\n".join(
        b" HOMO - LUMO gap [eV] :    0.001" if line.startswith(b" HOMO - LUMO") else line
        for line in OUTPUT.split(b"\n")
    )
    write(calculations, metal, metal_text)
    found, log = collected(calculations)
    assert {frame: found[frame]["status"] for frame in (cut, unconverged, metal, foreign, running)} == {
        cut: "failed",
        unconverged: "unconverged",
        metal: "metallic",
        foreign: "failed",
        running: "prepared",
    }
    assert "did not finish" in found[cut]["reason"] and "SCF run NOT converged" in found[unconverged]["reason"]
    assert "0.001 eV" in found[metal]["reason"] and "an atom is" in found[foreign]["reason"]
    for frame in (cut, unconverged, metal, foreign):
        assert f"frame {frame} (train)" in log or f"frame {frame} (test)" in log
    again = (calculations / "again.txt").read_text().split()
    assert again == [f"frame_{frame:06d}_polarizability" for frame in found if frame in (cut, unconverged, foreign)]
    assert (calculations.parent / "labels.extxyz").read_text().count("Lattice") == 1


def test_a_calculation_that_succeeds_later_counts(calculations):
    write(calculations, FRAME, OUTPUT[:5000])
    found, _ = collected(calculations)
    assert found[FRAME]["status"] == "failed" and not (calculations.parent / "labels.extxyz").exists()
    write(calculations, FRAME, OUTPUT)
    found, _ = collected(calculations)
    assert found[FRAME]["status"] == "finished" and not (calculations / "again.txt").exists()


def test_outliers_of_a_normal_distribution_and_one_that_is_none():
    rng = np.random.default_rng(0)
    tensors = 100 * np.eye(3) + rng.normal(size=(200, 3, 3))
    assert not outliers(tensors)[0].any()
    tensors[17] += 4 * np.eye(3)
    assert np.flatnonzero(outliers(tensors)[0]).tolist() == [17]
    assert not outliers(tensors[15:20])[0].any()  # too few to tell


def test_the_papers_bad_labels_are_found(data):
    """Steps 5390 and 34180 of Na3PS4 at 900 K say that they converged; see the data's README."""
    for name, expected in (("na3ps4_900K", [5390, 34180]), ("na3sbs4_300K", []), ("na3sbws4_300K", [])):
        path = data / "paper" / f"{name}_labels.extxyz"
        labels = read_labels([path], "auto", "polarizability", "bohr^3", lambda text: None)
        steps = [int(line.split("step=")[1].split()[0]) for line in path.read_text().splitlines() if "step=" in line]
        assert [step for step, far in zip(steps, outliers(labels.polarizability)[0]) if far] == expected


def test_a_task_of_an_array_that_failed_is_told_at_once(calculations):
    """Without what run.sh leaves behind, an output that is cut short might still be written."""
    frame = next(k for k in frames_of(calculations) if k != FRAME)
    script = calculations / f"frame_{frame:06d}_polarizability" / "run.sh"
    text = script.read_text()
    script.write_text(
        text.replace(
            next(line for line in text.splitlines() if "cp2k.psmp" in line), "  echo cut > calculation.out; (exit 7)"
        )
    )
    subprocess.run(["bash", str(script)])
    found, _ = collected(calculations)
    assert found[frame]["status"] == "failed" and "its command ended with code 7" in found[frame]["reason"]
    script.write_text(
        text.replace(
            "cp2k.psmp -i calculation.inp -o calculation.out",
            f"touch ran; cp {calculations}/frame_{FRAME:06d}_polarizability/calculation.out .",
        )
    )
    for _ in range(2):
        subprocess.run(["bash", str(script)], check=True)
    found, _ = collected(calculations)
    assert "an atom is" in found[frame]["reason"]  # it has run, with another frame's output


OUTPUTS = [  # lines, elapsed time times cores
    ("cp2k.psmp",
     ["GLOBAL| Total number of message passing processes  4", " GLOBAL| Number of threads for this process  2",
      " CP2K       1  1.0    0.005    0.006   12.3   12.5", " cp_gemm    1  1.0    0.005    0.006   1.3   1.5"], 100.0),
    ("vasp_std",
     [" running   16 mpi-ranks, with    2 threads/rank, on    1 nodes", "   Elapsed time (sec):   10.5"], 336.0),
    ("pw.x",
     ["Parallel version (MPI), running on     2 processors", "     PWSCF        :   1h 2m CPU   1d 1h 5m WALL"],
     2 * 90300.0),
    ("ph.x",
     ["     PHONON       :   0.5s CPU   0.6s WALL", "     PHONON       :   1m 2.50s CPU   1m 5.50s WALL"], 65.5),
    ("abinit",
     ["- Proc.   0 individual time (sec): cpu=  8.0  wall=  9.0", "+Overall time at end (sec) : cpu= 32.0  wall= 39.0"],
     39.0),
    ("abinit", [" cut short"], None),
]  # fmt: skip


@pytest.mark.parametrize(("program", "lines", "seconds"), OUTPUTS)
def test_outputs_tell_what_they_cost(tmp_path, program, lines, seconds):
    (tmp_path / "output").write_text("\n".join([*lines, ""]))
    recipe = Recipe({}, (Step(program, "input", "output", b""),), (), "")
    assert core_seconds(recipe, tmp_path) == seconds


def test_the_time_of_a_launcher_is_not_that_of_a_calculation():
    """srun waits for tasks that others start: its own CPU time is nothing."""
    assert cost(0.2, 500.0) == 500.0 and cost(450.0, 500.0) == 450.0
    assert cost(None, 500.0) == 500.0 and cost(3.0, None) == 3.0 and cost(None, None) is None
