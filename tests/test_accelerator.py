"""What a mix costs on an accelerator: the operations that are sent to it, and that nothing waits for it.

PyTorch's `meta` device stands for the accelerator: no value can be read from it.
"""

import collections

import keras
import numpy as np
import pytest
from data import BACKEND

from keras_mixup import CutMix, FMix, GridMix, ManifoldMixUp, MixLoss, MixUp, Nearby, RandomMix, training_step

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="only PyTorch runs eagerly by default")

HALVING = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.5])
READS = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero")
LAYERS = {
    "MixUp": (30, lambda: MixUp(1.0, seed=0)),
    "MixUp, a schedule": (35, lambda: MixUp(HALVING, probability=HALVING, seed=0)),
    "MixUp, dominant and rolled": (30, lambda: MixUp(dominant=True, pairing="roll", probability=0.5, seed=0)),
    "CutMix": (60, lambda: CutMix(seed=0)),
    "GridMix": (60, lambda: GridMix(seed=0)),
    "FMix": (60, lambda: FMix(seed=0)),
    "RandomMix": (60, lambda: RandomMix([MixUp(0.8), CutMix(1.0)], seed=0)),
}
EVERY = pytest.mark.parametrize(("most", "make"), LAYERS.values(), ids=LAYERS)


@pytest.fixture(autouse=True)
def _accelerator():
    with keras.device("meta"):
        yield


class Sent:
    """Counts the operations on the accelerator, none of which reads from it."""

    def __init__(self):
        self.operations = collections.Counter()

    def __call__(self, function):
        """The result of a function, whose operations are counted."""
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode

        def on_accelerator(nest):
            return any(isinstance(x, torch.Tensor) and x.is_meta for x in keras.tree.flatten(nest))

        class Count(TorchDispatchMode):
            def __torch_dispatch__(_, operation, types, args=(), kwargs=None):
                result = operation(*args, **(kwargs or {}))
                if on_accelerator((args, result)):
                    assert operation.overloadpacket.__name__ not in READS
                    assert on_accelerator(result), f"{operation} copies from the accelerator"
                    self.operations[str(operation)] += 1
                return result

        with Count():
            return function()

    def check(self, most):
        assert 0 < self.operations.total() <= most, self.operations.most_common()


def batch():
    return keras.ops.ones((16, 32, 32, 3)), keras.ops.ones((16, 10))


@EVERY
def test_a_call_with_labels_sends_few_operations(most, make):
    layer, (x, y), sent = make(), batch(), Sent()
    layer(x, y, training=True)

    sent(lambda: layer(x, y, training=True))

    sent.check(most)


@EVERY
def test_a_call_in_a_step_sends_few_operations(most, make):
    layer, (x, y), sent, loss = make(), batch(), Sent(), MixLoss("mse")

    with training_step():
        sent(lambda: layer(x, training=True))
        loss(y, y)

    sent.check(most)


def test_hidden_states_at_three_depths_take_few_operations():
    layer, (x, y), sent, loss = ManifoldMixUp(num_positions=3, seed=0), batch(), Sent(), MixLoss("mse")

    with training_step():
        sent(lambda: layer(layer(layer(x, training=True), training=True), training=True))
        loss(y, y)

    sent.check(150)  # two thirds of them are conversions by Keras, which copy on `meta` alone


def mixes(layer, steps=2):
    """What the layer draws for the next batches, which the host alone knows."""
    return [layer._random_state.next().uniform((4,)) for _ in range(steps)]


def test_draws_are_those_of_the_cpu():
    on_accelerator = mixes(MixUp(seed=7))

    with keras.device("cpu"):
        on_cpu = mixes(MixUp(seed=7))

    assert all(isinstance(draw, np.ndarray) for draw in on_accelerator)
    np.testing.assert_array_equal(on_accelerator, on_cpu)


def test_a_state_from_a_file_is_gone_on_with():
    layer = MixUp(seed=0)
    layer.load_own_variables({"random_state": np.array([7, 1], "uint32")})

    np.testing.assert_array_equal(mixes(layer, 1), mixes(MixUp(seed=7))[1:])


def test_a_new_seed_begins_anew():
    layer = MixUp(seed=0)
    layer.seed = 7

    np.testing.assert_array_equal(mixes(layer), mixes(MixUp(seed=7)))


def test_a_state_that_others_wrote_is_not_taken_for_the_old_one():
    """`assign`, `load_state_dict` or a broadcast wrote it; here it cannot be read, so the device draws."""
    layer = MixUp(seed=0)
    layer.seed_generator.state.assign(np.array([7, 1], "int32"))

    (draw,) = mixes(layer, 1)

    assert not isinstance(draw, np.ndarray)


def test_what_looks_at_labels_draws_on_the_device():
    layer, (x, y) = MixUp(pairing=Nearby(0.1), seed=0), batch()

    mixed, labels = layer(x, y, training=True)

    assert mixed.device.type == labels.device.type == "meta"


@pytest.mark.parametrize("way", ["assign", "broadcast"])
def test_a_state_that_others_wrote_is_read_once(way, monkeypatch):
    """On an accelerator that can be read, which the CPU stands for: its versions are looked at as those of a GPU."""
    import torch

    from keras_mixup._backend._current import FRAMEWORK

    with keras.device("cpu"):
        monkeypatch.setattr(FRAMEWORK, "version", lambda tensor: tensor._version)
        layer, other = MixUp(seed=0, name="mix"), MixUp(seed=7, name="mix")
        mixes(other, 1)
        state, words = layer.seed_generator.state, other.seed_generator.state.value.clone()
        reads, read = [], FRAMEWORK.words_of
        monkeypatch.setattr(FRAMEWORK, "words_of", lambda state: reads.append(1) or read(state))
        mixes(layer)
        assert not reads
        if way == "assign":
            state.assign(words)
        else:  # as `DistributedDataParallel` does
            with torch.no_grad():
                state.value.detach().copy_(words)

        drawn = mixes(layer)

        assert len(reads) == 1
        np.testing.assert_array_equal(drawn, mixes(other))
