"""Log what a mix does while a model trains: `MixMonitor`, a metric, and `ScheduleMonitor`, a callback.

    model.compile("adam", MixLoss(loss), metrics=[MixMetric("accuracy"), MixMonitor(from_logits=True)])
    model.fit(x, y, callbacks=[ScheduleMonitor()])

What they log is in `History`, so the progress bar, TensorBoard, MLflow and others show it with no more code. A mix
lives inside the compiled step; there only a metric can see it, on every backend and with `steps_per_execution`.
"""

from typing import Any

import keras

from keras_mixup import _arguments, _backend, _follow, _step
from keras_mixup.functional import blend_labels
from keras_mixup.layers import MixLayer

__all__ = ["MixMonitor", "ScheduleMonitor"]

CROSSENTROPY = "crossentropy"
SUMS = ("rows", "weight", "mixed", "clean_loss", "mixed_loss", "entropy", "confidence")


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixMonitor(keras.metrics.Metric):
    """Logs what the mix of the training steps was, and what the model makes of it.

    Put it among the metrics of `compile`, as it is (no `MixMetric` around it). It logs, averaged over the rows of an
    epoch, whatever their weights:

    - `mix_weight`: λ, the share of the original; 1 in rows that were not mixed;
    - `mix_rows`: the share of the rows that were mixed;
    - `mix_clean_loss`, `mix_mixed_loss`: the loss on rows that were not mixed, and on those that were, with mixed
      labels; NaN if there were none. A `probability` below 1 gives both in one batch;
    - `mix_entropy`: the entropy of the mixed labels, in nats. No loss by cross-entropy falls below it;
    - `mix_confidence`: the mean of the largest probability. Far below the accuracy, the model is too unsure.

    In validation nothing is mixed: there λ is 1, and the confidence and the loss on clean rows tell most.

    Args:
        loss: `"crossentropy"`, by the kind of the labels, as in `compile`; or a loss or function with a value for each
            sample, such as `"mse"`. Then labels are no classes, and entropy and confidence are not logged.
        from_logits: Boolean, whether predictions are logits, not probabilities.
        layer: String or `None`, the name of the mixing layer, where a model has several in parallel branches.
        name: String, the beginning of the names in the logs.

    Raises:
        ValueError: for labels of elements, such as masks, under a mix that pastes elements.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixUp
    >>> from keras_mixup.monitoring import MixMonitor
    >>> model = keras.Sequential([keras.Input((4,)), MixUp(probability=0.5), keras.layers.Dense(3)])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", MixLoss(loss), metrics=[MixMonitor(from_logits=True)])
    >>> logs = model.fit(np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2]), verbose=0).history
    >>> sorted(logs)  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'mix_clean_loss', 'mix_confidence', 'mix_entropy', 'mix_mixed_loss', 'mix_rows', 'mix_weight']
    """

    follows_mix = True  # `follow_mix` leaves it as it is

    def __init__(
        self,
        loss: Any = CROSSENTROPY,
        *,
        from_logits: bool = False,
        layer: str | None = None,
        name: str = "mix",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.loss = loss
        self.from_logits = _arguments.check_flag("from_logits", from_logits)
        self.layer = layer
        self.followed_by: str | None = None
        self._has_classes = loss == CROSSENTROPY
        self._loss: Any = None if self._has_classes else _values_of(keras.losses.get(loss))
        self._sums = self.add_variable((len(SUMS),), "zeros", dtype="float32", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        ops = keras.ops
        mix = _step.mix_to_follow(self)
        y_pred = ops.cast(y_pred, "float32")
        labels = self._labels(ops.convert_to_tensor(y_true), y_pred)
        ones = ops.ones(ops.shape(y_pred)[:1], "float32")
        weight, mixed = ones, ops.zeros_like(ones)
        if mix is not None:
            _check_of_samples(mix, labels)
            self.followed_by = "sample"
            labels = blend_labels(labels, mix.by_sample())
            weight = ones * mix.weight
            mixed = ones * ops.cast(sum(mix.shares[1:]) > 0, "float32")
        loss, entropy, confidence = self._of_rows(labels, y_pred)
        parts = [ones, weight, mixed, loss * (1 - mixed), loss * mixed, entropy, confidence]
        self._sums.assign(self._sums + ops.sum(ops.stack(parts, axis=1), axis=0))

    def _labels(self, y_true, y_pred):
        """Returns labels that can be blended."""
        if not self._has_classes:
            return keras.ops.cast(_follow.same_rank(y_true, y_pred)[0], "float32")
        if _is_binary(y_pred):
            return keras.ops.reshape(keras.ops.cast(y_true, "float32"), keras.ops.shape(y_pred))
        if _follow.kind_of_labels(y_true, y_pred) == "categorical":
            return keras.ops.cast(y_true, "float32")
        if len(y_true.shape) == len(y_pred.shape):
            y_true = keras.ops.squeeze(y_true, -1)
        return keras.ops.one_hot(keras.ops.cast(y_true, "int32"), y_pred.shape[-1], dtype="float32")

    def _of_rows(self, labels, y_pred):
        """Returns loss, entropy of the labels and confidence for each row."""
        ops = keras.ops
        if not self._has_classes:
            loss = _mean_of_rows(self._loss(labels, y_pred))
            return loss, ops.zeros_like(loss), ops.zeros_like(loss)
        if _is_binary(y_pred):
            p = ops.sigmoid(y_pred) if self.from_logits else y_pred
            loss = ops.binary_crossentropy(labels, y_pred, from_logits=self.from_logits)
            entropy, confidence = _entropy(labels) + _entropy(1 - labels), ops.maximum(p, 1 - p)
        else:
            p = ops.softmax(y_pred) if self.from_logits else y_pred
            loss = ops.categorical_crossentropy(labels, y_pred, from_logits=self.from_logits)
            entropy, confidence = ops.sum(_entropy(labels), axis=-1), ops.max(p, axis=-1)
        return _mean_of_rows(loss), _mean_of_rows(entropy), _mean_of_rows(confidence)

    def result(self):
        sums = {name: self._sums[number] for number, name in enumerate(SUMS)}
        rows, mixed = sums["rows"], sums["mixed"]
        means = {
            "weight": keras.ops.divide_no_nan(sums["weight"], rows),
            "rows": keras.ops.divide_no_nan(mixed, rows),
            "clean_loss": sums["clean_loss"] / (rows - mixed),
            "mixed_loss": sums["mixed_loss"] / mixed,
        }
        if self._has_classes:
            means["entropy"] = keras.ops.divide_no_nan(sums["entropy"], rows)
            means["confidence"] = keras.ops.divide_no_nan(sums["confidence"], rows)
        return {f"{self.name}_{name}": value for name, value in means.items()}

    def reset_state(self):
        self._sums.assign(keras.ops.zeros((len(SUMS),), "float32"))

    def get_config(self):
        return {
            **super().get_config(),
            "loss": self.loss if isinstance(self.loss, str) else keras.saving.serialize_keras_object(self.loss),
            "from_logits": self.from_logits,
            "layer": self.layer,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


class ScheduleMonitor(keras.callbacks.Callback):
    """Logs `alpha` and `probability` of the mixing layers in the last step of each epoch.

    They come as `mix_alpha` and `mix_probability` into `History`, and into the callbacks that stand after this one. A
    model with several mixing layers logs them under the names of the layers.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixUp
    >>> from keras_mixup.monitoring import ScheduleMonitor
    >>> from keras_mixup.schedules import EpochSchedule
    >>> mixup = MixUp(alpha=EpochSchedule(0.2, steps_per_epoch=2, start=1))
    >>> model = keras.Sequential([keras.Input((4,)), mixup, keras.layers.Dense(1)])
    >>> model.compile("sgd", MixLoss("mse"))
    >>> fit = {"batch_size": 4, "epochs": 2, "verbose": 0, "callbacks": [ScheduleMonitor()]}
    >>> logs = model.fit(np.ones((8, 4)), np.ones(8), **fit).history
    >>> [round(alpha, 2) for alpha in logs["mix_alpha"]], logs["mix_probability"]
    ([0.0, 0.2], [1.0, 1.0])
    """

    def on_epoch_end(self, epoch, logs=None):
        if logs is None:
            return
        layers = _layers_in(self.model)
        for layer in layers:
            prefix = "mix" if len(layers) == 1 else layer.name
            for name in ("alpha", "probability"):
                number = getattr(layer, name, None)
                if number is not None:
                    logs[f"{prefix}_{name}"] = _value(number, layer)


def _value(number, layer):
    """Returns a number, or the value of a schedule in the last step of a layer."""
    if not _arguments.is_schedule(number):
        return number
    steps = int(_backend.words_of(layer.seed_generator.state)[1])  # the counter that the schedules are called with
    return float(keras.ops.convert_to_numpy(number(max(0, steps - 1))))


def _layers_in(model):
    """Returns the mixing layers of a model and of the models in it, each once."""
    found: dict[int, Any] = {}
    for layer in getattr(model, "layers", ()):
        inner = [layer] if isinstance(layer, MixLayer) else _layers_in(layer)
        found |= {id(one): one for one in inner}
    return list(found.values())


def _is_binary(y_pred):
    return len(y_pred.shape) == 1 or y_pred.shape[-1] == 1


def _values_of(loss):
    """Returns the function that gives the values of a loss, without its reduction."""
    return loss.call if isinstance(loss, keras.losses.Loss) else loss


def _mean_of_rows(x):
    return keras.ops.mean(x, axis=tuple(range(1, len(x.shape)))) if len(x.shape) > 1 else x


def _entropy(p):
    return -p * keras.ops.log(keras.ops.maximum(p, 1e-30))


def _check_of_samples(mix, labels):
    """Labels of elements that were pasted do not follow by λ."""
    if mix.elements is not None and len(labels.shape) > 2:
        raise ValueError(
            "`MixMonitor` reads labels of samples. Received: labels of elements, of shape "
            f"{tuple(labels.shape)}, under a mix that pastes elements.\nOption: leave `MixMonitor` out of this output."
        )
