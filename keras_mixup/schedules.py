"""Schedules for `alpha` and `probability` in epochs: introduce a mix gradually, or turn it off for the last epochs.

>>> from keras_mixup import MixUp
>>> from keras_mixup.schedules import EpochSchedule
>>> mixup = MixUp(alpha=EpochSchedule(0.2, steps_per_epoch=100, start=5, full=20, stop=90))
"""

from typing import Any

import keras

from keras_mixup import _arguments

__all__ = ["EpochSchedule"]


@keras.saving.register_keras_serializable(package="keras_mixup")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Gives a value from one epoch to another, and 0 before and after.

    Epochs count from 0, as in Keras: `start=5` means that five epochs are trained without. The value is 0 in the first
    step of epoch `start` if it rises, grows by the same amount with every step, and is whole from the first step of
    epoch `full` on. It is 0 again from the first step of epoch `stop` on. Parts of epochs, such as 0.5, are possible.

    A layer counts its own training steps. It goes on counting where a saved model goes on training.

    Args:
        value: Number, the `alpha` or `probability` in between.
        steps_per_epoch: Integer, the batches of an epoch: `len(dataset)`, or `math.ceil(len(x) / batch_size)`.
        start: Number, the epoch from which on something is mixed.
        full: Number or `None`, the epoch from which on the value is whole; `start` by default.
        stop: Number or `None`, the epoch from which on nothing is mixed: `epochs - 10` for "off for the last ten".

    Returns:
        When called with a step: the value in it, a tensor.

    Raises:
        ValueError: if the epochs are not in order.

    Example:

    >>> from keras_mixup.schedules import EpochSchedule
    >>> alpha = EpochSchedule(0.2, steps_per_epoch=2, start=1, full=3, stop=4)
    >>> [round(float(alpha(step)), 2) for step in range(9)]
    [0.0, 0.0, 0.0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.0]
    """

    def __init__(
        self,
        value: float,
        *,
        steps_per_epoch: int,
        start: float = 0,
        full: float | None = None,
        stop: float | None = None,
    ):
        self.value = _arguments.check_number("value", value)
        self.steps_per_epoch = _arguments.check_integer("steps_per_epoch", steps_per_epoch, lower=1, optional=False)
        self.start = start
        self.full = full
        self.stop = stop
        full = start if full is None else full
        epochs = [start, full] if stop is None else [start, full, stop]
        if not all(0 <= a <= b for a, b in zip([0, *epochs], epochs, strict=False)):
            raise ValueError(
                "Expected epochs in their order, 0 <= start <= full <= stop. Received: "
                f"start={self.start}, full={self.full}, stop={self.stop}."
            )

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        # Whole numbers are compared: float32 cannot tell the steps of a long training apart.
        step = ops.cast(step, "int32")
        start, full = self._step_of(self.start), self._step_of(self.start if self.full is None else self.full)
        value = ops.cast(step >= start, "float32") * self.value
        if full > start:
            value = value * ops.clip(ops.cast(step - start, "float32") / float(full - start), 0.0, 1.0)
        if self.stop is None:
            return value
        return value * ops.cast(step < self._step_of(self.stop), "float32")

    def _step_of(self, epoch):
        return round(epoch * self.steps_per_epoch)

    def get_config(self) -> dict[str, Any]:
        names = ("value", "steps_per_epoch", "start", "full", "stop")
        return {name: getattr(self, name) for name in names}
