"""`FMix`: smooth parts of any form, pasted."""

import math
from typing import Unpack

import keras

from keras_mixup import _arguments
from keras_mixup.functional import draw_weights
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._paste import PasteLayer

FREQUENCIES = 12  # of a wave along an image; beyond them the decay leaves nothing that could be seen
GRID = 64  # points along an axis at which the field is ranked: ranking all elements would cost more than the blend


@keras.saving.register_keras_serializable(package="keras_mixup")
class FMix(PasteLayer):
    """Pastes parts of another sample, of a smooth random form: where a random field of low frequencies is high.

    The field is a sum of waves with normally distributed amplitudes that fall with the frequency f as `1 / f^decay`.
    Its greatest values, a share of about 1 - λ' with λ' ~ Beta(alpha, alpha), come from the partner; the labels are
    blended by λ, the exact share of elements that stay.

    For the same images as `CutMix`, in place of its boxes, if training is long enough to learn such boxes by heart.
    Usual values are alpha 1 and decay 3. Beside what `CutMix` costs, it computes and ranks one random field a sample.

    Args:
        alpha: As for `MixUp`. Defaults to `1.0`, as in the paper.
        decay: Float > 0; the greater, the smoother the parts. Defaults to `3.0`, as in the paper.
        axes: As for `CutMix`.
        data_format: As for `CutMix`.
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

    References:
        - [Harris et al., 2020](https://arxiv.org/abs/2002.12047), section 4.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import FMix
    >>> x, y = FMix(num_classes=3, seed=0)(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    decay = Argument(_arguments.check_positive)

    def __init__(
        self,
        alpha: Number = 1.0,
        *,
        decay: float = 3.0,
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
        self.decay = decay

    def draw(self, batch):
        ops, random, shape = batch.ops, batch.random, batch.shape
        height, width = (shape[axis] for axis in self.axes_of(shape))
        weight, _ = draw_weights(random, shape[:1], self.alpha)
        amplitudes = self._amplitudes(ops, random, shape[0])
        coarse = ops.reshape(_field(ops, amplitudes, GRID, GRID), (shape[0], GRID * GRID))
        rank = ops.cast(ops.round(weight * (GRID * GRID - 1)), "int32")
        bound = ops.take_along_axis(ops.sort(coarse, axis=1), rank[:, None], axis=1)
        return self.pasted(ops, _field(ops, amplitudes, height, width) <= bound[:, :, None], shape)

    def _amplitudes(self, ops, random, rows):
        """`(rows, 2·FREQUENCIES, 2·FREQUENCIES)`, of waves along height and width, cosines and sines."""
        u, v = (random.uniform((rows, 2 * FREQUENCIES, 2 * FREQUENCIES)) for _ in range(2))
        normal = ops.sqrt(-2.0 * ops.log(u)) * ops.cos(2 * math.pi * v)
        f = ops.cast(ops.concatenate([ops.arange(FREQUENCIES)] * 2, axis=0), "float32")
        return normal / ops.maximum(f[:, None] ** 2 + f[None, :] ** 2, 1.0) ** (self.decay / 2)

    def get_config(self):
        return {**super().get_config(), "decay": self.decay}


def _field(ops, amplitudes, height, width):
    return ops.matmul(ops.matmul(_waves(ops, height), amplitudes), ops.transpose(_waves(ops, width)))


def _waves(ops, size):
    """`(size, 2·FREQUENCIES)`: cosines and sines along an axis."""
    place = ops.cast(ops.arange(size), "float32") / ops.cast(size, "float32")
    phase = 2 * math.pi * place[:, None] * ops.cast(ops.arange(FREQUENCIES), "float32")[None, :]
    return ops.concatenate([ops.cos(phase), ops.sin(phase)], axis=1)
