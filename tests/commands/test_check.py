"""`mlraman check`: what it tells of times, cells and labels before anything is computed."""

import numpy as np
import pytest
import yaml

from tests import small_system as small


def deck(folder, **changes) -> None:
    """The deck of the small system with these keys ('section.key') changed; None takes a section out."""
    values = yaml.safe_load(small.DECK)
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        if key:
            values.setdefault(section, {})[key] = value
        elif value is None:
            values.pop(section, None)
        else:
            values[section] = value
    (folder / "deck.yaml").write_text(yaml.safe_dump(values))


def numbered(text: str, stride: int) -> str:
    """Frame k of an XDATCAR gets the number stride x k."""
    head, *frames = text.split("Direct configuration=")
    bodies = [frame.partition("\n")[2] for frame in frames]
    return head + "".join(f"Direct configuration={stride * (k + 1):6d}\n{body}" for k, body in enumerate(bodies))


@pytest.fixture
def xdatcar(tmp_path):
    small.write(tmp_path)
    (tmp_path / "XDATCAR").write_text(numbered((tmp_path / "XDATCAR").read_text(), 10))
    return tmp_path


def test_numbers_of_frames_that_contradict_the_interval(xdatcar, mlraman):
    deck(xdatcar, reference=None, learning_curve=None, dynamics={}, trajectory__frame_interval=1.0)
    said = mlraman(0, "check", "deck.yaml").stderr
    assert "XDATCAR numbers its frames 10 time steps apart: a time step would be 0.1 fs" in said
    (xdatcar / "INCAR").write_text("IBRION = 0\nPOTIM = 0.5\n")
    assert (
        "says 0.5 fs for a step, which makes 5 fs; the deck's value is used" in mlraman(0, "check", "deck.yaml").stderr
    )
    deck(xdatcar, reference=None, learning_curve=None, dynamics={}, trajectory__frame_interval=5.0)
    assert "warning" not in mlraman(0, "check", "deck.yaml").stderr
    deck(xdatcar, reference=None, learning_curve=None, dynamics={}, trajectory__frame_interval=None)
    assert "which" in (said := mlraman(0, "check", "deck.yaml", code=2).stderr) and "are of 0.5 fs: 5" in said


def test_gpumd_says_its_interval(tmp_path, mlraman):
    rows = [f"{8 * k} " + " ".join(f"{x:.6f}" for x in np.sin(k + np.arange(6)) + 10) for k in range(64)]
    head = ["# dump_polarizability 8", "# dt_output 8.0000000000e+00 fs", "# columns step xx yy zz xy yz zx"]
    (tmp_path / "polarizability.out").write_text("\n".join([*head, *rows]) + "\n")
    text = "output: out\nseries: {file: polarizability.out, unit: bohr^3}\n"
    (tmp_path / "deck.yaml").write_text(text)
    assert "64 tensors, 8 fs apart" in mlraman(0, "check", "deck.yaml").stdout
    (tmp_path / "deck.yaml").write_text(text.replace("}", ", frame_interval: 80}"))
    assert "80 fs, but" in (said := mlraman(0, "check", "deck.yaml").stderr) and "says 8 fs" in said
    (tmp_path / "polarizability.out").write_text("\n".join(rows) + "\n")
    (tmp_path / "deck.yaml").write_text(text)
    assert "'series.frame_interval': must be given" in mlraman(0, "check", "deck.yaml", code=2).stderr


def vibrating(interval: float, frames: int = 240, wavenumber: float = 420.0, speed: float = 1.0) -> np.ndarray:
    """(frames, 5, 3) the small system's sites with one wavenumber, all atoms at about 300 K; `interval` in fs."""
    mass = np.array([107.87, 107.87, 107.87, 126.90, 126.90])[None, :, None]
    omega = 2 * np.pi * 2.99792458e-5 * wavenumber
    amplitude = np.sqrt(2 * 300 * 8.314463e-7 / mass) / omega * speed
    phase = np.random.default_rng(3).uniform(0, 2 * np.pi, size=(1, 5, 3))
    return small.SITES @ small.CELL + amplitude * np.sin(omega * interval * np.arange(frames)[:, None, None] + phase)


@pytest.mark.parametrize(
    ("interval", "told", "every", "words"),
    [
        (10.0, 10.0, 1, ""),
        (10.0, 100.0, 1, "temperature of 3 K only"),
        (10.0, 20.0, 1, "the deck says 300 K"),
        (10.0, 10.0, 5, "are folded into the spectrum, from 4"),
    ],
)
def test_kinetic_temperature_and_folding(interval, told, every, words, tmp_path, mlraman):
    """An interval wrong by ten or two, and a band of 420 cm^-1 that frames 50 fs apart show near 248."""
    small.write(tmp_path)
    (tmp_path / "XDATCAR").write_text(small.xdatcar(vibrating(interval)))
    stated = {"temperature": 300.0} if "deck says" in words else {}
    deck(tmp_path, reference=None, dynamics=stated, trajectory__frame_interval=told, trajectory__every=every)
    done = mlraman(0, "check", "deck.yaml")
    assert words in done.stderr and ("warning" in done.stderr) == bool(words)
    assert "kinetic temperature:" in done.stdout and "--time=00:05:00" in done.stdout


def test_exchanged_elements_are_told(tmp_path, mlraman):
    """Types 1 and 2 the wrong way round: five atoms whose distances are those of the labels with Ag and I exchanged."""
    small.write(tmp_path)
    text = (tmp_path / "XDATCAR").read_text()
    (tmp_path / "XDATCAR").write_text(text.replace("Ag I\n3 2\n", "I Ag\n3 2\n", 1))
    assert "elements of the trajectory seem to be exchanged" in mlraman(0, "check", "deck.yaml").stderr
    (tmp_path / "XDATCAR").write_text(text)
    assert "exchanged" not in mlraman(0, "check", "deck.yaml").stderr


def test_a_trajectory_without_a_cell_is_refused_by_a_model_of_crystals(tmp_path, mlraman):
    small.write(tmp_path)
    rows = small.frames(60)
    lines = [
        f"5\n i = {k}, time = {10.0 * k:.3f}, E = -1.0\n"
        + "".join(f"{name} {x:.6f} {y:.6f} {z:.6f}\n" for name, (x, y, z) in zip(small.SPECIES, atoms))
        for k, atoms in enumerate(rows)
    ]
    (tmp_path / "run-pos-1.xyz").write_text("".join(lines))
    deck(tmp_path, trajectory__files="run-pos-1.xyz", trajectory__frame_interval=None)
    assert "trajectory.cell" in mlraman(0, "check", "deck.yaml", code=3).stderr
    deck(tmp_path, trajectory__files="run-pos-1.xyz", trajectory__frame_interval=None, trajectory__cell=[6.0, 6.2, 6.4])
    assert "predict" in mlraman(0, "check", "deck.yaml").stdout


def test_labels_without_a_test_are_told(tmp_path, mlraman):
    small.write(tmp_path)
    deck(tmp_path, reference__train=20, reference__test=0, learning_curve=None)
    assert "no labels are left for a test; the model's error is not known" in mlraman(0, "check", "deck.yaml").stderr
