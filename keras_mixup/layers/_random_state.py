"""The random state of a layer: where it stands in its sequence of draws."""

import contextlib
import random as python_random
import threading
from typing import Any

import keras
import numpy as np

from keras_mixup import _arguments, _backend
from keras_mixup._random import Random, key_of, key_of_replica


class RandomState:
    """Gives the random source of every mix that a layer draws.

    In a model the state is a `keras.random.SeedGenerator`, in plain `tf.data` maps a generator of TensorFlow, and in
    `mix_dataset` and `mix_numpy` there is none: their draws are functions of a seed.
    """

    def __init__(self, seed):
        self.generator: Any = None
        self._words = None  # state read from a pickle; moved to the device on first use
        self._lock = threading.Lock()  # threads of a loader take the next state one after another
        self._on_host = _backend.StateOnHost()
        self.restart(seed)

    def restart(self, seed):
        """Begins the sequence of draws that a seed stands for."""
        # Drawn from Python's generator as Keras does, so that `keras.utils.set_random_seed` holds here too.
        self.first_seed = python_random.randint(1, 10**9) if seed is None else seed
        self._of_datasets = _backend.DatasetState(self.first_seed)
        if self.generator is not None:
            self._on_host.write(self.generator.state, np.array([self.first_seed, 0], "uint32"))

    def on_device(self):
        """The `SeedGenerator`, made on the device of the backend if it is not there yet."""
        with self._lock:
            if self.generator is None:
                with _backend.outside_of_traces():
                    generator = keras.random.SeedGenerator(_backend.state_seed(self.first_seed))
                    self._on_host.keep(generator.state, np.array([self.first_seed, 0], "uint32"))
                    if self._words is not None:
                        self._on_host.write(generator.state, self._words)
                self.generator = generator
        return self.generator

    @property
    def words(self):
        """The state as two words of 32 bits, `None` if nothing has been drawn or read yet."""
        return self._words if self.generator is None else _backend.words_of(self.generator.state)

    def read_pickle(self, words):
        self._words = words

    def read_file(self, words, name):
        """Continues where a saved layer of this name stood."""
        words = np.asarray(words)
        if words.shape != (2,) or words.dtype.kind not in "iu" or words.min() < 0 or words.max() >= 2**32:
            raise ValueError(
                f"The random state of layer {name!r} must be two whole numbers from 0 to 4294967295. Received: "
                f"{words!r:.80}. The file is damaged, or was made by other means than saving the model."
            )
        self._on_host.write(self.on_device().state, words.astype("uint32"))

    def next(self):
        """The random source of the next mix in a model or a loop."""
        replica = _backend.replica()
        alone = replica is None and not _backend.is_compiling()
        with self._lock if alone else contextlib.nullcontext():
            words = None if _backend.is_compiling() else self._on_host.read(self.generator.state)
            if words is None:
                state = self.generator.next()
                return _source(state, state[1], replica)
            self._on_host.write(self.generator.state, words + np.array([0, 1], "uint32"))
        key = key_of_replica(_backend.NUMPY, words, replica)
        return Random(_backend.NUMPY, key, _backend.state_of(words)[1])

    def next_in_tf_data(self, ops):
        """The random source of the next batch of a plain `tf.data` map."""
        return Random(ops, self._of_datasets.next())


def source_of_call(seed):
    """The random source of a call that is given a seed."""
    return _source(key_of(_backend.KERAS, seed))


def _source(key, step=None, replica=None):
    """The random source for a key on the Keras backend; on NumPy where the value of the key is known."""
    value = _backend.concrete_value(key)
    ops, key = (_backend.KERAS, key) if value is None else (_backend.NUMPY, value)
    return Random(ops, key_of_replica(ops, key, replica), step)


def source_on_numpy(seed):
    """The random source of a batch of NumPy arrays: for an integer, a tuple of integers, or a NumPy generator."""
    key: Any
    if isinstance(seed, np.random.Generator):
        key = seed.integers(0, 2**32, 2, dtype="uint32")
    elif isinstance(seed, tuple):
        # Their number and two words each, because `SeedSequence` takes (0, 1), (0, 1, 0) and 2**32 for the same.
        words = [word for number in seed for word in divmod(_check_seed(number), 2**32)]
        key = np.random.SeedSequence([len(seed), *words]).generate_state(2)
    else:
        key = key_of(_backend.NUMPY, _check_seed(seed))
    return Random(_backend.NUMPY, key)


def _check_seed(value):
    what = "an integer, a tuple of integers or a `numpy.random.Generator`"
    if value is None:
        raise TypeError(f"Invalid value for argument `seed`: expected {what}. Received: seed=None.")
    return _arguments.check_integer("seed", value, lower=0, upper=2**64, what=what)
