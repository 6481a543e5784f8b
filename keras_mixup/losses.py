"""`MixLoss`: any Keras loss, with labels that follow the mix made in this step."""

import re
import warnings
from typing import Any, ClassVar, Literal, NamedTuple

import keras

from keras_mixup import _follow, _step
from keras_mixup._wrapper import Wrapper, check_not_wrapped

# They read labels 0 and 1 as signs, and only if there are no others: blended ones would be taken as they are.
READ_SIGNS = (keras.losses.hinge, keras.losses.squared_hinge)
# They ask of every two samples whether they are of one class; blended samples are of two.
COMPARE_SAMPLES = (keras.losses.circle,)
# They compare the entries of an axis, so that along it lie classes and no elements.
COMPARE_CLASSES = (
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.categorical_hinge,
    keras.losses.cosine_similarity,
    keras.losses.kl_divergence,
)
# Their labels are words, of which none belongs to one element.
OF_SEQUENCES = (keras.losses.ctc,)
SPARSE = keras.losses.sparse_categorical_crossentropy
OF_KERAS = {function for function in vars(keras.losses).values() if callable(function)} - {SPARSE}


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixLoss(Wrapper, keras.losses.Loss):
    """Wraps a loss, so that its labels follow the mix that a layer of the model made in this step.

    In a step with a mix, labels with the shape of the predictions are blended, `L(λ·y_a + (1 - λ)·y_b, ŷ)`, as the
    paper says. Class indices are followed in pairs, `λ·L(y_a, ŷ) + (1 - λ)·L(y_b, ŷ)`, and so are masked labels and
    those of a hinge loss, which reads them as signs. For losses linear in the labels, cross-entropies above all, the
    two are the same number. Sample and class weights are exact: the terms are `λ·w_a·L(y_a)` and
    `(1 - λ)·w_b·L(y_b)`. Then comes the wrapped loss's own reduction. Masks of the predictions, and those that a loss
    sets (`ignore_class`), count for the label set of their own sample; a mean is then one over the valid elements,
    weighted by the shares.

    Where parts of a sample were pasted (`CutMix`), labels of elements, such as pixels or time steps, follow by element:
    each has the label of its owner. That holds on the grid of the inputs, on one that an integer stride leads to (for
    each axis), upsampled by an integer, and flattened in row-major order. At stride s the owner is that of every s-th
    element, `keep[:, ::s, ::s]`. All other labels follow by sample, by λ. Dense labels whose grid cannot be told from
    the shapes are refused, and `by` settles it. `keras_mixup.check` says which way each loss follows.

    In a step without a mix (`evaluate`, a model without a mixing layer) it is exactly the wrapped loss, except that
    weights of samples never run along a later axis.

    Two things it cannot know. A function of your own, or a loss of your own class, that reads labels as signs, as
    hinge losses do, needs `pairwise=True`. And an output that does not depend on the mixed inputs needs the plain loss:
    this one would follow the mix of the step all the same.

    Args:
        loss: A `keras.losses.Loss`, a function `(y_true, y_pred) -> values`, or the name of a Keras loss.
        layer: String or `None`, the name of the mixing layer to follow, where a model has several of them in
            parallel branches.
        pairwise: `True` for pairs, `False` for blended labels, `None` (the default) to decide by the shapes.
        by: `"element"` if each element has a label of its own, `"sample"` for one λ for all labels of a sample,
            `None` (the default) to decide by the shapes. It matters only where parts are pasted.
        name: String, the name of the loss; that of the wrapped loss by default.

    Call arguments:
        y_true: Labels, `(batch, ...)`, of any dtype.
        y_pred: Predictions, `(batch, ...)`, floating.
        sample_weight: `None`, or weights `(batch, ...)`.

    Raises:
        RuntimeError: if the step holds several mixes, or one that may belong elsewhere.
        ValueError: if the labels cannot follow: another batch size, a loss without a value for each sample, elements
            whose place in the inputs cannot be told; and at once for a loss that compares samples (`Circle`).

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
    defaults: ClassVar = {"layer": None, "pairwise": None, "by": None}

    def __init__(
        self,
        loss: Any,
        *,
        layer: str | None = None,
        pairwise: bool | None = None,
        by: Literal["sample", "element"] | None = None,
        name: str | None = None,
    ):
        check_not_wrapped(self, loss)
        self.loss = _as_loss(loss)
        super().__init__(name=name or self.loss.name, reduction=self.loss.reduction, dtype=self.loss.dtype)
        self._remember(loss, layer, pairwise, by)
        if self._fn in COMPARE_SAMPLES and pairwise is not True:
            raise ValueError(
                f"Loss {self.loss.name!r} compares the samples of a batch by their classes, and a mixed sample has two "
                "of them: its labels cannot follow a mix.\nOptions:\n  train such a loss on clean inputs, with the "
                "mixing layer before the other outputs only\n  train on both label sets, weighted λ and 1 - λ: "
                "`MixLoss(..., pairwise=True)`"
            )
        self._settled = False  # a mix was met, or its lack warned of
        _step.followers.add(self)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if self._fn is SPARSE and not any(map(keras.tree.is_nested, (y_true, y_pred))):
            _check_sparse(self, tuple(y_true.shape), tuple(y_pred.shape))
        mix = _step.mix_to_follow(self)
        self._warn_if_never_met(mix)
        if mix is None:
            return self._unmixed(y_true, y_pred, sample_weight)
        by = "sample" if self._fn in OF_SEQUENCES else self.by
        case = _follow.case_of(self, mix, y_true, y_pred, self._class_axes(), by)
        self.followed_by = case.by
        return (self._paired if self._pairs(case, sample_weight) else self._blended)(case, sample_weight)

    def call(self, y_true, y_pred):
        return self.loss.call(y_true, y_pred)

    @property
    def reduction(self):
        return self.loss.reduction

    @reduction.setter
    def reduction(self, reduction):
        self.loss.reduction = reduction

    def _warn_if_never_met(self, mix):
        lack = _step.lack_of_mix(self.name) if mix is None and not self._settled else None
        if lack:
            warnings.warn(lack, stacklevel=3)
            self._settled = True
        self._settled = self._settled or mix is not None

    @property
    def _fn(self):
        return getattr(self.loss, "fn", None)

    def _class_axes(self):
        """The axes along which the loss compares classes, if it is known."""
        return (getattr(self.loss, "axis", -1),) if self._fn in COMPARE_CLASSES else None

    def _pairs(self, case, sample_weight):
        shapes = tuple(case.y_true.shape), tuple(case.y_pred.shape)
        if self.pairwise is None and self._fn not in (*OF_KERAS, SPARSE):
            _check_known_classes(self, *shapes)
        if self.pairwise is False:
            _follow.check_blendable(self, *shapes)
        if self.pairwise is not None:
            return self.pairwise
        return self._fn in (*READ_SIGNS, SPARSE) or not _follow.can_blend(case, sample_weight)

    def _unmixed(self, y_true, y_pred, sample_weight):
        """The wrapped loss; but weights of samples are never taken for those of another axis, nor refused."""
        nested = any(map(keras.tree.is_nested, (y_true, y_pred)))
        if sample_weight is None or nested or not _calls_only_call(self.loss):
            return self.loss(y_true, y_pred, sample_weight)
        value = self.loss.call(*(keras.ops.convert_to_tensor(x, dtype=self.dtype) for x in (y_true, y_pred)))
        if 0 < len(sample_weight.shape) < len(value.shape):
            sample_weight = _follow.over(keras.ops.convert_to_tensor(sample_weight), value)
        return _Values(value, self.reduction, self.dtype)(value, y_pred, sample_weight)

    def _blended(self, case, sample_weight):
        y_true, weight = _follow.blended(case, sample_weight)
        if case.expanded and weight is None and case.mask is None:
            y_true = keras.ops.squeeze(y_true, -1)  # the loss averages over its own axes, as it does without a mix
            case = case._replace(y_pred=keras.ops.squeeze(case.y_pred, -1), expanded=False)
        self._check_scale(case)
        if not _calls_only_call(self.loss):
            return self.loss(y_true, case.y_pred, weight)
        value, flat = self._values(y_true, case.y_pred)
        if len(value.shape) == 0:  # one number for the batch: Keras' own weighting
            return self.loss(y_true, case.y_pred, weight)
        mask = _follow.counts_of(value, case.mask, self._mask_set_on(value))
        flat = flat and weight is None
        if weight is not None:
            weight = _follow.over(_follow.weights_of(case, weight, value.shape)[0], value)
        return self._reduced([_Term(value, weight, mask)], flat)

    def _paired(self, case, sample_weight):
        """Both label sets, with the wrapped loss's weighting, masking and reduction as over one of them."""
        _check_call_followed(self.loss)
        self._check_scale(case)
        label_sets, terms = _follow.terms(case), []
        values = [self._values(one.labels, one.predictions) for one in label_sets]
        value, flat = values[0]
        if len(value.shape) == 0:
            raise _one_number(self)
        shares = _follow.shares_of(case, keras.ops.shape(value), self._averaged_axis())
        weights = _follow.weights_of(case, sample_weight, value.shape)
        for one, (value, _), share, weight in zip(label_sets, values, shares, weights, strict=True):
            mask = _follow.counts_of(value, one.mask, self._mask_set_on(value))
            terms.append(_Term(value, share * weight, None if mask is None else share * mask))
        return self._reduced(terms, flat and sample_weight is None)

    def _mask_set_on(self, values):
        """The mask that the loss sets on its values. Those of Keras do so only for an `ignore_class`."""
        if self._fn in OF_KERAS or (self._fn is SPARSE and getattr(self.loss, "ignore_class", None) is None):
            return None
        return _follow.read_mask(values)

    def _check_scale(self, case):
        """A sum over elements is not one over the rows of elements that the loss would average."""
        if case.expanded and self.reduction not in ("mean", "sum_over_batch_size"):
            raise _follow.averaged(case.y_pred.shape, case.y_pred.shape[:-2])

    def _averaged_axis(self):
        axis = getattr(self.loss, "axis", -1)
        return axis if isinstance(axis, int) else -1

    def _reduced(self, terms, averaged):
        """The wrapped loss's reduction of all terms; a mean is one over what the masks leave, by the shares."""
        reduction = "mean" if averaged else self.reduction
        # Side by side and not one after the other: where the rows are on several devices, each keeps its own.
        values = keras.ops.stack([term.values for term in terms], axis=1)
        weights, counts = (
            None if parts[0] is None else keras.ops.stack(parts, axis=1)
            for parts in ([term.weights for term in terms], [term.counts for term in terms])
        )
        if counts is not None:
            present = keras.ops.cast(counts != 0, values.dtype)
            weights = present if weights is None else weights * present
        result = _Values(values, reduction, self.dtype)(values, values, weights)
        if reduction in (None, "none"):
            return keras.ops.sum(result, axis=1)
        if reduction not in ("mean", "sum_over_batch_size"):
            return result
        elements = keras.ops.cast(keras.ops.size(values), result.dtype)
        if counts is None:
            return result * float(len(terms))
        return result * keras.ops.divide_no_nan(elements, keras.ops.cast(keras.ops.sum(counts), result.dtype))

    def _values(self, y_true, y_pred):
        """The wrapped loss's values, and whether it averages flat predictions `(batch,)` over the batch.

        Those are given an axis to average over, so that there is a value for each sample.
        """
        y_true, y_pred = (keras.ops.cast(x, self.dtype) for x in (y_true, y_pred))
        values = self.loss.call(y_true, y_pred)
        if len(values.shape) > 0 or len(y_pred.shape) > 1:
            return values, False
        y_true, y_pred = (keras.ops.expand_dims(x, -1) if len(x.shape) == 1 else x for x in (y_true, y_pred))
        return self.loss.call(y_true, y_pred), True


