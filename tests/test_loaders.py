"""Loaders other than `tf.data`: what is drawn, in which process, and how it is repeated and resumed."""

import contextlib
import itertools
import json
import os
import pickle
import subprocess
import sys
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from data import BACKEND, OLD_KERAS

from keras_mixup import CutMix, ManifoldMixUp, MixUp, RandomMix
from keras_mixup.loaders import MixCollate, MixMap, MixPyDataset

ROWS, BATCH = 24, 8
EYE = np.eye(ROWS, dtype="float32")
MIXUP = MixUp(alpha=1.0)


def draws(batches):
    """What was drawn for each batch, whose labels are rows of the mixing matrix: the shares of each sample."""
    return [tuple(np.sort(np.asarray(y), axis=1)[:, -2:].ravel().tolist()) for _, y in batches]


def check_epoch(elements):
    """Batches of the mixing matrix: labels as the inputs, and no two batches drew the same."""
    weights = []
    for x, y in elements:
        np.testing.assert_allclose(x, y, atol=1e-6)
        weights.append(np.sort(np.asarray(x), axis=1)[:, -1])
    assert len(elements) == ROWS // BATCH
    assert len(np.unique(np.round(np.stack(weights), 5))) > 2 * BATCH
    return np.concatenate([np.asarray(x) for x, _ in elements])


WORKER = """
import json, pickle, sys
import numpy as np
layer = pickle.load(sys.stdin.buffer)
x, y = layer.mix_numpy(np.eye(24, dtype="float32")[:, :, None], np.eye(24), seed=(1, 2))
print(json.dumps([x.tolist(), y.tolist(), len(layer.variables)]))
"""


