"""The layer over datasets and NumPy batches, under every Keras backend."""

import functools

import data
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from data import read

from keras_mixup import CutMix, MixUp

ROWS, BATCH = 22, 8  # a partial last batch of 6
X = np.random.default_rng(0).normal(size=(ROWS, 4, 4, 3)).astype("float32")
ID = np.eye(ROWS, dtype="float32")


def dataset(*arrays):
    return data.dataset(*(arrays or (X, ID)), batch=BATCH)


def check(elements):
    """Every batch follows its own mixing matrix, whose columns name the rows of the whole dataset."""
    assert [len(y) for _, y in elements] == [8, 8, 6]
    for start, (x, M) in zip((0, 8, 16), elements, strict=True):
        reference.check_mixing_matrix(M)
        outside = np.delete(M, np.s_[start : start + len(x)], axis=1)
        assert not outside.any()
        np.testing.assert_allclose(x, np.tensordot(M, X, 1), atol=1e-5)


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True))


MAPS = {
    "lambda": lambda layer: lambda x, y: layer(x, y, training=True),
    "partial": lambda layer: functools.partial(layer, training=True),
    "keyword": lambda layer: lambda x, y: layer(x, labels=y, training=True),
}


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("lambda", None),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("partial", None), ("keyword", None), ("lambda", 4))
        ),
    ],
)
def test_map_mixes_every_batch_anew(kind, calls):
    """Consecutive batches and epochs differ, with parallel calls too."""
    mixed = dataset().map(MAPS[kind](MixUp(1.0, seed=0)), num_parallel_calls=calls)

    first, second = read(mixed), read(mixed)

    check(first)
    check(second)
    weights = [np.sort(M.max(axis=1))[:6].tolist() for _, M in first + second]
    assert len({tuple(w) for w in weights}) == 6


@pytest.mark.slow
def test_a_sequential_map_repeats_for_a_seed():
    """The same seed gives the same epochs."""
    runs = [read(dataset().map(MAPS["lambda"](MixUp(1.0, seed=seed)))) for seed in (3, 3, 4)]

    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


