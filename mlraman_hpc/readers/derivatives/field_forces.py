"""Forces of one structure in thirteen uniform fields, and the derivatives of the polarizability that they give.

F_i(E) = F_i(0) + Z_i E + 1/2 sum_ab E_a E_b d alpha_ab / d r_i + ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors import cp2k
from mlraman_hpc.readers.tensors.base import FileError
from mlraman_hpc.readers.text import FrameLocation, Warn, parse_numbers, quoted
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.unpacking import read_bytes

AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
PAIRS = ((0, 1), (1, 2), (2, 0))
DIRECTIONS = {
    "0": (0, 0, 0),
    "+x": (1, 0, 0),
    "+y": (0, 1, 0),
    "+z": (0, 0, 1),
    "+x+y": (1, 1, 0),
    "+y+z": (0, 1, 1),
    "+z+x": (1, 0, 1),
    "-x": (-1, 0, 0),
    "-y": (0, -1, 0),
    "-z": (0, 0, -1),
    "-x-y": (-1, -1, 0),
    "-y-z": (0, -1, -1),
    "-z-x": (-1, 0, -1),
}
SAME_POSITION = 1e-4  # Angstrom, of one structure in several files
SAME_FIELD = 1e-3  # of the field's strength
LARGEST_FORCE_SUM = 1.0  # of the mean size of a force
STRONG_DISAGREEMENT, WRONG = 0.1, 0.5  # of Born charges from single and from combined fields
EV_PER_ANGSTROM = 1 / 51.422067  # hartree/bohr
FORCE_UNITS = {"hartree/bohr": 1.0, "ev/angstrom": EV_PER_ANGSTROM}
FIELD_UNITS = {"hartree/(e*bohr)": 1.0, "au": 1.0, "v/angstrom": EV_PER_ANGSTROM}
FORCES = ("forces", "force")
_CP2K_FIELD = re.compile(
    rb"PERIODIC_EFIELD\| Polarisation vector: +x +(\S+)\s+"
    rb"PERIODIC_EFIELD\| +y +(\S+)\s+PERIODIC_EFIELD\| +z +(\S+)\s+"
    rb"PERIODIC_EFIELD\| Intensity \[a\.u\.\]: +(\S+)"
)
_CP2K_FORCES = re.compile(rb"ATOMIC FORCES in \[a\.u\.\]\s*\n+ *# Atom[^\n]*\n((?: +\d+ +\d+ [^\n]*\n)+)")


@dataclass(frozen=True)
class FieldRun:
    """One calculation: positions (atoms, 3) Angstrom, forces (atoms, 3) hartree/bohr, field (3,) hartree/(e bohr)."""

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    periodic: np.ndarray
    forces: np.ndarray
    field: np.ndarray
    source: str


@dataclass(frozen=True)
class FieldSet:
    """All runs of one structure."""

    runs: tuple[FieldRun, ...]

    @property
    def source(self) -> str:
        return f"the field set of {self.runs[0].source}"


@dataclass(frozen=True)
class Response:
    """What a set gives.

    derivatives   (atoms, 3, 3, 3) Angstrom^2, [i, c, a, b] = d alpha_ab / d r_ic
    born_charges  (atoms, 3, 3) e, [i, c, a] = d F_ic / d E_a
    warnings      what is doubtful
    """

    derivatives: np.ndarray
    born_charges: np.ndarray
    warnings: tuple[str, ...]


def field_sets(runs: list[FieldRun]) -> list[FieldSet]:
    """Runs of the same structure together, in the order in which structures first occur; files in any order."""
    sets: list[list[FieldRun]] = []
    for run in runs:
        own = next((members for members in sets if _same_structure(members[0], run)), None)
        if own is None:
            sets.append([run])
        else:
            own.append(run)
    return [FieldSet(tuple(members)) for members in sets]


def _same_structure(first: FieldRun, second: FieldRun) -> bool:
    return (
        np.array_equal(first.numbers, second.numbers)
        and np.abs(first.cell - second.cell).max() < SAME_POSITION
        and np.abs(first.positions - second.positions).max() < SAME_POSITION
    )


def response(item: FieldSet) -> Response:
    """d alpha_xx/dr = [F(+x) + F(-x) - 2 F(0)]/e^2 and, for two axes,

    d alpha_xy/dr = [F(+x+y) + F(-x-y) - F(+x) - F(-x) - F(+y) - F(-y) + 2 F(0)]/(2 e^2).

    Errors: FileError naming the runs that are missing, of forces that do not sum to zero, and of fields whose Born
    charges contradict one another, as those of a wrong sign do.
    """
    forces, strength = _by_direction(item)
    _check_sums(item, forces)
    even = {name: forces[f"+{name}"] + forces[f"-{name}"] for name in "xyz"}
    derivatives = np.empty((*forces["0"].shape, 3, 3))
    for a, name in enumerate("xyz"):
        derivatives[:, :, a, a] = (even[name] - 2 * forces["0"]) / strength**2
    for a, b in PAIRS:
        first, second = "xyz"[a], "xyz"[b]
        combined = forces[f"+{first}+{second}"] + forces[f"-{first}-{second}"]
        mixed = (combined - even[first] - even[second] + 2 * forces["0"]) / (2 * strength**2)
        derivatives[:, :, a, b] = derivatives[:, :, b, a] = mixed
    born, warnings = _born_charges(item, forces, strength)
    warnings += _net_charges(item, born) + _linearity(item, forces, strength)
    return Response(derivatives * ANGSTROM_PER_BOHR**2, born, warnings)


def _by_direction(item: FieldSet) -> tuple[dict[str, np.ndarray], float]:
    """Forces by direction, and the strength of the field along one axis. Errors: FileError naming missing runs."""
    sizes = np.array([np.abs(run.field).max() for run in item.runs])
    if not sizes.any():
        raise FileError(item.source, "no run in a field; thirteen runs are needed: " + ", ".join(DIRECTIONS) + ".")
    strength = float(sizes[sizes > 0].min())
    forces = {}
    for run in item.runs:
        for name, direction in DIRECTIONS.items():
            if np.abs(run.field - strength * np.array(direction)).max() < SAME_FIELD * strength:
                forces[name] = run.forces
    missing = [name for name in DIRECTIONS if name not in forces]
    if missing:
        raise FileError(
            item.source,
            f"{len(missing)} of 13 runs are missing: the fields {', '.join(missing)} of {strength:g} hartree/(e bohr); "
            f"found {len(item.runs)} runs. Compute what is missing, with the same strength along each axis.",
        )
    return forces, strength


def _check_sums(item: FieldSet, forces: dict[str, np.ndarray]) -> None:
    """Without net charge the forces of a frame sum to zero in every field."""
    for name, values in forces.items():
        size = np.sqrt(np.mean(values**2)) * np.sqrt(len(values))
        net = np.abs(values.sum(axis=0)).max()
        if net > LARGEST_FORCE_SUM * size:
            raise FileError(
                item.source,
                f"the forces in the field {name} sum to {net:.3g} hartree/bohr, more than noise of their own size "
                f"would ({size:.3g}): some atoms are missing, the cell is charged, or the grid is too coarse.",
            )


def _born_charges(item: FieldSet, forces: dict[str, np.ndarray], strength: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Z_a = [F(+a) - F(-a)]/(2 e), and warnings; those of x + y have to be Z_x + Z_y."""
    odd = {name: (forces[f"+{name}"] - forces[f"-{name}"]) / (2 * strength) for name in "xyz"}
    born = np.stack([odd[name] for name in "xyz"], axis=-1)
    scale = np.sqrt(np.mean(born**2))
    deviations = {}
    for a, b in PAIRS:
        first, second = "xyz"[a], "xyz"[b]
        combined = (forces[f"+{first}+{second}"] - forces[f"-{first}-{second}"]) / (2 * strength)
        deviations[first + second] = np.sqrt(np.mean((combined - odd[first] - odd[second]) ** 2)) / scale
    worst = max(deviations, key=lambda name: deviations[name])
    if deviations[worst] > WRONG:
        listed = ", ".join(f"{name} {value:.2g}" for name, value in deviations.items())
        raise FileError(
            item.source,
            "the forces are not odd and linear in the field: Born charges from combined fields differ from the sum of "
            f"those from single fields by (relative) {listed}. Probably a field has the wrong sign, or two runs are "
            "interchanged.",
        )
    if deviations[worst] > STRONG_DISAGREEMENT:
        return born, (
            f"{item.source}: Born charges from combined and from single fields differ by {deviations[worst]:.2g} of "
            "their size; the field is too strong, or the forces are not converged",
        )
    return born, ()


