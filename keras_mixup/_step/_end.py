"""The end of a step of Keras."""

import warnings
import weakref

import keras

from keras_mixup._step import _running as _stack
from keras_mixup._step._open import UNFOLLOWED, Closed, _current, _names, _open, _steps, _tell, _unended
from keras_mixup._step._record import Step

UNSAID = (
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
    step = _current()
    passes = _open.get(step, Step())
    done = passes.over(id(layer))
    mixes = [*passes.finished, *([done] if done is not None and done.mixes else ())]
    if mixes and _stack.model_of(step) is not None:
        _close(step, mixes)
    if not passes:
        _open.pop(step, None)
    if done is None or _tell(done):
        return None
    if done.mixes and not done.led_a_loss and layer not in _unended:
        return UNFOLLOWED.format(name=done.name)
    mixed = passes.mixed or any(other.mixes for other in passes.values())
    if done.unsaid and not mixed and _stack.is_training(step):
        return UNSAID.format(name=done.name)
    return None


def _close(step, mixes):
    """Remembers that a loss which comes later in this step would be too late."""
    alive = {id(frame) for frame in _stack.frames()}
    _steps.closed = {key: closed for key, closed in _steps.closed.items() if key in alive}
    _steps.closed[id(step)] = Closed(weakref.ref(_stack.model_of(step)), step.f_code, _names(mixes))
