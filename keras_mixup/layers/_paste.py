"""Base of the layers that paste parts of another sample."""

from typing import Any

import keras

from keras_mixup import _arguments
from keras_mixup.functional import Mix
from keras_mixup.layers._alpha import HasAlpha
from keras_mixup.layers._argument import Argument, Number
from keras_mixup.layers._mix_layer import MixLayer


def _check_data_format(name, value):
    if value is None:
        return keras.config.image_data_format()
    return _arguments.check_choice(name, value, ("channels_last", "channels_first"))


class PasteLayer(HasAlpha, MixLayer):
    """Base of the layers that take every element from one of the two samples. See `keras_mixup.CutMix`.

    Args:
        alpha: As for `MixUp`. Defaults to `1.0`.
        axes: `None`, or a tuple of integers: the axes that the parts span, counted from the batch axis 0. By default
            height and width of images, `(batch, height, width, channels)`.
        data_format: `"channels_last"`, `"channels_first"` or `None` for the default of Keras; says where the two are.
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.
    """

    pastes = True

    axes = Argument(_arguments.check_axes, count=2)
    data_format = Argument(_check_data_format)

    def __init__(
        self,
        alpha: Number = 1.0,
        *,
        axes: tuple[int, ...] | list[int] | None = None,
        data_format: str | None = None,
        **options: Any,
    ):
        super().__init__(alpha, **options)
        self.axes = axes
        self.data_format = data_format

    def axes_of(self, shape):
        """The axes that the parts span, for inputs of this shape."""
        images = (1, 2) if self.data_format == "channels_last" else (2, 3)
        axes = self.axes or (images if len(shape) == 4 else None)
        _check_span(axes, shape)
        return axes

    def pasted(self, ops, keep, shape):
        """The mix for `keep`, booleans `(rows, size, ...)` over the axes of the parts."""
        spanned = (0, *self.axes_of(shape))
        return Mix(keep=ops.reshape(keep, [n if axis in spanned else 1 for axis, n in enumerate(shape)]))

    def check_batch(self, batch):
        super().check_batch(batch)
        self.axes_of(keras.tree.flatten(batch.inputs)[0].shape)

    def get_config(self):
        return {**super().get_config(), "axes": self.axes, "data_format": self.data_format}


def _check_span(axes, shape):
    """A box has axes after the batch axis; those of an image are known."""
    if axes is None:
        raise ValueError(
            f"A box spans the height and the width of images, `(batch, height, width, channels)`. Received: inputs of "
            f"shape {tuple(shape)}. For other inputs say along which axes the box is to be cut, counted from the batch "
            "axis 0: `axes=(1,)` for time series `(batch, time, features)`, `axes=(1, 2, 3)` for video or volumes."
        )
    if any(axis >= len(shape) for axis in axes):
        raise ValueError(f"There is no such axis: axes={axes}. Received: inputs of shape {tuple(shape)}.")
