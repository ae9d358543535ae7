"""Every key of the deck: type, default, unit and one sentence, declared once.

`mlraman schema` prints this file's content; the checks, the messages and the resolved deck come from it too.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    model_validator,
)

from mlraman_hpc.base.errors import DataError, DeckError, KeyLocations, Location, Mistake
from mlraman_hpc.records.formats import TRAJECTORY_FORMATS

AXES = ("xx", "yy", "zz", "xy", "yz", "zx", "xz", "yx", "zy")
Quantity = Literal["polarizability", "dielectric", "susceptibility"]
LabelFormat = Literal[
    "auto", "extxyz", "outcar", "vasprun", "vaspout", "qe-ph", "cp2k", "anaddb", "aims", "deepmd", "table"
]
_TRAJECTORY_NAMES = ("auto", *TRAJECTORY_FORMATS)
TrajectoryFormat = Literal[_TRAJECTORY_NAMES]  # type: ignore[valid-type]
PolarizabilityUnit = Literal["angstrom^3", "bohr^3", "e^2 angstrom^2/eV"]
DerivativeUnit = Literal["angstrom^2", "bohr^2", "e^2 angstrom/eV"]


def key(default: Any, sentence: str, unit: str | None = None, **limits: Any) -> Any:
    """One deck key. Without `default` (...) it must be given."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit} if unit else None, **limits)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_words(value: Any) -> Any:
    """'Ag' or 'Ag, I', as tables have it, is a list too."""
    return re.split(r"[,;\s]+", value.strip()) if isinstance(value, str) else value


def _unquoted(value: Any) -> Any:
    """ "[xx, yy]" in quotation marks is the list that it looks like."""
    if isinstance(value, str) and (quoted := re.fullmatch(r"\s*\[([^\[\]]*)\]\s*", value)):
        return [item for word in quoted[1].split(",") if (item := word.strip().strip("'\""))]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))


def _positive_or_auto(value: Any) -> Any:
    if value == "auto":
        return value
    if _is_number(value) and value > 0:
        return float(value)
    raise ValueError("should be 'auto' or a number greater than 0")


def _component(value: Any) -> Any:
    if value in AXES or value in ("step", "time", "skip"):
        return value
    raise ValueError(f"should be one of {', '.join(AXES)}, or step, time, skip for another column")


def _auto_section(value: Any) -> Any:
    return {"mode": "auto"} if value == "auto" else value


def _unit_vector(value: Any) -> list[float]:
    if not _is_vector(value) or not any(value):
        raise ValueError("should be a vector of three numbers that is not zero")
    length = sum(x * x for x in value) ** 0.5
    return [x / length for x in value]


def _cell(value: Any) -> list[list[float]]:
    """Rows are lattice vectors; three lengths make an orthorhombic cell."""
    vectors = [[x if i == k else 0 for i in range(3)] for k, x in enumerate(value)] if _is_vector(value) else value
    if not (isinstance(vectors, list) and len(vectors) == 3 and all(map(_is_vector, vectors))):
        raise ValueError("should be three lengths or three lattice vectors")
    (a, b, c), (d, e, f), (g, h, i) = vectors
    if abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) < 1e-6:
        raise ValueError("should be a cell with a volume")
    return [[float(x) for x in row] for row in vectors]


def _committee(value: int) -> int:
    if value in (1, 2, 3):
        raise ValueError("should be 0 or at least 4, so that the members' spread means something")
    return value


