"""Find the step that runs, what the layers did in it so far, and whether gradients are being computed in it.

A step is a `with training_step():` block, or a call of `train_step` or `test_step` of a Keras model. No object that a
layer and a loss both see stands for such a call, so it is found by its frame on the Python stack. Each call of the
package walks the stack once, while a step is traced or runs eagerly; a compiled step does not come here again. Only
public names are looked for: those of the methods, and of the functions that compute gradients.
"""

import contextlib
import inspect
import sys
import threading
import types
import weakref
from typing import Any, NamedTuple

import keras

from keras_mixup import _backend
from keras_mixup._step import _unfollowed
from keras_mixup._step._record import Record, Records

TRAIN_STEPS = {"train_step", "tf__train_step"}  # the latter as AutoGraph renames it
STEPS = {*TRAIN_STEPS, "test_step", "tf__test_step"}
BUILDING = "compute_output_spec"  # Keras runs a layer, a loss or a metric on placeholders, to learn shapes

PLACEHOLDERS = object()  # stands for a step in which nothing is mixed


steps: dict = {}  # frame or block -> Records, of all threads: a backward pass may run in another one
stray_layers: weakref.WeakSet = weakref.WeakSet()  # layers that mixed outside the steps of Keras, in any thread
unrepeated_layers: weakref.WeakSet = weakref.WeakSet()  # layers with a draw that a backward pass may still ask for


class Running(NamedTuple):
    """What the stack says about a call of the package."""

    step: Any  # a `training_step` block, a frame, `PLACEHOLDERS` or `None`
    frame: Any  # of the innermost `train_step` or `test_step`: the step itself, or what is around the block
    in_backward: bool  # whether gradients are computed in it: a layer that is called now is called again


class _Blocks(threading.local):
    """The open `training_step` blocks of this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.open = []


blocks = _Blocks()


def look():
    """Walks the stack up to the innermost step."""
    frame, in_backward = _walk(sys._getframe(1), _backend.gradient_functions())
    if frame is not PLACEHOLDERS and blocks.open and blocks.open[-1].around is frame:
        return Running(blocks.open[-1], frame, in_backward)
    return Running(frame, frame, in_backward)


def is_training(step):
    """Whether a step is the `train_step` of a model."""
    return isinstance(step, types.FrameType) and step.f_code.co_name in TRAIN_STEPS


def model_of(step):
    """The model whose `train_step` or `test_step` a frame is, or `None`: its first argument, whatever its name."""
    if not isinstance(step, types.FrameType):
        return None
    code, first = step.f_code, None
    if code.co_argcount:
        first = step.f_locals.get(code.co_varnames[0])
    elif code.co_flags & inspect.CO_VARARGS:
        first = next(iter(step.f_locals[code.co_varnames[code.co_kwonlyargcount]]), None)
    return first if isinstance(first, keras.Model) else None


def may_repeat_calls():
    """Whether a backward pass may call a layer for the second time on this backend."""
    return bool(_backend.gradient_functions())


def threads_in_backward():
    """The other threads that compute gradients. PyTorch runs the Python of an accelerator's backward pass elsewhere."""
    own, gradients = threading.get_ident(), _backend.gradient_functions()
    running = sys._current_frames().items()
    return {thread for thread, frame in running if thread != own and _walk(frame, gradients)[1]}


def running_threads():
    """The numbers of the threads that run."""
    return sys._current_frames().keys()


def frames():
    """The frames of this thread, the innermost first."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _walk(frame, gradients):
    """The frame of the innermost step below `frame`, and whether one of the functions `gradients` runs in it."""
    in_backward = False
    names = {BUILDING, *STEPS, *(code.co_name for code in gradients)}
    while frame is not None:
        name = frame.f_code.co_name
        if name in names:
            if name == BUILDING:
                return PLACEHOLDERS, in_backward
            if name in STEPS and model_of(frame) is not None:
                return frame, in_backward
            # By identity: `torch.compile` runs code that holds dicts, of which there is no hash.
            in_backward = in_backward or any(frame.f_code is code for code in gradients)
        frame = frame.f_back
    return None, in_backward


class _Watchers(threading.local):
    """The lists of this thread that collect finished records, see `watch`."""

    def __init__(self):
        self.lists = []


_watchers = _Watchers()


def current():
    """The step that runs. Drops the steps of this thread that nobody closed."""
    running = look()
    if steps:
        _drop_abandoned(running)
    return running


def records_in(step):
    """What the layers did in a step so far."""
    return steps.get(step, Records())


def open_records(step):
    """As `records_in`, and what is added to them stays."""
    return steps.setdefault(step, Records())


def mixed_in(threads):
    """The records of all layers that mixed in the open steps of these threads."""
    of_threads = [records for records in list(steps.values()) if records.thread in threads]
    return [record for records in of_threads for record in list(records.values()) if record.mixes]


def names_of(layers):
    """The names of layers, or of their records, for an error."""
    return ", ".join(sorted(repr(layer.name) for layer in layers))


def is_building():
    """Whether Keras runs a model on placeholders, to learn shapes."""
    return look().step is PLACEHOLDERS


@contextlib.contextmanager
def watch():
    """Collects finished records instead of warning about them."""
    finished: list[Record] = []
    _watchers.lists.append(finished)
    try:
        yield finished
        current()  # drops steps that no layer closed, and reports them
    finally:
        _watchers.lists.remove(finished)


def is_watched():
    """Whether somebody collects the records of this thread."""
    return bool(_watchers.lists)


def notify_watchers(record):
    """Hands a finished record to those who collect them."""
    for finished in _watchers.lists:
        finished.append(record)


def forget():
    """Forgets which layers mixed outside any step, or in a block that is over."""
    stray_layers.clear()
    unrepeated_layers.clear()


def _drop_abandoned(running):
    """Drops the steps that nobody closed: an error ended them, or the model overrides `metrics`."""
    known, thread = [running.step, running.frame, *blocks.open], threading.get_ident()
    own = [step for step, records in list(steps.items()) if records.thread == thread and step not in known]
    if not own:  # so the whole stack is walked for nested and abandoned steps only
        return
    alive = set(frames())
    for step in own:
        if step not in alive:
            for record in steps.pop(step).values():
                _abandon(record, step)


def _abandon(record, step):
    """Warns that no loss followed, and marks the layer as one that mixed outside any step."""
    notify_watchers(record)
    layer = record.layer()
    if not is_watched() and layer is not None and record.mixes and not record.has_loss:
        stray_layers.add(layer)
        if is_training(step):
            _unfollowed.warn_of_abandoned(layer, model_of(step))
