"""Damaged files of every format: a DataError or the right numbers, never a traceback, a hang or a wrong tensor.

`python tests/readers/fuzz.py [CASES] [FIRST_SEED]`, 2,000 cases by default; pytest runs a few of them. Right numbers: a
frame (or label) that is not one of the undamaged file's must be one that the damage touched, so there are at most two,
and none after a truncation. A single label must be the undamaged one wherever the damage touches no bytes that say it.
What cannot be seen: another digit in a number, lines of the tensor in another order, and damage inside HDF5 files of
others, which carry no check sums; there only tracebacks and hangs count.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DeckError, UserError
from mlraman_hpc.readers.series.formats import read_series
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from tests.readers.tensors import test_formats as labels_made
from tests.readers.tensors import test_outcar
from tests.readers.trajectory import test_formats as formats_made
from tests.readers.trajectory import test_index as trajectories_made

DATA = labels_made.DATA
SECONDS = 20
TOKENS = [
    b"nan",
    b"****",
    b"1_0",
    b"1e999",
    b"-",
    b"\n",
    b"\r\n",
    b"\x00\x00",
    b" 7 ",
    b"e5",
    b"inf",
    b"<",
    b"\xff",
    b'"',
]


@dataclass(frozen=True)
class Sample:
    """name decides the format; kind: trajectory, label, or series. said: what of a single label's file says it."""

    name: str
    content: bytes
    kind: str = "trajectory"
    unit: str | None = None
    species: tuple[str, ...] | None = None
    said: tuple[bytes, ...] = ()
    blind: bool = False  # damage inside cannot be seen


# samples


def _xyz(frames: int, key: str = "") -> bytes:
    rng = np.random.default_rng(7)
    text = ""
    for k in range(frames):
        rows = "".join(f"{name} {' '.join(f'{x:.6f}' for x in rng.random(3) * 4)}\n" for name in ("Na", "Cl", "Cl"))
        tensor = f' {key}="{" ".join(f"{x:.5f}" for x in (10 * np.eye(3) + k).ravel())}"' if key else ""
        text += f'3\nLattice="4.{k} 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3 pbc="T T T"{tensor}'
        text += f" time_fs={2.5 * k}\n{rows}"
    return text.encode()


def _made(folder: Path, write, name: str, **options) -> bytes:
    write(folder / name, **options)
    return (folder / name).read_bytes()


def samples() -> list[Sample]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [*_trajectories(folder), *_labels(folder)]
    return [sample for sample in found if sample is not None]


def _trajectories(folder: Path) -> list[Sample]:
    header = trajectories_made.HEADER
    changing = "".join(trajectories_made.xdatcar(1, header.replace("4.0", f"4.{k}"), k) for k in range(8))
    cp2k = (labels_made.FILES / "cp2k_lif-pos-1.xyz").read_bytes()
    ipi = "".join(
        f"2\n# CELL(abcABC): 4 5 6 90 80 90 Traj: positions{{angstrom}} Step: {k} Bead: 0\n"
        f"Na 0.{k} 0.2 0.3\nCl 1.0 1.5 -{k}.25\n"
        for k in range(6)
    ).encode()
    dump = trajectories_made.dump(steps=range(0, 80, 10)).encode()
    tilted = trajectories_made.dump(
        "id element xs ys zs ix iy iz",
        "2 Cl 0.1 0.2 0.3 1 -1 2\n1 Na 0.5 0.5 0.5 0 0 0\n",
        trajectories_made.TILTED,
        range(0, 60, 10),
    ).encode()
    return [
        Sample("XDATCAR", trajectories_made.xdatcar(12).encode()),
        Sample("b.XDATCAR", changing.encode()),
        Sample("a.extxyz", _xyz(8)),
        Sample("cp2k.xyz", cp2k),
        Sample("ipi.xyz", ipi),
        Sample("a.dump", dump),
        Sample("b.dump", tilted),
        Sample("vasprun.xml", formats_made.vasprun(6).encode()),
        Sample("md.traj", _made(folder, formats_made.traj, "md.traj"), blind=True),
        Sample("a.h5", _made(folder, formats_made.h5md, "a.h5"), blind=True),
        Sample("vaspout.h5", _made(folder, formats_made.vaspout, "vaspout.h5"), blind=True),
    ]


