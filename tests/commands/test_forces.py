"""`mlraman forces`: errors with known answers, the same file on any number of ranks, one message for each mistake."""

import re

import numpy as np
import pytest

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.commands.forces import forces
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.numerics.regression.force_errors import SQUARES, density
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

DECK = "output: out\nforces: {files: f.extxyz, reference: dft, predicted: ML_forces}\n"
NOISE = {"Ag": 0.05, "I": 0.2}


def structures(count=60, seed=0, slope=1.0):
    """(species, positions, reference, predicted) of frames with different numbers of atoms."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        species = ["Ag"] * (30 + k % 5) + ["I"] * 40
        reference = rng.normal(0, 1.5, (len(species), 3))
        noise = np.array([NOISE[name] for name in species])[:, None] * rng.normal(size=reference.shape)
        found.append((species, rng.uniform(0, 10, reference.shape), reference, slope * reference + noise))
    return found


def text(frames, names=("dft", "ML_forces")) -> str:
    columns = "".join(f":{name}:R:3" for name in names)
    lines = []
    for species, *arrays in frames:
        lines += [str(len(species)), f'Lattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:pos:R:3{columns}']
        lines += [
            f"{name} " + " ".join(f"{x:.9f}" for array in arrays for x in array[k]) for k, name in enumerate(species)
        ]
    return "\n".join(lines) + "\n"


def run(folder, changes=()) -> tuple[Forces, list[str]]:
    deck = read_deck(folder / "deck.yaml", [f"output={folder / 'out'}", "figures=false", *changes])
    session = Session()
    console = Console(session, level=-1)
    job = Job(deck, session, console, force=True)
    with job.folder():
        forces(job)
    return hdf5.load(Forces, folder / "out" / "forces.h5"), list(console.warnings)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "f.extxyz").write_text(text(structures()))
    (tmp_path / "deck.yaml").write_text(DECK)
    return tmp_path


def test_errors_are_those_of_the_arrays(folder):
    found, warnings = run(folder)
    for name, symbols in (("Ag", ["Ag"]), ("I", ["I"]), ("total", ["Ag", "I"])):
        pairs = [
            (known[np.isin(species, symbols)], made[np.isin(species, symbols)])
            for species, _, known, made in structures()
        ]
        known, made = (np.concatenate(part) for part in zip(*pairs))
        error = made - known
        assert found.atoms[name] == len(known)
        assert found.rmse[name] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
        assert found.mae[name] == pytest.approx(np.mean(np.abs(error)), rel=1e-6)
        assert found.rms_reference[name] == pytest.approx(np.sqrt(np.mean(known**2)), rel=1e-6)
        assert found.relative_rmse[name] == pytest.approx(found.rmse[name] / found.rms_reference[name])
        assert found.r2[name] == pytest.approx(1 - np.sum(error**2) / np.sum((known - known.mean()) ** 2), rel=1e-6)
        assert found.largest_error[name] == pytest.approx(np.linalg.norm(error, axis=1).max(), rel=1e-6)
    for name, noise in NOISE.items():
        assert found.rmse[name] == pytest.approx(noise, rel=4 / np.sqrt(2 * 3 * found.atoms[name]))
        assert found.mae[name] == pytest.approx(noise * np.sqrt(2 / np.pi), rel=0.03)
        assert found.slope[name] == pytest.approx(1, abs=0.005)
        assert found.density[name].sum() == 3 * found.atoms[name]
    worst = [np.linalg.norm(made - known, axis=1).max() for *_, known, made in structures()]
    assert found.largest_at["total"].endswith(f"f.extxyz, frame {int(np.argmax(worst))}")
    assert warnings == []


def test_a_second_file_gives_the_same(folder):
    """The other file may have the atoms wrapped into the cell."""
    frames = structures()
    one, _ = run(folder)
    (folder / "f.extxyz").write_text(text([(s, x, f) for s, x, f, _ in frames], ("forces",)))
    (folder / "p.extxyz").write_text(text([(s, x - 10, f) for s, x, _, f in frames], ("forces",)))
    (folder / "deck.yaml").write_text("output: out\nforces: {files: f.extxyz, predicted_files: p.extxyz}\n")
    two, _ = run(folder)
    assert one.rmse == two.rmse and one.r2 == two.r2


@pytest.mark.mpi
def test_any_number_of_ranks_gives_the_same_file(folder, mlraman):
    contents = set()
    for ranks in (0, 2, 5):
        mlraman(ranks, "forces", "deck.yaml", "--force")
        contents.add(hdf5.content_of(folder / "out" / "forces.h5"))
    assert len(contents) == 1
    assert all((folder / "out" / name).stat().st_size > 5000 for name in ("forces.png", "forces.pdf"))


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (0.79, "21 % weaker than the reference: vibrations of such a force field lie about 11 % too low"),
        (1.21, "21 % stronger than the reference: vibrations of such a force field lie about 10 % too high"),
        (1 / 51.42, "as if the predicted ones were in Hartree/bohr"),
        (51.42, "reference ones were in Hartree/bohr"),
    ],
)
def test_soft_force_fields_and_foreign_units_are_told(folder, slope, words):
    frames = [(species, x, known, slope * known) for species, x, known, _ in structures(5)]
    (folder / "f.extxyz").write_text(text(frames))
    assert any(words in warning for warning in run(folder)[1])


def test_the_same_array_twice_is_told(folder):
    (folder / "f.extxyz").write_text(text([(s, x, f, f) for s, x, f, _ in structures(3)]))
    assert "are they the same array?" in run(folder)[1][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("forces.predicted=mace", r"f.extxyz, line 2 \(frame 0\): no array 'mace' of three columns.*dft, ML_forces"),
        ("forces.predicted=null", "must be given.*dft, ML_forces"),
        ("forces.predicted=dft", "names the array of reference forces itself"),
        ("forces.files=[none.extxyz]", "none.extxyz: no such file"),
        ("forces.predicted_files=short.extxyz", "3 frames, but 60"),
    ],
)
def test_mistakes_in_the_deck(folder, change, words):
    (folder / "short.extxyz").write_text(text(structures(3)))
    with pytest.raises(UserError, match=words):
        run(folder, [change])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("nan", r"f.extxyz, line \d+ \(frame 7\): expected a number in column 8, found 'nan'"),
        ("missing", r"f.extxyz, line \d+ \(frame 7\): no array 'ML_forces'"),
        ("atoms", r"p.extxyz, line \d+ \(frame 7\): 33 Ag, 39 I, but .*f.extxyz \(frame 7\) has 32 Ag, 40 I"),
        ("places", r"p.extxyz, line \d+ \(frame 7\): atom 4 lies 1 Angstrom from where"),
    ],
)
def test_damaged_frames_are_named(folder, damage, words):
    frames = [list(frame) for frame in structures()]
    other = [list(frame) for frame in structures()]
    changes = []
    if damage == "nan":
        frames[7][3][1, 0] = np.nan
    if damage == "atoms":
        other[7][0][32] = "Ag"
    if damage == "places":
        other[7][1][3, 2] += 1
    if damage in ("atoms", "places"):
        (folder / "p.extxyz").write_text(text(other))
        changes = [f"forces.predicted_files={folder / 'p.extxyz'}"]
    (folder / "f.extxyz").write_text(text(frames))
    if damage == "missing":
        pieces = (text(frames[:7]), text([frames[7]], ("dft", "other")), text(frames[8:]))
        (folder / "f.extxyz").write_text("".join(pieces))
    with pytest.raises(UserError) as caught:
        run(folder, changes)
    assert re.search(words, str(caught.value)) and len(str(caught.value).splitlines()) == 1


def test_counts_do_not_depend_on_the_order_of_adding():
    rng = np.random.default_rng(3)
    parts = [(scale * rng.normal(size=500), scale * rng.normal(size=500) + 0.3) for scale in (0.01, 5, 0.7, 0.2)]
    whole = density(*(np.concatenate(values) for values in zip(*parts)))
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        found = density(*parts[order[0]])
        for k in order[1:]:
            found = found + density(*parts[k])
        assert found.power == whole.power and np.array_equal(found.first, whole.first)
        assert np.array_equal(found.counts, whole.counts)
    assert SQUARES / 2 - 1 <= max(whole.counts.shape) <= SQUARES and whole.counts.sum() == 2000
    x, _ = whole.edges()
    assert x[0] <= min(part[0].min() for part in parts) < x[1]


def test_equal_forces_have_a_density():
    assert density(np.zeros(4), np.zeros(4)).counts.tolist() == [[4]]
