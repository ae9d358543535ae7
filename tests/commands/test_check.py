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
