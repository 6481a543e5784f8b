"""`training_step`: the step of a loop written by hand."""

import warnings

from keras_mixup._step import _running
from keras_mixup._step._open import (
    _notify_watchers,
    current_step,
    in_thread,
    open_steps,
    stray_layers,
    unrepeated_layers,
)
from keras_mixup._step._record import Record, Records

LEFT = (
    "Layer {name!r} mixed its inputs inside of a `with training_step():` block, but no `MixLoss` was called in it. The "
    "mix is known inside of the block only: put the loss into it too, `with training_step(): loss = loss_fn(y, "
    "model(x, training=True))`. If there are no labels to follow, say so where the layer is called: "
    "`mixup(x, labels=())`."
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
        self.around = _running.step_frame()
        in_thread.blocks.append(self)
        return self

    def __exit__(self, error, *details):
        in_thread.blocks.remove(self)
        inside, step = open_steps.pop(self, Records()), current_step()
        if step is _running.PLACEHOLDERS:
            return
        for key, record in inside.items():
            if step is None:
                _end_of_loop(record, error)
            elif error is None and record.mixes and not record.has_loss:
                _pass_to_outer_step(key, record, step)
            elif error is None:
                _notify_watchers(record)
                _credit_outer_step(key, record, step)


def _end_of_loop(record, error):
    """What a block in a loop by hand has mixed is astray when it ends."""
    layer = record.layer()
    if error is None and _notify_watchers(record):
        return
    if record.drawn and not record.repeats and layer is not None:
        unrepeated_layers.add(layer)
    if record.mixes and layer is not None:
        stray_layers.add(layer)
    if error is None and record.mixes and not record.followers:
        warnings.warn(LEFT.format(name=record.name), stacklevel=3)


def _pass_to_outer_step(key, record, step):
    """A mix that no loss has followed in its block belongs to the step around it."""
    around = open_steps.setdefault(step, Records()).setdefault(key, record)
    if around is not record:  # mixed there as well: a loss will say that it cannot tell them apart
        around.mixes += record.mixes
        around.drawn += record.drawn
        around.calls += record.calls


def _credit_outer_step(key, record, step):
    """What a block has followed needs no loss in the step around it, but its backward pass may come there."""
    layer = record.layer()
    if layer is None or not (record.mixes or record.drawn):
        return
    around = open_steps.setdefault(step, Records())
    if record.mixes:
        around.mixed = True
        around.finished.append(record)
    if key in around or _running.may_repeat_calls():
        outer = around.setdefault(key, Record(layer))
        outer.drawn += record.drawn
        outer.followers += record.followers