@pytest.mark.processes
def test_a_worker_that_is_sent_a_layer_needs_no_device():
    """JAX would fail in this one if it were to put anything anywhere."""
    layer = RandomMix([MixUp(1.0), CutMix(axes=(1,))], probabilities=[0.75, 0.25], seed=3)
    without_devices = os.environ | {"JAX_PLATFORMS": "none"}

    worker = subprocess.run(
        [sys.executable, "-c", WORKER], input=pickle.dumps(layer), capture_output=True, env=without_devices
    )

    assert worker.returncode == 0, worker.stderr.decode()
    *mixed, variables = json.loads(worker.stdout)
    for found, expected in zip(mixed, layer.mix_numpy(EYE[:, :, None], np.eye(ROWS), seed=(1, 2)), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert variables == 0


class TestGrain:
    @staticmethod
    def batches():
        import grain

        return grain.MapDataset.source(list(zip(EYE, EYE, strict=True))).seed(0).shuffle().batch(BATCH)

    def test_an_element_read_twice_is_the_same_and_epochs_differ(self):
        batches = self.batches().repeat(2).random_map(MixMap(MIXUP))

        first = check_epoch([batches[i] for i in range(3)])
        np.testing.assert_array_equal(check_epoch([batches[i] for i in range(3)]), first)
        assert not np.isin(first[first > 0], check_epoch([batches[i] for i in range(3, 6)])).all()

    def test_a_saved_iterator_goes_on_where_it_was(self):
        iterator = iter(self.batches().repeat(2).random_map(MixMap(MIXUP)).to_iter_dataset())
        next(iterator), next(iterator)
        state = iterator.get_state()
        expected = list(iterator)
        resumed = iter(self.batches().repeat(2).random_map(MixMap(MIXUP)).to_iter_dataset())
        resumed.set_state(state)

        for (x, _), (other, _) in zip(list(resumed), expected, strict=True):
            np.testing.assert_array_equal(x, other)

    @pytest.mark.processes
    def test_worker_processes_change_nothing(self):
        import grain
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # as grain asks for outside of `absl.app`
        dataset = self.batches().random_map(MixMap(MIXUP)).to_iter_dataset()

        # One, because each takes seconds to import the package; `DataLoader` below has two.
        there = check_epoch(list(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=1))))
        np.testing.assert_array_equal(there, check_epoch(list(dataset)))

    @pytest.mark.parametrize("first", ["repeat", "mix"])
    def test_no_two_batches_of_three_epochs_are_mixed_alike(self, first):
        batches, mix = self.batches(), MixMap(MIXUP)
        batches = batches.repeat(3).random_map(mix) if first == "repeat" else batches.random_map(mix).repeat(3)

        assert len(set(draws(batches[i] for i in range(9)))) == 9

    @pytest.mark.processes
    @pytest.mark.parametrize("workers", [0, 2])
    def test_it_is_a_transform_of_a_data_loader(self, workers):
        import grain
        from absl import flags

        flags.FLAGS.mark_as_parsed()
        loader = grain.DataLoader(
            data_source=list(zip(EYE, EYE, strict=True)),
            sampler=grain.samplers.IndexSampler(ROWS, num_epochs=3, shuffle=True, seed=0),
            operations=[grain.transforms.Batch(BATCH // 2), MixMap(MIXUP)],
            worker_count=workers,
        )
        found = draws(loader)

        assert len(found) == len(set(found)) == 18

    def test_validation_data_are_encoded_and_not_mixed(self):
        encode = MixMap(MixUp(num_classes=ROWS), training=False)
        batches = self.batches().map(lambda batch: (batch[0], batch[1].argmax(axis=1))).map(encode)

        for x, y in batches:
            np.testing.assert_array_equal(x, y)

    @pytest.mark.slow
    @pytest.mark.skipif(OLD_KERAS, reason="this Keras does not train on grain")
    def test_keras_trains_on_it(self):
        batches = self.batches().repeat().random_map(MixMap(MIXUP)).to_iter_dataset()

        losses = losses_of(batches, steps_per_epoch=3)
        assert losses[0] != losses[1]

    @pytest.mark.slow
    @pytest.mark.skipif(OLD_KERAS, reason="this Keras does not train on grain")
    def test_keras_trains_in_bfloat16(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        batches = self.batches().repeat().random_map(MixMap(MixUp(1.0))).to_iter_dataset()

        assert losses_of(batches, steps_per_epoch=3)[0] > 0


class Batches(keras.utils.PyDataset):
    """Batches of the mixing matrix; at the end of an epoch they change their order."""

    def __init__(self, **options):
        super().__init__(**options)
        self.order = np.arange(ROWS)
        self.ended = 0

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return EYE[rows], EYE[rows]

    def on_epoch_end(self):
        self.ended += 1


class Endless(keras.utils.PyDataset):
    """As many batches as are asked for."""

    num_batches = None

    def __getitem__(self, index):
        return EYE[:BATCH], EYE[:BATCH]


SCALE = np.arange(1, ROWS + 1, dtype="float32")


def losses_of(batches, **options):
    """The losses of two epochs, which tell the draws apart."""
    model = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(1)])
    model.compile(
        "sgd", lambda y, p: keras.ops.sum(y * y * keras.ops.convert_to_tensor(SCALE), -1) + 0 * keras.ops.sum(p, -1)
    )
    return model.fit(batches, shuffle=False, verbose=0, epochs=2, **options).history["loss"]


def draws_in_fit(batches, epochs, **options):
    """What was drawn for each batch that Keras trained on."""
    seen = []

    def loss(y, p):
        with contextlib.suppress(Exception):  # placeholders on which Keras builds the model have no values, or others
            rows = keras.ops.convert_to_numpy(y)
            if np.allclose(rows.sum(axis=1), 1):
                seen.append((None, rows))
        return keras.ops.sum(p, -1)

    model = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, run_eagerly=True)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, **options)
    return draws(seen)


PARALLEL = [{}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}]


def skip_forked_jax(options):
    if options.get("use_multiprocessing") and BACKEND == "jax":
        pytest.skip("JAX warns that a process with its threads must not be forked")


