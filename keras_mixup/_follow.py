"""How labels follow a mix in a loss or a metric: blended, or in pairs."""

import keras

from keras_mixup import _ops
from keras_mixup.functional import blend_labels


def like_predictions(y_true, y_pred):
    """Whether labels have the shape of the predictions, up to a last axis of size 1."""
    y, p = tuple(y_true.shape), tuple(y_pred.shape)
    if len(y) == len(p) + 1 and y[-1] == 1:
        y = y[:-1]
    if len(p) == len(y) + 1 and p[-1] == 1:
        p = p[:-1]
    return len(y) == len(p) and all(a == b or a is None or b is None for a, b in zip(y[1:], p[1:], strict=True))


def can_blend(y_true, y_pred):
    """Whether labels are blended if nobody says: each term of a masked loss has its own mask, so it needs pairs."""
    return like_predictions(y_true, y_pred) and _ReadMask()(y_pred) is None


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


def blended(mix, y_true, sample_weight):
    """Labels, and weights, of the blended samples."""
    ops = _ops.KERAS
    y_true = ops.convert_to_tensor(y_true)
    if "float" not in _ops.dtype_of(y_true):
        y_true = ops.cast(y_true, "float32")
    if sample_weight is None:
        return blend_labels(y_true, mix), None
    return blend_labels(y_true, mix, ops.convert_to_tensor(sample_weight))


def paired(mix, y_true, y_pred):
    """Every prediction twice, with its own labels and with its partner's: `(2 * batch, ...)`."""
    ops = _ops.KERAS
    y_true = ops.convert_to_tensor(y_true)
    doubled = [ops.concatenate([y_true, ops.take(y_true, mix.partner, axis=0)], axis=0)]
    doubled.append(ops.concatenate([y_pred, y_pred], axis=0))
    # A loss of scalar predictions `(batch,)` would average over the batch: give it an axis to average over.
    doubled = [ops.expand_dims(x, -1) if len(y_pred.shape) == 1 == len(x.shape) else x for x in doubled]
    mask = _ReadMask()(y_pred)
    if mask is not None:
        doubled[1] = _WriteMask()([doubled[1], ops.concatenate([mask, ops.take(mask, mix.partner, axis=0)], axis=0)])
    return doubled


def pair_weights(mix, sample_weight, shape):
    """The weights of the doubled rows: λ·w and (1 - λ)·w[partner], λ and 1 - λ in the given shape if there is no w."""
    ops = _ops.KERAS
    if sample_weight is None:
        own = other = ops.ones((shape[0] // 2, *shape[1:]))
    else:
        own = ops.cast(sample_weight, "float32")
        while len(own.shape) > len(shape) and own.shape[-1] == 1:
            own = ops.squeeze(own, -1)
        own = ops.reshape(own, tuple(ops.shape(own)) + (1,) * (len(shape) - len(own.shape)))
        other = ops.take(own, mix.partner, axis=0)
    column = (-1,) + (1,) * (len(own.shape) - 1)
    shares = [ops.reshape(mix.weight, column) * own, ops.reshape(mix.complement, column) * other]
    return ops.concatenate(shares, axis=0)


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
        return inputs[0]

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]
