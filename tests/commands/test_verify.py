"""`mlraman verify`: whole, damaged, stale, changed; exit code 0 or 3."""

import shutil

import pytest

from mlraman_hpc.storage import hdf5
from tests.storage.test_verified import flip


def test_verify(trained, mlraman):
    mlraman(0, "predict", "deck.yaml", folder=trained)
    done = mlraman(0, "verify", "out", folder=trained)
    assert "out: 2 of 2 files are whole and made from what is there now" in done.stdout
    assert "out/alpha.h5: whole, made " in done.stdout and "by predict" in done.stdout

    shutil.copy(trained / "out" / "alpha.h5", trained / "good.h5")
    flip(trained / "out" / "alpha.h5", "observables/polarizability/value")
    done = mlraman(0, "verify", "out", folder=trained, code=3)
    assert "out/alpha.h5: damaged: bytes " in done.stdout and "1 of 2 files" in done.stdout
    assert done.stderr == "mlraman: error: out/alpha.h5: not to be trusted as they are; see the list above\n"

    shutil.copy(trained / "good.h5", trained / "out" / "alpha.h5")
    text = (trained / "XDATCAR").read_text()
    (trained / "XDATCAR").write_text(text.replace("0.25", "0.26", 1))
    done = mlraman(0, "verify", "out", folder=trained, code=3)
    assert "out/alpha.h5: stale: " in done.stdout and "XDATCAR has changed since" in done.stdout

    (trained / "XDATCAR").unlink()
    done = mlraman(0, "verify", "out", folder=trained)
    assert "XDATCAR is not there any more" in done.stdout

    (trained / "out" / "alpha.partial.h5").write_bytes(b"no HDF5")
    mlraman(0, "verify", "out", folder=trained)
    assert hdf5.content_of(trained / "out" / "alpha.h5")
    mlraman(0, "verify", "nothing", folder=trained, code=3)


@pytest.mark.slow
def test_a_result_of_another_model_is_stale(trained, mlraman):
    mlraman(0, "predict", "deck.yaml", folder=trained)
    mlraman(0, "train", "deck.yaml", "--set", "reference.train=12", folder=trained)
    done = mlraman(0, "verify", "out", folder=trained, code=3)
    assert "out/alpha.h5: stale: " in done.stdout and "model.h5 has changed since" in done.stdout