def _real(name: str, kind: str = "label", **options) -> Sample | None:
    path = DATA / name
    if not path.exists():
        return None
    content = labels_made.gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return Sample(path.name.removesuffix(".gz"), content, kind, **options)


def _labels(folder: Path) -> list[Sample | None]:
    aims = labels_made.AIMS.replace("DIELECTRIC", labels_made.DIELECTRIC).encode()
    geometry, tensor = rb"Input geometry:.*?Finished", rb"DFPT for dielectric.*?\n\n"
    table = "".join(f"{k} 3.{k} 3.5 3.6 0.01 0.02 0.03\n" for k in range(9)).encode()
    water = labels_made.gzip.decompress((labels_made.FILES / "cp2k_water.out.gz").read_bytes())
    head = (
        rb"GLOBAL\| Run type[^\n]*",
        rb"(?s)\n CELL\|.*?Periodicity[^\n]*",
        rb"(?s)ATOMIC COORD.*?\n\n\n",
        rb"- Atoms:[^\n]*",
    )
    marks = (
        rb"NELM[^\n]*",
        rb"TITEL[^\n]*",
        rb"ions per type[^\n]*",
        rb"NIONS[^\n]*",
        rb"TOTAL-FORCE[^\n]*",
        rb"General timing",
        rb"ITERATION|Iteration[^\n]*",
        rb"vasp\.",
        rb"aborting loop[^\n]*",
    )
    return [
        Sample("l.extxyz", _xyz(8, "polarizability"), "label", "bohr^3"),
        Sample("e.extxyz", _xyz(8, "epsilon"), "label"),
        Sample("OUTCAR", test_outcar.text_of(), "label", said=(rb"(?s).*",)),
        _real(
            "sio2/outcar/000010.OUTCAR.gz",
            said=(
                *marks,
                rb"(?s)direct lattice vectors.{400}",
                rb"(?s)position of ions in fractional.{600}",
                rb"(?s)MACROSCOPIC STATIC DIELECTRIC TENSOR \(including.{400}",
            ),
        ),
        _real(
            "samples/qe_si_distorted_ph.out", said=(rb"(?s)^.*number of k points", rb"(?s)Dielectric constant in.{250}")
        ),
        _real("samples/cp2k_h2o_polar.out", said=(*head, rb"(?s)POLAR\| Polariz.*?ENDED")),
        Sample("cp2k.out", water, "label", said=(*head, rb"(?s)POLAR\| Polariz.*?ENDED")),
        Sample("aims.out", aims, "label", said=(b"(?s)" + geometry, b"(?s)" + tensor, rb"Number of atoms[^\n]*")),
        _real(
            "samples/tio2_eps.vasprun.xml.gz",
            said=(
                rb"(?s)<structure>.*?</structure>",
                rb"(?s)<atominfo>.*?</atominfo>",
                rb'(?s)<varray name="epsilon.{300}',
            ),
        ),
        _real("codes/alas_anaddb.nc", blind=True),
        Sample("vaspout.h5", _made(folder, labels_made.vaspout, "l.vaspout.h5"), "label", blind=True),
        Sample("alpha.dat", table, "series"),
    ]


# damage


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, list[tuple[int, int]], str]:
    """Damaged bytes, the ranges of the original that were touched, and what was done."""
    size = len(content)
    at = int(rng.integers(size))
    kind = str(rng.choice(["cut", "flip", "delete", "repeat", "token", "zero", "lines"]))
    end = min(size, at + int(rng.integers(1, 200)))
    if kind == "cut":
        return content[:at], [(at, size)], kind
    if kind == "flip":
        places = sorted(int(place) for place in rng.integers(size, size=int(rng.integers(1, 4))))
        text = bytearray(content)
        for place in places:
            text[place] ^= 1 << int(rng.integers(8))
        return bytes(text), [(place, place + 1) for place in places], kind
    if kind == "delete":
        return content[:at] + content[end:], [(at, end)], kind
    if kind == "repeat":
        return content[:end] + content[at:end] + content[end:], [(at, end)], kind
    if kind == "token":
        token = TOKENS[int(rng.integers(len(TOKENS)))]
        return content[:at] + token + content[at + len(token) :], [(at, min(size, at + len(token)))], kind
    if kind == "zero":
        return content[:at] + bytes(end - at) + content[end:], [(at, end)], kind
    return _swapped(content, rng)


