"""`MixMetric`: any Keras metric, with labels that follow the mix made in this step."""

from typing import Any, ClassVar, Literal

import keras

from keras_mixup import _follow, _step
from keras_mixup._wrapper import Wrapper, check_not_wrapped


@keras.saving.register_keras_serializable(package="keras_mixup")
class MixMetric(Wrapper, keras.metrics.Metric):
    """Wraps a metric, so that its labels follow the mix that a layer of the model made in this step.

    In a step with a mix the metric is updated with both label sets, weighted λ and 1 - λ: accuracy is then the
    expected accuracy, and the sum of the weights is that of the batch. Labels of elements that were pasted follow by
    element, as for `MixLoss`. In a step without one (`evaluate`, a model
    without a mixing layer) it is exactly the wrapped metric. It is logged under the wrapped metric's name.

    Args:
        metric: A `keras.metrics.Metric`, a function `(y_true, y_pred) -> values`, or the name of a Keras metric.
            `"accuracy"` is resolved by the shapes of labels and predictions, as `compile` does.
        layer: String or `None`, the name of the mixing layer to follow, where a model has several of them in
            parallel branches.
        pairwise: `True` (the default) for both label sets; `False` for blended labels; `None` to decide by the
            shapes, as `MixLoss` does.
        by: As for `MixLoss`: `"element"`, `"sample"`, or `None` (the default) to decide by the shapes.
        name: String, the name in the logs; that of the wrapped metric by default.

    Raises:
        ValueError: if the metric counts in integers, as `MeanIoU` does if `dtype` is not given: λ would be cut to 0;
            if it counts samples (`R2Score(num_regressors=...)`) or compares them, unless `pairwise=False`; if labels
            are of elements whose place in the inputs cannot be told.
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
    defaults: ClassVar = {"layer": None, "pairwise": True, "by": None}

    def __init__(
        self,
        metric: Any,
        *,
        layer: str | None = None,
        pairwise: bool | None = True,
        by: Literal["sample", "element"] | None = None,
        name: str | None = None,
    ):
        check_not_wrapped(self, metric)
        inner = _as_metric(metric)
        super().__init__(name=name or inner.name, dtype=inner.dtype)
        self.metric = inner
        self._remember(metric, layer, pairwise, by)
        check_metric(inner, self.pairwise)
        if self.pairwise is not False:
            _check_pairs(inner, _no_pairs(inner))

    def update_state(self, y_true, y_pred, sample_weight=None):
        mix = _step.mix_to_follow(self)
        if mix is None:
            weight = self._aligned(y_true, y_pred, sample_weight)
            return self.metric.update_state(y_true, y_pred, sample_weight=weight)
        case = _follow.case_of(self, mix, y_true, y_pred, _class_axes(self.metric, y_true, y_pred), self.by)
        self.followed_by = case.by
        if self._blends(case, sample_weight):
            y_true, weight = _follow.blended(case, sample_weight)
            return self.metric.update_state(y_true, case.y_pred, sample_weight=weight)
        y_pred = case.y_pred if case.by == "element" else _follow.same_rank(case.y_true, case.y_pred)[1]
        shape = self._shape_of_weights(y_pred, sample_weight)
        shares = _follow.shares_of(case, shape, _class_axis(self.metric))
        weights = _follow.weights_of(case, sample_weight, shape)
        for term, share, weight in zip(_follow.terms(case), shares, weights, strict=True):
            if isinstance(self.metric, _Accuracy):
                self.metric.update_masked(term.labels, term.predictions, term.mask, share * weight)
            else:
                self.metric.update_state(term.labels, term.predictions, sample_weight=share * weight)
        return None

    def _blends(self, case, sample_weight):
        if self.pairwise is False:
            _follow.check_blendable(self, tuple(case.y_true.shape), tuple(case.y_pred.shape))
        return _follow.can_blend(case, sample_weight) if self.pairwise is None else not self.pairwise

    def _aligned(self, y_true, y_pred, sample_weight):
        """Weights of samples for a metric that counts elements, which would take them for those of another axis."""
        averages = isinstance(self.metric, keras.metrics.Mean) and _follow.read_mask(y_pred) is None
        if sample_weight is None or averages or len(y_pred.shape) < 3:
            return sample_weight
        shape = self._shape_of_weights(_follow.same_rank(y_true, y_pred)[1], sample_weight)
        weight = keras.ops.convert_to_tensor(sample_weight)
        return _follow.over_shape(weight, shape) if 0 < len(weight.shape) < len(shape) else weight

    def _shape_of_weights(self, y_pred, sample_weight):
        """A weight for each value that the metric averages or counts."""
        shape = list(keras.ops.shape(y_pred))
        if isinstance(self.metric, keras.metrics.IoU):  # of which each counts, class indices or scores of classes
            if not self.metric.sparse_y_pred:
                del shape[self.metric.axis]
            return tuple(shape)
        a_weight_each = sample_weight is not None and tuple(sample_weight.shape) == tuple(y_pred.shape)
        return tuple(shape if a_weight_each else shape[: max(1, len(shape) - 1)])

    def result(self):
        return self.metric.result()

    def reset_state(self):
        self.metric.reset_state()


# They compare the entries of an axis, so that along it lie classes and no elements.
COMPARE_CLASSES = (
    keras.metrics.CategoricalAccuracy,
    keras.metrics.CategoricalCrossentropy,
    keras.metrics.CategoricalHinge,
    keras.metrics.ConcordanceCorrelation,
    keras.metrics.CosineSimilarity,
    keras.metrics.FBetaScore,
    keras.metrics.KLDivergence,
    keras.metrics.PearsonCorrelation,
    keras.metrics.TopKCategoricalAccuracy,
)


def _class_axes(metric, y_true, y_pred):
    """The axes along which the metric compares classes, if it is known."""
    if isinstance(metric, keras.metrics.IoU) and len(y_pred.shape) > 2:
        return () if metric.sparse_y_pred else (metric.axis,)
    categorical = isinstance(metric, _Accuracy) and _follow.kind_of_labels(y_true, y_pred) == "categorical"
    return (_class_axis(metric),) if categorical or isinstance(metric, COMPARE_CLASSES) else None


def _class_axis(metric):
    axis = getattr(metric, "axis", -1)
    return axis if isinstance(axis, int) and not isinstance(metric, keras.metrics.FBetaScore) else -1


def _no_pairs(metric):
    """Why the metric cannot be updated with both label sets, or `None`."""
    if isinstance(metric, keras.metrics.R2Score) and metric.num_regressors:
        return "counts the samples of its updates (num_regressors)"
    if isinstance(metric, keras.metrics.PearsonCorrelation | keras.metrics.ConcordanceCorrelation) and metric.axis == 0:
        return "compares samples with each other (axis=0)"
    return None


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
        self.update_masked(y_true, y_pred, _follow.read_mask(y_pred), sample_weight)

    def update_masked(self, y_true, y_pred, mask, sample_weight):
        """As `update_state`, if the mask of the predictions is known."""
        kind = _follow.kind_of_labels(y_true, y_pred)
        hits = getattr(keras.metrics, f"{kind}_accuracy")(y_true, y_pred)
        right = keras.ops.ones_like(hits)
        super().update_state(hits, right if mask is None else _follow.with_mask(right, mask), sample_weight)


def check_metric(metric, pairwise):
    """A metric that is updated with the weights λ and 1 - λ counts in floats."""
    if pairwise and "float" not in str(metric.dtype):
        raise ValueError(
            f"Metric {metric.name!r} counts in {metric.dtype}, and would cut the weights λ and 1 - λ of the two label "
            f'sets to 0. Let it count in floats: `{type(metric).__name__}(..., dtype="float32")`.'
        )


def _check_pairs(metric, refused):
    """A metric that keeps its meaning when it is updated with both label sets."""
    if refused:
        raise ValueError(
            f"Metric {metric.name!r} {refused}, so it cannot be updated with both label sets of a mix. Received: "
            f"pairwise=True, the default.\nOptions: blended labels, `MixMetric({type(metric).__name__}(...), "
            "pairwise=False)`; or measure it on clean data only, in `evaluate`."
        )
