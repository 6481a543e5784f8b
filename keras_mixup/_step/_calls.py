"""Record what a call of a mixing layer did."""

from keras_mixup._step import _running as _stack
from keras_mixup._step._open import _astray, _current, _open, _steps
from keras_mixup._step._record import Pass, Step
from keras_mixup._step._unfollowed import warn_if_never_ended


def pass_of(layer):
    """The pass of `layer` in the running step, `None` outside of steps; on placeholders one that nobody will see."""
    step = _current()
    if step is None:
        return None
    if step is _stack.PLACEHOLDERS:
        return Pass(layer)
    _steps.closed.pop(id(step), None)  # a layer that is called begins anew
    return _open.setdefault(step, Step()).setdefault(id(layer), Pass(layer))


def note_mix(layer, mix, shapes):
    """Notes that `layer` has mixed inputs of these shapes."""
    done = pass_of(layer)
    if done is None:
        _astray.add(layer)
    else:
        done.add(mix, shapes)
        warn_if_never_ended(layer)


def note_clean(layer, *, said):
    """Notes that `layer` has passed its inputs on unmixed, and whether it was told to."""
    done = pass_of(layer)
    if done is not None:
        done.clean += 1
        done.unsaid += not said


def note_labelled(layer, mix, shapes):
    """Notes that `layer` has mixed inputs together with their labels: there is nothing to follow."""
    step = _current()
    if step in _steps.blocks or _steps.watchers or _stack.calls_again():  # or nobody would ask
        done = pass_of(layer) or Pass(layer)
        done.labelled += 1
        done.shapes += shapes
        done.drawn.append(mix)
