"""The small system of the tests, as a deck for labels that are still to be computed."""

import io
from pathlib import Path

from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from tests import small_system as small

DECK = """output: out
figures: false
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 3, max_radial: 3}
trajectory: {files: XDATCAR, frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
labelling: {frames: 6, test: 4, most: 18, min_interval: 50}
"""


def write(folder: Path, count: int = 300) -> Path:
    """XDATCAR and deck.yaml, without labels."""
    (folder / "XDATCAR").write_text(small.xdatcar(small.frames(count)))
    (folder / "deck.yaml").write_text(DECK)
    return folder / "deck.yaml"


def job(folder: Path, *changes: str, force: bool = False) -> Job:
    """In this process, its log in `job.console.stream`."""
    (folder / "out").mkdir(exist_ok=True)
    session = Session()
    deck = read_deck(folder / "deck.yaml", [f"output={folder / 'out'}", *changes])
    return Job(deck, session, Console(session, stream=io.StringIO()), force)
