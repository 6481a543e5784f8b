"""Where the elements of the inputs lie in the labels: told by the shapes, or refused."""

import math
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_mixup import _backend, _grid

IMAGES, FIRST, SERIES, WAVES = (9, 8, 6, 1), (9, 1, 8, 6), (9, 8, 1), (9, 8)
UNCLEAR = "unclear"
HALF = Fraction(1, 2)

# The elements that stay (1: any), labels, predictions: strides, or `None` for labels of whole samples.
TOLD = [
    (IMAGES, (9, 8, 6), (9, 8, 6, 5), (1, 1)),
    (IMAGES, (9, 8, 6, 1), (9, 8, 6, 5), (1, 1)),
    (IMAGES, (9, 8, 6, 5), (9, 8, 6, 5), (1, 1)),
    (IMAGES, (9, 8, 6), (9, 8, 6), (1, 1)),
    (IMAGES, (9, 8, 6), (9, 8, 6, 1), (1, 1)),
    (IMAGES, (9, 4, 3), (9, 4, 3, 5), (2, 2)),
    (IMAGES, (9, 4, 6), (9, 4, 6, 5), (2, 1)),
    (IMAGES, (9, 16, 12), (9, 16, 12, 5), (HALF, HALF)),
    (IMAGES, (9, 48), (9, 48, 5), (1, 1)),
    (IMAGES, (9, 12), (9, 12, 5), (2, 2)),
    (IMAGES, (9, 48), (9, 48), (1, 1)),
    (IMAGES, (9, 12, 5), (9, 12, 5), (2, 2)),
    (FIRST, (9, 8, 6), (9, 5, 8, 6), (1, 1)),
    (FIRST, (9, 5, 8, 6), (9, 5, 8, 6), (1, 1)),
    (FIRST, (9, 4, 3), (9, 5, 4, 3), (2, 2)),
    (FIRST, (9, 8, 8, 6), (9, 8, 8, 6), (1, 1)),
    (SERIES, (9, 8), (9, 8, 5), (1,)),
    (SERIES, (9, 4, 5), (9, 4, 5), (2,)),
    (SERIES, (9, 8, 1), (9, 8), (1,)),
    (WAVES, (9, 8), (9, 8, 5), (1,)),
    ((9, None, None, 1), (9, None, None), (9, None, None, 5), (1, 1)),
    ((9, 7, 5, 1), (9, 4, 3), (9, 4, 3, 5), (2, 2)),
    (IMAGES, (9,), (9, 5), None),
    (IMAGES, (9, 1), (9, 5), None),
    (IMAGES, (9, 5), (9, 5), None),
    (IMAGES, (9, 8), (9, 8), None),
    (IMAGES, (9, 12), (9, 12), None),
    (IMAGES, (9, 1, 1), (9, 1, 1, 5), None),
    (IMAGES, (9, 1, 1, 5), (9, 1, 1, 5), None),
    (IMAGES, (9, 7), (9, 20, 5), None),  # words, as CTC takes them
    (SERIES, (9, 5), (9, 5), None),
    (SERIES, (9, 16), (9, 16), None),
    ((9, None, 1), (9, 5), (9, 5), None),
    ((9, 1, 7), (9, 5), (9, 5, 4), None),
    ((9, 1, 1, 4), (9, 8, 6), (9, 8, 6, 5), None),
    (IMAGES, (9, 5, 4), (9, 5, 4, 3), UNCLEAR),
    (IMAGES, (9, 6, 4), (9, 6, 4, 3), UNCLEAR),
    (IMAGES, (9, 5, 4, 3), (9, 5, 4, 3), UNCLEAR),
    (IMAGES, (9, 7), (9, 7, 5), UNCLEAR),
    (IMAGES, (9, 144), (9, 144), UNCLEAR),
    (IMAGES, (9, 4, 3), (9, 4, 3), UNCLEAR),
    (SERIES, (9, 8), (9, 8), UNCLEAR),
    (WAVES, (9, 8), (9, 8), UNCLEAR),
    ((9, 1, 5), (9, 8, 5), (9, 8, 5), UNCLEAR),
    ((9, 7, 7, 1), (9, 3, 3), (9, 3, 3, 5), UNCLEAR),
    ((9, 8, 8, 1), (9, 4, 8, 8), (9, 4, 8, 8), UNCLEAR),
    ((9, 1, 8, 8, 1), (9, 16), (9, 16, 5), UNCLEAR),
]


@pytest.mark.parametrize(("keep", "labels", "predictions", "strides"), TOLD)
def test_shapes_tell_the_strides_of_labels_or_are_refused(keep, labels, predictions, strides):
    if strides == UNCLEAR:
        with pytest.raises(_grid.Unclear):
            _grid.find(keep, labels, predictions)
    else:
        place = _grid.find(keep, labels, predictions)
        assert (place and place.strides) == strides


@pytest.mark.parametrize(
    ("keep", "labels", "classes", "strides"),
    [
        (WAVES, (9, 8), (-1,), None),
        (SERIES, (9, 8, 8), (-1,), (1,)),
        (IMAGES, (9, 4, 3), (), (2, 2)),
        ((9, 8, 8, 1), (9, 4, 8, 8), (1,), (1, 1)),
    ],
)
def test_a_loss_that_compares_classes_tells_their_axis(keep, labels, classes, strides):
    place = _grid.find(keep, labels, labels, classes)

    assert (place and place.strides) == strides


@pytest.mark.parametrize(
    ("keep", "labels", "axes", "features"),
    [
        (WAVES, (9, 8), (1,), 1),
        ((9, 1, 5), (9, 8, 5), (2,), 1),
        (IMAGES, (9, 144), (1,), 3),
        (SERIES, (9, 24), (1,), 3),
        (IMAGES, (9, 4, 3), (1, 2), 1),
    ],
)
def test_labels_that_are_known_to_be_of_elements_are_placed(keep, labels, axes, features):
    place = _grid.find(keep, labels, labels, forced=True)

    assert (place.labels, place.features) == (axes, features)


SIZES = st.integers(2, 9)


@hypothesis.given(st.lists(st.tuples(SIZES, st.integers(1, 4)), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_owners_are_those_of_every_nth_element(axes, flat, last):
    """Any sizes that divide, of one to three axes, with features last or first; flattened with one stride for all."""
    steps = [axes[0][1]] * len(axes) if flat else [step for _, step in axes]
    sizes = [size * step for (size, _), step in zip(axes, steps, strict=True)]
    keep = np.random.default_rng(0).uniform(size=(2, *sizes)) < 0.5
    owners = keep[(slice(None), *(slice(None, None, step) for step in steps))]
    shape = owners.shape if not flat else (2, math.prod(owners.shape[1:]))
    inputs = np.expand_dims(keep, -1 if last else 1)
    predictions = (*shape, 11) if last or flat else (2, 11, *shape[1:])

    place = _grid.find(inputs.shape, shape, predictions, forced=True)

    found = _grid.onto_labels(_backend.NUMPY, inputs, place, len(shape))
    np.testing.assert_array_equal(np.broadcast_to(found, shape), owners.reshape(shape))
