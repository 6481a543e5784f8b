"""Answer for PyTorch, if Keras runs on it."""

import contextlib

import keras
import numpy as np
import torch
from torch import distributed

from keras_mixup._backend._framework import Framework
from keras_mixup._backend._ops import WORD

SENT_AT_ONCE = 2**15  # bytes that CUDA takes along with the command to copy them


class OnTorch(Framework):
    """PyTorch: words in wider integers, sums in place, and a compiler, gradients and processes of its own."""

    def take_rows(self, x, rows, locality):
        # `keras.ops.take` looks for negative indices, by four more operations.
        x, rows = (y if isinstance(y, torch.Tensor) else keras.ops.convert_to_tensor(y) for y in (x, rows))
        return x.index_select(0, rows)

    # There is next to no arithmetic for uint32: a word lives in the low half of an int64.

    def word(self, x):
        return keras.ops.cast(x, "int64") & WORD

    def add_words(self, a, b):
        return (a + b) & WORD

    def rotate_left(self, x, bits):
        return ((x << bits) & WORD) | (x >> (32 - bits))

    def weighted_sum(self, x, weight, other, complement):
        # Two thirds of the time of a large batch would go into fresh memory.
        if torch.compiler.is_compiling() or not all(map(_has_memory, (x, weight, other, complement))):
            return super().weighted_sum(x, weight, other, complement)
        return other.mul_(complement).addcmul_(x, weight)

    def concrete_value(self, key):
        if torch.compiler.is_compiling() or key.device.type != "cpu":  # a GPU would have to finish all work first
            return None
        try:
            return key.numpy()
        except RuntimeError:  # in a transformation of `torch.func`
            return None

    def value_on_host(self, x):
        return self.concrete_value(x) if isinstance(x, torch.Tensor) else None

    def draws_on_host(self, tensor):
        # A CUDA graph would repeat the numbers that were drawn while it was captured.
        return tensor.device.type != "cuda" or not torch.cuda.is_current_stream_capturing()

    def version(self, tensor):
        return None if tensor.device.type == "cpu" else tensor._version

    def has_values(self, tensor):
        return not tensor.is_meta

    def send(self, array, like):
        if like.device.type not in ("cuda", "meta"):
            return keras.ops.convert_to_tensor(array)
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if like.device.type == "cuda" and array.nbytes > SENT_AT_ONCE:
            tensor = tensor.pin_memory()  # from other memory the copy would begin only after all work before it
        return tensor.to(like.device, non_blocking=True)

    def waits(self, tensor):
        return isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu"

    def on_host(self):
        return keras.device("cpu")

    def state_seed(self, seed):
        # Seeds are int32: the same 32 bits, read as a signed number.
        return seed - 2**32 if seed >= 2**31 else seed

    def state_of(self, words):
        return super().state_of(words).view("int32")

    def is_compiling(self):
        return torch.compiler.is_compiling()

    def gradient_functions(self):
        if torch.compiler.is_compiling():  # the compiled backward pass calls no layer again
            return ()
        return torch.autograd.backward.__code__, torch.autograd.grad.__code__

    def input_gradients(self, function):
        def gradients(*arguments):
            x, *rest = map(keras.ops.convert_to_tensor, arguments)
            x = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(function(x, *rest), x)
            return gradient

        return gradients

    @contextlib.contextmanager
    def framework_state_kept(self, variables):
        gradients = [(v.value, v.value.grad) for v in variables]
        try:
            with torch.random.fork_rng():  # `Dropout` of Keras draws from it
                yield
        finally:
            for tensor, gradient in gradients:
                tensor.grad = gradient

    def replica(self):
        several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        return distributed.get_rank() if several else None


def _has_memory(tensor):
    """Whether a tensor has memory of its own; one that a transformation of `torch.func` traces has none."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True
