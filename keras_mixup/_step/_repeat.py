"""A backward pass that runs the forward pass of a layer again gets the mix of the first one."""

import threading

from keras_mixup._step import _running as _stack
from keras_mixup._step._open import _current, _open, _unrepeated

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
    return _stack.calls_again() and bool(_passes_to_repeat(layer))


def mix_to_repeat(layer):
    """The mix that `layer` drew in this step, if a backward pass runs its forward pass once more; otherwise `None`."""
    if not _stack.calls_again():
        return None
    passes = _passes_to_repeat(layer)
    if not passes and not _stack.is_backward():
        return None
    drawn = [mix for done in passes for mix in done.drawn]
    if len(drawn) != 1 or passes[0].calls_expected != 1 or layer in _unrepeated:
        raise RuntimeError(RECOMPUTED.format(name=layer.name))
    passes[0].repeats += 1
    return drawn[0]


def _passes_to_repeat(layer):
    """The passes in which `layer` drew a mix and to which a backward pass belongs, if one is running."""
    step = _current()
    if _stack.is_backward():
        here = _drawn_in([step, getattr(step, "around", None)], layer)
        return here or _drawn_in(
            [s for s, passes in list(_open.items()) if passes.thread != threading.get_ident()], layer
        )
    if step is not None:
        return []
    threads = _stack.threads_in_backward() if _open else ()
    return _drawn_in([s for s, passes in list(_open.items()) if passes.thread in threads], layer)


def _drawn_in(steps, layer):
    """What `layer` did in these steps, where it drew a mix."""
    passes = [_open.get(step, {}).get(id(layer)) for step in steps]
    return [done for done in passes if done is not None and done.drawn]
