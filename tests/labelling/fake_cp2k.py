"""Stands for CP2K in tests of the loop: reads a calculation's input, waits, and writes an output that the reader takes.

    python fake_cp2k.py INPUT OUTPUT [SECONDS]

The tensor is that of `small_system.alpha`'s bonds, in the cell of the input. In a field it writes forces instead,
F_i = Z_i E + 1/2 E (d alpha/d r_i) E. `faults.json` in a folder above says what happens to a frame: {"12": "crash"},
"unconverged", or "crash once".
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

BOHR3 = 0.529177210903**3


def main(source: Path, target: Path, seconds: float) -> None:
    lines = [line.split() for line in source.read_text().splitlines()]
    cell = np.array(
        [next(line[1:] for line in lines if line[:1] == [name] and len(line) == 4) for name in "ABC"], float
    )
    first, last = lines.index(["&COORD"]) + 1, lines.index(["&END", "COORD"])
    symbols = [line[0] for line in lines[first:last]]
    positions = np.array([line[1:] for line in lines[first:last]], float)
    with open("started", "a") as file:
        file.write("x")
    time.sleep(seconds)
    fault = fault_of(Path.cwd())
    if fault == "crash" or (fault == "crash once" and Path("started").read_text() == "x"):
        target.write_text(" CP2K| version string\n and then it crashed\n")
        sys.exit(3)
    text = source.read_text()
    if "ENERGY_FORCE" in text:
        words = text.split()
        field = np.zeros(3)
        if "INTENSITY" in words:
            vector = words[words.index("POLARISATION") + 1 :][:3]
            field = float(words[words.index("INTENSITY") + 1]) * np.array(vector, float)
        Path("forces.dat").write_text(forces(symbols, positions, cell, field))
        target.write_text(output(symbols, positions, cell, fault, field))
        return
    target.write_text(output(symbols, positions, cell, fault))


def fault_of(folder: Path) -> str:
    path = next((parent / "faults.json" for parent in folder.parents if (parent / "faults.json").exists()), None)
    return "" if path is None else json.loads(path.read_text()).get(str(int(folder.name.split("_")[1])), "")


def alpha(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(3, 3) Angstrom^3 from bonds within 4.5 Angstrom, as the tests' small system has them."""
    images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ cell
    bonds = (positions[:, None] - positions[None])[:, :, None] + images
    lengths = np.linalg.norm(bonds, axis=-1)
    weight = np.where((lengths > 0.1) & (lengths < 4.5), np.exp(-lengths / 2), 0.0)
    return np.einsum("ijn,ijna,ijnb->ab", weight, bonds, bonds) + 30 * np.eye(3)


def derivatives(positions: np.ndarray, cell: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """(atoms, 3, 3, 3) d alpha_ab / d r_ic, Angstrom^2"""
    result = np.empty((len(positions), 3, 3, 3))
    for i, c in np.ndindex(len(positions), 3):
        shift = np.zeros_like(positions)
        shift[i, c] = h
        result[i, c] = (alpha(positions + shift, cell) - alpha(positions - shift, cell)) / (2 * h)
    return result


def forces(symbols: list[str], positions: np.ndarray, cell: np.ndarray, field: np.ndarray) -> str:
    """Table of forces, hartree/bohr."""
    charges = np.array([2.0 if symbol == "Ag" else -3.0 for symbol in symbols])  # three Ag and two I
    quadratic = np.einsum("icab,a,b->ic", derivatives(positions, cell), field, field) / 2 / BOHR3 ** (2 / 3)
    lines = [" ATOMIC FORCES in [a.u.]", "", " # Atom   Kind   Element          X              Y              Z"]
    for number, (symbol, force) in enumerate(zip(symbols, charges[:, None] * field + quadratic), start=1):
        lines.append(f" {number} 1 {symbol} " + " ".join(f"{x:.14f}" for x in force))
    return "\n".join([*lines, ""])


def output(
    symbols: list[str], positions: np.ndarray, cell: np.ndarray, fault: str, field: np.ndarray | None = None
) -> str:
    numbers = {"Ag": 47, "I": 53, "B": 5, "C": 6, "N": 7}
    kinds = list(dict.fromkeys(symbols))
    run = "LINEAR_RESPONSE" if field is None else "ENERGY_FORCE"
    text = [" CP2K| version string: none", " CP2K| Input file name calculation.inp", f" GLOBAL| Run type   {run}"]
    if field is not None and field.any():
        size = np.linalg.norm(field)
        x, y, z = field / size
        text += [f" PERIODIC_EFIELD| Polarisation vector: x {x:.12f}", f" PERIODIC_EFIELD| y {y:.12f}"]
        text += [f" PERIODIC_EFIELD| z {z:.12f}", f" PERIODIC_EFIELD| Intensity [a.u.]: {size:.12f}"]
    for name, vector in zip("abc", cell):
        length = np.linalg.norm(vector)
        x, y, z = vector
        text.append(f" CELL| Vector {name} [angstrom]: {x:10.3f} {y:10.3f} {z:10.3f} |{name}| = {length:.6f}")
    text += [
        f" CELL| Angle ({pair}), {word} [degree]: 90.000000"
        for pair, word in (("b,c", "alpha"), ("a,c", "beta"), ("a,b", "gamma"))
    ]
    text += [" CELL| Periodicity   XYZ", "", " MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM", ""]
    text.append("   Atom Kind Element         X             Y             Z       Z(eff)     Mass")
    for number, (symbol, position) in enumerate(zip(symbols, positions), start=1):
        x, y, z = position
        names = f" {number:6d} {kinds.index(symbol) + 1:4d} {symbol:>2} {numbers[symbol]:4d}"
        text.append(f"{names} {x:13.6f} {y:13.6f} {z:13.6f} 1.0 1.0")
    text += [
        "",
        "  *** SCF run NOT converged ***" if fault == "unconverged" else "  *** SCF run converged in 9 steps ***",
    ]
    tensor = alpha(positions, cell)
    for unit, factor in (("a.u.", 1 / BOHR3), ("ang^3", 1.0)) if field is None else ():
        t = tensor * factor
        text += [
            f" POLAR| Polarizability tensor [{unit}]",
            f" POLAR| xx,yy,zz {t[0, 0]:.12f} {t[1, 1]:.12f} {t[2, 2]:.12f}",
            f" POLAR| xy,xz,yz {t[0, 1]:.12f} {t[0, 2]:.12f} {t[1, 2]:.12f}",
            f" POLAR| yx,zx,zy {t[1, 0]:.12f} {t[2, 0]:.12f} {t[2, 1]:.12f}",
            "",
        ]
    return "\n".join([*text, "  **** PROGRAM ENDED AT   now", ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
