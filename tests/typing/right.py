"""Uses of the public API that must type-check. Checked by mypy, never run."""

import keras
import numpy as np

import keras_mixup
from keras_mixup import CutMix, ManifoldMixUp, MixLoss, MixMetric, MixUp, Nearby, RandomMix, follow_mix, training_step
from keras_mixup.functional import Mix, blend, blend_labels, draw_weights, random_source

schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 1000, 0.4)
x, y = np.ones((4, 8, 8, 3), "float32"), np.eye(4, dtype="float32")

mixup = MixUp(0.2, probability=schedule, pairing="roll", num_classes=10, seed=0, name="mixup", dtype="float32")
MixUp(alpha=schedule, pairing=Nearby(bandwidth=0.1))
CutMix(1, axes=(1,), box_share=(0.1, 0.5))
RandomMix([MixUp(0.8), CutMix(1.0)], probabilities=[0.5, 0.5])
ManifoldMixUp(num_positions=2)

mixup.mix_dataset(None, num_parallel_calls=2)
mixup.mix_numpy(x, y, seed=(0, 1))
keras.Sequential([]).compile("sgd", **follow_mix(loss="mse", metrics=["mae"]))
loss = MixLoss("mse", layer="mixup", pairwise=True, by="element")
metric = MixMetric("accuracy")
with training_step():
    pass

mix = Mix(draw_weights(random_source(0), (4,), 0.2), partner=np.array([1, 0, 3, 2]))
blend_labels(blend(x, mix), mix)
report: keras_mixup.model_check.Report = keras_mixup.check(None, x, y)
advice: list = report.advice
