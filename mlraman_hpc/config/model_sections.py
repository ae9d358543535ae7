"""Sections of the deck on labelled structures and the model that is trained on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlraman_hpc.config.keys import (
    Cell,
    Components,
    DerivativeUnit,
    ElementsOfAtoms,
    Files,
    LabelFormat,
    LeaveOut,
    PolarizabilityUnit,
    Quantity,
    Regularization,
    Section,
    key,
)


def _committee(value: int) -> int:
    if value in (1, 2, 3):
        raise ValueError("should be 0 or at least 4, so that the members' spread means something")
    if value > 1000:
        raise ValueError("should be at most 1000, where the spread itself is known to 2 %")
    return value


class Derivatives(Section):
    """Derivatives of the polarizability with respect to the atoms' positions, as labels."""

    files: Files = key(..., "one file, a list, or a glob; of runs in fields all thirteen of each structure")
    format: Literal["auto", "extxyz", "field-forces", "cp2k", "outcar", "vasprun", "qe-pw", "qe-ph", "anaddb"] = key(
        "auto",
        "extxyz: 18 or 27 numbers an atom; field-forces: extended XYZ of forces in thirteen fields; cp2k, outcar, "
        "vasprun, qe-pw: outputs of such runs; qe-ph (lraman), anaddb (dchidt): third-order response",
    )
    unit: DerivativeUnit | None = key(None, "unit of the numbers, where the comment line does not declare it")
    order: Components | None = key(
        None,
        "components for each of d/dx, d/dy, d/dz, such as [xx, yy, zz, xy, yz, zx], where it does not; never guessed",
    )


class Reference(Section):
    """Labelled structures: configurations with a reference polarizability or dielectric tensor, or its derivatives."""

    files: Files | None = key(None, "one file, a list, or a glob such as outcar/*.OUTCAR.gz")
    derivatives: Derivatives | None = key(None, "derivatives of the polarizability, beside or instead of files")
    format: LabelFormat = key("auto", "format of the files; 'table' takes the structures from the trajectory")
    quantity: Quantity | None = key(
        None, "what the tensors are, where the format does not say; susceptibility: dielectric tensor less one"
    )
    unit: PolarizabilityUnit | None = key(
        None, "unit of a polarizability, where the format does not fix it; the others have none"
    )
    tensor: str | None = key(None, "name of the tensor in extended XYZ, where several are there")
    order: Components | None = key(None, "columns of a table, such as [xx, yy, zz, xy, yz, zx]; never guessed")
    species: ElementsOfAtoms | None = key(
        None, "npy: elements of atoms 1, 2, ..., or as [Ag16, I16]; extxyz: elements of labels, such as {Ow: O}"
    )
    cell: Cell | None = key(None, "npy: three lengths or vectors of the cell; null: in a file, or no cell", "Angstrom")
    first: int = key(0, "table: trajectory frame (from 0) of its first line", ge=0)
    every: int = key(1, "table: trajectory frames from one line to the next", ge=1)
    frame_from_name: str | None = key(
        None,
        r"regular expression that finds the number n in a file's name, such as (\d+)\.OUTCAR: the label is frame "
        "n + frame_offset of the trajectory, which is checked and gives the positions",
    )
    frame_offset: int = key(0, "trajectory frame (from 0) of number 0; -1 where numbers count from 1")
    unconverged: Literal["refuse", "leave_out", "use"] = key(
        "refuse", "labels whose calculation did not reach its own convergence criterion; 'use': with a warning"
    )
    leave_out: LeaveOut = key(
        None,
        "labels to do without: 'outliers' (left-out residual, or distance from the median tensor, beyond five robust "
        "deviations), or a list of labels by the name that messages give them or by number, from 0",
    )
    train: int | None = key(None, "N_T, labels to train on, drawn at random; null: all that are not tested", ge=0)
    test: int | None = key(None, "labels to test on, never trained on; null: one fifth", ge=0)
    seed: int = key(0, "seed of the draw", ge=0)


