"""`mlraman docs outputs` has every dataset that a run writes, with its unit."""

import re

import h5py

from mlraman_hpc.reports.result_files import datasets, description, record_types
from tests import small_system as small
from tests.helpers import run_command


def test_every_dataset_of_a_run_is_described(tmp_path):
    small.write(tmp_path)
    done = run_command(0, ["run", "deck.yaml", "--set", "dynamics={mobile: [Ag]}", "--set", "figures=false"], tmp_path)
    assert done.returncode == 0, done.stderr
    described = {record.file_name: list(datasets(record)) for record in record_types()}
    files = sorted((tmp_path / "out").glob("*.h5"))
    assert {"alpha.h5", "model.h5", "raman.h5", "dynamics.h5"} <= {file.name for file in files}
    for path in files:
        patterns = [
            (re.compile(re.escape(name).replace("NAME", "[^/]+")), unit) for name, unit, _ in described[path.name]
        ]
        with h5py.File(path) as file:
            for name, unit in _datasets(file):
                if name.startswith("/observables") or name == "/done":
                    continue  # H5MD's step and time of each observable, and what a prediction has finished
                units = [text for pattern, text in patterns if pattern.fullmatch(name)]
                assert unit in units, f"{path.name}: {name}"


def _datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return [(f"/{name}", file[name].attrs["unit"]) for name in names]


def test_the_text_names_every_file():
    text = description()
    for record in record_types():
        assert f"\n## {record.file_name}\n" in text
    assert "| `/intensity/NAME` | Angstrom^6 | array |" in text
    assert "`/central_peak/weight` | 1 | number, optional" in text
