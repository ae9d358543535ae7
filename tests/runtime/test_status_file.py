"""status.json tells what a job does and how it ended."""

import io
import json

from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.runtime.status_file import State, StatusFile, read_status


def test_stages_progress_and_end(tmp_path):
    console = Console(Session(), stream=io.StringIO())
    console.status = StatusFile(tmp_path, "run", "AgI", 4)
    assert read_status(tmp_path)["state"] == "running"
    with console.stage("predict"):
        console.warn("w")
        with console.progress("predicting", 100, "frames") as advance:
            console.status._written = float("-inf")  # as if some seconds had passed
            advance(25)
            status = read_status(tmp_path)
    assert (status["stage"], status["ranks"], status["warnings"]) == ("predict", 4, 1)
    assert status["progress"]["done"] == 25 and status["progress"]["total"] == 100
    console.status.end(State.STOPPED, "on request")
    status = read_status(tmp_path)
    assert status["state"] == "stopped" and status["message"] == "on request" and status["progress"] is None
    assert list(status["stages"]) == ["predict"]
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_file_that_cannot_be_written_or_read(tmp_path):
    StatusFile(tmp_path / "missing", "run", "", 1).end(State.DONE)
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text(json.dumps(["no status"]))
    assert read_status(tmp_path) is None
