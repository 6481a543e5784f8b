"""`MixMetric`: any Keras metric, with labels that follow the mix made in this step."""

from typing import ClassVar

import keras

from keras_mixup import _checks, _follow, _steps
from keras_mixup._wrapper import Wrapper


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixMetric(Wrapper, keras.metrics.Metric):
    """Wraps a metric, so that its labels follow the mix that a layer of the model made in this step.

    In a step with a mix the metric is updated with both label sets, weighted λ and 1 - λ: accuracy is then the
    expected accuracy, and the sum of the weights is that of the batch. In a step without one (`evaluate`, a model
    without a mixing layer) it is exactly the wrapped metric. It is logged under the wrapped metric's name.

    Args:
        metric: A `keras.metrics.Metric`, a function `(y_true, y_pred) -> values`, or the name of a Keras metric.
            `"accuracy"` is resolved by the shapes of labels and predictions, as `compile` does.
        layer: String or `None`, the name of the mixing layer to follow, where a model has several of them in
            parallel branches.
        pairwise: `True` (the default) for both label sets; `False` for blended labels; `None` to decide by the
            shapes, as `MixLoss` does.
        name: String, the name in the logs; that of the wrapped metric by default.

    Raises:
        ValueError: if the metric counts in integers, as `MeanIoU` does if `dtype` is not given: λ would be cut to 0.
        RuntimeError: if the step holds several mixes, or one that may belong elsewhere.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixMetric, MixUp
    >>> model = keras.Sequential([keras.Input((4,)), MixUp(), keras.layers.Dense(3, activation="softmax")])
    >>> model.compile("sgd", MixLoss("sparse_categorical_crossentropy"), metrics=[MixMetric("accuracy")])
    >>> history = model.fit(np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2]), verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    """

    wraps = "metric"
    defaults: ClassVar = {"layer": None, "pairwise": True}

    def __init__(self, metric, *, layer=None, pairwise=True, name=None):
        inner = _as_metric(metric)
        super().__init__(name=name or inner.name, dtype=inner.dtype)
        self.metric = inner
        self._remember(metric, layer, pairwise)
        _checks.check_metric(inner, self.pairwise)

    def update_state(self, y_true, y_pred, sample_weight=None):
        mix = _steps.mix_to_follow(self)
        if mix is None:
            return self.metric.update_state(y_true, y_pred, sample_weight=sample_weight)
        _follow.check_batch(mix, y_pred)
        mix = _follow.fitted(mix, y_pred)
        blend = _follow.can_blend(mix, y_true, y_pred, sample_weight) if self.pairwise is None else not self.pairwise
        if blend:
            y_true, sample_weight = _follow.blended(mix, y_true, sample_weight)
            return self.metric.update_state(y_true, y_pred, sample_weight=sample_weight)
        y_pred = keras.ops.convert_to_tensor(y_pred)
        aligned = keras.ops.shape(_follow.same_rank(y_true, y_pred)[1])
        weights = _follow.term_weights(mix, sample_weight, aligned[: max(1, len(aligned) - 1)])
        for term, weight in zip(_follow.terms(mix, y_true, y_pred), weights, strict=True):
            self.metric.update_state(term.labels, term.predictions, sample_weight=weight)
        return None

    def result(self):
        return self.metric.result()

    def reset_state(self):
        self.metric.reset_state()


def _as_metric(metric):
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return _Accuracy(name=metric)
    found = keras.metrics.get(metric)
    if isinstance(found, keras.metrics.Metric):
        if isinstance(metric, str):
            found.name = metric
        return found
    return keras.metrics.MeanMetricWrapper(
        found, name=metric if isinstance(metric, str) else getattr(found, "__name__", None)
    )


class _Accuracy(keras.metrics.Accuracy):
    """What `compile(metrics=["accuracy"])` takes for labels and predictions of these shapes."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        kind = _follow.kind_of_labels(y_true, y_pred)
        hits = getattr(keras.metrics, f"{kind}_accuracy")(y_true, y_pred)
        right = keras.ops.ones_like(hits)
        mask = _follow.read_mask(y_pred)
        super().update_state(hits, right if mask is None else _follow.with_mask(right, mask), sample_weight)
