"""A round of selection: what manifest and deck say, the frames that are chosen, the files that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.labelling.candidates import (
    Points,
    Space,
    all_points,
    candidate_space,
    correlation_frames,
    shared_points,
)
from mlraman_hpc.labelling.manifest import (
    FILE_NAME,
    Calculation,
    Kind,
    Manifest,
    Purpose,
    Status,
    read_manifest,
    structure_hash,
    write_manifest,
)
from mlraman_hpc.labelling.selection import chosen_by_score, draw_order, expected_error, spaced
from mlraman_hpc.numerics import Integers
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import descriptor_settings
from mlraman_hpc.pipeline.trajectory import selected_frames, stored_interval, trajectory_hashes, trajectory_index
from mlraman_hpc.readers.trajectory.base import TrajectoryIndex
from mlraman_hpc.readers.trajectory.index import read_frames
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.storage import provenance
from mlraman_hpc.storage.labels_extxyz import frames_extended_xyz

SELECTED = "selected.extxyz"
MOST_CANDIDATES = 50_000  # of 3 kB each, shared by the ranks; for rules that compare all
MOST_DRAWN = 2  # test frames, for each that is wanted
LEAST_ROOM = 2.0  # the interval is at most what leaves each frame that may be labelled so many times its room


class NoFramesLeft(DataError):
    """There is no frame to select that is far enough in time from all others."""


@dataclass(frozen=True)
class State:
    """Root's view: trajectory, candidates (frame numbers) and the manifest as it is."""

    index: TrajectoryIndex
    chosen: Integers
    manifest: Manifest


def manifest_path(job: Job) -> Path:
    return job.output / FILE_NAME


def required_manifest(job: Job) -> Manifest:
    """Errors: DataError where nothing was selected yet."""
    manifest = read_manifest(manifest_path(job))
    if manifest is None:
        raise DataError(f"{manifest_path(job)}: no frames are selected yet; 'mlraman select' does it")
    return manifest


def section_of(job: Job) -> Any:
    """The deck's section, for a trajectory of one run."""
    section = job.section("labelling")
    if job.section("trajectory").runs:
        raise DeckKeyError("trajectory.runs", "labelling takes the frames of one run; name one of the files")
    return section


def read_state(job: Job) -> State:
    """On root. Errors: DataError for a manifest of other frames than the trajectory has now."""
    index = trajectory_index(job)
    chosen = np.array(selected_frames(job, index))
    files = trajectory_hashes(job)
    manifest = read_manifest(manifest_path(job))
    if manifest is None:
        return State(index, chosen, Manifest(files, len(index)))
    if list(manifest.trajectory.values()) != list(files.values()):
        _check_same_frames(job, manifest, index)
        manifest = replace(manifest, trajectory=files, frames=len(index))
    return State(index, chosen, manifest)


def _check_same_frames(job: Job, manifest: Manifest, index: TrajectoryIndex) -> None:
    """A trajectory may grow, or be packed, or lie elsewhere; frames that were selected must be there unchanged."""
    for item in manifest.calculations:
        same = item.frame < len(index) and structure_hash(read_frames(index, [item.frame]), 0) == item.structure
        if not same:
            raise DataError(
                f"{manifest_path(job)}: frame {item.frame} is not what it was when it was selected: the trajectory is "
                "another one. Take another 'output', or move the manifest away"
            )


def select_round(job: Job) -> Manifest:
    """The manifest with the next round, or as it is while calculations are open; for all ranks, written by root."""
    session = job.session
    session.enter_step("index")
    section = section_of(job)
    state: State | None = session.only_on_root(read_state, job)
    if session.on_root(_is_selected, job, state):
        return session.on_root(_manifest_of, state)
    chosen = session.on_root(_chosen_of, state)
    index = state.index if state else None
    space = candidate_space(job, index, chosen)
    gap = _least_gap(job, index, chosen, space)
    manifest: Manifest = session.on_root(_with_tests, job, state, gap)
    taken = [item.frame for item in manifest.calculations]
    count = min(section.frames, section.most - len(_trained_on(manifest)))
    known = all_points(job, index, np.array(sorted(item.frame for item in _trained_on(manifest)), dtype=int), space)
    if section.rule == "random":
        frames = session.on_root(lambda: spaced(draw_order(chosen, section.seed), taken, gap, count))
    else:
        points = shared_points(job, index, _thinned(job, chosen), space)
        session.enter_step("choice")
        frames = chosen_by_score(session, section.rule, points, space, known, taken, gap, count)
    new = all_points(job, index, np.array(frames, dtype=int), space)
    return session.on_root(_write, job, state, manifest, frames, (space, known, new))


