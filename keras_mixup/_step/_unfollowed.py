"""Warn at once of a mix that no loss can follow, where the end of a step may not be seen."""

import warnings
import weakref

import keras

from keras_mixup._step import _running
from keras_mixup._step._open import UNFOLLOWED, _is_ended, current_step, in_thread, warned_layers

followers: weakref.WeakSet = weakref.WeakSet()  # every `MixLoss`


def warn_if_never_ended(layer):
    """Tells of the lack of a loss at once where the end of a step may not be seen.

    A model that overrides `metrics`, or a `train_step` that does not read them, does not say when its step is over.
    """
    step = current_step()
    if layer in warned_layers or not _running.is_training(step) or in_thread.watchers:
        return
    model = _running.model_of(step)
    if type(model).train_step is keras.Model.train_step and _is_ended(step, layer):
        return
    if _cannot_follow(model):
        warned_layers.add(layer)
        warnings.warn(UNFOLLOWED.format(name=layer.name), stacklevel=3)


def _cannot_follow(model):
    """Whether no loss of this model can follow a mix: it has losses, all without `MixLoss`, or there is none at all."""
    if not followers:
        return True
    if not model.compiled or model.loss is None:
        return False
    return not any(isinstance(x, keras.losses.Loss) and x in followers for x in _owned(model))


def _owned(model):
    """What a model holds, one by one or in lists and dicts."""
    for value in (model.loss, *vars(model).values()):
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value
