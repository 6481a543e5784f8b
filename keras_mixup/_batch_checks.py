"""Checks of what a batch holds, and the texts: what was expected, what was received, the fix as code, why."""

import warnings

import keras
import numpy as np

from keras_mixup import _backend
from keras_mixup._arguments import static_shape

SAMPLE_ROLES = ("images", "labels", "sample_weights", "segmentation_masks", "bounding_boxes")


def check_inputs(dtype, nest=None):
    """Inputs are floats, or images as bytes. `nest`: all of them."""
    if _backend.is_mixable(dtype):
        return
    raise TypeError(
        f"Inputs must be floating (16 to 64 bits) or uint8 (images, 0 to 255) to be mixed. Received: inputs of dtype "
        f"{dtype}{_as_said(nest)}. "
        "If they are measurements, cast them: `x.astype('float32')`. If they are tokens or categories, mix their "
        "embeddings: put the layer behind `keras.layers.Embedding`. Between token 3 and token 8 lies nothing."
    )


def _as_said(nest):
    """What may be meant by a nest that does not look like inputs alone."""
    if isinstance(nest, tuple | list):
        return f" in a {type(nest).__name__} of {len(nest)}. Did you mean `layer(*batch)`, that is `layer(x, y)`?"
    if isinstance(nest, dict) and "label" in nest:
        return f" in a dict with the keys {sorted(nest)}. {_RENAME}"
    return ""


_RENAME = (
    "Its `label` is not known as labels: give pairs, `dataset.map(lambda d: (d['image'], d['label']))`, or use the "
    "keys `images` and `labels`"
)


def check_dtype(dtype, of_inputs):
    """Mixed inputs come out in a floating dtype, and bytes as bytes if that is asked for."""
    if _backend.is_float(dtype) or (dtype == "uint8" and set(of_inputs) == {"uint8"}):
        return dtype
    raise ValueError(
        'Invalid value for argument `dtype`: expected a floating dtype, or "uint8" for inputs of dtype uint8, '
        f"which are then rounded. Received: dtype={dtype!r}. Other numbers between two integers would be lost."
    )


