"""What is known of each electronic-structure code: its input files, its programs, and what its output says of a run.

A calculation is a folder with runs; a run is a folder with input files and steps, programs that are started in order.
A polarizability is one run; derivatives of it are thirteen, one for each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlraman_hpc.labelling.manifest import Kind

NOT_CONVERGED = "the electronic structure or the response did not converge"


@dataclass(frozen=True)
class Step:
    """One program of a run.

    program   name of the executable
    input     file that it reads
    output    file that its text goes to, from which its end is told
    end       text that a finished output has; unconverged: texts that one that did not converge has
    """

    program: str
    input: str
    output: str
    end: bytes
    unconverged: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How one kind of label is computed.

    templates  {template that ships: file in the folder of the run}
    steps      in order
    result     file that the label is read from; format: of the reader
    """

    templates: Mapping[str, str]
    steps: tuple[Step, ...]
    result: str
    format: str


@dataclass(frozen=True)
class Code:
    """An electronic-structure code: recipes, defaults of the placeholders, and how its output tells the band gap.

    gap  regular expression with one group, the gap in eV, or two, highest occupied and lowest unoccupied level
    """

    name: str
    recipes: Mapping[Kind, Recipe]
    defaults: Mapping[str, Any]
    gap: bytes = b""
    command: str = ""
    needed: Mapping[str, str] = field(default_factory=dict)


_CP2K_STEP = Step(
    "cp2k.psmp",
    "calculation.inp",
    "calculation.out",
    b"PROGRAM ENDED AT",
    (b"SCF run NOT converged", b"The linear solver didn't converge"),
)
CP2K = Code(
    "cp2k",
    {
        Kind.POLARIZABILITY: Recipe(
            {"cp2k_polarizability.inp": "calculation.inp"}, (_CP2K_STEP,), "calculation.out", "cp2k"
        ),
        Kind.DERIVATIVES: Recipe({"cp2k_derivatives.inp": "calculation.inp"}, (_CP2K_STEP,), "calculation.out", "cp2k"),
    },
    {
        "basis_file": "BASIS_MOLOPT",
        "potential_file": "GTH_POTENTIALS",
        "basis": "DZVP-MOLOPT-SR-GTH",
        "potential": "GTH-PBE",
        "functional": "PBE",
        "charge": 0,
        "cutoff": 240,
        "relative_cutoff": 40,
        "eps_default": "1.0E-10",
        "eps_scf": "1.0E-6",
        "eps_scf_fields": "1.0E-8",
        "linres_eps": "1.0E-4",
        "max_scf": 100,
        "scf": "diagonalization",
    },
    rb"HOMO - LUMO gap \[eV\] *: *(\S+)",
    "srun {program} -i {input} -o {output}",
)
CODES = {code.name: code for code in (CP2K,)}
