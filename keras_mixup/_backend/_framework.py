"""The questions that frameworks answer differently, each explained once.

`_on_tensorflow.py`, `_on_jax.py` and `_on_torch.py` hold what differs from the answers below, which are
those of a framework that has nothing of its own.
"""

import contextlib

import keras
import numpy as np

from keras_mixup._backend._ops import WORD


class Framework:
    """Answer for the framework that Keras runs on."""

    # Words of 32 bits and the sum, as in `Ops`

    def word(self, x):
        return keras.ops.cast(x, "uint32")

    def add_words(self, a, b):
        return a + b

    def shift_right(self, x, bits):
        return x >> bits

    def rotate_left(self, x, bits):
        return (x << bits) | (x >> (32 - bits))

    def weighted_sum(self, x, weight, other, complement):
        return weight * x + complement * other

    # Arrays

    def take_rows(self, x, rows, locality):
        """Return `x[rows]`. `locality`, see `Mix`, lets a batch that is sharded over devices stay on them."""
        return keras.ops.take(x, rows, axis=0)

    def signed_dtype(self, dtype):
        """Return the dtype for integers of this dtype and -1: 64 bits wide if the framework has them."""
        return "int64"

    def concrete_value(self, key):
        """Return the key of a mix as a NumPy array; `None` if it is traced or on an accelerator.

        A mix is drawn by some hundred operations on small arrays. NumPy does them in a tenth of the time that a
        framework takes eagerly, and the same numbers come out.
        """
        return None

    def value_on_host(self, x):
        """Return a tensor of this framework as a NumPy array if it is in the memory of the CPU, else `None`."""
        return None

    # The state of a `keras.random.SeedGenerator`

    def state_seed(self, seed):
        """Return a seed below 2**32 as the integer that a seed generator can hold."""
        return seed

    def state_of(self, words):
        """Return two words of 32 bits as the state of a seed generator."""
        return np.asarray(words, "uint32")

    def words_of(self, state):
        """Return the state of a seed generator as two words of 32 bits, alike on all backends."""
        return (keras.ops.convert_to_numpy(state).astype("int64") & WORD).astype("uint32")

    # A random state that an eager step draws from

    def draws_on_host(self, tensor):
        """Whether an eager step may draw on the host from a state: nobody records its work, to repeat it later."""
        return False

    def version(self, tensor):
        """Return what changes whenever a tensor is written, `None` if it can be read without waiting."""
        return None

    def has_values(self, tensor):
        """Whether a tensor can be read at all."""
        return True

    def send(self, array, like):
        """Return a NumPy array as a tensor on the device of the tensor `like`, without waiting for it."""
        return keras.ops.convert_to_tensor(array)

    def waits(self, tensor):
        """Whether the host would have to wait for an accelerator to read this tensor."""
        return False

    def on_host(self):
        """Return a context in which Keras computes in the memory of the CPU, where that is not what it does anyway."""
        return contextlib.nullcontext()

    # Tracing and gradients

    def is_compiling(self):
        """Whether `torch.compile` is tracing."""
        return False

    def outside_of_traces(self):
        """Return a context in which arrays are made at once, even while a function is traced."""
        return contextlib.nullcontext()

    def gradient_functions(self):
        """Return the code of the public functions that compute gradients and may call a rematerialised layer again."""
        return ()

    def input_gradients(self, function):
        """Return the function of the same arguments that gives the gradients of `function` in the first of them.

        `function` gives one number. Arguments are NumPy arrays; it gets them as tensors.
        """
        raise NotImplementedError("Keras needs TensorFlow, JAX or PyTorch to compute gradients.")

    def framework_state_kept(self, variables):
        """Return a context that restores the gradients and the random state of a framework that keeps them itself."""
        return contextlib.nullcontext()

    def register_tree(self, kind, flatten, unflatten):
        """Let compiled functions take and return objects of this kind, which hold arrays."""

    # Devices

    def replica(self):
        """Return the number of this replica if several run the step, each on its part of the batch; else `None`."""
        return None

    def shard_count(self, rows):
        """Count the devices of a `keras.distribution` that share the rows equally; 1 if none do, or have one each."""
        return 1
