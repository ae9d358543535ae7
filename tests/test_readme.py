"""Every command in the README is executed, and every example deck is checked as far as it can be without its data.

The two commands that set up an environment are executed, word for word, by .ci/run.
"""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from mlraman_hpc.cli import COMMANDS
from mlraman_hpc.config.campaign_reader import is_campaign, read_campaign
from mlraman_hpc.config.deck_reader import read_deck
from tests import small_system as small
from tests.helpers import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(ROOT.glob("input_examples/*/deck.yaml"))


def commands(kind: str) -> list[str]:
    blocks = re.findall(rf"^(?:<!-- command: (\w+) -->\n)?```{kind}\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    return [line.split("  #")[0].strip() for marked, block in blocks if not marked for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    small.write(folder)
    (folder / "input_examples").symlink_to(ROOT / "input_examples")
    _run("mlraman run deck.yaml", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("bash"))
def test_readme_command(command, folder):
    assert command.startswith("mlraman "), command
    _run(command.replace("> deck.yaml", "> new.yaml"), folder)


def _run(command: str, folder) -> None:
    program = f"{sys.executable} -m mlraman_hpc"
    done = subprocess.run(
        re.sub(r"\bmlraman (?=\w)", program + " ", command),
        shell=True,
        cwd=folder,
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_has_a_line_in_the_readme():
    missing = [name for name in COMMANDS if f"mlraman {name}" not in README]
    assert not missing


@pytest.mark.parametrize("deck", EXAMPLES, ids=lambda path: path.parent.name)
def test_example_decks_are_valid(deck):
    read_campaign(deck) if is_campaign(deck) else read_deck(deck)
    keys = yaml.safe_load(deck.read_text())
    assert keys["title"] and keys["output"].startswith("out/")


@pytest.mark.slow
def test_the_shipped_example_has_its_data(tmp_path):
    folder = tmp_path / "agi"
    shutil.copytree(ROOT / "input_examples" / "agi", folder)
    done = subprocess.run(
        [sys.executable, "-m", "mlraman_hpc", "check", "agi/deck.yaml"],
        cwd=tmp_path,
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "117 labels of 32 atoms" in done.stdout and "2400 frames of 32 atoms (Ag, I)" in done.stdout


def test_the_readmes_picture_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size > 10_000
