"""`MixLayer`: what a subclass may draw, and what is refused."""

import keras
import numpy as np
import places
import pytest
import reference
from data import EYE, IMAGES, ROWS

from keras_mixup import CutMix, MixLayer, MixLoss, MixUp, RandomMix, training_step
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


class ByBrightness(MixLayer):
    """Weighs both samples by the means of their inputs; a mix that looks at the batch."""

    def draw(self, batch):
        brightness = batch.ops.mean(batch.inputs, axis=(1, 2, 3))
        other = batch.ops.take(brightness, batch.partner, axis=0)
        return Mix(weight=brightness / (brightness + other))


@pytest.mark.parametrize("place", places.PLACES)
def test_a_mix_sees_the_inputs_and_the_partners_in_every_place(place):
    _, M = place(ByBrightness(seed=0), IMAGES, EYE)

    brightness = IMAGES.astype("float64").mean(axis=(1, 2, 3))
    partner = reference.partners(M)
    np.testing.assert_allclose(np.diag(M), brightness / (brightness + brightness[partner]), rtol=1e-5)
    assert (partner != np.arange(ROWS)).all()


@pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_parallel_dataset, places.in_numpy])
def test_a_mix_sees_labels_as_they_are_mixed(place):
    """Class indices as one-hot rows; in a model there are none."""

    class OfClassOne(MixLayer):
        def draw(self, batch):
            return Mix(weight=1.0 - 0.5 * batch.labels[:, 1])

    classes = np.arange(ROWS) % 3
    _, y = place(OfClassOne(num_classes=3, seed=0), IMAGES, classes)

    own = np.asarray(y)[np.arange(ROWS), classes]
    assert (own[classes == 1] < 1).any()
    assert (own[classes != 1] == 1).all()


def test_there_are_no_labels_in_a_model():
    seen = []

    class Looking(MixLayer):
        def draw(self, batch):
            seen.append(batch.labels)
            return Mix(weight=batch.random.uniform(batch.shape[:1]))

    places.in_fit(Looking(seed=0), IMAGES, EYE)

    assert seen
    assert all(labels is None for labels in seen)


class Thirds(MixLayer):
    """Takes each third of the rows of an image from another sample."""

    pastes = True

    def draw(self, batch):
        rows = batch.ops.arange(batch.rows)
        partners = ((rows + 1) % batch.rows, (rows + 2) % batch.rows)
        height = batch.shape[1]
        owner = batch.ops.reshape(batch.ops.arange(height) * 3 // height, (1, -1, 1, 1))
        return Mix(owner=owner + 0 * batch.ops.reshape(rows, (-1, 1, 1, 1)), partners=partners)


@pytest.mark.parametrize("place", places.PLACES)
def test_elements_may_come_from_three_samples(place):
    """`owner` says from which; the labels are blended by their shares."""
    x, M = place(Thirds(seed=0), IMAGES, EYE)

    rows, height = np.arange(ROWS), IMAGES.shape[1]
    owner = np.arange(height) * 3 // height
    for i in rows:
        wanted = [IMAGES[(i + owner[h]) % ROWS, h] for h in range(height)]
        np.testing.assert_allclose(x[i], wanted, atol=1e-6)
        np.testing.assert_allclose([M[i, (i + j) % ROWS] for j in range(3)], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(np.sum(M, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("place", places.PLACES)
def test_three_samples_may_be_blended(place):
    """`shares` and `partners` hold one entry more for each sample."""

    class Thrice(MixLayer):
        def draw(self, batch):
            rows = batch.ops.arange(batch.rows)
            partners = ((rows + 1) % batch.rows, (rows + 2) % batch.rows)
            part = batch.random.uniform((batch.rows,)) / 4
            return Mix((1 - 2 * part, part, part), partners)

    x, M = place(Thrice(seed=0), IMAGES, EYE)

    np.testing.assert_allclose(x, reference.mixed(M, IMAGES), atol=1e-5)
    assert ((np.asarray(M) > 0).sum(axis=1) == 3).all()


def test_losses_follow_each_of_three_samples():
    """`Σ share·L(y_j, ŷ)` over all samples of a mix, with a weight each."""
    layer, seen = Thirds(seed=0), {}
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    loss = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classes, weights = np.arange(ROWS) % 3, np.linspace(0.5, 2, ROWS).astype("float32")
    with training_step():
        seen["predictions"] = model(IMAGES, training=True)
        value = loss(classes, seen["predictions"], weights)

    M = sum(np.roll(np.eye(ROWS), j, axis=1) for j in range(3)) / 3
    predictions = keras.ops.convert_to_numpy(seen["predictions"])
    expected = reference.paired_loss(M, reference.softmax_crossentropy, classes, predictions, weights)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(value), expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_numpy])
def test_labels_of_elements_follow_each_of_three_samples(place):
    masks = np.random.default_rng(1).uniform(size=(*IMAGES.shape[:3], 2)).astype("float32")
    _, mixed = place(Thirds(seed=0), IMAGES, masks)

    height = IMAGES.shape[1]
    owner = np.arange(height) * 3 // height
    wanted = [[masks[(i + owner[h]) % ROWS, h] for h in range(height)] for i in range(ROWS)]
    np.testing.assert_allclose(mixed, wanted, atol=1e-6)


def test_losses_of_elements_follow_each_of_three_samples():
    """A pixel has the label of the sample that it was taken from."""
    masks = np.random.default_rng(1).integers(0, 3, size=IMAGES.shape[:3])
    head = keras.layers.Conv2D(3, 1)
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), Thirds(seed=0), head])
    loss = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with training_step():
        predictions = model(IMAGES, training=True)
        value = keras.ops.convert_to_numpy(loss(masks, predictions))

    height = IMAGES.shape[1]
    owner = np.arange(height) * 3 // height
    owned = np.array([[masks[(i + owner[h]) % ROWS, h] for h in range(height)] for i in range(ROWS)])
    one_hot = np.eye(3)[owned]
    expected = reference.softmax_crossentropy(one_hot, keras.ops.convert_to_numpy(predictions).astype("float64"))
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)


