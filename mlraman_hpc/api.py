"""The public Python names: `import mlraman_hpc as mr`, then `mr.load_model`, `mr.Trajectory`, ...

They are the program's own functions on arrays, in one process; `mlraman` on the command line is what uses many. Units
are Angstrom, fs, Angstrom^3, cm^-1 and K throughout. What a user can cause is raised as `DataError` with one message;
what makes a result doubtful is a `PolarizabilityWarning`.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model import regression
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.model.ensemble_distance import ensemble_distance, looked_at
from mlraman_hpc.model.predictor import Prediction, Predictor, joined
from mlraman_hpc.numerics.spectra import raman
from mlraman_hpc.numerics.spectra.cell_part import without_cell_part
from mlraman_hpc.numerics.spectra.plan import RamanOptions
from mlraman_hpc.readers.ase_atoms import frames_of_atoms, labels_of_atoms
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.trajectory.base import TrajectoryIndex
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin, hash_of

if TYPE_CHECKING:
    import ase
    from ase.calculators.calculator import Calculator
    from matplotlib.figure import Figure

CHUNK_ATOMS = 1 << 16  # atoms read and predicted together: bounds the memory of positions
FEATOMIC_TOLERANCE = 1e-8
_PACKAGE = __name__.partition(".")[0]
Paths = str | Path | Iterable[str | Path]


class PolarizabilityWarning(UserWarning):
    """A result that could be wrong: extrapolation, too few labels, too short a trajectory."""


def _warn(text: str) -> None:
    """At the line of the user's that called into this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, PolarizabilityWarning, stacklevel=level)


def _paths(paths: Paths) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]


class _Scratch:
    """A folder for unpacked copies of .gz and for indices, gone with the last trajectory that uses it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mlraman-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Trajectory:
    """The frames of one molecular dynamics run, read when they are used.

    path            one file or its parts in order, of any format of `mlraman docs formats`
    frame_interval  fs between stored frames, where the file does not say
    species         elements of types 1, 2, ..., where the file has only types
    cell            three lengths or three vectors (Angstrom), where the file has none

    `trajectory[10:200:5]` is a trajectory of these frames and costs nothing; `trajectory[7]` is an `ase.Atoms`.
    """

    def __init__(
        self,
        path: Paths,
        *,
        frame_interval: float | None = None,
        format: str = "auto",
        species: list[str] | None = None,
        cell: Any = None,
    ):
        self._scratch = _Scratch()
        lengths = None if cell is None else np.asarray(cell, dtype=float)
        vectors = np.diag(lengths) if lengths is not None and lengths.ndim == 1 else lengths
        self._index: TrajectoryIndex = build_index(_paths(path), format, self._scratch.path, species, _warn, vectors)
        self._rows = range(len(self._index))
        self._stored_interval = frame_interval or self._index.frame_interval

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        interval = "" if self.frame_interval is None else f", {self.frame_interval:g} fs apart"
        return f"<Trajectory: {len(self)} frames of {self.most_atoms} atoms ({', '.join(self.species)}){interval}>"

    def __getitem__(self, key: int | slice) -> Trajectory | ase.Atoms:
        if not isinstance(key, slice):
            return _atoms(self.frames(self._rows[key : key + 1 or None]))
        part = object.__new__(Trajectory)
        part.__dict__.update(self.__dict__, _rows=self._rows[key])
        return part

    def __iter__(self) -> Iterator[ase.Atoms]:
        for row in self._rows:
            yield _atoms(self.frames([row]))

    @property
    def species(self) -> tuple[str, ...]:
        """Symbols of the elements, by atomic number."""
        return tuple(self._index.species)

    @property
    def frame_interval(self) -> float | None:
        """fs between two frames of this selection; None where neither the file nor the caller says it."""
        return None if self._stored_interval is None else self._stored_interval * abs(self._rows.step)

    def frames(self, rows: Iterable[int]) -> Frames:
        """These rows of the file, as arrays."""
        return read_frames(self._index, np.fromiter(rows, dtype=np.int64))

    @property
    def most_atoms(self) -> int:
        """In a frame."""
        return len(self._index.numbers)

    def rows(self, rows: Iterable[int]) -> Frames:
        """These rows of the selection, as arrays."""
        return self.frames(self._rows[row] for row in rows)

    def chunks(self) -> Iterator[Frames]:
        """All frames of the selection, in order, so many at a time that they hold CHUNK_ATOMS atoms."""
        size = max(1, CHUNK_ATOMS // len(self._index.numbers))
        for start in range(0, len(self), size):
            yield self.frames(self._rows[start : start + size])


def _atoms(frames: Frames) -> ase.Atoms:
    import ase

    return ase.Atoms(frames.numbers, frames.positions, cell=frames.cells[0], pbc=frames.periodic[0])


class Result:
    """A record of the program with what a notebook wants: its fields as attributes, arrays, a table, a figure."""

    def __init__(self, record: Any):
        self.record = record

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.record, name)

    def __repr__(self) -> str:
        return f"<{type(self.record).__name__}: {', '.join(self.to_arrays())}>"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """{path in the HDF5 file: array} of every array of the record."""
        return dict(_arrays(self.record, ""))

    def to_dataframe(self) -> Any:
        """A pandas DataFrame of all columns that are as long as the first; needs pandas."""
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError:
            raise DataError("to_dataframe needs the package pandas; to_arrays gives plain arrays without it") from None
        columns = {name: values for name, values in self.to_arrays().items() if values.ndim == 1}
        length = len(next(iter(columns.values())))
        return pandas.DataFrame({name: values for name, values in columns.items() if len(values) == length})

    def plot(self, path: str | Path | None = None, **options: Any) -> Figure:
        """The program's figure of this record; written to `path` (PNG, with a PDF beside it) where that is given."""
        from mlraman_hpc import plots

        return plots.figure_of(self.record, None if path is None else Path(path), **options)

    def save(self, path: str | Path) -> None:
        """Write the record as the program does, with package versions and an origin that says 'python'."""
        hdf5.save(self.record, Path(path), Origin("python", "", hash_of("python"), {}))


