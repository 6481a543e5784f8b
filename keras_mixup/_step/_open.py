"""The steps that are open: the one that runs, and those that nobody has ended."""

import contextlib
import threading
import warnings
import weakref
from typing import Any, NamedTuple

from keras_mixup._step import _running
from keras_mixup._step._record import Record

UNFOLLOWED = (
    "Layer {name!r} mixed its inputs, but no loss followed: the labels stay as they are, and blended inputs are "
    "trained on hard targets.\n"
    'Wrap what must follow: `model.compile("adam", **follow_mix(loss=..., metrics=[...]))`.\n'
    "Or wrap the loss alone: `loss=MixLoss(keras.losses.SparseCategoricalCrossentropy())`.\n"
    "If there are no labels to follow, say so where the layer is called: `mixup(x, labels=())`."
)


class ClosedStep(NamedTuple):
    """A step in which a mix was let go of, because the metrics of the layers were asked for their results."""

    model: Any  # weak reference
    code: Any  # of its `train_step`
    names: str  # of the layers


class _InThread(threading.local):
    """What runs in this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.blocks = []  # open `training_step` blocks, each with the train_step frame around it
        self.closed = {}  # id of a frame -> ClosedStep; not the frame itself, which would keep the batch alive
        self.watchers = []  # lists that take up every pass that is over, see `watch`


in_thread = _InThread()
open_steps: dict = {}  # frame or block -> Records, of all threads: a backward pass may run on another one
stray_layers: weakref.WeakSet = weakref.WeakSet()  # layers that mixed outside the steps of Keras, in whatever thread
unrepeated_layers: weakref.WeakSet = weakref.WeakSet()  # layers with a draw that a backward pass may still ask for
warned_layers: weakref.WeakSet = weakref.WeakSet()  # layers that were warned of, because no model ends their step
ending_models: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # layer -> the models that end its step


@contextlib.contextmanager
def watch():
    """Takes up every pass that is over, instead of warning of it."""
    finished: list[Record] = []
    in_thread.watchers.append(finished)
    try:
        yield finished
        current_step()  # drops steps that no layer closed, and reports them
    finally:
        in_thread.watchers.remove(finished)


def forget():
    """Forgets which layers mixed outside any step, or in a block that is over."""
    stray_layers.clear()
    unrepeated_layers.clear()


def is_building():
    """Whether Keras runs a model on placeholders, to learn shapes."""
    return _running.step_frame() is _running.PLACEHOLDERS


def current_step():
    """The innermost running step, or `None`. What is left of steps that an error has ended is dropped."""
    frame = _running.step_frame()
    if open_steps:
        _drop_abandoned()
    if frame is not _running.PLACEHOLDERS and in_thread.blocks and in_thread.blocks[-1].around is frame:
        return in_thread.blocks[-1]
    return frame


def _drop_abandoned():
    """Drops the steps of this thread that nobody ended: an error did, or the model overrides `metrics`."""
    alive = {*_running.frames(), *in_thread.blocks}
    for step in [
        s for s, records in list(open_steps.items()) if records.thread == threading.get_ident() and s not in alive
    ]:
        for record in open_steps.pop(step).values():
            if not _notify_watchers(record):
                _warn_of_abandoned(step, record)


def _warn_of_abandoned(step, record):
    layer = record.layer()
    if layer is None or not record.mixes or record.has_loss:
        return
    stray_layers.add(layer)
    if layer not in warned_layers and _running.is_training(step) and not _is_ended(step, layer):
        warned_layers.add(layer)
        warnings.warn(UNFOLLOWED.format(name=record.name), stacklevel=2)


def _is_ended(step, layer):
    """Whether the metrics of the model in whose step `layer` is called end the step of the layer."""
    model, known = _running.model_of(step), ending_models.setdefault(layer, weakref.WeakSet())
    if model not in known and any(metric is layer._end_of_step for metric in model.metrics):
        known.add(model)
    return model in known


def _notify_watchers(record):
    """Whether somebody watches: they learn of the pass."""
    for finished in in_thread.watchers:
        finished.append(record)
    return bool(in_thread.watchers)


def names_of(layers):
    return ", ".join(sorted(repr(layer.name) for layer in layers))
