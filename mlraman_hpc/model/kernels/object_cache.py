"""Machine code of the compiled loops: kept on disk, loaded by LLVM alone, made by numba where it is not there yet.

Starting numba takes a process longer than everything else it loads together, and hundreds of files; on a thousand ranks
that would be most of a short run. So what numba compiled is kept as an object file, named after all that it depends on:
the text of this room, the processor, LLVM, and the kinds of arguments.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import llvmlite
import numpy as np
from llvmlite import binding

ENTRY_POINT = "mlraman_entry"
ROW_LENGTH = 8  # numbers in the table for one array: its address, then its shape
_DIGEST = hashlib.sha256().digest_size  # bytes before the code
_HERE = Path(__file__).parent


class Loop:
    """A compiled function of arrays and named tuples of arrays, which it reads and fills; returns nothing.

    Arrays hold float64 or int64 in C order. Other kinds or dimensions than before mean another compilation.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self, *arguments) -> None:
        arrays = list(_flat(arguments))
        table = np.zeros((len(arrays), ROW_LENGTH), np.int64)
        for row, array in zip(table, arrays):
            row[0], row[1 : 1 + array.ndim] = array.ctypes.data, array.shape
        _function(self.module, self.name, _kinds(arguments))(table.ctypes.data)


def _flat(arguments):
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _flat(argument)
        else:
            yield argument


def _kinds(arguments) -> tuple:
    """('f8', number of dimensions) of each array; (class, kinds) of each named tuple."""
    return tuple(
        (type(argument), _kinds(argument)) if isinstance(argument, tuple) else _kind(argument) for argument in arguments
    )


def _kind(array: np.ndarray) -> tuple[str, int]:
    kind = array.dtype.str[1:]
    if kind not in ("f8", "i8") or not array.flags.c_contiguous:
        raise TypeError(f"compiled functions take float64 and int64 in C order, not {array.dtype}, {array.flags}")
    return kind, array.ndim


@lru_cache
def _function(module: str, name: str, kinds: tuple) -> Callable[[int, int, int], int]:
    """The function in memory; calling it lets other threads run."""
    kept = f"{name}-{_key(kinds)}.o"
    code = _found(kept)
    if code is None:
        code = _compiled(module, name, kinds)
        _keep(kept, code)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address(ENTRY_POINT))
    call.engine = engine  # the code lives as long as it
    return call


def _compiled(module: str, name: str, kinds: tuple) -> bytes:
    from mlraman_hpc.model.kernels.jit import object_code  # and numba with it

    function = getattr(importlib.import_module(module), name)
    return object_code(function, kinds, target_machine())


def target_machine() -> binding.TargetMachine:
    """This processor, with all that it can do. A new one each time: an engine keeps the one that it is given."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(), features=_features(), opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def _features() -> str:
    try:
        return binding.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know them on every platform
        return ""


def _key(kinds: tuple) -> str:
    texts = b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))
    parts = llvmlite.__version__, binding.get_process_triple(), binding.get_host_cpu_name(), _features(), kinds
    return hashlib.sha256(texts + repr(parts).encode()).hexdigest()[:16]


def folders() -> list[Path]:
    """Where compiled code may lie, in the order in which they are tried."""
    given = os.environ.get("MLRAMAN_CODE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    usual = [_HERE / "__pycache__", home / "mlraman_hpc", Path(tempfile.gettempdir()) / f"mlraman-{os.getuid()}"]
    return [Path(given), *usual] if given else usual


def _found(name: str) -> bytes | None:
    for folder in folders():
        with suppress(OSError):
            if _trusted(folder / name):
                content = (folder / name).read_bytes()
                digest, code = content[:_DIGEST], content[_DIGEST:]
                if hashlib.sha256(code).digest() == digest:
                    return code
    return None


def _trusted(path: Path) -> bool:
    """In the folder that the user names, or written by the user, the administrator or whoever installed this program.

    Nobody else's code is run.
    """
    return str(path.parent) == os.environ.get("MLRAMAN_CODE") or path.stat().st_uid in _owners()


def _owners() -> set[int]:
    return {os.getuid(), 0, _HERE.stat().st_uid}


def _keep(name: str, code: bytes) -> None:
    """In the first folder that can be written; where there is none, the code is compiled by every process."""
    for folder in folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{name}.part{os.getpid()}"
            try:
                part.write_bytes(hashlib.sha256(code).digest() + code)
                os.replace(part, folder / name)
                return
            finally:
                part.unlink(missing_ok=True)
