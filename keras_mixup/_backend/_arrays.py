"""Find the array library of a batch, and what can be known of its arrays."""

import sys

import keras
import numpy as np

from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY


def tensorflow_ops():
    """Return the operations of TensorFlow, which is imported when its first tensor arrives."""
    from keras_mixup._backend._tensorflow import TENSORFLOW

    return TENSORFLOW


def ops_for(*nests):
    """Return the operations for these arrays: TensorFlow's, NumPy's or those of the Keras backend."""
    leaves = [x for x in keras.tree.flatten(nests) if x is not None]
    if is_foreign(leaves):
        return tensorflow_ops()
    if leaves and all(isinstance(x, np.ndarray | np.generic) for x in leaves):
        return NUMPY
    return KERAS


def is_foreign(nest):
    """Whether a leaf is a tensor of a TensorFlow graph while Keras runs on another backend."""
    return keras.backend.backend() != "tensorflow" and any(map(is_graph_tensor, keras.tree.flatten(nest)))


def known_values(x):
    """Return an array as a NumPy array if it can be read without waiting for an accelerator, else `None`."""
    if isinstance(x, np.ndarray | np.generic):
        return x
    return FRAMEWORK.value_on_host(x)


def static_shape(leaf):
    """Return the shape as a tuple, `None` for unknown sizes; `None` for what is no dense array of known rank."""
    if type(leaf).__name__ in ("RaggedTensor", "RaggedTensorSpec", "SparseTensor", "SparseTensorSpec"):
        return None
    try:
        return tuple(leaf.shape)
    except (AttributeError, ValueError):  # a Python number; a TensorFlow tensor of unknown rank
        return None


def trailing(ops, x, rank):
    """Return `x` with axes of size 1 after its own, up to `rank`."""
    return ops.reshape(x, tuple(ops.shape(x)) + (1,) * (rank - len(x.shape)))


def as_tensor(x, like):
    """Return an array as a tensor of the Keras backend, on the device of the tensor `like` without waiting for it."""
    return FRAMEWORK.send(x, like) if isinstance(x, np.ndarray) else keras.ops.convert_to_tensor(x)


# Graphs of TensorFlow, which may be traced while Keras runs on any backend


def is_graph_tensor(x):
    """Whether a leaf is a tensor of a TensorFlow graph."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_tensor(x) and tf.is_symbolic_tensor(x)


def in_tf_data(nest):
    """Whether the leaves belong to a function that `tf.data` is tracing, or to a foreign TensorFlow graph."""
    if keras.backend.backend() != "tensorflow":
        return is_foreign(nest)
    return any(is_graph_tensor(x) and _is_of_tf_data(x.graph) for x in keras.tree.flatten(nest))


def is_tracing_tensorflow():
    """Whether TensorFlow is tracing a function."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.inside_function()


def is_tracing_tf_data():
    """Whether `tf.data` is tracing a function."""
    return is_tracing_tensorflow() and _is_of_tf_data(sys.modules["tensorflow"].compat.v1.get_default_graph())


def _is_of_tf_data(graph):
    """Whether a graph, or one around it, is that of a function of `tf.data`.

    `tf.data` names these graphs after the transformation (`Dataset_map_…`); the graph of a training step has the step's
    name. Nothing else tells the two apart.
    """
    while graph is not None:
        if str(getattr(graph, "name", "")).startswith("Dataset_"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
