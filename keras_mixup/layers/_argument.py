"""Arguments of layers: checked when they are assigned, fixed once the layer has been used."""

from typing import Any, Literal, Protocol, TypedDict

import keras

from keras_mixup.pairing import Pairing


class Schedule(Protocol):
    """A `keras.optimizers.schedules.LearningRateSchedule`, which has no types of its own."""

    def __call__(self, step: Any) -> Any: ...


Number = float | Schedule
PairingOrName = Literal["shuffle", "roll", "local"] | Pairing


class LayerOptions(TypedDict, total=False):
    """The arguments of every Keras layer."""

    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any


class Argument:
    """Checks an argument of a layer whenever it is assigned, and fixes it once the layer has been used.

    Args:
        check: a function of the name, the value and the options. Returns the value to keep.
    """

    def __init__(self, check, **options):
        self.check = check
        self.options = options

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if self.name not in layer.__dict__:
            raise AttributeError(f"`{self.name}` has not been assigned yet.")
        return layer.__dict__[self.name]

    def __set__(self, layer, value):
        if layer._used:
            raise _fixed(self.name, type(layer).__name__)
        layer.__dict__[self.name] = self.check(self.name, value, **self.options)


def _fixed(name, kind):
    if name in ("alpha", "probability"):
        option = (
            "Give a schedule over the training steps instead, for example "
            f"`{name}=keras.optimizers.schedules.PiecewiseConstantDecay([1000], [0.0, 0.2])`."
        )
    else:
        option = f"Make a new layer, `{kind}(..., {name}=...)`."
    return AttributeError(
        f"`{name}` cannot be assigned once the layer has been used: a compiled training step would not see the new "
        f"value. {option}"
    )


def serialize(value):
    """Numbers and words as they are, schedules and pairings as their configs."""
    return value if isinstance(value, str | int | float) else keras.saving.serialize_keras_object(value)


def revive(config):
    """The arguments of a config, with the objects that are written as dicts in it."""
    deserialize = keras.saving.deserialize_keras_object
    return {key: deserialize(value) if isinstance(value, dict) else value for key, value in config.items()}
