"""SIGTERM, SIGUSR1 and time limits in every stage; on one rank and on three."""

import signal
import subprocess
import sys
import time

import pytest

from mlraman_hpc.base.errors import DeckError, StoppedEarly
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime.interrupts import REPEAT, Stop
from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.helpers import stop_signal, wait_for_line


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("ranks", "number", "command", "moment"),
    [
        (0, signal.SIGTERM, "train", "training on"),
        (3, signal.SIGUSR1, "train", "training on"),
        (3, signal.SIGTERM, "spectrum", "MPI:"),
    ],
)
def test_root_stages_stop_at_once(ranks, number, command, moment, trained, background, mlraman):
    if command == "spectrum":
        mlraman(0, "predict", "deck.yaml", folder=trained)
    else:
        (trained / "out" / "model.h5").unlink()
    before = sorted(path.name for path in (trained / "out").iterdir())
    process = background(ranks, command, "deck.yaml", folder=trained)
    wait_for_line(process, moment)
    number = stop_signal(ranks) if number == signal.SIGTERM else number
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert err.count(f"stopped by {number.name}; what was computed is kept, start the same command again") == 1
    assert "Traceback" not in err and "stopped after" in out
    assert sorted(path.name for path in (trained / "out").iterdir()) == before


def test_a_second_signal_stops_even_within_a_batch():
    script = (
        "import time\nfrom mlraman_hpc.runtime.interrupts import Stop\n"
        "stop = Stop()\nstop.listen()\nend = stop.deferred()"
        "\nwith end:\n    print('in', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    wait_for_line(process, "in")
    process.send_signal(signal.SIGTERM)
    time.sleep(REPEAT + 0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM
    process.communicate()


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [0, 3])
def test_walltime_stops_in_time_and_goes_on(ranks, trained, expected, mlraman):
    limit = ["--set", "walltime=0.2"]  # 12 s, less a margin of 10
    stopped = mlraman(ranks, "predict", "deck.yaml", *limit, code=75, folder=trained, env={"MLRAMAN_TEST_SLOW": "2"})
    assert "stopped by the time limit" in stopped.stderr
    assert "stopped after" in stopped.stdout and not (trained / "out" / "mlraman.lock").exists()
    mlraman(0, "predict", "deck.yaml", folder=trained)
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


def test_walltime_in_the_deck(tmp_path):
    deck = small.write(tmp_path)
    with pytest.raises(DeckError, match="should be minutes, 'HH:MM:SS'"):
        read_deck(deck, ["walltime=01:30"])
    for text, minutes in (("90", 90), ("01:30:00", 90), ("1-00:00:30", 1440.5)):
        assert read_deck(deck, [f"walltime={text}"]).walltime == minutes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1:59", 119), ("01:00:00", 3600), ("2-00:00:01", 172801), ("UNLIMITED", None), ("", None), ("INVALID", None)],
)
def test_slurms_remaining_time(text, seconds):
    assert machine.parse_time(text) == seconds


def test_the_nearer_limit_counts(monkeypatch):
    said = []
    monkeypatch.setattr(machine, "_slurm_left", lambda env: 1000.0)
    assert machine.seconds_left(None, said.append) == 950
    assert machine.seconds_left(1e9, said.append) == 950
    assert machine.seconds_left(1e-9, said.append) == 1e-3
    monkeypatch.setattr(machine, "_slurm_left", lambda env: None)
    assert machine.seconds_left(None, said.append) is None


def test_a_slurm_that_does_not_answer_is_no_error(tmp_path):
    assert machine._slurm_left({"SLURM_JOB_ID": "99999999", "PATH": str(tmp_path)}) is None
    assert machine._slurm_left({"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": str(int(time.time()) + 60)}) <= 60


def test_what_a_library_makes_of_the_interruption_is_still_a_stop():
    stop = Stop()
    with pytest.raises(StoppedEarly), stop.interruptible():
        try:
            stop._note(signal.SIGUSR1, None)
        except StoppedEarly:
            raise ValueError("callback failed") from None
    with pytest.raises(ValueError, match="a real one"), Stop().interruptible():
        raise ValueError("a real one")


def test_repeats_within_a_moment_count_once():
    """A launcher and Slurm may both pass on the same signal."""
    stop = Stop()
    with stop.deferred():
        stop._note(signal.SIGTERM, None)
        stop._note(signal.SIGTERM, None)
        assert stop.requested and not stop.now
    with pytest.raises(StoppedEarly, match="SIGTERM"), stop.interruptible():
        pytest.fail("should have been left")