def _net_charges(item: FieldSet, born: np.ndarray) -> tuple[str, ...]:
    """Born charges of a cell without net charge sum to zero."""
    net = np.abs(born.sum(axis=0)).max() / (np.sqrt(np.mean(born**2)) * np.sqrt(len(born)))
    if net <= STRONG_DISAGREEMENT:
        return ()
    return (
        f"{item.source}: the Born charges sum to {np.abs(born.sum(axis=0)).max():.2g} e instead of zero, {net:.2f} of "
        "what independent atoms would give; the forces are not converged with grid or k points",
    )


def _linearity(item: FieldSet, forces: dict[str, np.ndarray], strength: float) -> tuple[str, ...]:
    """Second differences along the same directions in stronger fields, where there are any: they have to be the same.

    Fields that no other run belongs to are named.
    """
    zero, unused, deviations = forces["0"], [], []
    others = [run for run in item.runs if not _is_of_set(run, strength)]
    for run in others:
        size = np.abs(run.field).max()
        name = next(
            (n for n, d in DIRECTIONS.items() if np.allclose(run.field, size * np.array(d), atol=1e-3 * size)), ""
        )
        opposite = next((r for r in others if np.abs(r.field + run.field).max() < SAME_FIELD * size), None)
        if not name.startswith("+") or opposite is None:
            if opposite is None or not name:
                unused.append(f"({', '.join(f'{x:g}' for x in run.field)})")
            continue
        small = (forces[name] + forces[name.replace("+", "-")] - 2 * zero) / strength**2
        large = (run.forces + opposite.forces - 2 * zero) / size**2
        deviations.append(float(np.sqrt(np.mean((large - small) ** 2) / np.mean(small**2))))
    warnings = []
    if unused:
        warnings.append(
            f"{item.source}: runs in the fields {', '.join(unused)} hartree/(e bohr) fit to no set, not used"
        )
    if deviations and max(deviations) > STRONG_DISAGREEMENT:
        warnings.append(
            f"{item.source}: derivatives in the stronger field differ from those in the weaker, which are used, by "
            f"{max(deviations):.2g} of their size: the field is too strong, or the forces are not converged for the "
            "weaker one"
        )
    return tuple(warnings)


