"""`keras.ops`, and the 32-bit words of the random source."""

import keras

from keras_mixup._backend._ops import MASK, Ops


class KerasOps(Ops):
    """`keras.ops`, and the 32-bit words of the random source."""

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

    # of shapes and places
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

    @property
    def word_dtype(self):
        # PyTorch has next to no arithmetic for uint32: there a word lives in the low half of an int64.
        return "int64" if keras.backend.backend() == "torch" else "uint32"

    def word(self, x):
        if self.word_dtype == "uint32":
            return keras.ops.cast(x, "uint32")
        return keras.ops.cast(x, "int64") & MASK

    def add_words(self, a, b):
        return a + b if self.word_dtype == "uint32" else (a + b) & MASK

    def weighted_sum(self, x, weight, other, complement):
        # On PyTorch two thirds of the time of a large batch would go into fresh memory.
        if keras.backend.backend() == "torch" and all(map(_has_memory, (x, weight, other, complement))):
            return other.mul_(complement).addcmul_(x, weight)
        return super().weighted_sum(x, weight, other, complement)

    def shift_right(self, x, bits):
        if keras.backend.backend() != "tensorflow":
            return x >> bits
        from keras_mixup._backend._tensorflow import TENSORFLOW

        return TENSORFLOW.shift_right(x, bits)

    def rotate_left(self, x, bits):
        if keras.backend.backend() == "tensorflow":
            from keras_mixup._backend._tensorflow import TENSORFLOW

            return TENSORFLOW.rotate_left(x, bits)
        return self.add_words(x << bits, 0) | (x >> (32 - bits))


def _has_memory(tensor):
    """Whether a tensor of PyTorch is one, and nothing that a compiler or a transformation of `torch.func` traces."""
    import torch

    if torch.compiler.is_compiling():
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


KERAS = KerasOps()
