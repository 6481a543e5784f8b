"""Blend the samples of a batch."""

import functools

import keras

from keras_mixup import _backend
from keras_mixup.functional._mix import shares, trailing


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
    check_keep(keep.shape, shape)
    return keep


def check_keep(keep, shape):
    """The elements to keep are told for arrays of this shape."""
    sizes = zip(keep, shape, strict=False)
    if len(keep) != len(shape) or any(k not in (1, None) and n is not None and k != n for k, n in sizes):
        raise ValueError(
            f"A layer that pastes parts of samples needs arrays that are alike along the axes of the parts. "
            f"Received: an array of shape {tuple(shape)} for parts that were drawn for {tuple(keep)} (1: any). Mix "
            "arrays of other sizes or ranks with `MixUp`, or leave them out."
        )
