"""`keras_mixup._random`: the generator that every draw comes from."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_mixup import _backend, functional
from keras_mixup._random import Random, key_of, threefry

PLACES = {"keras": _backend.KERAS, "numpy": _backend.NUMPY, "tensorflow": _backend.tensorflow_ops()}
KNOWN_ANSWERS = [  # key, counter, output: of the authors' reference implementation, Random123's kat_vectors
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.fixture(params=PLACES)
def ops(request):
    return PLACES[request.param]


@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN_ANSWERS)
def test_threefry_gives_the_known_answers(ops, key, counter, expected):
    """The words are those of the published generator."""

    def word(value):
        return ops.word(ops.convert_to_tensor(np.array([value], "uint32")))

    words = threefry(ops, [word(k) for k in key], [word(c) for c in counter])

    assert tuple(int(w[0]) for w in words) == expected


@pytest.mark.slow
@hypothesis.given(seed=st.integers(0, 2**32 - 1), shape=st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple))
def test_uniform_is_the_same_everywhere(seed, shape):
    """A key gives the same numbers, bit for bit, on the backend, on NumPy and in TensorFlow."""
    draws = [Random(ops, key_of(ops, seed)).uniform(shape) for ops in PLACES.values()]

    expected = draws[1]
    assert expected.shape == shape
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(draws[0]), expected)
    np.testing.assert_array_equal(draws[2].numpy(), expected)


@pytest.mark.slow
def test_uniform_is_uniform_and_open():
    """Kolmogorov-Smirnov, and no number is 0 or 1."""
    u = Random(_backend.NUMPY, key_of(_backend.NUMPY, 1)).uniform((400_000,))

    assert u.dtype == "float32"
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_draws_keys_and_neighbours_are_independent():
    """The second draw, the next seed and the next step share nothing with the first."""
    streams = [
        Random(_backend.NUMPY, np.array(key)).uniform((4, 10_000)) for key in [(0, 0), (1, 0), (0, 1), (3, 0), (0, 3)]
    ]
    source = Random(_backend.NUMPY, np.array((0, 0)))
    source.uniform((4, 10_000))
    streams.append(source.uniform((4, 10_000)))

    correlations = np.corrcoef([s.ravel() for s in streams]) - np.eye(len(streams))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(40_000)
    assert len(np.unique([s[0, :3] for s in streams], axis=0)) == len(streams)


@pytest.mark.slow
def test_compiled_draws_equal_eager_ones():
    """In a TensorFlow graph of unknown batch size, and under XLA, the numbers are those of NumPy."""
    expected = Random(_backend.NUMPY, np.array([5, 6])).uniform((2, 7))

    def uniform(key, n):
        return Random(_backend.tensorflow_ops(), key).uniform((2, n))

    graph = tf.function(uniform)(tf.constant([5, 6]), tf.constant(7))
    xla = tf.function(lambda key: uniform(key, 7), jit_compile=True)(tf.constant([5, 6]))

    np.testing.assert_array_equal(graph.numpy(), expected)
    np.testing.assert_array_equal(xla.numpy(), expected)


@pytest.mark.parametrize("seed", [0, 5, 2**31, 2**32 - 1, 2**40 + 1])
def test_an_integer_and_an_integer_tensor_are_the_same_seed(seed):
    """`seed=5` and a tensor that holds 5 give one key."""
    expected = functional.random_source(seed).uniform((3,))
    tensor = np.array(seed, "int64")

    drawn = functional.random_source(tensor, like=tensor).uniform((3,))

    np.testing.assert_array_equal(drawn, keras.ops.convert_to_numpy(expected))


def test_uniform_numbers_are_the_words_of_the_generator():
    """The first words of all pairs, then the second ones, of which the upper 23 bits count: in every version."""
    words = np.array(KNOWN_ANSWERS[0][2], "uint32")
    numbers = ((words >> 9) + 0.5) * 2.0**-23

    drawn = [Random(_backend.NUMPY, np.array([0, 0])).uniform((count,)) for count in (1, 2, 3)]

    np.testing.assert_array_equal(drawn[0], numbers[:1])
    np.testing.assert_array_equal(drawn[1], numbers)
    np.testing.assert_array_equal(drawn[2][[0, 2]], numbers)

    source = Random(_backend.NUMPY, np.array([0, 0]))
    _, second = source.uniform((1,)), source.uniform((1,))
    zero, one = np.array([0], "uint32"), np.array([1], "uint32")
    words = threefry(_backend.NUMPY, (zero, zero), (zero, one))
    np.testing.assert_array_equal(second, ((words[0] >> 9) + 0.5) * 2.0**-23)
