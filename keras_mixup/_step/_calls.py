"""Record what a call of a mixing layer did in its step."""

from keras_mixup._step import _closed, _running, _unfollowed
from keras_mixup._step._record import Record

NO_STEP = (
    "Layer {name!r} mixes a batch at one of several depths, so it must know which calls belong to one step. Received: "
    "a call with training=True outside a training step.\n"
    "In your own loop, mark the step: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, training=True))`."
)


def record_of(layer, *, mixes=False):
    """The record of `layer` in the step that runs, `None` outside steps; on placeholders one that nobody will see."""
    step = _running.current().step
    if mixes:
        _closed.reopen(step, layer.name)
    return _record_in(step, layer)


def no_step(layer):
    """The error of a layer that was called outside a step and needs one."""
    return RuntimeError(NO_STEP.format(name=layer.name))


def record_mix(layer, mix, shapes):
    """Records that `layer` has mixed inputs of these shapes."""
    step = _running.current().step
    record = _record_in(step, layer)
    if record is None:
        _running.stray_layers.add(layer)
    else:
        _closed.reopen(step, layer.name)
        record.add(mix, shapes)
        _warn_if_never_ended(layer, step)


def record_clean(layer, *, training_given):
    """Records that `layer` has passed its inputs on unmixed, and whether `training` was given."""
    record = record_of(layer)
    if record is not None:
        record.clean += 1
        record.training_not_given += not training_given


def record_labelled(layer, mix, shapes):
    """Records that `layer` has mixed inputs together with their labels: there is nothing to follow."""
    step = _running.current().step
    # Only a backward pass, `watch`, and the loss in a block look at such a record.
    if _running.may_repeat_calls() or _running.is_watched() or step in _running.blocks.open:
        record = _record_in(step, layer) or Record(layer)
        record.labelled += 1
        record.shapes += shapes
        record.drawn.append(mix)


def warn_if_never_ended(layer):
    """Warns at once if no loss can follow the mix of `layer`, where the end of the step may not be seen."""
    _warn_if_never_ended(layer, _running.look().step)


def _record_in(step, layer):
    if step is None:
        return None
    if step is _running.PLACEHOLDERS:
        return Record(layer)
    return _running.open_records(step).of(layer)


def _warn_if_never_ended(layer, step):
    if _running.is_training(step) and not _running.is_watched():
        _unfollowed.warn_if_never_ended(layer, _running.model_of(step))
