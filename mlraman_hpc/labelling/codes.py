"""What is known of each electronic-structure code: its input files, its programs, and what its output says of a run.

A calculation is a folder with runs; a run is a folder with input files and steps, programs that are started in order.
A polarizability is one run; derivatives of it are thirteen, one for each field, or one of third order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlraman_hpc.labelling.manifest import Kind

NOT_CONVERGED = "the electronic structure or the response did not converge"


@dataclass(frozen=True)
class Step:
    """One program of a run.

    program   name of the executable
    input     file that it reads
    output    file from which its end is told
    log       file for what it prints, where that is not the output itself
    end       text that a finished output has; unconverged: texts that one that did not converge has
    """

    program: str
    input: str
    output: str
    end: bytes
    unconverged: tuple[bytes, ...] = ()
    log: str = ""


@dataclass(frozen=True)
class Recipe:
    """How one kind of label is computed.

    templates  {template that ships: file in the folder of the run}
    steps      in order
    results    files of a run that the label is read from; format: of the reader
    in_fields  thirteen runs, one for each field, in folders of their own; else one
    """

    templates: Mapping[str, str]
    steps: tuple[Step, ...]
    results: tuple[str, ...]
    format: str
    in_fields: bool = False


@dataclass(frozen=True)
class Code:
    """An electronic-structure code: recipes, and defaults of the placeholders; what has none only the user knows.

    command  for the job array, where the deck has none, without the launcher
    """

    name: str
    recipes: Mapping[Kind, Recipe]
    defaults: Mapping[str, Any]
    command: str = ""


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
            {"cp2k_polarizability.inp": "calculation.inp"}, (_CP2K_STEP,), ("calculation.out",), "cp2k"
        ),
        Kind.DERIVATIVES: Recipe(
            {"cp2k_derivatives.inp": "calculation.inp"}, (_CP2K_STEP,), ("calculation.out",), "cp2k", in_fields=True
        ),
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
    "{program} -i {input} -o {output}",
)
_VASP_STEP = Step(
    "vasp_std",
    "INCAR",
    "OUTCAR",
    b"General timing and accounting",
    (b"self-consistency was not achieved", b"EDIFF was not reached"),
    "vasp.log",
)
_VASP_FILES = {"vasp_KPOINTS": "KPOINTS", "vasp_POSCAR": "POSCAR", "vasp_POTCAR": "POTCAR"}
VASP = Code(
    "vasp",
    {
        Kind.POLARIZABILITY: Recipe(
            {"vasp_polarizability.INCAR": "INCAR", **_VASP_FILES}, (_VASP_STEP,), ("OUTCAR",), "outcar"
        ),
        Kind.DERIVATIVES: Recipe(
            {"vasp_derivatives.INCAR": "INCAR", **_VASP_FILES}, (_VASP_STEP,), ("OUTCAR",), "outcar", in_fields=True
        ),
    },
    {"kpoints": [1, 1, 1], "ediff": "1E-8", "ediff_fields": "1E-8", "gga": None, "kpar": 1, "potcars": {}},
    command="{program}",
)
_PW_STEP = Step("pw.x", "pw.in", "pw.out", b"JOB DONE.", (b"convergence NOT achieved",))
_PH_STEP = Step("ph.x", "ph.in", "ph.out", b"JOB DONE.", (b"NOT achieved",))
QE = Code(
    "qe",
    {
        Kind.POLARIZABILITY: Recipe(
            {"qe_pw.in": "pw.in", "qe_ph.in": "ph.in"}, (_PW_STEP, _PH_STEP), ("ph.out", "pw.out"), "qe-ph"
        ),
        Kind.DERIVATIVES: Recipe({"qe_pw.in": "pw.in"}, (_PW_STEP,), ("pw.out",), "qe-pw", in_fields=True),
    },
    {
        "kpoints": [1, 1, 1],
        "ecutrho": None,
        "gap_bands": None,
        "conv_thr": "1.0d-12",
        "conv_thr_fields": "1.0d-12",
        "tr2_ph": "1.0d-14",
        "nberrycyc": 3,
    },
    "{program} -i {input}",
)
_ABINIT_STEP = Step(
    "abinit",
    "calculation.abi",
    "calculation.abo",
    b"Calculation completed",
    (b"was not enough SCF cycles to converge",),
    "calculation.log",
)
_ANADDB_STEP = Step("anaddb", "anaddb.abi", "anaddb.log", b"the run completed succesfully")
ABINIT = Code(
    "abinit",
    {
        kind: Recipe(
            {f"abinit_{kind.value}.abi": "calculation.abi", "abinit_anaddb.abi": "anaddb.abi"},
            (_ABINIT_STEP, _ANADDB_STEP),
            ("anaddb_anaddb.nc",),
            "anaddb",
        )
        for kind in Kind
    },
    {
        "kpoints": [1, 1, 1],
        "ixc": None,
        "nband": None,
        "tolvrs": "1.0d-14",
        "tolwfr": "1.0d-16",
        "tolvrs_response": "1.0d-8",
    },
    command="{program} {input}",
)
CODES = {code.name: code for code in (CP2K, VASP, QE, ABINIT)}
