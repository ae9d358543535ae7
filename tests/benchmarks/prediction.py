"""A whole prediction, from the trajectory's file to alpha.h5, against featomic's EquivariantPowerSpectrum.

The recipe: frames read with ASE, EquivariantPowerSpectrum for lambda = 0 and 2, summed over the atoms of each species,
product with the weights, tensors saved. One frame at a time, as such scripts are written, and with the number of frames
at a time that was fastest. This program: `mlraman predict`, the function behind the command, one rank, in one process.
Start of the interpreter, imports and compiled code (printed apart) are left out for both. What a run does once (tables,
first frame by featomic) is told apart by runs of two lengths, printed, and counted as part of a run of 100,000 frames;
the ratio by the clock is that of a frame alone.

Same frames, same weights, one thread, one run. Times are CPU times of the process, which other users of the machine
disturb less than the clock. Crystals are a jittered simple cubic lattice with
the density of AgI (0.0305 atoms/Angstrom^3: 17 neighbours within 5 Angstrom, 27 within 6), species at random.

Usage: OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 python tests/benchmarks/prediction.py [--quick] [--sizes 9,128]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mlraman_hpc.storage import provenance

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", RAYON_NUM_THREADS="1", MLRAMAN_THREADS="1")

import ase.io
import featomic
import numpy as np
from featomic.clebsch_gordan import EquivariantPowerSpectrum
from metatensor import Labels

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.commands import predict
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.model import featomic_reference
from mlraman_hpc.model.descriptors import feature_layout, features, unpack_block
from mlraman_hpc.model.kernels.inputs import species_index
from mlraman_hpc.numerics.tensors import from_spherical
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.runtime.console import QUIET, Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

DENSITY = 0.0305
GRIDS = {9: (3, 3, 1), 128: (8, 4, 4), 1024: (16, 8, 8), 10000: (25, 20, 20), 100000: (50, 50, 40)}
SPECIES = {2: (47, 53), 4: (3, 15, 16, 17)}
DESCRIPTORS = {
    (5, 4): Descriptor(5.0, 0.5, 0.5, 4, 5),
    (6, 4): Descriptor(6.0, 0.5, 0.5, 4, 5),
    (5, 6): Descriptor(5.0, 0.5, 0.5, 6, 7),
    (6, 6): Descriptor(6.0, 0.5, 0.5, 6, 7),
}
BATCHES = (1, 4, 16, 64)
RUN = 100_000  # frames of the run for which a frame's price is given
MOST_ROWS = 3_000_000_000  # bytes that this script lets featomic's result take


def crystal(atoms: int, kinds: int, frames: int, seed: int = 0) -> Frames:
    rng, spacing = np.random.default_rng(seed), DENSITY ** (-1 / 3)
    grid = np.stack(np.meshgrid(*map(np.arange, GRIDS[atoms]), indexing="ij"), -1).reshape(-1, 3) * spacing
    numbers = np.sort(np.resize(SPECIES[kinds], atoms))
    positions = rng.permutation(grid) + rng.normal(scale=0.3, size=(frames, atoms, 3))
    cell = np.diag(np.array(GRIDS[atoms]) * spacing)
    return Frames(
        positions.reshape(-1, 3),
        np.tile(numbers, frames),
        np.arange(frames + 1) * atoms,
        np.repeat(cell[None], frames, axis=0),
        np.ones((frames, 3), bool),
        np.arange(frames),
    )


def random_model(frames: Frames, descriptor: Descriptor, members: int = 0) -> Model:
    rng, species = np.random.default_rng(1), np.unique(frames.numbers)
    known = features(frames.take(slice(0, 2)), descriptor, species)
    sizes = [len(species), known.X0.shape[1], known.X2.shape[2]]
    single, many = [rng.normal(size=size) for size in sizes], [rng.normal(size=(members, size)) for size in sizes]
    symbols = tuple(ELEMENTS[z] for z in species)
    return Model(
        descriptor,
        symbols,
        *single,
        *many,
        {},
        {},
        np.arange(2),
        np.arange(0),
        {},
        known.lowest.min(axis=0),
        known.highest.max(axis=0),
        np.array([DENSITY, DENSITY]),
    )


def write_xdatcar(path: Path, frames: Frames, count: int) -> None:
    """`count` frames, these over and over."""
    atoms = int(frames.first_atom[1])
    kinds, counts = np.unique(frames.numbers[:atoms], return_counts=True)
    fractional = frames.positions.reshape(-1, atoms, 3) @ np.linalg.inv(frames.cells[0])
    blocks = ["".join(f"{x:12.8f}{y:12.8f}{z:12.8f}\n" for x, y, z in frame) for frame in fractional % 1.0]
    with open(path, "w") as file:
        file.write("crystal\n1.0\n" + "".join(f"{x:16.10f}{y:16.10f}{z:16.10f}\n" for x, y, z in frames.cells[0]))
        file.write(" ".join(ELEMENTS[z] for z in kinds) + "\n" + " ".join(map(str, counts)) + "\n")
        for k in range(count):
            file.write(f"Direct configuration={k + 1:6d}\n{blocks[k % len(blocks)]}")


def prepare(folder: Path, frames: Frames, model: Model, count: int) -> Path:
    """XDATCAR, model.h5 and deck.yaml; the deck's path."""
    write_xdatcar(folder / "XDATCAR", frames, count)
    hdf5.save(model, folder / "model.h5", provenance.Origin("train", "{}", "benchmark", {}))
    (folder / "deck.yaml").write_text(
        f"output: {folder}/out\nmodel: {{file: {folder}/model.h5}}\n"
        f"trajectory: {{files: {folder}/XDATCAR, frame_interval: 10}}\n"
    )
    return folder / "deck.yaml"


