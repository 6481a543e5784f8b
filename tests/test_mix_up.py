"""`MixUp`: what holds for a mixing layer, in every place that it can be put."""

import itertools

import keras
import models
import numpy as np
import places
import pytest
import reference
import tensorflow as tf

import keras_mixup
from keras_mixup import MixUp

OPTIONS = [
    {},
    {"alpha": 8.0},
    {"probability": 0.5},
    {"same_on_batch": True},
    {"same_on_batch": True, "probability": 0.5},
    {"pairing": "roll"},
    {"dominant": True},
    {"alpha": 0.0},
]


MATRICES = [(place, options) for place in (places.in_numpy, places.in_fit) for options in OPTIONS[1:]]
MATRICES += [
    pytest.param(place, {}, marks=pytest.mark.quick) for place in (places.in_numpy, places.in_fit, places.in_map)
]
MATRICES += [(places.in_parallel_dataset, {})]
MATRICES += [(place, OPTIONS[4]) for place in (places.eager, places.in_map, places.in_parallel_dataset)]


@pytest.mark.parametrize(("place", "options"), MATRICES, ids=lambda case: getattr(case, "__name__", str(case)))
def test_labels_eye_become_the_mixing_matrix(place, options, images, eye):
    """`tensordot(M, x) == x'`, rows sum to 1, at most two shares: in every place, with every option.

    Options decide the draw, which is one code on NumPy and one on the backend.
    """
    x, M = place(MixUp(**{"alpha": 1.0, "seed": 0, **options}), images, eye)

    reference.check_mixing_matrix(M)
    np.testing.assert_allclose(x, reference.mixed(M, images), atol=1e-5)


RANKS = [(8,), (8, 4), (8, 7, 4), (8, 5, 5, 3), (8, 3, 4, 4, 2)]


@pytest.mark.parametrize(
    ("place", "shape"),
    [(place, shape) for place in (places.in_numpy, places.eager) for shape in RANKS]
    + [(place, shape) for place in (places.in_map, places.in_parallel_dataset) for shape in (RANKS[0], RANKS[-1])]
    + [(places.in_fit, shape) for shape in (RANKS[1], RANKS[-1])],
)
def test_every_rank_from_vectors_to_video(place, shape, eye):
    """The formula does not ask what the axes behind the batch axis mean. (A model has no inputs of rank 1.)"""
    x = np.random.default_rng(0).normal(size=shape).astype("float32")

    mixed, M = place(MixUp(alpha=1.0, seed=0), x, eye)

    np.testing.assert_allclose(mixed, reference.mixed(M, x), atol=1e-5)
    assert not np.allclose(mixed, x)


class TestOptions:
    def test_every_sample_has_its_own_weight(self):
        M = matrix(MixUp(alpha=1.0, seed=0), 64)

        assert len(np.unique(np.diag(M))) > 60

    def test_no_sample_is_its_own_partner(self):
        M = matrix(MixUp(alpha=8.0, seed=0), 64)

        assert ((M > 0).sum(axis=1) == 2).all()

    def test_same_on_batch_shares_one_weight(self):
        M = matrix(MixUp(alpha=1.0, same_on_batch=True, seed=1), 64)

        assert np.ptp(np.diag(M)) == 0
        assert 0 < M[0, 0] < 1

    def test_probability_is_the_share_of_mixed_samples(self):
        M = matrix(MixUp(alpha=8.0, probability=0.25, seed=0), 2000)

        assert abs((np.diag(M) < 1).mean() - 0.25) < 0.04

    @pytest.mark.slow
    def test_probability_with_same_on_batch_is_the_share_of_mixed_batches(self):
        layer = MixUp(alpha=8.0, probability=0.5, same_on_batch=True, seed=0)

        mixed = [(np.diag(matrix(layer, 8)) < 1).mean() for _ in range(60)]

        assert set(mixed) == {0.0, 1.0}
        assert 15 < sum(mixed) < 45

    def test_dominant_keeps_the_greater_share(self):
        plain, dominant = (np.diag(matrix(MixUp(alpha=1.0, dominant=d, seed=0), 64)) for d in (False, True))

        np.testing.assert_array_equal(dominant, np.maximum(plain, 1 - plain).astype("float32"))
        assert (plain < 0.5).any()

    def test_roll_pairs_with_the_row_before(self):
        M = matrix(MixUp(alpha=8.0, pairing="roll", seed=0), 5)

        assert (M[np.arange(5), np.arange(5) - 1] > 0).all()

    @pytest.mark.parametrize("off", [{"alpha": 0.0}, {"probability": 0.0}, {"alpha": 0}])
    def test_off_is_exactly_off(self, off, images, eye, numpy):
        x, M = numpy(MixUp(**off)(images, eye, training=True))

        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(M, eye)

    @pytest.mark.parametrize("options", [{"alpha": 0.0}, {"alpha": 8.0, "probability": 0.5}])
    def test_rows_that_are_not_mixed_take_nothing_of_a_broken_one(self, options, images, eye, numpy):
        images[3] = np.nan

        x, M = numpy(MixUp(seed=0, **options)(images, eye, training=True))

        assert np.isnan(x[:, 0, 0, 0]).tolist() == (M[:, 3] > 0).tolist()
        assert (M[:, 3] > 0).sum() < 8


