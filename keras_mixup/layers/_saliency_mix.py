"""`SaliencyMix`: a box of another sample, cut where that sample stands out."""

import math

import keras

from keras_mixup.layers._cut_mix import CutMix

RADIUS = 1 / 16  # of the blur, as a share of the size along an axis


@keras.saving.register_keras_serializable(package="keras_mixup")
class SaliencyMix(CutMix):
    """Pastes a box of another sample, centred where that sample is most salient, and blends the labels by the shares.

    It is `CutMix` but for the centre of the box: `CutMix` draws it, and may paste background with the label of an
    object. Here it is the greatest value of the partner's saliency, the local contrast: how much the mean over the
    channels differs from its surroundings. Where nothing stands out, it is the centre of the image.

    Override `saliency` for another measure, such as an attention map. Usual values are those of `CutMix`. It costs a
    few passes over a batch with one channel more than `CutMix`. On an accelerator that runs eagerly (PyTorch without
    `torch.compile`) the images are copied to the host for it: mix in the input pipeline there.

    Args:
        alpha: As for `MixUp`. Defaults to `1.0`.
        box_share, axes, data_format: As for `CutMix`.
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

    References:
        - [Uddin et al., 2021](https://arxiv.org/abs/2006.01791), section 3.2. The saliency there is that of OpenCV.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import SaliencyMix
    >>> mix = SaliencyMix(num_classes=3, seed=0)
    >>> x, y = mix(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    def centres(self, batch, axes):
        ops, sizes = batch.ops, [batch.shape[axis] for axis in axes]
        if any(isinstance(size, int) and size == 0 for size in sizes):
            return super().centres(batch, axes)
        partners = ops.take(keras.tree.flatten(batch.inputs)[0], batch.partner[: batch.shape[0]], axis=0)
        partners = ops.cast(partners, "float32")
        partners = ops.where(ops.isfinite(partners), partners, 0.0)  # a broken image has its place, but no peak
        flat = ops.reshape(self.saliency(ops, partners, axes), (batch.shape[0], math.prod(sizes)))
        greatest = ops.cast(ops.argmax(flat, axis=1), "int32")
        stands_out = ops.max(flat, axis=1) > ops.min(flat, axis=1)
        found = []
        for size in reversed(sizes):
            size = ops.cast(size, "int32")
            place, greatest = greatest % size, greatest // size
            found.append(ops.cast(ops.where(stands_out, place, size // 2), "float32"))
        return found[::-1]

    def saliency(self, ops, images, axes):
        """Tells how much each element stands out, `(batch, ...)` over `axes`. To be overridden for another measure.

        Args:
            ops: the array operations, with the names of `keras.ops`.
            images: `(batch, ...)`, float32, the partner of each row.
            axes: tuple of integers, the axes that the box spans.
        """
        channels = tuple(axis for axis in range(1, len(images.shape)) if axis not in axes)
        mean = ops.mean(images, axis=channels) if channels else images
        contrast = ops.abs(mean - _blurred(ops, mean))
        return _blurred(ops, contrast)  # the centre of what stands out, not its brightest element


def _blurred(ops, x):
    """Box means of `x` along all axes but the first."""
    for axis in range(1, len(x.shape)):
        size = ops.shape(x)[axis]
        last = size - 1
        radius = ops.maximum(ops.cast(ops.floor(ops.cast(size, "float32") * RADIUS), "int32"), 1)
        place = ops.cast(ops.arange(size), "int32")
        end, begin = ops.minimum(place + radius, last), ops.maximum(place - radius, 0)
        sums = ops.cumsum(x, axis=axis)
        before = ops.take(sums - x, begin, axis=axis)  # what lies before the box
        count = ops.cast(end - begin + 1, "float32")
        x = (ops.take(sums, end, axis=axis) - before) / ops.reshape(count, (-1,) + (1,) * (len(x.shape) - axis - 1))
    return x
