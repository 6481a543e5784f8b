"""Checks of what a batch holds, and the texts: what was expected, what was received, the fix as code, why."""

import keras

from keras_mixup import _ops
from keras_mixup._checks import static_shape

SAMPLE_ROLES = ("images", "labels", "sample_weights", "segmentation_masks", "bounding_boxes")


def check_inputs(dtype):
    """Inputs are floats, or images as bytes."""
    if _ops.is_mixable(dtype):
        return
    raise TypeError(
        f"Inputs must be floating or uint8 (images, 0 to 255) to be mixed. Received: inputs of dtype {dtype}. "
        "If they are measurements, cast them: `x.astype('float32')`. If they are tokens or categories, mix their "
        "embeddings: put the layer behind `keras.layers.Embedding`. Between token 3 and token 8 lies nothing."
    )


def check_dtype(dtype, of_inputs):
    """Mixed inputs come out in a floating dtype, and bytes as bytes if that is asked for."""
    if "float" in dtype or (dtype == "uint8" and set(of_inputs) == {"uint8"}):
        return dtype
    raise ValueError(
        'Invalid value for argument `dtype`: expected a floating dtype, or "uint8" for inputs of dtype uint8, '
        f"which are then rounded. Received: dtype={dtype!r}. Other numbers between two integers would be lost."
    )


def check_labels(dtype, shape, num_classes):
    """Labels are floats, or class indices with `num_classes`."""
    if "float" in dtype or dtype == "bool":
        return
    received = f"Received: labels of dtype {dtype} and shape {tuple(shape)}"
    if "int" not in dtype:
        raise TypeError(
            f"Labels must be floating, boolean or class indices to be mixed. {received}. Take them out of the "
            "element before the mix and put them back after it."
        )
    if num_classes is None:
        raise ValueError(
            f"Integer labels cannot be mixed as they are. {received}, and num_classes=None. If they are class "
            "indices, say how many classes there are, and they come out as one-hot rows: "
            "`MixUp(..., num_classes=10)`, with `CategoricalCrossentropy` as the loss. If they are binary, "
            "one-hot, multi-hot or counts, cast them: `y.astype('float32')`. Halfway between class 3 and class 8 "
            "lies no class, and integers do not tell which of these they are."
        )
    if len(shape) > 1 and shape[-1] in (num_classes, None) and num_classes > 1:
        raise ValueError(
            f"Integer labels whose last axis has, or may have, num_classes={num_classes} entries can be class indices "
            f"or one-hot rows. {received}. One-hot or multi-hot: cast them, `y.astype('float32')`. Class indices: "
            f"encode them yourself, `keras.ops.one_hot(y, {num_classes})`."
        )


def check_use_of_classes(labels, num_classes):
    """If there are `num_classes`, some labels are class indices, or encoded ones: `(dtype, shape)` of each."""
    used = [_ops.is_integer(dtype) or (len(shape) > 1 and shape[-1] in (num_classes, None)) for dtype, shape in labels]
    if labels and not any(used):
        dtype, shape = labels[0]
        raise ValueError(
            f"num_classes={num_classes} was given, but no labels are class indices. Received: labels of dtype {dtype} "
            f"and shape {tuple(shape)}. If they are class indices that became floating (Keras' image layers do that to "
            "the labels of a sample dict), cast them back: `tf.cast(y, 'int32')`. If they are numbers, leave "
            "num_classes out. Class 3 and class 8 averaged would be class 5.5."
        )


def check_classes(ops, indices, num_classes):
    """Returns class indices that lie in range; those of a TensorFlow graph are checked when it runs.

    Indices whose values are not known, or could only be read by waiting for an accelerator, pass.
    """
    expected = f"Class indices must lie between 0 and {num_classes - 1} (num_classes={num_classes}).\nReceived: from"
    options = (
        "\nOptions:\n  classes counted from 1: `y - 1`\n  more classes: a greater `num_classes`\n"
        "  an index that means no class: `ignore_class=255`, which gives a row of zeros"
    )
    if _ops.is_graph_tensor(indices):
        least, greatest = ops.min(indices), ops.max(indices)
        right = ops.logical_and(least >= 0, greatest < num_classes)
        return _ops.asserted(indices, right, [expected, least, "to", greatest, options])
    values = _ops.known_values(indices)
    if values is not None and values.size and not 0 <= values.min() <= values.max() < num_classes:
        raise ValueError(f"{expected} {values.min()} to {values.max()}.{options}")
    return indices


def check_rows(leaves):
    """Every leaf is a dense array with a batch axis, and all have the same number of rows where it is known.

    `leaves`: pairs of a word for the leaf and the leaf.
    """
    known: dict[int, str] = {}
    for where, leaf in leaves:
        shape = static_shape(leaf)
        if isinstance(leaf, int | float) or shape == ():
            raise ValueError(
                f"{where} must be arrays with a batch axis. Received: {_describe(leaf)}. Of a list of numbers make an "
                f"array, `np.asarray(...)`: lists are nests of arrays. {_BATCH_FIRST}"
            )
        if not shape:
            raise ValueError(
                f"{where} must be dense arrays with a batch axis and a known rank. "
                f"Received: {_describe(leaf)}. {_BATCH_FIRST}"
            )
        if isinstance(shape[0], int):
            known.setdefault(shape[0], f"{where} of shape {shape}")
    if len(known) > 1:
        raise ValueError(
            "Inputs, labels and sample weights must have the same batch size (axis 0). Received: "
            f"{', '.join(known.values())}. {_BATCH_FIRST}"
        )