class TestGate:
    def test_only_training_true_mixes(self, images, numpy):
        layer = MixUp(alpha=1.0, seed=0)

        np.testing.assert_array_equal(numpy(layer(images)), images)
        np.testing.assert_array_equal(numpy(layer(images, training=False)), images)
        assert not np.allclose(numpy(layer(images, training=True)), images)

    def test_predict_evaluate_and_plain_calls_of_a_model_never_mix(self, images, numpy):
        model = keras.Sequential([keras.Input((6, 5, 3)), MixUp(alpha=1.0, seed=0)])
        model.compile(loss="mse")

        np.testing.assert_array_equal(numpy(model(images)), images)
        np.testing.assert_array_equal(model.predict(images, verbose=0), images)
        assert model.evaluate(images, images, verbose=0) == 0
        assert not np.allclose(numpy(model(images, training=True)), images)

    def test_without_training_labels_are_only_encoded(self, images, numpy):
        y = np.arange(8)

        x, encoded = numpy(MixUp(num_classes=8)(images, y, training=False))

        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(encoded, np.eye(8))
        np.testing.assert_array_equal(numpy(MixUp()(images, y, training=False)[1]), y)

    def test_labels_without_training_warn_and_name_the_fix(self, images, eye, numpy):
        with pytest.warns(UserWarning, match=r"nothing is mixed.*training=True.*mix_dataset.*training=False"):
            x, y = MixUp()(images, eye)

        np.testing.assert_array_equal(numpy(x), images)
        np.testing.assert_array_equal(numpy(y), eye)

    def test_dataset_map_of_the_bare_layer_warns(self, images, eye):
        dataset = tf.data.Dataset.from_tensor_slices((images, eye)).batch(8)

        with pytest.warns(UserWarning, match=r"dataset\.map\(lambda x, y: mixup\(x, y, training=True\)\)"):
            ((x, y),) = dataset.map(MixUp())

        np.testing.assert_array_equal(x.numpy(), images)
        np.testing.assert_array_equal(y.numpy(), eye)