def check_labels(dtype, shape, num_classes):
    """Labels are floats, or class indices with `num_classes`."""
    if _backend.is_float(dtype) or dtype == "bool":
        return
    received = f"Received: labels of dtype {dtype} and shape {tuple(shape)}"
    if "int" not in dtype:
        raise TypeError(
            f"Labels must be floating (16 to 64 bits), boolean or class indices to be mixed. {received}. Take them out "
            "of the element before the mix and put them back after it."
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
    used = [
        _backend.is_integer(dtype) or (len(shape) > 1 and shape[-1] in (num_classes, None)) for dtype, shape in labels
    ]
    if labels and not any(used):
        dtype, shape = labels[0]
        raise ValueError(
            f"num_classes={num_classes} was given, but no labels are class indices. Received: labels of dtype {dtype} "
            f"and shape {tuple(shape)}. If they are class indices that became floating (Keras' image layers do that to "
            "the labels of a sample dict), cast them back: `tf.cast(y, 'int32')`. If they are numbers, leave "
            "num_classes out. Class 3 and class 8 averaged would be class 5.5."
        )


def check_weights(dtype):
    """Sample weights are floats; names and numbers of samples are not mixed for weights."""
    if _backend.is_float(dtype) or dtype == "bool":
        return
    raise TypeError(
        "Sample weights, the third part of a batch, must be floating (16 to 64 bits) or boolean. "
        f"Received: dtype {dtype}.\nOptions:\n  weights: cast them, `tf.cast(w, 'float32')`\n  names, numbers of "
        "samples, other data: pass them by, `dataset.map(lambda x, y, name: (*mixup(x, y, training=True), name))`"
    )


def check_not_masked(nest):
    """The mask of a NumPy array would be lost."""
    if any(isinstance(x, np.ma.MaskedArray) for x in keras.tree.flatten(nest)):
        raise TypeError(
            "Masked arrays cannot be mixed: the mask would be lost. Received: numpy.ma.MaskedArray.\nOptions:\n"
            "  fill what is masked: `x.filled(0.0)`\n  masked labels: fill them, and give `sample_weight` 0 there"
        )


def check_readable(leaves):
    """NumPy arrays hold numbers: the backends have texts of their own for others. `leaves` as for `check_rows`."""
    for role, leaf in leaves:
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSUMm":
            raise TypeError(
                f"{role} must be numbers. Received: a NumPy array of dtype {leaf.dtype}.\nTake it out of the batch "
                "before the mix and put it back after it. Names of classes: number them, "
                "`np.unique(y, return_inverse=True)[1]`, and set `num_classes`."
            )


def check_has_inputs(inputs):
    leaves = keras.tree.flatten(inputs)
    if not leaves or any(leaf is None for leaf in leaves):
        raise ValueError(
            f"There is nothing to mix: inputs must be an array or a nest of arrays. Received: inputs={inputs!r:.80}.\n"
            "Write `layer(x)`, `layer(x, y)` or `layer(x, y, sample_weight)`."
        )


def check_rows_of_graph(ops, rows, leaves):
    """Returns the number of rows of the first leaf, checked against the others when the graph runs."""
    leaves = [(role, leaf) for role, leaf in leaves if _backend.is_graph_tensor(leaf)]
    if len(leaves) < 2 or all(leaf.shape[0] is not None for _, leaf in leaves):
        return rows
    sizes = ops.stack([ops.shape(leaf)[0] for _, leaf in leaves])
    expected = "Inputs, labels and sample weights must have the same batch size (axis 0).\nReceived: rows of"
    names = ", ".join(role.lower() for role, _ in leaves)
    return _backend.asserted(rows, ops.all(sizes == sizes[0]), [f"{expected} {names}:", sizes])


def warn_of_one_sample(inputs, labels):
    """Warns where the element of a dataset plainly is one sample.

    Batches have an unknown first axis, except by `batch(n, drop_remainder=True)`: then only shapes that a batch hardly
    has speak for a sample, see `_is_one_sample`.
    """
    shapes = [[static_shape(x) for x in keras.tree.flatten(nest)] for nest in (inputs, labels) if nest is not None]
    if any(None in shape for nest in shapes for shape in nest):
        return
    dtypes = [_backend.dtype_of(x) for x in keras.tree.flatten(inputs)]
    if _is_one_sample(*shapes, dtypes=dtypes):
        warnings.warn(
            f"This looks like one sample, not like a batch: inputs of shape {shapes[0][0]}. Its first axis would be "
            "mixed as if it were the samples.\nIf so, batch first: `dataset.batch(64)`. If it is a batch, give its "
            "samples an axis of their own: `x[:, None]` for numbers, `x[..., None]` for gray images.",
            stacklevel=2,
        )


def _is_one_sample(inputs, labels=((),), *, dtypes):
    """Whether shapes are those of features without a batch axis, or of one image with colours."""
    flat = all(len(shape) == 1 for shape in (*inputs, *labels))
    return flat or any(
        len(shape) == 3 and shape[-1] in (1, 3, 4) and (shape[0] == shape[1] or dtype == "uint8")
        for shape, dtype in zip(inputs, dtypes, strict=True)
    )


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


def check_dataset(dataset):
    """A dataset of TensorFlow, and no function of `tf.data` or TensorFlow around it."""
    if not hasattr(dataset, "element_spec"):
        raise TypeError(
            f"`mix_dataset` takes a `tf.data.Dataset`. Received: {type(dataset).__name__}.\nOptions:\n  NumPy arrays: "
            "`mixup.mix_numpy(x, y, seed=0)`\n  arrays or tensors, in a loop: `mixup(x, y, training=True)`"
        )
    if _backend.is_tracing_tensorflow():
        raise ValueError(
            "`mix_dataset` was called inside a function that TensorFlow traces (`interleave`, `flat_map`, "
            "`tf.function`). Each dataset made there would repeat the same mixes.\nMix after it: "
            "`mixup.mix_dataset(files.interleave(read).batch(64))`."
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
        f"Received: {element!r:.200}{_as_said(element) if isinstance(element, dict) else ''}. If it has no labels, say "
        "so: `dataset.map(lambda x: mixup(x, labels=(), training=True))`."
    )


_BATCH_FIRST = (
    "In a `tf.data` pipeline batch first, then mix: `dataset.batch(64).map(...)`, and `padded_batch` instead of "
    "`ragged_batch`. A sample is mixed with another one of its batch, element by element."
)


def _describe(leaf):
    shape = static_shape(leaf)
    return f"{type(leaf).__name__} of shape {shape}" if shape is not None else f"{leaf!r:.80} ({type(leaf).__name__})"
