"""Arrays that tell the rows of a batch apart, and ways to read what comes out; shared by all tests."""

import keras
import numpy as np
import reference
import tensorflow as tf

BACKEND = keras.backend.backend()
OLD_KERAS = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13)

ROWS = 8
IMAGES = np.random.default_rng(0).uniform(size=(ROWS, 12, 10, 3)).astype("float32")
EYE = np.eye(ROWS, dtype="float32")  # as labels they become the mixing matrix

to_numpy = keras.ops.convert_to_numpy


def number(x):
    return float(to_numpy(x))


def dataset(*arrays, batch):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch)


def read(mixed):
    """The elements of a dataset as NumPy arrays."""
    return [keras.tree.map_structure(lambda part: part.numpy(), element) for element in mixed]


def check_images(x, M):
    """Every element is the original's, the partner's or their blend by λ, and their mean share is λ.

    Returns which rows are pasted.
    """
    weight, other = np.diag(M)[:, None, None, None], IMAGES[reference.partners(M)]
    own, pasted = np.isclose(x, IMAGES, atol=1e-6), np.isclose(x, other, atol=1e-6)
    blended = np.isclose(x, weight * IMAGES + (1 - weight) * other, atol=1e-5)
    assert (own | pasted | blended).all()
    paste = ~blended.all(axis=(1, 2, 3))
    np.testing.assert_allclose(own.mean(axis=(1, 2, 3))[paste], np.diag(M)[paste], atol=1e-6)
    return paste
