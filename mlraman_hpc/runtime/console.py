"""What people read while it runs: lines, progress with rate and time left, warnings repeated at the end, errors.

Only root writes. On a terminal progress is a bar; in a batch log it is a line now and then.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from mlraman_hpc.runtime.status_file import StatusFile

SILENT, QUIET, NORMAL, VERBOSE = -1, 0, 1, 2
BAR_SECONDS, FIRST_LINE_SECONDS, LONGEST_LINE_SECONDS = 0.2, 5.0, 600.0  # between two reports of progress
BAR_WIDTH = 20  # characters


class HasRoot(Protocol):
    """All that a console needs to know of a session."""

    @property
    def is_root(self) -> bool: ...


class Console:
    """The log of a run. `warnings`: how often each was given; `stages`: seconds spent in each stage."""

    def __init__(self, session: HasRoot, level: int = NORMAL, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.level = level if session.is_root else SILENT
        self.warnings: dict[str, int] = {}
        self.stages: dict[str, float] = {}
        self.start = time.monotonic()
        self.bar = False  # whether a progress bar is on the terminal now
        self.status: StatusFile | None = None  # where a job that writes results reports too
        if session.is_root:
            self.handlers()[:] = [_LogHandler(self)]
            logging.getLogger("mlraman_hpc").setLevel(logging.INFO)
        if hasattr(self.stream, "reconfigure"):  # a killed batch job must not lose its lines
            self.stream.reconfigure(line_buffering=True, errors="replace")

    @staticmethod
    def handlers() -> list[logging.Handler]:
        """Where notices of packages that know no console go: to the console made last."""
        return logging.getLogger("mlraman_hpc").handlers

    def say(self, text: str = "", level: int = NORMAL) -> None:
        if self.level >= level:
            self.write(f"{self._clear()}{text}\n")

    def write(self, text: str) -> None:
        """A full disk or a reader that has left ends the log, not the run."""
        try:
            print(text, end="", file=self.stream, flush=True)
        except OSError:
            self.level = SILENT

    def _clear(self) -> str:
        """What takes a progress bar away before a line is written."""
        clear, self.bar = "\r\033[K" if self.bar else "", False
        return clear

    def detail(self, text: str) -> None:
        self.say(text, VERBOSE)

    def warn(self, text: str) -> None:
        """Printed at once, the first time; counted, and repeated in the summary."""
        if text not in self.warnings and self.level >= QUIET:
            if self.bar:
                self.write(self._clear())
            with suppress(OSError):
                print(f"warning: {text}", file=sys.stderr, flush=True)
        self.warnings[text] = self.warnings.get(text, 0) + 1
        if self.status:
            self.status.warned(len(self.warnings))

    def summary(self, end: str = "done in", memory: list[float] | None = None) -> None:
        """Warnings again, time by stage, memory (MB of each rank)."""
        if self.warnings and self.level >= NORMAL:
            count = len(self.warnings)
            self.say(f"\n{count} warning{'s' if count > 1 else ''}:")
            for text, times in self.warnings.items():
                self.say(f"  - {text}" + (f" ({times} times)" if times > 1 else ""))
        if self.stages:
            self.say("time: " + ", ".join(f"{name} {duration(seconds)}" for name, seconds in self.stages.items()))
        if memory:
            self.say(
                f"memory: {memory[0]:.0f} MB on the first rank"
                + (f", at most {max(memory[1:]):.0f} MB on the others" if memory[1:] else "")
            )
        self.say(f"{end} {duration(time.monotonic() - self.start)}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time spent inside goes to the summary."""
        start = time.monotonic()
        if self.status:
            self.status.stage(name)
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - start
            if self.status:
                self.status.finished(name, self.stages[name])

    @contextmanager
    def progress(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Yields `advance(count)`, which reports now and then; `done` units are there from an earlier run."""
        meter = _Meter(self, what, total, unit, done)
        yield meter.advance
        meter.finish()


class _LogHandler(logging.Handler):
    """Notices of packages that know no console, such as the compiled loops."""

    def __init__(self, console: Console):
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.say(record.getMessage())


class _Meter:
    """Rate and time left of one loop, as a bar on a terminal and as lines in a log."""

    def __init__(self, console: Console, what: str, total: int, unit: str, done: int):
        self.console, self.what, self.total, self.unit = console, what, total, unit
        self.done = self.done_before = done
        self.start = self.reported = time.monotonic()
        self.terminal = console.stream.isatty()
        self.interval = BAR_SECONDS if self.terminal else FIRST_LINE_SECONDS

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if status := self.console.status:
            status.progress(self.what, self.done, self.total, self.unit, self._seconds_left(now))
        if now - self.reported >= self.interval and self.done < self.total:
            self.reported = now
            self._report(now)
            if not self.terminal:  # long jobs: fewer lines as they go on
                self.interval = min(LONGEST_LINE_SECONDS, self.interval * 1.5)

    def _rate(self, now: float) -> float:
        return (self.done - self.done_before) / max(now - self.start, 1e-9)

    def _seconds_left(self, now: float) -> float | None:
        rate = self._rate(now)
        return (self.total - self.done) / rate if rate > 0 else None

    def _report(self, now: float) -> None:
        rate, seconds = self._rate(now), self._seconds_left(now)
        left = "?" if seconds is None else duration(seconds)
        text = (
            f"{self.what}: {self.done} of {self.total} {self.unit} "
            f"({100 * self.done // max(self.total, 1)} %), {rate:.3g} {self.unit}/s, {left} left"
        )
        if not self.terminal:
            self.console.say(text)
        elif self.console.level >= NORMAL:
            filled = BAR_WIDTH * self.done // max(self.total, 1)
            self.console.bar = True
            self.console.write(f"\r\033[K[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {text}")

    def finish(self) -> None:
        now = time.monotonic()
        count = self.done - self.done_before
        self.console.say(
            f"{self.what}: {count} {self.unit} in {duration(now - self.start)}"
            + (f" ({self._rate(now):.3g} {self.unit}/s)" if count else "")
        )


def duration(seconds: float) -> str:
    """'1.5 s', '2 min 05 s' or '3 h 07 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def error_lines(text: str) -> str:
    """Every line of `text` as an error of ours."""
    return "".join(f"mlraman: error: {line}\n" for line in text.splitlines())


def write_stderr(text: str) -> None:
    """On any rank, in one write, so that messages of several ranks do not mix."""
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))
