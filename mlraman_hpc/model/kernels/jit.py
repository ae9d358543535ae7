"""Compiling kernels: numba makes an object file that needs neither numba nor Python to run.

Kernels allocate nothing and raise nothing: all memory comes from the caller, and what is left to call is in the file
itself or in the C library.

Of numba this uses its public interface (njit, cfunc, numba.extending) but for two things: `_nrt=False`, which leaves
out the reference counting of arrays, and `populate_array`; numba.carray, the public way to an array of foreign memory,
needs the former.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from llvmlite import binding, ir
from numba import cfunc, float64, int64, njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from mlraman_hpc.model.kernels.object_cache import ENTRY_POINT, ROW_LENGTH

# Products may be fused with sums (one rounding less), but sums keep their order.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}, "_nrt": False}
# A call passes the address, shape and strides of each array, a hundred numbers; so functions become part of their
# callers (`jit_inline`), but for those that are called from several lines (`jit_call`).
jit_inline, jit_call = njit(forceinline=True, **_OPTIONS), njit(**_OPTIONS)
_DTYPES = {"f8": float64, "i8": int64}
_ITEM_SIZE = 8
_C_LIBRARY = {"sqrt", "floor"}


def object_code(function: Callable, signature: tuple, machine: binding.TargetMachine) -> bytes:
    """An object file with the C function `void ENTRY_POINT(int64_t *table)`, see `object_cache.Kernel`.

    signature: of the arguments, as from `object_cache.signature_of`. RuntimeError for a function that calls what is
    not in the file, numba's memory allocation for instance.
    """
    arguments = _table_reader([_numba_type(argument) for argument in signature])

    @cfunc(types.void(types.CPointer(int64)), **_OPTIONS)
    def entry(table):
        function(*arguments(table))

    module = binding.parse_assembly(entry.inspect_llvm())
    _strip(module, entry.native_name, machine)
    return machine.emit_object(module)


def _numba_type(argument: tuple):
    """Of ('f8' or 'i8', dimensions) for an array, (class, signature) for a named tuple."""
    kind, content = argument
    if isinstance(kind, str):
        return types.Array(_DTYPES[kind], content, "C")
    return types.NamedTuple([_numba_type(field) for field in content], kind)


def _table_reader(argument_types: list):
    """A compiled function of the table of addresses and shapes: a tuple of arrays and named tuples of these types."""
    result = types.Tuple(argument_types)

    @intrinsic
    def read(_, table):
        def generate(context, builder, signature, arguments):
            rows = count()

            def value(kind):
                if isinstance(kind, types.Array):
                    return _array(context, builder, kind, arguments[0], next(rows) * ROW_LENGTH)
                return context.make_tuple(builder, kind, [value(field) for field in kind.types])

            return context.make_tuple(builder, result, [value(kind) for kind in argument_types])

        return result(table), generate

    return read


def _array(context, builder, kind: types.Array, table, offset: int):
    """The C-ordered array whose address and shape are the table's entries from `offset` on."""

    def entry(k):
        return builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), offset + k)]))

    array = context.make_array(kind)(context, builder)
    item_size = context.get_constant(types.intp, _ITEM_SIZE)
    shape, strides = [entry(1 + k) for k in range(kind.ndim)], [item_size]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    data = builder.inttoptr(entry(0), array.data.type)
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=item_size, meminfo=None)
    return array._getvalue()


def _strip(module: binding.ModuleRef, name: str, machine: binding.TargetMachine) -> None:
    """Keep the function `name`, as ENTRY_POINT, and what it needs.

    numba's wrappers for Python go, and the branch for exceptions, which the optimiser finds never to be taken.
    """
    for symbol in [*module.functions, *module.global_variables]:
        if not symbol.is_declaration:
            symbol.linkage = "internal"
    entry = module.get_function(name)
    entry.name, entry.linkage = ENTRY_POINT, "external"
    passes = binding.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_symbols_pass()  # the same code for the same text
    passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=0)))
    called = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if missing := called - _C_LIBRARY:  # LLVM would end the process that loads it
        raise RuntimeError(f"the kernel calls {', '.join(sorted(missing))}, which only numba has")
