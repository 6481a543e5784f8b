"""The open steps: the one that runs, those around it, and those that an error left open."""

import contextlib
import threading
import weakref

from keras_mixup._step import _running, _unfollowed
from keras_mixup._step._record import Record, Records

steps: dict = {}  # frame or block -> Records, of all threads: a backward pass may run in another one
stray_layers: weakref.WeakSet = weakref.WeakSet()  # layers that mixed outside the steps of Keras, in any thread
unrepeated_layers: weakref.WeakSet = weakref.WeakSet()  # layers with a draw that a backward pass may still ask for


class _Watchers(threading.local):
    """The lists of this thread that collect finished records, see `watch`."""

    def __init__(self):
        self.lists = []


_watchers = _Watchers()


def current():
    """The step that runs. Drops the steps of this thread that nobody closed."""
    running = _running.look()
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
    return _running.look().step is _running.PLACEHOLDERS


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
    known, thread = [running.step, running.frame, *_running.blocks.open], threading.get_ident()
    own = [step for step, records in list(steps.items()) if records.thread == thread and step not in known]
    if not own:  # so the whole stack is walked for nested and abandoned steps only
        return
    alive = set(_running.frames())
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
        _unfollowed.warn_of_abandoned(layer, step)
