"""Uniform numbers as a pure function of a key: the same on every backend, in every array library, compiled or not.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), the one that JAX uses. It needs only additions, rotations and exclusive-ors of 32-bit words, so it
compiles under XLA and `torch.compile`, holds no state, and two different keys or counters never share a
stream. `keras.random` would give other numbers with XLA than without it on TensorFlow, seed neighbouring
streams alike on PyTorch, and not run at all in a foreign `tf.data` graph.
"""

import contextlib

import keras
import numpy as np

from keras_mixup import _arguments, _backend

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(ops, key, counter):
    """Encrypts pairs of words: `key` a pair of shape `(1,)`, `counter` a pair of shape `(n,)`."""
    a, b = key
    keys = (a, b, a ^ b ^ PARITY)
    x, y = ops.add_words(counter[0], a), ops.add_words(counter[1], b)
    for injection in range(1, 6):
        for bits in ROTATIONS[(injection - 1) % 2]:
            x = ops.add_words(x, y)
            y = ops.rotate_left(y, bits) ^ x
        x = ops.add_words(x, keys[injection % 3])
        y = ops.add_words(y, ops.add_words(keys[(injection + 1) % 3], injection))
    return x, y


class Random:
    """The random source of one mix: every call of `uniform` gives fresh numbers.

    Args:
        ops: the array operations.
        key: two integers (any integer dtype, shape `(2,)`) that stand for this mix alone.
        step: the number of mixes that the layer made before, for schedules; `None` where there is no count.
    """

    def __init__(self, ops, key, step=None):
        key = ops.word(key)
        self.ops = ops
        self.key = key[0:1], key[1:2]
        self.step = step
        self.draws = 0

    def uniform(self, shape):
        """Float32 numbers strictly between 0 and 1, on a grid of 2**-23, of the given shape."""
        ops, count = self.ops, 1
        for n in shape:
            count = count * n
        index = ops.word(ops.arange((count + 1) // 2))
        words = threefry(ops, self.key, (index, ops.zeros_like(index) + self.draws))
        self.draws += 1
        words = ops.concatenate(words, axis=0)[:count]
        return ops.reshape((ops.cast(ops.shift_right(words, 9), "float32") + 0.5) * 2.0**-23, shape)

    def value(self, number):
        """A number as it is, a schedule (a callable of the step) at this mix's step."""
        if not callable(number):
            return number
        if self.step is None:
            raise _arguments.no_step(
                f"{type(number).__name__}", "this place (a pipeline, or a call with `seed`)", "`0.2`"
            )
        with _backend.on_host() if self.ops is _backend.NUMPY else contextlib.nullcontext():
            scheduled = number(keras.ops.convert_to_tensor(self.step))
        return check_scheduled(number, self.ops.from_keras(scheduled))

    def on_device(self, like):
        """The same source once more, which makes its numbers on the device of the tensor `like`."""
        key = np.concatenate(self.key).astype("int64")
        return Random(_backend.KERAS, _backend.as_tensor(key, like), self.step)


def key_of_replica(ops, key, replica):
    """The key of one of several replicas, which hold the same one: their streams have nothing in common."""
    if replica is None:
        return key
    key, counter = ops.word(key), ops.word(ops.convert_to_tensor([replica, _backend.WORD >> 1]))
    return ops.concatenate(threefry(ops, (key[0:1], key[1:2]), (counter[0:1], counter[1:2])), axis=0)


def key_of(ops, seed):
    """The key for a `seed` given by hand: an integer, or an integer tensor of shape `()` or `(2,)`."""
    check_seed_of_call(seed)
    if isinstance(seed, int | np.integer):
        return ops.convert_to_tensor(_words(seed))
    if len(seed.shape) == 1:
        return seed
    wide = "64" in _backend.dtype_of(seed)
    return ops.stack([seed, abs(seed) // 2**32 if wide else seed * 0])


def _words(seed):
    seed = int(seed)
    return np.array([seed & _backend.WORD, (abs(seed) >> 32) & _backend.WORD], "uint32")


def check_seed_of_call(seed):
    """An integer, or an integer tensor of shape `()` or `(2,)`."""
    shape = _backend.static_shape(seed)
    if isinstance(seed, int) and not isinstance(seed, bool):
        return
    if shape not in ((), (2,)) or not _backend.is_integer(_backend.dtype_of(seed)):
        raise TypeError(
            "Invalid value for argument `seed`: expected an integer, or an integer tensor of shape () or (2,). "
            f"Received: seed={seed!r}."
        )


def check_scheduled(schedule, value):
    """Returns what a schedule gave; it must be a number, where that can be known."""
    known = _backend.known_values(value)
    if known is not None and np.isnan(known).any():
        raise ValueError(
            f"A schedule must give a number at every step. Received: nan from {type(schedule).__name__}. Look for a "
            "division by 0 or a decay of 0 steps in it."
        )
    return value
