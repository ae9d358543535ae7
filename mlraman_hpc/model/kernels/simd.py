"""SIMD vectors of SIMD_WIDTH doubles, for the kernels.

The compiler makes vectors of long loops by itself, but not of those over the few radial functions of one neighbour, and
it hardly ever takes the widest registers. Where a processor has narrower ones, it uses two for a vector. Offsets are
not checked and count over the whole of a contiguous array, whatever its shape.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from mlraman_hpc.model.kernels.buffers import SIMD_WIDTH

_CONTRACT = ("contract", "nsz")  # a product and a sum may be one instruction; their order stays
_LLVM_VECTOR = ir.VectorType(ir.DoubleType(), SIMD_WIDTH)
_ALIGNMENT = 8  # bytes: of a double, not of a vector


class Vector(types.Type):
    """SIMD_WIDTH doubles."""

    def __init__(self):
        super().__init__("Vector")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind: Vector):
        super().__init__(manager, kind, _LLVM_VECTOR)


VECTOR = Vector()


def _i32(k: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), k)


def _shuffle(builder, a, b, lanes: list[int]):
    """These lanes of a and b, those of b counted on from those of a."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


def _broadcast(builder, value):
    undefined = ir.Constant(_LLVM_VECTOR, ir.Undefined)
    return _shuffle(builder, builder.insert_element(undefined, value, _i32(0)), undefined, [0] * SIMD_WIDTH)


def _pointer(context, builder, kind, array, offset):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def _store(context, builder, kind, array, offset, vector):
    pointer = _pointer(context, builder, kind, array, offset)
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer())).align = _ALIGNMENT


@intrinsic
def load(_, array, offset):
    """array[offset : offset + SIMD_WIDTH]"""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        vector = builder.load(builder.bitcast(pointer, _LLVM_VECTOR.as_pointer()))
        vector.align = _ALIGNMENT
        return vector

    return VECTOR(array, types.intp), generate


@intrinsic
def load_scalar(_, array, offset):
    """array[offset]"""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def broadcast(_, value):
    """The same number in all lanes."""

    def generate(context, builder, _signature, arguments):
        return _broadcast(builder, arguments[0])

    return VECTOR(types.float64), generate


@intrinsic
def store(_, array, offset, values):
    """array[offset : offset + SIMD_WIDTH] = values"""

    def generate(context, builder, signature, arguments):
        _store(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


@intrinsic
def store_transposed(_, array, offset, stride, rows):
    """array[offset + k stride : offset + k stride + SIMD_WIDTH] = column k of a square of SIMD_WIDTH vectors."""

    def generate(context, builder, signature, arguments):
        square = [builder.extract_value(arguments[3], k) for k in range(SIMD_WIDTH)]
        for bit in (1 << k for k in range(SIMD_WIDTH.bit_length() - 1)):  # swap where row and column differ in it
            low = [k if not k & bit else SIMD_WIDTH + k - bit for k in range(SIMD_WIDTH)]
            high = [k + bit if not k & bit else SIMD_WIDTH + k for k in range(SIMD_WIDTH)]
            for k in (k for k in range(SIMD_WIDTH) if not k & bit):
                pair = square[k], square[k | bit]
                square[k], square[k | bit] = _shuffle(builder, *pair, low), _shuffle(builder, *pair, high)
        for k, column in enumerate(square):
            target = builder.add(arguments[1], builder.mul(arguments[2], ir.Constant(ir.IntType(64), k)))
            _store(context, builder, signature.args[0], arguments[0], target, column)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), generate


@intrinsic
def add_scaled(_, values, factor, others):
    """values + factor others"""

    def generate(context, builder, _signature, arguments):
        product = builder.fmul(_broadcast(builder, arguments[1]), arguments[2], flags=_CONTRACT)
        return builder.fadd(arguments[0], product, flags=_CONTRACT)

    return VECTOR(VECTOR, types.float64, VECTOR), generate


def _elementwise(operation):
    """An operation on two vectors, lane by lane."""

    @intrinsic
    def function(_, a, b):
        def generate(context, builder, _signature, arguments):
            return operation(builder, *arguments)

        return VECTOR(VECTOR, VECTOR), generate

    return function


add = _elementwise(lambda builder, a, b: builder.fadd(a, b, flags=_CONTRACT))
sub = _elementwise(lambda builder, a, b: builder.fsub(a, b, flags=_CONTRACT))
mul = _elementwise(lambda builder, a, b: builder.fmul(a, b, flags=_CONTRACT))
div = _elementwise(lambda builder, a, b: builder.fdiv(a, b, flags=_CONTRACT))
maximum = _elementwise(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
minimum = _elementwise(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))


@intrinsic
def sqrt(_, values):
    """Square roots, lane by lane."""

    def generate(context, builder, _signature, arguments):
        kind = ir.FunctionType(_LLVM_VECTOR, [_LLVM_VECTOR])
        return builder.call(builder.module.declare_intrinsic(f"llvm.sqrt.v{SIMD_WIDTH}f64", fnty=kind), arguments)

    return VECTOR(VECTOR), generate


@intrinsic
def less_than_mask(_, values, limit):
    """Bit k of the integer is set where lane k is smaller than `limit`."""

    def generate(context, builder, _signature, arguments):
        mask = builder.fcmp_ordered("<", arguments[0], _broadcast(builder, arguments[1]))
        return builder.zext(builder.bitcast(mask, ir.IntType(SIMD_WIDTH)), ir.IntType(64))

    return types.int64(VECTOR, types.float64), generate


@intrinsic
def trailing_zeros(_, bits):
    """Number of the lowest bit that is set; there must be one."""

    def generate(context, builder, _signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def horizontal_sum(_, values):
    """Sum over the lanes: lanes 2 k and 2 k + 1 first, then neighbouring sums, and so on."""

    def generate(context, builder, _signature, arguments):
        vector, width = arguments[0], SIMD_WIDTH
        while width > 1:
            even, odd = (_shuffle(builder, vector, vector, list(range(k, width, 2))) for k in (0, 1))
            vector, width = builder.fadd(even, odd), width // 2
        return builder.extract_element(vector, _i32(0))

    return types.float64(VECTOR), generate
