"""Tell a loss or metric that finds no mix in its step whether that may be wrong."""

import threading

from keras_mixup._step import _closed, _running

ELSEWHERE = (
    "`{name}` was called in a step of its own (a `with training_step():` block, a nested `test_step`) without a mix.\n"
    "Meanwhile {names} mixed in the step around it.\n"
    "Put the call of the model and its loss into the same block, or both outside it.\n"
    "For clean predictions, call the loss or metric itself, without the wrapper."
)
BEFORE_BLOCK = (
    "`{name}` was called in a `with training_step():` block in which no mixing layer was called, but {names} mixed "
    "outside any step before.\n"
    "If the predictions come from that mix, their labels would not follow.\n"
    "Call the model in the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`.\n"
    "If the forward pass is compiled (`tf.function`, `jax.jit`), compile the whole block.\n"
    "For clean predictions, call the wrapped loss or metric itself."
)
EMPTY_BLOCK = (
    "`MixLoss` {name!r} was called in a `with training_step():` block in which no mixing layer was called.\n"
    "It equals the loss that it wraps.\n"
    "If the model mixes, call it in the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`.\n"
    "If its forward pass is compiled, compile the whole block instead.\n"
    "If nothing is mixed, call the wrapped loss itself."
)
STRAY = (
    "`{name}` was called outside a training step, and {names} mixed outside one, or in a block that is over.\n"
    "It cannot tell whether its predictions come from that mix.\n"
    "In your own loop, mark the step: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, "
    "training=True))`.\n"
    "For a clean pass, use the same block around `loss_fn(y, model(x))`, or call the wrapped loss itself."
)
AFTER_BLOCK = (
    "`{name}` was called after the `with training_step():` block in which {names} mixed.\n"
    "A mix ends with its block.\n"
    "Call every loss and metric of those predictions in the block.\n"
    "For clean predictions, call the wrapped loss or metric itself, or put the clean pass into another block."
)
LATE = (
    "`{name}` was called after the metrics of the model were read (`compute_metrics`, `get_metrics_result`, "
    "`evaluate`).\n"
    "That ended the mix of {names} in this step, so the labels cannot follow it.\n"
    "Call the loss and the metrics first, and read the results last.\n"
    "If another layer has mixed since then, name it: `MixLoss(..., layer='name')`."
)
NEVER_MET = (
    "`MixLoss` {name!r} found no mix to follow, because no layer mixed in this training step.\n"
    "It equals the loss that it wraps.\n"
    "To mix in the model, add a layer and call the model with `training=True`: `keras.Sequential([keras.Input(...), "
    "MixUp(alpha=0.2), ...])`.\n"
    "If batches are mixed in the input pipeline, or not at all, use the wrapped loss itself."
)
TOLD_NOT = (
    "`MixLoss` {name!r} found no mix to follow: {names} was told `training=False` in this training step.\n"
    "It equals the loss that it wraps.\n"
    "From Keras 3.16 on, `backbone(x, training=False)` says it to every layer that is called later, too: write "
    "`backbone.trainable = False` instead.\n"
    "In a subclassed model, pass `training` on: `self.mixup(x, training=training)`.\n"
    "If nothing is to be mixed, use the wrapped loss itself."
)


def check_mixed_nowhere(follower, step, records):
    """Raises if the predictions may come from a mix that was made elsewhere: in another step, or before or after it."""
    if step is None:
        _check_not_stray(follower)
    elif step is not _running.PLACEHOLDERS:
        _check_not_around(follower, step, records)
        _check_not_over(follower, step, records)


def lack_of_mix(name):
    """Says why the loss `name` meets no mix in the step that runs; `None` if that may well be right."""
    step = _running.current().step
    records = _running.records_in(step)
    if _running.is_watched() or any(record.training_not_given for record in records.values()):
        return None
    if _running.is_training(step):
        clean = [record for record in records.values() if record.clean]
        text = TOLD_NOT if clean else NEVER_MET
        return text.format(name=name, names=_running.names_of(clean))
    if step in _running.blocks.open and not records:
        return EMPTY_BLOCK.format(name=name)
    return None


def _check_not_stray(follower):
    """Outside any step, once a layer has mixed outside one, or while another thread is in a step with a mix."""
    threads = _running.running_threads() if _running.steps else ()
    mixed = [*_running.stray_layers, *_running.mixed_in(threads)]
    if mixed:
        raise RuntimeError(STRAY.format(name=type(follower).__name__, names=_running.names_of(mixed)))


def _check_not_around(follower, step, records):
    """In a block, or a step in which no layer was called, while something was mixed around or before it."""
    is_block = step in _running.blocks.open
    if records and not is_block:
        return
    own = _running.mixed_in({threading.get_ident()})
    around = [record for record in own if record.key not in records]
    if around:
        raise RuntimeError(ELSEWHERE.format(name=type(follower).__name__, names=_running.names_of(around)))
    if _running.stray_layers and is_block and not records:
        names = _running.names_of(_running.stray_layers)
        raise RuntimeError(BEFORE_BLOCK.format(name=type(follower).__name__, names=names))


def _check_not_over(follower, step, records):
    """In a step whose mix ended with a block inside it, or when the metrics were read."""
    if records.followed_in_blocks:
        names = _running.names_of(records.followed_in_blocks)
        raise RuntimeError(AFTER_BLOCK.format(name=type(follower).__name__, names=names))
    check_not_late(follower, step)


def check_not_late(follower, step):
    """In a step whose metrics were read, after which only named layers can be followed."""
    late = _closed.names_in_closed(step)
    if late and follower.layer in (None, *late):
        names = ", ".join(sorted(map(repr, late)))
        raise RuntimeError(LATE.format(name=type(follower).__name__, names=names))
