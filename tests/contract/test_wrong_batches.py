"""Batches and datasets that are not what they seem: refused, or warned of, before anything is silently wrong."""

import collections
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from data import EYE, ROWS

from keras_mixup import CutMix, FMix, GridMix, MixUp, RandomMix
from keras_mixup.functional import Mix, draw_weights, random_source

X = np.random.default_rng(0).uniform(size=(ROWS, 6, 6, 3)).astype("float32")
NAMES = np.array([f"sample {i}" for i in range(ROWS)])
NUMBERS = np.arange(ROWS)


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


PLACES = {
    "call": lambda layer, *batch: layer(*batch, training=True),
    "call without training": lambda layer, *batch: layer(*batch, training=False),
    "mix_numpy": lambda layer, *batch: layer.mix_numpy(*batch, seed=0),
    "map": lambda layer, *batch: dataset(*batch).batch(4).map(lambda *batch: layer(*batch, training=True)),
    "mix_dataset": lambda layer, *batch: layer.mix_dataset(dataset(*batch).batch(4)),
    "mix_dataset for validation": lambda layer, *batch: layer.mix_dataset(dataset(*batch).batch(4), training=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("third", [NAMES, NUMBERS, NUMBERS.astype("uint8")], ids=["strings", "integers", "bytes"])
def test_a_third_part_that_is_no_weight_is_refused_at_once(third, place):
    text = r"(?s)Sample weights, the third part of a batch, must be floating.*`tf\.cast\(w, 'float32'\)`.*pass them by"

    with pytest.raises(TypeError, match=text):
        PLACES[place](MixUp(), X, EYE, third)


@pytest.mark.parametrize("place", ["call", "mix_numpy", "mix_dataset"])
def test_boolean_weights_are_weights(place):
    assert PLACES[place](MixUp(), X, EYE, NUMBERS > 3) is not None


@pytest.mark.slow
def test_other_parts_pass_by_as_the_error_says():
    mixup = MixUp(seed=0)

    mixed = dataset(X, EYE, NAMES).batch(4).map(lambda x, y, name: (*mixup(x, y, training=True), name))

    assert [name.decode() for _, _, names in mixed for name in names.numpy()] == NAMES.tolist()


@pytest.mark.slow
class TestOneSample:
    @pytest.mark.parametrize(
        "sample",
        [
            (EYE, EYE),
            (EYE, NUMBERS[None].repeat(ROWS, 0)),
            (X, X[..., :1]),
            (X, X[..., 0]),
            ((X[:, :, :4] * 255).astype("uint8"), X[..., 0]),
        ],
        ids=["features like classes", "series", "segmentation", "masks", "bytes"],
    )
    def test_a_forgotten_batch_warns(self, sample):
        layer = MixUp(num_classes=ROWS if sample[1].dtype.kind == "i" else None)

        with pytest.warns(UserWarning, match=r"(?s)looks like one sample.*`dataset\.batch\(64\)`"):
            layer.mix_dataset(dataset(*sample))
        with pytest.warns(UserWarning, match="looks like one sample"):
            dataset(*sample).map(lambda x, y: layer(x, y, training=True))

    @pytest.mark.parametrize(
        ("x", "y"),
        [
            (X, EYE),
            (EYE, EYE),
            (EYE, NUMBERS.astype("float32")),
            (X[..., 0], EYE),
            (X[:, :, :, 0], X[:, :, 0]),
            (NUMBERS.astype("float32"), EYE),
        ],
        ids=["images", "vectors", "regression", "gray images", "series", "numbers"],
    )
    def test_batches_do_not_warn(self, x, y):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for drop_remainder in (True, False):
                mixed = MixUp().mix_dataset(dataset(x, y).batch(ROWS, drop_remainder=drop_remainder))
            assert len(list(mixed)) == 1


def shards(layer):
    return tf.data.Dataset.range(2).interleave(lambda _: layer.mix_dataset(dataset(X, EYE).batch(4)))


def in_a_function(layer):
    return tf.function(lambda: layer.mix_dataset(dataset(X, EYE).batch(4)).reduce(0, lambda n, _: n + 1))()


@pytest.mark.slow
@pytest.mark.parametrize("use", [shards, in_a_function])
def test_mix_dataset_is_refused_where_tensorflow_traces(use):
    """Every shard, or call, would repeat the same mixes."""
    with pytest.raises(ValueError, match=r"(?s)would repeat the same mixes.*interleave\(read\)\.batch\(64\)"):
        use(MixUp(seed=0))


@pytest.mark.slow
def test_mixing_after_an_interleave_does_not_repeat():
    files = tf.data.Dataset.range(2).interleave(lambda _: dataset(X, EYE))
    mixed = MixUp(1.0, seed=0).mix_dataset(files.batch(4))

    draws = [y.numpy().tobytes() for _ in range(3) for _, y in mixed]

    assert len(set(draws)) == len(draws) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer", [MixUp(1.0, seed=0), RandomMix([MixUp(), CutMix()], seed=0)], ids=["MixUp", "RandomMix"]
)
def test_threads_share_a_layer_and_no_draw(layer):
    layer(X, EYE, training=True)
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        return [keras.ops.convert_to_numpy(layer(X, EYE, training=True)[1]).tobytes() for _ in range(40)]

    with ThreadPoolExecutor(8) as pool:
        draws = [draw for part in pool.map(work, range(8)) for draw in part]

    assert len(set(draws)) == len(draws) == 320


EMPTY = [(ROWS, 0, 6, 3), (ROWS, 6, 0, 3), (ROWS, 6, 6, 0)]


class TestArrays:
    @pytest.mark.parametrize("part", [0, 1, 2])
    @pytest.mark.parametrize("place", ["call", "call without training", "mix_numpy"])
    def test_masked_arrays_are_refused(self, place, part):
        batch = [X, EYE, np.ones(ROWS)]
        batch[part] = np.ma.masked_less(batch[part], 0.5)

        with pytest.raises(TypeError, match=r"(?s)mask would be lost.*\.filled\(0\.0\)"):
            PLACES[place](MixUp(), *batch)

    @pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="NumPy arrays of 8-bit floats need ml_dtypes")
    def test_8_bit_floats_are_refused(self):
        small = keras.ops.cast(X, "float8_e4m3fn")

        with pytest.raises(TypeError, match=r"Inputs must be floating \(16 to 64 bits\).*float8_e4m3fn"):
            MixUp()(small, EYE, training=True)
        with pytest.raises(TypeError, match=r"Labels must be floating \(16 to 64 bits\).*float8_e4m3fn"):
            MixUp()(X, keras.ops.cast(EYE, "float8_e4m3fn"), training=True)
        with pytest.raises(ValueError, match="float8_e4m3fn"):
            MixUp().mix_numpy(X, EYE, seed=0, dtype="float8_e4m3fn")
        with pytest.raises(ValueError, match="float8_e4m3fn"):
            MixUp(dtype="float8_e4m3fn")

    @pytest.mark.parametrize("place", ["call", "mix_numpy"])
    def test_strings_are_refused_on_every_backend_alike(self, place):
        with pytest.raises(TypeError, match=r"(?s)Labels must be.*(<U|string|object).*(Take it|Take them) out"):
            PLACES[place](MixUp(), X, NAMES)
        with pytest.raises(TypeError, match=r"Inputs must be.*<U"):
            PLACES[place](MixUp(), NAMES, EYE)

    @pytest.mark.parametrize("inputs", [None, ()], ids=str)
    @pytest.mark.parametrize("place", ["call", "call without training", "mix_numpy"])
    def test_inputs_of_nothing_are_refused(self, place, inputs):
        with pytest.raises(ValueError, match=r"(?s)inputs must be an array.*Write `layer\(x\)`"):
            PLACES[place](MixUp(), inputs, EYE)

    def test_labels_inside_the_inputs_are_refused(self):
        text = r"dtype int(32|64) in a tuple of 2\. Did you mean `layer\(\*batch\)`, that is `layer\(x, y\)`"
        with pytest.raises(TypeError, match=text):
            MixUp()((X, NUMBERS), training=True)

    def test_mix_dataset_refuses_arrays(self):
        with pytest.raises(TypeError, match=r"(?s)Received: tuple.*`mixup\.mix_numpy\(x, y, seed=0\)`"):
            MixUp().mix_dataset((X, EYE))

    def test_dicts_of_tensorflow_datasets_are_refused(self):
        data = tf.data.Dataset.from_tensor_slices({"image": X, "label": NUMBERS}).batch(4)
        text = r"(?s)`dataset\.map\(lambda d: \(d\['image'\], d\['label'\]\)\)`.*`images` and `labels`"

        with pytest.raises(ValueError, match=text):
            MixUp(num_classes=ROWS).mix_dataset(data)
        with pytest.raises(TypeError, match=text):
            data.map(lambda sample: MIXUP(sample, training=True))

    @pytest.mark.slow
    @pytest.mark.parametrize("layer", [CutMix, FMix, GridMix, MixUp])
    @pytest.mark.parametrize(
        ("place", "shape"),
        [(place, shape) for place in ("call", "mix_numpy") for shape in EMPTY] + [("mix_dataset", EMPTY[0])],
        ids=str,
    )
    def test_images_without_elements_come_out_as_they_are(self, place, shape, layer):
        """Nothing is pasted where there is nothing, and no warning of a division by 0 comes."""
        mixed = PLACES[place](layer(1.0, seed=0), np.zeros(shape, "float32"), EYE)
        x, y = next(iter(mixed)) if isinstance(mixed, tf.data.Dataset) else mixed

        y = np.asarray(y)
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
        assert tuple(x.shape)[1:] == shape[1:]
        if issubclass(layer, CutMix | FMix | GridMix) and 0 in shape[1:3]:
            np.testing.assert_array_equal(y.max(axis=1), 1)

    @pytest.mark.slow
    def test_named_tuples_stay_named(self):
        Pair = collections.namedtuple("Pair", "image target")
        data = tf.data.Dataset.from_tensor_slices(Pair(X, EYE)).batch(4)

        for training in (True, False):
            mixed = MixUp(1.0, seed=0).mix_dataset(data, training=training)
            assert isinstance(mixed.element_spec, Pair)
            assert isinstance(next(iter(mixed)), Pair)
        assert isinstance(MixUp().mix_numpy(Pair(X, X), EYE, seed=0)[0], Pair)


