"""Checks of what a layer, a loss or a call was given, and the texts: what was expected, what was received, the fix."""

import inspect
import math
import numbers
from typing import Any

import keras
import numpy as np

from keras_mixup import _backend


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


def check_pairing(name, pairing, *, names):
    """The name of a pairing, or an object that draws partners."""
    if isinstance(pairing, str) or not callable(getattr(pairing, "draw", None)):
        return check_choice(name, pairing, names)
    return pairing


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


def check_ignore_class(ignore_class, num_classes):
    """An ignored class means nothing without classes."""
    if ignore_class is not None and num_classes is None:
        raise ValueError(
            f"`ignore_class` is one of the class indices, which need `num_classes`. Received: "
            f"ignore_class={ignore_class!r}, num_classes=None.\nWrite `MixUp(..., num_classes=21, ignore_class=255)`."
        )


def check_axes(name, axes, *, count):
    """Axes behind the batch axis, in their order; `None` as it is."""
    if axes is None:
        return None
    if not isinstance(axes, tuple | list) or not axes or len(set(axes)) != len(axes) or count not in (None, len(axes)):
        what = f"a tuple of {count or 'different'} axes"
        raise ValueError(f"Invalid value for argument `{name}`: expected {what}. Received: {name}={axes!r}.")
    return tuple(check_integer(name, axis, lower=1, optional=False) for axis in sorted(axes))


def check_range(name, value):
    """Two numbers from 0 to 1, the lower first."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"Invalid value for argument `{name}`: expected (low, high). Received: {name}={value!r}.")
    low, high = (check_number(name, number, upper=1) for number in value)
    if low > high:
        raise ValueError(f"Invalid value for argument `{name}`: expected low <= high. Received: {name}={value!r}.")
    return low, high


def check_members(name, layers, *, base):
    """A list of mixing layers, none of which has settings of its own."""
    if not isinstance(layers, list | tuple) or not layers:
        raise ValueError(
            f"Invalid value for argument `{name}`: expected a list of mixing layers, such as "
            f"`[MixUp(0.8), CutMix(1.0)]`. Received: {name}={layers!r}."
        )
    for layer in layers:
        check_member(layer, base)
    return list(layers)


def check_member(layer, base):
    """A mixing layer that says only how a sample is mixed."""
    if not isinstance(layer, base) or layer.num_positions != 1:
        raise TypeError(
            f"A member must be a mixing layer, such as `MixUp(0.8)` or `CutMix(1.0)`. Received: {type(layer).__name__}."
        )
    said_by_all = inspect.signature(base.__init__).parameters.values()
    defaults = {p.name: p.default for p in said_by_all if p.default is not p.empty}
    own = {name: getattr(layer, name) for name, default in defaults.items() if getattr(layer, name) != default}
    if own:
        said = ", ".join(f"{name}={value!r}" for name, value in own.items())
        raise ValueError(
            f"A member says only how a sample is mixed. Received: {type(layer).__name__}({said}). Who is mixed, with "
            f"whom and what becomes of the labels is the same for all members: `RandomMix([...], {said})`."
        )


def check_probabilities(name, probabilities):
    """Numbers from 0 to 1 of the sum 1; `None` as it is."""
    if probabilities is None:
        return None
    if not isinstance(probabilities, list | tuple):
        raise TypeError(f"Invalid value for argument `{name}`: expected a list. Received: {name}={probabilities!r}.")
    found = [check_number(name, p, upper=1) for p in probabilities]
    if any(map(is_schedule, found)) or abs(sum(found) - 1) > 1e-6:
        raise ValueError(
            f"Invalid value for argument `{name}`: expected numbers of the sum 1, one for each member. "
            f"Received: {name}={probabilities!r}."
        )
    return found


def check_counts(layers, probabilities):
    if probabilities is not None and len(probabilities) != len(layers):
        raise ValueError(
            f"`probabilities` must have one number for each of the {len(layers)} members. Received: {probabilities}."
        )


def check_drawn(layer, mix, shape, kind):
    """What `draw` returned: a mix, with weights `(rows,)` or elements to keep in the rank of the inputs."""
    received = type(mix).__name__
    if isinstance(mix, kind):
        shapes = {name: static_shape(x) for name, x in mix._asdict().items() if x is not None and name != "reach"}
        right = all(x is not None and len(x) == (len(shape) if name == "keep" else 1) for name, x in shapes.items())
        if right and not shapes.keys().isdisjoint(("weight", "keep")):
            return mix
        received = f"a mix with the shapes {shapes}"
    raise TypeError(
        f"`{type(layer).__name__}.draw` must return a `keras_mixup.functional.Mix`, with `weight` of shape (rows,), or "
        f"`keep` of rank {len(shape)} as the inputs have it, or both. Received: {received}, for inputs of shape "
        f"{tuple(shape)}."
    )


def check_seed_of_call(seed):
    """An integer, or an integer tensor of shape `()` or `(2,)`."""
    shape = static_shape(seed)
    if isinstance(seed, int) and not isinstance(seed, bool):
        return
    if shape not in ((), (2,)) or not _backend.is_integer(_backend.dtype_of(seed)):
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


def check_made_outside(name):
    """A layer has a random state, which goes with it when a function of `tf.data` has been traced."""
    if _backend.is_tracing_tf_data():
        raise ValueError(
            f"`{name}` was made inside a function of `tf.data`, which is traced once and would lose its random "
            f"state.\nMake the layer before: `mixup = {name}(...)`, then `dataset.map(lambda x, y: mixup(x, y, "
            "training=True))`."
        )


def check_float_policy(name, compute_dtype):
    if not _backend.is_float(compute_dtype):
        raise ValueError(
            f"`{name}` computes in a floating dtype (float32, float16, bfloat16, float64). Received: "
            f"dtype={compute_dtype!r}. Mixed values lie between those of the two samples, integers cannot hold them."
        )


def check_scheduled(schedule, value):
    """Returns what a schedule gave; it must be a number, where that can be known."""
    known = _backend.known_values(value)
    if known is not None and np.isnan(known).any():
        raise ValueError(
            f"A schedule must give a number at every step. Received: nan from {type(schedule).__name__}. Look for a "
            "division by 0 or a decay of 0 steps in it."
        )
    return value


def check_no_schedule(where, **values):
    for name, value in values.items():
        if is_schedule(value):
            raise no_step(f"`{name}`", where, f"`{name}=0.2`")


def no_step(what, where, number):
    return ValueError(
        f"{what} is a schedule, and {where} has no training step to follow. Give a number, {number}, or put the layer "
        "into the model, where the schedule is followed."
    )


def frozen(name, kind):
    if name in ("alpha", "probability"):
        way = (
            "Give a schedule over the training steps instead, for example "
            f"`{name}=keras.optimizers.schedules.PiecewiseConstantDecay([1000], [0.0, 0.2])`."
        )
    else:
        way = f"Make a new layer, `{kind}(..., {name}=...)`."
    return AttributeError(
        f"`{name}` cannot be assigned once the layer has been used: a compiled training step would not see the new "
        f"value. {way}"
    )


def check_random_state(layer, state):
    """Two whole numbers of 32 bits, as a file holds them."""
    if state.shape == (2,) and state.dtype.kind in "iu" and state.min() >= 0 and state.max() < 2**32:
        return state
    raise ValueError(
        f"The random state of layer {layer!r} must be two whole numbers from 0 to 4294967295. Received: {state!r:.80}. "
        "The file is damaged, or was made by other means than saving the model."
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
