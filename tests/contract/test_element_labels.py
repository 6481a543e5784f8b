"""Labels of elements that are mixed together with the inputs: each has the label of its owner, in every place.

The images are the one-hot rows of their masks, so mixed masks and mixed images are the same numbers.
"""

import keras
import numpy as np
import pytest
from places import PLACES, eager, in_fit, in_map, in_numpy

from keras_mixup import CutMix, FMix, GridMix, MixUp, RandomMix, SaliencyMix

ROWS, SIZE, CLASSES = 4, 8, 5
MASKS = np.random.default_rng(0).integers(0, CLASSES, size=(ROWS, SIZE, SIZE))
ONE_HOT = np.eye(CLASSES, dtype="float32")[MASKS]
LAYERS = {
    "CutMix": CutMix,
    "FMix": FMix,
    "GridMix": GridMix,
    "SaliencyMix": SaliencyMix,
    "RandomMix": lambda **options: RandomMix([MixUp(0.8), CutMix(1.0)], **options),
}
WITH_LABELS = [place for place in PLACES if place is not in_fit]


@pytest.mark.parametrize("place", WITH_LABELS)
@pytest.mark.parametrize("kind", LAYERS)
def test_masks_in_a_tuple_follow_as_the_pixels_do(kind, place):
    layer = LAYERS[kind](num_classes=CLASSES, seed=0)

    x, y = place(layer, ONE_HOT, {"classes": MASKS, "with an axis": MASKS[..., None], "one-hot": ONE_HOT})

    assert np.abs(x - ONE_HOT).max() > 0
    for name, labels in y.items():
        np.testing.assert_allclose(labels, x, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("place", WITH_LABELS)
def test_masks_at_a_stride_follow_every_other_pixel(place):
    x, y = place(CutMix(num_classes=CLASSES, seed=0), ONE_HOT, MASKS[:, ::2, ::2])

    np.testing.assert_array_equal(y, x[:, ::2, ::2])


@pytest.mark.parametrize("place", WITH_LABELS)
def test_labels_of_time_steps_follow_the_steps(place):
    x, y = place(CutMix(num_classes=CLASSES, axes=(1,), seed=0), ONE_HOT[:, 0], MASKS[:, 0])

    np.testing.assert_array_equal(y, x)


def test_masks_channels_first_follow_the_pixels():
    images = np.moveaxis(ONE_HOT, -1, 1)

    x, y = in_numpy(CutMix(num_classes=CLASSES, data_format="channels_first", seed=0), images, MASKS)

    np.testing.assert_array_equal(y, np.moveaxis(x, 1, -1))


def test_labels_of_samples_beside_a_mask_follow_by_the_share():
    x, y = CutMix(seed=0).mix_numpy(ONE_HOT, {"mask": ONE_HOT, "eye": np.eye(ROWS, dtype="float32")}, seed=0)

    share = (x == ONE_HOT).all(axis=-1).mean(axis=(1, 2))
    np.testing.assert_array_equal(y["mask"], x)
    assert (np.diag(y["eye"]) <= share + 1e-6).all()  # pixels of one class look alike whoever owns them


@pytest.mark.slow
@pytest.mark.parametrize("place", [eager, in_map])
def test_weights_of_masks_are_those_of_the_owners(place):
    weights = np.arange(1.0, ROWS + 1, dtype="float32")
    owners = np.broadcast_to(weights[:, None, None, None], ONE_HOT.shape).copy()
    layer = CutMix(seed=0)

    if place is eager:
        x, y, w = keras.tree.map_structure(keras.ops.convert_to_numpy, layer(owners, ONE_HOT, weights, training=True))
    else:
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((owners, ONE_HOT, weights)).batch(ROWS)
        ((x, y, w),) = [tuple(part.numpy() for part in element) for element in layer.mix_dataset(dataset)]

    assert w.shape == MASKS.shape
    np.testing.assert_array_equal(w, x[..., 0])
    np.testing.assert_array_equal(y.sum(axis=-1), 1)


def test_labels_on_no_grid_of_the_inputs_are_refused():
    heads = np.zeros((ROWS, 3, CLASSES), "float32")
    layer = CutMix(seed=0)

    with pytest.raises(ValueError, match=r"(?s)do not lie on the grid.*\(4, 3, 5\).*'a': y\[:, 0\]"):
        layer.mix_numpy(ONE_HOT, heads, seed=0)
    _, y = layer.mix_numpy(ONE_HOT, {"a": heads[:, 0], "b": heads[:, 1]}, seed=0)
    assert y["a"].shape == (ROWS, CLASSES)


def test_one_weight_for_several_labels_of_elements_is_refused():
    with pytest.raises(ValueError, match=r"(?s)its own weights.*2 arrays of labels, 1 of weights"):
        CutMix(seed=0).mix_numpy(ONE_HOT, {"a": ONE_HOT, "b": ONE_HOT}, np.ones(ROWS, "float32"), seed=0)
