"""Several numbers side by side in a processor's vector register, for the compiled loops.

The compiler makes vectors of long loops by itself, but not of those over the few radial functions of one neighbour, and
it hardly ever takes the widest registers. Where a processor has narrower ones, it uses two for a vector. Places are not
checked and count over the whole of a contiguous array, whatever its shape.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from mlraman_hpc.model.kernels.buffers import WIDTH

_CONTRACT = ("contract", "nsz")  # a product and a sum may be one instruction; their order stays


_LLVM = ir.VectorType(ir.DoubleType(), WIDTH)


class Vector(types.Type):
    """WIDTH numbers."""

    def __init__(self):
        super().__init__("Vector")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind: Vector):
        super().__init__(manager, kind, _LLVM)


VECTOR = Vector()


def _index(k: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), k)


def _shuffled(builder, a, b, chosen: list[int]):
    """Numbers of a and b, counted on from a to b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen))


def _spread(builder, value):
    nothing = ir.Constant(_LLVM, ir.Undefined)
    return _shuffled(builder, builder.insert_element(nothing, value, _index(0)), nothing, [0] * WIDTH)


def _pointer(context, builder, kind, array, place):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def _store(context, builder, kind, array, place, vector):
    pointer = _pointer(context, builder, kind, array, place)
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer())).align = 8


@intrinsic
def load(_, array, place):
    """Numbers of `array` from `place` on."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        vector = builder.load(builder.bitcast(pointer, _LLVM.as_pointer()))
        vector.align = 8
        return vector

    return VECTOR(array, types.intp), generate


@intrinsic
def spread(_, value):
    """The same number everywhere."""

    def generate(context, builder, _signature, arguments):
        return _spread(builder, arguments[0])

    return VECTOR(types.float64), generate


@intrinsic
def save(_, array, place, values):
    """array[place : place + WIDTH] = values"""

    def generate(context, builder, signature, arguments):
        _store(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


@intrinsic
def number(_, array, place):
    """array[place]"""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def add_scaled(_, values, factor, others):
    """values + factor others"""

    def generate(context, builder, _signature, arguments):
        product = builder.fmul(_spread(builder, arguments[1]), arguments[2], flags=_CONTRACT)
        return builder.fadd(arguments[0], product, flags=_CONTRACT)

    return VECTOR(VECTOR, types.float64, VECTOR), generate


def _of_two(operation):
    """An operation on two vectors, number by number."""

    @intrinsic
    def function(_, a, b):
        def generate(context, builder, _signature, arguments):
            return operation(builder, *arguments)

        return VECTOR(VECTOR, VECTOR), generate

    return function


plus = _of_two(lambda builder, a, b: builder.fadd(a, b, flags=_CONTRACT))
minus = _of_two(lambda builder, a, b: builder.fsub(a, b, flags=_CONTRACT))
times = _of_two(lambda builder, a, b: builder.fmul(a, b, flags=_CONTRACT))
over = _of_two(lambda builder, a, b: builder.fdiv(a, b, flags=_CONTRACT))
larger = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
smaller = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))


@intrinsic
def root(_, values):
    """Square roots."""

    def generate(context, builder, _signature, arguments):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_LLVM, [_LLVM]), f"llvm.sqrt.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return VECTOR(VECTOR), generate


@intrinsic
def below(_, values, limit):
    """Which of the numbers are smaller than `limit`: bits of an integer, the first number's is the lowest."""

    def generate(context, builder, _signature, arguments):
        found = builder.fcmp_ordered("<", arguments[0], _spread(builder, arguments[1]))
        return builder.zext(builder.bitcast(found, ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(VECTOR, types.float64), generate


@intrinsic
def total(_, values):
    """The numbers' sum: neighbours first, then neighbouring pairs, and so on."""

    def generate(context, builder, _signature, arguments):
        vector, width = arguments[0], WIDTH
        while width > 1:
            even, odd = (_shuffled(builder, vector, vector, list(range(k, width, 2))) for k in (0, 1))
            vector, width = builder.fadd(even, odd), width // 2
        return builder.extract_element(vector, _index(0))

    return types.float64(VECTOR), generate


@intrinsic
def save_columns(_, array, place, step, rows):
    """array[place + k step : place + k step + WIDTH] = column k of a square of WIDTH vectors."""

    def generate(context, builder, signature, arguments):
        square = [builder.extract_value(arguments[3], k) for k in range(WIDTH)]
        for bit in (1 << k for k in range(WIDTH.bit_length() - 1)):  # numbers whose row and place differ in it swap
            low = [k if not k & bit else WIDTH + k - bit for k in range(WIDTH)]
            high = [k + bit if not k & bit else WIDTH + k for k in range(WIDTH)]
            for k in (k for k in range(WIDTH) if not k & bit):
                pair = square[k], square[k | bit]
                square[k], square[k | bit] = _shuffled(builder, *pair, low), _shuffled(builder, *pair, high)
        for k, column in enumerate(square):
            to = builder.add(arguments[1], builder.mul(arguments[2], ir.Constant(ir.IntType(64), k)))
            _store(context, builder, signature.args[0], arguments[0], to, column)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), generate


@intrinsic
def lowest_bit(_, bits):
    """FrameLocation of the lowest bit that is set."""

    def generate(context, builder, _signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
