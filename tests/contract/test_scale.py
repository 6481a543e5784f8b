"""Several devices and processes, by the frameworks' own engines: each runs in a process of its own."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from data import BACKEND

from keras_mixup import MixUp

pytestmark = pytest.mark.slow

EYE = np.eye(32, dtype="float32")
ENGINES = pathlib.Path(__file__).parents[1] / "engines"


def run(engine, *arguments):
    command = [sys.executable, str(ENGINES / f"{engine}.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_draws(*of_replicas):
    """No two replicas, and no two steps, drew the same."""
    weights = np.round([weight for replica in of_replicas for step in replica for weight in step], 6)
    assert len(np.unique(weights)) == weights.size


def check_mixed_once(labels):
    """Each sample of the identity came once, with the greater share, and was once the partner of another."""
    labels = np.asarray(labels)
    own, partner = labels.argsort(axis=1)[:, :-3:-1].T
    np.testing.assert_array_equal((labels > 0).sum(axis=1), 2)
    for samples in (own, partner):
        np.testing.assert_array_equal(np.sort(samples), np.arange(len(labels)))


@pytest.mark.processes
@pytest.mark.skipif(BACKEND != "tensorflow", reason="an engine of TensorFlow")
def test_replicas_of_a_mirrored_strategy_draw_their_own_mixes():
    """Each replica draws its own mix, and its labels follow: the loss of the identity is 0."""
    first, second = run("mirrored"), run("mirrored")

    check_draws(*first["inside"])
    check_draws(*first["outside"])
    np.testing.assert_allclose(first["losses"], 0, atol=1e-10)
    assert first["resumed"] == first["went on"]
    for epoch in first["mixed before"]:
        check_mixed_once(np.concatenate(epoch))
        assert np.shape(epoch) == (4, 4, 16)  # each batch of 8 on two replicas
    check_draws(*[[np.max(part, axis=1) for part in epoch] for epoch in first["mixed before"]])
    for repeated in ("inside", "losses", "mixed before"):
        assert first[repeated] == second[repeated]


@pytest.mark.processes
@pytest.mark.skipif(BACKEND != "torch", reason="an engine of PyTorch")
def test_ranks_of_distributed_data_parallel_draw_their_own_mixes(tmp_path):
    """Ranks draw differently although their layers, and the state that is sent around, are the same."""
    ranks = run("distributed_data_parallel", tmp_path / "first")

    np.testing.assert_allclose([rank["losses"] for rank in ranks], 0, atol=1e-10)
    check_draws(*(rank["drawn"] + rank["went on"]["drawn"] for rank in ranks))
    assert all(rank["resumed"] == rank["went on"] for rank in ranks)
    assert run("distributed_data_parallel", tmp_path / "second") == ranks


def mixed_by_service(dataset, before=None, after=None):
    """The labels of two epochs of a dataset that a dispatcher and two workers of the `tf.data` service read."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    workers = [service.WorkerServer(service.WorkerConfig(address, heartbeat_interval_ms=50)) for _ in range(2)]
    dataset = before(dataset) if before else dataset
    dataset = dataset.apply(service.distribute(service.ShardingPolicy.DYNAMIC, dispatcher.target))
    dataset = after(dataset) if after else dataset
    epochs = [np.concatenate([y.numpy() for _, y in dataset]) for _ in range(2)]
    del workers
    return epochs


