"""CPU time of each trajectory reader for a frame, against ASE's and (where it is installed) MDAnalysis'.

`python tests/benchmarks/reader_speed.py` on data beside this checkout; formats without a sample are written by ASE from
the AgI trajectory. Also the index of a long file: built, loaded again, and one frame from its middle.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
import warnings
from pathlib import Path

import ase.io
import numpy as np

from mlraman_hpc.readers.trajectory.index import build_index, read_frames

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def clock(work) -> tuple[float, object]:
    """Least CPU seconds of three, and what came out."""
    times = []
    for _ in range(3):
        began = time.process_time()
        result = work()
        times.append(time.process_time() - began)
    return min(times), result


def ours(path: Path, scratch: Path, species) -> tuple[float, int]:
    def work():
        index = build_index([path], "auto", scratch, species, lambda text: None)
        return sum(len(read_frames(index, np.arange(k, min(k + 100, len(index))))) for k in range(0, len(index), 100))

    return clock(work)


def ase_reader(path: Path, format: str) -> float:
    return clock(lambda: len(ase.io.read(path, index=":", format=format, parallel=False)))[0]


def mdanalysis(path: Path, format: str | None, atoms: int) -> float | None:
    try:
        import MDAnalysis
    except ImportError:
        return None
    if format is None:
        return None
    options = {"convert_units": False} if format in ("H5MD", "LAMMPSDUMP") else {}
    if format == "LAMMPSDUMP":
        options["lammps_coordinate_convention"] = "unscaled"

    def work():
        universe = MDAnalysis.Universe.empty(atoms)
        universe.load_new(str(path), format=format, **options)
        return sum(float(step.positions[0, 0]) for step in universe.trajectory)

    return clock(work)[0]


def unpacked(name: str, folder: Path) -> Path:
    path = folder / Path(name).name.removesuffix(".gz")
    content = (DATA / name).read_bytes()
    path.write_bytes(gzip.decompress(content) if name.endswith(".gz") else content)
    return path


def cases(folder: Path):
    """(path, format for ASE, for MDAnalysis, trajectory.species)"""
    from tests.readers.trajectory import test_formats as made

    yield unpacked("sio2/XDATCAR.gz", folder), "vasp-xdatcar", None, None
    yield unpacked("argyrodite/Li6PS5Cl/50p/run1_XDATCAR.gz", folder), "vasp-xdatcar", None, None
    xyz = unpacked("agi/trajectory.extxyz.gz", folder)
    yield xyz, "extxyz", "XYZ", None
    yield unpacked("samples/agi_prv_200frames_20fs.lammpstrj.gz", folder), "lammps-dump-text", "LAMMPSDUMP", ["Ag", "I"]
    images = ase.io.read(xyz, index=":", format="extxyz", parallel=False)
    ase.io.write(folder / "agi.traj", images)
    yield folder / "agi.traj", "traj", None, None
    yield h5md(folder / "agi.h5", images), None, "H5MD", None
    (folder / "vasprun.xml").write_text(made.vasprun(2000))
    yield folder / "vasprun.xml", "vasp-xml", None, None


def h5md(path: Path, images) -> Path:
    from mlraman_hpc.storage.h5md_writer import TrajectoryFile

    file = TrajectoryFile(
        path,
        numbers=images[0].numbers,
        periodic=images[0].pbc,
        steps=np.arange(len(images)),
        times=50.0 * np.arange(len(images)),
        velocities=False,
    )
    file.write(
        slice(0, len(images)),
        np.array([one.positions for one in images]),
        np.array([one.cell.array for one in images]),
        None,
    )
    file._file.close()
    return path


def long_file(folder: Path, frames: int = 100_000, atoms: int = 32) -> None:
    path = folder / "long.xyz"
    rng = np.random.default_rng(0)
    with open(path, "w") as file:
        for k in range(frames):
            rows = "".join(f"Ag {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in rng.random((atoms, 3)).tolist())
            file.write(f'{atoms}\nLattice="9 0 0 0 9 0 0 0 9" step={k}\n{rows}')

    def build():
        return build_index([path], "auto", folder / "scratch", None, print)

    first, index = timed(build)
    again, index = timed(build)
    one, _ = timed(lambda: read_frames(index, [frames // 2]))
    megabytes = path.stat().st_size / 1e6
    print(
        f"{frames} frames of {atoms} atoms, {megabytes:.0f} MB of extended XYZ: index built in {first:.2f} s "
        f"({megabytes / first:.0f} MB/s), loaded in {1e3 * again:.0f} ms, a frame read in {1e3 * one:.2f} ms"
    )


def timed(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'file':<36}{'frames':>7}{'atoms':>7}{'ours':>9}{'ASE':>9}{'MDAnalysis':>12}   ms a frame")
        for path, ase_format, mda_format, species in cases(folder):
            seconds, frames = ours(path, folder / "scratch", species)
            atoms = build_index([path], "auto", folder / "scratch", species, lambda text: None).atoms[0]
            others = [ase_reader(path, ase_format) if ase_format else None, mdanalysis(path, mda_format, atoms)]
            shown = ["-" if one is None else f"{1e3 * one / frames:.3f}" for one in others]
            print(f"{path.name:<36}{frames:>7}{atoms:>7}{1e3 * seconds / frames:>9.3f}{shown[0]:>9}{shown[1]:>12}")
        long_file(folder)


if __name__ == "__main__":
    main()
