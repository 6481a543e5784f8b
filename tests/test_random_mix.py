"""`RandomMix`: which member mixes which sample."""

import keras
import numpy as np
import pytest
import reference
from data import EYE, IMAGES, check_images, to_numpy
from scipy import stats

from keras_mixup import CutMix, MixLayer, MixUp, RandomMix
from keras_mixup.functional import Mix


class TestRandomMix:
    def test_members_are_drawn_by_their_probabilities_and_keep_their_weights(self):
        """The two halves of timm's recipe: `switch_prob`, Beta(0.8) for mixup, boxes for CutMix."""
        rows = 4000
        x = np.broadcast_to(np.arange(rows, dtype="float32")[:, None, None, None], (rows, 8, 8, 1))
        mix = RandomMix([MixUp(0.8), CutMix(1.0)], probabilities=[0.7, 0.3])
        mixed, M = mix.mix_numpy(x, np.eye(rows, dtype="float32"), seed=0)

        # A blended image holds one value only, which is neither its own nor its partner's.
        own, other = (mixed == x).all(axis=(1, 2, 3)), mixed == x[reference.partners(M)]
        blended = (mixed == mixed[:, :1, :1]).all(axis=(1, 2, 3)) & ~own & ~other.all(axis=(1, 2, 3))
        assert stats.binomtest(int(blended.sum()), rows, 0.7).pvalue > 1e-4
        weights = np.diag(M)[blended]
        assert stats.kstest(weights, stats.beta(0.8, 0.8).cdf).pvalue > 1e-4

    def test_three_members_are_drawn_by_their_probabilities(self):
        class Constant(MixLayer):
            def draw(self, batch):
                return Mix(weight=batch.ops.full((batch.shape[0],), self.weight))

        members, rows = [Constant() for _ in range(3)], 4000
        for member, weight in zip(members, (0.25, 0.5, 0.75), strict=True):
            member.weight = weight
        mix = RandomMix(members, probabilities=[0.2, 0.5, 0.3])

        M = mix.mix_numpy(np.zeros((rows, 1), "float32"), np.eye(rows, dtype="float32"), seed=0)[1]

        _, counts = np.unique(np.diag(M), return_counts=True)
        assert stats.chisquare(counts, rows * np.array([0.2, 0.5, 0.3])).pvalue > 1e-3

    def test_same_on_batch_draws_one_member_for_all(self):
        layer = RandomMix([MixUp(1.0), CutMix(1.0)], same_on_batch=True)
        kinds = set()
        for seed in range(12):
            x, M = layer.mix_numpy(IMAGES, EYE, seed=seed)
            kinds |= set(check_images(x, M).tolist())
            assert len(set(np.diag(M).round(6))) == 1
        assert kinds == {False, True}

    @pytest.mark.parametrize(
        "own", [{"seed": 1}, {"pairing": "roll"}, {"num_classes": 3}, {"probability": 0.5}, {"dominant": True}], ids=str
    )
    def test_random_mix_refuses_members_with_options_of_their_own(self, own):
        (name,) = own
        with pytest.raises(ValueError, match=rf"(?s)only how a sample is mixed.*RandomMix\(\[...\], {name}="):
            RandomMix([MixUp(1.0, **own), CutMix()])

    def test_random_mix_refuses_what_is_no_mixing_layer(self):
        with pytest.raises(TypeError, match="Received: Dense"):
            RandomMix([keras.layers.Dense(3)])
        with pytest.raises(ValueError, match="sum 1"):
            RandomMix([MixUp(), CutMix()], probabilities=[0.5, 0.6])
        with pytest.raises(ValueError, match="layers"):
            RandomMix([])

    def test_members_may_be_scheduled(self):
        off = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 1.0])
        layer = RandomMix([MixUp(off), CutMix(off)], seed=0)

        first, second = (to_numpy(layer(IMAGES, EYE, training=True)[1]) for _ in range(2))

        np.testing.assert_array_equal(first, EYE)
        assert (np.diag(second) < 1).any()
        with pytest.raises(ValueError, match="schedule"):
            layer.mix_numpy(IMAGES, EYE, seed=0)
