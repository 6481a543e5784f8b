"""TensorFlow under the names of `keras.ops`."""

import functools
import operator
from typing import ClassVar

from keras_mixup._backend._ops import Ops


class TensorFlowOps(Ops):
    """TensorFlow under the names of `keras.ops`, whatever the Keras backend."""

    RENAMED: ClassVar = {
        "absolute": "abs",
        "ceil": "math.ceil",
        "floor_divide": "math.floordiv",
        "isfinite": "math.is_finite",
        "isnan": "math.is_nan",
        "logical_xor": "math.logical_xor",
        "std": "math.reduce_std",
        "var": "math.reduce_variance",
        "log": "math.log",
        "log1p": "math.log1p",
        "expm1": "math.expm1",
        "mod": "math.floormod",
        "power": "pow",
        "clip": "clip_by_value",
        "arange": "range",
        "copy": "identity",
        **{name: f"reduce_{name}" for name in ("all", "any", "max", "mean", "min", "prod", "sum")},
    }

    def __init__(self):
        import tensorflow as tf

        self.tf = tf

    def _named(self, name):
        return operator.attrgetter(self.RENAMED.get(name, name))(self.tf)

    def shape(self, x):
        dynamic = self.tf.shape(x)
        return tuple(dynamic[i] if n is None else n for i, n in enumerate(x.shape))

    def take(self, x, indices, axis=None):
        return self.tf.gather(x if axis is not None else self.tf.reshape(x, (-1,)), indices, axis=axis or 0)

    def take_along_axis(self, x, indices, axis=-1):
        return self.tf.experimental.numpy.take_along_axis(x, indices, axis)

    def argmax(self, x, axis=None):
        return self.tf.cast(self.tf.experimental.numpy.argmax(x, axis), "int32")

    def argmin(self, x, axis=None):
        return self.tf.cast(self.tf.experimental.numpy.argmin(x, axis), "int32")

    def argsort(self, x, axis=-1):
        return self.tf.argsort(x, axis=axis, stable=True)

    def cumsum(self, x, axis=None, dtype=None):
        return self.tf.experimental.numpy.cumsum(x, axis, dtype)

    def concatenate(self, xs, axis=0):
        return self.tf.concat(xs, axis)

    def flip(self, x, axis=None):
        return self.tf.experimental.numpy.flip(x, axis)

    def full(self, shape, fill_value, dtype="float32"):
        return self.tf.fill(shape, self.tf.cast(fill_value, dtype))

    def moveaxis(self, x, source, destination):
        return self.tf.experimental.numpy.moveaxis(x, source, destination)

    def swapaxes(self, x, axis1, axis2):
        return self.tf.experimental.numpy.swapaxes(x, axis1, axis2)

    def one_hot(self, x, num_classes, axis=-1, dtype="float32"):
        # TensorFlow takes half of the integer dtypes only.
        return self.tf.one_hot(self.tf.cast(x, self.tf.int64), num_classes, axis=axis, dtype=dtype)

    def roll(self, x, shift, axis=None):
        return self.tf.experimental.numpy.roll(x, shift, axis)

    def split(self, x, indices_or_sections, axis=0):
        return self.tf.experimental.numpy.split(x, indices_or_sections, axis)

    def shift_right(self, x, bits):
        return self.tf.bitwise.right_shift(x, self.tf.constant(bits, x.dtype))

    def rotate_left(self, x, bits):
        left = self.tf.bitwise.left_shift(x, self.tf.constant(bits, x.dtype))
        return left | self.shift_right(x, 32 - bits)


@functools.cache
def tensorflow_ops():
    """The one `TensorFlowOps`, made when the first TensorFlow tensor arrives."""
    return TensorFlowOps()
