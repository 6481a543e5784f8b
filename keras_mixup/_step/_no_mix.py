"""What a loss or metric learns that finds no mix in its step."""

import threading

from keras_mixup._step import _running as _stack
from keras_mixup._step._open import _astray, _current, _names, _open, _steps
from keras_mixup._step._record import Step

ELSEWHERE = (
    "`{name}` was called in a step of its own (a `with training_step():` block, a `test_step` inside another step) in "
    "which no layer mixed, while {names} mixed in the step around it.\n"
    "Put the call of the model and its loss into the same block, or both outside it.\n"
    "For predictions that were never mixed, use the loss or the metric itself, without the wrapper."
)
BEFORE_BLOCK = (
    "`{name}` was called in a `with training_step():` block in which no mixing layer was called, but {names} mixed "
    "outside any step before. If the predictions come from that mix, their labels would not follow.\n"
    "Call the model inside the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`.\n"
    "If the forward pass is compiled (`tf.function`, `jax.jit`), compile the whole block instead.\n"
    "For predictions that were never mixed, call the wrapped loss or metric itself."
)
EMPTY_BLOCK = (
    "`MixLoss` {name!r} was called in a `with training_step():` block in which no mixing layer was called, so it is "
    "the loss that it wraps.\n"
    "If the model mixes, call it inside the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`; "
    "if its forward pass is compiled, compile the whole block instead.\n"
    "If nothing is mixed, call the wrapped loss itself."
)
ASTRAY = (
    "`{name}` was called outside a training step, and {names} mixed outside one, or in a block that is over: it "
    "cannot tell whether its predictions come from that mix.\n"
    "In a loop of your own, mark the step: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, "
    "training=True))`.\n"
    "For a clean pass, use the same block around `loss_fn(y, model(x))`, or call the wrapped loss itself."
)
AFTER_BLOCK = (
    "`{name}` was called after the `with training_step():` block in which {names} mixed. A mix ends with its block.\n"
    "Put every loss and metric of those predictions into the block.\n"
    "For clean predictions, call the wrapped loss or metric itself, or put the clean pass into a block of its own."
)
LATE = (
    "`{name}` was called after the metrics of the model were read (`compute_metrics`, `get_metrics_result`, "
    "`evaluate`), which ends the mix of {names} in this step: its labels cannot follow any more.\n"
    "Call the loss and the metrics first, and read the results last."
)
NEVER_MET = (
    "`MixLoss` {name!r} found no mix to follow: no layer mixed anything in this training step, so it is the loss that "
    "it wraps. To mix in the model, put a mixing layer into it, `keras.Sequential([keras.Input(...), MixUp(alpha=0.2), "
    "...])`, and let it be called with `training=True`. If the batches are mixed in the input pipeline, or not at "
    "all, use the wrapped loss itself."
)
TOLD_NOT = (
    "`MixLoss` {name!r} found no mix to follow: {names} was told `training=False` in this training step, so it is the "
    "loss that it wraps.\n"
    "From Keras 3.16 on, `backbone(x, training=False)` says it to every layer that is called later, too: leave it out, "
    "`backbone.trainable = False` is enough.\n"
    "In a subclassed model, pass `training` on: `self.mixup(x, training=training)`.\n"
    "If nothing is to be mixed, use the wrapped loss itself."
)


def lack_of_mix(name):
    """Says why the loss `name` meets no mix in the running step; `None` if that may well be right."""
    step = _current()
    passes = _open.get(step, Step())
    if _steps.watchers or any(done.unsaid for done in passes.values()):
        return None
    if _stack.is_training(step):
        clean = [done for done in passes.values() if done.clean]
        text = TOLD_NOT if clean else NEVER_MET
        return text.format(name=name, names=_names(clean))
    return EMPTY_BLOCK.format(name=name) if step in _steps.blocks and not passes else None


def _refuse_elsewhere(follower, step, inside):
    """In a step in which nothing was mixed, while something was around it, or before it."""
    is_block = step in _steps.blocks
    if inside and not is_block:
        return
    own = [passes for passes in list(_open.values()) if passes.thread == threading.get_ident()]
    around = [done for passes in own for key, done in passes.items() if done.mixes and key not in inside]
    if around:
        raise RuntimeError(ELSEWHERE.format(name=type(follower).__name__, names=_names(around)))
    if _astray and is_block and not inside:
        raise RuntimeError(BEFORE_BLOCK.format(name=type(follower).__name__, names=_names(_astray)))


def _refuse_astray(follower):
    """Outside any step, once a layer has mixed outside one, or while another thread is in a step with a mix."""
    running = _stack.running_threads() if _open else ()
    others = [passes for passes in list(_open.values()) if passes.thread in running]
    elsewhere = [done for passes in others for done in passes.values() if done.mixes]
    if _astray or elsewhere:
        raise RuntimeError(ASTRAY.format(name=type(follower).__name__, names=_names([*_astray, *elsewhere])))


def _refuse_late(follower, step, finished):
    """In a step whose mix was let go of before, or ended with a block inside it."""
    if finished:
        raise RuntimeError(AFTER_BLOCK.format(name=type(follower).__name__, names=_names(finished)))
    closed = _steps.closed.get(id(step))
    if closed is None or closed.model() is not _stack.model_of(step) or closed.code is not step.f_code:
        return  # or the frame of another step, in the same place of memory
    raise RuntimeError(LATE.format(name=type(follower).__name__, names=closed.names))
