"""How labels follow a mix in a loss or a metric: blended, or in pairs."""

import math
from typing import Any, NamedTuple

import keras

from keras_mixup import _backend, _grid
from keras_mixup.functional import blend, blend_element_labels, blend_labels
from keras_mixup.functional._blend import others_of
from keras_mixup.functional._labels import check_weight_rank
from keras_mixup.functional._mix import element_shares


def like_predictions(y_true, y_pred):
    """Whether labels have the shape of the predictions, up to a last axis of size 1."""
    y, p = tuple(y_true.shape), tuple(y_pred.shape)
    if len(y) == len(p) + 1 and y[-1] == 1:
        y = y[:-1]
    if len(p) == len(y) + 1 and p[-1] == 1:
        p = p[:-1]
    return len(y) == len(p) and all(a == b or a is None or b is None for a, b in zip(y[1:], p[1:], strict=True))


def can_blend(case, sample_weight):
    """Whether labels are blended if nobody says.

    Each term of a masked loss has its own mask, and weights of samples differ from element to element where parts of
    them were pasted: both need pairs.
    """
    if case.by == "element" and sample_weight is not None:
        return False
    return like_predictions(case.y_true, case.y_pred) and case.mask is None


def kind_of_labels(y_true, y_pred):
    """`"binary"`, `"sparse_categorical"` or `"categorical"`, by the rule of `compile`."""
    if y_pred.shape[-1] == 1:
        return "binary"
    if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


class Case(NamedTuple):
    """A mix as it holds for these labels and predictions."""

    mix: Any  # its elements, if it has some, are those of the labels
    y_true: Any
    y_pred: Any
    by: str  # "sample", or "element"
    mask: Any = None  # of the predictions, which carry it
    expanded: bool = False  # whether labels and predictions were given an axis for the one value of each element


def case_of(follower, mix, y_true, y_pred, class_axes, by):
    """The mix as it holds for these labels: by sample, or by element where they are of elements that were pasted.

    Args:
        follower: the `MixLoss` or `MixMetric`.
        class_axes: tuple, the axes of labels like the predictions along which lie classes; `None` if nobody knows.
        by: `"sample"`, `"element"`, or `None` to decide by the shapes.
    """
    _check_batch(mix, y_pred)
    ops = _backend.KERAS
    y_true, y_pred = ops.convert_to_tensor(y_true), _as_tensor(y_pred)
    mask, place = read_mask(y_pred), None
    if mix.elements is not None and by != "sample":
        parts, labels, predictions = (tuple(x.shape) for x in (mix.elements, y_true, y_pred))
        try:
            place = _grid.find(parts, labels, predictions, class_axes, forced=by == "element")
        except _grid.Unclear:
            raise _unclear(follower, parts, labels, predictions) from None
    if place is None:
        return Case(mix.by_sample(), y_true, y_pred, "sample", mask)
    averaged = place.labels if class_axes is None else ()
    expanded = len(y_true.shape) == len(y_pred.shape) and len(y_true.shape) - 1 in averaged
    y_true, y_pred = _with_values_on_last_axis(y_true, y_pred, mask, expanded)
    elements = _grid.onto_labels(ops, mix.elements, place, len(y_true.shape))
    return Case(mix.with_elements(elements), y_true, y_pred, "element", mask, expanded)


def _as_tensor(y_pred):
    """A tensor keeps its Keras mask."""
    return y_pred if keras.ops.is_tensor(y_pred) else keras.ops.convert_to_tensor(y_pred)


def _with_values_on_last_axis(y_true, y_pred, mask, on_last):
    """Labels and predictions whose last axis, over which losses average, holds the values of one element."""
    missing = len(y_pred.shape) - len(y_true.shape)
    if on_last or (missing == 1 and y_pred.shape[-1] == 1):
        y_true = _backend.KERAS.expand_dims(y_true, -1)
    if on_last or (missing == -1 and y_true.shape[-1] == 1):
        y_pred = with_mask(_backend.KERAS.expand_dims(y_pred, -1), mask)
    return y_true, y_pred


def blended(case, sample_weight):
    """Labels, and weights, of the blended samples, or of each element."""
    ops, mix, y_true = _backend.KERAS, case.mix, case.y_true
    if "float" not in _backend.dtype_of(y_true):
        y_true = ops.cast(y_true, "float32")
    if sample_weight is None:
        return (blend_labels(y_true, mix) if mix.elements is None else blend(y_true, mix)), None
    if mix.elements is None:
        return blend_labels(y_true, mix, _rowwise(sample_weight, y_true))
    return blend_element_labels(y_true, mix, _rowwise(sample_weight, y_true))


class Term(NamedTuple):
    """One of the label sets of a mix."""

    labels: Any
    predictions: Any
    mask: Any  # of the predictions, which carry it: the one of the label set's own sample


def terms(case):
    """The terms of a mix, that of the original first."""
    y_true, y_pred, mix = case.y_true, case.y_pred, case.mix
    others = others_of(y_true, mix)
    if case.mask is None:
        return [Term(labels, y_pred, None) for labels in (y_true, *others)]
    masks = others_of(case.mask, mix)
    other_terms = [Term(y, with_mask(y_pred, mask), mask) for y, mask in zip(others, masks, strict=True)]
    return [Term(y_true, y_pred, case.mask), *other_terms]


def shares_of(case, shape, class_axis=-1):
    """The share of each term, for values of this shape, without the axis of the classes."""
    ops, shares = _backend.KERAS, element_shares(case.mix) or case.mix.shares
    if len(shares[0].shape) == len(shape) + 1:
        if shares[0].shape[class_axis] != 1:
            raise averaged(case.y_pred.shape, shape)
        shares = [ops.squeeze(share, class_axis) for share in shares]
    if len(shares[0].shape) > len(shape):
        raise averaged(case.y_pred.shape, shape)
    return [over_shape(share, shape) for share in shares]


