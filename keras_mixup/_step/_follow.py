"""Find the mix that a loss or metric follows."""

from keras_mixup._step import _no_mix, _open

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
    """The one mix of the step that runs (of the layer that `follower` names), or `None` if nothing was mixed.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _open.current().step
    records = _open.records_in(step)
    mixed = [record for record in records.values() if record.mixes]
    if not mixed:
        _no_mix.check_mixed_nowhere(follower, step, records)
        return None
    record = _only_one(mixed, follower.layer)
    _check_calls(record)
    record.followers.append(follower)
    return record.mixes[0]


def _only_one(mixed, name):
    """The record of the layer of this name, or the only one if no name is given."""
    named = [record for record in mixed if name in (None, record.name)]
    if not named:
        raise RuntimeError(UNKNOWN.format(name=name, names=_open.names_of(mixed)))
    if len(named) > 1:
        raise RuntimeError(SEVERAL.format(names=_open.names_of(named), first=named[0].name))
    return named[0]


def _check_calls(record):
    """Only one call mixes, or the calls at all depths of a `ManifoldMixUp`, and no other one is clean."""
    if record.calls != record.calls_expected:
        text = TWICE if record.calls_expected == 1 else POSITIONS
        raise RuntimeError(text.format(name=record.name, calls=record.calls, expected=record.calls_expected))
    if record.clean:
        raise RuntimeError(CLEAN.format(name=record.name))
