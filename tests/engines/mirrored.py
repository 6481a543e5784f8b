"""Two replicas of `tf.distribute.MirroredStrategy` on one CPU.

Prints what each drew, before and after its state was restored; the losses of steps; and the labels, which tell the
samples apart, of a dataset that was mixed before it was split.
"""

import json
import pathlib
import tempfile

import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import numpy as np

from keras_mixup import MixLoss, MixUp

ROWS = 16
EYE = np.eye(ROWS, dtype="float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
outside = MixUp(1.0, seed=0)
with strategy.scope():
    mixup = MixUp(1.0, seed=0)
    same = keras.layers.Dense(ROWS, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((ROWS,)), mixup, same])
    model.compile(keras.optimizers.SGD(0.0), MixLoss("mse"))
batches = tf.data.Dataset.from_tensors((EYE, EYE)).repeat(3)


def drawn_by(layer):
    """The greater weight of each row, by replica and step."""
    draw = tf.function(lambda x: strategy.run(lambda x: layer(x, labels=(), training=True), args=(x,)))
    steps = []
    for x, _ in strategy.experimental_distribute_dataset(batches):
        local = strategy.experimental_local_results(draw(x))
        steps.append([np.sort(part.numpy(), axis=1)[:, -1].tolist() for part in local])
    return list(zip(*steps, strict=True))


inside = drawn_by(mixup)
losses = model.fit(batches, epochs=2, verbose=0, shuffle=False).history["loss"]

file = pathlib.Path(tempfile.mkdtemp()) / "state.weights.h5"
model.save_weights(file)
went_on = drawn_by(mixup)
model.load_weights(file)
resumed = drawn_by(mixup)

mixed = MixUp(1.0, dominant=True, seed=0).mix_dataset(tf.data.Dataset.from_tensor_slices((EYE, EYE)).batch(8))
epochs = [
    [part.numpy().tolist() for _, y in split for part in strategy.experimental_local_results(y)]
    for split in [strategy.experimental_distribute_dataset(mixed)] * 2
]
print(
    json.dumps(
        {
            "inside": inside,
            "losses": losses,
            "outside": drawn_by(outside),
            "went on": went_on,
            "resumed": resumed,
            "mixed before": epochs,
        }
    )
)
