"""`mlraman campaign`: many materials, one deck, one ranking.

All ranks compute one material after another, or groups of ranks take materials from a common list, the largest first,
or each task of a job array has its share of them. Files are the same in all three ways.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from mlraman_hpc.base.errors import DataError, StoppedEarly, UserError
from mlraman_hpc.campaign import common_model
from mlraman_hpc.campaign import report as campaign_report
from mlraman_hpc.campaign.material import compute, fail, logging
from mlraman_hpc.campaign.plan import Run, chosen_names, largest_first
from mlraman_hpc.campaign.rows import Row, row_of
from mlraman_hpc.campaign.work_queue import WorkQueue
from mlraman_hpc.config.campaign_deck import SHARED, Material
from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime.console import Console, duration
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage.folder_lock import Busy, lock_folder

RETRY, PATIENCE = 0.5, 300.0  # s between attempts to lock a folder that another job uses, and for how long


def campaign(session: Session, options) -> None:
    """Compute what is not up to date of every chosen material, then the ranking of all.

    Raises DataError at the end where materials failed; the others are finished by then.
    """
    run = begun(session, options, "campaign")
    with folder(run):
        finish(run, computed(run, run.chosen))


def begun(session: Session, options, name: str) -> Run:
    """The plan and what of it is to be computed, with header and time limit; for all commands on campaigns."""
    session.enter_stage("deck")
    plan = session.on_root(read_campaign, options.deck, options.changes)
    only, array = getattr(options, "only", []), getattr(options, "array", False)
    names = session.on_root(chosen_names, plan, only, array)
    run = Run(
        plan,
        [material for material in plan.materials if material.name in names],
        session,
        Console(session, options.level),
        getattr(options, "groups", None) or plan.keys.groups,
        options.force,
        complete=not (only or array),
    )
    run.job.header(name)
    limit = session.on_root(machine.seconds_left, plan.keys.walltime, run.console.detail)
    if limit is not None:
        session.stop.limit(limit)
    return run


def computed(run: Run, chosen: list[Material]) -> dict[str, str]:
    """Compute what is not up to date of these; messages of those that failed, by name."""
    part = replace(run, chosen=chosen)
    return _materials(part, _common(part)) if chosen else {}


def finish(run: Run, failed: dict[str, str]) -> None:
    """The ranking and the summary. Raises DataError where materials failed."""
    session = run.session
    session.enter_stage("ranking")
    rows = _rows(run) if run.complete else None
    run.console.say(session.on_root(_summary, run, rows))
    run.console.summary(memory=session.gather(machine.peak_memory()))
    session.raise_if_any(_failures(run, failed))


@contextmanager
def folder(run: Run):
    """The campaign's folder; a job that computes all materials locks it. A stop is told in the summary."""
    with ExitStack() as stack:

        def prepare():
            try:
                run.plan.output.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{run.plan.output}: cannot be made: {error.strerror}") from None
            if run.complete:
                stack.enter_context(lock_folder(run.plan.output, run.console.say))
                WorkQueue.remove_stale(run.plan.output)

        run.session.only_on_root(prepare)
        try:
            yield
        except StoppedEarly:
            run.console.summary("stopped after")
            raise


# the common model


def _common(run: Run) -> dict[str, str]:
    """Train the common model, if any of the chosen needs it; messages of materials that cannot go on without."""
    sharing = [material for material in run.chosen if material.model == SHARED]
    if not sharing:
        return {}
    began = time.monotonic()
    try:
        _train(run)
    except StoppedEarly:
        raise
    except UserError as error:
        if run.session.size > 1 and not error.shared:
            raise
        text = f"the common model: {error}"
        run.console.say(text)
        run.session.only_on_root(fail, sharing, text)
        return {material.name: text for material in sharing}
    run.console.say(
        f"common model for {len(sharing)} of {len(run.chosen)} materials: {duration(time.monotonic() - began)}"
    )
    return {}


def _train(run: Run) -> None:
    """One task of an array trains; the others wait for it."""
    folder = Path(run.plan.common.output)
    while True:
        try:
            with logging(folder, run.session, run.console.level) as console:
                job = Job(run.plan.common, run.session, console, run.force and run.complete)
                with job.folder():
                    common_model.train(run.plan, job)
            return
        except Busy:
            if run.complete:
                raise
        run.session.only_on_root(time.sleep, RETRY)


# materials


def _materials(run: Run, failed: dict[str, str]) -> dict[str, str]:
    """Messages of those that failed, by name, the same on every rank; begins with those that have failed already."""
    by_name = {material.name: material for material in run.chosen}
    order = run.session.on_root(largest_first, [by_name[name] for name in by_name if name not in failed])
    run.session.enter_stage("materials")
    number, group = run.session.split(run.groups)
    level = run.session.on_root(lambda: run.console.level)
    queue = run.session.on_root(WorkQueue.create, run.plan.output, len(order))
    try:
        while (k := group.on_root(queue.take)) is not None:
            began = time.monotonic()
            material = by_name[order[k]]
            problem = compute(run.plan, material, group, level, run.force)
            if problem is not None:
                failed[material.name] = problem
            if group.is_root and level > 0:
                where = f", group {number + 1}" if group is not run.session else ""
                _line(
                    f"[{k + 1} of {len(order)}] {material.name}: {campaign_report.sentence(material, problem)} "
                    f"({duration(time.monotonic() - began)}{where})"
                )
    except StoppedEarly:
        queue.stop()
    try:
        gathered = run.session.allgather(failed)  # ends all groups where one was stopped; nothing is taken any more
    finally:
        if run.session.is_root:
            queue.remove()
    return {name: text for part in gathered for name, text in part.items()}


def _line(text: str) -> None:
    """A line in one piece, whichever rank writes it."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), f"{' '.join(text.split())}\n".encode(errors="replace"))
    except OSError:
        pass


# the ranking


def _rows(run: Run) -> list[Row] | None:
    """The results of all materials, on root; each rank reads its share."""
    with run.session.collective_errors():
        rows = [row_of(material) for material in run.session.local_share(run.plan.materials)]
    parts = run.session.gather(rows)
    return [row for part in parts for row in part] if parts else None


def _summary(run: Run, rows: list[Row] | None) -> str:
    """Write campaign.h5, .csv, .html; array tasks one after another, so that the last one sees all results."""
    if run.complete:
        return campaign_report.write(run.plan, rows)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with lock_folder(run.plan.output, run.console.detail):
                return campaign_report.write(run.plan)
        except Busy:
            if time.monotonic() > end:
                return f"{run.plan.output}: another job computes the campaign; it will write the ranking"
        time.sleep(RETRY)


def _failures(run: Run, failed: dict[str, str]) -> DataError | None:
    if not failed:
        return None
    texts = dict.fromkeys(failed[material.name] for material in run.chosen if material.name in failed)
    lines = [
        f"{', '.join(material.name for material in run.chosen if failed.get(material.name) == text)}: {text}"
        for text in texts
    ]
    head = f"{len(failed)} of {len(run.chosen)} materials failed, the others are finished:"
    return DataError("\n".join([head, *lines]))
