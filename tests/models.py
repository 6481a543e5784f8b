"""Models that show what was mixed in them, and what was compiled."""

import keras
import numpy as np
from data import to_numpy

from keras_mixup import MixLoss, MixMetric


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
