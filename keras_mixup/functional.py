"""The pure core: a mix, how it is drawn, how it is applied. No layer, no state.

Everywhere `weight` is λ of the paper, the share of the original sample; `partner` is the index of the row that
is blended into it. All functions work on tensors of the Keras backend, on NumPy arrays, and on the tensors of
a TensorFlow graph while Keras runs on another backend.

References:
    - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 1.
"""

import functools
from typing import Any, NamedTuple

import keras

from keras_mixup import _backend, _batch_checks, _checks
from keras_mixup._random import Random, key_of

__all__ = [
    "Mix",
    "Random",
    "blend",
    "blend_element_labels",
    "blend_labels",
    "draw_partners",
    "draw_weights",
    "encode_labels",
    "random",
    "shares",
]


class Mix(NamedTuple):
    """The draw for one batch: which rows are blended, and how much of each.

    Build one by hand to know exactly what is mixed:

    >>> import numpy as np
    >>> from keras_mixup.functional import Mix, blend
    >>> mix = Mix(weight=np.array([0.75, 1.0], "float32"), partner=np.array([1, 0]))
    >>> blend(np.array([0.0, 4.0], "float32"), mix).tolist()
    [1.0, 4.0]

    Args:
        weight: `(batch,)` floating, λ, the share of the original sample. Not needed with `keep`.
        complement: `(batch,)` floating, the share of the partner. Layers keep both weights, because `1 - weight`, the
            default, loses the smaller one in float32.
        partner: `(batch,)` integer, the row that is blended in.
        keep: `None`, or the share of each element that stays, of the rank of the inputs and broadcastable to them.
            Boolean: elements are pasted, whatever they are, where it is false. Floating: they are blended. `weight` is
            its mean over each sample, and is computed if it is not given.
        reach: `None`, or what is known of the partners beforehand, so that a batch which is sharded over devices needs
            not be gathered on each of them: `"roll"`, each is the row before; an integer, each lies in the same of
            that many equal parts of the batch. Rows may be their own partners, too.
    """

    weight: Any = None
    complement: Any = None
    partner: Any = None
    keep: Any = None
    reach: Any = None


def shares(mix):
    """λ and 1 - λ of a mix, each `(batch,)`."""
    if mix.partner is None:
        raise TypeError("A mix needs its partners: `Mix(weight=..., partner=...)`, both of shape (batch,).")
    mix = whole(mix)
    return mix.weight, mix.complement


def whole(mix):
    """The mix with both shares: from `keep`, or the one from the other."""
    if mix.complement is not None:
        return mix
    if mix.weight is not None:
        return mix._replace(complement=1 - mix.weight)
    ops = _backend.ops_for(mix.keep)
    keep = ops.cast(mix.keep, "float32")
    elements = tuple(range(1, len(keep.shape)))
    kept, lost = ops.sum(keep, axis=elements), ops.sum(1.0 - keep, axis=elements)
    empty = kept + lost == 0  # samples without elements stay as they are
    kept, total = ops.where(empty, ops.ones_like(kept), kept), ops.where(empty, ops.ones_like(kept), kept + lost)
    return mix._replace(weight=kept / total, complement=lost / total)


def random(seed, like=None):
    """The random source for a `seed`: an integer, or an integer tensor of shape `()` or `(2,)`.

    `like`, an array or a nest of them, says where the numbers are to be made; the Keras backend if not given.

    >>> from keras_mixup import functional
    >>> functional.random(seed=0).uniform((3,)).shape[0]
    3
    """
    ops = _backend.KERAS if like is None else _backend.ops_for(like)
    return Random(ops, key_of(ops, seed))


SMALLEST = 1.1754944e-38  # number that all places tell from 0: compiled ones flush smaller ones to it