class TestPyDataset:
    @pytest.mark.processes
    @pytest.mark.parametrize("options", PARALLEL, ids=str)
    def test_it_draws_by_epoch_and_index_wherever_it_runs(self, options):
        """Whatever Keras' workers take into an epoch, which may be a batch that was drawn in the one before."""
        skip_forked_jax(options)
        batches = MixPyDataset(MixUp(1.0, seed=3), Batches())
        own = []
        for batches.epoch in range(3):
            own += [np.mean((batches[i][1] ** 2 * SCALE).sum(axis=1)) for i in range(len(batches))]

        losses = losses_of(MixPyDataset(MixUp(1.0, seed=3), Batches(**options)))

        sums = [np.mean(three) for three in itertools.combinations(own, 3)]
        assert losses[0] != losses[1]
        for loss in losses:
            assert np.abs(np.array(sums) - loss).min() < 1e-5

    @pytest.mark.processes
    @pytest.mark.filterwarnings("ignore:Your input ran out of data")  # as it may with steps that do not divide it
    @pytest.mark.parametrize("steps", [None, 2])
    @pytest.mark.parametrize("options", PARALLEL, ids=str)
    def test_no_two_batches_of_a_training_are_mixed_alike(self, options, steps):
        skip_forked_jax(options)
        batches = MixPyDataset(MIXUP, Batches(**options))
        batches[0], batches[1]  # what the main process has drawn is of no matter

        found = draws_in_fit(batches, epochs=3, steps_per_epoch=steps)

        assert len(found) >= 5
        assert len(set(found)) == len(found)

    def test_an_item_read_twice_is_the_same_and_loops_differ(self):
        batches = MixPyDataset(MIXUP, Batches())

        np.testing.assert_array_equal(batches[1], batches[1])
        first, second = (check_epoch(list(batches)) for _ in range(2))
        assert not np.array_equal(first, second)
        for _ in batches:
            break
        assert not set(draws(batches)) & set(draws([(x, x) for x in (first[:BATCH], second[:BATCH])]))

    def test_runs_repeat_and_seeds_differ(self):
        """By the layer's seed; without one, by Keras' global seed."""
        seeded = [draws(MixPyDataset(MixUp(1.0, seed=seed), Batches())) for seed in (3, 3, 4)]
        unseeded = []
        for seed in (0, 0, 1):
            keras.utils.set_random_seed(seed)
            unseeded.append(draws(MixPyDataset(MixUp(1.0), Batches())))

        for same, again, other in (seeded, unseeded):
            assert same == again
            assert not set(same) & set(other)

    @pytest.mark.slow
    def test_a_resumed_training_is_told_its_epoch(self):
        whole, resumed = (MixPyDataset(MixUp(1.0, seed=0), Batches()) for _ in range(2))
        expected = draws_in_fit(whole, epochs=3)[-3:]

        resumed.epoch = 2
        assert draws_in_fit(resumed, epochs=3, initial_epoch=2) == expected

    def test_it_is_to_keras_what_it_wraps(self):
        """Length, workers and hooks are those of the wrapped one, if nothing else is said."""
        inner = Batches(workers=3, max_queue_size=4)
        batches = MixPyDataset(MIXUP, inner)

        assert (len(batches), batches.num_batches, batches.workers, batches.max_queue_size) == (3, 3, 3, 4)
        assert MixPyDataset(MIXUP, inner, workers=2, use_multiprocessing=True).use_multiprocessing
        batches.on_epoch_begin(), batches.on_epoch_end()
        assert (inner.ended, batches.epoch) == (1, 1)

    @pytest.mark.slow
    def test_one_without_end_has_no_length(self):
        batches = MixPyDataset(MIXUP, Endless())

        assert batches.num_batches is None
        assert len(set(draws_in_fit(batches, epochs=2, steps_per_epoch=3))) == 6

    def test_validation_data_are_encoded_and_not_mixed(self):
        indices = MixPyDataset(MixUp(num_classes=ROWS), Indices(), training=False)
        (x, y), *_ = indices

        np.testing.assert_array_equal(x, EYE[:BATCH])
        np.testing.assert_array_equal(y, EYE[:BATCH])
        check_epoch(list(MixPyDataset(MixUp(1.0, num_classes=ROWS), Indices())))

    @pytest.mark.slow
    def test_keras_trains_in_bfloat16(self):
        keras.config.set_dtype_policy("mixed_bfloat16")

        assert losses_of(MixPyDataset(MixUp(1.0), Batches()))[0] > 0

    @pytest.mark.slow
    def test_keras_trains_and_validates_on_it(self):
        mixup = MixUp(1.0, num_classes=ROWS)
        train, val = MixPyDataset(mixup, Indices()), MixPyDataset(mixup, Indices(), training=False)
        model = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(ROWS, "softmax")])
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])

        assert set(model.fit(train, validation_data=val, shuffle=False, verbose=0).history) >= {
            "val_loss",
            "val_accuracy",
        }


