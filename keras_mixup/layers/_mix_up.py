"""`MixUp`: the convex combination of Zhang et al."""

from typing import Unpack

import keras

from keras_mixup.functional import Mix, draw_weights
from keras_mixup.layers._alpha import HasAlpha
from keras_mixup.layers._argument import LayerOptions, Number, PairingOrName
from keras_mixup.layers._mix_layer import MixLayer


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixUp(HasAlpha, MixLayer):
    """Blends every sample of a batch with another sample of the same batch, and its labels with it.

    `x' = λ·x + (1 - λ)·x[partner]` and `y' = λ·y + (1 - λ)·y[partner]` with λ ~ Beta(alpha, alpha), drawn for each
    sample. It mixes only while training: when the caller passes `training=True`, or when the surrounding model
    trains (`fit`). Inputs otherwise come out as they are.

    In a model, `MixUp()(x)`, the labels follow through the loss: wrap it, `MixLoss(loss)`, and the metrics,
    `MixMetric(metric)`. In a `tf.data` pipeline, `mixup(x, y, training=True)` or `mixup.mix_dataset(dataset)`, and in a
    loop of your own the labels are mixed with the inputs, and any loss for soft labels will do.

    In a `keras.layers.Pipeline` say which data it is for: `pipeline(sample, training=True)`, and
    `pipeline(sample, training=False)` for validation data. It trains by default, and then mixes in `model(x)`,
    `evaluate` and `predict` too; a mixing layer cannot tell.

    Start here. It helps most with noisy labels, small data and long training, and costs one pass over the batch.

    Args:
        alpha: Float >= 0, or a schedule of `keras.optimizers.schedules` over the layer's training calls. Both
            parameters of the Beta distribution: small values blend little, 1 is uniform, 0 is off. Usual values are
            0.1 to 0.4; 1 to 32 against label noise. Defaults to `0.2`. Numbers below 1.2e-38, the smallest that float32
            holds in every place, are 0. Of a schedule, numbers below 0 are 0, and nan is an error where the step runs
            eagerly on the CPU, off where it is compiled.
        probability: Float from 0 to 1, or a schedule. The chance that a sample is mixed (that the batch is, with
            `same_on_batch`). Defaults to `1.0`.
        same_on_batch: Boolean, whether all samples of a batch share one λ. Defaults to `False`.
        pairing: `"shuffle"` to draw the partners, as one cycle through the batch so that no sample is its own
            partner; `"roll"` for the row before; `"local"` to draw them, where a `keras.distribution` shares the batch
            out to several devices, within the part of each, so that no row has to be sent.
        num_classes: Integer or `None`. With it integer labels (and masks, of a sample dict) are class indices and come
            out as one-hot rows. Not needed where the labels follow through `MixLoss`.
        ignore_class: Integer or `None`, the class index that means "no class" (255 in many masks) and becomes a row of
            zeros, as in `keras.losses.SparseCategoricalCrossentropy`. Any other index outside 0 to `num_classes - 1`
            is an error wherever its value can be read: in eager calls on the CPU, `mix_numpy` and `tf.data`. Inside
            functions compiled by XLA, `jax.jit` or `torch.compile`, and for labels that lie on an accelerator, it is
            not checked, and becomes a row of zeros too.
        dominant: Boolean, whether λ = max(λ, 1 - λ), so that the original keeps the greater share. Defaults to `False`.
        seed: Integer >= 0 or `None`. The same seed gives the same draws, on every backend.
        **layer_kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: Floating or uint8 array `(batch, ...)` of any rank, or a nest of them, all mixed by the same draw. A
            dict that holds `images` is a Keras sample: `images`, `labels`, `sample_weights`, `segmentation_masks`.
        labels: `None`, or an array or nest of arrays `(batch, ...)`: floating (one-hot, multi-label, regression), or
            integer class indices with `num_classes`. `()` says that there are none, and none are returned.
        sample_weight: `None`, or floating or boolean weights `(batch,)`, or over further leading axes of the labels.
        training: Boolean or `None`.
        seed: Integer or integer tensor; makes this call a pure function of its arguments.

    Output shape:
        `x'`, `(x', y')` or `(x', y', w')`, or the sample dict, in the shapes of the inputs; class indices `(batch,)`
        become `(batch, num_classes)`. Inputs come in the layer's compute dtype, labels and weights in float32 or wider.

    Raises:
        ValueError, TypeError: for arguments, shapes or dtypes that cannot be mixed, as early as they are known.

    References:
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 1.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import MixUp
    >>> mixup = MixUp(alpha=0.2, num_classes=3, seed=0)
    >>> x, y = mixup(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    def __init__(
        self,
        alpha: Number = 0.2,
        *,
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
            probability=probability,
            same_on_batch=same_on_batch,
            pairing=pairing,
            num_classes=num_classes,
            ignore_class=ignore_class,
            dominant=dominant,
            seed=seed,
            **layer_kwargs,
        )

    def draw(self, batch):
        return Mix(draw_weights(batch.random, batch.shape[:1], self.alpha))
