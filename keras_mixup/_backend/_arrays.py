"""Which place an array belongs to."""

import sys

import keras
import numpy as np

from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY


def tensorflow_ops():
    """The operations of TensorFlow, which is imported when its first tensor arrives."""
    from keras_mixup._backend._tensorflow import TENSORFLOW

    return TENSORFLOW


def ops_for(*nests):
    """The operations for these arrays: TensorFlow's, NumPy's or those of the Keras backend."""
    leaves = [x for x in keras.tree.flatten(nests) if x is not None]
    if is_foreign(leaves):
        return tensorflow_ops()
    if leaves and all(isinstance(x, np.ndarray | np.generic) for x in leaves):
        return NUMPY
    return KERAS


def is_foreign(nest):
    """Whether a leaf is a tensor of a TensorFlow graph while Keras computes with another backend."""
    return keras.backend.backend() != "tensorflow" and any(map(is_graph_tensor, keras.tree.flatten(nest)))


def in_dataset(nest):
    """Whether the leaves belong to a function that `tf.data` is tracing, or to a foreign TensorFlow graph.

    `tf.data` names the graphs of its functions after the transformation (`Dataset_map_…`); the graph of a
    training step bears the step's name. Nothing else tells the two apart.
    """
    if is_foreign(nest):
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    return any(_traced_by_dataset(x) for x in keras.tree.flatten(nest) if is_graph_tensor(x))


def known_values(x):
    """The values of an array where they can be read without waiting for an accelerator; `None` elsewhere."""
    if isinstance(x, np.ndarray | np.generic):
        return x
    return FRAMEWORK.value_on_host(x)


def is_graph_tensor(x):
    """Whether a leaf is a tensor of a TensorFlow graph."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_tensor(x) and tf.is_symbolic_tensor(x)


def is_tracing_tensorflow():
    """Whether TensorFlow traces a function just now."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.inside_function()


def is_tracing_dataset():
    """Whether `tf.data` traces a function just now."""
    return is_tracing_tensorflow() and _is_of_dataset(sys.modules["tensorflow"].compat.v1.get_default_graph())


def _traced_by_dataset(x):
    return _is_of_dataset(x.graph)


def _is_of_dataset(graph):
    while graph is not None:
        if str(getattr(graph, "name", "")).startswith("Dataset_"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
