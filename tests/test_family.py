"""What holds for `MixUp` holds for every mixing layer: one table of layers, one table of promises."""

import keras
import numpy as np
import places
import pytest
import reference
from scipy import stats

from keras_mixup import CutMix, FMix, GridMix, MixLayer, MixLoss, MixUp, Nearby, OtherClass, RandomMix, SameClass
from keras_mixup.functional import Mix, draw_weights

ROWS = 8
IMAGES = np.random.default_rng(0).uniform(size=(ROWS, 12, 10, 3)).astype("float32")
EYE = np.eye(ROWS, dtype="float32")
to_numpy = keras.ops.convert_to_numpy


class Halves(MixLayer):
    """The right half of the partner: a mix of one's own, as README writes one."""

    def draw(self, ops, random, shape):
        column = ops.reshape(ops.arange(shape[2]), (1, 1, -1, 1))
        return Mix(keep=ops.broadcast_to(column < shape[2] // 2, (shape[0], 1, shape[2], 1)))


LAYERS = {
    "MixUp": lambda **options: MixUp(1.0, **options),
    "CutMix": lambda **options: CutMix(1.0, **options),
    "FMix": lambda **options: FMix(1.0, **options),
    "GridMix": lambda **options: GridMix(1.0, **options),
    "RandomMix": lambda **options: RandomMix([MixUp(0.8), CutMix(1.0)], **options),
    "RandomMix of pastes": lambda **options: RandomMix(
        [CutMix(1.0), GridMix(1.0)], probabilities=[0.3, 0.7], **options
    ),
    "one's own": lambda **options: Halves(**options),
}


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


def check_images(x, M):
    """Every element is the original's, the partner's or their blend by λ, and their mean share is λ."""
    weight, other = np.diag(M)[:, None, None, None], IMAGES[reference.partners(M)]
    own, pasted = np.isclose(x, IMAGES, atol=1e-6), np.isclose(x, other, atol=1e-6)
    blended = np.isclose(x, weight * IMAGES + (1 - weight) * other, atol=1e-5)
    assert (own | pasted | blended).all()
    paste = ~blended.all(axis=(1, 2, 3))
    np.testing.assert_allclose(own.mean(axis=(1, 2, 3))[paste], np.diag(M)[paste], atol=1e-6)
    return paste


SHARED = {"same_on_batch": True, "dominant": True}
CASES = [(places.in_numpy, {}), (places.in_map, {}), (places.in_parallel_dataset, {})]
CASES += [(places.in_numpy, SHARED), (places.in_fit, SHARED)]


@pytest.mark.parametrize(("place", "options"), CASES, ids=lambda case: getattr(case, "__name__", str(case)))
def test_labels_are_the_mixing_matrix_in_every_place(make, place, options):
    """In the others the layer draws what it draws on NumPy, see the next test."""
    x, M = place(make(seed=0, **options), IMAGES, EYE)

    reference.check_mixing_matrix(M)
    check_images(np.asarray(x), M)
    if options.get("same_on_batch"):
        assert len(set(np.diag(M).round(6))) == 1
        assert (np.diag(M) >= 0.5).all()


def test_rows_that_the_gate_leaves_out_come_out_as_they_are(make):
    x, M = make(probability=0.5).mix_numpy(IMAGES, EYE, seed=0)

    left = np.diag(M) == 1
    assert 0 < left.sum() < ROWS
    np.testing.assert_array_equal(x[left], IMAGES[left])
    check_images(x, M)


COMPILED_BY_TORCH = {"MixUp": "blends", "CutMix": "pastes"}  # every layer does one or both; each takes half a minute


@pytest.mark.parametrize("place", [places.eager, places.compiled, places.in_fit])
def test_one_seed_draws_the_same_everywhere(make, place, request):
    if place is places.compiled and keras.backend.backend() == "torch":
        name = request.node.callspec.params["make"]
        if name not in COMPILED_BY_TORCH:
            pytest.skip("`torch.compile` is tried with a layer that blends and one that pastes")
    x, M = make(seed=0).mix_numpy(IMAGES, EYE, seed=0)

    x_there, M_there = place(make(seed=0), IMAGES, EYE)

    np.testing.assert_allclose(x_there, x, atol=1e-6)
    np.testing.assert_allclose(M_there, M, atol=1e-6)


def test_only_training_mixes_and_predictions_never_do(make):
    layer = make()
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])

    np.testing.assert_array_equal(to_numpy(layer(IMAGES)), IMAGES)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), IMAGES)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_dtypes(make, policy):
    x, M = make(seed=0, dtype=policy)((IMAGES * 255).astype("uint8"), EYE, training=True)

    wanted = keras.dtype_policies.get(policy).compute_dtype
    got = keras.backend.standardize_dtype(x.dtype)
    assert got == wanted or (keras.backend.backend() == "jax" and (got, wanted) == ("float32", "float64"))
    assert keras.backend.standardize_dtype(M.dtype) in ("float32", "float64")


