"""`CutMix`: a box of another sample, pasted."""

from typing import Unpack

import keras

from keras_mixup import _arguments, _backend
from keras_mixup.functional import Mix, draw_weights
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._paste import PasteLayer


def check_range(name, value):
    """Two numbers from 0 to 1, the lower first."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"Invalid value for argument `{name}`: expected (low, high). Received: {name}={value!r}.")
    low, high = (_arguments.check_number(name, number, upper=1) for number in value)
    if low > high:
        raise ValueError(f"Invalid value for argument `{name}`: expected low <= high. Received: {name}={value!r}.")
    return low, high


@keras.saving.register_keras_serializable(package="keras_mixup")
class CutMix(PasteLayer):
    """Pastes a box of another sample of the batch into every sample, and blends the labels by the shares of both.

    `x' = keep·x + (1 - keep)·x[partner]`, where `keep` is 0 in the box and 1 around it;
    `y' = λ·y + (1 - λ)·y[partner]`, where λ is the exact share of elements that stay. The box has the share 1 - λ' of
    the image, λ' ~ Beta(alpha, alpha), and sides in the proportion of the image's; its centre is uniform over the
    image, and what stands out over the border is cut off.

    Use it where a part of the image identifies the class. Usual values are alpha 1 with a `probability` of 0.5 (CIFAR)
    or 1 (ImageNet, 300 epochs). It costs one pass over the batch, as `MixUp` does. In the paper it transfers to
    detection better than `MixUp` does.

    It mixes only while training, and labels follow, as for `MixUp`. Labels of elements (masks, time steps), in a call
    or a pipeline, are pasted as the elements are, on the grid of the inputs or at an integer stride; their sample
    weights then are those of the elements. In a sample dict `segmentation_masks` are pasted with the images; integer
    ones stay integers, and the sample weights of the dict follow its labels.

    Args:
        alpha: As for `MixUp`. Defaults to `1.0`, boxes of every size alike.
        axes: `None`, or a tuple of integers: the axes along which the box is cut, counted from the batch axis 0. By
            default height and width of images; `(1,)` for time series, `(1, 2)` for spectrograms `(batch, time,
            frequency)`, `(1, 2, 3)` for video.
        data_format: `"channels_last"`, `"channels_first"` or `None` for the default of Keras; says where height and
            width are.
        box_share: Pair of floats from 0 to 1, limits of the box's share of the image, before the border cuts it.
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

    Call arguments:
        As for `MixUp`. All inputs of a nest must have the sizes of the first along the axes of the box.

    Output shape:
        As for `MixUp`.

    Raises:
        ValueError, TypeError: for inputs without height and width where `axes` is not given, for labels of more than
            one axis that do not lie on the grid of the inputs, and as for `MixUp`.

    References:
        - [Yun et al., 2019](https://arxiv.org/abs/1905.04899), equations 1 and 2.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import CutMix
    >>> x, y = CutMix(num_classes=3, seed=0)(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    axes = Argument(_arguments.check_axes, count=None)
    box_share = Argument(check_range)

    def __init__(
        self,
        alpha: Number = 1.0,
        *,
        box_share: tuple[float, float] = (0.0, 1.0),
        axes: tuple[int, ...] | list[int] | None = None,
        data_format: str | None = None,
        probability: Number = 1.0,
        same_on_batch: bool = False,
        pairing: PairingOrName = "shuffle",
        num_classes: int | None = None,
        ignore_class: int | None = None,
        dominant: bool = False,
        seed: int | None = None,
        **layer_kwargs: Unpack[LayerOptions],
    ):
        super().__init__(
            alpha,
            axes=axes,
            data_format=data_format,
            probability=probability,
            same_on_batch=same_on_batch,
            pairing=pairing,
            num_classes=num_classes,
            ignore_class=ignore_class,
            dominant=dominant,
            seed=seed,
            **layer_kwargs,
        )
        self.box_share = box_share

    def draw(self, batch):
        ops, shape = batch.ops, batch.shape
        axes = self.axes_of(shape)
        _, share = draw_weights(batch.random, shape[:1], self.alpha)
        low, high = self.box_share
        side = ops.maximum(ops.minimum(share, high), low) ** (1.0 / len(axes))
        centres = self.centres(batch, axes)
        inside, taken, whole = True, 1.0, 1.0
        for i, axis in enumerate(axes):
            size = ops.cast(shape[axis], "float32")
            half = ops.floor(ops.floor(size * side) / 2)
            begin, end = ops.maximum(centres[i] - half, 0.0), ops.minimum(centres[i] + half, size)
            inside = ops.logical_and(inside, _between(ops, begin, end, axis, shape))
            taken, whole = taken * (end - begin), whole * size
        whole = ops.maximum(whole, 1.0)  # of images without elements nothing is taken
        return Mix(((whole - taken) / whole, taken / whole), keep=ops.logical_not(inside))

    def centres(self, batch, axes):
        """The element at the centre of each box, a number `(draws,)` for each of the axes."""
        ops, places = batch.ops, batch.random.uniform((len(axes), batch.shape[0]))
        return [ops.floor(places[i] * ops.cast(batch.shape[axis], "float32")) for i, axis in enumerate(axes)]

    def get_config(self):
        return {**super().get_config(), "box_share": self.box_share}


def _between(ops, begin, end, axis, shape):
    """Whether the elements along an axis lie in [begin, end) of their row, in the rank of the inputs."""
    along = (1,) * axis + (-1,) + (1,) * (len(shape) - axis - 1)
    place = ops.reshape(ops.cast(ops.arange(shape[axis]), "float32"), along)
    begin, end = (_backend.trailing(ops, x, len(shape)) for x in (begin, end))
    return ops.logical_and(place >= begin, place < end)
