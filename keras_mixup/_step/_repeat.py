"""Repeat the mix of a layer where a backward pass runs the forward pass again."""

import threading

from keras_mixup._step import _running

RECOMPUTED = (
    "Layer {name!r} is part of something rematerialised (`keras.RematScope`, `torch.utils.checkpoint`), and the "
    "backward pass calls it again.\n"
    "Its mix is not known there, or is one of several; another draw would give wrong gradients.\n"
    "In your own loop, call `backward` in the block: `with keras_mixup.training_step(): ...; loss.backward()`.\n"
    "Or call the layer outside the rematerialised part, once in each step."
)


def is_repeated(layer):
    """Whether a backward pass runs the forward pass of `layer` once more, in a step in which it mixed."""
    return _running.may_repeat_calls() and bool(_records_to_repeat(layer, _running.current()))


def mix_to_repeat(layer):
    """The mix that `layer` drew in this step, if a backward pass runs its forward pass once more; otherwise `None`."""
    if not _running.may_repeat_calls():
        return None
    running = _running.current()
    records = _records_to_repeat(layer, running)
    if not records and not running.in_backward:
        return None
    drawn = [mix for record in records for mix in record.drawn]
    if len(drawn) != 1 or records[0].calls_expected != 1 or layer in _running.unrepeated_layers:
        raise RuntimeError(RECOMPUTED.format(name=layer.name))
    records[0].repeats += 1
    return drawn[0]


def _records_to_repeat(layer, running):
    """The records of `layer` in the steps to which a running backward pass belongs; none if there is no such pass."""
    if running.in_backward:
        here = _drawn_in({running.step, running.frame}, layer)
        return here or _drawn_in(_steps_of_other_threads(), layer)
    if running.step is not None or not _running.steps:
        return []
    threads = _running.threads_in_backward()
    return _drawn_in(_steps_of_other_threads(threads), layer)


def _steps_of_other_threads(threads=None):
    """The open steps of these threads; of all but this one by default."""
    own = threading.get_ident()
    steps = list(_running.steps.items())
    return [s for s, records in steps if (records.thread in threads if threads is not None else records.thread != own)]


def _drawn_in(steps, layer):
    """What `layer` did in these steps, where it drew a mix."""
    records = [_running.records_in(step).get(id(layer)) for step in steps]
    return [record for record in records if record is not None and record.drawn]
