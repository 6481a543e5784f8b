"""Remember the steps whose metrics were read: a loss that comes later is too late."""

import threading
import types
import weakref
from typing import Any, NamedTuple

from keras_mixup._step import _running


class ClosedStep(NamedTuple):
    """A step of Keras that has dropped its mixes."""

    model: Any  # weak reference
    code: Any  # of its `train_step`
    names: set  # of the layers that mixed
    at: int  # where its frame stood


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
    model, before = weakref.ref(_running.model_of(frame)), names_in_closed(frame)
    _closed.steps[id(frame)] = ClosedStep(model, frame.f_code, before | set(names), frame.f_lasti)


def reopen(step, name):
    """Forgets that the layer of this name mixed before the step was closed: it mixes anew."""
    closed = _closed.steps.get(id(step))
    if closed is not None:
        closed.names.discard(name)


def names_in_closed(step):
    """The names of the layers that mixed in this step before it was closed, and not since; none if it is open."""
    closed = _closed.steps.get(id(step)) if isinstance(step, types.FrameType) else None
    # Where a frame ended, another one may lie in memory.
    if closed is None or closed.model() is not _running.model_of(step) or closed.code is not step.f_code:
        return set()
    return closed.names if step.f_lasti >= closed.at else set()
