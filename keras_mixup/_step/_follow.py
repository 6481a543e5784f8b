"""The mix that a loss or metric follows."""

from keras_mixup._step import _running
from keras_mixup._step._no_mix import _refuse_elsewhere, _refuse_late, _refuse_stray
from keras_mixup._step._open import current_step, names_of, open_steps
from keras_mixup._step._record import Records

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
    step = current_step()
    if step is None:
        _refuse_stray(follower)
    inside = open_steps.get(step, Records())
    if step not in (None, _running.PLACEHOLDERS) and not any(record.mixes for record in inside.values()):
        _refuse_elsewhere(follower, step, inside)
    records = [record for record in inside.values() if record.mixes]
    if not records:
        _refuse_late(follower, step, inside.finished)
        return None
    if follower.layer is not None:
        known, records = records, [record for record in records if record.name == follower.layer]
        if not records:
            raise RuntimeError(UNKNOWN.format(name=follower.layer, names=names_of(known)))
    if len(records) > 1:
        raise RuntimeError(SEVERAL.format(names=names_of(records), first=records[0].name))
    _check_calls(records[0])
    records[0].followers.append(follower)
    return records[0].mixes[0]


def _check_calls(record):
    if record.calls != record.calls_expected:
        text = TWICE if record.calls_expected == 1 else POSITIONS
        raise RuntimeError(text.format(name=record.name, calls=record.calls, expected=record.calls_expected))
    if record.clean:
        raise RuntimeError(CLEAN.format(name=record.name))
