"""Random programs of calls: whatever is called in whatever order, a loss follows the right mix, or raises.

The models give their inputs back and the labels are `eye(batch)`, so that mixed predictions are the mixing matrix. The
loss is 0 if the labels followed that very mix, and far from 0 if they followed another one, or none.
"""

import os
import threading
import warnings

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_mixup import MixLoss, MixUp, _step, training_step

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("KERAS_MIXUP_EXAMPLES", 100))


class Distance(keras.losses.Loss):
    """Linear in the labels as long as they are right, and 0 for those only."""

    def call(self, y_true, y_pred):
        return keras.ops.sum(keras.ops.abs(y_true - y_pred), axis=-1)


class Fault(Exception):
    pass


def identity(name):
    inputs = keras.Input((None,))
    model = keras.Model(inputs, MixUp(1.0, seed=0, name=name)(inputs))
    model.compile(keras.optimizers.SGD(0.0), MixLoss(Distance()), run_eagerly=True)
    return model


class Program:
    """Runs instructions, and knows which of its predictions a loss must, may or must not follow."""

    def __init__(self, models):
        self.models, self.stray = models, False
        self.blocks = []  # what was called in each open block: pairs of a model's number and whether it trained
        self.contexts = []
        self.predictions, self.source = None, None  # the last ones, and (model, trained, block)
        self.loss = MixLoss(Distance())
        self.outcomes = {"followed": 0, "refused": 0}

    def call(self, number, training, rows, elsewhere=False):
        eye = np.eye(rows, dtype="float32")

        def forward():
            self.predictions = self.models[number](eye, training=training)

        if elsewhere:
            thread = threading.Thread(target=forward)
            thread.start()
            thread.join()
        else:
            forward()
        block = self.blocks[-1] if self.blocks and not elsewhere else None
        if block is not None:
            block.append((number, training))
        elif training:
            self.stray = True
        self.source, self.handed_on = (number, training, block), False

    def ask(self):
        if self.predictions is None or self.cannot_be_known():
            return
        labels = np.eye(self.predictions.shape[0], dtype="float32")
        try:
            loss = float(keras.ops.convert_to_numpy(self.loss(labels, self.predictions)))
        except (RuntimeError, ValueError):
            assert not self.must_be_followed()
            self.outcomes["refused"] += 1
        else:
            assert loss < 1e-5
            self.outcomes["followed"] += 1

    def cannot_be_known(self):
        """Two kinds of predictions beside each other: the loss sees what was called in its block, not what it is asked.

        Clean ones where something was mixed, and mixed ones from elsewhere where something else was called.
        """
        _, trained, block = self.source
        mixed = any(training for calls in self.blocks for _, training in calls)
        elsewhere = bool(self.blocks) and block is not self.blocks[-1]
        return (elsewhere and bool(self.blocks[-1])) if trained else mixed

    def must_be_followed(self):
        number, training, block = self.source
        if not self.blocks:
            return not training and not self.stray
        if block is not self.blocks[-1] or self.handed_on:
            return False
        return not training or [call for call in block if call[1] or call[0] == number] == [(number, True)]

    def open(self):
        self.contexts.append(training_step())
        self.contexts[-1].__enter__()
        self.blocks.append([])

    def close(self, error=None):
        if self.blocks:
            calls = self.blocks.pop()
            self.stray = self.stray or any(training for _, training in calls)
            around = self.blocks[-1] if self.blocks else None
            if around is not None:
                around += calls
            if self.source and self.source[2] is calls:
                self.source, self.handed_on = (*self.source[:2], around), True
            self.contexts.pop().__exit__(error and type(error), error, None)

    def fail(self):
        self.close(Fault())

    def fit(self, number, rows):
        eye = np.eye(rows, dtype="float32")
        assert self.models[number].train_on_batch(eye, eye) < 1e-5

    def evaluate(self, number, rows):
        eye = np.eye(rows, dtype="float32")
        assert self.models[number].test_on_batch(eye, eye) < 1e-5

    def compile(self, number):
        self.models[number].compile(keras.optimizers.SGD(0.0), MixLoss(Distance()), run_eagerly=True)


MODELS, ROWS = st.integers(0, 1), st.sampled_from([2, 5])
INSTRUCTIONS = st.one_of(
    st.tuples(st.just("call"), MODELS, st.booleans(), ROWS),
    st.tuples(st.just("call"), MODELS, st.booleans(), ROWS, st.just(True)),
    st.tuples(st.just("ask")),
    st.tuples(st.just("open")),
    st.tuples(st.just("close")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("fit"), MODELS, ROWS),
    st.tuples(st.just("evaluate"), MODELS, ROWS),
    st.tuples(st.just("compile"), MODELS),
)


@pytest.fixture(scope="module")
def models():
    return [identity("first"), identity("second")]


@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
@hypothesis.given(st.lists(INSTRUCTIONS, min_size=2, max_size=14))
def test_a_loss_follows_the_right_mix_or_raises(models, instructions):
    _step.forget()
    program = Program(models)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a block without its loss warns
        try:
            for name, *arguments in instructions:
                getattr(program, name)(*arguments)
        finally:
            while program.blocks:
                program.close()
    hypothesis.target(float(program.outcomes["followed"] + program.outcomes["refused"]))
