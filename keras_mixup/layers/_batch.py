"""The roles of a batch: what each part is, in every form that a batch comes in.

A batch is `(x)`, `(x, y)`, `(x, y, w)` or a Keras sample dict. `ROLES` says under which key of a dict a role is found,
`Batch.mixed` how each role is mixed.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mixup import _backend
from keras_mixup.functional import Mix, blend, encode_labels
from keras_mixup.functional._blend import check_not_masked
from keras_mixup.functional._labels import check_classes
from keras_mixup.layers._element_labels import blend_by_element


class Role(NamedTuple):
    key: str  # in a sample dict
    word: str  # in messages


ROLES = {
    "inputs": Role("images", "Inputs"),
    "labels": Role("labels", "Labels"),
    "sample_weight": Role("sample_weights", "Sample weights"),
    "masks": Role("segmentation_masks", "Segmentation masks"),
}
LABEL_KEYS = ("labels", "segmentation_masks")  # masks are labels where samples are blended
SAMPLE_KEYS = (*(role.key for role in ROLES.values()), "bounding_boxes")


class Batch(NamedTuple):
    """One batch by its roles. Each is a nest of arrays; all but the inputs may be `None`."""

    inputs: Any
    labels: Any = None
    sample_weight: Any = None
    masks: Any = None  # pasted with the inputs
    sample_keys: Any = None  # the keys of a sample dict, in their order

    def leaves(self):
        """Yields every array with the word for its role."""
        for name, role in ROLES.items():
            nest = getattr(self, name)
            if nest is not None:
                yield from ((role.word, leaf) for leaf in keras.tree.flatten(nest))

    def shapes(self):
        """The shapes of the inputs, as far as they are known."""
        return [tuple(x.shape) for x in keras.tree.flatten(self.inputs)]

    def unlabelled(self):
        """Whether there are no labels: none were given, or `()` said so."""
        return self.labels is None or not keras.tree.flatten(self.labels)

    def encoded(self, num_classes, ignore_class):
        """The labels with class indices as one-hot rows, `None` if there are none."""
        return None if self.labels is None else encode_labels(self.labels, num_classes, ignore_class)

    def check_mixable(self, num_classes):
        """Refuses what cannot be mixed."""
        check_rows(self.leaves())
        check_inputs(self.inputs)
        check_labels(self.labels, num_classes)

    def check_unmixed(self, num_classes):
        """Refuses what would fail beside mixed batches of the same form."""
        check_rows(self.leaves())
        if num_classes is not None:
            check_labels(self.labels, num_classes)

    def mixed(self, mix: Mix, num_classes, ignore_class, dtype):
        """The mixed batch: inputs blended into `dtype`, masks pasted, labels encoded and blended with their weights."""
        labels = self.encoded(num_classes, ignore_class)
        batch = self._replace(inputs=blend(self.inputs, mix, dtype), masks=blend(self.masks, mix))
        if labels is None:
            return batch
        labels, weight = blend_by_element(self.labels, labels, mix, self.sample_weight)
        return batch._replace(labels=labels, sample_weight=weight)

    def unmixed(self, labels, dtype):
        """The batch as it is: inputs in `dtype`, the labels encoded."""

        def cast(x):
            return _backend.ops_for(x).cast(x, dtype) if _backend.is_mixable(_backend.dtype_of(x)) else x

        def widen(x):
            is_integer = _backend.is_integer(_backend.dtype_of(x))
            return x if is_integer else _backend.ops_for(x).cast(x, _backend.widened(_backend.dtype_of(x)))

        return self._replace(
            inputs=keras.tree.map_structure(cast, self.inputs),
            labels=None if labels is None else keras.tree.map_structure(widen, labels),
            sample_weight=None if self.sample_weight is None else keras.tree.map_structure(widen, self.sample_weight),
        )

    def repack(self):
        """The batch in the form it came in."""
        if self.sample_keys is not None:
            by_key = {role.key: getattr(self, name) for name, role in ROLES.items()} | (self.labels or {})
            return {key: by_key[key] for key in self.sample_keys}
        if self.sample_weight is None:
            return self.inputs if self.unlabelled() else (self.inputs, self.labels)
        return self.inputs, self.labels, self.sample_weight


def unpack(inputs, labels=None, sample_weight=None, *, pastes=False):
    """Sorts the arguments of a call by their roles."""
    if not (isinstance(inputs, dict) and "images" in inputs):
        batch = Batch(inputs, labels, sample_weight)
    else:
        _check_sample(inputs, labels, sample_weight)
        masks = inputs.get("segmentation_masks") if pastes else None
        labels = {key: inputs[key] for key in (("labels",) if pastes else LABEL_KEYS) if key in inputs}
        labels = None if not labels and masks is None else labels
        batch = Batch(inputs["images"], labels, inputs.get("sample_weights"), masks, tuple(inputs))
    _check_inputs_are_there(batch.inputs)
    _check_weights(batch)
    return batch


def _check_sample(sample, labels, sample_weight):
    unknown = sorted(str(key) for key in sample if key not in SAMPLE_KEYS)
    if unknown:
        raise ValueError(
            f"A dict that holds `images` is a sample of Keras' preprocessing layers, with the keys {SAMPLE_KEYS}. "
            f"Received also: {unknown}. Their role in a mix is unknown; take them out before it and put them back "
            "after it. If the dict is one of several model inputs, rename `images`."
        )
    if "bounding_boxes" in sample:
        raise ValueError(
            "Bounding boxes cannot be mixed yet. Received: a sample with the key 'bounding_boxes'. Leaving them as "
            "they are would lose the boxes of the partner."
        )
    if labels is not None or sample_weight is not None:
        raise ValueError(
            "A sample dict brings its own labels and weights. Received: a dict that holds `images`, and `labels` or "
            "`sample_weight` beside it. Put them into the dict, under 'labels' and 'sample_weights'."
        )


def _check_inputs_are_there(inputs):
    leaves = keras.tree.flatten(inputs)
    if not leaves or any(leaf is None for leaf in leaves):
        raise ValueError(
            f"There is nothing to mix: inputs must be an array or a nest of arrays. Received: inputs={inputs!r:.80}.\n"
            "Write `layer(x)`, `layer(x, y)` or `layer(x, y, sample_weight)`."
        )


def _check_weights(batch):
    if batch.sample_weight is not None and batch.labels is None:
        raise ValueError(
            "Sample weights were given without labels. Pass both: `layer(x, y, sample_weight, training=True)`, or "
            "`labels=()` if there are none. Labels are blended in proportion to the weights of the two samples."
        )
    for weights in keras.tree.flatten(batch.sample_weight):
        dtype = _backend.dtype_of(weights) if hasattr(weights, "dtype") else "float32"
        if not _backend.is_float(dtype) and dtype != "bool":
            raise TypeError(
                "Sample weights, the third part of a batch, must be floating (16 to 64 bits) or boolean. "
                f"Received: dtype {dtype}.\nOptions:\n  weights: cast them, `tf.cast(w, 'float32')`\n  names, numbers "
                "of samples, other data: pass them by, `dataset.map(lambda x, y, name: (*mixup(x, y, training=True), "
                "name))`"
            )


def check_before_keras(layer, inputs=None, labels=None, sample_weight=None, training=None, seed=None, **others):
    """Looks at the arguments of a call before Keras converts them to tensors."""
    check_not_masked((inputs, labels, sample_weight))
    batch = unpack(inputs, labels, sample_weight, pastes=layer.pastes)
    check_numbers(batch.leaves())
    if layer.num_classes is not None:
        for y in filter(_is_beyond_32_bits, keras.tree.flatten(batch.labels)):
            check_classes(_backend.NUMPY, y, layer.num_classes)


def _is_beyond_32_bits(y):
    """Whether JAX would change these integers, and could make a valid class of one."""
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or y.itemsize < 8 or not y.size:
        return False
    return y.max() >= 2**31 or y.min() < -(2**31)


def check_numbers(leaves):
    """NumPy arrays hold numbers; backends have texts of their own for others. `leaves` as for `check_rows`."""
    for word, leaf in leaves:
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSUMm":
            raise TypeError(
                f"{word} must be numbers. Received: a NumPy array of dtype {leaf.dtype}.\nTake it out of the batch "
                "before the mix and put it back after it. Names of classes: number them, "
                "`np.unique(y, return_inverse=True)[1]`, and set `num_classes`."
            )


def check_rows(leaves):
    """Every leaf is a dense array with a batch axis, and all have the same number of rows where it is known.

    `leaves`: pairs of a word for the leaf and the leaf.
    """
    known: dict[int, str] = {}
    for word, leaf in leaves:
        shape = _backend.static_shape(leaf)
        if isinstance(leaf, int | float) or shape == ():
            raise ValueError(
                f"{word} must be arrays with a batch axis. Received: {_described(leaf)}. Lists are read as nests of "
                f"arrays: convert a list of numbers with `np.asarray(...)`. {_BATCH_FIRST}"
            )
        if not shape:
            raise ValueError(
                f"{word} must be dense arrays with a batch axis and a known rank. "
                f"Received: {_described(leaf)}. {_BATCH_FIRST}"
            )
        if isinstance(shape[0], int):
            known.setdefault(shape[0], f"{word} of shape {shape}")
    if len(known) > 1:
        raise ValueError(
            "Inputs, labels and sample weights must have the same batch size (axis 0). Received: "
            f"{', '.join(known.values())}. {_BATCH_FIRST}"
        )


_BATCH_FIRST = (
    "In a `tf.data` pipeline batch first, then mix: `dataset.batch(64).map(...)`, and `padded_batch` instead of "
    "`ragged_batch`. A sample is mixed with another one of its batch, element by element."
)


def _described(leaf):
    shape = _backend.static_shape(leaf)
    return f"{type(leaf).__name__} of shape {shape}" if shape is not None else f"{leaf!r:.80} ({type(leaf).__name__})"


def check_inputs(inputs):
    """Inputs are floats, or images as bytes."""
    for x in keras.tree.flatten(inputs):
        dtype = _backend.dtype_of(x)
        if not _backend.is_mixable(dtype):
            raise TypeError(
                f"Inputs must be floating (16 to 64 bits) or uint8 (images, 0 to 255) to be mixed. Received: inputs of "
                f"dtype {dtype}{meant_by(inputs)}. If they are measurements, cast them: `x.astype('float32')`. If they "
                "are tokens or categories, mix their embeddings: put the layer after `keras.layers.Embedding`. There "
                "is no token between 3 and 8."
            )


def meant_by(nest):
    """What may be meant by a nest that does not look like inputs alone."""
    if isinstance(nest, tuple | list):
        return f" in a {type(nest).__name__} of {len(nest)}. Did you mean `layer(*batch)`, that is `layer(x, y)`?"
    if isinstance(nest, dict) and "label" in nest:
        return (
            f" in a dict with the keys {sorted(nest)}. Its `label` is not known as labels: give pairs, "
            "`dataset.map(lambda d: (d['image'], d['label']))`, or use the keys `images` and `labels`"
        )
    return ""


def check_labels(labels, num_classes):
    """Labels are floats, or class indices with `num_classes`; and if there are classes, some labels have them."""
    known = [(_backend.dtype_of(y), y.shape) for y in keras.tree.flatten(labels) if y is not None]
    for dtype, shape in known:
        if not _backend.is_float(dtype) and dtype != "bool":
            _check_class_indices(dtype, shape, num_classes)
    if num_classes is None or not known:
        return
    if not any(_backend.is_integer(dtype) or (len(s) > 1 and s[-1] in (num_classes, None)) for dtype, s in known):
        dtype, shape = known[0]
        raise ValueError(
            f"num_classes={num_classes} was given, but no labels are class indices. Received: labels of dtype {dtype} "
            f"and shape {tuple(shape)}. If they are class indices that became floating (Keras' image layers do that to "
            "the labels of a sample dict), cast them back: `tf.cast(y, 'int32')`. If they are numbers, leave "
            "num_classes out. Class 3 and class 8 averaged would be class 5.5."
        )


def _check_class_indices(dtype, shape, num_classes):
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
            "one-hot, multi-hot or counts, cast them: `y.astype('float32')`. There is no class between 3 and 8, and "
            "integers do not tell which of these they are."
        )
    if len(shape) > 1 and shape[-1] in (num_classes, None) and num_classes > 1:
        raise ValueError(
            f"Integer labels whose last axis has, or may have, num_classes={num_classes} entries can be class indices "
            f"or one-hot rows. {received}. One-hot or multi-hot: cast them, `y.astype('float32')`. Class indices: "
            f"encode them yourself, `keras.ops.one_hot(y, {num_classes})`."
        )


def check_dtype(dtype, inputs):
    """Mixed inputs come out in a floating dtype, or as bytes if they were bytes."""
    dtypes = {_backend.dtype_of(x) for x in keras.tree.flatten(inputs)}
    if _backend.is_float(dtype) or (dtype == "uint8" and dtypes == {"uint8"}):
        return dtype
    raise ValueError(
        'Invalid value for argument `dtype`: expected a floating dtype, or "uint8" for inputs of dtype uint8, '
        f"which are then rounded. Received: dtype={dtype!r}. Values between two integers would be lost."
    )
