"""Class indices: which are taken, which mean "no class", and which are refused, in every place."""

import keras
import numpy as np
import places
import pytest
import reference
import tensorflow as tf
from data import dataset

from keras_mixup import CutMix, MixUp, RandomMix
from keras_mixup.functional import encode_labels

X = np.random.default_rng(0).uniform(size=(6, 4, 4, 3)).astype("float32")
CLASSES = 3
OUT_OF_RANGE = {
    "counted from 1": (np.array([1, 2, 3, 1, 2, 3]), r"from\D*1\D+3\b"),
    "negative": (np.array([0, 1, -1, 0, 1, 2]), r"from\D*-1\D+2\b"),
    "void": (np.array([0, 1, 255, 0, 1, 2], "uint8"), r"from\D*0\D+255\b"),
    "of one column": (np.array([[0], [1], [7], [0], [1], [2]], "int16"), r"from\D*0\D+7\b"),
    "in a mask": (np.full((6, 4, 4), 5, "uint16"), r"from\D*5\D+5\b"),
    "beyond 32 bits": (np.array([0, 1, 2**32, 0, 1, 2]), r"from\D*0\D+4294967296\b"),
}


def eagerly_without_training(layer, x, y):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, layer(x, y, training=False))


def in_map_without_training(layer, x, y):
    return places.only(dataset(x, y, batch=len(x)).map(lambda x, y: layer(x, y, training=False)))


def in_dataset_without_training(layer, x, y):
    return places.only(layer.mix_dataset(dataset(x, y, batch=len(x)), training=False))


INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
MISSING = {"tensorflow": (), "jax": ("int64", "uint64"), "torch": ("uint64",)}
MIXING = [places.eager, places.in_map, places.in_parallel_dataset, places.in_numpy]
PLAIN = [eagerly_without_training]
PLAIN += [
    pytest.param(place, marks=pytest.mark.slow) for place in (in_map_without_training, in_dataset_without_training)
]


EVERYWHERE = [("in a mask", place) for place in (places.in_parallel_dataset, eagerly_without_training)]
EVERYWHERE += [pytest.param("in a mask", *place.values, marks=place.marks) for place in PLAIN[1:]]
EVERYWHERE += [(kind, place) for kind in OUT_OF_RANGE for place in (places.eager, places.in_numpy, places.in_map)]


@pytest.mark.parametrize(("kind", "place"), EVERYWHERE, ids=lambda case: getattr(case, "__name__", case))
def test_an_index_out_of_range_is_an_error_that_shows_both_ranges(kind, place):
    labels, received = OUT_OF_RANGE[kind]
    text = rf"(?s)between 0 and 2 \(num_classes=3\).*Received: {received}.*`y - 1`.*`ignore_class=255`"

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=text):
        place(MixUp(num_classes=CLASSES), X, labels)


VOIDS = [(255, "uint8"), (-1, "int64"), (-100, "int16"), (0, "int32"), (-1, "uint8"), (7, "uint32")]
VOID_IN = [(place, *void) for place in (places.eager, places.in_numpy, places.in_map) for void in VOIDS]
VOID_IN += [(places.in_parallel_dataset, 255, "uint8")]


@pytest.mark.parametrize(("place", "void", "dtype"), VOID_IN, ids=lambda case: getattr(case, "__name__", str(case)))
def test_the_ignored_class_becomes_a_row_of_zeros(void, dtype, place):
    """It may lie in the range of the classes, and need not fit the dtype of the labels."""
    fits = np.iinfo(dtype).min <= void <= np.iinfo(dtype).max
    labels = np.array([1, 2, void if fits else 2, 0 if void else 1, 1, 2], dtype)
    plain = np.eye(CLASSES)[np.where(labels == void, 0, labels)] * (labels != void)[:, None]
    layer = MixUp(1.0, num_classes=CLASSES, ignore_class=void, seed=0)

    x, y = place(layer, X, {"classes": labels, "eye": np.eye(6, dtype="float32")})

    M = y["eye"]
    np.testing.assert_allclose(x, reference.mixed(M, X), atol=1e-5)
    np.testing.assert_allclose(y["classes"], reference.mixed(M, plain), atol=1e-6)


@pytest.mark.parametrize("place", [*MIXING, *PLAIN], ids=lambda place: place.__name__)
def test_every_integer_dtype_is_taken(place):
    missing = MISSING[keras.backend.backend()] if "eager" in place.__name__ else ()
    classes = np.array([0, 1, 2, 0, 1, 2])
    labels = {dtype: classes.astype(dtype) for dtype in INTEGERS if dtype not in missing}

    _, y = place(MixUp(num_classes=CLASSES, alpha=0.0), X, labels)

    for dtype, encoded in y.items():
        np.testing.assert_array_equal(encoded, np.eye(CLASSES)[classes], err_msg=dtype)


@pytest.mark.parametrize("layer", [CutMix, lambda **options: RandomMix([MixUp(), CutMix()], **options)])
def test_every_layer_takes_an_ignored_class(layer):
    layer = layer(num_classes=CLASSES, ignore_class=255, probability=0.0)
    masks = np.zeros((6, 4, 4, 1), "uint8")
    masks[0, :2] = 255

    out = layer.mix_numpy({"images": X, "labels": np.arange(6) % 3, "segmentation_masks": masks[..., 0]}, seed=0)
    copy = type(layer).from_config(layer.get_config())

    assert copy.ignore_class == 255
    if isinstance(layer, RandomMix):
        assert out["segmentation_masks"].sum() == 6 * 16 - 8
    with pytest.raises(ValueError, match="Received: from 0 to 3"):
        layer.mix_numpy(X, np.array([0, 1, 2, 255, 3, 0]), seed=0)


def test_an_ignored_class_needs_classes():
    with pytest.raises(ValueError, match=r"`ignore_class` .* need `num_classes`.*ignore_class=255"):
        MixUp(ignore_class=255)


@pytest.mark.slow
def test_an_empty_batch_has_no_indices_out_of_range():
    empty = np.zeros((0,), "int32")

    assert encode_labels(empty, 3, ignore_class=-1).shape == (0, 3)
    for place in (places.eager, places.in_numpy):
        assert place(MixUp(num_classes=3), X[:0], empty)[1].shape == (0, 3)
    ((_, y),) = MixUp(num_classes=3).mix_dataset(tf.data.Dataset.from_tensors((X[:0], empty)))
    assert y.shape == (0, 3)


@pytest.mark.compiled
def test_what_is_compiled_by_xla_cannot_tell_and_gives_rows_of_zeros():
    """As documented: values are not known there. PyTorch refuses indices that are too large by itself."""
    labels = np.array([0, 1, -1, 255, 1], "int32")[: 3 if keras.backend.backend() == "torch" else None]

    y = places.compiled_function(lambda y: encode_labels(y, CLASSES, ignore_class=1))(
        keras.ops.convert_to_tensor(labels)
    )

    wanted = np.eye(256)[labels][:, :CLASSES] * (labels != 1)[:, None] * (labels >= 0)[:, None]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), wanted)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch has a device without memory")
def test_labels_on_an_accelerator_are_not_read():
    """Reading them would wait for the device. The `meta` device has nothing that could be read."""
    with keras.device("meta"):
        y = encode_labels(keras.ops.zeros((4,), "int32"), 3, ignore_class=1)

    assert y.device.type == "meta"
    assert tuple(y.shape) == (4, 3)
