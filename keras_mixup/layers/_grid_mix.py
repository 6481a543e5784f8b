"""`GridMix`: cells of a grid, pasted."""

from typing import Unpack

import keras

from keras_mixup import _arguments
from keras_mixup.functional import draw_weights
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._paste import PasteLayer

MOST_CELLS = 1024  # along an axis: each sample has as many random numbers as the grid has cells


@keras.saving.register_keras_serializable(package="keras_mixup")
class GridMix(PasteLayer):
    """Pastes cells of a grid over the image from another sample: each cell stays with the probability λ'.

    λ' ~ Beta(alpha, alpha) for each sample; the labels are blended by λ, the exact share of elements that stay. Where
    `CutMix` pastes one box, this spreads the parts of both samples all over the image: for images whose class shows in
    the texture more than in one object. Usual values are alpha 1 and 4 cells. It costs what `CutMix` costs.

    Args:
        alpha: As for `MixUp`. Defaults to `1.0`.
        cells: Integer, 1 to 1024, the number of cells along height and along width. Defaults to `4`.
        axes: As for `CutMix`.
        data_format: As for `CutMix`.
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

    References:
        - [Baek et al., 2021](https://doi.org/10.1016/j.patcog.2020.107594), section 3.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import GridMix
    >>> x, y = GridMix(num_classes=3, seed=0)(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    cells = Argument(_arguments.check_integer, lower=1, upper=MOST_CELLS + 1, optional=False)

    def __init__(
        self,
        alpha: Number = 1.0,
        *,
        cells: int = 4,
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
        self.cells = cells

    def draw(self, batch):
        ops, random, shape = batch.ops, batch.random, batch.shape
        height, width = (shape[axis] for axis in self.axes_of(shape))
        weight, _ = draw_weights(random, shape[:1], self.alpha)
        stays = random.uniform((shape[0], self.cells, self.cells)) < weight[:, None, None]
        # Each element looks its cell up by a product with 0 and 1, which is quicker than an index for every element.
        rows, columns = (ops.one_hot(ops.arange(n) * self.cells // n, self.cells) for n in (height, width))
        keep = ops.matmul(ops.matmul(rows, ops.cast(stays, "float32")), ops.transpose(columns))
        return self.pasted(ops, keep > 0.5, shape)

    def get_config(self):
        return {**super().get_config(), "cells": self.cells}
