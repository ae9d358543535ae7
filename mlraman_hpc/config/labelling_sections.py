"""Section of the deck on labels to be computed: which frames, by which program, how, and when there are enough."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mlraman_hpc.config.keys import Section, key


def _rising(value: list[float]) -> list[float]:
    if not 0 <= value[0] < value[1]:
        raise ValueError("should be two wavenumbers, the smaller one first")
    return value


Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class LabellingSection(Section):
    """Labels to be computed: frames of the trajectory, a program, and a rule when to stop."""

    kind: Literal["polarizability", "derivatives"] = key(
        "polarizability",
        "polarizability: one tensor for each frame; derivatives: thirteen force calculations in fields for each frame; "
        "test frames are tensors always",
    )
    rule: Literal["random", "spread", "informative"] = key(
        "random",
        "random: all alike; spread: farthest points of the summed descriptors; informative: frames that lower the "
        "expected variance of the linear model along the trajectory most",
    )
    frames: int = key(20, "frames to select in each round", ge=1)
    test: int = key(20, "frames kept for testing, drawn at random before all others", ge=0)
    most: int = key(300, "most frames to label, those for testing not counted", ge=1)
    min_interval: float | None = key(
        None,
        "least time between two selected frames; null: the correlation time of the descriptors, estimated",
        "fs",
        ge=0,
    )
    seed: int = key(0, "seed of what is drawn at random", ge=0)
    code: Literal["cp2k", "vasp", "qe", "abinit"] | None = key(
        None, "program that computes the labels; must be given for prepare, collect and label"
    )
    template: str | None = key(
        None, "input template of your own (Jinja2) or a folder of them; null: the shipped one of code and kind"
    )
    parameters: dict[str, Any] = key({}, "values of the template's placeholders; 'mlraman docs labelling' lists them")
    converge: dict[str, list[Any]] = key(
        {}, "for 'prepare --converge': parameter and its values, the last one the best; also 'supercell'"
    )
    field: float = key(0.002, "strength of the field along each axis, for derivatives", "hartree/(e bohr)", gt=0)
    command: str | None = key(
        None,
        "starts one calculation in its folder, such as 'srun --exact -n 16 {program} -i {input} -o {output}'; null: "
        "label stops after prepare and goes on when the job array has run",
    )
    parallel: int = key(1, "calculations that run at the same time", ge=1)
    retries: int = key(1, "how often a failed calculation is tried again", ge=0)
    scheduler: Literal["slurm", "pbs", "lsf"] = key("slurm", "batch system of the job array that prepare writes")
    stop_range: Range | None = key(
        None, "wavenumbers whose intensity matters; null: all of the spectrum that is visible", "cm^-1"
    )
    stop_share: float = key(
        0.5, "stop where the spectrum's error bar from the model is below this share of that from the trajectory", gt=0
    )
    stop_error: float = key(
        0.0, "stop too where the error bar from the model is below this share of the intensity", ge=0
    )
