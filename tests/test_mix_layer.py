"""`MixLayer`: what a subclass may draw, and what is refused."""

import keras
import numpy as np
import pytest
from data import EYE, IMAGES, ROWS

from keras_mixup import MixUp
from keras_mixup.functional import Mix, draw_weights


class TestCustomMix:
    @staticmethod
    def layer(draw):
        return type("Own", (MixUp,), {"draw": draw})(1.0, seed=0)

    def test_its_weight_is_the_mean_of_keep(self):
        keep = np.random.default_rng(0).uniform(size=(ROWS, 12, 10, 1)).astype("float32")
        _, M = self.layer(lambda self, batch: Mix(keep=keep)).mix_numpy(IMAGES, EYE, seed=0)

        np.testing.assert_allclose(np.diag(M), keep.mean(axis=(1, 2, 3)), atol=1e-6)

    @pytest.mark.parametrize(
        ("mix", "received"),
        [
            (np.ones(ROWS), "Received: ndarray"),
            (Mix(np.ones((ROWS, 1, 1, 1))), r"Received: a mix with the shapes {'weight': \(8, 1, 1, 1\)}"),
            (Mix(keep=np.ones((ROWS, 12))), r"'keep': \(8, 12\)}, for inputs of shape \(8, 12, 10, 3\)"),
        ],
    )
    def test_what_is_no_mix_is_refused(self, mix, received):
        with pytest.raises(TypeError, match=rf"`Own.draw` must return a `keras_mixup.functional.Mix`.*{received}"):
            self.layer(lambda self, batch: mix).mix_numpy(IMAGES, EYE, seed=0)

    def test_its_numbers_are_checked_and_its_schedules_need_steps(self):
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 0.4)
        for alpha, message in ((-1.0, "0 or above"), (schedule, "PolynomialDecay is a schedule.*no training step")):

            def draw(self, batch, alpha=alpha):
                return Mix(draw_weights(batch.random, batch.shape[:1], alpha))

            with pytest.raises(ValueError, match=message):
                self.layer(draw).mix_numpy(IMAGES, EYE, seed=0)