class TestForms:
    def test_inputs_alone_give_inputs(self, images):
        assert tuple(MixUp()(images, training=True).shape) == images.shape

    def test_sample_weights_come_out_third(self, images, eye, numpy):
        w = np.linspace(0.1, 2, 8).astype("float32")
        layer = MixUp(alpha=1.0, seed=0)

        x, y, mixed_w = numpy(layer(images, eye, w, training=True))

        M = layer.mix_numpy(eye, eye, seed=0)[1]
        expected_y, expected_w = reference.weighted_labels(M, eye, w)
        np.testing.assert_allclose(x, reference.mixed(M, images), atol=1e-5)
        np.testing.assert_allclose(y, expected_y, atol=1e-5)
        np.testing.assert_allclose(mixed_w, expected_w, rtol=1e-5)

    def test_every_leaf_of_a_nest_is_mixed_by_the_same_draw(self, images, eye, numpy):
        x = {"image": images, "table": (eye * 3, eye[:, :2])}
        y = [eye, eye[:, 0]]

        x2, y2 = numpy(MixUp(alpha=1.0, seed=0)(x, y, training=True))

        M = y2[0]
        np.testing.assert_allclose(x2["image"], reference.mixed(M, images), atol=1e-5)
        np.testing.assert_allclose(x2["table"][0], M * 3, atol=1e-5)
        np.testing.assert_allclose(x2["table"][1], M[:, :2], atol=1e-6)
        np.testing.assert_allclose(y2[1], M[:, 0], atol=1e-6)

    def test_a_sample_dict_keeps_its_keys_and_their_roles(self, images, eye, numpy):
        masks = np.random.default_rng(0).integers(0, 4, (8, 6, 5, 1))
        w = np.ones(8, "float32")
        sample = {"images": images, "labels": eye, "segmentation_masks": masks, "sample_weights": w}

        out = numpy(MixUp(alpha=1.0, num_classes=4, seed=0)(sample, training=True))

        M = out["labels"]
        assert list(out) == list(sample)
        np.testing.assert_allclose(out["images"], reference.mixed(M, images), atol=1e-5)
        np.testing.assert_allclose(out["segmentation_masks"], reference.mixed(M, np.eye(4)[masks[..., 0]]), atol=1e-5)
        np.testing.assert_allclose(out["sample_weights"], w, atol=1e-6)
        assert list(sample) == ["images", "labels", "segmentation_masks", "sample_weights"]
        assert sample["labels"] is eye

    @pytest.mark.slow
    def test_empty_labels_say_that_there_are_none(self, images):
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(8)
        layer = MixUp(alpha=1.0)

        (x,) = dataset.map(lambda x: layer(x, labels=(), training=True))

        assert not np.allclose(x.numpy(), images)
        assert tuple(layer(images, labels=(), training=True).shape) == images.shape

    @pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_parallel_dataset, places.in_numpy])
    @pytest.mark.parametrize("rows", [0, 1])
    def test_batches_of_one_and_none_come_out_as_they_are(self, place, rows, images, eye):
        if place in (places.in_map, places.in_parallel_dataset):
            place = empty_dataset_place(place)

        x, y = place(MixUp(alpha=1.0, seed=0), images[:rows], eye[:rows])

        np.testing.assert_array_equal(x, images[:rows])
        np.testing.assert_array_equal(y, eye[:rows])

    def test_a_batch_of_one_is_exact_whatever_the_chance(self, images, eye):
        """Blending a sample with itself would change its last bits."""
        for seed in range(20):
            x, _ = MixUp(1.0, probability=0.999).mix_numpy(images[:1], eye[:1], seed=seed)
            np.testing.assert_array_equal(x, images[:1])


POLICIES = ["float32", "mixed_float16", "mixed_bfloat16", "float64"]
IN_PRECISION = [(place, policy) for place in (places.eager, places.in_numpy, places.in_fit) for policy in POLICIES]
IN_PRECISION += [(places.in_map, "mixed_float16"), (places.in_map, "float64")]
IN_PRECISION += [(places.in_parallel_dataset, "mixed_bfloat16")]


class TestDtypes:
    @pytest.mark.parametrize(("place", "policy"), IN_PRECISION)
    def test_inputs_come_in_the_compute_dtype_and_labels_in_float32_or_wider(self, place, policy, images, eye):
        if policy == "float64" and keras.backend.backend() == "jax" and place is not places.in_numpy:
            pytest.skip("JAX has no float64 unless it is enabled")
        layer = MixUp(alpha=1.0, seed=0, dtype=policy)

        x, M = place(layer, images, eye)

        if place is not places.in_fit:
            assert x.dtype.name == layer.compute_dtype
        assert M.dtype.name == "float32"
        reference.check_mixing_matrix(M)
        tolerance = {"float16": 1e-3, "bfloat16": 8e-3}.get(layer.compute_dtype, 1e-6)
        np.testing.assert_allclose(x.astype("float64"), reference.mixed(M, images), atol=tolerance)

    @pytest.mark.parametrize("place", [places.eager, places.in_map, places.in_numpy])
    @pytest.mark.parametrize("training", [True, False])
    def test_bytes_become_the_compute_dtype(self, place, training, eye):
        x = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), "uint8")
        layer = MixUp(alpha=1.0, seed=0)
        if not training:

            def place(layer, x, y):
                return tuple(map(keras.ops.convert_to_numpy, layer(x, y, training=False)))

        mixed, M = place(layer, x, eye)

        assert mixed.dtype == "float32"
        np.testing.assert_allclose(mixed, reference.mixed(M, x), atol=1e-4)

    def test_symbolic_outputs_have_the_shapes_and_dtypes_of_the_real_ones(self):
        x, y, w = (
            keras.KerasTensor((None, 4, 4, 3), "uint8"),
            keras.KerasTensor((None, 1), "int32"),
            keras.KerasTensor((None,)),
        )

        outputs = MixUp(num_classes=5, dtype="mixed_float16")(x, y, w, training=True)

        assert [(t.shape, t.dtype) for t in outputs] == [
            ((None, 4, 4, 3), "float16"),
            ((None, 5), "float32"),
            ((None,), "float32"),
        ]

    def test_double_labels_stay_double_on_numpy(self, images, eye):
        assert MixUp().mix_numpy(images, eye.astype("float64"), seed=0)[1].dtype == "float64"

    @pytest.mark.parametrize("dtype", ["bool", "float16"])
    def test_multi_hot_booleans_and_half_labels_become_float32(self, dtype, images, eye, numpy):
        _, M = numpy(MixUp(alpha=1.0, seed=0)(images, eye.astype(dtype), training=True))

        assert M.dtype == "float32"
        reference.check_mixing_matrix(M)


