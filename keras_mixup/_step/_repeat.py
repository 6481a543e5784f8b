"""A backward pass that runs the forward pass of a layer again gets the mix of the first one."""

import threading

from keras_mixup._step import _running
from keras_mixup._step._open import current_step, open_steps, unrepeated_layers

RECOMPUTED = (
    "Layer {name!r} is part of something rematerialised (`keras.RematScope`, `torch.utils.checkpoint`). The backward "
    "pass calls it again, and its mix is not known there, or is one of several; another draw would give wrong "
    "gradients.\n"
    "In a loop of your own, put the backward pass into the block too: `with keras_mixup.training_step(): ...; "
    "loss.backward()`.\n"
    "Or keep the layer out of the rematerialised part, or call it once a step."
)


def is_repeated(layer):
    """Whether a backward pass runs the forward pass of `layer` once more, in a step in which it mixed."""
    return _running.may_repeat_calls() and bool(_records_to_repeat(layer))


def mix_to_repeat(layer):
    """The mix that `layer` drew in this step, if a backward pass runs its forward pass once more; otherwise `None`."""
    if not _running.may_repeat_calls():
        return None
    records = _records_to_repeat(layer)
    if not records and not _running.is_backward():
        return None
    drawn = [mix for record in records for mix in record.drawn]
    if len(drawn) != 1 or records[0].calls_expected != 1 or layer in unrepeated_layers:
        raise RuntimeError(RECOMPUTED.format(name=layer.name))
    records[0].repeats += 1
    return drawn[0]


def _records_to_repeat(layer):
    """The records in which `layer` drew a mix and to which a backward pass belongs, if one is running."""
    step = current_step()
    if _running.is_backward():
        here = _drawn_in([step, getattr(step, "around", None)], layer)
        return here or _drawn_in(
            [s for s, records in list(open_steps.items()) if records.thread != threading.get_ident()], layer
        )
    if step is not None:
        return []
    threads = _running.threads_in_backward() if open_steps else ()
    return _drawn_in([s for s, records in list(open_steps.items()) if records.thread in threads], layer)


def _drawn_in(steps, layer):
    """What `layer` did in these steps, where it drew a mix."""
    records = [open_steps.get(step, {}).get(id(layer)) for step in steps]
    return [record for record in records if record is not None and record.drawn]
