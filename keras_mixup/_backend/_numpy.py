"""Compute with NumPy arrays."""

import keras
import numpy as np

from keras_mixup._backend._ops import Ops


class NumpyOps(Ops):
    """NumPy under the names of `keras.ops`."""

    # of each element
    abs = staticmethod(np.abs)
    absolute = staticmethod(np.absolute)
    add = staticmethod(np.add)
    ceil = staticmethod(np.ceil)
    clip = staticmethod(np.clip)
    cos = staticmethod(np.cos)
    divide = staticmethod(np.divide)
    equal = staticmethod(np.equal)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    floor = staticmethod(np.floor)
    floor_divide = staticmethod(np.floor_divide)
    greater = staticmethod(np.greater)
    greater_equal = staticmethod(np.greater_equal)
    isfinite = staticmethod(np.isfinite)
    isnan = staticmethod(np.isnan)
    less = staticmethod(np.less)
    less_equal = staticmethod(np.less_equal)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    logical_and = staticmethod(np.logical_and)
    logical_not = staticmethod(np.logical_not)
    logical_or = staticmethod(np.logical_or)
    logical_xor = staticmethod(np.logical_xor)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    mod = staticmethod(np.mod)
    multiply = staticmethod(np.multiply)
    negative = staticmethod(np.negative)
    not_equal = staticmethod(np.not_equal)
    power = staticmethod(np.power)
    round = staticmethod(np.round)
    sign = staticmethod(np.sign)
    sin = staticmethod(np.sin)
    sqrt = staticmethod(np.sqrt)
    square = staticmethod(np.square)
    subtract = staticmethod(np.subtract)
    tan = staticmethod(np.tan)
    tanh = staticmethod(np.tanh)
    where = staticmethod(np.where)

    # over axes
    all = staticmethod(np.all)
    any = staticmethod(np.any)
    argmax = staticmethod(np.argmax)
    argmin = staticmethod(np.argmin)
    cumsum = staticmethod(np.cumsum)
    einsum = staticmethod(np.einsum)
    matmul = staticmethod(np.matmul)
    max = staticmethod(np.max)
    mean = staticmethod(np.mean)
    min = staticmethod(np.min)
    prod = staticmethod(np.prod)
    sort = staticmethod(np.sort)
    std = staticmethod(np.std)
    sum = staticmethod(np.sum)
    tensordot = staticmethod(np.tensordot)
    var = staticmethod(np.var)

    # of shapes and positions
    broadcast_to = staticmethod(np.broadcast_to)
    concatenate = staticmethod(np.concatenate)
    expand_dims = staticmethod(np.expand_dims)
    flip = staticmethod(np.flip)
    moveaxis = staticmethod(np.moveaxis)
    reshape = staticmethod(np.reshape)
    roll = staticmethod(np.roll)
    shape = staticmethod(np.shape)
    split = staticmethod(np.split)
    squeeze = staticmethod(np.squeeze)
    stack = staticmethod(np.stack)
    swapaxes = staticmethod(np.swapaxes)
    take = staticmethod(np.take)
    take_along_axis = staticmethod(np.take_along_axis)
    tile = staticmethod(np.tile)
    transpose = staticmethod(np.transpose)

    # new arrays
    arange = staticmethod(np.arange)
    copy = staticmethod(np.copy)
    ones_like = staticmethod(np.ones_like)
    zeros_like = staticmethod(np.zeros_like)

    def from_keras(self, x):
        return keras.ops.convert_to_numpy(x)

    def cast(self, x, dtype):
        return np.asarray(x).astype(dtype, copy=False)

    def convert_to_tensor(self, x, dtype=None):
        return np.asarray(x, dtype)

    def argsort(self, x, axis=-1):
        return np.argsort(x, axis=axis, kind="stable")  # as the backends do: ties keep their order

    def full(self, shape, fill_value, dtype="float32"):
        return np.full(shape, fill_value, dtype)

    def linspace(self, start, stop, num=50):
        return np.linspace(start, stop, num, dtype="float32")

    def ones(self, shape, dtype="float32"):
        return np.ones(shape, dtype)

    def zeros(self, shape, dtype="float32"):
        return np.zeros(shape, dtype)

    def one_hot(self, x, num_classes, axis=-1, dtype="float32"):
        return np.moveaxis((np.asarray(x)[..., None] == np.arange(num_classes)).astype(dtype), -1, axis)

    def word(self, x):
        return np.asarray(x).astype("int64").astype("uint32")

    def weighted_sum(self, x, weight, other, complement):
        other *= complement
        other += weight * x
        return other

    def shift_right(self, x, bits):
        return x >> np.uint32(bits)

    def rotate_left(self, x, bits):
        return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


NUMPY = NumpyOps()