class TestSeeds:
    def test_a_seed_repeats_and_batches_differ(self):
        runs = [[matrix(layer, 8) for _ in range(3)] for layer in (MixUp(1.0, seed=5), MixUp(1.0, seed=5))]

        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.allclose(runs[0][0], runs[0][1])

    def test_no_two_seeds_share_a_stream(self):
        first = MixUp(1.0, seed=0)
        draws = [matrix(first, 8) for _ in range(6)] + [matrix(MixUp(1.0, seed=seed), 8) for seed in range(1, 6)]

        for a, b in itertools.combinations(draws, 2):
            assert not np.allclose(a, b)

    def test_set_random_seed_seeds_layers_without_a_seed(self):
        draws = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            draws.append(matrix(MixUp(1.0), 8))

        np.testing.assert_array_equal(draws[0], draws[1])
        assert not np.allclose(draws[0], draws[2])

    def test_a_seed_in_the_call_makes_it_pure(self, images, eye, numpy):
        layer = MixUp(1.0, seed=0)
        first = matrix(layer, 8)

        drawn = [numpy(layer(images, eye, training=True, seed=s)[1]) for s in (7, 7, 8)]
        tensor = numpy(layer(images, eye, training=True, seed=keras.ops.convert_to_tensor(7))[1])

        np.testing.assert_array_equal(drawn[0], drawn[1])
        np.testing.assert_array_equal(drawn[0], tensor)
        assert not np.allclose(drawn[0], drawn[2])
        twin = MixUp(1.0, seed=0)
        np.testing.assert_array_equal([first, matrix(layer, 8)], [matrix(twin, 8), matrix(twin, 8)])
        assert not np.allclose(first, drawn[0])

    @pytest.mark.parametrize("seed", [1.5, True, "a", np.zeros(3, "int32"), np.float32(1)], ids=str)
    def test_other_seeds_in_a_call_are_refused(self, seed, images, eye):
        with pytest.raises(TypeError, match=r"`seed`: expected an integer, or an integer tensor of shape"):
            MixUp()(images, eye, training=True, seed=seed)

    @pytest.mark.parametrize("seed", [0, 2**31, 2**32 - 1])
    def test_every_32_bit_seed_works(self, seed):
        eye = np.eye(8, dtype="float32")
        expected = MixUp(1.0).mix_numpy(eye, eye, seed=seed)[1]

        np.testing.assert_allclose(matrix(MixUp(1.0, seed=seed), 8), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="transformations of PyTorch")
def test_grad_and_vmap_of_pytorch_go_through_a_pure_call(images, eye):
    import torch

    layer, x = MixUp(1.0), torch.tensor(images)

    def total(x):
        return (layer(x, eye, training=True, seed=3)[0] ** 2).sum()

    gradient = torch.func.grad(total)(x)
    matrices = torch.func.vmap(lambda seed: layer(x, torch.tensor(eye), training=True, seed=seed)[1])(torch.arange(3))

    assert gradient.shape == x.shape
    expected = [keras.ops.convert_to_numpy(layer(x, eye, training=True, seed=seed)[1]) for seed in range(3)]
    np.testing.assert_allclose(matrices.numpy(), expected, atol=1e-6)


