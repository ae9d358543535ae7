"""`mlraman prepare`: input from templates, mistakes in them named, scripts for batch systems, nothing overwritten."""

import json
import os
import stat
import subprocess

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.commands.prepare import prepare
from mlraman_hpc.commands.select import select
from mlraman_hpc.labelling.inputs import atom_order
from mlraman_hpc.readers.derivatives.field_forces import DIRECTIONS
from tests.labelling import boron_nitride, system


def log_of(folder, *changes: str, force: bool = False, **options) -> str:
    job = system.job(folder, *changes, force=force)
    prepare(job, **options)
    return job.console.stream.getvalue()


def selected(folder, *changes: str):
    boron_nitride.write(folder)
    select(system.job(folder, *changes))
    return folder / "out" / "calculations"


def test_a_folder_for_each_calculation_with_the_frame_in_it(tmp_path):
    calculations = selected(tmp_path)
    log = log_of(tmp_path)
    assert "6 calculations by cp2k are ready" in log and "sbatch" in log
    folders = sorted(path for path in calculations.iterdir() if path.is_dir())
    assert len(folders) == 6
    for folder in folders:
        lines = (folder / "calculation.inp").read_text().splitlines()
        start = next(k for k, line in enumerate(lines) if "&COORD" in line) + 1
        found = np.array([line.split()[1:] for line in lines[start : start + 8]], dtype=float)
        frame = int(folder.name.split("_")[1])
        np.testing.assert_allclose(found, boron_nitride.positions(120)[frame], atol=1e-9)
    text = (folders[0] / "calculation.inp").read_text()
    assert "CUTOFF 100\n" in text and "EPS 1.0E-4" in text and "BASIS_SET SZV-MOLOPT-SR-GTH" in text
    assert (calculations / "folders.txt").read_text().split() == [
        f"frame_{item['frame']:06d}_polarizability" for item in _calculations(tmp_path)
    ]
    assert {item["status"] for item in _calculations(tmp_path)} == {"prepared"}


def _calculations(folder) -> list[dict]:
    return json.loads((folder / "out" / "labels.json").read_text())["calculations"]