class _Term(NamedTuple):
    """The values of one label set, each of the shape of the values."""

    values: Any
    weights: Any  # λ·w, `None` for ones
    counts: Any  # λ where the mask is set, `None` if there is no mask


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


def _check_sparse(follower, labels, predictions):
    """Class indices have one axis less than the predictions, or one of size 1."""
    if len(labels) == len(predictions) and labels[-1] not in (1, None):
        raise ValueError(
            f"Loss {follower.name!r} takes class indices. Received: labels of shape {_follow.shape_text(labels)} for "
            f"predictions of shape {_follow.shape_text(predictions)}.\n"
            "Options: for one-hot labels `MixLoss(keras.losses.CategoricalCrossentropy(...))`; for class indices "
            f"labels of shape {_follow.shape_text(predictions[:-1])}."
        )


def _check_known_classes(follower, labels, predictions):
    """Labels whose last axis is known, so that class indices and one-hot rows can be told apart."""
    if len(labels) == len(predictions) and labels[-1] is None and predictions[-1] not in (1, None):
        raise ValueError(
            f"Loss {follower.name!r} cannot tell class indices from one-hot labels. Received: labels of shape "
            f"{_follow.shape_text(labels)}, predictions of shape {_follow.shape_text(predictions)}.\n"
            "Options: labels of a known shape, `y.set_shape((None, num_classes))`; `pairwise=True` for class indices; "
            "`pairwise=False` for one-hot labels."
        )


def _calls_only_call(loss):
    """Whether `call` is all that a loss computes, apart from Keras' weighting and reduction."""
    return type(loss).__call__ is keras.losses.Loss.__call__


def _check_call_followed(loss):
    """In pairs `call` gives the values of each label set."""
    if not _calls_only_call(loss):
        raise ValueError(
            f"`{type(loss).__name__}` overrides `__call__`, which pairs of labels would leave out. Received: labels "
            "that must follow in pairs (class indices, a mask, or `pairwise=True`).\n"
            "Options: override `call(self, y_true, y_pred)` instead, with a value for each sample; or labels with the "
            "shape of the predictions (one-hot), which are blended, `pairwise=False`."
        )


def _one_number(follower):
    return ValueError(
        f"Loss {follower.name!r} gives one number for the whole batch, so its labels cannot be followed in pairs of "
        "samples. Options: a loss with a value for each sample; labels with the shape of the predictions (one-hot), "
        f"which are blended: `MixLoss({type(follower.loss).__name__}(...), pairwise=False)`."
    )