def _walltime(value: Any) -> float | None:
    """Minutes of a number, 'HH:MM:SS' or 'D-HH:MM:SS'."""
    if isinstance(value, str) and (clock := re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", value)):
        days, hours, minutes, seconds = (int(number or 0) for number in clock.groups())
        value = (days * 24 + hours) * 60 + minutes + seconds / 60
    if value is None:
        return None
    if _is_number(value) and value > 0:
        return float(value)
    raise ValueError("should be minutes, 'HH:MM:SS' or 'D-HH:MM:SS', and more than 0")


def _as_numbers(value: Any) -> Any:
    return [float(item) for item in value] if isinstance(value, list) and all(map(_is_number, value)) else value


def _temperatures(value: Any) -> Any:
    return _as_numbers([value] if _is_number(value) else value)


Walltime = Annotated[Any, PlainValidator(_walltime, json_schema_input_type=float | str | None)]
Temperatures = Annotated[
    list[Annotated[float, Field(gt=0)]],
    BeforeValidator(_temperatures, json_schema_input_type=float | list[float]),
    Field(min_length=1),
]
TextOrList = str | list[str]
Files = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=TextOrList), Field(min_length=1)]
Elements = Annotated[list[str], BeforeValidator(_as_words, json_schema_input_type=TextOrList)]
Components = list[Annotated[str, PlainValidator(_component, json_schema_input_type=str)]]
Vector = Annotated[list[float], PlainValidator(_unit_vector, json_schema_input_type=list[float])]
Cell = Annotated[list[list[float]], PlainValidator(_cell, json_schema_input_type=list[float] | list[list[float]])]
Regularization = Annotated[Any, PlainValidator(_positive_or_auto, json_schema_input_type=float | Literal["auto"])]


class Section(BaseModel):
    """Keys that stand together; checked when a deck is read, which only one rank does."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_of_words(cls, values: Any) -> Any:
        """Lists in quotation marks, for keys that hold lists of words."""
        if not isinstance(values, dict):
            return values
        words = {
            name
            for name, field in cls.model_fields.items()
            if "list[" in (kind := str(field.annotation)) and "str" in kind
        }
        return {name: _unquoted(value) if name in words else value for name, value in values.items()}


def section_type(annotation: Any) -> type[BaseModel] | None:
    """The section inside `Section`, `Section | None` or `list[Section]`; None for the type of a single key."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    inner = map(section_type, typing.get_args(annotation))
    return next((section for section in inner if section is not None), None)