def _manifest_of(state: State) -> Manifest:
    return state.manifest


def _chosen_of(state: State) -> Integers:
    return state.chosen


def _is_selected(job: Job, state: State) -> bool:
    """Whether there is nothing to select: calculations are open, or there are labels enough."""
    section, manifest, say = section_of(job), state.manifest, job.console.say
    waiting = manifest.open
    if waiting and not job.force:
        stored = manifest.settings.get(str(manifest.rounds))
        if stored is not None and stored != _settings(job):
            job.console.warn(
                f"round {manifest.rounds} was selected with other settings than the deck's; 'mlraman select --force' "
                "selects it anew"
            )
        say(f"round {manifest.rounds} is selected: {len(waiting)} calculations are to be done before the next one")
        return True
    if not waiting and len(_trained_on(manifest)) >= section.most:
        say(f"{len(_trained_on(manifest))} frames are labelled, as many as labelling.most allows")
        return True
    return False


def _settings(job: Job) -> str:
    section = section_of(job).model_dump(include={"kind", "rule", "frames", "test", "min_interval", "seed"})
    return provenance.hash_of(
        section, job.section("trajectory").model_dump(exclude={"files"}), descriptor_settings(job)
    )


def _thinned(job: Job, chosen: Integers) -> Integers:
    """At equal distances, where there are more than a comparison of all would have memory for."""
    if len(chosen) <= MOST_CANDIDATES:
        return chosen
    step = -(-len(chosen) // MOST_CANDIDATES)
    job.console.say(f"every {step}th of the {len(chosen)} frames is a candidate; trajectory.every chooses others")
    return chosen[::step]


def _trained_on(manifest: Manifest) -> list[Calculation]:
    """Frames for training that have, or will have, a label."""
    return [item for item in manifest.of(Purpose.TRAIN) if not item.status.is_kept_apart]


def _least_gap(job: Job, index: TrajectoryIndex | None, chosen: Integers, space: Space) -> int:
    """Number of stored frames that two selected ones are apart at least."""
    section = section_of(job)
    interval = job.session.on_root(stored_interval, job, index)
    if section.min_interval is not None:
        return int(np.ceil(section.min_interval / interval - 1e-9))
    every = job.section("trajectory").every
    estimated = correlation_frames(job, index, chosen, space) * every
    room = len(chosen) * every / (LEAST_ROOM * (section.test + section.most))
    gap = int(np.ceil(min(estimated, room) - 1e-9))
    limited = (
        f"; {gap * interval:g} fs are kept, so that {section.test + section.most} frames fit into the trajectory"
        if estimated > room
        else ""
    )
    job.console.say(f"correlation time of the descriptors: about {estimated * interval:.3g} fs{limited}")
    return gap


def _with_tests(job: Job, state: State, gap: int) -> Manifest:
    """With as many test frames as the deck wants, drawn before all others; of an open round nothing is left."""
    section, manifest = section_of(job), state.manifest
    kept = tuple(item for item in manifest.calculations if not item.status.is_open or item.purpose is Purpose.TEST)
    manifest = replace(manifest, calculations=kept)
    taken = [item.frame for item in kept]
    wanted = max(0, section.test - len(manifest.of(Purpose.TEST)))
    frames = spaced(draw_order(state.chosen, section.seed), taken, gap, wanted + tests_to_replace(job, manifest))
    _check_number(job, len(frames), wanted, "test", gap)
    if len(frames) > wanted:
        lost = _numbers(item.frame for item in _lost_tests(manifest))
        job.console.say(
            f"test frames {lost} gave no label; the next of the draw take their place: {_numbers(frames[wanted:])}"
        )
    return replace(
        manifest, calculations=kept + _calculations(state, frames, Purpose.TEST, Kind.POLARIZABILITY, 0, "random")
    )


def tests_to_replace(job: Job, manifest: Manifest) -> int:
    """Test frames that are drawn in place of those that gave no label, until twice as many are drawn as are wanted."""
    wanted, drawn, lost = section_of(job).test, len(manifest.of(Purpose.TEST)), len(_lost_tests(manifest))
    return max(0, min(wanted - drawn + lost, MOST_DRAWN * wanted - drawn, lost))


def _lost_tests(manifest: Manifest) -> list[Calculation]:
    """Those without a label; an outlier is looked at again at every `collect`."""
    return [
        item for item in manifest.of(Purpose.TEST) if item.status.is_kept_apart and item.status is not Status.OUTLIER
    ]


def replace_tests(job: Job) -> Manifest:
    """The manifest, with open test frames in place of those that gave no label; for all ranks, written by root."""
    session = job.session
    state: State | None = session.only_on_root(read_state, job)
    if not session.on_root(lambda: tests_to_replace(job, state.manifest) if state else 0):
        return session.on_root(_manifest_of, state)
    index, chosen = state.index if state else None, session.on_root(_chosen_of, state)
    gap = _least_gap(job, index, chosen, candidate_space(job, index, chosen))
    return session.on_root(_write_tests, job, state, gap)


def _write_tests(job: Job, state: State, gap: int) -> Manifest:
    manifest = _with_tests(job, state, gap)
    write_selected(job, state.index, manifest)
    write_manifest(manifest_path(job), manifest)
    return manifest


def _numbers(frames: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(frames)))