class Indices(Batches):
    """With class indices."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, y.argmax(axis=1)


def loaders(**options):
    """A `DataLoader` over the mixing matrix."""
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(EYE), torch.from_numpy(EYE))
    return torch.utils.data.DataLoader(dataset, BATCH, **options)


FORKED = [
    {"num_workers": workers, "persistent_workers": persistent, "multiprocessing_context": "fork"}
    for workers in (2, 4)
    for persistent in (False, True)
]
WORKERS = [{}, *FORKED]


def seed_alike(worker_id):
    """What users write to have runs repeat, and sets all workers of all epochs alike."""
    import torch

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


class Pair(NamedTuple):
    x: Any
    y: Any


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork|.*multi-threaded, use of fork|.*This DataLoader will create 4 worker")
class TestDataLoader:
    def loader(self, workers):
        return loaders(num_workers=workers, collate_fn=MixCollate(MIXUP))

    @pytest.mark.processes
    @pytest.mark.parametrize("workers", [0, 2])
    def test_workers_and_epochs_differ_and_runs_repeat(self, workers):
        torch = pytest.importorskip("torch")

        runs = []
        for _ in range(2):
            torch.manual_seed(0)
            loader = self.loader(workers)
            runs.append([check_epoch(list(loader)) for _ in range(2)])

        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0][0], runs[0][1])

    @pytest.mark.slow
    def test_keras_trains_on_it(self):
        assert losses_of(self.loader(0))[0] > 0

    @pytest.mark.processes
    @pytest.mark.parametrize("options", WORKERS, ids=lambda options: "-".join(map(str, options.values())))
    def test_no_two_batches_of_three_epochs_are_mixed_alike(self, options):
        """Also after the main process has mixed with the object, and in two loaders that share it."""
        collate = MixCollate(MIXUP)
        loader, other = (loaders(collate_fn=collate, **options) for _ in range(2))
        found = draws(loaders(collate_fn=collate))
        for _ in range(3):
            found += draws(loader)
        for pair in zip(loader, other, strict=True):
            found += draws(pair)

        assert len(found) == 3 + 9 + 6
        assert len(set(found)) == len(found)

    @pytest.mark.processes
    def test_spawned_workers_differ_too(self):
        """Each imports the package, which takes its time: both are kept for three epochs."""
        options = {"multiprocessing_context": "spawn", "persistent_workers": True, "num_workers": 2}
        collate = MixCollate(MIXUP)
        found = draws(loaders(collate_fn=collate))
        loader = loaders(collate_fn=collate, **options)
        for _ in range(3):
            found += draws(loader)

        assert len(found) == 12
        assert len(set(found)) == len(found)

    @pytest.mark.processes
    @pytest.mark.parametrize("options", [{}, FORKED[0], FORKED[3]], ids=["main", "forked", "persistent"])
    def test_seeds_alike_in_all_workers_do_not_make_them_alike(self, options):
        loader = loaders(collate_fn=MixCollate(MIXUP), worker_init_fn=seed_alike, **options)
        found = draws(loader) + draws(loader) + draws(loader)

        assert len(set(found)) == 9

    @pytest.mark.processes
    @pytest.mark.parametrize("options", [FORKED[0], FORKED[3]], ids=["forked", "persistent"])
    def test_runs_repeat_by_the_generator_of_the_loader(self, options):
        torch = pytest.importorskip("torch")
        runs = []
        for seed in (0, 0, 1):
            generator = torch.Generator().manual_seed(seed)
            loader = loaders(collate_fn=MixCollate(MIXUP), generator=generator, **options)
            runs.append(draws(loader) + draws(loader))

        assert runs[0] == runs[1]
        assert not set(runs[0]) & set(runs[2])

    def test_the_seed_of_the_layer_counts(self):
        torch = pytest.importorskip("torch")
        found = []
        for seed in (0, 1):
            torch.manual_seed(0)
            found += draws(loaders(collate_fn=MixCollate(MixUp(1.0, seed=seed))))

        assert len(set(found)) == 6

    @pytest.mark.parametrize("sent", [False, True])
    def test_ranks_differ_under_one_seed(self, sent, monkeypatch):
        """Also in a worker that was sent the object, and knows of no rank itself."""
        torch = pytest.importorskip("torch")
        found = []
        for rank in ("0", "1"):
            torch.manual_seed(0)
            monkeypatch.setenv("RANK", rank)
            collate = MixCollate(MIXUP)
            if sent:
                collate = pickle.loads(pickle.dumps(collate))
                monkeypatch.delenv("RANK")
            found += draws(loaders(collate_fn=collate))

        assert len(set(found)) == 6

    def test_the_default_device_is_of_no_matter(self):
        torch = pytest.importorskip("torch")
        samples = [(torch.from_numpy(row), torch.from_numpy(row)) for row in EYE]

        with torch.device("meta"):
            x, _ = MixCollate(MIXUP)(samples)
        assert x.device.type == "cpu"

    def test_it_wraps_a_collate_function_and_keeps_the_form_of_its_batches(self):
        """Lists, named tuples, weights, nests, sample dicts; bytes; NumPy arrays."""
        torch = pytest.importorskip("torch")
        x, y, w = torch.from_numpy(EYE), torch.from_numpy(EYE), torch.ones(ROWS)

        def mixed(batch, **options):
            return MixCollate(MIXUP, lambda _: batch, **options)([])

        assert type(mixed([x, y])) is tuple
        assert type(mixed(Pair(x, y))) is Pair
        assert [tuple(part.shape) for part in mixed((x, y, w))] == [(ROWS, ROWS), (ROWS, ROWS), (ROWS,)]
        inputs, labels = mixed(({"a": x, "b": [x, x]}, y))
        for part in (inputs["a"], *inputs["b"]):
            torch.testing.assert_close(part, labels)
        sample = mixed({"images": x, "labels": y})
        torch.testing.assert_close(sample["images"], sample["labels"])
        assert mixed(((255 * x).to(torch.uint8), y), dtype="uint8")[0].dtype == torch.uint8
        assert all(part.dtype == torch.float32 for part in mixed((EYE, EYE)))
        assert mixed((x, ()))[0].shape == x.shape

    @pytest.mark.parametrize("rows", [0, 1])
    @pytest.mark.parametrize("training", [True, False])
    def test_batches_with_nothing_to_mix_come_out_too(self, rows, training):
        """Of arrays that must not be written on."""
        pytest.importorskip("torch")
        frozen = np.broadcast_to(np.float32(1), (rows, 3))
        x, y = MixCollate(MIXUP, lambda _: (frozen, frozen), training=training)([])

        assert x.shape == y.shape == frozen.shape

    @pytest.mark.slow
    def test_validation_data_are_encoded_and_not_mixed(self):
        torch = pytest.importorskip("torch")
        mixup = MixUp(1.0, num_classes=ROWS)
        dataset = torch.utils.data.TensorDataset(torch.from_numpy(EYE), torch.arange(ROWS))
        train, val = (
            torch.utils.data.DataLoader(dataset, BATCH, collate_fn=MixCollate(mixup, training=training))
            for training in (True, False)
        )
        check_epoch(list(train))
        for x, y in val:
            torch.testing.assert_close(x, y)
        np.testing.assert_array_equal(torch.cat([y for _, y in val]), EYE)

        model = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(ROWS, "softmax")])
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        assert set(model.fit(train, validation_data=val, shuffle=False, verbose=0).history) >= {
            "val_loss",
            "val_accuracy",
        }

    @pytest.mark.processes
    def test_keras_trains_on_what_worker_processes_mix(self):
        losses = losses_of(loaders(collate_fn=MixCollate(MIXUP), num_workers=2))

        assert losses[0] != losses[1]

    def test_bfloat16_comes_out_as_float32(self):
        """NumPy has no bfloat16, and Keras takes a loader's tensors by way of NumPy."""
        torch = pytest.importorskip("torch")
        keras.config.set_dtype_policy("mixed_bfloat16")
        batch = torch.from_numpy(EYE).bfloat16(), torch.from_numpy(EYE)
        x, y = MixCollate(MixUp(1.0), lambda _: batch)([])

        assert x.dtype == torch.float32
        torch.testing.assert_close(x, y, atol=0.01, rtol=0)

    @pytest.mark.slow
    def test_keras_trains_in_bfloat16(self):
        keras.config.set_dtype_policy("mixed_bfloat16")

        assert losses_of(loaders(collate_fn=MixCollate(MixUp(1.0))))[0] > 0

    def test_batches_that_are_not_collated_are_told_apart(self):
        """`batch_size=None` hands over an element of the dataset: its default would stack inputs and labels."""
        torch = pytest.importorskip("torch")
        batches = [(torch.from_numpy(EYE), torch.from_numpy(EYE))] * 2
        with pytest.raises(TypeError, match="default_convert"):
            list(torch.utils.data.DataLoader(batches, batch_size=None, collate_fn=MixCollate(MIXUP)))

        collate = MixCollate(MIXUP, torch.utils.data.default_convert)
        for x, y in torch.utils.data.DataLoader(batches, batch_size=None, collate_fn=collate):
            torch.testing.assert_close(x, y)

    @pytest.mark.parametrize("batch", [EYE, (EYE,), {"x": EYE}, (EYE,) * 4], ids=["array", "one", "dict", "four"])
    def test_other_batches_are_refused(self, batch):
        pytest.importorskip("torch")
        with pytest.raises(ValueError, match="A batch to mix must be"):
            MixCollate(MIXUP, lambda _: batch)([])


WRONG = {
    "no layer": (lambda: MixCollate(EYE), TypeError, "mixing layer"),
    "swapped": (lambda: MixPyDataset(Batches(), MIXUP), TypeError, "mixing layer"),
    "another dataset": (lambda: MixPyDataset(MIXUP, [EYE]), TypeError, "keras.utils.PyDataset"),
    "hidden layers": (lambda: MixMap(ManifoldMixUp(num_positions=2)), TypeError, "MixMap"),
    "a schedule": (
        lambda: MixCollate(MixUp(keras.optimizers.schedules.PolynomialDecay(0.0, 9, 1.0))),
        ValueError,
        "schedule",
    ),
    "a word": (lambda: MixMap(MIXUP, training="yes"), TypeError, "training"),
    "map": (lambda: MixMap(MIXUP)((EYE, EYE)), TypeError, "random_map"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_work_is_refused_where_it_is_made(name):
    make, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        make()
