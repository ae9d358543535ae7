"""How the loops of this room are compiled: numba makes machine code that needs neither numba nor Python to run.

The functions take no memory of their own: whatever they need is handed to them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from mlraman_hpc.model.kernels.object_cache import ENTRY, ROW

# Products may be fused with sums (one rounding less), but sums keep their order.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}, "_nrt": False}
# A call hands over the address and shape of each array, a hundred numbers; so it becomes part of the caller (`inner`),
# but for what is called from several places (`apart`).
inner, apart = njit(forceinline=True, **_OPTIONS), njit(**_OPTIONS)
_NUMBERS = {"f8": types.float64, "i8": types.int64}


def object_code(function: Callable, kinds: tuple, machine: binding.TargetMachine) -> bytes:
    """An object file with a function ENTRY, which takes a table of arrays (see `machine_code.Loop`)."""
    unpacked = _unpacking([_type(kind) for kind in kinds])

    @apart
    def entry(table):
        function(*unpacked(table))

    entry.compile((types.CPointer(types.int64),))
    (compiled,) = entry.overloads.values()
    module = binding.parse_assembly(entry.inspect_llvm(compiled.signature.args))
    _keep_only(module, compiled.fndesc.llvm_func_name, machine)
    return machine.emit_object(module)


def _type(kind: tuple):
    if isinstance(kind[0], str):
        return types.Array(_NUMBERS[kind[0]], kind[1], "C")
    return types.NamedTuple([_type(inside) for inside in kind[1]], kind[0])


def _unpacking(wanted: list):
    """A function of a table: its arrays, as a tuple of these types."""
    together = types.Tuple(wanted)

    @intrinsic
    def unpacked(_, table):
        def generate(context, builder, signature, arguments):
            rows = count()

            def made(kind):
                if isinstance(kind, types.Array):
                    return _array(context, builder, kind, arguments[0], next(rows) * ROW)
                return context.make_tuple(builder, kind, [made(inside) for inside in kind.types])

            return context.make_tuple(builder, together, [made(kind) for kind in wanted])

        return together(table), generate

    return unpacked


def _array(context, builder, kind, table, place: int):
    """The array whose address and shape stand in the table from `place` on."""

    def number(k):
        return builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), place + k)]))

    array = context.make_array(kind)(context, builder)
    size = context.get_constant(types.intp, 8)
    shape, strides = [number(1 + k) for k in range(kind.ndim)], [size]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(
        array,
        data=builder.inttoptr(number(0), array.data.type),
        shape=shape,
        strides=strides,
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


def _keep_only(module: binding.ModuleRef, name: str, machine: binding.TargetMachine) -> None:
    """What the function `name` needs, and that by the name of ENTRY; numba's wrappers for Python go."""
    for thing in [*module.functions, *module.global_variables]:
        if not thing.is_declaration:
            thing.linkage = "internal"
    entry = module.get_function(name)
    entry.name, entry.linkage = ENTRY, "external"
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=0)))
    outside = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if set(outside) - {"sqrt", "floor"}:  # LLVM would end the process that loads it
        raise RuntimeError(f"the compiled function calls {', '.join(outside)}, which only numba has")
