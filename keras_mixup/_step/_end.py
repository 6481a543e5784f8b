"""The end of a step of Keras."""

import warnings
import weakref

import keras

from keras_mixup._step import _running
from keras_mixup._step._open import (
    UNFOLLOWED,
    ClosedStep,
    _notify_watchers,
    current_step,
    in_thread,
    names_of,
    open_steps,
    warned_layers,
)
from keras_mixup._step._record import Records

TRAINING_NOT_GIVEN = (
    "Layer {name!r} was called in a training step without being told whether to train, so it mixed nothing (nor would "
    "`Dropout` do anything there). If that is right, as for a teacher, say so: `teacher(x, training=False)`. If not, "
    "the `call` of your model must take `training` and pass it on: `def call(self, x, training=None): x = "
    "self.mixup(x, training=training)`."
)


class EndOfStep(keras.metrics.Metric):
    """Clears the layer's mix when a step is over.

    Keras asks the metrics of a model's layers for their results as the last thing in every step, on every
    backend and inside the compiled function. This one has none, and lets go of the mix; and it warns, once, if no
    loss has followed it, or if nobody told the layer to train.
    """

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_end_of_step")
        self.layer_name = layer.name
        self._end = lambda: end(layer)
        self._warned = False

    def update_state(self, *args, **kwargs):
        """Nothing is measured."""

    def reset_state(self):
        """Nothing is kept from step to step."""

    def result(self):
        warning = self._end()
        if warning and not self._warned:
            self._warned = True
            warnings.warn(warning, stacklevel=2)
        return {}


def end(layer):
    """Drops what `layer` did in the running step, which is over. Returns the warning to give, or `None`."""
    step = current_step()
    records = open_steps.get(step, Records())
    record = records.close(id(layer))
    mixes = [*records.finished, *([record] if record is not None and record.mixes else ())]
    if mixes and _running.model_of(step) is not None:
        _close(step, mixes)
    if not records:
        open_steps.pop(step, None)
    if record is None or _notify_watchers(record):
        return None
    if record.mixes and not record.has_loss and layer not in warned_layers:
        return UNFOLLOWED.format(name=record.name)
    mixed = records.mixed or any(other.mixes for other in records.values())
    if record.training_not_given and not mixed and _running.is_training(step):
        return TRAINING_NOT_GIVEN.format(name=record.name)
    return None


def _close(step, mixes):
    """Remembers that a loss which comes later in this step would be too late."""
    alive = {id(frame) for frame in _running.frames()}
    in_thread.closed = {key: closed for key, closed in in_thread.closed.items() if key in alive}
    in_thread.closed[id(step)] = ClosedStep(weakref.ref(_running.model_of(step)), step.f_code, names_of(mixes))
