"""The questions that the frameworks answer differently, each explained here once.

The answers here are those of a framework without anything of its own. `_on_tensorflow.py`, `_on_jax.py` and
`_on_torch.py` give the others.
"""

import contextlib

import keras
import numpy as np

from keras_mixup._backend._ops import MASK


class Framework:
    """Answer for the framework that Keras runs on."""

    # Words of 32 bits, for the random source. See `Ops`.

    def word(self, x):
        return keras.ops.cast(x, "uint32")

    def add_words(self, a, b):
        return a + b

    def shift_right(self, x, bits):
        return x >> bits

    def rotate_left(self, x, bits):
        return (x << bits) | (x >> (32 - bits))

    # Memory

    def weighted_sum(self, x, weight, other, complement):
        """`weight·x + complement·other`, which may be written over `other`."""
        return weight * x + complement * other

    def take_rows(self, x, rows, locality):
        """`x[rows]`. `locality`, see `Mix`, lets a batch that is sharded over devices stay on them."""
        return keras.ops.take(x, rows, axis=0)

    # Values

    def signed_dtype(self, dtype):
        """The dtype for integers of this dtype and -1: 64 bits wide if the framework has them."""
        return "int64"

    def concrete_value(self, key):
        """The key of a mix as a NumPy array, or `None` while it is traced or on an accelerator.

        A mix is drawn by some hundred operations on small arrays. NumPy does them in a tenth of the time that a
        framework takes eagerly, and the same numbers come out.
        """
        return None

    def value_on_host(self, x):
        """The values of a tensor of this framework as a NumPy array, if they are in the memory of the CPU."""
        return None

    # The state of a `keras.random.SeedGenerator`

    def state_seed(self, seed):
        """A seed below 2**32 as the integer that a seed generator can hold."""
        return seed

    def state_of(self, words):
        """Two words of 32 bits as the state of a seed generator."""
        return np.asarray(words, "uint32")

    def words_of(self, state):
        """The state of a seed generator as two words of 32 bits, alike on all backends."""
        return (keras.ops.convert_to_numpy(state).astype("int64") & MASK).astype("uint32")

    # Tracing and gradients

    def is_compiling(self):
        """Whether `torch.compile` is tracing."""
        return False

    def outside_of_traces(self):
        """Return a context in which arrays are made at once, even while a function is traced."""
        return contextlib.nullcontext()

    def gradient_functions(self):
        """The code of the public functions that compute gradients and may call a rematerialised layer again."""
        return ()

    def framework_state_kept(self, variables):
        """Return a context that restores the gradients and the random state, if the framework keeps them itself."""
        return contextlib.nullcontext()

    # Devices

    def replica(self):
        """The number of this replica, if several run the step, each on its part of the batch; `None` otherwise."""
        return None

    def shard_count(self, rows):
        """How many devices of a `keras.distribution` share these rows equally; 1 if none do, or have one row each."""
        return 1
