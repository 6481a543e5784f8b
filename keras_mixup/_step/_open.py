"""The steps that are open: the one that runs, and those that nobody has ended."""

import contextlib
import threading
import warnings
import weakref
from typing import Any, NamedTuple

from keras_mixup._step import _running as _stack
from keras_mixup._step._record import Pass

UNFOLLOWED = (
    "Layer {name!r} mixed its inputs, but no loss followed: the labels stay as they are, and blended inputs are "
    "trained on hard targets.\n"
    'Wrap what must follow: `model.compile("adam", **follow_mix(loss=..., metrics=[...]))`.\n'
    "Or wrap the loss alone: `loss=MixLoss(keras.losses.SparseCategoricalCrossentropy())`.\n"
    "If there are no labels to follow, say so where the layer is called: `mixup(x, labels=())`."
)


class Closed(NamedTuple):
    """A step in which a mix was let go of, because the metrics of the layers were asked for their results."""

    model: Any  # weak reference
    code: Any  # of its `train_step`
    names: str  # of the layers


class _Steps(threading.local):
    """What runs in this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.blocks = []  # open `training_step` blocks, each with the train_step frame around it
        self.closed = {}  # id of a frame -> Closed; not the frame itself, which would keep the batch alive
        self.watchers = []  # lists that take up every pass that is over, see `watch`


_steps = _Steps()
_open: dict = {}  # frame or block -> Step, of all threads: a backward pass may look for its step from another one
_astray: weakref.WeakSet = weakref.WeakSet()  # layers that mixed outside the steps of Keras, in whatever thread
_unrepeated: weakref.WeakSet = weakref.WeakSet()  # layers with a draw that a backward pass may still ask for
_unended: weakref.WeakSet = weakref.WeakSet()  # layers that were warned of, because no model ends their step
_ended: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # layer -> the models that end its step


@contextlib.contextmanager
def watch():
    """Takes up every pass that is over, instead of warning of it."""
    over: list[Pass] = []
    _steps.watchers.append(over)
    try:
        yield over
        _current()  # lets go of what no layer has ended, and tells
    finally:
        _steps.watchers.remove(over)


def forget():
    """Forgets which layers mixed outside any step, or in a block that is over."""
    _astray.clear()
    _unrepeated.clear()


def is_building():
    """Whether Keras runs a model on placeholders, to learn shapes."""
    return _stack.step_frame() is _stack.PLACEHOLDERS


def _current():
    """The innermost running step, or `None`. What is left of steps that an error has ended is dropped."""
    frame = _stack.step_frame()
    if _open:
        _drop_dead()
    if frame is not _stack.PLACEHOLDERS and _steps.blocks and _steps.blocks[-1].around is frame:
        return _steps.blocks[-1]
    return frame


def _drop_dead():
    """Drops the steps of this thread that nobody ended: an error did, or the model overrides `metrics`."""
    alive = {*_stack.frames(), *_steps.blocks}
    for step in [s for s, passes in list(_open.items()) if passes.thread == threading.get_ident() and s not in alive]:
        for done in _open.pop(step).values():
            if not _tell(done):
                _warn_of_dead(step, done)


def _warn_of_dead(step, done):
    layer = done.layer()
    if layer is None or not done.mixes or done.led_a_loss:
        return
    _astray.add(layer)
    if layer not in _unended and _stack.is_training(step) and not _is_ended(step, layer):
        _unended.add(layer)
        warnings.warn(UNFOLLOWED.format(name=done.name), stacklevel=2)


def _is_ended(step, layer):
    """Whether the metrics of the model in whose step `layer` is called end the step of the layer."""
    model, known = _stack.model_of(step), _ended.setdefault(layer, weakref.WeakSet())
    if model not in known and any(metric is layer._end_of_step for metric in model.metrics):
        known.add(model)
    return model in known


def _tell(done):
    """Whether somebody watches: they learn of the pass."""
    for over in _steps.watchers:
        over.append(done)
    return bool(_steps.watchers)


def _names(layers):
    return ", ".join(sorted(repr(layer.name) for layer in layers))
