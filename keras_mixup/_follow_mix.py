"""`follow_mix`: the losses and metrics of `compile`, all following the mix."""

import inspect
import re
from typing import Any

import keras

from keras_mixup.losses import MixLoss
from keras_mixup.metrics import MixMetric


def follow_mix(
    loss: Any = None, *, metrics: Any = None, weighted_metrics: Any = None, layer: str | None = None
) -> dict[str, Any]:
    """Wraps the losses and metrics of a model that mixes, so that their labels follow the mix.

    Spread the result into `compile`. Every loss becomes a `MixLoss` and every metric a `MixMetric`; the nest, the names
    in the logs and the values in `evaluate` are those of a plain `compile`. What is wrapped already stays as it is, and
    so do `MixMonitor` and metrics that take no labels, such as `keras.metrics.Mean`.

    Wrap by hand what needs an option of its own, `MixLoss(loss, pairwise=False)`, and give it to this function with
    the rest. Leave an output out that does not depend on mixed inputs: compile its loss and metrics plainly.

    Args:
        loss: As for `compile`: a string, a function, a `keras.losses.Loss`, or a list, tuple or dict of them, one for
            each output, nested as the outputs are. `None` stays `None`.
        metrics: As for `compile`: a list, tuple or dict of strings, functions and `keras.metrics.Metric` objects, or
            of lists of them.
        weighted_metrics: As `metrics`.
        layer: String or `None`, the name of the mixing layer to follow, where a model has several of them in
            parallel branches.

    Returns:
        A dict of the arguments that were given, `loss`, `metrics` and `weighted_metrics`, for `compile`.

    Raises:
        ValueError: if a loss or metric cannot follow a mix, such as a metric that counts in integers, or is unknown.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixUp, follow_mix
    >>> model = keras.Sequential([keras.Input((4,)), MixUp(alpha=0.2), keras.layers.Dense(3, activation="softmax")])
    >>> model.compile("sgd", **follow_mix(loss="sparse_categorical_crossentropy", metrics=["accuracy"]))
    >>> history = model.fit(np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2]), verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    """

    def follow_loss(loss):
        if loss is None or isinstance(loss, MixLoss):
            return loss
        return MixLoss(loss, layer=layer, name=_logged_name(loss))

    def follow_metric(metric):
        follows = isinstance(metric, MixMetric) or getattr(metric, "follows_mix", False)
        if metric is None or follows or not _takes_labels(metric):
            return metric
        return MixMetric(metric, layer=layer, name=_logged_name(metric))

    following = {
        "loss": keras.tree.map_structure(follow_loss, loss),
        "metrics": keras.tree.map_structure(follow_metric, metrics),
        "weighted_metrics": keras.tree.map_structure(follow_metric, weighted_metrics),
    }
    return {name: nest for name, nest in following.items() if nest is not None}


def _takes_labels(metric):
    """Whether Keras can update a metric with labels and predictions; it cannot update a `Mean` with them."""
    if not isinstance(metric, keras.metrics.Metric):
        return True
    try:
        inspect.signature(metric.update_state).bind("y_true", "y_pred", sample_weight=None)
    except TypeError:
        return False
    return True


def _logged_name(identifier):
    """The name that `compile` gives to a function; `None` for what has one of its own."""
    if isinstance(identifier, str | type) or not callable(identifier) or hasattr(identifier, "name"):
        return None
    words = re.sub(r"\W+", "", getattr(identifier, "__name__", type(identifier).__name__))
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", words)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
