"""What the layer costs in a training step: a small ResNet with `MixUp`, `MixLoss` and `MixMetric` against the same one
without them, stepped alternately in one process.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py [--steps 40] [--rounds 30]
"""

import argparse
import time

import keras
import numpy as np

from keras_mixup import MixLoss, MixMetric, MixUp

CLASSES = 10


def resnet(mix):
    """Nine convolutions of 16 to 64 channels on images of 32 x 32."""
    x = inputs = keras.Input((32, 32, 3))
    if mix:
        x = MixUp(0.2)(x)
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    for width in (16, 32, 64):
        stride = 1 if width == 16 else 2
        shortcut = keras.layers.Conv2D(width, 1, stride, use_bias=False)(x)
        for i in range(2):
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
            x = keras.layers.Conv2D(width, 3, stride if i == 0 else 1, padding="same", use_bias=False)(x)
        x = keras.layers.Add()([x, shortcut])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", MixLoss(loss) if mix else loss, metrics=[MixMetric("accuracy") if mix else "accuracy"])
    return model


def milliseconds(model, x, y, steps):
    start = time.perf_counter()
    for _ in range(steps):
        logs = model.train_on_batch(x, y)
    float(logs[0])
    return (time.perf_counter() - start) / steps * 1e3


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--rounds", type=int, default=20)
    options = options.parse_args()
    x = np.random.default_rng(0).uniform(size=(options.batch, 32, 32, 3)).astype("float32")
    y = np.arange(options.batch) % CLASSES
    plain, mixed = resnet(False), resnet(True)
    for model in (plain, mixed):
        milliseconds(model, x, y, 3)
    pairs = np.array([[milliseconds(m, x, y, options.steps) for m in (plain, mixed)] for _ in range(options.rounds)])
    ratio = pairs[:, 1] / pairs[:, 0]
    low, high = np.percentile(ratio, [25, 75])
    print(
        f"{keras.backend.backend():10}  batch {options.batch}: plain {np.median(pairs[:, 0]):.1f} ms a step, "
        f"mixed {np.median(pairs[:, 1]):.1f} ms; overhead by pairs: median {np.median(ratio) - 1:+.1%} "
        f"(quartiles {low - 1:+.1%} to {high - 1:+.1%})"
    )


if __name__ == "__main__":
    main()
