"""Whether the results of a folder can be trusted: content, what they were made from, deck, versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.base.checksums import Damaged
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.checkpoint import check_undamaged
from mlraman_hpc.storage.provenance import Origin, hash_of_file
from mlraman_hpc.storage.verified import damage


@dataclass
class Finding:
    """A file of results. problems: it is damaged, or not what would be made now; notes: what could not be compared."""

    path: Path
    origin: Origin | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "; ".join(self.problems) if self.problems else "whole"


def findings(folder: Path) -> list[Finding]:
    """One for each result and unfinished file in the folder. DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = sorted({*folder.glob("*.h5"), *folder.glob("*.h5.partial")})
    if not paths:
        raise DataError(f"{folder}: no results there")
    return [_unfinished(path) if ".partial" in path.name else _finding(path) for path in paths]


def _unfinished(path: Path) -> Finding:
    """Of an interrupted run; the rows of alpha.partial.h5 are verified when it goes on."""
    try:
        check_undamaged(path)
    except (Damaged, OSError) as error:
        return Finding(path, problems=[f"damaged: {error}"])
    return Finding(path, notes=["of an interrupted run"])


def _finding(path: Path) -> Finding:
    if (problem := damage(path)) is not None:
        return Finding(path, problems=[problem.removeprefix(f"{path}: ")])
    finding = Finding(path, hdf5.read_origin(path))
    if finding.origin is None:
        finding.problems.append("does not say what it was made from")
        return finding
    for name, digest in finding.origin.parents.items():
        _compare_parent(finding, name, digest)
    made = finding.origin.history[-1] if finding.origin.history else {}
    if (version := made.get("mlraman_hpc", "unknown")) != __version__:
        finding.notes.append(f"made by version {version}, this is {__version__}")
    return finding


def _compare_parent(finding: Finding, name: str, digest: str) -> None:
    paths = list(_candidate_paths(finding.path.parent, name))
    if not paths:
        finding.notes.append(f"{name} is not there any more")
        return
    for path in paths:
        try:
            now = hdf5.content_of(path) if _is_result(path, digest) else hash_of_file(path)
        except (DataError, OSError) as error:
            finding.problems.append(f"was made from {name}, which cannot be read now: {error}")
            return
        if now == digest:
            return
    finding.problems.append(f"stale: {name} has changed since")


def _is_result(path: Path, digest: str) -> bool:
    """Results are known by what is sealed in them, other files, trajectories in HDF5 too, by all bytes."""
    if path.suffix != ".h5" or hash_of_file(path) == digest:
        return False
    return hdf5.read_origin(path) is not None or damage(path) is not None


def _candidate_paths(folder: Path, name: str) -> Iterator[Path]:
    """Where a file may be that was named relative to the folder in which the program ran."""
    above = Path(folder).absolute()
    seen = set()
    for start in (Path.cwd(), above, *above.parents):
        path = (start / name).resolve()
        if path not in seen and path.is_file():
            seen.add(path)
            yield path
        if Path(name).is_absolute():
            return


def sentence(findings: list[Finding]) -> str:
    """'5 of 6 files are whole and made from what is there now'"""
    good = sum(not finding.problems for finding in findings)
    return f"{good} of {len(findings)} files are whole and made from what is there now"
