"""`keras.ops`, and the 32-bit words of the random source."""

import keras

from keras_mixup._backend._ops import MASK, Ops
from keras_mixup._backend._tensorflow import tensorflow_ops


class KerasOps(Ops):
    """`keras.ops`, and the 32-bit words of the random source."""

    def _named(self, name):
        return getattr(keras.ops, name)

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
        return x >> bits if keras.backend.backend() != "tensorflow" else tensorflow_ops().shift_right(x, bits)

    def rotate_left(self, x, bits):
        if keras.backend.backend() == "tensorflow":
            return tensorflow_ops().rotate_left(x, bits)
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