def clocks() -> np.ndarray:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([used.ru_utime + used.ru_stime, time.perf_counter()])


def ours(deck: Path) -> np.ndarray:
    """Seconds of `mlraman predict`: (CPU, clock)."""
    session = Session()
    job = Job(read_deck(deck), session, Console(session, QUIET), force=True)
    before = clocks()
    with job.folder():
        predict.predict(job)
    return clocks() - before


class Recipe:
    """featomic's path; the weights are those of the model, in the order of featomic's properties."""

    def __init__(self, model: Model):
        descriptor = model.descriptor
        self.model, self.channels = model, len(model.species) * (descriptor.max_radial + 1)
        self.calculator = EquivariantPowerSpectrum(
            featomic.SphericalExpansion(
                cutoff={
                    "radius": descriptor.cutoff,
                    "smoothing": {"type": "ShiftedCosine", "width": descriptor.cutoff_width},
                },
                density={"type": "Gaussian", "width": descriptor.density_width},
                basis={
                    "type": "TensorProduct",
                    "max_angular": descriptor.max_angular,
                    "radial": {"type": "Gto", "max_radial": descriptor.max_radial},
                    "spline_accuracy": 1e-10,
                },
            ),
            neighbor_types=model.numbers.tolist(),
        )
        self.keys = Labels(["o3_lambda", "o3_sigma"], np.array([[0, 1], [2, 1]]))
        self.weights: dict = {}

    def __call__(self, path: Path, batch: int, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Tensors of the frames in the file, and (CPU, clock) seconds.

        Where the result of one frame does not fit into memory, its atoms are taken in so many parts.
        """
        before = clocks()
        atoms = ase.io.read(path, index=":", format="vasp-xdatcar")
        tensors = np.concatenate([self.tensors(atoms[k : k + batch], parts) for k in range(0, len(atoms), batch)])
        with tempfile.NamedTemporaryFile() as file:
            np.save(file, tensors)
        return tensors, clocks() - before

    def tensors(self, atoms: list, parts: int) -> np.ndarray:
        numbers = np.array([a.numbers for a in atoms])
        counts = np.stack([(numbers == z).sum(axis=1) for z in self.model.numbers], axis=1)
        spherical = sum(self.spherical(atoms, range(part, len(atoms[0]), parts)) for part in range(parts))
        return from_spherical(spherical[:, 0] + np.sqrt(3) * counts @ self.model.baseline, spherical[:, 1:])

    def spherical(self, atoms: list, chosen: range) -> np.ndarray:
        """Of the chosen atoms in each frame, without the baseline."""
        samples = None if len(chosen) == len(atoms[0]) else Labels(["atom"], np.array(chosen)[:, None])
        spectrum = self.calculator.compute(
            atoms, selected_keys=self.keys, selected_samples=samples, neighbors_to_properties=True
        )
        spherical = np.zeros((len(atoms), 6))
        for key, block in spectrum.items():
            order = int(key["o3_lambda"])
            starts = np.flatnonzero(np.diff(block.samples.values[:, 0], prepend=-1))
            summed = np.add.reduceat(block.values, starts, axis=0)
            frames = block.samples.values[starts, 0]
            first = 0 if order == 0 else 1
            spherical[frames, first : first + 2 * order + 1] += summed @ self.weight(key, block)
        return spherical

    def weight(self, key, block) -> np.ndarray:
        """Weights of one centre species and lambda for featomic's properties; made once."""
        order, species = int(key["o3_lambda"]), int(key["center_type"])
        if (order, species) not in self.weights:
            layout = feature_layout(featomic_reference.clebsch_gordan(self.model.descriptor.max_angular), self.channels)
            packed = self.model.isotropic if order == 0 else self.model.anisotropic
            packed = packed.reshape(len(self.model.species), -1)
            packed = packed[species_index(np.array(species), self.model.numbers)]
            l_of, weights = block.properties.values[:, :2], np.zeros(len(block.properties))
            for _, l1, l2, start, stop in layout.columns[order]:
                square = unpack_block(packed[start:stop], self.channels, l1 == l2)
                weights[(l_of[:, 0] == l1) & (l_of[:, 1] == l2)] = square.ravel()
            self.weights[order, species] = weights
        return self.weights[order, species]


def row_bytes(model: Model, atoms: int) -> float:
    """Bytes of featomic's result for one frame, and twice as many while it is put together."""
    channels, angulars = len(model.species) * (model.descriptor.max_radial + 1), model.descriptor.max_angular + 1
    return 3 * 8 * 6 * 2.6 * angulars * channels**2 * atoms


def compare(atoms: int, kinds: int, which: tuple[int, int], seconds: float, committee: int) -> None:
    frames = crystal(atoms, kinds, 16 if atoms < 5000 else 2)
    model = random_model(frames, DESCRIPTORS[which], committee)
    recipe = Recipe(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guess = 2.5e-6 * atoms * (kinds / 2) * (2 if which[1] > 4 else 1)
        count = int(np.clip(seconds / guess, 8, 200_000))
        short, long = (
            min((ours(prepare(folder, frames, model, number)) for _ in range(2)), key=lambda spent: spent[0])
            for number in (count // 4, count)
        )
        mine = (long - short) / (count - count // 4)
        fixed = max(0.0, (long - count * mine)[0])
        mine[0] += fixed / RUN
        rows, tensors = {}, None
        for batch in BATCHES:
            parts = -(-batch * row_bytes(model, atoms) // MOST_ROWS)
            if batch > count or min(batch, parts) > 1:
                continue
            few = min(count, max(batch, 64 * 9 // atoms))
            write_xdatcar(folder / "XDATCAR.few", frames, few)
            result, spent = recipe(folder / "XDATCAR.few", batch, int(parts))
            tensors = result if tensors is None or len(result) > len(tensors) else tensors
            rows[batch] = spent / few
        where = f"{atoms:6d} {which[0]} {which[1]} {kinds}"
        alpha = hdf5.load(PolarizabilitySeries, folder / "out" / "alpha.h5").value
        deviation = np.abs(alpha[: len(tensors)] - tensors).max() / np.abs(tensors).max()
        single, best = rows[1], min(rows, key=lambda batch: rows[batch][0])
        print(
            f"{where} | {1e3 * single[0]:9.2f} {1e3 * rows[best][0]:9.2f} ({best:2d}) {1e3 * mine[0]:9.4f} "
            f"{atoms / mine[0]:9.0f} | {single[0] / mine[0]:6.0f} {rows[best][0] / mine[0]:6.0f} | "
            f"{single[1] / mine[1]:6.0f} {rows[best][1] / mine[1]:6.0f} | {deviation:.0e} {fixed:6.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only cutoff 5, l <= 4, two species")
    parser.add_argument("--sizes", default="9,128,1024,10000")
    parser.add_argument("--seconds", type=float, default=4.0, help="of this program's share of each line")
    parser.add_argument("--committee", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
    print(
        " atoms rc l S | ms a frame: featomic, best (at a time), this; atom-frames/s | CPU ratio | clock | "
        "deviation, s once"
    )
    for atoms in map(int, options.sizes.split(",")):
        for which in DESCRIPTORS if not options.quick else [(5, 4)]:
            for kinds in (2, 4) if not options.quick else (2,):
                compare(atoms, kinds, which, options.seconds, options.committee)


if __name__ == "__main__":
    main()
