"""Check what a loss or a metric is to follow: what was expected, what was received, the fix as code."""

import keras


def check_batch(mix, y_pred):
    """A mix of as many rows as the predictions have."""
    rows, batch = mix.weight.shape[0], y_pred.shape[0]
    if rows is not None and batch is not None and rows != batch:
        raise ValueError(
            f"The mix of this step has {rows} rows, the predictions have {batch}. A loss can follow a mix only row "
            "by row. If the model folds other axes into the batch axis after the mixing layer, or splits it, mix "
            "in the input pipeline instead: `mixup.mix_dataset(dataset)`."
        )


def unclear(follower, keep, labels, predictions):
    """The error where shapes do not tell which element of the inputs a label belongs to."""
    parts = tuple("any" if axis and size == 1 else size for axis, size in enumerate(keep))
    name = type(follower).__name__
    received = (
        f"Received: parts pasted in inputs of shape {_text(parts)}, labels of shape {_text(labels)}, predictions of "
        f"shape {_text(predictions)}.\n"
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
        f"samples. Received: predictions of shape {_text(predictions)}, values of shape {_text(values)}.\n"
        "Options: a loss with a value for each element; labels with the shape of the predictions, without sample "
        "weights, `pairwise=False`; `by='sample'`, one λ for all labels of a sample."
    )


def check_sparse(follower, labels, predictions):
    """Class indices have one axis less than the predictions, or one of size 1."""
    if len(labels) == len(predictions) and labels[-1] not in (1, None):
        raise ValueError(
            f"Loss {follower.name!r} takes class indices. Received: labels of shape {_text(labels)} for predictions "
            f"of shape {_text(predictions)}.\n"
            "Options: for one-hot labels `MixLoss(keras.losses.CategoricalCrossentropy(...))`; for class indices "
            f"labels of shape {_text(predictions[:-1])}."
        )


def check_blendable(follower, labels, predictions):
    """Class indices are not blended: between class 3 and class 8 lies no class."""
    if len(labels) == len(predictions) - 1 and predictions[-1] != 1:
        raise ValueError(
            f"`{type(follower).__name__}` {follower.name!r} was told pairwise=False, and class indices cannot be "
            f"blended. Received: labels of shape {_text(labels)}, predictions of shape {_text(predictions)}.\n"
            "Options: leave `pairwise` out; or one-hot labels, `keras.ops.one_hot(y, num_classes)`."
        )


def check_known_classes(follower, labels, predictions):
    """Labels whose last axis is known, so that class indices and one-hot rows can be told apart."""
    if len(labels) == len(predictions) and labels[-1] is None and predictions[-1] not in (1, None):
        raise ValueError(
            f"Loss {follower.name!r} cannot tell class indices from one-hot labels. Received: labels of shape "
            f"{_text(labels)}, predictions of shape {_text(predictions)}.\n"
            "Options: labels of a known shape, `y.set_shape((None, num_classes))`; `pairwise=True` for class indices; "
            "`pairwise=False` for one-hot labels."
        )


def calls_only_call(loss):
    """Whether `call` is all that a loss computes, apart from Keras' weighting and reduction."""
    return type(loss).__call__ is keras.losses.Loss.__call__


def check_call_followed(loss):
    """In pairs `call` gives the values of each label set."""
    if not calls_only_call(loss):
        raise ValueError(
            f"`{type(loss).__name__}` overrides `__call__`, which pairs of labels would leave out. Received: labels "
            "that must follow in pairs (class indices, a mask, or `pairwise=True`).\n"
            "Options: override `call(self, y_true, y_pred)` instead, with a value for each sample; or labels with the "
            "shape of the predictions (one-hot), which are blended, `pairwise=False`."
        )


def one_number(follower):
    return ValueError(
        f"Loss {follower.name!r} gives one number for the whole batch, so its labels cannot be followed in pairs of "
        "samples. Options: a loss with a value for each sample; labels with the shape of the predictions (one-hot), "
        f"which are blended: `MixLoss({type(follower.loss).__name__}(...), pairwise=False)`."
    )


def check_not_wrapped(wrapper, wrapped):
    """What is wrapped twice would follow twice."""
    if isinstance(wrapped, type(wrapper)):
        raise TypeError(
            f"`{type(wrapper).__name__}` wraps a plain loss or metric. Received: {wrapped!r}. Use it as it is."
        )


def check_pairs_of_metric(metric, refused):
    """A metric that keeps its meaning when it is updated with both label sets."""
    if refused:
        raise ValueError(
            f"Metric {metric.name!r} {refused}, so it cannot be updated with both label sets of a mix. Received: "
            f"pairwise=True, the default.\nOptions: blended labels, `MixMetric({type(metric).__name__}(...), "
            "pairwise=False)`; or measure it on clean data only, in `evaluate`."
        )


def _text(shape):
    return (
        "(" + ", ".join("?" if size is None else str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
    )