def test_it_is_saved_and_goes_on(make, tmp_path):
    if make is LAYERS["one's own"]:
        pytest.skip("a class of these tests, which is not registered")
    layers = [keras.Input(IMAGES.shape[1:]), make(), keras.layers.Flatten(), keras.layers.Dense(ROWS)]
    model = keras.Sequential(layers)
    model.compile("sgd", MixLoss("mse"))
    model.fit(IMAGES, EYE, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    expected, got = (m.fit(IMAGES, EYE, verbose=0, shuffle=False).history["loss"] for m in (model, loaded))
    assert got == pytest.approx(expected, rel=1e-6)
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    assert model.count_params() == loaded.count_params() == 360 * ROWS + ROWS


def test_a_schedule_is_followed_in_the_model(make):
    if make is LAYERS["one's own"] or "RandomMix" in make.__code__.co_names:
        pytest.skip("has no alpha of its own")
    layer = make(seed=0)
    layer.alpha = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 1.0])

    first, second = (to_numpy(layer(IMAGES, EYE, training=True)[1]) for _ in range(2))

    np.testing.assert_array_equal(first, EYE)
    assert (np.diag(second) < 1).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_image_does_not_reach_rows_that_take_nothing_of_it(make, broken):
    images = IMAGES.copy()
    images[0] = broken
    x, M = make(seed=0).mix_numpy(images, EYE, seed=1)

    for row in range(1, ROWS):
        if M[row, 0] == 0:
            assert np.isfinite(x[row]).all()
        elif make().pastes:
            assert np.isfinite(x[row]).any()


def test_empty_and_single_batches_come_out_as_they_are(make):
    for rows in (0, 1):
        x, M = make(seed=0).mix_numpy(IMAGES[:rows], EYE[:rows], seed=0)
        np.testing.assert_array_equal(x, IMAGES[:rows])
        np.testing.assert_array_equal(M, EYE[:rows])


