"""Checks of what a layer, a loss or a call was given, and the texts: what was expected, what was received, the fix."""

import math
import numbers
from typing import Any

import keras

from keras_mixup import _ops


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


def check_seed_of_call(seed):
    """An integer, or an integer tensor of shape `()` or `(2,)`."""
    shape = static_shape(seed)
    if isinstance(seed, int) and not isinstance(seed, bool):
        return
    if shape not in ((), (2,)) or not _ops.is_integer(_ops.dtype_of(seed)):
        raise TypeError(
            "Invalid value for argument `seed`: expected an integer, or an integer tensor of shape () or (2,). "
            f"Received: seed={seed!r}."
        )


def check_seed(value):
    """An integer that seeds one batch."""
    what = "an integer, a tuple of integers or a `numpy.random.Generator`"
    if value is None:
        raise TypeError(f"Invalid value for argument `seed`: expected {what}. Received: seed=None.")
    return check_integer("seed", value, lower=0, upper=2**64, what=what)


def check_float_policy(name, compute_dtype):
    if "float" not in compute_dtype:
        raise ValueError(
            f"`{name}` computes in a floating dtype (float32, float16, bfloat16, float64). Received: "
            f"dtype={compute_dtype!r}. Mixed values lie between those of the two samples, integers cannot hold them."
        )


def check_no_schedule(where, **values):
    for name, value in values.items():
        if is_schedule(value):
            raise ValueError(
                f"`{name}` is a schedule, and {where} has no training step to follow. Give a number, "
                f"`{name}=0.2`, or put the layer into the model, where the schedule is followed."
            )


def frozen(name):
    return AttributeError(
        f"`{name}` cannot be assigned once the layer has been used: a compiled training step would not see the new "
        "value. Give a schedule over the training steps instead, for example "
        f"`{name}=keras.optimizers.schedules.PiecewiseConstantDecay([1000], [0.0, 0.2])`."
    )


def check_metric(metric, pairwise):
    """A metric that is updated with the weights λ and 1 - λ counts in floats."""
    if pairwise and "float" not in str(metric.dtype):
        raise ValueError(
            f"Metric {metric.name!r} counts in {metric.dtype}, and would cut the weights λ and 1 - λ of the two label "
            f'sets to 0. Let it count in floats: `{type(metric).__name__}(..., dtype="float32")`.'
        )


def check_compiled(model):
    if not isinstance(model, keras.Model) or not model.compiled:
        raise ValueError(
            '`check` runs a training step, so it needs a compiled Keras model: `model.compile("adam", '
            f"loss=MixLoss(...))`. Received: {type(model).__name__}."
        )


TRAINING_UNSAID = (
    "Labels were given, but `training` was not: nothing is mixed. Say which batches are to be mixed: "
    "`dataset.map(lambda x, y: mixup(x, y, training=True))`, or `mixup.mix_dataset(dataset)`; and "
    "`training=False` for validation data, which leaves out the mix and this warning."
)


def static_shape(leaf):
    """The shape as a tuple, `None` for unknown sizes; `None` for what is no dense array of known rank."""
    if type(leaf).__name__ in ("RaggedTensor", "RaggedTensorSpec", "SparseTensor", "SparseTensorSpec"):
        return None
    try:
        return tuple(leaf.shape)
    except (AttributeError, ValueError):  # a Python number; a TensorFlow tensor of unknown rank
        return None
