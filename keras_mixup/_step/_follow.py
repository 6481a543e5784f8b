"""Find the mix that a loss or metric follows."""

from keras_mixup._step import _no_mix, _running

SEVERAL = (
    "Expected one mix in each step, because a loss cannot tell layers in series from layers in parallel.\n"
    "Received mixes of several layers: {names}.\n"
    "Mix once, before the branches, or by one layer in place of several: `RandomMix([...])`.\n"
    "Or mix in the input pipeline: `mixup.mix_dataset(dataset)`.\n"
    "For parallel branches with a loss each, name the layer that a loss follows: `MixLoss(..., layer={first!r})`."
)
TWICE = (
    "Layer {name!r} mixed {calls} times in this step (in branches, in `TimeDistributed`, or in several passes).\n"
    "Expected one mix, because a loss cannot tell which one its predictions come from.\n"
    "Mix once, before the branches, or in the input pipeline: `mixup.mix_dataset(dataset)`.\n"
    "In your own `train_step`, put each pass and its loss into a block: `with keras_mixup.training_step(): ...`."
)
CLEAN = (
    "Layer {name!r} was called both with training=True and without in this step.\n"
    "A loss cannot tell which of the two passes its predictions come from.\n"
    "Put the mixed pass and its loss into a block, and the clean pass outside it: `with keras_mixup.training_step(): "
    "loss = loss_fn(y, model(x, training=True))`."
)
UNKNOWN = "No layer of the name {name!r} mixed in this step. Received: layer={name!r}; layers that mixed: {names}."
POSITIONS = (
    "Expected layer {name!r} to be called at {expected} depths of the model (num_positions={expected}). Received: "
    "{calls} calls in this step.\n"
    "Call the one layer object once at each depth, `x = manifold(x)`, and set `num_positions` to the number of depths."
)


def mix_to_follow(follower):
    """The one mix of the step that runs (of the layer that `follower` names), or `None` if nothing was mixed.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _running.current().step
    records = _running.records_in(step)
    mixed = [record for record in records.values() if record.mixes]
    if not mixed:
        _no_mix.check_mixed_nowhere(follower, step, records)
        return None
    _no_mix.check_not_late(follower, step)
    record = _only_one(mixed, follower.layer)
    _check_calls(record)
    record.followers.append(follower)
    return record.mixes[0]


def _only_one(mixed, name):
    """The record of the layer of this name, or the only one if no name is given."""
    named = [record for record in mixed if name in (None, record.name)]
    if not named:
        raise RuntimeError(UNKNOWN.format(name=name, names=_running.names_of(mixed)))
    if len(named) > 1:
        raise RuntimeError(SEVERAL.format(names=_running.names_of(named), first=named[0].name))
    return named[0]


def _check_calls(record):
    """Only one call mixes, or the calls at all depths of a `ManifoldMixUp`, and no other one is clean."""
    if record.calls != record.calls_expected:
        text = TWICE if record.calls_expected == 1 else POSITIONS
        raise RuntimeError(text.format(name=record.name, calls=record.calls, expected=record.calls_expected))
    if record.clean:
        raise RuntimeError(CLEAN.format(name=record.name))