class TestCutMix:
    def test_the_label_is_the_counted_share_over_ten_thousand_boxes(self):
        """Exactly, to the last bit of float32."""
        batch, height, width = 500, 13, 9
        x = np.broadcast_to(np.arange(batch, dtype="float32")[:, None, None, None], (batch, height, width, 1))
        hit, layer = np.zeros((height, width)), CutMix(1.0)
        for seed in range(20):
            mixed, M = layer.mix_numpy(x, np.eye(batch, dtype="float32"), seed=seed)
            kept = (mixed == x)[..., 0]
            share = kept.sum(axis=(1, 2)).astype("float32") / np.float32(height * width)
            np.testing.assert_array_equal(np.diag(M), share)
            hit += (~kept).sum(axis=0)

        assert (hit > 0).all()  # every pixel can be replaced
        assert hit[height // 2, width // 2] > hit[0, 0] > 0.15 * hit.max()

    def test_boxes_have_the_share_that_was_drawn(self):
        """Boxes that no border cuts: their share is 1 - λ', λ' ~ Beta(1, 1), up to whole pixels."""
        layer, x = CutMix(1.0), np.zeros((4000, 64, 64, 1), "float32")
        x += np.arange(4000)[:, None, None, None]
        mixed = layer.mix_numpy(x, np.ones((4000, 1), "float32"), seed=0)[0]
        lost = (mixed != x)[..., 0]
        whole = ~(lost[:, 0].any(1) | lost[:, -1].any(1) | lost[:, :, 0].any(1) | lost[:, :, -1].any(1))

        sides = lost.any(axis=1).sum(axis=1), lost.any(axis=2).sum(axis=1)
        assert (np.abs(sides[0] - sides[1])[whole] == 0).all()  # in the proportion of the image
        assert whole.sum() > 500

    @pytest.mark.parametrize(
        ("axes", "shape"), [((1,), (8, 20, 3)), ((1, 2), (8, 9, 7)), ((1, 2, 3), (8, 5, 6, 7, 1)), ((2,), (8, 3, 20))]
    )
    def test_other_axes(self, axes, shape):
        x = np.random.default_rng(0).uniform(size=shape).astype("float32")
        mixed, M = CutMix(1.0, axes=axes).mix_numpy(x, EYE, seed=3)

        kept = mixed == x
        others = tuple(axis for axis in range(1, len(shape)) if axis not in axes)
        assert (kept.all(axis=others) | ~kept.any(axis=others)).all()
        np.testing.assert_allclose(kept.reshape(8, -1).mean(axis=1), np.diag(M), atol=1e-6)

    def test_channels_first(self):
        x = np.moveaxis(IMAGES, -1, 1)
        first, M = CutMix(1.0, data_format="channels_first").mix_numpy(x, EYE, seed=0)
        last, N = CutMix(1.0, data_format="channels_last").mix_numpy(IMAGES, EYE, seed=0)

        np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)
        np.testing.assert_array_equal(M, N)

    def test_box_share_limits_the_box(self):
        _, M = CutMix(1.0, box_share=(0.0, 0.1)).mix_numpy(IMAGES, EYE, seed=0)

        assert np.diag(M).min() >= 0.9

    @pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_parallel_dataset, places.in_numpy])
    def test_masks_of_a_sample_are_pasted_and_stay_integers(self, place):
        masks = np.random.default_rng(1).integers(0, 5, size=(ROWS, 12, 10)).astype("int32")
        layer = CutMix(1.0, seed=0)
        sample = {"images": IMAGES, "labels": EYE, "segmentation_masks": masks}
        if place is places.eager:
            mixed = layer(sample, training=True)
        elif place is places.in_numpy:
            mixed = layer.mix_numpy(sample, seed=0)
        else:
            import tensorflow as tf

            dataset = tf.data.Dataset.from_tensor_slices(sample).batch(ROWS)
            dataset = (
                layer.mix_dataset(dataset)
                if place is places.in_parallel_dataset
                else dataset.map(lambda sample: layer(sample, training=True))
            )
            mixed = next(iter(dataset))
        x, M, pasted = (np.asarray(mixed[key]) for key in ("images", "labels", "segmentation_masks"))

        kept = (x == IMAGES).all(axis=-1)
        assert pasted.dtype == "int32"
        np.testing.assert_array_equal(pasted, np.where(kept, masks, masks[reference.partners(M)]))

    def test_inputs_without_height_and_width_say_what_to_do(self):
        with pytest.raises(ValueError, match=r"height and the width.*shape \(8, 5\).*axes=\(1,\)"):
            CutMix().mix_numpy(np.ones((8, 5), "float32"), EYE, seed=0)
        with pytest.raises(ValueError, match="height and the width"):
            keras.Sequential([keras.Input((5,)), CutMix()])

    def test_inputs_of_other_sizes_are_refused(self):
        with pytest.raises(ValueError, match=r"alike along the axes.*Received: an array of shape \(8, 6, 6, 3\)"):
            CutMix().mix_numpy([IMAGES, IMAGES[:, :6, :6]], EYE, seed=0)