class Derivatives(Section):
    """Derivatives of the polarizability with respect to the atoms' positions, as labels."""

    files: Files = key(..., "one file, a list, or a glob; of runs in fields all thirteen of each structure")
    format: Literal["auto", "extxyz", "field-forces", "cp2k"] = key(
        "auto",
        "extxyz: 18 or 27 numbers an atom; field-forces: extended XYZ of forces in thirteen fields; cp2k: outputs of "
        "such runs",
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
    first: int = key(0, "table: trajectory frame (from 0) of its first line", ge=0)
    every: int = key(1, "table: trajectory frames from one line to the next", ge=1)
    frame_from_name: str | None = key(
        None,
        r"regular expression that finds the number n in a file's name, such as (\d+)\.OUTCAR: the label is frame "
        "n + frame_offset of the trajectory, which is checked and gives the positions",
    )
    frame_offset: int = key(0, "trajectory frame (from 0) of number 0; -1 where numbers count from 1")
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
        None, "values of N_T below the one trained with; null: an eighth, a quarter and a half of it"
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


class ModelSection(Section):
    """The linear model of the polarizability."""

    file: str | None = key(None, "a model.h5 trained before, instead of 'reference'")
    regularization: Regularization = key(
        "auto", "ridge parameter relative to the features' variance; auto: leave-one-out, for each lambda"
    )
    committee: Annotated[int, AfterValidator(_committee)] = key(0, "members for the model's error bars; 0: none", ge=0)
    density_tolerance: float = key(
        0.1, "relative margin around the number densities of the training set before a trajectory is refused", gt=0
    )


class TrajectorySection(Section):
    """The molecular dynamics run along which alpha is predicted."""

    files: Files = key(..., "pieces of one run, in order; a glob is sorted by name")
    format: TrajectoryFormat = key("auto", "format of the files")
    frame_interval: float | None = key(
        None, "time between stored frames; needed where the file does not say", "fs", gt=0
    )
    runs: bool = key(
        False,
        "the files are not pieces of one run but independent runs of one system, all of one length: spectra, mean "
        "squared displacements and D are averaged, errors are from the scatter between runs",
    )
    first: int | None = key(None, "first frame to use, from 0; negative counts from the end")
    last: int | None = key(None, "frame before which to stop, as in a Python slice")
    every: int = key(1, "use every n-th frame", ge=1)
    species: list[str] | None = key(
        None,
        "elements of types 1, 2, ..., where the file has only types; of every atom, or as [Ag16, I16], where it "
        "has not even those",
    )
    cell: Cell | None = key(None, "three lengths or three vectors of a fixed cell, where the file has none", "Angstrom")


class Geometry(Section):
    """One scattering geometry of an oriented single crystal, in the axes of the trajectory's cell."""

    name: str | None = key(None, "label in file and figure; null: made from the vectors")
    incident: Vector = key(..., "polarization of the incident light")
    scattered: Vector = key(..., "polarization of the scattered light")
    incident_direction: Vector | None = key(None, "propagation of the incident light, checked to be orthogonal")
    scattered_direction: Vector | None = key(None, "propagation of the scattered light, checked to be orthogonal")


class AngleMap(Section):
    """Polarization-orientation map: both polarizations turn about the propagation direction."""

    direction: Vector = key(..., "propagation of the light (backscattering)")
    start: Vector = key(..., "polarization at angle zero")
    step: float = key(5.0, "angle between two spectra", "degree", gt=0, le=90)


class MdSection(Section):
    """Molecular dynamics with a force field that ASE can call, for those who have no trajectory."""

    structure: str = key(..., "structure file that ASE reads; constraints in it are not used")
    supercell: list[Annotated[int, Field(ge=1)]] = key(
        [1, 1, 1], "repetitions along the lattice vectors", min_length=3, max_length=3
    )
    calculator: str = key(
        ...,
        "ASE calculator as module:Class, or emt, lj, mace, mace-mp, sevennet, chgnet, upet, metatomic, nep, deepmd, "
        "lammps; its package is yours to install",
    )
    arguments: dict[str, Any] = key({}, "of the calculator, by name; names of files are relative to the deck")
    temperature: Temperatures = key(..., "one, or a list", "K")
    ensemble: Literal["nvt", "nve"] = key(
        "nvt", "of what is stored: a Nose-Hoover chain, or constant energy; both begin from equilibrated NVT"
    )
    replicas: int = key(1, "independent runs at each temperature", ge=1)
    length: float | None = key(None, "stored time of each run; null: planned from spectrum.smoothing", "fs", gt=0)
    time_step: float | None = key(None, "of the integrator; null: planned from the highest band", "fs", gt=0)
    frame_interval: float | None = key(
        None, "time between stored frames, a multiple of time_step; null: planned from the highest band", "fs", gt=0
    )
    highest_band: float | None = key(
        None, "highest wavenumber of the spectrum; null: by a Lanczos iteration with the force field", "cm^-1", gt=0
    )
    equilibration: float = key(
        2000.0, "before the first stored frame; prolonged up to five times while the energy drifts", "fs", ge=0
    )
    npt: float = key(
        0.0, "run at constant pressure before, whose mean volume scales the cell; 0: the structure's cell", "fs", ge=0
    )
    pressure: float = key(0.0, "of that run", "GPa")
    thermostat_time: float = key(100.0, "of the Nose-Hoover chain and of the Langevin thermostat", "fs", gt=0)
    seed: int = key(0, "of the velocities and the Langevin thermostat", ge=0)
    checkpoint: int = key(500, "steps between two states on the disk that a restart goes on from", ge=1)
    renew_calculator: bool | None = key(
        None,
        "make the calculator anew at each checkpoint, so that a restart gives the same bits though the calculator "
        "remembers earlier steps; null: unless it is known to remember none",
    )


class SpectrumSection(Section):
    """The Raman spectrum from alpha(t)."""

    smoothing: float = key(4.0, "width of the convolution", "cm^-1", gt=0)
    smoothing_kind: Literal["gaussian", "lorentzian"] = key("gaussian", "its shape")
    smoothing_measure: Literal["sigma", "fwhm"] = key(
        "sigma", "whether the width is sigma (half width at half maximum for a Lorentzian) or the full width"
    )
    laser_wavelength: float | None = key(514.5, "wavelength of the laser; null: no (nu_in - nu)^4 factor", "nm", gt=50)
    temperature: float | None = key(None, "given: Bose-Einstein factor", "K", gt=0)
    blocks: int = key(8, "trajectory blocks for the error bars", ge=2)
    max_wavenumber: float | None = key(None, "end of the spectrum; null: where it has vanished", "cm^-1", gt=0)
    step: float | None = key(None, "grid of the smoothed spectrum; null: an eighth of the width", "cm^-1", gt=0)
    time_step: float | None = key(
        None, "time step of the Verlet integrator, to correct the frequency axis for it", "fs", gt=0
    )
    max_correlation_time: float | None = key(None, "longest lag of the autocorrelation", "fs", gt=0)
    window: Literal["none", "hann", "gaussian"] = key("none", "window on the autocorrelation up to that lag")
    low_frequency: float = key(50.0, "upper end of the low-frequency weight", "cm^-1", gt=0)
    geometries: list[Geometry] = key([], "oriented single-crystal spectra")
    angle_map: AngleMap | None = key(None, "angle-resolved single-crystal map")


class SeriesSection(Section):
    """A polarizability series made elsewhere, instead of reference, model and trajectory."""

    file: str = key(..., "table, .npy, extended XYZ or GPUMD's polarizability.out")
    format: Literal["auto", "table", "npy", "extxyz", "gpumd"] = key("auto", "format of the file")
    order: Components | None = key(None, "columns, such as [xx, yy, zz, xy, yz, zx]; never guessed")
    quantity: Quantity = key("polarizability", "what the tensors are")
    unit: PolarizabilityUnit | None = key(None, "unit of a polarizability; a dielectric tensor has none")
    tensor: str | None = key(None, "name of the tensor in extended XYZ, where several are there")
    volume: float | None = key(
        None,
        "volume of the cell, to turn a dielectric tensor into a polarizability; null: one, and arbitrary units",
        "Angstrom^3",
        gt=0,
    )
    frame_interval: float = key(..., "time between two tensors", "fs", gt=0)


class Experiment(Section):
    """A measured spectrum: Raman shift (cm^-1) and intensity."""

    file: str = key(..., "two columns, JCAMP-DX (.jdx, .dx) or Raman Open Database (.rod)")
    label: str = key("measured", "label in the figure")
    start: float = key(0.0, "lower end of the range over which areas are made equal", "cm^-1", ge=0)
    end: float | None = key(None, "upper end of that range; null: of the measurement", "cm^-1", gt=0)


class OtherSpectrum(Section):
    """The spectrum of another run, such as another material's."""

    file: str = key(..., "its raman.h5")
    label: str = key(..., "label in the figure", min_length=1)


class ComparisonSection(Section):
    """The spectrum against that of reference tensors, against a measured one, and above those of other runs."""

    series: SeriesSection | None = key(None, "reference tensors along the same trajectory; keys as in 'series'")
    experiment: Experiment | None = key(None, "a measured spectrum")
    label: str = key("this run", "label of the spectrum itself, beside those of 'spectra'", min_length=1)
    spectra: list[OtherSpectrum] = key([], "spectra of other runs, to be drawn below this one")


class DynamicsSection(Section):
    """Vibrational density of states, mean squared displacement, diffusion; all stored frames, not every n-th."""

    mobile: Elements = key([], "elements that may diffuse, such as [Ag]; all others are the host lattice")
    drift: Literal["total", "host"] | None = key(
        None,
        "centre of mass at rest in the mean squared displacement: of everything or of the host lattice; "
        "null: host where 'mobile' leaves one",
    )
    fit_from: float | None = key(
        None, "shortest lag of the fit of D; null: where the mean squared displacement is straight", "fs", gt=0
    )
    fit_to: float | None = key(None, "longest lag of the fit of D; null: half of the trajectory", "fs", gt=0)
    smoothing: float = key(4.0, "sigma of the Gaussian that the density of states is convolved with", "cm^-1", gt=0)
    mass_weighted: bool = key(True, "density of states weighted with the masses; false: all atoms alike")
    blocks: int = key(8, "trajectory blocks for the error bars of the density of states", ge=2)
    memory: float | None = key(
        None,
        "for the atoms' motion on each rank; what is more is kept in a file in the output folder; null: half of "
        "what is free on the host, divided by its ranks",
        "MB",
        gt=0,
    )
    velocities: Literal["auto", "positions", "angstrom/fs", "angstrom/ps", "nm/ps", "m/s", "ase", "atomic"] = key(
        "auto", "unit of the file's velocities, told from the displacements with 'auto'; positions: not used"
    )
    arrhenius: str | None = key(
        None,
        "name of a series: the materials of a campaign that share it are one material at several temperatures, "
        "which gives its activation energy",
        pattern="^[^/]+$",
    )
    masses: dict[str, Annotated[float, Field(gt=0)]] = key(
        {}, "masses of elements, such as {H: 2.014}; others: those in the trajectory's files, or standard ones", "u"
    )
    temperature: float | None = key(
        None,
        "temperature of the run, with which that of the kinetic energy is compared; null: spectrum.temperature",
        "K",
        gt=0,
    )
    lattice_sites: str | None = key(
        None,
        "structure file with the sites of the mobile elements and the host lattice, in the trajectory's cell or "
        "one of which that is a multiple; given: jumps between sites are counted",
    )
    site_core: float | None = key(
        None,
        "distance from a site within which an atom has arrived there; null: a third of the distance to the "
        "nearest other site",
        "Angstrom",
        gt=0,
    )


class ForcesSection(Section):
    """Forces of the force field against those of the reference method, eV/Angstrom."""

    files: Files = key(..., "extended XYZ with the reference forces; a glob is sorted by name")
    reference: str = key("forces", "name of the array of reference forces")
    predicted: str | None = key(
        None,
        "name of the array of predicted forces, in the same files or in predicted_files; null: as 'reference', "
        "where there are predicted_files",
    )
    predicted_files: Files | None = key(
        None, "extended XYZ with the predicted forces of the same structures in the same order; null: the same files"
    )


class Deck(Section):
    """One calculation, from labelled structures and a trajectory to a Raman spectrum."""

    title: str = key("", "shown in figures and reports")
    output: str = key(..., "folder of the results, relative to the current folder")
    walltime: Walltime = key(
        None,
        "time limit, 'HH:MM:SS', 'D-HH:MM:SS' or a number: some time before it the run stops with exit code 75; "
        "under Slurm the job's own limit is known",
        "minutes",
    )
    figures: bool = key(True, "draw figures; false: numbers alone, for hundreds of small systems")
    reference: Reference | None = key(None, "labelled structures to train on")
    descriptor: Annotated[
        DescriptorSection, BeforeValidator(_auto_section, json_schema_input_type=DescriptorSection | Literal["auto"])
    ] = Field(default_factory=lambda: DescriptorSection(mode="auto"), description="lambda-SOAP; or 'auto'")
    model: ModelSection = Field(default_factory=ModelSection, description="the linear model")
    learning_curve: LearningCurveSection | None = key(None, "error against the number of labels")
    convergence: ConvergenceSection | None = key(None, "spectra against labels and length")
    md: MdSection | None = key(None, "molecular dynamics of our own")
    trajectory: TrajectorySection | None = key(None, "molecular dynamics")
    spectrum: SpectrumSection = Field(default_factory=SpectrumSection, description="the Raman spectrum")
    series: SeriesSection | None = key(None, "polarizabilities made elsewhere")
    comparison: ComparisonSection | None = key(None, "other spectra to compare with")
    dynamics: DynamicsSection | None = key(None, "motion of the atoms")
    forces: ForcesSection | None = key(None, "forces of the force field against the reference")

    _locations: KeyLocations = PrivateAttr(default_factory=lambda: KeyLocations({(): Location("deck")}))
    _folder: str = PrivateAttr(default=".")

    def set_source(self, locations: KeyLocations, folder: str = ".") -> None:
        """Where the deck comes from: location of each key, and the folder that its paths start from."""
        self._locations, self._folder = locations, folder

    @property
    def source(self) -> Location:
        """The file of the deck, or the line of a campaign's material; its text names the deck in messages."""
        return self._locations[()]

    @property
    def folder(self) -> str:
        """The folder that relative paths of input files start from."""
        return self._folder

    def location(self, dotted: str) -> str:
        """'deck.yaml:12: 'reference.train'' for messages about a key's value."""
        return f"{self._locations.nearest(_path(dotted))}: '{dotted}'"

    def mistake(self, dotted: str, text: str) -> Mistake:
        """What is wrong with the key 'reference.train', with its location."""
        return self._locations.mistake(_path(dotted), text)

    def error(self, dotted: str, text: str) -> DeckError:
        """To be raised where the key itself is wrong."""
        return DeckError.from_mistakes([self.mistake(dotted, text)])

    def data_error(self, dotted: str, text: str) -> DataError:
        """To be raised where a file that the key names is wrong."""
        return DataError(str(self.mistake(dotted, text)))


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))
