"""The skeleton of a command that makes one result file, written once.

    origin -> up to date? -> compute -> figures and other files -> the record, last -> log

A command gives the origin and the computation. The record is saved last, so that who finds it finds all else too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlraman_hpc.pipeline.checkpointing import Checkpoint
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.fields import Record
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.checkpoint import remove_stale
from mlraman_hpc.storage.provenance import Origin


@dataclass
class Output:
    """What a step has computed, on root.

    record    what is stored; None where the step has written its file itself
    figures   {file name: (function, arguments after the path)}
    files     {file name: the same}: what is written whether figures are wanted or not
    lines     the result in words, for the log
    warnings  for the log and its summary
    """

    record: Record | None = None
    figures: dict[str, tuple] = field(default_factory=dict)
    files: dict[str, tuple] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Step:
    """A result file of the output folder on its way; all ranks call the methods."""

    def __init__(self, job: Job, file_name: str, origin: Callable[..., Origin], *arguments) -> None:
        """`origin(job, *arguments)` is called on root."""
        self.job, self.path = job, job.output / file_name
        self.origin: Origin = job.session.on_root(origin, job, *arguments)
        self._checkpoint: Checkpoint | None = None

    def up_to_date(self) -> bool:
        """Whether the file has this origin already; what an interrupted run left of it is removed then."""
        session = self.job.session
        if not session.on_root(self.job.up_to_date, self.path, self.origin):
            return False
        session.only_on_root(remove_stale, self.path, self.origin.key)
        self.job.console.say(f"{self.path} is up to date")
        return True

    def checkpoint(self, sections: tuple[str, ...], what: str) -> Checkpoint:
        """For a computation that can be continued; removed when the result is written."""
        self._checkpoint = Checkpoint(self.job, self.path, self.origin, sections, what)
        return self._checkpoint

    def write(self, output: Output | None) -> None:
        """`output` is root's."""
        self.job.session.enter_step("write")
        self.job.session.only_on_root(self._write, output)
        if self._checkpoint is not None:
            self._checkpoint.finish()

    def _write(self, output: Output) -> None:
        job = self.job
        for text in [*job.watched.check(), *output.warnings]:
            job.console.warn(text)
        for name, (draw, *arguments) in output.figures.items():
            job.draw(name, draw, *arguments)
        for name, (write, *arguments) in output.files.items():
            write(job.output / name, *arguments)
        if output.record is not None:
            hdf5.save(output.record, self.path, self.origin)
        for line in output.lines:
            job.console.say(line)
        names = [*output.files, *(output.figures if job.deck.figures else ())]
        job.console.say(", ".join([f"wrote {self.path}", *names]))


def run_step(
    job: Job,
    record_type: type[Record],
    origin: Callable[[Job], Origin],
    compute: Callable[[Step], Output | None],
    *,
    root_alone: bool = False,
) -> None:
    """Make the record's file unless it is up to date.

    `origin` is called on root; `compute` on all ranks, and its result is root's; or, with `root_alone`, on root.
    """
    with job.located():
        step = Step(job, record_type.file_name, origin)
        if not step.up_to_date():
            step.write(job.session.only_on_root(compute, step) if root_alone else compute(step))