def test_members_of_two_and_three_samples_are_drawn_in_turn():
    """`RandomMix` gives a row of a mix of two samples a third share of 0."""
    _, M = RandomMix([Thirds(), CutMix(1.0)], probabilities=[0.5, 0.5], seed=0).mix_numpy(IMAGES, EYE, seed=3)

    np.testing.assert_allclose(M.sum(axis=1), 1, atol=1e-6)
    counts = (M > 0).sum(axis=1)
    assert {2, 3} <= set(counts.tolist())


class Two(MixLayer):
    """Blends with the next row."""

    def draw(self, batch):
        rows = batch.ops.arange(batch.rows)
        half = batch.ops.ones_like(batch.ops.cast(rows, "float32")) / 2
        return Mix((half, half), partners=((rows + 1) % batch.rows,))


class ThreeWithoutTheThird(MixLayer):
    """Three samples, of which the third has no share."""

    def draw(self, batch):
        rows = batch.ops.arange(batch.rows)
        half = batch.ops.ones_like(batch.ops.cast(rows, "float32")) / 2
        return Mix((half, half, 0 * half), ((rows + 1) % batch.rows, (rows + 2) % batch.rows))


def test_a_sample_without_a_share_leaks_nothing():
    """Not even a broken one: 0 times NaN is NaN."""
    broken = IMAGES.copy()
    broken[3] = np.nan
    x, _ = ThreeWithoutTheThird(seed=0).mix_numpy(broken, EYE, seed=0)

    assert np.isnan(x).all(axis=(1, 2, 3)).nonzero()[0].tolist() == [2, 3]


def test_members_keep_the_partners_that_they_have_brought():
    """Each row of `RandomMix` has the partner of the member that was drawn for it."""
    layer = RandomMix([MixUp(1.0), Two()], pairing="roll", seed=0)
    x, M = layer.mix_numpy(IMAGES, EYE, seed=0)

    np.testing.assert_allclose(x, reference.mixed(M, IMAGES), atol=1e-5)
    rows, partner = np.arange(ROWS), reference.partners(M)
    assert set((partner - rows) % ROWS) == {1, ROWS - 1}
    assert (M[partner == (rows + 1) % ROWS].max(axis=1) == 0.5).all()


def test_a_mix_refuses_arguments_that_contradict_each_other():
    keep, partner = np.ones((2, 3), bool), np.array([1, 0])

    with pytest.raises(TypeError, match="Received: both"):
        Mix(keep=keep, owner=keep * 1, partner=partner)
    with pytest.raises(TypeError, match="Received: both"):
        Mix((np.ones(2), np.zeros(2)), weight=np.ones(2), partner=partner)
    assert Mix(weight=np.ones(2), partner=partner).replace(weight=np.zeros(2)).shares[1].tolist() == [1, 1]


def test_validation_data_have_the_dtypes_of_training_data():
    """Labels and weights are float32 or wider in both."""
    for labels, weights in ((EYE.astype("float16"), None), (EYE > 0, np.ones(ROWS, bool))):
        parts = (IMAGES, labels) if weights is None else (IMAGES, labels, weights)
        mixed, clean = (MixUp().mix_numpy(*parts, seed=0, training=training) for training in (True, False))
        assert [part.dtype for part in mixed] == [part.dtype for part in clean]


def test_weights_of_elements_may_be_finer_than_the_parts():
    """Bands along one axis, and a weight for each pixel."""
    masks = np.random.default_rng(0).uniform(size=IMAGES.shape[:3]).astype("float32")[..., None]
    weights = np.random.default_rng(1).uniform(size=IMAGES.shape[:3]).astype("float32")
    _, y, w = CutMix(1.0, axes=(1,)).mix_numpy(IMAGES, masks, weights, seed=0)
    _, tags = CutMix(1.0, axes=(1,)).mix_numpy(IMAGES, np.tile(EYE[:, None, None], (1, *IMAGES.shape[1:3], 1)), seed=0)

    np.testing.assert_allclose(w, np.einsum("ihwj,jhw->ihw", tags, weights), rtol=1e-5)
    np.testing.assert_allclose(y[..., 0], np.einsum("ihwj,jhw->ihw", tags, masks[..., 0]), rtol=1e-5)
