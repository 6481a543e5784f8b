"""`training_step`: the step of a loop written by hand."""

import warnings

from keras_mixup._step import _running as _stack
from keras_mixup._step._open import _astray, _current, _open, _steps, _tell, _unrepeated
from keras_mixup._step._record import Pass, Step

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
        self.around = _stack.step_frame()
        _steps.blocks.append(self)
        return self

    def __exit__(self, error, *details):
        _steps.blocks.remove(self)
        inside, step = _open.pop(self, Step()), _current()
        if step is _stack.PLACEHOLDERS:
            return
        for key, done in inside.items():
            if step is None:
                _end_of_loop(done, error)
            elif error is None and done.mixes and not done.led_a_loss:
                _hand_on(key, done, step)
            elif error is None:
                _tell(done)
                _take_over(key, done, step)


def _end_of_loop(done, error):
    """What a block in a loop by hand has mixed is astray when it ends."""
    layer = done.layer()
    if error is None and _tell(done):
        return
    if done.drawn and not done.repeats and layer is not None:
        _unrepeated.add(layer)
    if done.mixes and layer is not None:
        _astray.add(layer)
    if error is None and done.mixes and not done.followers:
        warnings.warn(LEFT.format(name=done.name), stacklevel=3)


def _hand_on(key, done, step):
    """A mix that no loss has followed in its block belongs to the step around it."""
    around = _open.setdefault(step, Step()).setdefault(key, done)
    if around is not done:  # mixed there as well: a loss will say that it cannot tell them apart
        around.mixes += done.mixes
        around.drawn += done.drawn
        around.calls += done.calls


def _take_over(key, done, step):
    """What a block has followed needs no loss in the step around it, but its backward pass may come there."""
    layer = done.layer()
    if layer is None or not (done.mixes or done.drawn):
        return
    around = _open.setdefault(step, Step())
    if done.mixes:
        around.mixed = True
        around.finished.append(done)
    if key in around or _stack.calls_again():
        outer = around.setdefault(key, Pass(layer))
        outer.drawn += done.drawn
        outer.followers += done.followers