@pytest.mark.parametrize("size", [8, 40])
def test_forms_of_fmix_have_the_share_that_was_drawn(size):
    rows = 500
    images = np.zeros((rows, size, size, 1), "float32")
    weights = [np.diag(FMix(1.0).mix_numpy(images, np.eye(rows, dtype="float32"), seed=s)[1]) for s in range(4)]

    assert stats.kstest(np.concatenate(weights), stats.beta(1, 1).cdf).pvalue > 1e-3


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

    def test_three_members(self):
        class Constant(MixLayer):
            def draw(self, ops, random, shape):
                return Mix(ops.full((shape[0],), self.weight))

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
    def test_members_that_say_what_is_not_theirs_are_refused(self, own):
        (name,) = own
        with pytest.raises(ValueError, match=rf"only how a sample is mixed.*RandomMix\(\[...\], {name}="):
            RandomMix([MixUp(1.0, **own), CutMix()])

    def test_what_is_no_member(self):
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


class TestMixOfOnesOwn:
    @staticmethod
    def layer(draw):
        return type("Own", (MixUp,), {"draw": draw})(1.0, seed=0)

    def test_its_weight_is_the_mean_of_keep(self):
        keep = np.random.default_rng(0).uniform(size=(ROWS, 12, 10, 1)).astype("float32")
        _, M = self.layer(lambda self, ops, random, shape: Mix(keep=keep)).mix_numpy(IMAGES, EYE, seed=0)

        np.testing.assert_allclose(np.diag(M), keep.mean(axis=(1, 2, 3)), atol=1e-6)

    @pytest.mark.parametrize(
        ("mix", "received"),
        [
            (np.ones(ROWS), "Received: ndarray"),
            (Mix(), "Received: a mix with the shapes {}"),
            (Mix(np.ones((ROWS, 1, 1, 1))), r"Received: a mix with the shapes {'weight': \(8, 1, 1, 1\)}"),
            (Mix(keep=np.ones((ROWS, 12))), r"{'keep': \(8, 12\)}, for inputs of shape \(8, 12, 10, 3\)"),
        ],
    )
    def test_what_is_no_mix_is_refused(self, mix, received):
        with pytest.raises(TypeError, match=rf"`Own.draw` must return a `keras_mixup.functional.Mix`.*{received}"):
            self.layer(lambda self, ops, random, shape: mix).mix_numpy(IMAGES, EYE, seed=0)

    def test_its_numbers_are_checked_and_its_schedules_need_steps(self):
        schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 0.4)
        for alpha, message in ((-1.0, "0 or above"), (schedule, "PolynomialDecay is a schedule.*no training step")):
            draw = lambda self, ops, random, shape, alpha=alpha: Mix(*draw_weights(random, shape[:1], alpha))
            with pytest.raises(ValueError, match=message):
                self.layer(draw).mix_numpy(IMAGES, EYE, seed=0)


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

    def test_config_and_equality(self):
        layer = MixUp(pairing=Nearby(0.5))
        copy = MixUp.from_config(layer.get_config())

        assert copy.pairing == Nearby(0.5) != Nearby(0.6)

    def test_in_a_model_there_are_no_labels(self):
        model = keras.Sequential([keras.Input((8,)), MixUp(pairing=OtherClass()), keras.layers.Dense(4)])
        model.compile("sgd", MixLoss("mse"))
        with pytest.raises(ValueError, match=r"pairs samples by their labels.*OtherClass.*mix_dataset"):
            model.fit(EYE, np.eye(4)[self.Y], verbose=0)

    def test_several_labels_are_refused(self):
        with pytest.raises(ValueError, match="one array"):
            MixUp(pairing=SameClass()).mix_numpy(EYE, [EYE, EYE], seed=0)

    def test_other_words(self):
        with pytest.raises(ValueError, match="pairing"):
            MixUp(pairing="flip")
        with pytest.raises(ValueError, match="bandwidth"):
            Nearby(0.0)


class TestRecipes:
    def test_big_vision(self):
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
