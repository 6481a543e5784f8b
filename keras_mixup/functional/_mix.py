"""A mix: which rows are blended, and how much of each."""

from typing import Any, NamedTuple

from keras_mixup import _backend


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


def reverse_keep(ops, keep):
    """The elements of the partner, or their shares."""
    return ops.logical_not(keep) if _backend.dtype_of(keep) == "bool" else 1.0 - keep


def trailing(ops, x, rank):
    """`x` with axes of size 1 behind its own, up to `rank`."""
    return ops.reshape(x, tuple(ops.shape(x)) + (1,) * (rank - len(x.shape)))


def reverse(ops, mix):
    """The mix in which the partner has the share of the original."""
    keep = None if mix.keep is None else reverse_keep(ops, mix.keep)
    return mix._replace(weight=mix.complement, complement=mix.weight, keep=keep)


def selected(ops, condition, mix, other):
    """Row by row one of two mixes, whose partners are the same."""
    weight = ops.where(condition, mix.weight, other.weight)
    complement = ops.where(condition, mix.complement, other.complement)
    keeps = [m.keep for m in (mix, other) if m.keep is not None]
    if not keeps:
        return mix._replace(weight=weight, complement=complement)
    rank = len(keeps[0].shape)
    first, second = (trailing(ops, m.weight, rank) if m.keep is None else m.keep for m in (mix, other))
    if _backend.dtype_of(first) != _backend.dtype_of(second):
        first, second = ops.cast(first, "float32"), ops.cast(second, "float32")
    return mix._replace(
        weight=weight, complement=complement, keep=ops.where(trailing(ops, condition, rank), first, second)
    )


def only_where(ops, mixed, mix):
    """The mix, but rows where `mixed` is false are their own partner: nothing of another leaks into them."""
    return mix._replace(
        weight=ops.where(mixed, mix.weight, ops.ones_like(mix.weight)),
        complement=ops.where(mixed, mix.complement, ops.zeros_like(mix.complement)),
        partner=ops.where(mixed, mix.partner, _rows(ops, mix)),
        keep=None if mix.keep is None else _kept_where(ops, mixed, mix.keep),
    )


def _kept_where(ops, mixed, keep):
    mixed = trailing(ops, mixed, len(keep.shape))
    return ops.where(mixed, keep, ops.ones_like(keep))


def _rows(ops, mix):
    return ops.cast(ops.arange(ops.shape(mix.partner)[0]), _backend.dtype_of(mix.partner))
