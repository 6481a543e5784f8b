"""Encode and blend labels and sample weights."""

from typing import Any

import keras

from keras_mixup import _backend
from keras_mixup.functional._blend import blend, blend_rows, blend_samples, check_not_masked, others_of
from keras_mixup.functional._mix import Mix


def blend_labels(labels: Any, mix: Mix, sample_weight: Any = None) -> Any:
    """Blends floating labels by the shares of the samples: `y' = λ·y + (1 - λ)·y[partner]`.

    With weights, a loss has the terms `λ·w_a·L(y_a) + (1 - λ)·w_b·L(y_b)`. For a loss linear in the labels that is one
    term with the weight `w' = λ·w_a + (1 - λ)·w_b` and the labels blended in the proportion of the two parts of `w'`.

    Args:
        labels: floating array `(batch, ...)`, or nest of them; see `encode_labels` for class indices.
        mix: a `Mix`. Its `keep` and `owner` are not looked at.
        sample_weight: `None`, an array `(batch,)` or with further leading axes of the labels, or a nest like
            the labels.

    Returns:
        The labels, float32 or wider; with `sample_weight` the pair of labels and weights.

    References:
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 1.
    """

    check_not_masked((labels, sample_weight))

    def blend_array(x):
        return blend_samples(x, mix, _backend.widened(_backend.dtype_of(x)))

    if sample_weight is None:
        return keras.tree.map_structure(blend_array, labels)
    weights = keras.tree.map_structure(blend_array, sample_weight)
    if not keras.tree.is_nested(sample_weight):
        return keras.tree.map_structure(lambda y: _blend_weighted(y, mix, sample_weight), labels), weights

    def blend_nest(weight, nest):
        return keras.tree.map_structure(lambda y: _blend_weighted(y, mix, weight), nest)

    return keras.tree.map_structure_up_to(sample_weight, blend_nest, sample_weight, labels), weights


def blend_element_labels(labels: Any, mix: Mix, sample_weight: Any = None) -> tuple[Any, Any]:
    """Blends labels of elements, such as pixels, each by the share of its own element.

    Args:
        labels: floating or boolean array `(batch, ...)`.
        mix: a `Mix` whose `keep` or `owner` fits the labels; of size 1 along the axis of the classes.
        sample_weight: `None`, or an array `(batch,)` or with further leading axes of the labels.

    Returns:
        The labels, and the weights of their elements, `None` if there are none.
    """
    if sample_weight is None:
        return blend(labels, mix, _backend.widened(_backend.dtype_of(labels))), None
    ops, elements = _backend.ops_for(labels), mix.by_element()
    weight = _backend.trailing(ops, ops.cast(sample_weight, "float32"), len(elements.weight.shape))
    weight = weight * ops.ones_like(elements.weight)  # each may have axes of size 1 that the other has not
    labels, weight = blend_labels(labels, elements, weight)
    return labels, ops.squeeze(weight, -1) if weight.shape[-1] == 1 else weight


def encode_labels(labels: Any, num_classes: int | None, ignore_class: int | None = None) -> Any:
    """Encodes class indices as one-hot rows, and returns floating labels as they are.

    >>> import numpy as np
    >>> from keras_mixup.functional import encode_labels
    >>> encode_labels(np.array([1, 255]), num_classes=2, ignore_class=255).tolist()
    [[0.0, 1.0], [0.0, 0.0]]

    Args:
        labels: array or nest of them: integers `(batch,)`, `(batch, 1)` or `(batch, ...)`, or floats.
        num_classes: Integer, the number of classes; `None` to return the labels as they are.
        ignore_class: Integer or `None`, the index that means "no class" and becomes a row of zeros.

    Raises:
        ValueError: for an index outside 0 to `num_classes - 1` other than `ignore_class`. In a TensorFlow graph it is
            an `InvalidArgumentError` when the graph runs. Functions compiled by XLA, `jax.jit` or `torch.compile`, and
            labels on an accelerator are not checked: there such an index becomes a row of zeros.
    """
    if num_classes is None:
        return labels

    def encode(y):
        return _one_hot(y, num_classes, ignore_class) if _backend.is_integer(_backend.dtype_of(y)) else y

    return keras.tree.map_structure(encode, labels)


def _one_hot(y, num_classes, ignore_class):
    ops = _backend.ops_for(y)
    if len(y.shape) > 1 and y.shape[-1] == 1:
        y = ops.squeeze(y, -1)
    y = _backend.signed(ops, y)
    if ignore_class is None:
        return ops.one_hot(check_classes(ops, y, num_classes), num_classes, dtype="float32")
    void = y == ignore_class
    y = check_classes(ops, ops.where(void, ops.zeros_like(y), y), num_classes)
    return ops.one_hot(ops.where(void, -ops.ones_like(y), y), num_classes, dtype="float32")


def _blend_weighted(y, mix, sample_weight):
    ops, dtype = _backend.ops_for(y), _backend.widened(_backend.dtype_of(y))
    w = ops.cast(sample_weight, dtype)
    while len(w.shape) > len(y.shape) and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    check_weight_rank(w.shape, y.shape)
    shares = [_backend.trailing(ops, ops.cast(share, dtype), len(w.shape)) for share in mix.shares]
    parts = [share * weight for share, weight in zip(shares, (w, *others_of(w, mix)), strict=True)]
    counts = sum(parts) != 0  # samples that all have weight 0 are blended plainly: their loss is not counted
    parts = [ops.where(counts, part, share) for part, share in zip(parts, shares, strict=True)]
    total = sum(parts)
    return blend_rows(y, others_of(y, mix), *(part / total for part in parts), dtype=dtype)


def check_classes(ops, indices, num_classes):
    """Returns class indices that lie in range; those of a TensorFlow graph are checked when it runs.

    Indices whose values are not known, or could only be read by waiting for an accelerator, pass.
    """
    expected = f"Class indices must lie between 0 and {num_classes - 1} (num_classes={num_classes}).\nReceived: from"
    options = (
        "\nOptions:\n  classes counted from 1: `y - 1`\n  more classes: a greater `num_classes`\n"
        "  an index that means no class: `ignore_class=255`, which gives a row of zeros"
    )
    if _backend.is_graph_tensor(indices):
        least, greatest = ops.min(indices), ops.max(indices)
        right = ops.logical_and(least >= 0, greatest < num_classes)
        return _backend.asserted(indices, right, [expected, least, "to", greatest, options])
    values = _backend.known_values(indices)
    if values is not None and values.size and not 0 <= values.min() <= values.max() < num_classes:
        raise ValueError(f"{expected} {values.min()} to {values.max()}.{options}")
    return indices


def check_weight_rank(weight_shape, label_shape):
    if len(weight_shape) > len(label_shape):
        raise ValueError(
            f"Sample weights of shape {tuple(weight_shape)} do not fit labels of shape {tuple(label_shape)}: "
            "expected one weight for each sample, `(batch,)`, or weights over leading axes of the labels, such as "
            "`(batch, time)` for labels `(batch, time, classes)`."
        )
