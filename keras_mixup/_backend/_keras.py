"""Compute with the tensors of the Keras backend."""

import keras

from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._ops import Ops


class KerasOps(Ops):
    """`keras.ops`, and what differs between the backends."""

    # of each element
    abs = staticmethod(keras.ops.abs)
    absolute = staticmethod(keras.ops.absolute)
    add = staticmethod(keras.ops.add)
    cast = staticmethod(keras.ops.cast)
    ceil = staticmethod(keras.ops.ceil)
    clip = staticmethod(keras.ops.clip)
    cos = staticmethod(keras.ops.cos)
    divide = staticmethod(keras.ops.divide)
    equal = staticmethod(keras.ops.equal)
    exp = staticmethod(keras.ops.exp)
    expm1 = staticmethod(keras.ops.expm1)
    floor = staticmethod(keras.ops.floor)
    floor_divide = staticmethod(keras.ops.floor_divide)
    greater = staticmethod(keras.ops.greater)
    greater_equal = staticmethod(keras.ops.greater_equal)
    isfinite = staticmethod(keras.ops.isfinite)
    isnan = staticmethod(keras.ops.isnan)
    less = staticmethod(keras.ops.less)
    less_equal = staticmethod(keras.ops.less_equal)
    log = staticmethod(keras.ops.log)
    log1p = staticmethod(keras.ops.log1p)
    logical_and = staticmethod(keras.ops.logical_and)
    logical_not = staticmethod(keras.ops.logical_not)
    logical_or = staticmethod(keras.ops.logical_or)
    logical_xor = staticmethod(keras.ops.logical_xor)
    maximum = staticmethod(keras.ops.maximum)
    minimum = staticmethod(keras.ops.minimum)
    mod = staticmethod(keras.ops.mod)
    multiply = staticmethod(keras.ops.multiply)
    negative = staticmethod(keras.ops.negative)
    not_equal = staticmethod(keras.ops.not_equal)
    power = staticmethod(keras.ops.power)
    round = staticmethod(keras.ops.round)
    sign = staticmethod(keras.ops.sign)
    sin = staticmethod(keras.ops.sin)
    sqrt = staticmethod(keras.ops.sqrt)
    square = staticmethod(keras.ops.square)
    subtract = staticmethod(keras.ops.subtract)
    tan = staticmethod(keras.ops.tan)
    tanh = staticmethod(keras.ops.tanh)
    where = staticmethod(keras.ops.where)

    # over axes
    all = staticmethod(keras.ops.all)
    any = staticmethod(keras.ops.any)
    argmax = staticmethod(keras.ops.argmax)
    argmin = staticmethod(keras.ops.argmin)
    argsort = staticmethod(keras.ops.argsort)
    cumsum = staticmethod(keras.ops.cumsum)
    einsum = staticmethod(keras.ops.einsum)
    matmul = staticmethod(keras.ops.matmul)
    max = staticmethod(keras.ops.max)
    mean = staticmethod(keras.ops.mean)
    min = staticmethod(keras.ops.min)
    prod = staticmethod(keras.ops.prod)
    sort = staticmethod(keras.ops.sort)
    std = staticmethod(keras.ops.std)
    sum = staticmethod(keras.ops.sum)
    tensordot = staticmethod(keras.ops.tensordot)
    var = staticmethod(keras.ops.var)

    # of shapes and positions
    broadcast_to = staticmethod(keras.ops.broadcast_to)
    concatenate = staticmethod(keras.ops.concatenate)
    expand_dims = staticmethod(keras.ops.expand_dims)
    flip = staticmethod(keras.ops.flip)
    moveaxis = staticmethod(keras.ops.moveaxis)
    reshape = staticmethod(keras.ops.reshape)
    roll = staticmethod(keras.ops.roll)
    shape = staticmethod(keras.ops.shape)
    split = staticmethod(keras.ops.split)
    squeeze = staticmethod(keras.ops.squeeze)
    stack = staticmethod(keras.ops.stack)
    swapaxes = staticmethod(keras.ops.swapaxes)
    take = staticmethod(keras.ops.take)
    take_along_axis = staticmethod(keras.ops.take_along_axis)
    tile = staticmethod(keras.ops.tile)
    transpose = staticmethod(keras.ops.transpose)

    # new arrays
    arange = staticmethod(keras.ops.arange)
    convert_to_tensor = staticmethod(keras.ops.convert_to_tensor)
    copy = staticmethod(keras.ops.copy)
    full = staticmethod(keras.ops.full)
    linspace = staticmethod(keras.ops.linspace)
    one_hot = staticmethod(keras.ops.one_hot)
    ones = staticmethod(keras.ops.ones)
    ones_like = staticmethod(keras.ops.ones_like)
    zeros = staticmethod(keras.ops.zeros)
    zeros_like = staticmethod(keras.ops.zeros_like)

    # what differs between the frameworks
    word = staticmethod(FRAMEWORK.word)
    add_words = staticmethod(FRAMEWORK.add_words)
    shift_right = staticmethod(FRAMEWORK.shift_right)
    rotate_left = staticmethod(FRAMEWORK.rotate_left)
    weighted_sum = staticmethod(FRAMEWORK.weighted_sum)


KERAS = KerasOps()
