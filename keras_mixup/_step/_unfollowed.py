"""Warn that no loss follows a mix, where the end of a step may not be seen."""

import warnings
import weakref

import keras

UNFOLLOWED = (
    "Layer {name!r} mixed its inputs, but no loss followed.\n"
    "The model learns hard labels for blended inputs.\n"
    'Wrap all losses and metrics: `model.compile("adam", **follow_mix(loss=..., metrics=[...]))`.\n'
    "Or wrap the loss alone: `loss=MixLoss(keras.losses.SparseCategoricalCrossentropy())`.\n"
    "If there are no labels to follow, say so in the call of the layer: `mixup(x, labels=())`."
)

followers: weakref.WeakSet = weakref.WeakSet()  # every `MixLoss`
warned_layers: weakref.WeakSet = weakref.WeakSet()  # layers that were warned about here
_closing_models: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # layer -> the models that close its step
_followed_losses: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # model -> `id` of a loss beside a `MixLoss`


def warn_if_never_ended(layer, model):
    """Warns at once if no loss can follow, in a training step of a model, whose end the layer may not see.

    A model that overrides `metrics`, or a `train_step` that does not read them, does not tell when its step is over.
    """
    if layer in warned_layers:
        return
    if type(model).train_step is keras.Model.train_step and _closes_step_of(model, layer):
        return
    if not _can_follow(model):
        warned_layers.add(layer)
        warnings.warn(UNFOLLOWED.format(name=layer.name), stacklevel=4)


def warn_of_abandoned(layer, model):
    """Warns of a step that ended unseen, unless only an error can have ended it."""
    if layer not in warned_layers and not _closes_step_of(model, layer):
        warned_layers.add(layer)
        warnings.warn(UNFOLLOWED.format(name=layer.name), stacklevel=2)


def _closes_step_of(model, layer):
    """Whether the metrics of this model, which Keras reads last in each step, hold the one of the layer."""
    known = _closing_models.setdefault(layer, weakref.WeakSet())
    if model not in known and any(metric is layer._end_of_step for metric in model.metrics):
        known.add(model)
    return model in known


def _can_follow(model):
    """Whether a loss of this model may follow a mix; not if all its losses lack `MixLoss`, or there is none at all."""
    if not followers:
        return False
    if not model.compiled or model.loss is None:
        return True
    if _followed_losses.get(model) != id(model.loss):  # walk the model only once, until it is compiled with another one
        if not any(isinstance(x, keras.losses.Loss) and x in followers for x in _owned(model)):
            return False
        _followed_losses[model] = id(model.loss)
    return True


def _owned(model):
    """What a model holds, one by one or in lists and dicts."""
    for value in (model.loss, *vars(model).values()):
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value
