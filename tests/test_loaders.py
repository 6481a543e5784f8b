"""Loaders other than `tf.data`: what is drawn, in which process, and how it is repeated and resumed."""

import itertools
import json
import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_mixup import CutMix, MixUp, RandomMix

ROWS, BATCH = 24, 8
EYE = np.eye(ROWS, dtype="float32")
MIXUP = MixUp(alpha=1.0)


def mixed(batch, rng):
    return MIXUP.mix_numpy(*batch, seed=rng)


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
        batches = self.batches().repeat(2).random_map(mixed)

        first = check_epoch([batches[i] for i in range(3)])
        np.testing.assert_array_equal(check_epoch([batches[i] for i in range(3)]), first)
        assert not np.isin(first[first > 0], check_epoch([batches[i] for i in range(3, 6)])).all()

    def test_a_saved_iterator_goes_on_where_it_was(self):
        iterator = iter(self.batches().repeat(2).random_map(mixed).to_iter_dataset())
        next(iterator), next(iterator)
        state = iterator.get_state()
        expected = list(iterator)
        resumed = iter(self.batches().repeat(2).random_map(mixed).to_iter_dataset())
        resumed.set_state(state)

        for (x, _), (other, _) in zip(list(resumed), expected, strict=True):
            np.testing.assert_array_equal(x, other)

    def test_worker_processes_change_nothing(self):
        import grain
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # as grain asks for outside of `absl.app`
        dataset = self.batches().random_map(mixed).to_iter_dataset()

        there = check_epoch(list(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=2))))
        np.testing.assert_array_equal(there, check_epoch(list(dataset)))


class Batches(keras.utils.PyDataset):
    """As in README."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.epoch = 0

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return MIXUP.mix_numpy(EYE[rows], EYE[rows], seed=(self.epoch, index))

    def on_epoch_end(self):
        self.epoch += 1


SCALE = np.arange(1, ROWS + 1, dtype="float32")


def losses_of(batches):
    """The losses of two epochs, which tell the draws apart."""
    model = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(1)])
    model.compile(
        "sgd", lambda y, p: keras.ops.sum(y * y * keras.ops.convert_to_tensor(SCALE), -1) + 0 * keras.ops.sum(p, -1)
    )
    return model.fit(batches, shuffle=False, verbose=0, epochs=2).history["loss"]


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}], ids=str)
def test_a_py_dataset_draws_by_epoch_and_index_wherever_it_runs(options):
    """The batches of an epoch are those of its number; Keras' workers may take one of the next epoch for the last."""
    if options.get("use_multiprocessing") and keras.backend.backend() == "jax":
        pytest.skip("JAX warns that a process with its threads must not be forked")
    batches = Batches()
    own = []
    for batches.epoch in range(3):
        own += [np.mean((batches[i][1] ** 2 * SCALE).sum(axis=1)) for i in range(len(batches))]

    losses = losses_of(Batches(**options))

    sums = [np.mean(three) for three in itertools.combinations(own, 3)]
    assert losses[0] != losses[1]
    for loss in losses:
        assert np.abs(np.array(sums) - loss).min() < 1e-5


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a loader of PyTorch")
class TestDataLoader:
    class MixedBatch:
        """As in README."""

        rng = None

        def __call__(self, samples):
            import torch

            self.rng = self.rng or np.random.default_rng(torch.initial_seed())
            x, y = (np.stack(part) for part in zip(*samples, strict=True))
            return tuple(torch.from_numpy(part) for part in MIXUP.mix_numpy(x, y, seed=self.rng))

    def loader(self, workers):
        import torch

        dataset = torch.utils.data.TensorDataset(torch.from_numpy(EYE), torch.from_numpy(EYE))
        collate = self.MixedBatch()
        return torch.utils.data.DataLoader(dataset, BATCH, num_workers=workers, collate_fn=collate)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_workers_and_epochs_differ_and_runs_repeat(self, workers):
        import torch

        runs = []
        for _ in range(2):
            torch.manual_seed(0)
            loader = self.loader(workers)
            runs.append([check_epoch(list(loader)) for _ in range(2)])

        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0][0], runs[0][1])

    def test_keras_trains_on_it(self):
        assert losses_of(self.loader(0))[0] > 0
