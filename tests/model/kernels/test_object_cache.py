import os

import numpy as np
import pytest

from mlraman_hpc.model.kernels import object_cache
from mlraman_hpc.model.kernels.object_cache import Kernel
from tests.model.kernels import small_kernels

SCALE = Kernel("tests.model.kernels.small_kernels", "scale")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, in memory and on disk."""
    monkeypatch.setattr(object_cache, "folders", lambda: [tmp_path / "code"])
    object_cache.load_function.cache_clear()
    yield tmp_path / "code"
    object_cache.load_function.cache_clear()


def scaled(values, dtype=np.float64):
    out = np.full(values.shape, np.nan, dtype)
    SCALE(values, small_kernels.Factors(np.array([1.0, 0.5, 2.0]), np.array([3, 4, 5])), out)
    return out


@pytest.mark.slow
def test_compiled_once_then_loaded_and_the_same(folder, monkeypatch):
    values = np.random.default_rng(0).uniform(size=(7, 3))
    expected = np.sqrt(values) * [3, 2, 10]
    np.testing.assert_allclose(scaled(values), expected, rtol=1e-14)
    assert len(list(folder.iterdir())) == 1
    object_cache.load_function.cache_clear()
    monkeypatch.setattr(object_cache, "compile_kernel", lambda *_: pytest.fail("compiled again"))
    np.testing.assert_allclose(scaled(values), expected, rtol=1e-14)


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: code[:99] + b"?" + code[100:], lambda _: b""])
def test_damaged_code_is_never_run_but_compiled_anew(folder, damage):
    values = np.ones((2, 3))
    good = scaled(values)
    (file,) = folder.iterdir()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    object_cache.load_function.cache_clear()
    np.testing.assert_array_equal(scaled(values), good)
    assert file.read_bytes() == content


def test_new_folders_and_files_are_this_users_alone(folder):
    object_cache._write_cached("a.o", b"code")
    assert object_cache.read_cached("a.o") == b"code"
    assert (folder.stat().st_mode & 0o777, (folder / "a.o").stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.parametrize(
    "open_up",
    [
        lambda folder: folder.chmod(0o777),
        lambda folder: folder.chmod(0o770),
        lambda folder: (folder / "a.o").chmod(0o622),
        lambda folder: (folder.rename(folder.with_name("b")), folder.symlink_to("b")),
        lambda folder: ((folder / "a.o").rename(folder / "b"), (folder / "a.o").symlink_to("b")),
        lambda folder: ((folder / "a.o").unlink(), os.mkfifo(folder / "a.o")),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_code_that_others_could_have_written_is_not_run(folder, open_up, chosen, monkeypatch):
    object_cache._write_cached("a.o", b"code")
    open_up(folder)
    if chosen:
        monkeypatch.setenv("MLRAMAN_CODE", str(folder))
    assert object_cache.read_cached("a.o") is None


def test_nothing_is_written_where_others_can(folder, tmp_path, monkeypatch, caplog):
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("MLRAMAN_CODE", str(folder))
    object_cache._say_once.cache_clear()
    object_cache._write_cached("a.o", b"code")
    assert not list(folder.iterdir())
    assert f"MLRAMAN_CODE={folder} is not used: " in caplog.text


def test_links_are_not_written_through(folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("thesis")
    folder.mkdir(mode=0o700)
    (folder / "a.o").symlink_to(precious)
    object_cache._write_cached("a.o", b"code")
    assert precious.read_text() == "thesis" and object_cache.read_cached("a.o") == b"code"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    object_cache._write_cached("b.o", b"code")
    assert not (folder / "b.o").exists()


def test_a_folder_of_this_user_that_others_read_is_closed_to_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(object_cache, "folders", lambda: [tmp_path / "mlraman_hpc"])
    (tmp_path / "mlraman_hpc").mkdir()
    (tmp_path / "mlraman_hpc").chmod(0o755)
    object_cache._write_cached("a.o", b"code")
    assert (tmp_path / "mlraman_hpc").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to play two users")
@pytest.mark.parametrize("attack", ["folder", "links", "chosen folder"])
def test_another_user_gets_nothing_run_and_nothing_overwritten(tmp_path, attack):
    """Processes of two other users, with the temporary folder that they share."""
    from tests.model.kernels import cache_attack

    assert cache_attack.attempt(attack, tmp_path) == "nothing"


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(folder):
    folder.write_text("a file where the folder should be")
    assert np.isfinite(scaled(np.ones((2, 3)))).all()


@pytest.mark.parametrize("values", [np.ones((2, 3), np.float32), np.ones((3, 4)).T[:, :3], np.ones((4, 6))[:, ::2]])
def test_other_arrays_are_refused(values):
    with pytest.raises(TypeError, match="float64 and int64 in C order"):
        scaled(values)


def test_what_needs_numba_at_run_time_is_not_compiled(folder):
    with pytest.raises(Exception, match=r"NRT|only numba has"):
        Kernel("tests.model.kernels.small_kernels", "needs_memory")(np.ones(3), np.empty(3))
    assert not folder.exists()


def test_each_processor_has_its_own_code(folder, monkeypatch):
    """numba's variables choose another one than this machine's; they are part of the file's name."""
    values = np.random.default_rng(0).uniform(size=(7, 3))
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        monkeypatch.delenv(name, raising=False)
    for cpu in (None, "generic", "generic"):
        if cpu:
            monkeypatch.setenv("NUMBA_CPU_NAME", cpu)
        object_cache.load_function.cache_clear()
        np.testing.assert_allclose(scaled(values), np.sqrt(values) * [3, 2, 10], rtol=1e-15)
    assert object_cache.target() == ("generic", "")
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+sse2")
    assert object_cache.target() == ("generic", "+sse2")
