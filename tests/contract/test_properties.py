"""What holds for any batch and any arguments, drawn at random: the mix of the oracle, and configs that round-trip."""

import functools
import os
import pickle

import hypothesis
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from data import to_numpy
from hypothesis import strategies as st

from keras_mixup import CutMix, FMix, GridMix, MixUp, RandomMix

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("KERAS_MIXUP_EXAMPLES", 12))
CLASSES = 3
DTYPES = ["float32", "float16", *(["float64"] if keras.backend.backend() != "jax" else [])]  # JAX switches it off
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-6, "float64": 2e-6}


def numbers(upper):
    return st.one_of(st.just(0.0), st.floats(0.01, upper))


@st.composite
def options(draw):
    """Arguments that every layer takes."""
    return {
        "probability": draw(st.sampled_from([1.0, 0.5, 0.0])),
        "same_on_batch": draw(st.booleans()),
        "pairing": draw(st.sampled_from(["shuffle", "roll", "local"])),
        "num_classes": CLASSES,
        "ignore_class": draw(st.sampled_from([None, 255, -1])),
        "dominant": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "dtype": draw(st.sampled_from(DTYPES)),
    }


@st.composite
def blending_layers(draw):
    return MixUp(draw(numbers(30.0)), **draw(options()))


@st.composite
def any_layers(draw):
    """A function that makes the layer: members without a seed draw one, which a strategy must not."""
    alpha, given = draw(numbers(30.0)), draw(options())
    axes, decay, cells = draw(st.sampled_from([None, (1,), (1, 2)])), draw(st.floats(0.5, 6.0)), draw(st.integers(1, 6))
    kinds = [
        lambda: MixUp(alpha, **given),
        lambda: CutMix(alpha, axes=axes, **given),
        lambda: FMix(alpha, decay=decay, **given),
        lambda: GridMix(alpha, cells=cells, **given),
        lambda: RandomMix([MixUp(alpha), CutMix(alpha)], **given),
    ]
    return draw(st.sampled_from(kinds))


def leaves(rows, dtypes):
    """Arrays `(rows, ...)` of up to three more axes."""

    def make(drawn):
        dtype, sizes, seed = drawn
        values = np.random.default_rng(seed).uniform(0, 200, size=(rows, *sizes))
        return values.astype(dtype)

    sizes = st.lists(st.integers(1, 3), max_size=3)
    return st.tuples(st.sampled_from(dtypes), sizes, st.integers(0, 99)).map(make)


def nests(leaf):
    return st.one_of(leaf, st.tuples(leaf, leaf), st.fixed_dictionaries({"a": leaf, "b": st.lists(leaf, min_size=1)}))


@st.composite
def batches(draw):
    """Inputs in any nest, and labels of every kind beside those that become the mixing matrix."""
    rows = draw(st.integers(1, 6))
    inputs = draw(nests(leaves(rows, ["float32", "float16", "float64", "uint8"])))
    labels = {
        "eye": np.eye(rows, dtype="float32"),
        "classes": np.arange(rows) % CLASSES,
        "soft": draw(leaves(rows, ["float32", "bool"])),
    }
    return inputs, labels, draw(st.sampled_from(["numpy", "eager", "map", "dataset"]))


def mixed(layer, inputs, labels, place):
    """`(x', y')` of a place, as NumPy arrays."""
    if place == "numpy":
        return layer.mix_numpy(inputs, labels, seed=layer.seed)
    if place == "eager":
        return keras.tree.map_structure(to_numpy, layer(inputs, labels, training=True))
    dataset = tf.data.Dataset.from_tensor_slices((in_tuples(inputs), labels)).batch(len(labels["eye"]))
    (element,) = list(
        layer.mix_dataset(dataset) if place == "dataset" else dataset.map(functools.partial(train, layer))
    )
    return keras.tree.map_structure(lambda tensor: tensor.numpy(), element)


def train(layer, x, y):
    return layer(x, y, training=True)


def in_tuples(nest):
    """`tf.data` takes lists for arrays."""
    if isinstance(nest, dict):
        return {key: in_tuples(value) for key, value in nest.items()}
    return tuple(map(in_tuples, nest)) if isinstance(nest, list | tuple) else nest


@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
@hypothesis.given(blending_layers(), batches())
def test_any_nest_of_any_labels_is_mixed_by_one_matrix_in_every_place(layer, batch):
    inputs, labels, place = batch

    x, y = mixed(layer, inputs, labels, place)

    matrix = y["eye"].astype("float64")
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)
    assert (np.count_nonzero(matrix, axis=1) <= 2).all()
    if len(matrix) > 1 and layer.probability == 1.0 and layer.alpha > 0:
        assert set(reference.partners(matrix)) <= set(range(len(matrix)))
    np.testing.assert_allclose(y["classes"], matrix @ np.eye(CLASSES)[labels["classes"]], atol=1e-6)
    np.testing.assert_allclose(y["soft"], reference.mixed(matrix, labels["soft"]), rtol=2e-6, atol=1e-5)
    tolerance = TOLERANCE[layer.compute_dtype]
    for got, given in zip(keras.tree.flatten(x), keras.tree.flatten(inputs), strict=True):
        assert str(got.dtype) == layer.compute_dtype
        np.testing.assert_allclose(got, reference.mixed(matrix, given), rtol=tolerance, atol=200 * tolerance)


@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
@hypothesis.given(any_layers(), st.integers(0, 2**32))
def test_configs_pickles_and_copies_mix_alike(make, seed):
    layer = make()
    x, y = np.random.default_rng(0).uniform(size=(4, 6, 5, 2)).astype("float32"), np.eye(4, dtype="float32")
    y = {"eye": y, "classes": np.arange(4) % CLASSES}
    config = layer.get_config()
    before = pickle.dumps(config)

    copies = [type(layer).from_config(config), pickle.loads(pickle.dumps(layer))]
    copies.append(keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)))

    assert pickle.dumps(config) == before
    expected = keras.tree.flatten(layer.mix_numpy(x, y, seed=seed))
    for copy in copies:
        assert copy.get_config() == layer.get_config()
        for got, want in zip(keras.tree.flatten(copy.mix_numpy(x, y, seed=seed)), expected, strict=True):
            np.testing.assert_array_equal(got, want)
