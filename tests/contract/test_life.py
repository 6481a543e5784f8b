"""A model with the layer is saved, copied, killed, resumed and exported like any other, and its draws go on."""

import copy
import json
import os
import pathlib
import pickle
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from data import BACKEND, to_numpy

from keras_mixup import MixLoss, MixMetric, MixUp, RandomMix

pytestmark = pytest.mark.slow

ROWS, STEPS, EPOCHS = 6, 4, 4
EYE = np.eye(ROWS, dtype="float32")
DATA = np.tile(EYE, (STEPS, 1))
MARKS = np.random.default_rng(0).normal(size=(ROWS, ROWS)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class Fingerprint(keras.metrics.Metric):
    """A number that tells the labels of the last batch, and so its mix, from all others."""

    def __init__(self, name="fingerprint", **options):
        super().__init__(name=name, **options)
        self.last = self.add_variable((), "zeros", dtype="float32")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.last.assign(keras.ops.sum(keras.ops.multiply(y_true, MARKS)))

    def reset_state(self):
        """What was seen stays."""

    def result(self):
        return self.last + 0.0


def build(alpha=1.0):
    layers = [MixUp(alpha, seed=0, name="mix"), keras.layers.Dense(ROWS, kernel_initializer="identity")]
    model = keras.Sequential([keras.Input((ROWS,)), *layers])
    model.compile(keras.optimizers.Adam(0.1), MixLoss("mse"), metrics=[MixMetric(Fingerprint(), pairwise=False)])
    return model


class Record(keras.callbacks.Callback):
    """Keeps the mix of every step; after some of them it may end the process, as a crash does."""

    def __init__(self, dies_after=None, file=None):
        super().__init__()
        self.dies_after, self.file = dies_after, file
        self.mixes = []

    def on_train_batch_end(self, batch, logs=None):
        self.mixes.append(float(logs["fingerprint"]))
        if len(self.mixes) == self.dies_after:
            self.file.write_text(json.dumps([self.mixes, None]))
            os._exit(7)


def train(schedule, callbacks=(), **record):
    """The mixes of all steps, and the trained variables."""
    late = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.0, 1.0])  # off for five steps, then on
    model, note = build(late if schedule else 1.0), Record(**record)
    model.fit(DATA, DATA, batch_size=ROWS, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[note, *callbacks])
    return note.mixes, [to_numpy(v).tolist() for v in model.trainable_variables]


def train_with_backup(folder, schedule, save_freq, dies_after):
    """What runs in a process of its own."""
    backup = keras.callbacks.BackupAndRestore(f"{folder}/backup", save_freq=save_freq)
    file = pathlib.Path(folder, "record.json")
    file.write_text(json.dumps(train(schedule, [backup], dies_after=dies_after, file=file)))


def in_new_process(folder, schedule, save_freq, dies_after):
    code = f"import test_life; test_life.train_with_backup({str(folder)!r}, {schedule}, {save_freq!r}, {dies_after})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the helpers, too
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == (7 if dies_after else 0), run.stderr
    return json.loads((folder / "record.json").read_text())


@pytest.mark.processes
@pytest.mark.parametrize(("save_freq", "schedule"), [("epoch", True), (3, False)])
def test_a_killed_run_goes_on_where_its_backup_stopped(save_freq, schedule, tmp_path):
    """In a new process, bit for bit: the mixes of all steps, and after whole epochs the weights at the end."""
    whole, weights = train(schedule)
    backed_up = STEPS if save_freq == "epoch" else 3

    killed, _ = in_new_process(tmp_path, schedule, save_freq, dies_after=6)
    resumed, weights_resumed = in_new_process(tmp_path, schedule, save_freq, dies_after=None)

    assert len(set(whole)) == len(whole) - (4 if schedule else 0)  # all differ, but those that are off
    assert killed == whole[:6]
    assert (killed[:backed_up] + resumed)[: len(whole)] == whole
    if save_freq == "epoch":  # Keras begins an epoch anew that was backed up in its middle
        assert len(resumed) == len(whole) - backed_up
        assert weights_resumed == weights


