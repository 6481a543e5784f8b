"""A mix: the samples that are mixed into each row of a batch, and how much of each."""

from typing import Any

from keras_mixup import _backend


class Mix:
    """The draw for one batch: which rows are mixed into each row, and the share of each.

    Build one by hand to know exactly what is mixed:

    >>> import numpy as np
    >>> from keras_mixup.functional import Mix, blend
    >>> mix = Mix(weight=np.array([0.75, 1.0], "float32"), partner=np.array([1, 0]))
    >>> blend(np.array([0.0, 4.0], "float32"), mix).tolist()
    [1.0, 4.0]

    A mix of k samples has k shares and k - 1 partners. What is left out is computed: with `weight`, the other share is
    `1 - weight`; with `keep` or `owner`, the shares are those of the elements. `MixLayer.draw` may leave the partners
    out, which the layer then draws by its `pairing`.

    Args:
        shares: tuple of k floating arrays `(batch,)`, the share of the original sample, λ, and that of each partner.
            They sum to 1.
        partners: tuple of k - 1 integer arrays `(batch,)`, the rows that are mixed in.
        keep: for two samples, the share of each element that stays with the original, of the rank of the inputs and
            broadcastable to them. Boolean: an element is pasted as it is where `keep` is false. Floating: it is
            blended.
        owner: for any number of samples, the number of the sample that each element is taken from, as integers of the
            rank of the inputs and broadcastable to them: 0 for the original, i for `partners[i - 1]`.
        locality: set by the layers, for batches that are sharded over several devices.
        weight: the short way for two samples: floating `(batch,)`, λ.
        partner: the short way for two samples: integer `(batch,)`, the row that is mixed in.

    Attributes:
        weight: λ, the share of the original, `shares[0]`.
        partner: the first of the partners, `None` if there are none yet.
        elements: `keep` or `owner`; `None` if whole samples are blended.
    """

    def __init__(
        self,
        shares: Any = None,
        partners: tuple = (),
        keep: Any = None,
        owner: Any = None,
        locality: Any = None,
        *,
        weight: Any = None,
        partner: Any = None,
    ):
        if keep is not None and owner is not None:
            raise TypeError("A mix has `keep`, for two samples, or `owner`, for any number. Received: both.")
        if shares is not None and weight is not None:
            raise TypeError("A mix has `weight`, for two samples, or all `shares`. Received: both.")
        if partner is not None:
            partners = (partner,)
        if shares is None:
            shares = _shares(weight, partners, keep, owner)
        elif not isinstance(shares, tuple | list):  # λ alone
            shares = _shares(shares, partners, keep, owner)
        self.shares = shares
        self.weight = shares[0]
        self.partners = partners
        self.partner = partners[0] if partners else None
        self.keep = keep
        self.owner = owner
        self.elements = owner if keep is None else keep
        self.locality = locality

    def replace(self, **parts: Any) -> "Mix":
        """The same mix with other parts. Shares stay as they are unless they, or `weight`, are given."""
        kept = {name: getattr(self, name) for name in PARTS}
        if "weight" in parts:
            kept["shares"] = None
        return Mix(**{**kept, **parts})

    def with_elements(self, elements):
        """The same mix for other elements, such as those of labels."""
        return self.replace(**{"owner" if self.keep is None else "keep": elements})

    def by_sample(self):
        """The same mix for what belongs to whole samples."""
        return self.replace(keep=None, owner=None)

    def by_element(self):
        """The same mix as if each element were a sample: shares of the rank of the elements."""
        return self.replace(shares=element_shares(self), keep=None, owner=None)


PARTS = ("shares", "partners", "keep", "owner", "locality")


def _flatten(mix):
    return (mix.shares, mix.partners, mix.keep, mix.owner), mix.locality


def _unflatten(locality, parts):
    shares, partners, keep, owner = parts
    return Mix(shares, partners, keep, owner, locality)


_backend.register_tree(Mix, _flatten, _unflatten)


def _shares(weight, partners, keep, owner):
    if weight is not None:
        return weight, 1 - weight
    if keep is not None:
        return _means(_kept(keep))
    if owner is not None and partners:
        return _means(_owned(owner, len(partners) + 1))
    raise TypeError(
        "A mix needs the shares of its samples. Received: none.\nOptions:\n  `Mix(weight=..., partner=...)`\n"
        "  `Mix(keep=..., partner=...)`\n  `Mix(owner=..., partners=(...))`"
    )


def element_shares(mix):
    """The share of each sample in every element, `None` if whole samples are blended."""
    if mix.keep is not None:
        return _kept(mix.keep)
    return None if mix.owner is None else _owned(mix.owner, len(mix.shares))


def _kept(keep):
    keep = _backend.ops_for(keep).cast(keep, "float32")
    return keep, 1.0 - keep


def _owned(owner, count):
    ops = _backend.ops_for(owner)
    others = [ops.cast(owner == number, "float32") for number in range(1, count)]
    return 1.0 - sum(others), *others  # what no partner owns is the original's


