"""The places where a layer can mix, each as a function from a batch to `(x', labels')` in NumPy.

With `labels = eye(batch)` the labels that come out are the mixing matrix of that place.
"""

import warnings

import keras
import numpy as np
import tensorflow as tf
from data import BACKEND, dataset, read, to_numpy

from keras_mixup import MixLoss, MixMetric


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


def recording_model(layer, x, y, loss=None, **compile_options):
    """A model that gives back what its mixing layer made, and records it with the labels that its metrics see."""
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), layer, keras.layers.Flatten(dtype=layer.compute_dtype), Scale()]
    )
    recorder = Recorder((len(x), int(np.prod(x.shape[1:]))), y.shape)
    loss = loss or MixLoss(row_sums)
    model.compile("sgd", loss, metrics=[MixMetric(recorder, pairwise=False)], **compile_options)
    model.recorder = recorder
    return model


def recorded(model, x):
    return to_numpy(model.recorder.predictions).reshape(x.shape), to_numpy(model.recorder.labels)


@keras.saving.register_keras_serializable(package="tests")
def row_sums(y_true, y_pred):
    """A loss for labels and predictions of any widths; its value does not matter."""
    return keras.ops.sum(y_true, axis=-1) + keras.ops.sum(y_pred, axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Scale(keras.layers.Layer):
    """The identity, with a weight to train that has no effect."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs):
        return inputs + 0 * keras.ops.cast(self.scale, inputs.dtype)


class Recorder(keras.metrics.Metric):
    """Keeps the predictions and labels of the last update."""

    def __init__(self, predictions, labels):
        super().__init__(name="recorder")
        self.predictions = self.add_variable(predictions, "zeros", dtype="float32")
        self.labels = self.add_variable(labels, "zeros", dtype="float32")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.predictions.assign(keras.ops.cast(y_pred, "float32"))
        self.labels.assign(keras.ops.cast(y_true, "float32"))

    def reset_state(self):
        """What was recorded stays."""

    def result(self):
        return keras.ops.zeros(())


def only(mixed):
    """The one element of a dataset."""
    (element,) = read(mixed)
    return element
