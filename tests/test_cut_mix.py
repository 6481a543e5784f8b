"""`CutMix`: boxes, their exact share, their place and their axes."""

import keras
import numpy as np
import places
import pytest
import reference
from data import EYE, IMAGES, ROWS

from keras_mixup import CutMix, GridMix


class TestCutMix:
    def test_the_label_is_the_counted_share_over_ten_thousand_boxes(self):
        """Exactly, to the last bit of float32."""
        batch, height, width = 500, 13, 9
        x = np.broadcast_to(np.arange(batch, dtype="float32")[:, None, None, None], (batch, height, width, 1))
        hit, layer = np.zeros((height, width)), CutMix(1.0)
        for seed in range(20):
            mixed, M = layer.mix_numpy(x, np.eye(batch, dtype="float32"), seed=seed)
            kept = (mixed == x)[..., 0]
            share = kept.sum(axis=(1, 2)).astype("float32") / np.float32(height * width)
            np.testing.assert_array_equal(np.diag(M), share)
            hit += (~kept).sum(axis=0)

        assert (hit > 0).all()  # every pixel can be replaced
        assert hit[height // 2, width // 2] > hit[0, 0] > 0.15 * hit.max()

    def test_boxes_have_the_share_that_was_drawn(self):
        """Boxes that no border cuts: their share is 1 - λ', λ' ~ Beta(1, 1), up to whole pixels."""
        layer, x = CutMix(1.0), np.zeros((4000, 64, 64, 1), "float32")
        x += np.arange(4000)[:, None, None, None]
        mixed = layer.mix_numpy(x, np.ones((4000, 1), "float32"), seed=0)[0]
        lost = (mixed != x)[..., 0]
        whole = ~(lost[:, 0].any(1) | lost[:, -1].any(1) | lost[:, :, 0].any(1) | lost[:, :, -1].any(1))

        sides = lost.any(axis=1).sum(axis=1), lost.any(axis=2).sum(axis=1)
        assert (np.abs(sides[0] - sides[1])[whole] == 0).all()  # in the proportion of the image
        assert whole.sum() > 500

    @pytest.mark.parametrize(
        ("axes", "shape"), [((1,), (8, 20, 3)), ((1, 2), (8, 9, 7)), ((1, 2, 3), (8, 5, 6, 7, 1)), ((2,), (8, 3, 20))]
    )
    def test_a_box_spans_the_axes_it_is_given(self, axes, shape):
        x = np.random.default_rng(0).uniform(size=shape).astype("float32")
        mixed, M = CutMix(1.0, axes=axes).mix_numpy(x, EYE, seed=3)

        kept = mixed == x
        others = tuple(axis for axis in range(1, len(shape)) if axis not in axes)
        assert (kept.all(axis=others) | ~kept.any(axis=others)).all()
        np.testing.assert_allclose(kept.reshape(8, -1).mean(axis=1), np.diag(M), atol=1e-6)

    def test_channels_first(self):
        x = np.moveaxis(IMAGES, -1, 1)
        first, M = CutMix(1.0, data_format="channels_first").mix_numpy(x, EYE, seed=0)
        last, N = CutMix(1.0, data_format="channels_last").mix_numpy(IMAGES, EYE, seed=0)

        np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)
        np.testing.assert_array_equal(M, N)

    def test_box_share_limits_the_box(self):
        _, M = CutMix(1.0, box_share=(0.0, 0.1)).mix_numpy(IMAGES, EYE, seed=0)

        assert np.diag(M).min() >= 0.9

    @pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_parallel_dataset, places.in_numpy])
    def test_masks_of_a_sample_are_pasted_and_stay_integers(self, place):
        masks = np.random.default_rng(1).integers(0, 5, size=(ROWS, 12, 10)).astype("int32")
        layer = CutMix(1.0, seed=0)
        sample = {"images": IMAGES, "labels": EYE, "segmentation_masks": masks}
        if place is places.eager:
            mixed = layer(sample, training=True)
        elif place is places.in_numpy:
            mixed = layer.mix_numpy(sample, seed=0)
        else:
            import tensorflow as tf

            dataset = tf.data.Dataset.from_tensor_slices(sample).batch(ROWS)
            dataset = (
                layer.mix_dataset(dataset)
                if place is places.in_parallel_dataset
                else dataset.map(lambda sample: layer(sample, training=True))
            )
            mixed = next(iter(dataset))
        x, M, pasted = (np.asarray(mixed[key]) for key in ("images", "labels", "segmentation_masks"))

        kept = (x == IMAGES).all(axis=-1)
        assert pasted.dtype == "int32"
        np.testing.assert_array_equal(pasted, np.where(kept, masks, masks[reference.partners(M)]))

    def test_inputs_without_height_and_width_say_what_to_do(self):
        with pytest.raises(ValueError, match=r"height and the width.*shape \(8, 5\).*axes=\(1,\)"):
            CutMix().mix_numpy(np.ones((8, 5), "float32"), EYE, seed=0)
        with pytest.raises(ValueError, match="height and the width"):
            keras.Sequential([keras.Input((5,)), CutMix()])

    def test_inputs_of_other_sizes_are_refused(self):
        with pytest.raises(ValueError, match=r"alike along the axes.*Received: an array of shape \(8, 6, 6, 3\)"):
            CutMix().mix_numpy([IMAGES, IMAGES[:, :6, :6]], EYE, seed=0)


def test_a_box_takes_no_more_than_the_image():
    with pytest.raises(ValueError, match="from 0 to 1"):
        CutMix(box_share=(0.5, 1.5))


def test_wrong_axes_are_told_how_many_there_must_be():
    with pytest.raises(ValueError, match="a tuple of different axes"):
        CutMix(axes=())
    with pytest.raises(ValueError, match="a tuple of 2 axes"):
        GridMix(axes=(1,))