def _is_of_set(run: FieldRun, strength: float) -> bool:
    return any(
        np.abs(run.field - strength * np.array(direction)).max() < SAME_FIELD * strength
        for direction in DIRECTIONS.values()
    )


# extended XYZ with `field` on the comment line of each frame


def runs_of_extended_xyz(path: Path, warn: Warn) -> list[FieldRun]:
    """Errors: DataError for a frame without field, forces or units that are known."""
    content = read_bytes(path)
    bounds, comments = extxyz.frame_bounds(content, str(path), warn)
    if not len(bounds):
        raise FileError(path, "no complete frame; the last line must be complete, with its line end.")
    runs = []
    for k, (begin, end, line, _) in enumerate(bounds):
        location = FrameLocation(str(path), int(line), k)
        text = content[begin:end]
        forces = next((array for name in FORCES if (array := extxyz.vectors(text, location, name)) is not None), None)
        if forces is None:
            raise location.error("Properties has no 'forces:R:3'.", 1)
        forces = forces * _factor(comments[k], "unit_forces", FORCE_UNITS, location)
        field = _field(comments[k], location)
        runs.append(FieldRun(*extxyz.read(text, location, {}), forces, field, f"{path}, frame {k}"))
    return runs


def _field(comment: bytes, location: FrameLocation) -> np.ndarray:
    text = extxyz.value(comment, "field")
    values = None if text is None else parse_numbers(text, 3)
    if values is None:
        actual = "nothing" if text is None else quoted(text)
        raise location.error(f"'field' should be the three components of the field, found {actual}.", 1)
    return values * _factor(comment, "unit_field", FIELD_UNITS, location)


