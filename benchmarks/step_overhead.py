"""What the layer costs in a training step: a small ResNet with `MixUp`, `MixLoss` and `MixMetric` against the same one
without them, stepped alternately in one process.

    KERAS_BACKEND=jax python benchmarks/step_overhead.py [--batch 64] [--steps 150]
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


def milliseconds(model, x, y):
    start = time.perf_counter()
    logs = model.train_on_batch(x, y)
    float(logs[0])
    return (time.perf_counter() - start) * 1e3


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--steps", type=int, default=150, help="of each model")
    options = options.parse_args()
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(options.batch, 32, 32, 3)).astype("float32")
    y = np.arange(options.batch) % CLASSES
    models = [resnet(mix=False), resnet(mix=True)]
    times = np.zeros((options.steps + 5, 2))
    for step in range(len(times)):
        for i in rng.permutation(2):  # neither always comes first
            times[step, i] = milliseconds(models[i], x, y)
    times = times[5:]
    resampled = times[rng.integers(0, len(times), (2000, len(times)))]
    plain, mixed = np.median(times, axis=0)
    low, high = np.percentile(np.diff(np.median(resampled, axis=1), axis=1), [2.5, 97.5])
    print(
        f"{keras.backend.backend()}, batch {options.batch}: plain {plain:.1f} ms a step, mixed {mixed:.1f} ms,", end=" "
    )
    print(f"difference {mixed - plain:+.2f} ms (95 % by bootstrap {low:+.2f} to {high:+.2f}), {mixed / plain - 1:+.1%}")


if __name__ == "__main__":
    main()
