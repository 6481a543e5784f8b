"""NumPy under the names of `keras.ops`."""

import keras
import numpy as np

from keras_mixup._backend._ops import Ops


class NumpyOps(Ops):
    """NumPy under the names of `keras.ops`."""

    def _named(self, name):
        return getattr(np, name)

    def here(self, x):
        return keras.ops.convert_to_numpy(x)

    def cast(self, x, dtype):
        return np.asarray(x).astype(dtype, copy=False)

    def convert_to_tensor(self, x, dtype=None):
        return np.asarray(x, dtype)

    def argsort(self, x, axis=-1):
        return np.argsort(x, axis=axis, kind="stable")  # as the backends sort: ties keep their order

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
