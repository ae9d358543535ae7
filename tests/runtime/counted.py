"""mlraman, with the bytes counted that each rank reads of the trajectory; run by test_reading.py under mpirun."""

import os
import sys

from mlraman_hpc import cli
from mlraman_hpc.readers.trajectory import byte_ranges

FOLDER, total = sys.argv[1], 0
plain = byte_ranges.read_run


def counted(*arguments):
    global total
    text = plain(*arguments)
    total += len(text)
    with open(os.path.join(FOLDER, str(os.getpid())), "w") as file:
        file.write(str(total))
    return text


byte_ranges.read_run = counted
cli.main(sys.argv[2:])