def draw_weights(random, shape, alpha):
    """Draws λ ~ Beta(alpha, alpha) and returns `(λ, 1 - λ)`, both with full relative precision.

    Two uniform numbers a draw, no rejection (Devroye 1996, after Bailey's polar method for Student's t), so it
    compiles everywhere. With U, V uniform, W = U^(1/α), r = (1 - W)·cos²(πV): the smaller weight is
    m = ½·(W / (W + r)) / (1 + √(r / (W + r))), the sign of cos(πV) says whose it is.

    Args:
        random: the random source.
        shape: tuple, the shape of the draws.
        alpha: Float >= 0, a schedule, or a scalar tensor. 0 means no mixing, λ = 1.
    """
    ops = random.ops
    alpha = random.value(_checks.check_number("alpha", alpha) if _checks.static_shape(alpha) is None else alpha)
    uniform = random.uniform((2, *shape))
    u, v = uniform[0], uniform[1]
    alpha = ops.cast(alpha, "float32")
    log_w = ops.log(u) / ops.maximum(alpha, 1e-30)
    w, cosine = ops.exp(log_w), ops.cos(v * 3.14159265)
    r = -ops.expm1(log_w) * cosine * cosine
    smaller = 0.5 * (w / (w + r)) / (1.0 + ops.sqrt(r / (w + r)))
    first = cosine >= 0
    weight = ops.where(first, 1.0 - smaller, smaller)
    complement = ops.where(first, smaller, 1.0 - smaller)
    off = alpha < SMALLEST
    return ops.where(off, ops.ones_like(weight), weight), ops.where(off, ops.zeros_like(weight), complement)


def draw_partners(random, batch, pairing="shuffle", parts=1):
    """Draws the partner of each row; none is its own, unless there is one row only.

    Args:
        random: the random source.
        batch: the number of rows, an integer or a scalar tensor.
        pairing: `"shuffle"`, a uniformly drawn cycle through all rows, or `"roll"`, the row before.
        parts: the number of equal parts of the batch, such as those on several devices, each with a cycle of its own.
    """
    ops = random.ops
    rows = ops.arange(batch)
    if pairing == "roll":
        return ops.where(rows > 0, rows, batch) - 1
    cycle = ops.argsort(ops.reshape(random.uniform((batch,)), (parts, -1)), axis=-1)
    follower = ops.roll(cycle, -1, -1)
    within = ops.take_along_axis(follower, ops.argsort(cycle, axis=-1), axis=-1)
    first = ops.reshape(rows, (parts, -1))[:, :1]
    return ops.reshape(ops.cast(within, _backend.dtype_of(rows)) + first, (batch,))


def blend(x, mix, dtype=None):
    """`x' = λ·x + (1 - λ)·x[partner]`, for an array or a nest of arrays `(batch, ...)`.

    A mix with `keep` has a share for each element instead of λ; a boolean one pastes elements as they are. Computed in
    float32 or wider, and returned in `dtype` (by default the array's own, float32 for integers that are blended). An
    integer `dtype` is rounded to.
    """
    if x is None:
        return None
    rowwise, of_rows = (_blend, shares(mix)) if mix.keep is None else (_paste, (mix.keep,))
    rowwise = functools.partial(rowwise, dtype=dtype)
    return keras.tree.map_structure(
        lambda leaf: _backend.in_one_pass(rowwise, leaf, mix.partner, of_rows, mix.reach), x
    )


def partners_of(x, mix):
    """`x[partner]`."""
    return _backend.take_rows(x, mix.partner, mix.reach)


def blend_labels(labels, mix, sample_weight=None):
    """Blends floating labels `(batch, ...)`; with `sample_weight`, returns `(labels, sample_weight)`.

    A weighted loss has the terms `λ·w_a·L(y_a) + (1 - λ)·w_b·L(y_b)`. For a loss linear in the labels that is
    one term with the weight `w' = λ·w_a + (1 - λ)·w_b` and the labels blended in the proportion of the two parts
    of `w'`.

    Args:
        labels: floating array or nest of them; see `encode_labels` for class indices.
        mix: a `Mix`.
        sample_weight: `None`, an array `(batch,)` or with further leading axes of the labels, or a nest like
            the labels.
    """
    if sample_weight is None:
        return keras.tree.map_structure(lambda y: _weigh(y, mix), labels)
    weights = keras.tree.map_structure(lambda w: _weigh(w, mix), sample_weight)
    if keras.tree.is_nested(sample_weight):
        mixed = keras.tree.map_structure_up_to(
            sample_weight,
            lambda w, y: keras.tree.map_structure(lambda leaf: _blend_weighted(leaf, mix, w), y),
            sample_weight,
            labels,
        )
    else:
        mixed = keras.tree.map_structure(lambda y: _blend_weighted(y, mix, sample_weight), labels)
    return mixed, weights