def test_thirteen_fields_and_tensors_for_testing(tmp_path):
    calculations = selected(tmp_path, "labelling.kind=derivatives", "labelling.frames=1")
    log_of(tmp_path, "labelling.kind=derivatives")
    lines = (calculations / "folders.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [1, 1, 13]
    fields = {}
    for name in lines[2].split():
        text = (calculations / name / "calculation.inp").read_text()
        words = text.split()
        if "INTENSITY" in words:
            direction = np.array(words[words.index("POLARISATION") + 1 :][:3], dtype=float)
            fields[name[-5:]] = float(words[words.index("INTENSITY") + 1]) * direction
            assert "WFN_RESTART_FILE_NAME ../00_0/calculation-RESTART.wfn" in text
    expected = [0.002 * np.array(vector) for name, vector in DIRECTIONS.items() if name != "0"]
    np.testing.assert_allclose(list(fields.values()), expected, atol=1e-11)


def test_input_is_not_written_again_and_results_are_not_mixed(tmp_path):
    calculations = selected(tmp_path)
    log_of(tmp_path)
    folder = next(path for path in calculations.iterdir() if path.is_dir())
    before = (folder / "calculation.inp").stat().st_mtime_ns
    assert "0 of them new or changed" in log_of(tmp_path)
    assert (folder / "calculation.inp").stat().st_mtime_ns == before
    (folder / "calculation.out").write_text("something")
    with pytest.raises(DataError, match="has output of another input"):
        log_of(tmp_path, "labelling.parameters={cutoff: 200}")
    log_of(tmp_path, "labelling.parameters={cutoff: 200}", force=True)
    assert not (folder / "calculation.out").exists() and "CUTOFF 200" in (folder / "calculation.inp").read_text()


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("slurm", ["#SBATCH --array=1-6", "SLURM_ARRAY_TASK_ID"]),
        ("pbs", ["#PBS -J 1-6", "PBS_ARRAY_INDEX"]),
        ("lsf", ['#BSUB -J "labels[1-6]"', "LSB_JOBINDEX"]),
    ],
)
def test_a_task_of_the_array_runs_its_calculation_once(tmp_path, scheduler, expected):
    program = tmp_path / "program"
    program.write_text('#!/bin/bash\necho ran >> log\necho " PROGRAM ENDED AT" > "$1"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    changes = [f"labelling.scheduler={scheduler}", f"labelling.command={program} {{output}}"]
    changes.append("labelling.parameters={header: '# my account'}")
    calculations = selected(tmp_path, *changes)
    log_of(tmp_path, *changes)
    text = (calculations / "array.sh").read_text()
    assert all(words in text for words in [*expected, "# my account"])
    for _ in range(2):
        environment = {**os.environ, expected[1]: "2"}
        subprocess.run(["bash", str(calculations / "array.sh")], env=environment, check=True)
    second = (calculations / "folders.txt").read_text().split()[1]
    assert (calculations / second / "log").read_text() == "ran\n"
    assert len(list(calculations.glob("*/log"))) == 1


@pytest.mark.parametrize(("scheduler", "launcher"), [("slurm", "srun"), ("pbs", "mpirun"), ("lsf", "mpirun")])
def test_without_a_command_the_array_has_the_launcher_of_its_batch_system(tmp_path, scheduler, launcher):
    changes = ["labelling.command=null", f"labelling.scheduler={scheduler}"]
    calculations = selected(tmp_path, *changes)
    log_of(tmp_path, *changes)
    text = next(calculations.glob("*/run.sh")).read_text()
    assert f"\n  {launcher} cp2k.psmp -i calculation.inp -o calculation.out > calculation.log" in text


def test_a_dry_run_writes_nothing_and_templates_are_shown(tmp_path):
    calculations = selected(tmp_path)
    assert "&CELL" in log_of(tmp_path, dry_run=True) and not calculations.exists()
    template = log_of(tmp_path, show_template=True)
    assert "{{ cutoff }}" in template and not calculations.exists()


def test_a_template_of_ones_own(tmp_path):
    calculations = selected(tmp_path)
    (tmp_path / "my.inp").write_text("{{ title }} {{ species | join }} {{ counts }} {{ grid }}\n")
    changes = ("labelling.parameters={grid: 7}",)
    log_of(tmp_path, *changes, template=str(tmp_path / "my.inp"))
    frame = _calculations(tmp_path)[0]["frame"]
    text = (calculations / f"frame_{frame:06d}_polarizability" / "calculation.inp").read_text()
    assert text == f"frame_{frame:06d}_polarizability BN [4, 4] 7\n"


@pytest.mark.parametrize(
    ("changes", "template", "message"),
    [
        (["labelling.parameters={cutof: 7}"], None, "labelling.parameters.*no placeholder of this name.*cutoff"),
        (["labelling.parameters={basis: {B: SZV}}"], None, "has no value for N, only for B"),
        ([], "{{ grid }}", "also need grid"),
        ([], "{% if %}", "line 1: Expected an expression"),
        ([], "{{ cell.x.y }}", "has no attribute 'x'"),
        (["labelling.code=null"], None, "labelling.code.*give the program"),
        (["labelling.template=nothing.inp"], None, "nothing.inp: no such file"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, template, message):
    selected(tmp_path)
    if template is not None:
        (tmp_path / "my.inp").write_text(template)
        changes = [*changes, "labelling.template=my.inp", "labelling.parameters={}"]
    with pytest.raises((DeckError, DataError), match=message):
        log_of(tmp_path, *changes)
    assert not (tmp_path / "out" / "calculations").exists()


def test_without_a_selection_there_is_nothing_to_prepare(tmp_path):
    boron_nitride.write(tmp_path)
    with pytest.raises(DataError, match="'mlraman select' does it"):
        log_of(tmp_path)


def test_atoms_of_an_element_are_put_together():
    numbers = np.array([47, 53, 47, 8, 53, 47])
    assert numbers[atom_order(numbers)].tolist() == [47, 47, 47, 53, 53, 8]
    assert atom_order(numbers).tolist() == [0, 2, 5, 1, 4, 3]
