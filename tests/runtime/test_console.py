"""Progress, warnings and durations as people read them."""

import io

import pytest

from mlraman_hpc.runtime.console import Console, duration
from mlraman_hpc.runtime.session import Session


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.2 s"), (75, "1 min 15 s"), (3720, "1 h 02 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_progress_tells_rate_and_time_left(monkeypatch):
    stream = io.StringIO()
    console = Console(Session(), stream=stream)
    clock = iter([0.0, 30.0, 30.0, 60.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with console.progress("predicting", 100, "frames", done=20) as advance:
        advance(30)
        advance(0)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "predicting: 50 of 100 frames (50 %), 1 frames/s, 50.0 s left"


def test_bar_on_a_terminal(monkeypatch):
    stream = Terminal()
    console = Console(Session(), stream=stream)
    clock = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with console.progress("predicting", 4, "frames") as advance:
        advance(1)
    assert "[#####..............." in stream.getvalue()


def test_warnings_are_said_once_and_repeated_at_the_end(capsys):
    stream = io.StringIO()
    console = Console(Session(), stream=stream)
    for _ in range(3):
        console.warn("the trajectory is short")
    console.summary()
    assert capsys.readouterr().err == "warning: the trajectory is short\n"
    assert "the trajectory is short (3 times)" in stream.getvalue()


def test_quiet_keeps_warnings(capsys):
    stream = io.StringIO()
    console = Console(Session(), level=0, stream=stream)
    console.say("hello")
    console.warn("careful")
    console.summary()
    assert stream.getvalue() == "" and "careful" in capsys.readouterr().err


def test_a_line_takes_the_bar_away():
    stream = Terminal()
    console = Console(Session(), stream=stream)
    with console.progress("predicting", 100, "frames") as advance:
        console.bar = True  # as if one had been drawn
        console.say("hello")
        advance(100)
    assert "\r\033[Khello\n" in stream.getvalue() and not console.bar