MIXUP = MixUp(num_classes=ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("use", ["map", "mix_dataset"])
def test_batches_of_other_sizes_unknown_beforehand(use):
    spec = (tf.TensorSpec((None, 6, 6, 3)), tf.TensorSpec((None, ROWS)))
    data = tf.data.Dataset.from_generator(lambda: iter([(X, EYE[:4])]), output_signature=spec)
    layer = MixUp(1.0, seed=0)
    mixed = layer.mix_dataset(data) if use == "mix_dataset" else data.map(lambda x, y: layer(x, y, training=True))

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)same batch size.*rows of inputs, labels:.*8 4"):
        list(mixed)


def test_a_layer_made_inside_a_map_is_refused():
    """Its random state would be lost after the function was traced."""
    with pytest.raises(ValueError, match=r"(?s)`MixUp` was made inside.*`mixup = MixUp\(\.\.\.\)`"):
        dataset(X, EYE).batch(4).map(lambda x, y: MixUp()(x, y, training=True))


@pytest.mark.slow
class TestLength:
    @staticmethod
    def faulty():
        """Six batches, of which the fourth fails."""
        return tf.data.Dataset.range(6).map(
            lambda i: (X[:4] + tf.debugging.check_numerics(1.0 / tf.cast(i - 3, "float32"), "faulty"), EYE[:4])
        )

    def test_ignored_errors_do_not_go_on_for_ever(self):
        mixed = MixUp(seed=0).mix_dataset(self.faulty())

        assert mixed.cardinality() == 6
        assert sum(1 for _ in mixed.ignore_errors().take(50)) == 5
        assert sum(1 for _ in MixUp(seed=0).mix_dataset(self.faulty().ignore_errors()).take(50)) == 5

    def test_it_is_told_as_far_as_it_is_known(self):
        data = dataset(X, EYE).batch(4)
        lengths = [
            int(MixUp().mix_dataset(source).cardinality())
            for source in (data, data.repeat(), data.filter(lambda *_: True), data.take(0))
        ]

        assert lengths == [2, tf.data.INFINITE_CARDINALITY, tf.data.UNKNOWN_CARDINALITY, 0]
        assert len(list(MixUp().mix_dataset(data.repeat()).take(5))) == 5
        assert list(MixUp().mix_dataset(data.take(0))) == []


