"""Whether the results in the output folder are those of the deck, and which key differs where they are not.

A command skips what is up to date, by the hash of all that a result depends on. What it reads, though, another command
made, perhaps from another deck. `difference` compares the deck that is stored in a result with the one at hand, key by
key, the files that the deck names by their hashes, and does the same for the results that this one was made from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.config.deck_reader import resolved_values, resolved_yaml
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import Comparison, Coupling, PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.verified import damage

# Keys that a result depends on, those of its parents excepted; sections or single keys
OWN_KEYS: dict[str, tuple[str, ...]] = {
    Model.file_name: ("reference", "descriptor", "model.regularization", "model.committee"),
    LearningCurve.file_name: ("learning_curve", "reference", "descriptor", "model.regularization"),
    PolarizabilitySeries.file_name: ("trajectory", "model.predictor"),
    RamanSpectrum.file_name: ("series", "spectrum"),
    Dynamics.file_name: ("dynamics", "trajectory"),
    Coupling.file_name: ("spectrum.low_frequency",),
    Comparison.file_name: ("comparison", "spectrum"),
    Convergence.file_name: ("convergence", "spectrum", "trajectory"),
    Forces.file_name: ("forces",),
}
# Sections without which a deck does not make a result
NEEDS: dict[str, str] = {
    Model.file_name: "reference",
    LearningCurve.file_name: "learning_curve",
    PolarizabilitySeries.file_name: "trajectory",
    Dynamics.file_name: "dynamics",
    Comparison.file_name: "comparison",
    Convergence.file_name: "convergence",
    Forces.file_name: "forces",
}
# Keys that change no number, and file names, which are compared by content
FREE_KEYS = {"dynamics.memory", "dynamics.arrhenius"}
FILE_KEYS = (
    "reference.files",
    "trajectory.files",
    "model.predictor.files",
    "series.file",
    "forces.files",
    "forces.predicted_files",
    "dynamics.lattice_sites",
)
IGNORED = FREE_KEYS | {*FILE_KEYS, "comparison.series.file", "comparison.experiment.file", "comparison.runs"}


@dataclass(frozen=True)
class Difference:
    """Why a result is not that of the deck: the file, the key that differs, and how."""

    path: Path
    key: str
    reason: str

    @property
    def text(self) -> str:
        return f"{self.path} was made {self.reason}"


def _in_words(value: Any) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def difference(job: Job, path: Path) -> Difference | None:
    """The first difference between the deck and the one that made `path`, or a result that it was made from.

    None where there is none. Sections that one of the two decks lacks are not compared. For root.
    """
    origin = hdf5.read_origin(path)
    if origin is None or path.name not in OWN_KEYS:
        return None
    now, then = resolved_values(resolved_yaml(job.deck)), resolved_values(origin.deck)
    if path.name in NEEDS and (now.get(NEEDS[path.name]) is None or then.get(NEEDS[path.name]) is None):
        return None
    for dotted in OWN_KEYS[path.name]:
        for key, new, old in _compared(now, then, dotted):
            free = path.name == Dynamics.file_name and key == "trajectory.every"
            if not free and _without_folders(new) != _without_folders(old):
                return Difference(path, key, f"with {_in_words(old)}, the deck says {_in_words(new)}")
    return _of_files(job, path, origin.parents) or _of_parents(job, path, origin.parents)


def _without_folders(value: Any) -> Any:
    """Absolute paths among the items of a list or mapping as names alone: the files may have been moved together."""
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_folders(item) for name, item in value.items()}
    return os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value


def _compared(now: Any, then: Any, dotted: str) -> Iterator[tuple[str, Any, Any]]:
    """(key, value now, value then) of all single keys below `dotted`."""
    for part in dotted.split("."):
        now, then = ((values or {}).get(part) for values in (now, then))
    if "." in dotted or (now is not None and then is not None):
        yield from _leaves(dotted, now, then)


def _leaves(key: str, now: Any, then: Any) -> Iterator[tuple[str, Any, Any]]:
    """Keys that the older program did not know are left out."""
    if not (isinstance(now, dict) and isinstance(then, dict)):
        yield key, now, then
        return
    for name in now:
        if name in then and f"{key}.{name}" not in IGNORED:
            yield from _leaves(f"{key}.{name}", now[name], then[name])


def _of_files(job: Job, path: Path, parents: dict[str, str]) -> Difference | None:
    """A file that the deck names and the result was not made from; files that are not there any more do not count."""
    if not (known := set(parents.values()) | _of_runs(path, parents)):
        return None
    for key in FILE_KEYS:
        section, *names = key.split(".")
        if not any(key.startswith(f"{own}.") for own in OWN_KEYS[path.name]):
            continue
        value = getattr(job.deck, section)
        for name in names:
            value = getattr(value, name, None)
        if value is None or (section == "trajectory" and not _from_files(path)):
            continue
        try:
            digests = hashes(job.files(key), job.scratch).values()
        except DataError:
            continue
        if not known.issuperset(digests):
            return Difference(path, key, "from other files, or they have changed since")
    return None


def _of_runs(path: Path, parents: dict[str, str]) -> set[str]:
    """Hashes of what the results were made from of which `path` is the mean (`trajectory.runs`)."""
    runs = [Path(name) for name in parents if Path(name).name == path.name and Path(name).exists()]
    origins = [origin for run in runs if (origin := hdf5.read_origin(run)) is not None]
    return {content for origin in origins for content in origin.parents.values()}


def _from_files(path: Path) -> bool:
    """Whether the trajectory's files are among the parents of this result."""
    return path.name in (PolarizabilitySeries.file_name, Dynamics.file_name)


def _of_parents(job: Job, path: Path, parents: dict[str, str]) -> Difference | None:
    """Of results in the same folder that this one was made from."""
    for name, content in parents.items():
        parent = job.output / Path(name).name
        if parent.name not in OWN_KEYS or not parent.exists() or Path(name).resolve() != parent.resolve():
            continue
        if damage(parent) is not None:  # said when it is read, or made anew
            continue
        if hdf5.content_of(parent) != content:
            return Difference(path, "output", f"from another {parent.name} than the one there")
        if (changed := difference(job, parent)) is not None:
            return changed
    return None


def refuse_other_deck(job: Job, path: Path) -> None:
    """DataError that names the key where `path`, which a command is about to read, belongs to another deck."""
    changed = difference(job, path)
    if changed is not None:
        raise job.deck.data_error(changed.key, f"{changed.text}; 'mlraman run' makes again what depends on it")


def of_other_decks(job: Job) -> list[Difference]:
    """One for each result in the output folder that is not of this deck."""
    changes = (difference(job, job.output / name) for name in OWN_KEYS if (job.output / name).exists())
    return [item for item in changes if item is not None]
