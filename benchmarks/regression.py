"""Mixup and C-Mixup for regression: test error of a small network without a mix, with random partners, and with
partners of similar labels (`Nearby`), over the same splits and first weights.

    pip install scikit-learn scipy mlxtend
    KERAS_BACKEND=tensorflow python benchmarks/regression.py [--seeds 20]
"""

import argparse

import keras
import numpy as np
import tensorflow as tf
from mlxtend.data import autompg_data
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from keras_mixup import MixUp, Nearby


def autompg():
    x, y = autompg_data()
    return x[:, :-1], y  # the last column, the car's name, is no number


DATA = {"diabetes": (load_diabetes(return_X_y=True), 300), "auto-mpg": (autompg(), 250)}
ARMS = {
    "none": None,
    "mixup": {},
    "C-Mixup, bandwidth 0.2": {"pairing": Nearby(0.2)},
    "C-Mixup, bandwidth 0.5": {"pairing": Nearby(0.5)},
}
BATCH, EPOCHS, VALIDATIONS = 25, 200, 20


def split(x, y, train_size, seed):
    """Training and test sets; inputs and labels in standard deviations of the training set."""
    y = np.reshape(y, (-1, 1))
    *sets, y_train, y_test = train_test_split(x, y, train_size=train_size, random_state=seed)
    xs, ys = StandardScaler().fit(sets[0]), StandardScaler().fit(y_train)
    arrays = xs.transform(sets[0]), ys.transform(y_train), xs.transform(sets[1]), ys.transform(y_test)
    return [a.astype("float32") for a in arrays]


def errors(arm, data, seed):
    """Test RMSE after the last epoch, and at the best of the validations, in standard deviations of the labels."""
    x, y, x_test, y_test = split(*data, seed)
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse", steps_per_execution=10)
    train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed).batch(BATCH, drop_remainder=True)
    if arm is not None:
        train = MixUp(alpha=2.0, seed=seed, **arm).mix_dataset(train)
    test = tf.data.Dataset.from_tensor_slices((x_test, y_test)).batch(len(x_test))
    train = train.repeat(EPOCHS // VALIDATIONS).prefetch(2)
    history = model.fit(train, epochs=VALIDATIONS, validation_data=test, shuffle=False, verbose=0).history
    rmse = np.sqrt(history["val_loss"])
    return rmse[-1], rmse.min()


def interval(values):
    """Mean and half of the 95 % t interval."""
    return values.mean(), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=20)
    options = options.parse_args()
    for name, ((x, y), train_size) in DATA.items():
        results = {}
        for arm, settings in ARMS.items():
            runs = [errors(settings, (x, y, train_size), seed) for seed in range(options.seeds)]
            results[arm] = np.array(runs)  # (seeds, last and best)
            texts = ["{:.3f} ± {:.3f}".format(*interval(column)) for column in results[arm].T]
            gains = ["{:+.3f} ± {:.3f}".format(*interval(d)) for d in (results[arm] - results["none"]).T]
            print(f"{name:9} {arm:23} last {texts[0]} ({gains[0]})  best {texts[1]} ({gains[1]})", flush=True)


if __name__ == "__main__":
    main()
