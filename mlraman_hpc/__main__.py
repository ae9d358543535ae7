"""`python -m mlraman_hpc`, and the console entry: signals are handled before anything else is loaded."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; SIGTERM, SIGUSR1 and Ctrl-C end it as stopped, from its first milliseconds on."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, _stop)
    from mlraman_hpc.cli import main as command_line

    command_line()


def _stop(number: int, frame: FrameType | None) -> None:
    """Nothing has been begun, so nothing is lost; the handlers of a run replace this one."""
    import os

    message = f"mlraman: stopped by {signal.Signals(number).name} before it began; start the same command again\n"
    os.write(2, message.encode())
    sys.stdout.flush()
    os._exit(75)


if __name__ == "__main__":
    main()