def _arrays(value: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _arrays(inner, f"{path}/{name}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            name = field.metadata.get("path", field.name)
            yield from _arrays(getattr(value, field.name), f"{path}/{name}" if path else name)


class PolarizabilityModel(Result):
    """A linear lambda-SOAP model of the polarizability: `record` is what model.h5 holds."""

    record: Model

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.record)

    def predict(
        self,
        structures: Trajectory | ase.Atoms | Iterable[ase.Atoms],
        *,
        frame_interval: float | None = None,
        threads: int = 1,
        density_tolerance: float = 0.05,
        compare: bool = True,
    ) -> Result:
        """alpha of every frame, a `PolarizabilitySeries`.

        `value` (frames, 3, 3) Angstrom^3 of the cell, `time` (fs), `by_species` (frames, species, 3, 3), `members`
        (frames, members, 3, 3) of a committee, `outliers` (frames,). Does what `mlraman predict` does: refuses unknown
        elements and number densities outside the training range by more than `density_tolerance`, warns of atoms
        outside the training range, and, where `compare` (it takes as long as hundreds of frames), compares the first
        frame with featomic and up to 32 frames with the training set: where these are another ensemble, it says so and
        widens the deviations of the committee.
        """
        given = structures if isinstance(structures, Trajectory) else _Structures(structures)
        interval = frame_interval or given.frame_interval
        parts: list[Prediction] = []
        cells: list[np.ndarray] = []
        with ThreadPoolExecutor(threads) as pool:
            for number, frames in enumerate(given.chunks()):
                self._check(frames, density_tolerance)
                if number == 0:
                    predictor = self._compared(given, density_tolerance) if compare else self._predictor
                rows = [rows for rows in np.array_split(np.arange(len(frames)), threads) if len(rows)]
                parts += pool.map(predictor, [frames.take(part) for part in rows])
                cells.append(frames.cells)
        if not parts:
            raise DataError("there are no structures to predict")
        prediction = joined(parts)
        assert prediction.outliers is not None
        if prediction.outliers.any():
            _warn(
                f"in {np.count_nonzero(prediction.outliers)} of {len(prediction.outliers)} frames some atoms are far "
                "outside the training range: the model extrapolates there"
            )
        steps = np.arange(len(prediction.outliers))
        return Result(
            PolarizabilitySeries(
                value=prediction.polarizability,
                step=steps,
                time=steps * (np.nan if interval is None else interval),
                by_species=prediction.shares,
                members=prediction.members,
                outliers=prediction.outliers,
                species=self.record.species,
                cell=np.concatenate(cells),
            )
        )

    def _check(self, frames: Frames, density_tolerance: float) -> None:
        elements = tuple(symbols(np.unique(frames.numbers)))
        regression.check_applicable(self.record, elements, frames, density_tolerance)

    def _compared(self, given: Trajectory | _Structures, density_tolerance: float) -> Predictor:
        """In agreement with featomic on the first frame, with bars for the structures' distance from the labels."""
        sample = given.rows(looked_at(len(given), given.most_atoms))
        self._check(sample, density_tolerance)
        deviation = regression.check_against_featomic(self.record, self._predictor, sample.take([0]))
        if not deviation <= FEATOMIC_TOLERANCE:
            raise DataError(f"the prediction differs from featomic's by {deviation:.1e}; please report this")
        measured = ensemble_distance(self.record, (sample.take([row]) for row in range(len(sample))))
        if measured is None:
            return self._predictor
        if measured.warning:
            _warn(measured.warning)
        return Predictor(measured.model) if measured.model.members and measured.distance > 1 else self._predictor

    def export_metatomic(self, path: str | Path) -> tuple[str, ...]:
        """Write a metatomic model (.pt) for other programs, with featomic-torch; gives what to know of it."""
        from mlraman_hpc.model.export import export_metatomic

        return export_metatomic(self.record, Path(path))

    def ase_calculator(self, base: Calculator | None = None) -> Calculator:
        """An ASE calculator of `results["polarizability"]`, (3, 3) Angstrom^3; energy and forces from `base`."""
        from mlraman_hpc.model.ase_calculator import PolarizabilityCalculator

        return PolarizabilityCalculator(self, base)


class _Structures:
    """ASE's structures, one or many, read like a `Trajectory`."""

    frame_interval = None

    def __init__(self, structures: ase.Atoms | Iterable[ase.Atoms]):
        self._atoms: list[Any] = [structures] if hasattr(structures, "numbers") else list(structures)

    def __len__(self) -> int:
        return len(self._atoms)

    @property
    def most_atoms(self) -> int:
        return max((len(atoms) for atoms in self._atoms), default=0)

    def rows(self, rows: Iterable[int]) -> Frames:
        return frames_of_atoms([self._atoms[row] for row in rows])

    def chunks(self) -> Iterator[Frames]:
        size = max(1, CHUNK_ATOMS // max(self.most_atoms, 1))
        for start in range(0, len(self), size):
            yield frames_of_atoms(self._atoms[start : start + size])


def load_model(path: str | Path) -> PolarizabilityModel:
    """The model in a model.h5."""
    return PolarizabilityModel(hdf5.load(Model, Path(path)))


def load(path: str | Path) -> Result:
    """Any result file of the program: alpha.h5, raman.h5, dynamics.h5, ..."""
    record = hdf5.load_any(Path(path))
    return PolarizabilityModel(record) if isinstance(record, Model) else Result(record)


def train(
    labels: Labels | Paths | list[ase.Atoms],
    *,
    quantity: str | None = None,
    unit: str | None = None,
    format: str = "auto",
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    descriptor: dict[str, Any] | None = None,
    regularization: float | str = "auto",
    committee: int = 0,
) -> PolarizabilityModel:
    """A model of labelled structures: files as in the deck's `reference`, or Atoms with `info["polarizability"]`.

    quantity, unit   what the tensors are, where the format does not say ('polarizability', 'bohr^3', ...)
    train, test      number of labels to train and to test on, drawn at random with `seed`; default: a fifth is tested
    descriptor       overrides of the defaults of `Descriptor`, such as {"cutoff": 5.0}
    """
    known = labels if isinstance(labels, Labels) else _labels(labels, quantity, unit, format)
    tested = len(known) // 5 if test is None else test
    trained = len(known) - tested if train is None else train
    if trained < 2 or trained + tested > len(known):
        raise DataError(f"train ({trained}) and test ({tested}) do not fit {len(known)} labels; train on 2 at least")
    train_rows, test_rows = regression.draw_rows(len(known), trained, tested, seed)
    hyperparameters = Descriptor.from_keys(descriptor or {})
    numbers = sorted(set(known.frames.numbers.tolist()))
    summed = FeatureCalculator(hyperparameters, numbers)(known.frames)
    model, messages = regression.fit(
        summed, known, train_rows, test_rows, hyperparameters, regularization, committee, seed
    )
    for text in messages:
        _warn(text)
    return PolarizabilityModel(model)


def _labels(labels: Any, quantity: str | None, unit: str | None, format: str) -> Labels:
    given = [labels] if isinstance(labels, (str, Path)) or hasattr(labels, "numbers") else list(labels)
    if given and hasattr(given[0], "numbers"):
        return labels_of_atoms(given, unit or "angstrom^3")
    return read_labels([Path(path) for path in given], format, quantity, unit, _warn)


def raman_spectrum(
    alpha: Any, frame_interval: float | None = None, *, remove_cell: str | None = None, **options: Any
) -> Result:
    """The spectrum of alpha (frames, 3, 3) Angstrom^3 `frame_interval` fs apart, or of what `predict` or `load` gave.

    Options are those of the deck's section `spectrum`: smoothing (cm^-1), laser_wavelength (nm), temperature (K), ...
    Equations S1 to S3; error bars from blocks of the series and from a committee where there is one.
    """
    series, part = getattr(alpha, "record", alpha), None
    settings = RamanOptions(**options)
    if isinstance(series, PolarizabilitySeries):
        if remove_cell is not None:
            series, part = without_cell_part(series, remove_cell)
        interval = frame_interval or series.frame_interval
        members = None if series.members is None else np.swapaxes(series.members, 0, 1)
        spectrum = raman.raman_spectrum(
            series.value, _known(interval), settings, series.by_species, series.species or (), members
        )
        spectrum = dataclasses.replace(spectrum, cell_part=part)
    elif remove_cell is not None:
        raise DataError("remove_cell: the cells are needed beside the tensors, as `predict` and alpha.h5 give them")
    else:
        spectrum = raman.raman_spectrum(np.asarray(series, dtype=float), _known(frame_interval), settings)
    for text in spectrum.warnings:
        _warn(text)
    return Result(spectrum)


def _known(interval: float | None) -> float:
    if interval is None or not interval > 0:
        raise DataError("frame_interval: the time between two frames (fs) is needed, and is not in the file")
    return float(interval)