class TestSchedules:
    @pytest.mark.slow
    def test_alpha_follows_its_schedule_by_the_training_calls(self, images, eye, numpy):
        """Off for three steps, then on: compiled in `fit`, without retracing, and not counted by other calls."""
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.0, 1.0])
        model = models.recording_model(MixUp(alpha=schedule, seed=0), images, eye)
        model.predict(images, verbose=0)

        mixed = []
        for _ in range(5):
            model.train_on_batch(images, eye)
            mixed.append(not np.allclose(models.recorded(model, images)[1], eye))

        assert mixed == [False, False, False, True, True]

    def test_probability_follows_its_schedule(self):
        layer = MixUp(8.0, probability=keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0]), seed=0)

        assert (np.diag(matrix(layer, 8)) < 1).all()
        assert (np.diag(matrix(layer, 8)) == 1).all()

    def test_assigning_is_possible_until_the_layer_is_used(self):
        layer = MixUp(0.2)
        layer.alpha, layer.probability = 0.4, 0.5
        assert (layer.alpha, layer.probability) == (0.4, 0.5)
        matrix(layer, 4)

        for name in ("alpha", "probability"):
            with pytest.raises(AttributeError, match=rf"`{name}`.*schedule.*{name}=keras\.optimizers\.schedules"):
                setattr(layer, name, 0.3)

    def test_a_schedule_in_a_pipeline_is_refused(self, images, eye):
        layer = MixUp(keras.optimizers.schedules.ExponentialDecay(0.2, 10, 0.5))
        dataset = tf.data.Dataset.from_tensor_slices((images, eye)).batch(8)

        for use in (
            lambda: layer.mix_dataset(dataset),
            lambda: layer.mix_numpy(images, eye, seed=0),
            lambda: dataset.map(lambda x, y: layer(x, y, training=True)),
            lambda: layer(images, eye, training=True, seed=0),
        ):
            with pytest.raises(ValueError, match=r"`alpha` is a schedule.*`alpha=0\.2`"):
                use()


class TestState:
    def test_config_round_trip(self):
        schedule = keras.optimizers.schedules.CosineDecay(0.0, 10, warmup_target=0.4, warmup_steps=5)
        layer = MixUp(
            schedule, probability=0.5, same_on_batch=True, pairing="roll", num_classes=3, dominant=True, seed=1,
            name="mix", dtype="mixed_float16",
        )  # fmt: skip

        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))

        assert copy.get_config() == layer.get_config()
        assert copy.alpha(3) == schedule(3)
        assert copy.compute_dtype == "float16"

    @pytest.mark.slow
    @pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
    def test_the_random_state_is_saved_and_restored(self, suffix, images, eye, tmp_path):
        """A loaded model draws what the saved one draws next."""

        def build(seed):
            return models.recording_model(MixUp(1.0, seed=seed), images, eye)

        model = build(0)
        model.train_on_batch(images, eye)
        path = tmp_path / f"model{suffix}"
        if suffix == ".keras":
            model = keras.Sequential(model.layers)  # without the test's own metric
            model.build((None, 6, 5, 3))
            model.save(path)
            loaded = keras.saving.load_model(path)
        else:
            model.save_weights(path)
            loaded = build(1)
            loaded.load_weights(path)

        expected, drawn = (keras.ops.convert_to_numpy(m(images, training=True)) for m in (model, loaded))

        np.testing.assert_array_equal(drawn, expected)

    @pytest.mark.slow
    def test_weights_made_without_the_layer_still_load(self, images, tmp_path):
        layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
        before = keras.Sequential([keras.Input((6, 5, 3)), *layers])
        before.save_weights(tmp_path / "before.weights.h5")
        after = keras.Sequential([keras.Input((6, 5, 3)), MixUp(), keras.layers.Flatten(), keras.layers.Dense(2)])

        after.load_weights(tmp_path / "before.weights.h5")

        np.testing.assert_array_equal(after.predict(images, verbose=0), before.predict(images, verbose=0))
        assert after.count_params() == before.count_params()
        assert len(after.get_weights()) == len(before.get_weights())

    def test_it_is_a_keras_layer_without_weights(self):
        layer = MixUp()

        assert isinstance(layer, keras.layers.Layer)
        assert layer.weights == []
        assert keras_mixup.MixUp is MixUp


def matrix(layer, batch):
    eye = np.eye(batch, dtype="float32")
    return keras.ops.convert_to_numpy(layer(eye, eye, training=True)[1])


def empty_dataset_place(place):
    def run(layer, x, y):
        dataset = tf.data.Dataset.from_tensors((x, y))
        if place is places.in_map:
            dataset = dataset.map(lambda x, y: layer(x, y, training=True))
        else:
            dataset = layer.mix_dataset(dataset)
        ((x, y),) = dataset
        return x.numpy(), y.numpy()

    return run
