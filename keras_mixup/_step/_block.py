"""`training_step`: the step of a loop written by hand."""

import warnings

from keras_mixup._step import _running
from keras_mixup._step._record import Records

LEFT = (
    "Layer {name!r} mixed its inputs in a `with training_step():` block, but no `MixLoss` was called in it.\n"
    "The mix ends with the block, so no labels followed it.\n"
    "Call the loss in the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`.\n"
    "If there are no labels to follow, say so in the call of the layer: `mixup(x, labels=())`."
)


class training_step:
    """A training step of a loop written by hand: `MixLoss` and `MixMetric` follow the mix made inside the block.

    Write it around the call of the model, the loss and the metrics, inside the function that is compiled. Inside
    `train_step` of a Keras model it also keeps apart several passes of one step, each with its loss. A backward pass
    that calls a mixing layer again (`keras.RematScope`, `torch.utils.checkpoint`) belongs into the block too.

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixUp, training_step
    >>> model = keras.Sequential([keras.Input((3,)), MixUp(seed=0), keras.layers.Dense(2)])
    >>> loss_fn = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> with training_step():
    ...     loss = loss_fn(np.array([0, 1, 1]), model(np.eye(3, dtype="float32"), training=True))
    >>> loss.shape == ()
    True
    """

    def __enter__(self):
        self.around = _running.look().frame
        _running.blocks.open.append(self)
        return self

    def __exit__(self, error, *details):
        _running.blocks.open.remove(self)
        records, outer = _running.steps.pop(self, Records()), _running.current().step
        if outer is _running.PLACEHOLDERS:
            return
        for record in records.values():
            if outer is None:
                _end_in_loop(record, error)
            elif error is None:
                _end_in_step(record, outer)


def _end_in_loop(record, error):
    """Marks the layers whose mix ends here: what comes after the block must not follow it."""
    layer = record.layer()
    if error is None:
        _running.notify_watchers(record)
        if _running.is_watched():
            return
    if record.drawn and not record.repeats and layer is not None:
        _running.unrepeated_layers.add(layer)
    if record.mixes and layer is not None:
        _running.stray_layers.add(layer)
    if error is None and record.mixes and not record.followers:
        warnings.warn(LEFT.format(name=record.name), stacklevel=3)


def _end_in_step(record, outer):
    """Hands a mix that no loss has followed to the step around the block, and ends one that was followed."""
    if record.mixes and not record.has_loss:
        _pass_to_outer_step(record, outer)
    else:
        _running.notify_watchers(record)
        if record.drawn and record.layer() is not None:
            _credit_outer_step(record, outer)


def _pass_to_outer_step(record, outer):
    """Adds the mix to the step around the block, where a loss may follow it."""
    around = _running.open_records(outer).setdefault(record.key, record)
    if around is not record:  # mixed there as well: a loss will say that it cannot tell them apart
        around.mixes += record.mixes
        around.drawn += record.drawn
        around.calls += record.calls


def _credit_outer_step(record, outer):
    """Tells the step around the block that the mix has its loss; its backward pass may come there."""
    records = _running.open_records(outer)
    if record.mixes:
        records.mixed = True
        records.followed_in_blocks.append(record)
    if record.key in records or _running.may_repeat_calls():
        around = records.of(record.layer())
        around.drawn += record.drawn
        around.followers += record.followers
