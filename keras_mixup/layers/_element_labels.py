"""Labels that are mixed together with inputs of which parts are pasted: by element, or by sample."""

import keras

from keras_mixup import _backend, _grid
from keras_mixup.functional import blend_element_labels, blend_labels


def blend_by_element(given, labels, mix, sample_weight=None):
    """Blends labels. Where a mix pastes: each element by its owner where they lie on the grid of the inputs.

    Labels `(batch,)` and `(batch, classes)` are those of samples, and follow by λ.

    Args:
        given: nest of labels as they were given; those of integers are class indices.
        labels: the same nest, encoded.
        mix: a `Mix`.
        sample_weight: `None`, an array, or a nest like the labels.

    Returns:
        The labels and the weights. Weights of labels of elements are those of the elements.
    """
    pairs = zip(keras.tree.flatten(given), keras.tree.flatten(labels), strict=True)
    mixes = [_mix_for(*pair, mix) for pair in pairs]
    if all(one.elements is None for one in mixes):
        return _blend(labels, mix.by_sample(), sample_weight)
    weights = _weight_for_each(labels, sample_weight)
    mixed = [_blend(y, one, weight) for y, one, weight in zip(keras.tree.flatten(labels), mixes, weights, strict=True)]
    labels = keras.tree.pack_sequence_as(labels, [y for y, _ in mixed])
    if sample_weight is not None:
        sample_weight = keras.tree.pack_sequence_as(sample_weight, [weight for _, weight in mixed])
    return labels, sample_weight


def _blend(y, mix, weight):
    if mix.elements is not None:
        return blend_element_labels(y, mix, weight)
    return (blend_labels(y, mix), None) if weight is None else blend_labels(y, mix, weight)


def _mix_for(given, y, mix):
    """The mix as it holds for the elements of labels, or for labels of samples."""
    if mix.elements is None or len(y.shape) < 3:
        return mix.by_sample()
    parts, labels = tuple(mix.elements.shape), tuple(y.shape)
    encoded = _backend.is_integer(_backend.dtype_of(given)) and len(given.shape) < len(labels)
    try:
        place = _grid.find(parts, labels, labels, (-1,) if encoded else None)
    except _grid.Unclear:
        raise _unclear(parts, labels) from None
    if place is None:
        return mix.by_sample()
    if place.flat and place.rank:  # patches of an image, or something else: nothing tells
        raise _unclear(parts, labels)
    return mix.with_elements(_grid.onto_labels(_backend.ops_for(y), mix.elements, place, len(labels)))


def _unclear(parts, labels):
    parts = tuple("any" if axis and size == 1 else size for axis, size in enumerate(parts))
    return ValueError(
        "Labels of more than one axis look like those of elements (pixels, time steps), but do not lie on the grid of "
        f"the inputs. Received: labels of shape {labels}, parts pasted in inputs of shape {parts}.\n"
        "Options: for labels of elements, the size of the inputs, or one that divides it, and classes along the last "
        "axis;\n"
        "for labels of whole samples, an array for each, `{'a': y[:, 0], 'b': y[:, 1]}`, which follow by λ;\n"
        "`MixUp` instead of a layer that pastes."
    )


def _weight_for_each(labels, sample_weight):
    """The weights of each array of labels."""
    leaves = keras.tree.flatten(labels)
    if sample_weight is None:
        return [None] * len(leaves)
    weights = keras.tree.flatten(sample_weight)
    if len(weights) != len(leaves):
        raise ValueError(
            "Labels of elements bring weights for their elements, so each array of labels needs its own weights here. "
            f"Received: {len(leaves)} arrays of labels, {len(weights)} of weights.\n"
            "Option: weights in the same nest as the labels, `{'mask': w, 'kind': w}`."
        )
    return weights
