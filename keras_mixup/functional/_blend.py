"""Blend the samples of a batch."""

import functools
from typing import Any

import keras
import numpy as np

from keras_mixup import _backend
from keras_mixup.functional._mix import Mix


def blend(x: Any, mix: Mix, dtype: str | None = None) -> Any:
    """Blends each sample with its partner: `x' = λ·x + (1 - λ)·x[partner]`.

    With `keep` each element has a share of its own instead of λ; elements are pasted as they are where `keep` is
    boolean, and where a mix has an `owner`. Blended numbers are computed in float32 or wider.

    Args:
        x: array or nest of arrays `(batch, ...)`; `None` is returned.
        mix: a `Mix`.
        dtype: String or `None`, the dtype of the result. By default it is that of each array, or float32 for integers
            that are blended. An integer `dtype` is rounded to.

    Returns:
        `x'`, in the shapes of `x`.

    Raises:
        TypeError: if the mix has no partners.
        ValueError: if `keep` or `owner` does not fit an array.

    References:
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 1.
    """
    if x is None:
        return None
    check_not_masked(x)
    if not mix.partners:
        raise TypeError("A mix needs its partners: `Mix(weight=..., partner=...)`, both of shape (batch,).")
    if mix.elements is None:
        rowwise, of_rows = functools.partial(blend_rows, dtype=dtype), mix.shares
    elif mix.owner is None:
        rowwise, of_rows = functools.partial(_paste_rows, dtype=dtype), (mix.keep,)
    else:
        rowwise, of_rows = functools.partial(_collect_rows, dtype=dtype), (mix.owner,)

    def blend_array(leaf):
        return _backend.in_one_pass(rowwise, leaf, mix.partners, of_rows, mix.locality)

    return keras.tree.map_structure(blend_array, x)


def blend_samples(x, mix, dtype):
    """Blends an array by the shares of its samples."""
    return blend_rows(x, others_of(x, mix), *mix.shares, dtype=dtype)


def others_of(x, mix):
    """`x[partner]` for each partner."""
    return [_backend.take_rows(x, partner, mix.locality) for partner in mix.partners]


def blend_rows(x, others, *shares, dtype=None):
    """`λ·x + (1 - λ)·other`, in float32 or wider, by shares that cover the leading axes of `x`.

    The arrays in `others` may be written over.
    """
    ops, dtype = _backend.ops_for(x), _result_dtype(x, dtype)
    wide = _backend.widened(dtype)
    own, *weights = (_backend.trailing(ops, ops.cast(share, wide), len(x.shape)) for share in shares)
    mixed = ops.weighted_sum(ops.cast(x, wide), own, ops.cast(others[0], wide), weights[0])
    for other, weight in zip(others[1:], weights[1:], strict=True):
        mixed = mixed + weight * ops.cast(other, wide)
    return ops.cast(mixed if _backend.is_float(dtype) else ops.round(mixed), dtype)


def _paste_rows(x, others, keep, dtype):
    """Element by element. Nothing of the other sample comes where none is wanted, not even a NaN."""
    ops = _backend.ops_for(x)
    keep, (other,) = fit_elements(ops, keep, x.shape), others
    if _backend.dtype_of(keep) == "bool":
        return ops.cast(ops.where(keep, x, other), dtype or _backend.dtype_of(x))
    keep, none = ops.cast(keep, _backend.widened(_result_dtype(x, dtype))), ops.zeros_like(x)
    own, other = ops.where(keep > 0, x, none), ops.where(keep < 1, other, none)
    return blend_rows(own, [other], keep, 1.0 - keep, dtype=dtype)


def _collect_rows(x, others, owner, dtype):
    """Each element from the sample that owns it."""
    ops = _backend.ops_for(x)
    owner, mixed = fit_elements(ops, owner, x.shape), x
    for number, other in enumerate(others, 1):
        mixed = ops.where(owner == number, other, mixed)
    return ops.cast(mixed, dtype or _backend.dtype_of(x))


def _result_dtype(x, dtype):
    if "float8" in _backend.dtype_of(x):
        raise TypeError(
            f"Floats of 8 bits are for storage, and cannot be mixed. Received: dtype {x.dtype}.\nOption: "
            "`keras.ops.cast(x, 'float16')`."
        )
    return dtype or (_backend.dtype_of(x) if "float" in _backend.dtype_of(x) else "float32")


def fit_elements(ops, elements, shape):
    """`keep` or `owner` for an array of this shape; it may lack the channels of the inputs, as a mask does."""
    if len(elements.shape) == len(shape) + 1:
        elements = ops.squeeze(elements, -1 if elements.shape[-1] == 1 else 1)
    check_elements(elements.shape, shape)
    return elements


def check_not_masked(nest):
    """The mask of a NumPy array would be lost."""
    if any(isinstance(x, np.ma.MaskedArray) for x in keras.tree.flatten(nest)):
        raise TypeError(
            "Masked arrays cannot be mixed: the mask would be lost. Received: numpy.ma.MaskedArray.\nOptions:\n"
            "  fill what is masked: `x.filled(0.0)`\n  masked labels: fill them, and give `sample_weight` 0 there"
        )


def check_elements(elements, shape):
    """The elements of a mix must be drawn for arrays of this shape."""
    sizes = zip(elements, shape, strict=False)
    if len(elements) != len(shape) or any(k not in (1, None) and n is not None and k != n for k, n in sizes):
        raise ValueError(
            f"A layer that pastes parts of samples needs arrays that are alike along the axes of the parts. "
            f"Received: an array of shape {tuple(shape)} for parts that were drawn for {tuple(elements)} (1: any). Mix "
            "arrays of other sizes or ranks with `MixUp`, or leave them out."
        )
