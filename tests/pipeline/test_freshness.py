"""Results of another deck are never passed off as those of the deck at hand."""

import pytest

from tests import small_system as small


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from tests.helpers import run_command

    folder = tmp_path_factory.mktemp("other_deck")
    small.write(folder)
    done = run_command(0, ["run", "deck.yaml", "--set", "figures=false"], folder)
    assert done.returncode == 0, done.stderr
    return folder


def command(folder, *arguments, code=0):
    from tests.helpers import run_command

    done = run_command(0, [*arguments, "--set", "figures=false"], folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def corrected(folder):
    text = (folder / "deck.yaml").read_text()
    (folder / "deck.yaml").write_text(text.replace("frame_interval: 10", "frame_interval: 20"))


@pytest.fixture
def folder(finished, tmp_path):
    import shutil

    return shutil.copytree(finished, tmp_path / "copy")


def test_a_corrected_deck_beside_old_results_is_refused_with_the_key(folder):
    before = (folder / "out" / "resolved_deck.yaml").read_text()
    corrected(folder)
    for name in ("spectrum", "report"):
        text = command(folder, name, "deck.yaml", code=3)
        assert "trajectory.frame_interval" in text and "with 10, the deck says 20" in text
        assert (folder / "out" / "resolved_deck.yaml").read_text() == before
    assert "with 10, the deck says 20" in command(folder, "report", "deck.yaml", "--text", code=3)


def test_run_makes_all_results_those_of_the_deck(folder):
    corrected(folder)
    command(folder, "run", "deck.yaml")
    assert "frame_interval: 20" in (folder / "out" / "resolved_deck.yaml").read_text()
    assert "is up to date" in command(folder, "spectrum", "deck.yaml")


def test_a_single_command_leaves_the_deck_of_the_other_results(folder):
    before = (folder / "out" / "resolved_deck.yaml").read_text()
    text = (folder / "deck.yaml").read_text()
    (folder / "deck.yaml").write_text(text.replace("max_radial: 3", "max_radial: 2"))
    assert "descriptor.max_radial" in command(folder, "predict", "deck.yaml", code=3)
    assert "resolved_deck.yaml stays as it is" in command(folder, "train", "deck.yaml")
    assert (folder / "out" / "resolved_deck.yaml").read_text() == before
    assert "from another model.h5" in command(folder, "report", "deck.yaml", code=3)


def test_keys_without_effect_and_other_names_of_the_same_files_do_not_count(folder):
    text = (folder / "deck.yaml").read_text()
    (folder / "XDATCAR").rename(folder / "renamed_XDATCAR")
    text = text.replace("title: small", "title: large").replace("XDATCAR", "renamed_XDATCAR")
    (folder / "deck.yaml").write_text(text)
    assert "wrote" in command(folder, "report", "deck.yaml")
    assert "title: large" in (folder / "out" / "resolved_deck.yaml").read_text()


def test_a_file_that_has_changed_is_named(folder):
    with open(folder / "XDATCAR", "a") as file:
        file.write("\n")
    assert "trajectory.files" in command(folder, "spectrum", "deck.yaml", code=3)
