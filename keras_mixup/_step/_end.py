"""End a step of Keras: drop what the layers did in it, and warn of what is missing."""

import warnings
import weakref

import keras

from keras_mixup._step import _closed, _running, _unfollowed

TRAINING_NOT_GIVEN = (
    "Layer {name!r} was called in a training step without being told whether to train.\n"
    "It mixed nothing, as `Dropout` would drop nothing.\n"
    "Pass `training` on in the `call` of your model: `def call(self, x, training=None): x = self.mixup(x, "
    "training=training)`.\n"
    "If nothing is to be mixed, as in a teacher, say so: `teacher(x, training=False)`."
)


class EndOfStep(keras.metrics.Metric):
    """Drops the mix of its layer when a step is over.

    Keras reads the metrics of a model's layers last in each step, on every backend and inside the compiled function.
    This metric measures nothing; it uses that call to learn that the step is over, and to warn, once, if no loss has
    followed the mix or the layer was called without `training`.
    """

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_end_of_step")
        self.layer_name = layer.name  # `None` for a member of another layer
        self._layer = weakref.ref(layer)  # Keras would save the layer a second time, as a part of its metric
        self._warned = False

    def update_state(self, *args, **kwargs):
        """Nothing is measured."""

    def reset_state(self):
        """Nothing is kept from step to step."""

    def result(self):
        layer = self._layer()
        warning = None if layer is None else _end(layer)
        if warning and not self._warned:
            self._warned = True
            warnings.warn(warning, stacklevel=2)
        return {}


def mixing_layers(model):
    """The names of the layers of a model that mix; members of another layer are no mixing layers of the model."""
    ends = [metric for metric in model.metrics if isinstance(metric, EndOfStep)]
    return [end.layer_name for end in ends if end.layer_name is not None]


def lack_of_training(record):
    """Says what to do about a layer that was called without `training`; `None` if it was not."""
    return TRAINING_NOT_GIVEN.format(name=record.name) if record.training_not_given else None


def _end(layer):
    """Drops what `layer` did in the step that runs, which is over. Returns the warning to give, or `None`."""
    step = _running.current().step
    records = _running.records_in(step)
    record = records.close(layer)
    _close(step, records, record)
    if record is None:
        return None
    _running.notify_watchers(record)
    if _running.is_watched():
        return None
    if record.mixes and not record.has_loss and layer not in _unfollowed.warned_layers:
        return _unfollowed.UNFOLLOWED.format(name=record.name)
    mixed = records.mixed or any(other.mixes for other in records.values())
    return lack_of_training(record) if _running.is_training(step) and not mixed else None


def _close(step, records, record):
    """Lets a loss that comes later know that it is too late, and drops a step in which no layer is left."""
    mixed = list(records.followed_in_blocks)
    if record is not None and record.mixes:
        mixed.append(record)
    if mixed and _running.model_of(step) is not None:
        _closed.close(step, [record.name for record in mixed])
    if not records:
        _running.steps.pop(step, None)