def _factor(comment: bytes, key: str, units: dict[str, float], location: FrameLocation) -> float:
    text = extxyz.value(comment, key)
    name = "" if text is None else text.decode("utf-8", "replace")
    if name.lower() not in units:
        raise location.error(f"'{key}' should be one of {', '.join(units)}, found {name or 'none'}.", 1)
    return units[name.lower()]


# outputs of CP2K


def runs_of_cp2k(path: Path) -> list[FieldRun]:
    """The run of one output with its forces, printed in it or in the file beside it that the input names.

    The field is that of PERIODIC_EFIELD; an output without this section is the run without a field.
    Errors: FileError for a run that did not end or converge, and for forces that are missing or incomplete.
    """
    text = read_bytes(path)
    cp2k.check_finished(text, str(path))
    if (fault := cp2k.not_converged(text, str(path))) is not None:
        raise fault
    cell, periodic = cp2k.cell_of(text, str(path))
    positions, numbers = cp2k.atoms_of(text, str(path))
    match = _CP2K_FIELD.search(text)
    field = np.zeros(3)
    if match is not None:
        values = parse_numbers(b" ".join(match.groups()), 4)
        if values is None or not values[:3].any():
            raise FileError(path, "the field of PERIODIC_EFIELD cannot be read.")
        field = values[3] * values[:3] / np.linalg.norm(values[:3])
    forces = _cp2k_forces(path, text, len(numbers))
    return [FieldRun(positions, numbers, cell * periodic[:, None], periodic, forces, field, str(path))]


def _cp2k_forces(path: Path, text: bytes, atoms: int) -> np.ndarray:
    tables = _CP2K_FORCES.findall(text)
    source = path
    if not tables:
        source = _forces_file(path, text)
        tables = _CP2K_FORCES.findall(b"\n" + read_bytes(source))
    if len(tables) != 1:
        raise FileError(source, f"needed: one table 'ATOMIC FORCES in [a.u.]' of &FORCES; found {len(tables)}.")
    rows = [parse_numbers(b" ".join(line.split()[3:6]), 3) for line in tables[0].splitlines()]
    if len(rows) != atoms:
        raise FileError(source, f"forces of {len(rows)} atoms, but the structure has {atoms}; all are needed.")
    if any(row is None for row in rows):
        raise FileError(source, "the table of forces is damaged: three numbers are expected for each atom.")
    return np.array(rows)


def _forces_file(path: Path, text: bytes) -> Path:
    """The file that &FORCES writes: FILENAME of the input beside the output, else the only file with such a table."""
    named = re.search(rb"CP2K\| Input file name +(\S+)", text)
    source = path.parent / named[1].decode("utf-8", "replace") if named else None
    if source is not None and source.is_file():
        section = re.search(rb"&FORCES\b(.*?)&END", read_bytes(source), re.IGNORECASE | re.DOTALL)
        name = re.search(rb"FILENAME\s+=?(\S+)", section[1], re.IGNORECASE) if section else None
        if name is not None:
            matches = sorted(path.parent.glob(f"*{name[1].decode('utf-8', 'replace')}*"))
            if len(matches) == 1:
                return matches[0]
    own = [file for file in (path.with_suffix(".forces"), path.parent / "forces.dat") if file.is_file()]
    if not own:
        raise FileError(path, "no forces, neither in this output nor in a file beside it; print them with &FORCES ON.")
    return own[0]
