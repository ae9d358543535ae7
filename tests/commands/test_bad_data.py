"""One broken input for each mistake: one message that names file and place, the right exit code, on 1 and 3 ranks."""

import pytest

from tests import small_system as small


def truncate(path, fraction):
    text = path.read_text()
    path.write_text(text[: int(len(text) * fraction)])


def edit(name, old, new, count=1):
    def change(folder):
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return change


def garbled_middle(folder):
    lines = (folder / "XDATCAR").read_text().splitlines()
    del lines[7 + 6 * 40 + 3]
    (folder / "XDATCAR").write_text("\n".join(lines) + "\n")


def nan_in_frame_70(folder):
    lines = (folder / "XDATCAR").read_text().splitlines()
    lines[7 + 6 * 70 + 2] = "0.1 NaN 0.3"
    (folder / "XDATCAR").write_text("\n".join(lines) + "\n")


def other_species(folder):
    text = (folder / "XDATCAR").read_text()
    (folder / "XDATCAR").write_text(text.replace("Ag I", "Ag Br"))


def denser(folder):
    text = (folder / "XDATCAR").read_text()
    (folder / "XDATCAR").write_text(text.replace("\n1.0\n", "\n0.9\n", 1))


def outcar_without_tensor(folder):
    (folder / "OUTCAR").write_text(
        " vasp.6.3.0\n LEPSILON=     F\n General timing and accounting informations for this job:\n"
    )
    edit("deck.yaml", "labels.extxyz, quantity: polarizability, unit: angstrom^3", "OUTCAR, format: outcar")(folder)


def output_is_a_file(folder):
    (folder / "out").write_text("in the way")


CASES = {
    "deck misspelt": (edit("deck.yaml", "cutoff:", "cutof:"), 2, "deck.yaml:4: 'descriptor.cutof': unknown key"),
    "no such labels": (edit("deck.yaml", "labels.extxyz", "lables.extxyz"), 3, "'reference.files'"),
    "empty glob": (edit("deck.yaml", "labels.extxyz", "'outcar/*.gz'"), 3, "no file matches"),
    "unit missing": (edit("deck.yaml", ", unit: angstrom^3", ""), 2, "reference.unit"),
    "too many labels wanted": (edit("deck.yaml", "train: 16", "train: 160"), 3, "'reference.train'"),
    "label is nan": (edit("labels.extxyz", 'polarizability="', 'polarizability="nan '), 3, "labels.extxyz"),
    "outcar without tensor": (outcar_without_tensor, 3, "OUTCAR"),
    "frame interval missing": (edit("deck.yaml", ", frame_interval: 10", ""), 2, "'trajectory.frame_interval'"),
    "wrong species": (other_species, 3, "Br"),
    "other density": (denser, 3, "density"),
    "garbled frame": (garbled_middle, 3, "XDATCAR"),
    "nan in positions": (nan_in_frame_70, 3, "frame 70"),
    "no frames left": (edit("deck.yaml", "interval: 10", "interval: 10, first: 149"), 3, "'trajectory.first'"),
    "output in the way": (output_is_a_file, 3, "'output'"),
    "empty trajectory": (lambda folder: (folder / "XDATCAR").write_text(""), 3, "XDATCAR"),
}


@pytest.mark.parametrize("ranks", [0, pytest.param(3, marks=pytest.mark.mpi)])
@pytest.mark.parametrize("case", CASES)
def test_one_message_and_the_right_exit_code(case, ranks, mlraman, tmp_path):
    spoil, code, text = CASES[case]
    small.write(tmp_path)
    spoil(tmp_path)
    done = mlraman(ranks, "run", "deck.yaml", code=None)
    errors = [line for line in done.stderr.splitlines() if line.startswith("mlraman: error:")]
    assert done.returncode == code, done.stderr
    assert len(errors) == 1 and text in errors[0]
    assert "Traceback" not in done.stderr


def test_cut_off_last_frame_is_left_out_with_a_warning(mlraman, tmp_path):
    small.write(tmp_path)
    truncate(tmp_path / "XDATCAR", 0.995)
    done = mlraman(0, "run", "deck.yaml")
    assert "incomplete" in done.stderr and "149 frames" in done.stdout
