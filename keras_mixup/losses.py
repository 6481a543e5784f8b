"""`MixLoss`: any Keras loss, with labels that follow the mix made in this step."""

import re
import warnings
from typing import ClassVar

import keras

from keras_mixup import _follow, _steps, _texts
from keras_mixup._wrapper import Wrapper

# They read labels 0 and 1 as signs, and only if there are no others: blended ones would be taken as they are.
READ_SIGNS = (keras.losses.hinge, keras.losses.squared_hinge)
# They ask of every two samples whether they are of one class; blended samples are of two.
COMPARE_SAMPLES = (keras.losses.circle,)


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixLoss(Wrapper, keras.losses.Loss):
    """Wraps a loss, so that its labels follow the mix that a layer of the model made in this step.

    In a step with a mix, labels with the shape of the predictions are blended, `L(λ·y_a + (1 - λ)·y_b, ŷ)`, as the
    paper says; class indices are followed in pairs, `λ·L(y_a, ŷ) + (1 - λ)·L(y_b, ŷ)`, and so are labels that a hinge
    loss reads as signs, and masked ones. For losses linear in the labels, cross-entropies above all, the two are the
    same number. Sample and class weights are exact: the terms
    are `λ·w_a·L(y_a)` and `(1 - λ)·w_b·L(y_b)`. Then comes the wrapped loss's own reduction. Where parts of a sample
    were pasted (`CutMix`) and the predictions are of its elements, pixels or time steps, λ is that of the element.

    In a step without a mix (`evaluate`, a model without a mixing layer) it is exactly the wrapped loss.

    Args:
        loss: A `keras.losses.Loss`, a function `(y_true, y_pred) -> values`, or the name of a Keras loss.
        layer: String or `None`, the name of the mixing layer to follow, where a model has several of them in
            parallel branches.
        pairwise: `True` for pairs, `False` for blended labels, `None` (the default) to decide by the shapes.
        name: String, the name of the loss; that of the wrapped loss by default.

    Call arguments:
        y_true: Labels, `(batch, ...)`, of any dtype.
        y_pred: Predictions, `(batch, ...)`, floating.
        sample_weight: `None`, or weights `(batch, ...)`.

    Raises:
        RuntimeError: if the step holds several mixes, or one that may belong elsewhere.
        ValueError: if the labels cannot follow: another batch size, a loss without a value for each sample.

    References:
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 2 and section 2.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixUp
    >>> model = keras.Sequential([keras.Input((4,)), MixUp(alpha=0.2), keras.layers.Dense(3)])
    >>> model.compile("sgd", MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)))
    >>> history = model.fit(np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2]), verbose=0)
    """

    wraps = "loss"
    defaults: ClassVar = {"layer": None, "pairwise": None}

    def __init__(self, loss, *, layer=None, pairwise=None, name=None):
        self.loss = _as_loss(loss)
        super().__init__(name=name or self.loss.name, reduction=self.loss.reduction, dtype=self.loss.dtype)
        self._remember(loss, layer, pairwise)
        self._settled = False  # a mix was met, or its lack warned of
        _steps.followers.add(self)

    def __call__(self, y_true, y_pred, sample_weight=None):
        mix = _steps.mix_to_follow(self)
        self._warn_if_never_met(mix)
        if mix is None:
            return self.loss(y_true, y_pred, sample_weight)
        _follow.check_batch(mix, y_pred)
        mix = _follow.fitted(mix, y_pred)
        follow = self._paired if self._pairs(mix, y_true, y_pred, sample_weight) else self._blended
        return follow(mix, y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        return self.loss.call(y_true, y_pred)

    @property
    def reduction(self):
        return self.loss.reduction

    @reduction.setter
    def reduction(self, reduction):
        self.loss.reduction = reduction

    def _warn_if_never_met(self, mix):
        lack = _steps.lack_of_mix() if mix is None and not self._settled else None
        if lack:
            warnings.warn(lack.format(name=self.name), stacklevel=3)
            self._settled = True
        self._settled = self._settled or mix is not None

    def _pairs(self, mix, y_true, y_pred, sample_weight):
        if self.pairwise is not None:
            return self.pairwise
        fn = getattr(self.loss, "fn", None)
        if fn in COMPARE_SAMPLES:
            raise ValueError(_texts.COMPARES.format(name=self.loss.name))
        return fn in READ_SIGNS or not _follow.can_blend(mix, y_true, y_pred, sample_weight)

    def _blended(self, mix, y_true, y_pred, sample_weight):
        y_true, sample_weight = _follow.blended(mix, y_true, sample_weight)
        return self.loss(y_true, y_pred, sample_weight)

    def _paired(self, mix, y_true, y_pred, sample_weight):
        """The values of both terms; then the wrapped loss's weighting, masking and reduction, as over one of them."""
        terms = _follow.terms(mix, y_true, keras.ops.convert_to_tensor(y_pred))
        values = [self._values(term.labels, term.predictions) for term in terms]
        weights = _follow.term_weights(mix, sample_weight, keras.ops.shape(values[0]))
        # Side by side and not one behind the other: where the rows are on several devices, each keeps its own.
        values, weights = (keras.ops.stack(both, axis=1) for both in (values, weights))
        reduce, masked = _Values(values, self.reduction, self.dtype), values
        if terms[0].mask is not None:
            masked = _follow.with_mask(values, keras.ops.stack([term.mask for term in terms], axis=1))
        result = reduce(masked, masked, weights)
        if self.reduction in (None, "none"):
            return keras.ops.sum(result, axis=1)
        return result * 2.0 if self.reduction in ("mean", "sum_over_batch_size") else result

    def _values(self, y_true, y_pred):
        """The wrapped loss's value for each sample."""
        # Scalar predictions `(batch,)` would be averaged over the batch: give them an axis to average over.
        scalar = len(y_pred.shape) == 1
        y_true, y_pred = (keras.ops.expand_dims(x, -1) if scalar and len(x.shape) == 1 else x for x in (y_true, y_pred))
        values = self.loss.call(keras.ops.cast(y_true, self.dtype), keras.ops.cast(y_pred, self.dtype))
        if len(values.shape) == 0:
            raise ValueError(
                f"Loss {self.loss.name!r} gives one number for the whole batch, so its labels cannot be followed in "
                "pairs of samples. Use a loss with a value for each sample, or labels with the shape of the "
                f"predictions (one-hot), which are blended: `MixLoss({type(self.loss).__name__}(...), pairwise=False)`."
            )
        return values


class _Values(keras.losses.Loss):
    """Keras' own weighting, masking and reduction of given values."""

    def __init__(self, values, reduction, dtype):
        super().__init__(name="mixed", reduction=reduction, dtype=dtype)
        self.values = values

    def call(self, y_true, y_pred):
        return self.values


class _FunctionLoss(keras.losses.Loss):
    """A function `(y_true, y_pred) -> values` as a loss, as `compile` makes one of it."""

    def __init__(self, fn, name):
        super().__init__(name=re.sub(r"\W", "", name) or None)
        self.fn = fn

    def call(self, y_true, y_pred):
        return self.fn(*_follow.same_rank(y_true, y_pred))


class _Crossentropy(_FunctionLoss):
    """What `compile(loss="crossentropy")` takes for labels and predictions of these shapes."""

    def call(self, y_true, y_pred):
        kind = _follow.kind_of_labels(y_true, y_pred)
        return getattr(keras.losses, f"{kind}_crossentropy")(*_follow.same_rank(y_true, y_pred))


def _as_loss(loss):
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        return _Crossentropy(None, loss)
    found = keras.losses.get(loss)
    if isinstance(found, keras.losses.Loss):
        return found
    return _FunctionLoss(found, loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__))
