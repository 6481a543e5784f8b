"""The mix that a loss or metric follows."""

from keras_mixup._step import _running as _stack
from keras_mixup._step._no_mix import _refuse_astray, _refuse_elsewhere, _refuse_late
from keras_mixup._step._open import _current, _names, _open
from keras_mixup._step._record import Step

SEVERAL = (
    "Several layers mixed in this step: {names}. Expected one mix a step for each loss, because from the loss "
    "layers in series and in parallel look alike. Ways out: mix once, in front of the branches; one `RandomMix([...])` "
    "instead of several layers; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, for parallel branches "
    "with a loss each, name the layer that a loss follows, `MixLoss(..., layer={first!r})`."
)
TWICE = (
    "Layer {name!r} mixed {calls} times in this step (shared between branches, inside `TimeDistributed`, or called "
    "in several passes). Expected one mix a step, because a loss cannot tell which one its predictions come from. "
    "Ways out: mix once, in front of the branches; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, in "
    "your own `train_step`, put each pass and its loss into a `with keras_mixup.training_step():` block."
)
CLEAN = (
    "Layer {name!r} was called both with training=True and without in this step, and the loss cannot tell which of "
    "the two passes its predictions come from. Put the mixed pass and its loss into a block of their own: "
    "`with keras_mixup.training_step(): loss = loss_fn(y, model(x, training=True))`, and the clean pass outside of it."
)
UNKNOWN = "No layer of the name {name!r} mixed in this step. Received: layer={name!r}; layers that mixed: {names}."
POSITIONS = (
    "Layer {name!r} is to be called at {expected} depths of the model (num_positions={expected}), one of which mixes "
    "the batch. Received: {calls} calls in this step. Call the one layer object at each of the depths, "
    "`x = manifold(x)`, exactly once, and set num_positions to their number."
)


def mix_to_follow(follower):
    """The one mix of the running step (of the layer that `follower` names), or `None` if nothing was mixed.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _current()
    if step is None:
        _refuse_astray(follower)
    inside = _open.get(step, Step())
    if step not in (None, _stack.PLACEHOLDERS) and not any(done.mixes for done in inside.values()):
        _refuse_elsewhere(follower, step, inside)
    passes = [done for done in inside.values() if done.mixes]
    if not passes:
        _refuse_late(follower, step, inside.finished)
        return None
    if follower.layer is not None:
        known, passes = passes, [done for done in passes if done.name == follower.layer]
        if not passes:
            raise RuntimeError(UNKNOWN.format(name=follower.layer, names=_names(known)))
    if len(passes) > 1:
        raise RuntimeError(SEVERAL.format(names=_names(passes), first=passes[0].name))
    _check_calls(passes[0])
    passes[0].followers.append(follower)
    return passes[0].mixes[0]


def _check_calls(done):
    if done.calls != done.calls_expected:
        text = TWICE if done.calls_expected == 1 else POSITIONS
        raise RuntimeError(text.format(name=done.name, calls=done.calls, expected=done.calls_expected))
    if done.clean:
        raise RuntimeError(CLEAN.format(name=done.name))