def _means(parts):
    """The share of each sample, from those of the elements. A sample without elements stays as it is."""
    ops = _backend.ops_for(parts[0])
    sums = [ops.sum(part, axis=tuple(range(1, len(part.shape)))) for part in parts]
    total = sum(sums)
    empty = total == 0
    total = ops.where(empty, ops.ones_like(total), total)
    return ops.where(empty, total, sums[0]) / total, *(part / total for part in sums[1:])


def gated(ops, mix, chosen=None):
    """The mix for the rows that are `chosen`, all by default. Rows that take nothing are their own partners."""
    rows, mixed = _rows(ops, mix), False
    for partner, share in zip(mix.partners, mix.shares[1:], strict=True):
        mixed = ops.logical_or(mixed, ops.logical_and(partner != rows, share > 0))
    if len(mix.partners) > 1:  # of several partners each may have no share, and 0 times NaN is NaN
        pairs = zip(mix.partners, mix.shares[1:], strict=True)
        mix = mix.replace(partners=tuple(ops.where(share > 0, partner, rows) for partner, share in pairs))
    return only_where(ops, mixed if chosen is None else ops.logical_and(mixed, chosen), mix)


def only_where(ops, mixed, mix):
    """The mix, but rows where `mixed` is false are their own partners, so that nothing leaks into them."""
    rows = _rows(ops, mix)
    own, *others = mix.shares
    elements = mix.elements
    if elements is not None:
        own_elements = ops.ones_like(elements) if mix.owner is None else ops.zeros_like(elements)
        elements = ops.where(_backend.trailing(ops, mixed, len(elements.shape)), elements, own_elements)
        mix = mix.with_elements(elements)
    return mix.replace(
        shares=(
            ops.where(mixed, own, ops.ones_like(own)),
            *(ops.where(mixed, share, ops.zeros_like(share)) for share in others),
        ),
        partners=tuple(ops.where(mixed, partner, rows) for partner in mix.partners),
    )


def dominant(ops, mix):
    """The mix in which the original has the greater share of two."""
    if len(mix.shares) != 2 or mix.owner is not None:
        raise ValueError(
            f"`dominant` gives the original sample the greater of two shares. Received: a mix of {len(mix.shares)} "
            "samples.\nOption: `dominant=False`."
        )
    own, other = mix.shares
    return choose(ops, own < other, _swapped(ops, mix), mix)


def _swapped(ops, mix):
    own, other = mix.shares
    keep = mix.keep
    if keep is not None:
        keep = ops.logical_not(keep) if _backend.dtype_of(keep) == "bool" else 1.0 - keep
    return mix.replace(shares=(other, own), keep=keep)


def choose(ops, condition, mix, other):
    """Row by row one of two mixes, the first where `condition` is true. Both have their partners."""
    count = max(len(mix.shares), len(other.shares))
    pairs = list(zip(_padded(mix.partners, count - 1), _padded(other.partners, count - 1), strict=True))
    chosen = Mix(
        tuple(
            ops.where(condition, first, second)
            for first, second in zip(_all_shares(ops, mix, count), _all_shares(ops, other, count), strict=True)
        ),
        tuple(first if first is second else ops.where(condition, first, second) for first, second in pairs),
        locality=mix.locality if all(first is second for first, second in pairs) else None,
    )
    if mix.elements is None and other.elements is None:
        return chosen
    rank = len((other if mix.elements is None else mix).elements.shape)
    owned = count > 2 or mix.owner is not None or other.owner is not None
    first, second = (_elements(ops, one, rank, owned) for one in (mix, other))
    if _backend.dtype_of(first) != _backend.dtype_of(second):
        first, second = ops.cast(first, "float32"), ops.cast(second, "float32")
    elements = ops.where(_backend.trailing(ops, condition, rank), first, second)
    return chosen.replace(**{"owner" if owned else "keep": elements})


def _padded(partners, count):
    """As many partners; those that are missing have a share of 0."""
    return (*partners, *(partners[0] for _ in range(count - len(partners))))


def _all_shares(ops, mix, count):
    missing = count - len(mix.shares)
    return (*mix.shares, *(ops.zeros_like(mix.weight) for _ in range(missing)))


def _elements(ops, mix, rank, owned):
    """The elements of a mix, of λ where whole samples are blended; as numbers of samples if they must be `owned`."""
    if not owned:
        return _backend.trailing(ops, mix.weight, rank) if mix.keep is None else mix.keep
    if mix.owner is not None:
        return mix.owner
    if mix.keep is None or _backend.dtype_of(mix.keep) != "bool":
        raise ValueError(
            "A mix that takes each element from one of several samples cannot be drawn in turn with one that blends "
            "them. Received: both.\nOption: members that all paste, such as `RandomMix([Mosaic(), CutMix()])`."
        )
    return ops.where(mix.keep, 0, 1)


def _rows(ops, mix):
    partner = mix.partners[0]
    return ops.cast(ops.arange(ops.shape(partner)[0]), _backend.dtype_of(partner))