class LearningCurveSection(Section):
    """R2 and RMSE against the number of labels."""

    sizes: list[Annotated[int, Field(ge=1)]] | None = key(
        None,
        "values of N_T, or numbers of frames where the deck has derivatives; null: seven from 10 to all labels that "
        "are not tested, or 1, 2, 3, 5, ... frames",
    )
    draws: int = key(8, "random training sets of each size", ge=1)


class ConvergenceSection(Section):
    """Spectra against the number of labels and against the length of the trajectory."""

    train: list[Annotated[int, Field(ge=2)]] | None = key(
        None,
        "values of N_T, or numbers of frames where the deck has derivatives at several, below the one trained with; "
        "null: an eighth, a quarter and a half of it",
    )
    fraction: list[Annotated[float, Field(gt=0, le=1)]] = key(
        [0.125, 0.25, 0.5], "first parts of the trajectory to compare with the whole"
    )


class RadialScalingSection(Section):
    """Weight of a neighbour at the distance r: rate / (rate + (r / scale)^exponent), featomic's Willatt2018."""

    scale: float = key(..., "distance at which a neighbour counts half, for rate 1", "Angstrom", gt=0)
    exponent: float = key(..., "power with which farther neighbours lose weight", gt=0)
    rate: float = key(1.0, "1 unless featomic's other shapes are wanted", gt=0)


class DescriptorSection(Section):
    """Lambda-SOAP with featomic's names; 'descriptor: auto' is short for {mode: auto}."""

    mode: Literal["fixed", "auto"] = key(
        "fixed",
        "auto: radial_scaling is chosen by leave-one-out on the training labels, the other keys are taken as they are; "
        "so it is where the deck has no section 'descriptor'",
    )
    cutoff: float = key(6.0, "radius of an atom's environment", "Angstrom", gt=0)
    cutoff_width: float = key(0.5, "width of the smooth cutoff", "Angstrom", gt=0)
    density_width: float = key(0.4, "width of the Gaussian on each neighbour", "Angstrom", gt=0)
    max_angular: int = key(4, "largest l of the density expansion", ge=1, le=12)
    max_radial: int = key(5, "radial functions less one, as featomic counts", ge=0, le=20)
    radial_scaling: RadialScalingSection | None = key(
        None, "farther neighbours count less, as suits condensed matter; null: all count alike"
    )


def _as_list_of_mappings(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Arguments = Annotated[
    list[dict[str, Any]],
    BeforeValidator(_as_list_of_mappings, json_schema_input_type=dict[str, Any] | list[dict[str, Any]]),
    Field(min_length=1),
]


class PredictorSection(Section):
    """A model of the polarizability that another program made, instead of model.h5."""

    calculator: str = key(
        ...,
        "metatomic, tnep or mace, or module:Class of an ASE calculator whose results hold the polarizability",
        min_length=1,
    )
    files: Files | None = key(
        None,
        "the model's file; several make an ensemble, whose mean is alpha and whose members give the model's error bars",
    )
    arguments: Arguments = key(
        [{}],
        "of the calculator, such as {device: cuda}; files are relative to this deck; a list of mappings makes an "
        "ensemble",
    )
    output: str | None = key(
        None, "what the polarizability is called among the model's results; null: 'polarizability'"
    )
    quantity: Quantity = key("polarizability", "what the tensors are, of the whole cell")
    unit: PolarizabilityUnit | None = key(
        None, "of a polarizability: the unit of the labels that the model was trained on; never guessed"
    )


class ModelSection(Section):
    """The linear model of the polarizability."""

    file: str | None = key(None, "a model.h5 trained before, instead of 'reference'")
    predictor: PredictorSection | None = key(None, "a model that another program made, instead of both")
    regularization: Regularization = key(
        "auto", "ridge parameter relative to the features' variance; auto: leave-one-out, for each lambda"
    )
    committee: Annotated[int, AfterValidator(_committee)] = key(0, "members for the model's error bars; 0: none", ge=0)
    density_tolerance: float = key(
        0.05,
        "relative margin around the number densities of the training set beyond which the mean of a trajectory is "
        "refused, twice that for one frame; at 0.05 (1.7 % in length) the error of alpha's fluctuations may double",
        gt=0,
    )
