"""How labels follow a mix in a loss or a metric: blended, or in pairs."""

from typing import Any, NamedTuple

import keras

from keras_mixup import _ops
from keras_mixup.functional import blend, blend_labels, fit_keep, partners_of, reverse_keep, shares, trailing


def like_predictions(y_true, y_pred):
    """Whether labels have the shape of the predictions, up to a last axis of size 1."""
    y, p = tuple(y_true.shape), tuple(y_pred.shape)
    if len(y) == len(p) + 1 and y[-1] == 1:
        y = y[:-1]
    if len(p) == len(y) + 1 and p[-1] == 1:
        p = p[:-1]
    return len(y) == len(p) and all(a == b or a is None or b is None for a, b in zip(y[1:], p[1:], strict=True))


def can_blend(mix, y_true, y_pred, sample_weight):
    """Whether labels are blended if nobody says.

    Each term of a masked loss has its own mask, and weights of samples differ from element to element where parts of
    them were pasted: both need pairs.
    """
    if mix.keep is not None and sample_weight is not None:
        return False
    return like_predictions(y_true, y_pred) and read_mask(y_pred) is None


def kind_of_labels(y_true, y_pred):
    """`"binary"`, `"sparse_categorical"` or `"categorical"`, by the rule of `compile`."""
    if y_pred.shape[-1] == 1:
        return "binary"
    if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


def check_batch(mix, y_pred):
    """The mix is one of as many rows as the predictions have."""
    rows, batch = mix.weight.shape[0], y_pred.shape[0]
    if rows is not None and batch is not None and rows != batch:
        raise ValueError(
            f"The mix of this step has {rows} rows, the predictions have {batch}. A loss can follow a mix only row "
            "by row. If the model folds other axes into the batch axis behind the mixing layer, or splits it, mix "
            "in the input pipeline instead: `mixup.mix_dataset(dataset)`."
        )


def fitted(mix, y_pred):
    """The mix as it holds for these predictions: with `keep` only if they are of the elements that it was drawn for.

    Those of an image as large as the input are of its pixels, and their labels are pasted as the pixels were.
    """
    if mix.keep is None:
        return mix
    keep, p = tuple(mix.keep.shape), tuple(y_pred.shape)
    spanned = [axis for axis in range(1, len(keep)) if keep[axis] != 1]
    dense = len(keep) == len(p) and all(keep[axis] == p[axis] or None in (keep[axis], p[axis]) for axis in spanned)
    # Along the last axis alone lie channels, or the time steps of a wave, and classes where it is the predictions'.
    return mix if dense and spanned not in ([], [len(keep) - 1]) else mix._replace(keep=None)


def blended(mix, y_true, sample_weight):
    """Labels, and weights, of the blended samples; of each element if `keep` says so."""
    ops = _ops.KERAS
    y_true = ops.convert_to_tensor(y_true)
    if "float" not in _ops.dtype_of(y_true):
        y_true = ops.cast(y_true, "float32")
    if mix.keep is not None:
        if sample_weight is not None:
            sample_weight = sum(term_weights(mix, sample_weight, ops.shape(y_true)[:-1]))
        return blend(y_true, mix), sample_weight
    if sample_weight is None:
        return blend_labels(y_true, mix), None
    return blend_labels(y_true, mix, ops.convert_to_tensor(sample_weight))


class Term(NamedTuple):
    """One of the two label sets of a mix."""

    labels: Any
    predictions: Any
    mask: Any  # of the predictions, which carry it: the one of the label set's own sample


def terms(mix, y_true, y_pred):
    """Both terms of a mix."""
    ops = _ops.KERAS
    y_true, mask = ops.convert_to_tensor(y_true), read_mask(y_pred)
    others = partners_of(y_true, mix)
    if mask is None:
        return [Term(y_true, y_pred, None), Term(others, y_pred, None)]
    other_mask = partners_of(mask, mix)
    return [Term(y_true, y_pred, mask), Term(others, with_mask(y_pred, other_mask), other_mask)]


def term_weights(mix, sample_weight, shape):
    """The weights of the two terms, λ·w and (1 - λ)·w[partner]; λ and 1 - λ in the given shape where there is no w."""
    ops = _ops.KERAS
    own, other = (trailing(ops, share, len(shape)) for share in _element_shares(mix, shape))
    if sample_weight is None:
        return [ops.broadcast_to(share, shape) for share in (own, other)]
    w = ops.cast(sample_weight, "float32")
    while len(w.shape) > len(shape) and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    w = trailing(ops, w, len(shape))
    own, other = (trailing(ops, share, len(w.shape)) for share in (own, other))
    return [own * w, other * partners_of(w, mix)]


def _element_shares(mix, shape):
    """λ and 1 - λ of the samples, or of their elements."""
    if mix.keep is None:
        return shares(mix)
    keep = fit_keep(_ops.KERAS, mix.keep, shape)
    return [_ops.KERAS.cast(share, "float32") for share in (keep, reverse_keep(_ops.KERAS, keep))]


def same_rank(y_true, y_pred):
    """Labels and predictions with a last axis of size 1 more or less, as Keras aligns them for a loss function."""
    ops = _ops.KERAS
    if len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
        return (y_true, ops.expand_dims(y_pred, -1)) if len(y_pred.shape) == 1 else (ops.squeeze(y_true, -1), y_pred)
    if len(y_pred.shape) == len(y_true.shape) + 1 and y_pred.shape[-1] == 1:
        return (ops.expand_dims(y_true, -1), y_pred) if len(y_true.shape) == 1 else (y_true, ops.squeeze(y_pred, -1))
    return y_true, y_pred


def read_mask(x):
    """The Keras mask of a tensor, or `None`."""
    return _READ_MASK(x)


def with_mask(x, mask):
    """The tensor with this Keras mask."""
    return _WRITE_MASK([x, mask])


class _ReadMask(keras.layers.Layer):
    """Gives the Keras mask of a tensor; a layer is the public way to it."""

    def __init__(self):
        super().__init__(autocast=False, name="read_mask")
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return mask

    def compute_mask(self, inputs, previous_mask):
        return None


class _WriteMask(keras.layers.Layer):
    """Gives the first of two tensors the second as its Keras mask."""

    def __init__(self):
        super().__init__(autocast=False, name="write_mask")
        self.supports_masking = True

    def call(self, inputs):
        return _ops.KERAS.copy(inputs[0])  # the tensor itself keeps its own mask

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]


# Made once, and outside of the steps: `torch.compile` cannot trace how a Keras layer is made.
_READ_MASK, _WRITE_MASK = _ReadMask(), _WriteMask()
