"""Record what a call of a mixing layer did."""

from keras_mixup._step import _running
from keras_mixup._step._open import current_step, in_thread, open_steps, stray_layers
from keras_mixup._step._record import Record, Records
from keras_mixup._step._unfollowed import warn_if_never_ended


def record_of(layer):
    """The pass of `layer` in the running step, `None` outside of steps; on placeholders one that nobody will see."""
    step = current_step()
    if step is None:
        return None
    if step is _running.PLACEHOLDERS:
        return Record(layer)
    in_thread.closed.pop(id(step), None)  # a layer that is called begins anew
    return open_steps.setdefault(step, Records()).setdefault(id(layer), Record(layer))


def record_mix(layer, mix, shapes):
    """Notes that `layer` has mixed inputs of these shapes."""
    record = record_of(layer)
    if record is None:
        stray_layers.add(layer)
    else:
        record.add(mix, shapes)
        warn_if_never_ended(layer)


def record_clean(layer, *, training_given):
    """Notes that `layer` has passed its inputs on unmixed, and whether it was told to."""
    record = record_of(layer)
    if record is not None:
        record.clean += 1
        record.training_not_given += not training_given


def record_labelled(layer, mix, shapes):
    """Notes that `layer` has mixed inputs together with their labels: there is nothing to follow."""
    step = current_step()
    if step in in_thread.blocks or in_thread.watchers or _running.may_repeat_calls():  # or nobody would ask
        record = record_of(layer) or Record(layer)
        record.labelled += 1
        record.shapes += shapes
        record.drawn.append(mix)