def state(layer):
    return to_numpy(layer.seed_generator.state).tolist()


def test_copies_keep_the_place_in_the_sequence():
    model = build()
    model.fit(DATA, DATA, batch_size=ROWS, verbose=0)
    layer = model.layers[0]

    copies = [pickle.loads(pickle.dumps(model)).layers[0], copy.deepcopy(model).layers[0]]
    copies += [pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.deepcopy(copy.deepcopy(layer))]
    for copied in copies[2:]:
        copied(EYE, training=False)  # only now a state is put on the device

    assert state(layer)[1] == STEPS
    assert [state(copied) for copied in copies] == [state(layer)] * 5


def test_a_layer_from_a_pickle_is_saved_with_its_model(tmp_path):
    """Its members, too, which have no state of their own."""
    layer = pickle.loads(pickle.dumps(RandomMix([MixUp(1.0), MixUp(0.2)], seed=3)))
    model = keras.Sequential([keras.Input((ROWS,)), layer, keras.layers.Dense(ROWS)])
    model.compile("sgd", MixLoss("mse"))
    model.fit(DATA, DATA, batch_size=ROWS, verbose=0)

    model.save(tmp_path / "model.keras")

    assert state(layer) == [3, STEPS]
    assert state(keras.saving.load_model(tmp_path / "model.keras").layers[0]) == [3, STEPS]


def test_a_clone_begins_the_sequence_anew_and_trains():
    """`clone_model` makes layers from their configs, for the layer as for all others."""
    model = build()
    first = model.fit(EYE, EYE, batch_size=ROWS, verbose=0).history["loss"]
    clone = keras.models.clone_model(model)
    fresh = build()
    clone.set_weights(fresh.get_weights())
    clone.compile("sgd", model.loss)

    assert state(clone.layers[0]) == [0, 0]
    assert clone.fit(EYE, EYE, batch_size=ROWS, verbose=0).history["loss"][0] != first
    assert state(clone.layers[0]) == [0, 1]


@pytest.mark.parametrize("schedule", [False, True])
def test_schedules_trace_nothing_again(schedule):
    """α changes with every step, the compiled step does not."""
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 100, 0.1)
    traces = []
    model = build(decay if schedule else 1.0)
    model.compile("sgd", MixLoss(lambda y, p: traces.append(1) or keras.losses.mean_squared_error(y, p)))
    model.fit(EYE, EYE, batch_size=ROWS, verbose=0)
    traced = len(traces)
    model.fit(EYE, EYE, batch_size=ROWS, epochs=5, verbose=0)

    assert len(traces) == (traced if BACKEND != "torch" else traced + 5)  # PyTorch runs Python in every step


@pytest.mark.skipif(BACKEND == "torch", reason="Keras cannot export a SavedModel from PyTorch 2.13, with any layers")
def test_a_saved_model_holds_no_random_operation(tmp_path):
    import tensorflow as tf

    model = build()
    model.fit(EYE, EYE, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    graph = loaded.signatures["serving_default"].graph.as_graph_def()

    nodes = [node.op for node in graph.node] + [node.op for f in graph.library.function for node in f.node_def]
    assert nodes
    assert not [op for op in nodes if "Random" in op or "Gather" in op or "Bitwise" in op]
    np.testing.assert_allclose(loaded.serve(EYE), model.predict(EYE, verbose=0), rtol=1e-6)


def test_the_layer_changes_no_count_and_no_list_of_weights():
    model = build()
    plain = keras.Sequential([keras.Input((ROWS,)), keras.layers.Dense(ROWS)])
    plain.set_weights(model.get_weights())

    assert model.count_params() == plain.count_params()
    assert len(model.weights) == len(plain.weights)
    assert len(model.trainable_variables) == len(plain.trainable_variables)
