"""Who is mixed with whom, where labels decide it."""

import keras
import numpy as np
import places
import pytest
import reference
from data import EYE
from scipy import stats

from keras_mixup import MixLoss, MixUp, Nearby, OtherClass, SameClass


class TestPairing:
    Y = np.array([0, 1, 2, 0, 1, 2, 0, 3])

    def matrix(self, pairing, place=places.in_numpy, y=None, **options):
        """Who is mixed with whom, with labels that decide it: the images tell the rows apart."""
        y = np.eye(4, dtype="float32")[self.Y] if y is None else y
        x, _ = place(MixUp(1.0, pairing=pairing, seed=0, **options), EYE, y)
        return np.asarray(x)

    @pytest.mark.parametrize("place", [places.in_numpy, places.eager, places.in_map, places.in_parallel_dataset])
    def test_same_and_other_class_in_every_place(self, place):
        same, other = (self.matrix(pairing, place) for pairing in (SameClass(), OtherClass()))

        assert (self.Y[reference.partners(same)] == self.Y).all()
        assert (np.diag(same)[:7] < 1).all()  # nobody is their own partner where another one is eligible
        assert same[7, 7] == 1  # the only one of its class
        assert (self.Y[reference.partners(other)] != self.Y).all()
        assert (np.diag(other) < 1).all()

    def test_class_indices_are_classes(self):
        x, y = MixUp(1.0, pairing=SameClass(), num_classes=4).mix_numpy(EYE, self.Y, seed=0)

        assert (self.Y[reference.partners(x)] == self.Y).all()
        np.testing.assert_allclose(y, np.eye(4)[self.Y], atol=1e-6)

    @pytest.mark.slow
    def test_nearby_partners_are_drawn_by_the_distance_of_their_labels(self):
        y, bandwidth = np.array([0.0, 0.5, 1.0, 3.0], "float32"), 0.6
        layer, counts = MixUp(1.0, pairing=Nearby(bandwidth)), np.zeros(4)
        for seed in range(3000):
            x, _ = layer.mix_numpy(np.eye(4, dtype="float32"), y, seed=seed)
            counts[reference.partners(x)[0]] += 1

        kernel = np.exp(-((y - y[0]) ** 2) / (2 * bandwidth**2))[1:3]
        assert counts[0] == 0
        assert counts[3] <= 3  # five bandwidths away
        assert stats.chisquare(counts[1:3], kernel / kernel.sum() * counts[1:3].sum()).pvalue > 1e-4

    def test_a_pairing_comes_back_from_its_config_as_its_equal(self):
        layer = MixUp(pairing=Nearby(0.5))
        copy = MixUp.from_config(layer.get_config())

        assert copy.pairing == Nearby(0.5) != Nearby(0.6)

    @pytest.mark.slow
    def test_in_a_model_there_are_no_labels(self):
        model = keras.Sequential([keras.Input((8,)), MixUp(pairing=OtherClass()), keras.layers.Dense(4)])
        model.compile("sgd", MixLoss("mse"))
        with pytest.raises(ValueError, match=r"(?s)pairs samples by their labels.*OtherClass.*mix_dataset"):
            model.fit(EYE, np.eye(4)[self.Y], verbose=0)

    def test_several_labels_are_refused(self):
        with pytest.raises(ValueError, match="one array"):
            MixUp(pairing=SameClass()).mix_numpy(EYE, [EYE, EYE], seed=0)

    def test_an_unknown_pairing_or_a_bandwidth_of_zero_is_refused(self):
        with pytest.raises(ValueError, match="pairing"):
            MixUp(pairing="flip")
        with pytest.raises(ValueError, match="bandwidth"):
            Nearby(0.0)