class TestService:
    """Which worker reads what, and in which order it comes, is decided anew in every run."""

    ROWS = np.eye(64, dtype="float32").reshape(16, 4, 64)

    def batches(self):
        return tf.data.Dataset.range(16).map(lambda index: (index, tf.gather(self.ROWS, index)))

    def test_a_mix_after_the_service_mixes_each_sample_once(self):
        def rows(dataset):
            return dataset.map(lambda index, rows: (rows, rows))

        mixup = MixUp(1.0, dominant=True, seed=0)

        epochs = mixed_by_service(rows(self.batches()), after=mixup.mix_dataset)

        for labels in epochs:
            check_mixed_once(labels)
        check_draws(*[[labels.max(axis=1)] for labels in epochs])

    def test_workers_of_the_service_mix_by_the_number_of_the_batch(self):
        """The number of the batch is the seed, so that no two of them draw the same, and runs repeat."""
        mixup = MixUp(1.0, dominant=True, seed=0)

        def mix(index, rows):
            return mixup(rows, rows, training=True, seed=index)

        runs = [mixed_by_service(self.batches(), before=lambda dataset: dataset.map(mix)) for _ in range(2)]

        epochs = [labels for run in runs for labels in run]
        for labels in epochs:
            check_mixed_once(labels)
            check_draws([labels.max(axis=1)])
        in_order = [labels[labels.argmax(axis=1).argsort()] for labels in epochs]
        assert all(np.array_equal(labels, in_order[0]) for labels in in_order)


def test_each_host_mixes_its_shard_with_a_seed_of_its_own():
    rows = tf.data.Dataset.from_tensor_slices((EYE, EYE))

    hosts = [MixUp(1.0, dominant=True, seed=host).mix_dataset(rows.shard(2, host).batch(8)) for host in range(2)]

    labels = [[y.numpy() for _, y in host] for host in hosts]
    check_mixed_once(np.concatenate([y for host in labels for y in host]))
    check_draws(*[[y.max(axis=1) for y in host] for host in labels])


IMAGE = 16 * 16 * 3 * 4  # bytes of one, in the batches of 32 of the engine
SHARDED = [
    f"{kind} {pairing} {layout}"
    for kind, pairing in [("MixUp", "shuffle"), ("MixUp", "roll"), ("MixUp", "local"), ("CutMix", "roll")]
    for layout in ("data", "model")
]


@pytest.mark.processes
@pytest.mark.skipif(BACKEND != "jax", reason="an engine of JAX")
class TestShards:
    @staticmethod
    @functools.cache
    def trained(devices):
        return run("data_parallel", devices, *SHARDED)

    def sent(self, devices, case):
        """The bytes of each operation between devices, but for the sums of gradients and losses of every training."""
        return [size for name, size in self.trained(devices)[case]["collectives"] if name != "all-reduce"]

    @pytest.mark.parametrize("case", [case for case in SHARDED if "local" not in case])
    def test_a_batch_in_parts_is_mixed_as_on_one_device(self, case):
        several, one = (self.trained(devices)[case]["history"] for devices in (8, 1))

        assert several.keys() == one.keys()
        for name, values in several.items():
            np.testing.assert_allclose(values, one[name], rtol=1e-5, err_msg=name)

    def test_shuffled_partners_cost_the_whole_batch(self):
        assert max(self.sent(8, "MixUp shuffle data")) == 32 * IMAGE

    @pytest.mark.parametrize("case", ["MixUp roll data", "CutMix roll data"])
    def test_rolled_partners_cost_one_row(self, case):
        """The image, and its label for the loss and for the metric."""
        assert sorted(self.sent(8, case)) == [4, 4, IMAGE]

    def test_local_partners_cost_a_few_numbers(self):
        """Those of which the mix is drawn."""
        assert sum(self.sent(8, "MixUp local data")) <= 32 * 4

    @pytest.mark.parametrize(("devices", "layout", "parts"), [(8, "data", 8), (8, "model", 4), (1, "data", 1)])
    def test_local_partners_are_one_cycle_on_each_device(self, devices, layout, parts):
        mixing = np.array(self.trained(devices)[f"MixUp local {layout}"]["matrix"])

        assert self.trained(devices)[f"MixUp local {layout}"]["off"] < 1e-6
        partner = np.where(np.eye(32), 0, mixing).argmax(axis=1)
        rows = 32 // parts
        np.testing.assert_array_equal(partner // rows, np.arange(32) // rows)
        for first in range(0, 32, rows):
            visited = [first]
            while partner[visited[-1]] != first:
                visited.append(partner[visited[-1]])
            assert len(visited) == rows
