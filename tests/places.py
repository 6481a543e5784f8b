"""The places where a layer can mix, each as a function from a batch to `(x', labels')` in NumPy.

With `labels = eye(batch)` the labels that come out are the mixing matrix of that place.
"""

import warnings

import keras
import tensorflow as tf
from data import BACKEND, dataset, read, to_numpy
from models import recorded, recording_model


def eager(layer, x, y):
    return keras.tree.map_structure(to_numpy, layer(x, y, training=True))


def compiled(layer, x, y):
    """`tf.function` with XLA, `jax.jit`, `torch.compile`: the layer called as a function, pure by its seed."""
    run = compiled_function(lambda x, y: layer(x, y, training=True, seed=0))
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch._dynamo|keras")  # Dynamo's notes on Keras' own Python
        return tuple(map(to_numpy, run(x, y)))


def compiled_function(function):
    if BACKEND == "tensorflow":
        return tf.function(function, jit_compile=True)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import torch

    return torch.compile(function, backend="eager")  # tracing is what can go wrong; its code generator takes minutes


def in_map(layer, *batch):
    return only(dataset(*batch, batch=len(batch[0])).map(lambda *batch: layer(*batch, training=True)))


def in_parallel_dataset(layer, *batch):
    return only(layer.mix_dataset(dataset(*batch, batch=len(batch[0])), num_parallel_calls=2))


def in_numpy(layer, *batch):
    """As `grain`, `PyDataset` and the workers of a `DataLoader` call it."""
    return layer.mix_numpy(*batch, seed=0)


def in_fit(layer, x, y):
    model = recording_model(layer, x, y)
    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
    return recorded(model, x)


PLACES = [eager, in_map, in_parallel_dataset, in_numpy, in_fit]


def only(mixed):
    """The one element of a dataset."""
    (element,) = read(mixed)
    return element