@pytest.mark.slow
def test_a_map_with_a_seed_from_the_data_is_pure():
    """A seed tensor in the element decides the draw."""
    seeds = tf.data.Dataset.range(3)
    layer = MixUp(1.0)
    mixed = tf.data.Dataset.zip(dataset(), seeds).map(
        lambda b, s: layer(*b, training=True, seed=s), num_parallel_calls=2
    )

    first, second = read(mixed), read(mixed)

    check(first)
    assert equal(first, second)
    y = layer.mix_numpy(X[8:16], ID[8:16], seed=1)[1]
    np.testing.assert_allclose(first[1][1], y, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mix",
    [
        lambda data: data.apply(MixUp(1.0, seed=0).mix_dataset),
        lambda data: data.map(functools.partial(MixUp(1.0, seed=0), training=True), 4, deterministic=False),
    ],
    ids=["mix_dataset", "map in any order"],
)
def test_in_the_middle_of_a_pipeline(mix):
    """What comes before it is mixed batch by batch, whatever its order; what comes behind it changes nothing."""
    data = tf.data.Dataset.from_tensor_slices((X, ID)).cache().shuffle(ROWS, seed=0).batch(BATCH).repeat(3)

    elements = read(mix(data).unbatch().batch(5).prefetch(2))

    x, M = (np.concatenate(part) for part in zip(*elements, strict=True))
    assert len(x) == 3 * ROWS
    assert ((M > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(x, np.tensordot(M, X, 1), atol=1e-5)
    assert len(np.unique(M.max(axis=1).round(6))) > 0.9 * len(M)


@pytest.mark.slow
@pytest.mark.parametrize("training", [None, True, False])
def test_a_keras_pipeline_mixes_sample_dicts(training):
    """Behind another layer; Keras' `Pipeline` trains if it is not told otherwise."""
    symmetric = X + X[:, :, ::-1]  # so that a flip changes nothing
    samples = tf.data.Dataset.from_tensor_slices({"images": symmetric, "labels": ID}).batch(BATCH)
    pipeline = keras.layers.Pipeline([keras.layers.RandomFlip("horizontal", seed=0), MixUp(1.0, seed=0)])
    told = {} if training is None else {"training": training}

    elements = read(samples.map(lambda sample: pipeline(sample, **told)))

    labels = np.concatenate([element["labels"] for element in elements])
    images = np.concatenate([element["images"] for element in elements])
    reference.check_mixing_matrix(labels[:BATCH, :BATCH])
    np.testing.assert_allclose(images, np.tensordot(labels, symmetric, 1), atol=1e-5)
    assert (labels.max(axis=1) < 1).any() == (training is not False)


@pytest.mark.slow
class TestMixDataset:
    def test_it_repeats_and_epochs_differ(self):
        """Bit for bit the same in a second run, whatever the parallel calls; another draw in every epoch."""
        runs = []
        for calls in (1, 4, -1):
            mixed = MixUp(1.0, seed=0).mix_dataset(dataset(), num_parallel_calls=calls)
            runs.append([read(mixed), read(mixed)])

        check(runs[0][0])
        assert equal(runs[0], runs[1])
        assert equal(runs[0], runs[2])
        assert not equal(runs[0][0], runs[0][1])

    def test_other_seeds_mix_a_dataset_otherwise(self):
        a, b = (read(MixUp(1.0, seed=seed).mix_dataset(dataset())) for seed in (0, 1))

        assert not equal(a, b)

    def test_it_knows_its_length_and_shapes(self):
        plain = dataset()
        mixed = MixUp(num_classes=5).mix_dataset(dataset(X, np.arange(ROWS) % 5))

        assert mixed.cardinality() == plain.cardinality() == 3
        assert [tuple(spec.shape) for spec in mixed.element_spec] == [(None, 4, 4, 3), (None, 5)]

    def test_repeated_epochs_differ_whichever_side_repeats(self):
        inside = MixUp(1.0, seed=0).mix_dataset(dataset().repeat(2))
        outside = MixUp(1.0, seed=0).mix_dataset(dataset()).repeat(2)

        for mixed in (inside, outside):
            elements = read(mixed)
            assert len(elements) == 6
            assert not equal(elements[:3], elements[3:])

    def test_sizes_unknown_while_the_pipeline_is_built_are_taken(self):
        """Batch, height and width unknown while the pipeline is built."""
        unknown = dataset().map(
            lambda x, y: (tf.ensure_shape(tf.py_function(lambda a: a, [x], "float32"), [None] * 4), y)
        )

        check(read(MixUp(1.0, seed=0).mix_dataset(unknown)))

    def test_validation_data_look_like_training_data(self):
        """`training=False`: nothing mixed, the same dtypes, shapes and labels."""
        source = dataset(X, np.arange(ROWS) % 5)
        layer = MixUp(num_classes=5, seed=0)

        train, val = layer.mix_dataset(source), layer.mix_dataset(source, training=False)

        assert val.element_spec == train.element_spec
        np.testing.assert_array_equal(np.concatenate([x for x, _ in read(val)]), X)
        np.testing.assert_array_equal(np.concatenate([y for _, y in read(val)]), np.eye(5)[np.arange(ROWS) % 5])

    def test_sample_weights_and_sample_dicts(self):
        w = np.linspace(0.1, 2, ROWS).astype("float32")
        triple = read(MixUp(1.0, seed=0).mix_dataset(dataset(X, ID, w)))
        plain = read(MixUp(1.0, seed=0).mix_dataset(dataset()))
        sample = tf.data.Dataset.from_tensor_slices({"images": X, "labels": ID, "sample_weights": w}).batch(BATCH)

        dicts = read(MixUp(1.0, seed=0).mix_dataset(sample))

        for (x, y, mixed_w), (_, M), d in zip(triple, plain, dicts, strict=True):
            np.testing.assert_allclose(mixed_w, M @ w, rtol=1e-5)
            np.testing.assert_allclose(y * mixed_w[:, None], M * w, atol=1e-5)
            assert equal([d["images"], d["labels"], d["sample_weights"]], [x, y, mixed_w])

    @pytest.mark.parametrize("training", [True, False])
    def test_bytes_come_back_as_bytes_if_they_are_to(self, training):
        images = (X * 255).astype("uint8")
        options = {"training": training}
        bytes_ = read(MixUp(1.0, seed=0).mix_dataset(dataset(images, ID), dtype="uint8", **options))
        floats = read(MixUp(1.0, seed=0).mix_dataset(dataset(images, ID), **options))

        for (x, M), (exact, N) in zip(bytes_, floats, strict=True):
            assert x.dtype == "uint8"
            np.testing.assert_array_equal(x, np.rint(exact))
            np.testing.assert_array_equal(M, N)
        with pytest.raises(ValueError, match='"uint8" for inputs of dtype uint8'):
            MixUp().mix_dataset(dataset(), dtype="uint8")

    def test_other_parts_of_an_element_go_round_the_mix(self):
        """As README says it: strings, for one, which cannot be mixed."""
        names = np.array([f"image {i}" for i in range(ROWS)])
        named = tf.data.Dataset.from_tensor_slices({"images": X, "labels": ID, "name": names}).batch(BATCH)
        mixup = MixUp(1.0, seed=0)

        def mix(sample):
            name = sample.pop("name")
            return {**mixup(sample, training=True), "name": name}

        elements = read(named.map(mix))

        assert [name.decode() for element in elements for name in element["name"]] == list(names)
        check([(element["images"], element["labels"]) for element in elements])

    def test_nothing_is_traced_again(self):
        """Also with batches of ever other sizes."""
        traces = []

        class Counted(MixUp):
            def draw(self, batch):
                traces.append(batch.shape)
                return super().draw(batch)

        sizes = tf.data.Dataset.range(300).map(lambda i: (tf.ones((i % 7 + 1, 4)), tf.ones((i % 7 + 1, 2))))
        mixed = Counted(1.0, seed=0).mix_dataset(sizes)
        for _ in range(2):
            assert sum(1 for _ in mixed) == 300

        assert len(traces) <= 2  # of the function, and of the dataset's own specification

    @pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
    @pytest.mark.parametrize("layer", [MixUp, CutMix])
    def test_large_images_are_mixed_in_one_pass(self, layer, dtype):
        """By XLA, with a partial last batch; what it compiles is what NumPy computes."""
        images = (np.random.default_rng(0).uniform(size=(ROWS, 20, 20, 3)) * 255).astype("uint8")

        for start, (x, M) in zip(
            (0, 8, 16), read(layer(1.0, seed=0, dtype=dtype).mix_dataset(dataset(images, ID))), strict=True
        ):
            rows = slice(start, start + len(x))
            M = M[:, rows]
            own, other = images[rows].astype("float32"), images[rows][reference.partners(M)].astype("float32")
            wanted = reference.mixed(M, images[rows]) if layer is MixUp else np.where(x == own, own, other)
            np.testing.assert_allclose(x.astype("float32"), wanted, rtol=1e-6 if dtype == "float32" else 4e-3)
            if layer is CutMix:
                kept = (x == own).all(axis=-1).mean(axis=(1, 2))
                np.testing.assert_allclose(kept, np.diag(M), atol=0.01)

    def test_apply_takes_it(self):
        assert equal(
            read(dataset().apply(MixUp(1.0, seed=0).mix_dataset)), read(MixUp(1.0, seed=0).mix_dataset(dataset()))
        )

    def test_an_iterator_is_resumed_in_mid_epoch(self, tmp_path):
        """A checkpoint of the iterator goes on with the draws of the uninterrupted run."""

        def layer():
            return MixUp(1.0, seed=0)

        uninterrupted = read(layer().mix_dataset(dataset(), num_parallel_calls=2).repeat(3))
        iterator = iter(layer().mix_dataset(dataset(), num_parallel_calls=2).repeat(3))
        for _ in range(4):
            next(iterator)
        path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "iterator"))

        resumed = iter(layer().mix_dataset(dataset(), num_parallel_calls=2).repeat(3))
        tf.train.Checkpoint(iterator=resumed).restore(path)

        assert equal(read(resumed), uninterrupted[4:])

    def test_nothing_of_the_layers_state_is_touched(self):
        layer = MixUp(1.0, seed=0)
        before = keras.ops.convert_to_numpy(layer.seed_generator.state)

        read(layer.mix_dataset(dataset()))
        layer.mix_numpy(X, ID, seed=0)

        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.seed_generator.state), before)