class TestNumbers:
    @pytest.mark.slow
    @pytest.mark.parametrize("alpha", [1e-46, 1e-40, 1.1e-38])
    def test_an_alpha_that_float32_does_not_hold_is_off_everywhere(self, alpha):
        """Compiled code takes such numbers for 0, NumPy does not: one rule."""
        draws = [draw_weights(random_source(0, like=place), (4,), alpha)[0] for place in (EYE, tf.constant(EYE), None)]
        draws.append(
            tf.function(lambda: draw_weights(random_source(0, like=tf.zeros(1)), (4,), alpha)[0], jit_compile=True)()
        )

        for weight in draws:
            np.testing.assert_array_equal(np.asarray(weight), 1)

    def test_the_smallest_alpha_draws_whole_samples(self):
        weight, _ = draw_weights(random_source(0, like=EYE), (1000,), 1.2e-38)

        assert set(weight.tolist()) == {0.0, 1.0}

    @pytest.mark.parametrize("name", ["alpha", "probability"])
    def test_a_schedule_that_gives_no_number(self, name):
        with pytest.raises(ValueError, match=r"must give a number at every step\. Received: nan from NoNumber"):
            MixUp(**{name: NoNumber()}, seed=0)(X, EYE, training=True)

    def test_ties_keep_their_order_in_large_batches(self):
        """Above 16 elements NumPy's default sort does not: partners would differ from those of the backends."""
        from keras_mixup import _backend

        ties = np.random.default_rng(0).integers(0, 50, 20_000).astype("float32")

        expected = keras.ops.convert_to_numpy(keras.ops.argsort(keras.ops.convert_to_tensor(ties)))
        np.testing.assert_array_equal(_backend.NUMPY.argsort(ties), expected)
        np.testing.assert_array_equal(_backend.tensorflow_ops().argsort(tf.constant(ties)), expected)

    def test_a_mix_of_nothing_keeps_everything(self):
        weight, complement = Mix(partner=np.arange(2), keep=np.zeros((2, 0, 3), "bool")).shares

        assert weight.tolist() == [1, 1]
        assert complement.tolist() == [0, 0]


class NoNumber(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return float("nan") * keras.ops.cast(step, "float32")

    def get_config(self):
        return {}


@pytest.mark.slow
def test_a_pipeline_of_keras_says_which_data_it_is_for():
    """As the docstring has it: it trains by its own default."""
    assert "`pipeline(sample, training=False)`" in MixUp.__doc__
    pipeline = keras.layers.Pipeline([MixUp(1.0, seed=0)])

    plain = pipeline({"images": X, "labels": EYE}, training=False)

    np.testing.assert_array_equal(keras.ops.convert_to_numpy(plain["labels"]), EYE)
    mixed = keras.ops.convert_to_numpy(pipeline({"images": X, "labels": EYE})["labels"])
    reference.check_mixing_matrix(mixed)
    assert (mixed.max(axis=1) < 1).any()
