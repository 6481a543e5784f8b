"""`keras.distribution.DataParallel` on eight devices of JAX, or on one; prints the losses of a training."""

import json
import os
import sys

os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={sys.argv[1]}"

import keras
import numpy as np

from keras_mixup import CutMix, MixLoss, MixMetric, MixUp

kind, pairing = sys.argv[2:]
if sys.argv[1] != "1":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
keras.utils.set_random_seed(0)
x, y = np.random.default_rng(0).uniform(size=(64, 8, 8, 3)).astype("float32"), np.arange(64) % 4
layers = [keras.Input(x.shape[1:]), {"MixUp": MixUp, "CutMix": CutMix}[kind](1.0, seed=0, pairing=pairing)]
model = keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(4)])
model.compile(
    "adam", MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)), metrics=[MixMetric("accuracy")]
)
history = model.fit(x, y, batch_size=32, epochs=3, verbose=0, shuffle=False).history
print(json.dumps(history))
