"""Who is mixed with whom, where labels decide it."""

import keras
import numpy as np
import places
import pytest
import reference
from data import EYE
from scipy import stats

from keras_mixup import MixLoss, MixUp, Nearby, OtherClass, Pairing, Roll, SameClass


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


class Scored(Pairing):
    """Pairs by scores that are given."""

    def __init__(self, scores):
        self.given = np.asarray(scores, "float32")

    def scores(self, ops, labels):
        return ops.convert_to_tensor(self.given)


def partners_by(scores):
    y = np.eye(len(scores), dtype="float32")
    return reference.partners(np.asarray(MixUp(1.0, pairing=Scored(scores)).mix_numpy(y, y, seed=0)[1]))


def test_partners_are_eligible_whatever_the_scores():
    """Infinite scores and scores that are no numbers are scores of other rows, or of none."""
    infinite = np.where(np.arange(6)[:, None] % 2 == np.arange(6) % 2, 0, -np.inf)
    own = np.full((6, 6), 0.0) + np.diag(np.full(6, np.inf))
    unknown = np.where(np.arange(6) == 3, np.nan, np.zeros((6, 6)))

    assert (partners_by(infinite) % 2 == np.arange(6) % 2).all()
    assert (partners_by(own) != np.arange(6)).all()
    assert (partners_by(unknown) != 3).sum() >= 5
    assert (partners_by(np.full((6, 6), np.nan)) == np.arange(6)).all()


@pytest.mark.parametrize("pairing", [SameClass(), OtherClass()], ids=["same", "other"])
def test_rows_of_no_class_are_not_paired(pairing):
    """A void index becomes a row of zeros, which is not class 0."""
    y = np.array([0, 255, 0, 1, 255, 1])
    _, mixed = MixUp(1.0, num_classes=2, ignore_class=255, pairing=pairing).mix_numpy(np.eye(6), y, seed=0)

    assert (mixed[[1, 4]] == 0).all()
    np.testing.assert_allclose(mixed[[0, 2, 3, 5]].sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("pairing", [Nearby(1.0), SameClass()])
def test_an_empty_batch_has_no_pairs(pairing):
    x, y = MixUp(pairing=pairing).mix_numpy(np.zeros((0, 3), "float32"), np.zeros((0, 2), "float32"), seed=0)

    assert x.shape == (0, 3)
    assert y.shape == (0, 2)


def test_a_pairing_that_is_derived_from_roll_draws_its_own_partners():
    """What is known of `Roll` does not hold for another `draw`."""

    class Next(Roll):
        def draw(self, batch):
            return (batch.ops.arange(batch.rows) + 1) % batch.rows

    x, M = MixUp(1.0, pairing=Next(), seed=0)(EYE, EYE, training=True)

    assert reference.partners(keras.ops.convert_to_numpy(M)).tolist() == [*range(1, len(EYE)), 0]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(M), atol=1e-6)
