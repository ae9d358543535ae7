"""SIGTERM, SIGUSR1 and time limits in every stage; on one rank and on three."""

import signal
import subprocess
import sys
import time

import pytest

from mlraman_hpc.base.errors import ExitCode, StoppedEarly
from mlraman_hpc.runtime.interrupts import REPEAT_SECONDS, Stop
from mlraman_hpc.storage import hdf5
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
    assert process.returncode == ExitCode.STOPPED, (out, err)
    assert err.count(f"stopped by {number.name}; what was computed is kept, start the same command again") == 1
    assert "Traceback" not in err and "stopped after" in out
    assert sorted(path.name for path in (trained / "out").iterdir()) == before


def test_a_second_signal_stops_even_within_a_batch():
    script = (
        "import time\nfrom mlraman_hpc.runtime.interrupts import Stop\n"
        "stop = Stop()\nstop.install()\nwith stop.deferred():\n    print('in', flush=True)\n"
        "    while not stop.requested: time.sleep(0.01)\n    print('noted', flush=True)\n    time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    wait_for_line(process, "in")
    process.send_signal(signal.SIGTERM)
    wait_for_line(process, "noted")
    time.sleep(REPEAT_SECONDS)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == -signal.SIGTERM
    process.communicate()


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [0, 3])
def test_walltime_stops_in_time_and_goes_on(ranks, trained, expected, mlraman):
    limit = ["--set", "walltime=0.2"]  # 12 s, less a margin of 10
    stopped = mlraman(
        ranks, "predict", "deck.yaml", *limit, code=ExitCode.STOPPED, folder=trained, env={"MLRAMAN_TEST_SLOW": "2"}
    )
    assert "stopped by the time limit" in stopped.stderr
    assert "stopped after" in stopped.stdout and not (trained / "out" / "mlraman.lock").exists()
    mlraman(0, "predict", "deck.yaml", folder=trained)
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


def test_what_a_library_makes_of_the_interruption_is_still_a_stop():
    stop = Stop()
    with pytest.raises(StoppedEarly), stop.interruptible():
        try:
            stop.request(signal.SIGUSR1)
        except StoppedEarly:
            raise ValueError("callback failed") from None
    with pytest.raises(ValueError, match="a real one"), Stop().interruptible():
        raise ValueError("a real one")


def test_repeats_within_a_moment_count_once():
    """A launcher and Slurm may both pass on the same signal."""
    stop = Stop()
    with stop.deferred():
        stop.request(signal.SIGTERM)
        stop.request(signal.SIGTERM)
        assert stop.requested and not stop.pending
    with pytest.raises(StoppedEarly, match="SIGTERM"), stop.interruptible():
        pytest.fail("should have been left")