def weights_of(case, sample_weight, shape):
    """The weights of the samples of each term, w and w[partner], for values of this shape; ones where there is no w.

    They cover the leading axes of the values, and never run along a later one.
    """
    ops = _backend.KERAS
    if sample_weight is None:
        return [1.0] * len(case.mix.shares)
    w = _rowwise(sample_weight, case.y_true)
    while len(w.shape) > len(shape) and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    check_weight_rank(w.shape, shape)
    w = _backend.trailing(ops, w, len(shape))
    return [w, *others_of(w, case.mix)]


def counts_of(values, *masks):
    """The masks of values, which cover their leading axes, as numbers; `None` if there are none."""
    found = [_backend.KERAS.cast(mask, "float32") for mask in masks if mask is not None]
    return math.prod(over(one, values) for one in found) if found else None


def over(x, values):
    """`x`, which covers the leading axes of the values, written out for all of them."""
    return over_shape(x, _backend.KERAS.shape(values))


def over_shape(x, shape):
    """`x`, which covers the leading axes of this shape, written out for all of it.

    On PyTorch Keras multiplies weights in place: they may be no view.
    """
    ops = _backend.KERAS
    return ops.copy(ops.broadcast_to(_backend.trailing(ops, x, len(shape)), shape))


def _rowwise(sample_weight, y_true):
    """Weights with an axis for the rows."""
    w = _backend.KERAS.cast(sample_weight, "float32")
    return _backend.KERAS.broadcast_to(w, _backend.KERAS.shape(y_true)[:1]) if len(w.shape) == 0 else w


def same_rank(y_true, y_pred):
    """Labels and predictions with a last axis of size 1 more or less, as Keras aligns them for a loss function."""
    ops = _backend.KERAS
    if len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
        return (y_true, ops.expand_dims(y_pred, -1)) if len(y_pred.shape) == 1 else (ops.squeeze(y_true, -1), y_pred)
    if len(y_pred.shape) == len(y_true.shape) + 1 and y_pred.shape[-1] == 1:
        return (ops.expand_dims(y_true, -1), y_pred) if len(y_true.shape) == 1 else (y_true, ops.squeeze(y_pred, -1))
    return y_true, y_pred


def read_mask(x):
    """The Keras mask of a tensor, or `None`."""
    return _READ_MASK(x)


def with_mask(x, mask):
    """The tensor with this Keras mask, if there is one."""
    return x if mask is None else _WRITE_MASK([x, mask])


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
        return _backend.KERAS.copy(inputs[0])  # the tensor itself keeps its own mask

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]


# Made once, before any step: `torch.compile` cannot trace how a Keras layer is made.
_READ_MASK, _WRITE_MASK = _ReadMask(), _WriteMask()


def _check_batch(mix, y_pred):
    """A mix of as many rows as the predictions have."""
    rows, batch = mix.weight.shape[0], y_pred.shape[0]
    if rows is not None and batch is not None and rows != batch:
        raise ValueError(
            f"The mix of this step has {rows} rows, the predictions have {batch}. A loss can follow a mix only row "
            "by row. If the model folds other axes into the batch axis after the mixing layer, or splits it, mix "
            "in the input pipeline instead: `mixup.mix_dataset(dataset)`."
        )


def _unclear(follower, keep, labels, predictions):
    """The error where shapes do not tell which element of the inputs a label belongs to."""
    parts = tuple("any" if axis and size == 1 else size for axis, size in enumerate(keep))
    name = type(follower).__name__
    received = (
        f"Received: parts pasted in inputs of shape {shape_text(parts)}, labels of shape {shape_text(labels)}, "
        f"predictions of shape {shape_text(predictions)}.\n"
    )
    if follower.by == "element":
        return ValueError(
            f"`{name}` {follower.name!r} was told by='element', but the labels do not lie on the grid of the inputs, "
            f"at an integer stride, or flattened in row-major order. {received}"
            "Options: bring predictions and labels to the size of the inputs, or to a size that divides it, with the "
            f"classes along the last axis; `{name}(..., by='sample')`, one λ for all labels of a sample."
        )
    return ValueError(
        f"`{name}` {follower.name!r} cannot tell whether, and how, its labels belong to the pasted elements of the "
        f"inputs. {received}"
        f"Options: `{name}(..., by='element')` for a label for each element, which follows its owner; "
        f"`{name}(..., by='sample')` for labels of whole samples, which follow by λ. By element the sizes must be "
        "those of the inputs, or divide them."
    )


def averaged(predictions, values):
    return ValueError(
        "Labels follow by element here, but the loss or metric averages over elements that come from different "
        f"samples. Received: predictions of shape {shape_text(predictions)}, values of shape {shape_text(values)}.\n"
        "Options: a loss with a value for each element; labels with the shape of the predictions, without sample "
        "weights, `pairwise=False`; `by='sample'`, one λ for all labels of a sample."
    )


def check_blendable(follower, labels, predictions):
    """Class indices are not blended: between class 3 and class 8 lies no class."""
    if len(labels) == len(predictions) - 1 and predictions[-1] != 1:
        raise ValueError(
            f"`{type(follower).__name__}` {follower.name!r} was told pairwise=False, and class indices cannot be "
            f"blended.\nReceived: labels of shape {shape_text(labels)}, predictions of shape "
            f"{shape_text(predictions)}.\n"
            "Options: leave `pairwise` out; or one-hot labels, `keras.ops.one_hot(y, num_classes)`."
        )


def shape_text(shape):
    return (
        "(" + ", ".join("?" if size is None else str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
    )
