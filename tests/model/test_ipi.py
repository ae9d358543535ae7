"""A model as a client of i-PI, by the file that `mlraman docs python` shows: alpha in its extras is that of predict."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

import mlraman_hpc as mr
from tests import small_system as small
from tests.helpers import ROOT

FRAMES = 7
FORCE_FIELD = "__import__('ase.calculators.lj').calculators.lj.LennardJones(sigma=2.5, epsilon=0.01)"
INPUT = """<simulation verbosity='quiet' floatformat='%24.16e'>
  <output prefix='run'>
    <trajectory filename='pos' format='bin' stride='1'> positions </trajectory>
    <trajectory filename='extras' stride='1' extra_type='polarizability'> extras </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <ffsocket name='force' mode='unix' pbc='false'><address> {address} </address></ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='ase'> start.extxyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces><force forcefield='force'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'><timestep units='femtosecond'> 2 </timestep></dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
  </system>
</simulation>
"""


def driver() -> str:
    """The file of the documentation, with a force field filled in."""
    text = (ROOT / "mlraman_hpc" / "docs" / "python.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ASEDriver" in block)
    assert block.count("force_field = ...") == 1
    return block.replace("force_field = ...", f"force_field = {FORCE_FIELD}")


def run(folder: Path) -> None:
    """i-PI and its client."""
    address = f"mlraman_alpha_{os.getpid()}"  # of a socket that no other test uses
    (folder / "input.xml").write_text(INPUT.format(steps=FRAMES - 1, address=address))
    (folder / "mlraman_driver.py").write_text(driver())
    with subprocess.Popen(["i-pi", "input.xml"], cwd=folder, stdout=subprocess.DEVNULL) as server:
        for _ in range(600):
            if (Path("/tmp") / f"ipi_{address}").exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        client = "i-pi-py_driver -m custom --pes_path mlraman_driver.py -u -o template=start.extxyz,model=model.h5 -a"
        subprocess.run([*client.split(), address], cwd=folder, check=True, timeout=300, stdout=subprocess.DEVNULL)
        assert server.wait(60) == 0


def structures(path: Path) -> list[Atoms]:
    """Of i-PI's binary file: each frame has the cell (vectors are its columns), the number of atoms, positions, names.

    The cell is not exactly that of the start: i-PI reads Angstrom with another value of the bohr than it has itself.
    """
    from ipi.utils.units import unit_to_user

    frames = np.fromfile(path, dtype=np.uint8).reshape(FRAMES, -1)
    cells, inside = (
        frames[:, part].copy().view(float) for part in (slice(72), slice(80, 80 + 24 * len(small.SPECIES)))
    )
    cells, inside = (unit_to_user("length", "angstrom", x.reshape(FRAMES, -1, 3)) for x in (cells, inside))
    return [Atoms(small.SPECIES, x, cell=h.T, pbc=True) for x, h in zip(inside, cells)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the small training set, and of PyTorch about itself
def test_alpha_in_the_extras_of_ipi_is_that_of_predict(tmp_path):
    if shutil.which("i-pi") is None:
        pytest.skip("i-PI is not installed")
    labels, start = small.frames(24, seed=1), small.frames(1, seed=7)[0]
    (tmp_path / "labels.extxyz").write_text(small.extxyz(labels, small.alpha(labels)))
    keys = {"quantity": "polarizability", "unit": "angstrom^3", "descriptor": {"cutoff": 4.0}}
    mr.train(tmp_path / "labels.extxyz", **keys).save(tmp_path / "model.h5")
    write(tmp_path / "start.extxyz", Atoms(small.SPECIES, start, cell=small.CELL, pbc=True))
    run(tmp_path)
    extras = np.loadtxt(tmp_path / "run.extras_0").reshape(-1, 3, 3)
    assert len(extras) == FRAMES and np.abs(extras[-1] - extras[0]).max() > 1e-4
    write(tmp_path / "run.traj", structures(tmp_path / "run.pos_0.bin"))
    (tmp_path / "deck.yaml").write_text(
        "output: out\nmodel: {file: model.h5}\ntrajectory: {files: run.traj, frame_interval: 2.0}\n"
    )
    command = [sys.executable, "-m", "mlraman_hpc", "predict", "deck.yaml", "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    np.testing.assert_allclose(extras, mr.load(tmp_path / "out" / "alpha.h5").value, rtol=0, atol=1e-10)
