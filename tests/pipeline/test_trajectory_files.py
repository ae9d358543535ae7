"""Files beside the trajectory's that its frames depend on are parents of every result."""

from pathlib import Path
from shutil import copy

from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.trajectory import trajectory_hashes, trajectory_index
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session

FILES = Path(__file__).parents[1] / "readers" / "files"


def test_the_file_of_cells_is_a_parent(tmp_path):
    for name in ("cp2k_md-pos-1.xyz", "cp2k_md-1.cell"):
        copy(FILES / name, tmp_path)
    (tmp_path / "deck.yaml").write_text(
        f"output: {tmp_path}/out\ntrajectory: {{files: cp2k_md-pos-1.xyz}}\ndynamics: {{}}\n"
    )
    session = Session()
    job = Job(read_deck(tmp_path / "deck.yaml"), session, Console(session, level=-1))
    hashes = trajectory_hashes(job)
    assert {Path(name).name for name in hashes} == {"cp2k_md-pos-1.xyz", "cp2k_md-1.cell"}
    assert len(trajectory_index(job)) == 7
    (tmp_path / "cp2k_md-1.cell").write_text((tmp_path / "cp2k_md-1.cell").read_text().replace("5.577", "5.578"))
    assert trajectory_hashes(job) != hashes