class TestMixNumpy:
    @pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
    @pytest.mark.parametrize("layer", [MixUp(1.0), CutMix(1.0)], ids=["MixUp", "CutMix"])
    def test_large_batches_are_mixed_as_small_ones_are(self, layer, dtype):
        """In blocks of rows, the last of which is a smaller one."""
        images = (np.random.default_rng(0).uniform(size=(13, 90, 90, 3)) * 255).astype(dtype)
        eye = np.eye(13, dtype="float32")

        x, M = layer.mix_numpy(images, eye, seed=0)

        small, N = layer.mix_numpy(images[:, :45:15, :45:15], eye, seed=0)
        assert x.dtype == "float32"
        if isinstance(layer, CutMix):
            own, other = images.astype("float32"), images[reference.partners(M)].astype("float32")
            assert ((x == own) | (x == other)).all()
        else:
            np.testing.assert_array_equal(M, N)
            np.testing.assert_allclose(x, reference.mixed(M, images), rtol=1e-6, atol=1e-5)
            np.testing.assert_array_equal(x[:, :45:15, :45:15], small)

    @pytest.mark.parametrize("make_seed", [lambda: 7, lambda: (0, 7, 1), lambda: np.random.default_rng(7)])
    def test_the_draw_is_a_function_of_the_seed(self, make_seed):
        first, again = (MixUp(1.0).mix_numpy(X, ID, seed=make_seed()) for _ in range(2))

        assert equal(first, again)
        np.testing.assert_allclose(first[0], reference.mixed(first[1], X), atol=1e-5)

    def test_tuples_of_numbers_share_no_stream(self):
        """Epochs, indices and workers draw differently, and so do their sums and order."""
        seeds = [(0, 1), (1, 0), (1, 1), (0, 0), (0,), (0, 1, 0), (2**32,), (2**32, 5), (0, 1 + 5 * 2**32), 0, 1]
        draws = [MixUp(1.0).mix_numpy(X, ID, seed=seed)[1] for seed in seeds]

        assert len({draw.tobytes() for draw in draws}) == len(seeds)

    def test_a_generator_is_advanced(self):
        generator = np.random.default_rng(0)

        first, second = (MixUp(1.0).mix_numpy(X, ID, seed=generator)[1] for _ in range(2))

        assert not np.array_equal(first, second)

    def test_mix_numpy_takes_every_form_and_gives_numpy_arrays(self):
        """Inputs alone, weights, nests and dicts, as in a call of the layer; NumPy arrays come out."""
        layer = MixUp(1.0, num_classes=4)
        y, w = np.arange(ROWS) % 4, np.ones(ROWS)

        alone = layer.mix_numpy(X, seed=0)
        x, (labels, extra), weights = layer.mix_numpy(X, (y, ID), w, seed=0)
        sample = layer.mix_numpy({"images": X, "labels": y}, seed=0)

        assert all(type(leaf) is np.ndarray for leaf in keras.tree.flatten([alone, x, labels, extra, weights, sample]))
        np.testing.assert_array_equal(alone, x)
        np.testing.assert_allclose(labels, extra @ np.eye(4)[y], atol=1e-6)
        np.testing.assert_allclose(sample["labels"], labels, atol=1e-6)

    def test_inputs_are_not_changed_in_place(self):
        x, y = X.copy(), ID.copy()

        MixUp(8.0).mix_numpy(x, y, seed=0)

        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, ID)