def blend_element_labels(labels, mix, sample_weight=None):
    """Blends labels of elements, such as pixels, each by the share of its own element.

    Args:
        labels: floating or boolean array `(batch, ...)`.
        mix: a `Mix` whose `keep` fits the labels; of size 1 along the axis of the classes.
        sample_weight: `None`, or an array `(batch,)` or with further leading axes of the labels.

    Returns:
        The labels, and the weights of their elements, `None` if there are none.
    """
    if sample_weight is None:
        return blend(labels, mix, _label_dtype(labels)), None
    ops = _backend.ops_for(labels)
    own, other = (ops.cast(share, "float32") for share in (mix.keep, reverse_keep(ops, mix.keep)))
    weight = trailing(ops, ops.cast(sample_weight, "float32"), len(own.shape))
    weight = ops.copy(ops.broadcast_to(weight, ops.shape(own)))
    elements = mix._replace(weight=own, complement=other, keep=None)  # as if each were a sample
    labels, weight = blend_labels(labels, elements, weight)
    return labels, ops.squeeze(weight, -1) if weight.shape[-1] == 1 else weight


def encode_labels(labels, num_classes, ignore_class=None):
    """Returns class indices as one-hot rows, and floating labels as they are.

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
        return ops.one_hot(_batch_checks.check_classes(ops, y, num_classes), num_classes, dtype="float32")
    void = y == ignore_class
    y = _batch_checks.check_classes(ops, ops.where(void, ops.zeros_like(y), y), num_classes)
    return ops.one_hot(ops.where(void, -ops.ones_like(y), y), num_classes, dtype="float32")


def _blend(x, partner, weight, complement, dtype=None):
    """`λ·x + (1 - λ)·x[partner]`, in float32 or wider, by shares that cover the leading axes of `x`.

    The rows of the partners are its own to write on.
    """
    ops, dtype = _backend.ops_for(x), _blended_dtype(x, dtype)
    wide = _backend.widened(dtype)
    weight, complement = (trailing(ops, ops.cast(w, wide), len(x.shape)) for w in (weight, complement))
    mixed = ops.weighted_sum(ops.cast(x, wide), weight, ops.cast(partner, wide), complement)
    return ops.cast(mixed if _backend.is_float(dtype) else ops.round(mixed), dtype)


def _paste(x, partner, keep, dtype):
    """Element by element. Where nothing of the partner is wanted nothing of it comes, were it not even a number."""
    ops = _backend.ops_for(x)
    keep = fit_keep(ops, keep, x.shape)
    if _backend.dtype_of(keep) == "bool":
        return ops.cast(ops.where(keep, x, partner), dtype or _backend.dtype_of(x))
    keep, none = ops.cast(keep, _backend.widened(_blended_dtype(x, dtype))), ops.zeros_like(x)
    return _blend(ops.where(keep > 0, x, none), ops.where(keep < 1, partner, none), keep, 1.0 - keep, dtype)


def _blended_dtype(x, dtype):
    return dtype or (_backend.dtype_of(x) if "float" in _backend.dtype_of(x) else "float32")


def fit_keep(ops, keep, shape):
    """`keep` for an array without the channels of the inputs, such as a mask of classes, loses its axis of size 1."""
    if len(keep.shape) == len(shape) + 1:
        keep = ops.squeeze(keep, -1 if keep.shape[-1] == 1 else 1)
    _batch_checks.check_keep(keep.shape, shape)
    return keep


def reverse_keep(ops, keep):
    """The elements of the partner, or their shares."""
    return ops.logical_not(keep) if _backend.dtype_of(keep) == "bool" else 1.0 - keep


def _weigh(x, mix):
    """`x` blended by λ, in float32 or wider: labels and weights."""
    weight, complement = shares(mix)
    return _blend(x, partners_of(x, mix), weight, complement, _label_dtype(x))


def _blend_weighted(y, mix, sample_weight):
    ops = _backend.ops_for(y)
    dtype = _label_dtype(y)
    w = ops.cast(sample_weight, dtype)
    while len(w.shape) > len(y.shape) and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    _batch_checks.check_weight_rank(w.shape, y.shape)
    weight, complement = (trailing(ops, ops.cast(x, dtype), len(w.shape)) for x in shares(mix))
    own, other = weight * w, complement * partners_of(w, mix)
    counts = own + other != 0  # two samples of weight 0 are blended plainly: their loss is not counted
    own, other = ops.where(counts, own, weight), ops.where(counts, other, complement)
    return _blend(y, partners_of(y, mix), own / (own + other), other / (own + other), dtype)


def _label_dtype(y):
    return _backend.widened(_backend.dtype_of(y))


def trailing(ops, x, rank):
    """`x` with axes of size 1 behind its own, up to `rank`."""
    return ops.reshape(x, tuple(ops.shape(x)) + (1,) * (rank - len(x.shape)))
