"""`mlraman verify FOLDER`: what of a folder of results is whole, what is stale, what has changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.freshness import OWN_KEYS, difference
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.verification import Finding, findings, sentence
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session


def verify(session: Session, options: argparse.Namespace) -> None:
    """A line for each file; DataError at the end where one is damaged, stale or of another deck."""
    session.on_root(_verify, session, options)


def _verify(session: Session, options: argparse.Namespace) -> None:
    bad = []
    for name in options.folders or ["."]:
        folder = Path(name)
        results = findings(folder)
        _compare_deck(session, folder, results)
        for finding in results:
            _print(finding)
        print(f"{folder}: {sentence(results)}")
        bad += [finding.path for finding in results if finding.problems]
    if bad:
        raise DataError(f"{', '.join(map(str, bad))}: not to be trusted as they are; see the list above")


def _compare_deck(session: Session, folder: Path, results: list[Finding]) -> None:
    """With the deck that lies beside the results."""
    path = folder / "resolved_deck.yaml"
    if not path.exists():
        results[0].notes.append("no resolved_deck.yaml to compare with")
        return
    try:
        deck = read_deck(path)
    except DeckError as error:
        results[0].notes.append(f"resolved_deck.yaml cannot be read by this version ({error})")
        return
    deck.output = str(folder)
    job = Job(deck, session, Console(session, 0))
    for finding in results:
        if finding.problems or finding.path.name not in OWN_KEYS:
            continue
        other = difference(job, finding.path)
        if other is not None and other.path == finding.path:
            finding.problems.append(f"stale: made {other.reason} ({other.key})")


def _print(finding: Finding) -> None:
    made = finding.origin.history[-1] if finding.origin and finding.origin.history else {}
    when = f", made {made['date']} by {made['task']}" if {"date", "task"} <= set(made) else ""
    print(f"{finding.path}: {finding.verdict}{when}")
    for note in finding.notes:
        print(f"    {note}")
