"""Machine code of the kernels: cached on disk, loaded by LLVM alone, compiled by numba where it is not there yet.

Starting numba takes a process longer than everything else it loads together, and hundreds of files; on a thousand ranks
that would be most of a short run. So what numba compiled is stored as an object file, named after all that it depends
on: the text of this package, the processor, LLVM, and the kinds of arguments.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path

import llvmlite
import numpy as np
from llvmlite import binding

from mlraman_hpc.base.private_folders import Untrusted, held_folder, open_trusted, write_into

ENTRY_POINT = "mlraman_entry"
ROW_LENGTH = 8  # entries in the table for one array: its address, then its shape
_DIGEST_BYTES = hashlib.sha256().digest_size  # before the code
_PACKAGE = Path(__file__).parent


class Kernel:
    """A compiled function of arrays and named tuples of arrays, which it reads and fills; returns nothing.

    Arrays hold float64 or int64 in C order, TypeError for others. Other numbers of dimensions or named tuples than
    before mean another compilation. Other threads run meanwhile.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *arguments) -> None:
        arrays = list(_arrays_in(arguments))
        table = np.zeros((len(arrays), ROW_LENGTH), np.int64)
        for row, array in zip(table, arrays):
            row[0], row[1 : 1 + array.ndim] = array.ctypes.data, array.shape
        load_function(self.module, self.name, signature_of(arguments))(table.ctypes.data)


def _arrays_in(arguments: tuple) -> Iterator[np.ndarray]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _arrays_in(argument)
        else:
            yield argument


def signature_of(arguments: tuple) -> tuple:
    """('f8' or 'i8', number of dimensions) for each array, (class, signature of its fields) for each named tuple."""
    return tuple(
        (type(argument), signature_of(argument)) if isinstance(argument, tuple) else _array_kind(argument)
        for argument in arguments
    )


def _array_kind(array: np.ndarray) -> tuple[str, int]:
    kind = array.dtype.str[1:]
    if kind not in ("f8", "i8") or not array.flags.c_contiguous:
        raise TypeError(f"compiled functions take float64 and int64 in C order, not {array.dtype}, {array.flags}")
    return kind, array.ndim


@lru_cache
def load_function(module: str, name: str, signature: tuple) -> Callable[[int], None]:
    """The function in memory: it takes the address of the table of its arguments."""
    file_name = f"{name}-{_key(signature)}.o"
    code = read_cached(file_name)
    if code is None:
        _announce()
        code = compile_kernel(module, name, signature)
        _write_cached(file_name, code)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address(ENTRY_POINT))
    function.engine = engine  # type: ignore[attr-defined]  # the code lives as long as it
    return function


@lru_cache
def _announce() -> None:
    """At the first compilation of a process."""
    logging.getLogger(__name__).info(
        "compiling the inner loops for this processor: 15 to 60 s, once; the code is cached for later runs"
    )


def compile_kernel(module: str, name: str, signature: tuple) -> bytes:
    from mlraman_hpc.model.kernels.jit import object_code  # and numba with it

    return object_code(getattr(importlib.import_module(module), name), signature, target_machine())


def target_machine() -> binding.TargetMachine:
    """For `target`. A new one each time: an engine owns the one that it gets."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    cpu, features = target()
    return binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def target() -> tuple[str, str]:
    """LLVM's name and features of this processor, or those of numba's variables NUMBA_CPU_NAME, NUMBA_CPU_FEATURES."""
    cpu, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if str(cpu).lower() == "generic" else _host_features()
    return cpu or binding.get_host_cpu_name(), features


def _host_features() -> str:
    try:
        return binding.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know them on every platform
        return ""


def _key(signature: tuple) -> str:
    texts = b"".join(path.read_bytes() for path in sorted(_PACKAGE.glob("*.py")))
    parts = llvmlite.__version__, binding.get_process_triple(), *target(), signature
    return hashlib.sha256(texts + repr(parts).encode()).hexdigest()[:16]


def folders() -> list[Path]:
    """Where compiled code may lie, in the order in which they are tried."""
    chosen = os.environ.get("MLRAMAN_CODE")
    usual = [_PACKAGE / "__pycache__", *_own_folders()]
    return [Path(chosen), *usual] if chosen else usual


def _own_folders() -> list[Path]:
    """Of this user, and of nothing else."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [home / "mlraman_hpc", Path(tempfile.gettempdir()) / f"mlraman-{os.getuid()}"]


def _held(folder: Path, make: bool = False) -> AbstractContextManager[int]:
    return held_folder(folder, installers(), make=make, close=folder in _own_folders())


def installers() -> set[int]:
    """Whose programs this process runs anyway: the administrator's, and those of whoever installed this package."""
    return {0, _PACKAGE.stat().st_uid}


def read_cached(name: str) -> bytes | None:
    """Code that this user wrote, the administrator or whoever installed this program; nobody else's is run."""
    for folder in folders():
        with _skipping(folder), _held(folder) as held:
            handle = open_trusted(held, name, {os.getuid(), *installers()})
            with os.fdopen(handle, "rb") as file:
                content = file.read()
            digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if hashlib.sha256(code).digest() == digest:
                return code
    return None


@contextmanager
def _skipping(folder: Path) -> Iterator[None]:
    """Folders that cannot be used, or must not, are passed over; of one that the user names, that is said."""
    try:
        yield
    except Untrusted as error:
        if error.filename == os.environ.get("MLRAMAN_CODE"):
            _say_once(f"MLRAMAN_CODE={folder} is not used: {error.strerror}")
    except OSError:
        pass


@lru_cache
def _say_once(text: str) -> None:
    logging.getLogger(__name__).warning(text)


def _write_cached(name: str, code: bytes) -> None:
    """In the first folder that can be written; where there is none, the code is compiled by every process."""
    for folder in folders():
        with _skipping(folder), _held(folder, make=True) as held:
            write_into(held, name, hashlib.sha256(code).digest() + code)
            return
