"""Find, for each element of the labels, the element of the inputs that it belongs to.

Pure arithmetic on shapes. The inputs have an axis 0 for the batch, axes that the parts of a mix span, and axes of size
1 in `keep`, along which all elements have the same owner. The labels lie on a coarser or finer grid, or on one axis
that runs over all elements in row-major order.
"""

import itertools
import math
from fractions import Fraction
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where the spanned axes of the inputs lie in the labels."""

    inputs: tuple  # the spanned axes of the inputs
    labels: tuple  # for each of them the axis of the labels; one axis for all of them if they were flattened
    strides: tuple  # elements of the inputs for one of the labels; a fraction where there are several labels for one
    sizes: tuple  # elements after the stride, for each spanned axis
    features: int = 1  # values of each element that were flattened with it
    natural: bool = False  # whether the axes have kept their places
    channels_first: bool = False  # whether labels were read so

    @property
    def flat(self):
        return len(self.labels) < len(self.inputs) or self.features > 1

    @property
    def rank(self):
        """0: the grid of the inputs; 1: one stride along all axes; 2: a stride for each axis."""
        return 0 if set(self.strides) == {1} else min(2, len(set(self.strides)))

    @property
    def simplicity(self):
        return self.rank, self.features, self.channels_first and not self.natural


def stride(size, labels):
    """The stride that leads from `size` elements to those of the labels; `None` if there is none, or several.

    Sizes that are not known while a step is traced are taken for the same: if they are not, the step raises.
    """
    if None in (size, labels) or size == labels:
        return 1
    if size % labels == 0:
        return size // labels
    if labels % size == 0:
        return Fraction(size, labels)
    rounded = [s for s in range(2, size) if labels in (math.ceil(size / s), size // s)]  # "same" and "valid"
    return rounded[0] if len(rounded) == 1 else None


def spanned_axes(keep):
    return tuple(axis for axis in range(1, len(keep)) if keep[axis] != 1)


def places(keep, labels, grid, *, features=False):
    """Every place of the spanned axes of `keep`, a shape, among the axes `grid` of `labels`, a shape.

    `features`: whether the features of an element may have been flattened with it.
    """
    spanned, found = spanned_axes(keep), []
    for axes in _axes_kept(keep, spanned, len(grid)):
        onto = tuple(grid[i] for i in axes)
        strides = tuple(stride(keep[a], labels[b]) for a, b in zip(spanned, onto, strict=True))
        if None not in strides:
            found.append(Place(spanned, onto, strides, tuple(labels[axis] for axis in onto)))
    if len(grid) == 1:
        found += _flattened(keep, spanned, labels, grid[0], features)
    return list(dict.fromkeys(found))


def _axes_kept(keep, spanned, count):
    """Positions among `count` axes of the labels for the spanned axes, whose order never changes."""
    rank = len(keep) - 1
    if count == rank:
        yield tuple(axis - 1 for axis in spanned)
    if count == rank - 1:  # without the axis of the features, the last or the first
        if rank not in spanned:
            yield tuple(axis - 1 for axis in spanned)
        if 1 not in spanned:
            yield tuple(axis - 2 for axis in spanned)
    if count == len(spanned):
        yield tuple(range(count))


def _flattened(keep, spanned, labels, axis, features):
    """Places on one axis: one stride for all spanned axes, which divides their sizes."""
    sizes, count = [keep[a] for a in spanned], labels[axis]
    if count is None or None in sizes or not sizes:
        return
    strides = [Fraction(s) for s in range(1, max(sizes) + 1)] + [Fraction(1, s) for s in range(2, count + 1)]
    for s in strides:
        after = tuple(Fraction(size) / s for size in sizes)
        elements = math.prod(after)
        if any(size.denominator > 1 for size in after) or elements > count:
            continue
        if elements == count and len(spanned) > 1:
            yield Place(spanned, (axis,), (_plain(s),) * len(spanned), tuple(map(int, after)))
        elif features and s == 1 and count % elements == 0 and len(keep) - len(spanned) == 2:
            yield Place(spanned, (axis,), (1,) * len(spanned), tuple(map(int, after)), int(count // elements))


def _plain(number):
    return int(number) if number.denominator == 1 else number


class Reading(NamedTuple):
    """One way to read the axes of labels."""

    axes: tuple  # of the labels, along which lie elements
    in_predictions: tuple  # the same axes in the predictions
    channels_first: bool = False


class Unclear(Exception):
    """Labels are of elements, or may be, and shapes do not tell of which."""


def find(keep, labels, predictions, class_axes=None, *, forced=False):
    """The place of the elements of `keep` in the labels, all three given as shapes; `None` where labels are of samples.

    Args:
        class_axes: tuple, the axes of labels like the predictions along which lie classes; `None` if nobody knows.
        forced: whether labels are known to be of elements.

    Raises:
        Unclear: if shapes do not tell.
    """
    readings, settled = _readings(labels, predictions, class_axes)
    spanned = spanned_axes(keep)
    if not spanned or not readings or (settled and _all_ones(labels, readings[0].axes)):
        return None
    found = _found(keep, labels, predictions, readings, like=not settled)
    if forced:
        return _only(_best([place for place in found if place.natural] or found))
    if settled:
        return _settled(keep, found, spanned)
    if _all_ones(labels, range(1, len(labels) - 1)):
        return _of_one_axis(keep, labels, found, spanned)
    return _open(keep, labels, found, spanned)


def _readings(labels, predictions, class_axes):
    """Each way to read the labels, and whether they differ in no more than the axis of the classes."""
    if len(labels) > 1 and labels[-1] == 1 and len(predictions) in (len(labels) - 1, len(labels)):
        axes = tuple(range(1, len(labels) - 1))
        return ([Reading(axes, axes)] if alike(labels[:-1], predictions[: len(axes) + 1]) else []), True
    if len(labels) == len(predictions) - 1:
        axes = tuple(range(1, len(labels)))
        removed = without_one_axis(predictions, labels)
        return [Reading(axes, tuple(a + (a >= c) for a in axes)) for c in removed], True
    if len(labels) != len(predictions) or not alike(labels, predictions):
        return [], True
    every = tuple(range(1, len(labels)))
    if class_axes is not None:
        classes = {axis % len(labels) for axis in class_axes}
        axes = tuple(axis for axis in every if axis not in classes)
        return [Reading(axes, axes)], True
    readings = [Reading(axes, axes, first) for axes, first in ((every[:-1], False), (every[1:], True), (every, False))]
    return readings, False


def _found(keep, labels, predictions, readings, like):
    """The places of all readings, each once; on the one axis of `(batch, n)` there may be features too."""
    found: dict[tuple, Place] = {}
    for reading in readings:
        in_predictions = dict(zip(reading.axes, reading.in_predictions, strict=True))
        for place in places(keep, labels, reading.axes):
            natural = len(predictions) >= len(keep) and place.inputs == tuple(in_predictions[a] for a in place.labels)
            place = place._replace(natural=natural, channels_first=reading.channels_first)
            found[place[:4]] = max(place, found.get(place[:4], place), key=lambda one: one.natural)
    several = [place for place in places(keep, labels, (1,), features=True) if place.features > 1]
    return [*found.values(), *(several if like and len(labels) == 2 else [])]


def _settled(keep, found, spanned):
    """Labels whose axes are known to be those of elements."""
    winner = _best([place for place in found if place.natural] or found)
    if winner is not None and not _doubtful(keep, winner):
        return winner
    if not found and _only_last(keep, spanned):
        return None
    raise Unclear


def _of_one_axis(keep, labels, found, spanned):
    """Labels `(batch, n)`: n classes, or n elements if they are exactly as many."""
    exact = [place for place in found if place.rank == 0 and None not in (*place.sizes, *(keep[a] for a in spanned))]
    if not exact:
        return None
    winner = _best(exact)
    if winner is None or len(spanned) == 1 or winner.features > 1 or _doubtful(keep, winner):
        if len(spanned) == 1 and all(place.features > 1 for place in exact):
            return None
        raise Unclear
    return winner


def _open(keep, labels, found, spanned):
    """Labels like the predictions, in which classes may lie along the last axis, the first, or none."""
    if not found and _only_last(keep, spanned):
        return None
    winner = _only(_best(found))
    on_last = len(labels) - 1 in winner.labels and (winner.rank > 0 or len(spanned) == 1)
    moved = not winner.natural and any(place.natural for place in found)
    elsewhere = winner.flat and any(place.flat and place.labels != winner.labels for place in found)
    if on_last or moved or elsewhere or _doubtful(keep, winner):
        raise Unclear
    return winner


def _best(found):
    """The place that explains the sizes by the simplest strides; `None` if there are several, or none."""
    if not found:
        return None
    simplest = min(place.simplicity for place in found)
    found = [place for place in found if place.simplicity == simplest]
    return found[0] if len(found) == 1 else next((place for place in found if place.natural), None)


def _only(place):
    if place is None:
        raise Unclear
    return place


def _doubtful(keep, place):
    """Whether the axes have moved, though more than the features are left out: they may be axes of elements."""
    left_out = len(keep) - 1 - len(place.inputs)
    return not place.natural and ((place.flat and left_out > 1) or _only_last(keep, place.inputs))


def _only_last(keep, spanned):
    """Whether parts span the last axis alone, where others go before it: those may be the axes of the labels."""
    return spanned == (len(keep) - 1,) and len(keep) > 2


def _all_ones(shape, axes):
    return all(shape[axis] == 1 for axis in axes)


def onto_labels(ops, keep, place: Place, label_rank: int) -> Any:
    """`keep` for the elements of labels of this rank; of size 1 along their other axes."""
    for axis, step, size in zip(place.inputs, place.strides, place.sizes, strict=True):
        if step > 1:
            begin = (slice(None),) * axis
            keep = keep[(*begin, slice(0, (size - 1) * step + 1, step))]
        elif step < 1:
            keep = _repeated(ops, keep, step.denominator, axis)
    shape = list(ops.shape(keep))
    if place.features > 1:
        axis = next(a for a in range(1, len(shape)) if a not in place.inputs)
        keep, shape[axis] = _repeated(ops, keep, place.features, axis), place.features
    if place.flat:
        sizes = {place.labels[0]: math.prod(shape[1:])}
    else:
        sizes = dict(zip(place.labels, (shape[axis] for axis in place.inputs), strict=True))
    return ops.reshape(keep, [shape[0], *(sizes.get(axis, 1) for axis in range(1, label_rank))])


def _repeated(ops, x, times, axis):
    """Each element along an axis several times."""
    return ops.take(x, ops.floor_divide(ops.arange(ops.shape(x)[axis] * times), times), axis=axis)


def alike(shape, other):
    """Whether two shapes agree from axis 1 on, as far as sizes are known."""
    return len(shape) == len(other) and all(
        None in (a, b) or a == b for a, b in itertools.islice(zip(shape, other, strict=True), 1, None)
    )


def without_one_axis(shape, other):
    """The axes of `shape` without which it is `other`."""
    if len(other) != len(shape) - 1:
        return []
    return [axis for axis in range(1, len(shape)) if alike((*shape[:axis], *shape[axis + 1 :]), other)]
