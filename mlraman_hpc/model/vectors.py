"""Four numbers side by side in a processor's vector register, for the compiled loops.

The compiler makes vectors of long loops by itself, but not of those over the few radial functions of one neighbour.
In compiled code a vector is a tuple of four numbers. Places are not checked and count over the whole of a contiguous
array, whatever its shape.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

FOUR = types.UniTuple(types.float64, 4)
_VECTOR = ir.VectorType(ir.DoubleType(), 4)
_CONTRACT = ("contract", "nsz")  # a product and a sum may be one instruction; their order stays


def _index(k: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), k)


def _pack(builder, values):
    vector = ir.Constant(_VECTOR, ir.Undefined)
    for k in range(4):
        vector = builder.insert_element(vector, builder.extract_value(values, k), _index(k))
    return vector


def _spread(builder, value):
    vector = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _index(0))
    return builder.shuffle_vector(vector, ir.Constant(_VECTOR, ir.Undefined),
                                  ir.Constant(ir.VectorType(ir.IntType(32), 4), [0] * 4))


def _unpack(context, builder, vector):
    return context.make_tuple(builder, FOUR, [builder.extract_element(vector, _index(k)) for k in range(4)])


def _pointer(context, builder, kind, array, place):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


@intrinsic
def load(_, array, place):
    """Four numbers of `array` from `place` on."""
    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        vector = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
        vector.align = 8
        return _unpack(context, builder, vector)
    return FOUR(array, types.intp), generate


@intrinsic
def save(_, array, place, values):
    """array[place : place + 4] = values"""
    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        stored = builder.store(_pack(builder, arguments[2]), builder.bitcast(pointer, _VECTOR.as_pointer()))
        stored.align = 8
        return context.get_dummy_value()
    return types.void(array, types.intp, FOUR), generate


@intrinsic
def number(_, array, place):
    """array[place]"""
    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature.args[0], *arguments))
    return array.dtype(array, types.intp), generate


@intrinsic
def put(_, array, place, value):
    """array[place] = value"""
    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()
    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def spread(_, value):
    """Four times the same number."""
    def generate(context, builder, _signature, arguments):
        return _unpack(context, builder, _spread(builder, arguments[0]))
    return FOUR(types.float64), generate


@intrinsic
def add_scaled(_, values, factor, others):
    """values + factor others"""
    def generate(context, builder, _signature, arguments):
        product = builder.fmul(_spread(builder, arguments[1]), _pack(builder, arguments[2]), flags=_CONTRACT)
        return _unpack(context, builder, builder.fadd(_pack(builder, arguments[0]), product, flags=_CONTRACT))
    return FOUR(FOUR, types.float64, FOUR), generate


def _of_two(operation):
    """An operation on two vectors, number by number."""
    @intrinsic
    def function(_, a, b):
        def generate(context, builder, _signature, arguments):
            first, second = (_pack(builder, argument) for argument in arguments)
            return _unpack(context, builder, operation(builder, first, second))
        return FOUR(FOUR, FOUR), generate
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
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), "llvm.sqrt.v4f64")
        return _unpack(context, builder, builder.call(function, [_pack(builder, arguments[0])]))
    return FOUR(FOUR), generate


@intrinsic
def below(_, values, limit):
    """Which of the numbers are smaller than `limit`: bits 0 to 3 of an integer."""
    def generate(context, builder, _signature, arguments):
        found = builder.fcmp_ordered("<", _pack(builder, arguments[0]), _spread(builder, arguments[1]))
        return builder.zext(builder.bitcast(found, ir.IntType(4)), ir.IntType(64))
    return types.int64(FOUR, types.float64), generate
