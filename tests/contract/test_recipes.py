"""Recipes of papers and other libraries, against their own formulas."""

import keras
import numpy as np
import pytest
import reference
from data import EYE, IMAGES, ROWS, to_numpy

from keras_mixup import CutMix, MixLoss, MixUp, RandomMix


class TestRecipes:
    def test_the_recipe_of_big_vision_pairs_neighbours_by_one_dominant_weight(self):
        x, M = MixUp(0.2, same_on_batch=True, dominant=True, pairing="roll").mix_numpy(IMAGES, EYE, seed=0)

        weight = M[0, 0]
        np.testing.assert_allclose(M, weight * EYE + (1 - weight) * np.roll(EYE, 1, axis=0), atol=1e-6)
        assert 0.5 <= weight < 1
        np.testing.assert_allclose(x, reference.mixed(M, IMAGES), atol=1e-6)

    def test_deit_smooths_the_mixed_labels(self):
        """Smoothing in the loss is smoothing of both label sets before the mix."""
        deit = RandomMix([MixUp(0.8), CutMix(1.0)], same_on_batch=True, seed=0)
        _, M = deit.mix_numpy(IMAGES, EYE, seed=0)
        logits = np.random.default_rng(1).normal(size=(ROWS, ROWS)).astype("float32")
        smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)

        expected = reference.paired_loss(M, reference.softmax_crossentropy, 0.9 * EYE + 0.1 / ROWS, logits)
        assert float(smooth(M, logits)) == pytest.approx(expected.mean(), rel=1e-5)

    @pytest.mark.slow
    def test_regmixup_has_a_clean_and_a_mixed_loss(self):
        inputs, network = keras.Input((ROWS,)), keras.layers.Dense(ROWS, kernel_initializer="identity")
        model = keras.Model(inputs, {"clean": network(inputs), "mixed": network(MixUp(10.0, seed=0)(inputs))})
        model.compile(keras.optimizers.SGD(0.0), loss={"clean": "mse", "mixed": MixLoss("mse")})
        labels = np.arange(ROWS, dtype="float32")[:, None] * EYE

        logs = model.train_on_batch(EYE, {"clean": labels, "mixed": labels}, return_dict=True)

        _, M = MixUp(10.0, seed=0)(EYE, EYE, training=True)
        M = to_numpy(M)
        assert float(logs["clean_loss"]) == pytest.approx(((EYE - labels) ** 2).mean(), rel=1e-5)
        assert float(logs["mixed_loss"]) == pytest.approx(((M - M @ labels) ** 2).mean(), rel=1e-5)
