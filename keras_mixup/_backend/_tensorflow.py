"""Compute with tensors of TensorFlow. Imported only once TensorFlow is needed."""

import tensorflow as tf

from keras_mixup._backend._ops import Ops


class TensorFlowOps(Ops):
    """TensorFlow under the names of `keras.ops`, under any Keras backend."""

    # of each element
    abs = staticmethod(tf.abs)
    absolute = staticmethod(tf.abs)
    add = staticmethod(tf.add)
    cast = staticmethod(tf.cast)
    ceil = staticmethod(tf.math.ceil)
    clip = staticmethod(tf.clip_by_value)
    cos = staticmethod(tf.cos)
    divide = staticmethod(tf.divide)
    equal = staticmethod(tf.equal)
    exp = staticmethod(tf.exp)
    expm1 = staticmethod(tf.math.expm1)
    floor = staticmethod(tf.floor)
    floor_divide = staticmethod(tf.math.floordiv)
    greater = staticmethod(tf.greater)
    greater_equal = staticmethod(tf.greater_equal)
    isfinite = staticmethod(tf.math.is_finite)
    isnan = staticmethod(tf.math.is_nan)
    less = staticmethod(tf.less)
    less_equal = staticmethod(tf.less_equal)
    log = staticmethod(tf.math.log)
    log1p = staticmethod(tf.math.log1p)
    logical_and = staticmethod(tf.logical_and)
    logical_not = staticmethod(tf.logical_not)
    logical_or = staticmethod(tf.logical_or)
    logical_xor = staticmethod(tf.math.logical_xor)
    maximum = staticmethod(tf.maximum)
    minimum = staticmethod(tf.minimum)
    mod = staticmethod(tf.math.floormod)
    multiply = staticmethod(tf.multiply)
    negative = staticmethod(tf.negative)
    not_equal = staticmethod(tf.not_equal)
    power = staticmethod(tf.pow)
    round = staticmethod(tf.round)
    sign = staticmethod(tf.sign)
    sin = staticmethod(tf.sin)
    sqrt = staticmethod(tf.sqrt)
    square = staticmethod(tf.square)
    subtract = staticmethod(tf.subtract)
    tan = staticmethod(tf.tan)
    tanh = staticmethod(tf.tanh)
    where = staticmethod(tf.where)

    # over axes
    all = staticmethod(tf.reduce_all)
    any = staticmethod(tf.reduce_any)
    einsum = staticmethod(tf.einsum)
    matmul = staticmethod(tf.matmul)
    max = staticmethod(tf.reduce_max)
    mean = staticmethod(tf.reduce_mean)
    min = staticmethod(tf.reduce_min)
    prod = staticmethod(tf.reduce_prod)
    sort = staticmethod(tf.sort)
    std = staticmethod(tf.math.reduce_std)
    sum = staticmethod(tf.reduce_sum)
    tensordot = staticmethod(tf.tensordot)
    var = staticmethod(tf.math.reduce_variance)

    # of shapes and positions
    broadcast_to = staticmethod(tf.broadcast_to)
    expand_dims = staticmethod(tf.expand_dims)
    reshape = staticmethod(tf.reshape)
    squeeze = staticmethod(tf.squeeze)
    stack = staticmethod(tf.stack)
    tile = staticmethod(tf.tile)
    transpose = staticmethod(tf.transpose)

    # new arrays
    arange = staticmethod(tf.range)
    convert_to_tensor = staticmethod(tf.convert_to_tensor)
    copy = staticmethod(tf.identity)
    linspace = staticmethod(tf.linspace)
    ones = staticmethod(tf.ones)
    ones_like = staticmethod(tf.ones_like)
    zeros = staticmethod(tf.zeros)
    zeros_like = staticmethod(tf.zeros_like)

    def shape(self, x):
        dynamic = tf.shape(x)
        return tuple(dynamic[i] if n is None else n for i, n in enumerate(x.shape))

    def take(self, x, indices, axis=None):
        return tf.gather(x if axis is not None else tf.reshape(x, (-1,)), indices, axis=axis or 0)

    def take_along_axis(self, x, indices, axis=-1):
        return tf.experimental.numpy.take_along_axis(x, indices, axis)

    def argmax(self, x, axis=None):
        return tf.cast(tf.experimental.numpy.argmax(x, axis), "int32")

    def argmin(self, x, axis=None):
        return tf.cast(tf.experimental.numpy.argmin(x, axis), "int32")

    def argsort(self, x, axis=-1):
        return tf.argsort(x, axis=axis, stable=True)

    def cumsum(self, x, axis=None, dtype=None):
        return tf.experimental.numpy.cumsum(x, axis, dtype)

    def concatenate(self, xs, axis=0):
        return tf.concat(xs, axis)

    def flip(self, x, axis=None):
        return tf.experimental.numpy.flip(x, axis)

    def full(self, shape, fill_value, dtype="float32"):
        return tf.fill(shape, tf.cast(fill_value, dtype))

    def moveaxis(self, x, source, destination):
        return tf.experimental.numpy.moveaxis(x, source, destination)

    def swapaxes(self, x, axis1, axis2):
        return tf.experimental.numpy.swapaxes(x, axis1, axis2)

    def one_hot(self, x, num_classes, axis=-1, dtype="float32"):
        # TensorFlow accepts only half of the integer dtypes.
        return tf.one_hot(tf.cast(x, tf.int64), num_classes, axis=axis, dtype=dtype)

    def roll(self, x, shift, axis=None):
        return tf.experimental.numpy.roll(x, shift, axis)

    def split(self, x, indices_or_sections, axis=0):
        return tf.experimental.numpy.split(x, indices_or_sections, axis)

    def shift_right(self, x, bits):
        return tf.bitwise.right_shift(x, tf.constant(bits, x.dtype))

    def rotate_left(self, x, bits):
        left = tf.bitwise.left_shift(x, tf.constant(bits, x.dtype))
        return left | self.shift_right(x, 32 - bits)


TENSORFLOW = TensorFlowOps()
