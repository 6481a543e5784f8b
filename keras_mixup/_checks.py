"""Checks of what a layer, a loss or a call was given, and the texts: what was expected, what was received, the fix."""

import keras

from keras_mixup import _arguments, _backend


def check_ignore_class(ignore_class, num_classes):
    """An ignored class means nothing without classes."""
    if ignore_class is not None and num_classes is None:
        raise ValueError(
            f"`ignore_class` is one of the class indices, which need `num_classes`. Received: "
            f"ignore_class={ignore_class!r}, num_classes=None.\nWrite `MixUp(..., num_classes=21, ignore_class=255)`."
        )


def check_drawn(layer, mix, shape, kind):
    """What `draw` returned: a mix, with weights `(rows,)` or elements to keep in the rank of the inputs."""
    received = type(mix).__name__
    if isinstance(mix, kind):
        shapes = {
            name: _arguments.static_shape(x) for name, x in mix._asdict().items() if x is not None and name != "reach"
        }
        right = all(x is not None and len(x) == (len(shape) if name == "keep" else 1) for name, x in shapes.items())
        if right and not shapes.keys().isdisjoint(("weight", "keep")):
            return mix
        received = f"a mix with the shapes {shapes}"
    raise TypeError(
        f"`{type(layer).__name__}.draw` must return a `keras_mixup.functional.Mix`, with `weight` of shape (rows,), or "
        f"`keep` of rank {len(shape)} as the inputs have it, or both. Received: {received}, for inputs of shape "
        f"{tuple(shape)}."
    )


def check_seed(value):
    """An integer that seeds one batch."""
    what = "an integer, a tuple of integers or a `numpy.random.Generator`"
    if value is None:
        raise TypeError(f"Invalid value for argument `seed`: expected {what}. Received: seed=None.")
    return _arguments.check_integer("seed", value, lower=0, upper=2**64, what=what)


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
