"""Remember the steps whose metrics were read: a loss that comes later is too late."""

import threading
import weakref
from typing import Any, NamedTuple

from keras_mixup._step import _running


class ClosedStep(NamedTuple):
    """A step of Keras that has dropped its mixes."""

    model: Any  # weak reference
    code: Any  # of its `train_step`
    names: str  # of the layers that mixed


class _Closed(threading.local):
    """The closed steps of this thread."""

    def __init__(self):
        self.steps = {}  # id of a frame -> ClosedStep; not the frame itself, which would keep the batch alive


_closed = _Closed()


def close(frame, names):
    """Remembers a step in which these layers mixed."""
    if _closed.steps.keys() - {id(frame)}:
        alive = {id(frame) for frame in _running.frames()}
        _closed.steps = {key: step for key, step in _closed.steps.items() if key in alive}
    _closed.steps[id(frame)] = ClosedStep(weakref.ref(_running.model_of(frame)), frame.f_code, names)


def reopen(step):
    """Forgets that a step was closed: a layer that is called in it begins anew."""
    _closed.steps.pop(id(step), None)


def names_in_closed(step):
    """The names of the layers that mixed in this step before it was closed; `None` if it is open."""
    closed = _closed.steps.get(id(step))
    # Where a frame ended, another one may lie in memory.
    if closed is None or closed.model() is not _running.model_of(step) or closed.code is not step.f_code:
        return None
    return closed.names