def _check_number(job: Job, available: int, wanted: int, key: str, gap: int) -> None:
    if available < wanted:
        raise DataError(
            f"{job.deck.location(f'labelling.{key}')}: {wanted} frames, but only {available} are {gap} or more "
            "frames from all others that are selected; ask for fewer, or lower labelling.min_interval"
        )


def _calculations(
    state: State, frames: list[int], purpose: Purpose, kind: Kind, number: int, rule: str
) -> tuple[Calculation, ...]:
    return tuple(
        Calculation(frame, purpose, kind, number, rule, structure_hash(read_frames(state.index, [frame]), 0))
        for frame in sorted(frames)
    )


def _write(
    job: Job, state: State, manifest: Manifest, frames: list[int], spaces: tuple[Space, Points, Points]
) -> Manifest:
    section, say = section_of(job), job.console.say
    if not frames:
        raise NoFramesLeft(
            f"{job.deck.location('labelling.min_interval')}: no frame is left that is far enough in time from all "
            "that are selected; lower labelling.min_interval, or compute a longer trajectory"
        )
    number = manifest.rounds + 1
    added = _calculations(state, frames, Purpose.TRAIN, Kind(section.kind), number, section.rule)
    manifest = replace(
        manifest, calculations=manifest.calculations + added, settings=manifest.settings | {str(number): _settings(job)}
    )
    write_selected(job, state.index, manifest)
    write_manifest(manifest_path(job), manifest)
    tests = sum(not item.status.is_kept_apart for item in manifest.of(Purpose.TEST))
    say(f"round {number}: {len(frames)} frames ({section.rule}), {section.kind}; {tests} frames are kept for testing")
    if len(frames) < section.frames:
        say(f"fewer than labelling.frames ({section.frames}): as many as labelling.most or the trajectory leaves")
    say(expected_error(*spaces).text)
    say(f"wrote {manifest_path(job)}, {SELECTED}")
    return manifest


def write_selected(job: Job, index: TrajectoryIndex, manifest: Manifest) -> None:
    """selected.extxyz: every frame of the manifest once, in the order of the trajectory."""
    chosen = sorted({item.frame: item for item in manifest.calculations}.values(), key=lambda item: item.frame)
    frames = read_frames(index, [item.frame for item in chosen])
    with atomic_write(job.output / SELECTED) as temporary:
        temporary.write_text(frames_extended_xyz(frames, [_comment(item) for item in chosen]), encoding="utf-8")


def _comment(item: Calculation) -> str:
    return f"frame={item.frame} purpose={item.purpose.value} round={item.round} rule={item.rule} name={item.name}"


def frame_of(index: TrajectoryIndex, item: Calculation, path: Path) -> Frames:
    """The frame of a calculation. Errors: DataError where it is not the structure that was selected."""
    frames = read_frames(index, [item.frame])
    if structure_hash(frames, 0) != item.structure:
        raise DataError(
            f"{path}: frame {item.frame} is not what it was when it was selected; the trajectory has changed"
        )
    return frames
