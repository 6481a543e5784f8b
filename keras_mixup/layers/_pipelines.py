"""Mix the batches of a `tf.data` pipeline, or of NumPy arrays."""

import warnings

import keras
import numpy as np

from keras_mixup import _backend
from keras_mixup._random import Random, key_of
from keras_mixup.functional._blend import check_not_masked
from keras_mixup.layers import _batch
from keras_mixup.layers._random_state import source_on_numpy

AUTOTUNE = -1  # tf.data.AUTOTUNE


def mix_dataset(layer, dataset, training, num_parallel_calls, dtype):
    """See `MixLayer.mix_dataset`."""
    layer.check_use("`mix_dataset`")
    _check_dataset(dataset)
    spec = _batch.unpack(*arguments_of(dataset.element_spec), pastes=layer.pastes)
    layer.check_batch(spec) if training else spec.check_unmixed(None)
    warn_of_one_sample(spec)
    dtype = _batch.check_dtype(dtype or layer.compute_dtype, spec.inputs)
    layer._used = True

    def plain(*element):
        element = element if len(element) > 1 else element[0]
        return _like(element, layer._pass_through(_batch.unpack(*arguments_of(element), pastes=layer.pastes), dtype))

    def mix(key, element):
        batch = _batch.unpack(*arguments_of(element), pastes=layer.pastes)
        layer.check_batch(batch)
        ops = _backend.ops_for(batch.inputs)
        return _like(element, layer._mix(batch, Random(ops, ops.stack(key)), dtype))

    def epoch(seed):
        numbered = dataset.enumerate()
        mix_numbered = _backend.as_written(lambda index, element: mix((seed, index), element))
        return numbered.map(mix_numbered, num_parallel_calls=num_parallel_calls, deterministic=True)

    if not training:
        return dataset.map(_backend.as_written(plain), num_parallel_calls=num_parallel_calls)
    # One random number an epoch, and every batch its number: nothing is counted in a variable, which parallel calls
    # would race for and an iterator's checkpoint could not hold.
    epochs = dataset.random(seed=layer._random_state.first_seed, rerandomize_each_iteration=True).take(1)
    return _backend.with_cardinality_of(dataset, epochs.flat_map(_backend.as_written(epoch)))


def mix_numpy(layer, arguments, seed, training, dtype):
    """See `MixLayer.mix_numpy`."""
    layer.check_use("`mix_numpy`")
    check_not_masked(arguments)
    batch = _batch.unpack(*map(_as_arrays, arguments), pastes=layer.pastes)
    dtype = _batch.check_dtype(dtype or layer.compute_dtype, batch.inputs)
    if not training:
        return layer._pass_through(batch, dtype).repack()
    layer.check_batch(batch)
    return layer._mix(batch, source_on_numpy(seed), dtype).repack()


def source_in_map(layer, batch, seed):
    """The random source of a layer that is called in a plain `tf.data` map."""
    if batch.labels is None:
        raise ValueError(
            "In a `tf.data` map the labels must be mixed together with the inputs. Received: inputs alone, with "
            "training=True. Pass both: `dataset.map(lambda x, y: mixup(x, y, training=True))`, or "
            "`mixup.mix_dataset(dataset)`. If there are no labels at all, say so: `mixup(x, labels=(), "
            "training=True)`. Labels that stay behind would be hard targets for blended inputs."
        )
    layer.check_use("a `tf.data` map")
    warn_of_one_sample(batch)
    ops = _backend.ops_for(batch.inputs)
    return layer._random_state.next_in_tf_data(ops) if seed is None else Random(ops, key_of(ops, seed))


def arguments_of(element):
    """The arguments of a call for the element of a dataset: `(x, y)`, `(x, y, sample_weight)` or a sample dict."""
    if isinstance(element, dict) and "images" in element:
        return (element,)
    if isinstance(element, tuple) and len(element) in (2, 3):
        return element
    raise ValueError(
        "A dataset to mix must hold `(x, y)`, `(x, y, sample_weight)` or sample dicts with `images` and `labels`. "
        f"Received: {element!r:.200}{_batch.meant_by(element) if isinstance(element, dict) else ''}. If it has no "
        "labels, say so: `dataset.map(lambda x: mixup(x, labels=(), training=True))`."
    )


def _like(element, batch):
    """A batch in the form of the element that it came from; a named tuple as one."""
    mixed = batch.repack()
    return type(element)(*mixed) if hasattr(element, "_fields") else mixed


def _as_arrays(nest):
    return None if nest is None else keras.tree.map_structure(np.asarray, nest)


def _check_dataset(dataset):
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


def warn_of_one_sample(batch):
    """Warns where the element of a dataset plainly is one sample.

    Batches have an unknown first axis, except by `batch(n, drop_remainder=True)`: then only shapes that a batch hardly
    has speak for a sample, see `_is_one_sample`.
    """
    nests = [nest for nest in (batch.inputs, batch.labels) if nest is not None]
    shapes = [[_backend.static_shape(x) for x in keras.tree.flatten(nest)] for nest in nests]
    if any(None in shape for nest in shapes for shape in nest):
        return
    dtypes = [_backend.dtype_of(x) for x in keras.tree.flatten(batch.inputs)]
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
