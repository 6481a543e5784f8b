"""Check arguments that several layers, losses or functions take."""

import math
import numbers
from typing import Any

import keras


def is_schedule(value):
    return isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def check_number(name, value: Any, *, upper=None):
    """A finite number from 0 to `upper` as a float; a schedule as it is."""
    if is_schedule(value):
        return value
    expected = f"a number from 0 to {upper}" if upper is not None else "a finite number, 0 or above"
    received = (
        f"Invalid value for argument `{name}`: expected {expected}, or a schedule of "
        f"`keras.optimizers.schedules`. Received: {name}={value!r}"
    )
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(received + f" (of type {type(value).__name__}).")
    value = float(value)
    upper = upper or 3.4e38  # what float32 can hold
    if not (math.isfinite(value) and 0 <= value <= upper):
        raise ValueError(received + ".")
    return value


def check_positive(name, value):
    """A number above 0."""
    if is_schedule(value) or check_number(name, value) == 0:
        raise ValueError(f"Invalid value for argument `{name}`: expected a number above 0. Received: {name}={value!r}.")
    return float(value)


def check_flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"Invalid value for argument `{name}`: expected True or False. Received: {name}={value!r}.")
    return value


def check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"Invalid value for argument `{name}`: expected one of {choices}. Received: {name}={value!r}.")
    return value


def check_integer(name, value: Any, *, lower, upper=None, what="an integer", optional=True):
    """An integer in range as an `int`; `None` as it is, where it is `optional`."""
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"Invalid value for argument `{name}`: expected {what}. Received: {name}={value!r}.")
    if value < lower or (upper is not None and value >= upper):
        limits = f"of at least {lower}" + (f" and below {upper}" if upper is not None else "")
        raise ValueError(f"Invalid value for argument `{name}`: expected {what} {limits}. Received: {name}={value!r}.")
    return int(value)


def check_axes(name, axes, *, count):
    """Axes after the batch axis, in their order; `None` as it is."""
    if axes is None:
        return None
    if not isinstance(axes, tuple | list) or not axes or len(set(axes)) != len(axes) or count not in (None, len(axes)):
        what = f"a tuple of {count or 'different'} axes"
        raise ValueError(f"Invalid value for argument `{name}`: expected {what}. Received: {name}={axes!r}.")
    return tuple(check_integer(name, axis, lower=1, optional=False) for axis in sorted(axes))


def check_no_schedule(where, **values):
    for name, value in values.items():
        if is_schedule(value):
            raise no_step(f"`{name}`", where, f"`{name}=0.2`")


def no_step(what, where, number):
    return ValueError(
        f"{what} is a schedule, and {where} has no training step to follow. Give a number, {number}, or put the layer "
        "into the model, where the schedule is followed."
    )