def check_hidden_rows(first, now):
    """The hidden states of one batch have one number of rows at all depths. Both are lists of shapes."""
    rows = {shape[0] for shape in (first, *now) if isinstance(shape[0], int)}
    if len(rows) > 1:
        raise ValueError(
            "The hidden states must have the same batch size (axis 0) at every depth where they may be mixed. "
            f"Received: shapes {first} and {now[0]}. Leave out the depths where other axes are folded into the batch "
            "axis."
        )


def check_weight_rank(weight_shape, label_shape):
    if len(weight_shape) > len(label_shape):
        raise ValueError(
            f"Sample weights of shape {tuple(weight_shape)} do not fit labels of shape {tuple(label_shape)}: "
            "expected one weight for each sample, `(batch,)`, or weights over leading axes of the labels, such as "
            "`(batch, time)` for labels `(batch, time, classes)`."
        )


def check_one_label(labels):
    """The one array of labels, by which samples are paired."""
    leaves = [] if labels is None else keras.tree.flatten(labels)
    if len(leaves) != 1:
        raise ValueError(
            "To pair samples by their labels there must be one array of them. Received: "
            f'{len(leaves)} arrays. Pair by `pairing="shuffle"`, or draw the partners by a `pairing` of your own.'
        )
    return leaves[0]


def check_keep(keep, shape):
    """The elements to keep are told for arrays of this shape."""
    sizes = zip(keep, shape, strict=False)
    if len(keep) != len(shape) or any(k not in (1, None) and n is not None and k != n for k, n in sizes):
        raise ValueError(
            f"A layer that pastes parts of samples needs arrays that are alike along the axes of the parts. "
            f"Received: an array of shape {tuple(shape)} for parts that were drawn for {tuple(keep)} (1: any). Mix "
            "arrays of other sizes or ranks with `MixUp`, or leave them out."
        )


def check_span(axes, shape):
    """A box has axes of its own behind the batch axis; those of an image are known."""
    if axes is None:
        raise ValueError(
            f"A box spans the height and the width of images, `(batch, height, width, channels)`. Received: inputs of "
            f"shape {tuple(shape)}. For other inputs say along which axes the box is to be cut, counted from the batch "
            "axis 0: `axes=(1,)` for time series `(batch, time, features)`, `axes=(1, 2, 3)` for video or volumes."
        )
    if any(axis >= len(shape) for axis in axes):
        raise ValueError(f"There is no such axis: axes={axes}. Received: inputs of shape {tuple(shape)}.")


def check_sample_keys(sample):
    """A sample dict holds Keras' keys and nothing else."""
    unknown = sorted(str(key) for key in sample if key not in SAMPLE_ROLES)
    if unknown:
        raise ValueError(
            f"A dict that holds `images` is a sample of Keras' preprocessing layers, with the keys {SAMPLE_ROLES}. "
            f"Received also: {unknown}. Their role in a mix is unknown; take them out before it and put them back "
            "after it. If the dict is one of several model inputs, rename `images`."
        )
    if "bounding_boxes" in sample:
        raise ValueError(
            "Bounding boxes cannot be mixed yet. Received: a sample with the key 'bounding_boxes'. Leaving them as "
            "they are would lose the boxes of the partner."
        )


def check_no_extra_labels(labels, sample_weight):
    if labels is not None or sample_weight is not None:
        raise ValueError(
            "A sample dict brings its own labels and weights. Received: a dict that holds `images`, and `labels` or "
            "`sample_weight` beside it. Put them into the dict, under 'labels' and 'sample_weights'."
        )


def check_weights_have_labels(labels, sample_weight):
    if sample_weight is not None and labels is None:
        raise ValueError(
            "Sample weights were given without labels. Pass both: `layer(x, y, sample_weight, training=True)`, or "
            "`labels=()` if there are none. Labels are blended in proportion to the weights of the two samples."
        )


def check_labels_in_dataset(labels):
    if labels is None:
        raise ValueError(
            "In a `tf.data` map the labels must be mixed together with the inputs. Received: inputs alone, with "
            "training=True. Pass both: `dataset.map(lambda x, y: mixup(x, y, training=True))`, or "
            "`mixup.mix_dataset(dataset)`. If there are no labels at all, say so: `mixup(x, labels=(), "
            "training=True)`. Labels that stay behind would be hard targets for blended inputs."
        )


def check_dataset_element(element):
    """The arguments of a call for the element of a dataset: `(x, y)`, `(x, y, sample_weight)` or a sample dict."""
    if isinstance(element, dict) and "images" in element:
        return (element,)
    if isinstance(element, tuple) and len(element) in (2, 3):
        return element
    raise ValueError(
        "A dataset to mix must hold `(x, y)`, `(x, y, sample_weight)` or sample dicts with `images` and `labels`. "
        f"Received: {element!r:.200}. If it has no labels, say so: `dataset.map(lambda x: mixup(x, labels=(), "
        "training=True))`."
    )


_BATCH_FIRST = (
    "In a `tf.data` pipeline batch first, then mix: `dataset.batch(64).map(...)`, and `padded_batch` instead of "
    "`ragged_batch`. A sample is mixed with another one of its batch, element by element."
)


def _describe(leaf):
    shape = static_shape(leaf)
    return f"{type(leaf).__name__} of shape {shape}" if shape is not None else f"{leaf!r:.80} ({type(leaf).__name__})"
