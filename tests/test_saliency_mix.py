"""`SaliencyMix`: where the box is cut."""

import keras
import numpy as np
import pytest
from places import PLACES

from keras_mixup import SaliencyMix

ROWS, SIZE = 16, 32


def spots(places):
    """Images of noise with a bright square at a place each."""
    x = np.random.default_rng(0).normal(0, 0.02, size=(len(places), SIZE, SIZE, 3)).astype("float32")
    for image, (row, column) in zip(x, places, strict=True):
        image[row - 1 : row + 2, column - 1 : column + 2] += 1
    return x


@pytest.mark.parametrize("place", PLACES)
def test_what_stands_out_in_the_partner_is_pasted(place):
    """The centre of the box is the bright square of the partner, so the square arrives whole or not at all."""
    centres = np.random.default_rng(1).integers(6, SIZE - 6, size=(ROWS, 2))
    mixed, M = place(SaliencyMix(1.0, box_share=(0.05, 0.5), seed=0), spots(centres), np.eye(ROWS, dtype="float32"))

    for row in range(ROWS):
        (partner,) = np.flatnonzero(M[row] * (np.arange(ROWS) != row))
        i, j = centres[partner]
        assert mixed[row, i, j].min() > 0.8
        assert 0.05 * 0.5 < M[row, partner] < 0.5


def test_boxes_lie_in_the_middle_where_nothing_stands_out():
    """An image of one colour has no salient element."""
    x = np.arange(ROWS, dtype="float32").reshape(-1, 1, 1, 1) * np.ones((1, SIZE, SIZE, 1), "float32")
    mixed, M = SaliencyMix(1.0, box_share=(0.1, 0.3)).mix_numpy(x, np.eye(ROWS, dtype="float32"), seed=0)

    for row, image in enumerate(mixed):
        partner = np.flatnonzero(M[row] * (np.arange(ROWS) != row))[0]
        box = np.argwhere(image[..., 0] == partner)
        np.testing.assert_allclose((box.min(axis=0) + box.max(axis=0)) / 2, SIZE / 2 - 0.5, atol=0.5)


def test_saliency_can_be_replaced():
    """A subclass says what stands out: here the darkest element."""

    class Darkest(SaliencyMix):
        def saliency(self, ops, images, axes):
            return -images[..., 0]

    x = -spots(np.random.default_rng(2).integers(6, SIZE - 6, size=(ROWS, 2)))
    mixed, M = Darkest(1.0, box_share=(0.05, 0.2)).mix_numpy(x, np.eye(ROWS, dtype="float32"), seed=0)

    for row in range(ROWS):
        partner = np.flatnonzero(M[row] * (np.arange(ROWS) != row))[0]
        i, j = np.unravel_index(x[partner, ..., 0].argmin(), (SIZE, SIZE))
        assert mixed[row, i, j, 0] == x[partner, i, j, 0]


def test_series_have_their_salient_steps():
    """Along one axis, too: the peak of a series of another row arrives."""
    x = np.zeros((ROWS, 40, 2), "float32")
    peaks = np.random.default_rng(3).integers(5, 35, size=ROWS)
    x[np.arange(ROWS), peaks] = 1
    mixed, M = SaliencyMix(1.0, axes=(1,), box_share=(0.1, 0.5)).mix_numpy(x, np.eye(ROWS, dtype="float32"), seed=0)

    for row in range(ROWS):
        partner = np.flatnonzero(M[row] * (np.arange(ROWS) != row))[0]
        assert mixed[row, peaks[partner]].tolist() == [1, 1]


def test_a_batch_shares_one_box():
    """With `same_on_batch` the box of the first row is that of all."""
    mix = SaliencyMix(1.0, same_on_batch=True, seed=0)
    x = spots(np.full((ROWS, 2), 10))
    _, M = mix(x, np.eye(ROWS, dtype="float32"), training=True)

    shares = np.diag(keras.ops.convert_to_numpy(M))
    np.testing.assert_array_equal(shares, shares[0])