def _swapped(content: bytes, rng: np.random.Generator) -> tuple[bytes, list[tuple[int, int]], str]:
    lines = content.split(b"\n")
    a, b = (int(k) for k in np.sort(rng.integers(len(lines), size=2)))
    starts = np.concatenate([[0], np.cumsum([len(line) + 1 for line in lines])])
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines), [(int(starts[k]), int(starts[k + 1])) for k in (a, b)], "lines"


# reading and judging


def read(sample: Sample, content: bytes, folder: Path) -> list[bytes]:
    """What the file says: one string of bytes for every frame, label or row."""
    path = folder / sample.name
    path.write_bytes(content)
    if sample.kind == "series":
        return [
            row.tobytes()
            for row in read_series(
                path, "table", ["step", "xx", "yy", "zz", "xy", "yz", "zx"], "dielectric", None, 1.0
            )[0]
        ]
    if sample.kind == "trajectory":
        index = build_index([path], "auto", folder / "scratch", sample.species, lambda text: None)
        frames, tensors = read_frames(index, np.arange(len(index))), None
    else:
        labels = read_labels([path], "auto", None, sample.unit, lambda text: None)
        frames, tensors = labels.frames, labels.polarizability
    return [_said(frames.take([k]), None if tensors is None else tensors[k]) for k in range(len(frames))]


def _said(frame, tensor) -> bytes:
    values = [frame.positions, frame.cells, frame.numbers.astype(float), frame.periodic.astype(float)]
    values += [] if tensor is None else [tensor]
    if not all(np.isfinite(value).all() for value in values):
        raise AssertionError("a number that is not finite")
    return b"".join(np.round(value, 9).tobytes() for value in values)


def verdict(sample: Sample, right: list[bytes], content: bytes, touched, kind: str, folder: Path) -> str:
    """'refused', 'right', 'touched', or what is wrong."""
    try:
        found = read(sample, content, folder)
    except DeckError as error:
        return f"wrong: DeckError {error}" if sample.kind == "label" and "unit" in str(error) else "refused"
    except UserError as error:
        return "refused" if str(error) else "wrong: an error without message"
    known = set(right)
    strange = [one for one in found if one not in known]
    if not strange:
        return "right"
    if sample.blind and kind != "cut":
        return "touched"
    if kind == "cut":
        return "wrong: a truncation gave numbers that were not there"
    if len(right) == 1:
        return "touched" if _touches(sample, touched) else "wrong: another label, although nothing touched says it"
    few = len(strange) <= max(2, len(touched))
    return "touched" if few or _in_header(sample, touched) else f"wrong: {len(strange)} strange frames"


def _touches(sample: Sample, touched) -> bool:
    for pattern in sample.said:
        for found in re.finditer(pattern, sample.content):
            if any(begin < found.end() + 2 and end > found.start() - 2 for begin, end in touched):
                return True
    return False


def _in_header(sample: Sample, touched) -> bool:
    """Bytes before the first frame's coordinates, where formats keep what holds for all frames."""
    marks = {"XDATCAR": b"Direct", "b.XDATCAR": b"Direct", "vasprun.xml": b"<structure>"}
    limit = sample.content.find(marks[sample.name]) if sample.name in marks else 0
    return any(begin <= limit for begin, _ in touched)


def run(cases: int, first: int = 0) -> tuple[dict[str, int], list[str]]:
    """Counts of verdicts, and a line for each wrong one."""
    everything, counts, faults = samples(), {"refused": 0, "right": 0, "touched": 0}, []
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = [read(sample, sample.content, folder) for sample in everything]
        for seed in range(first, first + cases):
            rng = np.random.default_rng(seed)
            which = seed % len(everything)
            content, touched, kind = damaged(everything[which].content, rng)
            signal.alarm(SECONDS)
            try:
                found = verdict(everything[which], right[which], content, touched, kind, folder)
            except Exception as error:
                found = f"wrong: {type(error).__name__}: {error}"
            signal.alarm(0)
            if found in counts:
                counts[found] += 1
            else:
                faults.append(f"seed {seed}, {everything[which].name}, {kind} at {touched}: {found}")
    return counts, faults


def _too_long(number, frame):
    raise TimeoutError(f"longer than {SECONDS} s")


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    found, wrong = run(*(arguments or [2000]))
    print(*wrong, sep="\n")
    print(found, f"{len(wrong)} wrong")
    sys.exit(bool(wrong))
