import numpy as np
import pytest

from mlraman_hpc.model.kernels import object_cache as machine_code
from mlraman_hpc.model.kernels.object_cache import Loop
from tests.model.kernels import small_loops

SCALE = Loop("tests.model.kernels.small_loops", "scale")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Nothing is loaded and nothing kept; compiled code goes here."""
    monkeypatch.setattr(machine_code, "folders", lambda: [tmp_path / "code"])
    machine_code._function.cache_clear()
    yield tmp_path / "code"
    machine_code._function.cache_clear()


def scaled(values, dtype=np.float64):
    out = np.full(values.shape, np.nan, dtype)
    SCALE(values, small_loops.Factors(np.array([1.0, 0.5, 2.0]), np.array([3, 4, 5])), out)
    return out


def test_compiled_once_then_loaded_and_the_same(folder, monkeypatch):
    values = np.random.default_rng(0).uniform(size=(7, 3))
    expected = np.sqrt(values) * [3, 2, 10]
    np.testing.assert_allclose(scaled(values), expected, rtol=1e-14)
    assert len(list(folder.iterdir())) == 1
    machine_code._function.cache_clear()
    monkeypatch.setattr(machine_code, "_compiled", lambda *_: pytest.fail("compiled again"))
    np.testing.assert_allclose(scaled(values), expected, rtol=1e-14)


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: code[:99] + b"?" + code[100:], lambda _: b""])
def test_damaged_code_is_never_run_but_made_anew(folder, damage):
    values = np.ones((2, 3))
    good = scaled(values)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    machine_code._function.cache_clear()
    np.testing.assert_array_equal(scaled(values), good)
    assert kept.read_bytes() == whole


def test_code_of_others_is_not_run(folder, monkeypatch):
    scaled(np.ones((2, 3)))
    (kept,) = folder.iterdir()
    assert machine_code._found(kept.name)
    monkeypatch.setattr(machine_code, "_owners", lambda: {4711})
    assert machine_code._found(kept.name) is None
    monkeypatch.setenv("MLRAMAN_CODE", str(folder))
    assert machine_code._found(kept.name)


def test_nowhere_to_keep_it_is_no_reason_to_fail(folder):
    folder.write_text("a file where the folder should be")
    assert np.isfinite(scaled(np.ones((2, 3)))).all()


@pytest.mark.parametrize("values", [np.ones((2, 3), np.float32), np.ones((3, 4)).T[:, :3], np.ones((4, 6))[:, ::2]])
def test_other_arrays_are_refused(values):
    with pytest.raises(TypeError, match="float64 and int64 in C order"):
        scaled(values)


def test_what_needs_numba_at_run_time_is_not_compiled(folder):
    with pytest.raises(Exception, match=r"NRT|only numba has"):
        Loop("tests.model.kernels.small_loops", "needs_memory")(np.ones(3), np.empty(3))
    assert not folder.exists()
