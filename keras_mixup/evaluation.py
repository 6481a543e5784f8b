"""How well a classifier knows what it knows: calibration, and robustness to corruptions, attacks and blends.

>>> from keras_mixup.evaluation import ExpectedCalibrationError, fit_temperature, robustness_report

Mixup is often said to improve all of these, and sometimes harms them: measure it on your own data. Compare calibration
before and after `fit_temperature`, which costs nothing and is often enough.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mixup import _arguments, _backend

__all__ = ["CORRUPTIONS", "ExpectedCalibrationError", "RobustnessReport", "fit_temperature", "robustness_report"]

STEPS_OF_PGD = 10


@keras.saving.register_keras_serializable(package="keras_mixup")
class ExpectedCalibrationError(keras.metrics.Metric):
    """Measures how far confidence is from accuracy: the expected calibration error of Guo et al., 2017.

    Predictions are sorted by confidence into bins of equal width, `[0, 1/n)`, `[1/n, 2/n)` and so on. The error is the
    distance between mean confidence and accuracy in each bin, averaged over the predictions. Bins are summed over all
    batches of an epoch, so the result does not depend on the batch size.

    The confidence of a prediction over classes is its largest probability. One of width 1, or flat, is binary: its bins
    compare the probability of class 1 with the frequency of class 1, as torchmetrics and netcal do.

    Args:
        num_bins: Integer, the number of bins.
        from_logits: Boolean, whether predictions are logits, not probabilities.
        name: String, the name in the logs.
        dtype: As for every Keras metric.

    Call arguments:
        y_true: Class indices `(batch, ...)` or `(batch, ..., 1)`, one-hot or mixed labels `(batch, ..., classes)`, or
            for binary predictions 0 and 1.
        y_pred: Predictions `(batch, ..., classes)`; binary `(batch,)` or `(batch, ..., 1)`.
        sample_weight: `None`, or weights that cover the leading axes of the labels.

    References:
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), equation 3.

    Example:

    >>> import numpy as np
    >>> from keras_mixup.evaluation import ExpectedCalibrationError
    >>> error = ExpectedCalibrationError(num_bins=10)
    >>> error.update_state(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    >>> round(float(error.result()), 3)  # 90 % sure, 50 % right
    0.4
    """

    def __init__(
        self,
        num_bins: int = 15,
        from_logits: bool = False,
        name: str = "expected_calibration_error",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_bins = _arguments.check_integer("num_bins", num_bins, lower=1, optional=False)
        self.from_logits = _arguments.check_flag("from_logits", from_logits)
        self._direction = "down"  # where callbacks of Keras look up what mode="auto" means
        self._sums = self.add_variable((3, self.num_bins), "zeros", dtype="float32", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        ops = keras.ops
        confidence, hit = _confidence_and_hit(y_true, y_pred, self.from_logits)
        weight = _weights_of(sample_weight, confidence)
        confidence, hit, weight = (ops.reshape(x, (-1,)) for x in (confidence, hit, weight))
        number = ops.clip(ops.cast(ops.floor(confidence * self.num_bins), "int32"), 0, self.num_bins - 1)
        in_bin = ops.one_hot(number, self.num_bins, dtype="float32")
        parts = ops.stack([weight, weight * confidence, weight * hit])
        self._sums.assign(self._sums + ops.matmul(parts, in_bin))

    def result(self):
        total, confidence, hit = (self._sums[part] for part in range(3))
        return keras.ops.divide_no_nan(keras.ops.sum(keras.ops.abs(confidence - hit)), keras.ops.sum(total))

    def reset_state(self):
        self._sums.assign(keras.ops.zeros((3, self.num_bins), "float32"))

    def bins(self) -> dict[str, np.ndarray]:
        """Returns what a reliability diagram draws, as NumPy arrays with an entry for each bin.

        Returns:
            A dict: `share` of the predictions in the bin; their mean `confidence` and `accuracy`, NaN in empty bins.
        """
        total, confidence, hit = np.array(keras.ops.convert_to_numpy(self._sums.value), "float64")
        filled = np.where(total > 0, total, np.nan)
        share = total / total.sum() if total.sum() else total
        return {"share": share, "confidence": confidence / filled, "accuracy": hit / filled}

    def get_config(self):
        return {**super().get_config(), "num_bins": self.num_bins, "from_logits": self.from_logits}


def _confidence_and_hit(y_true, y_pred, from_logits):
    """Returns the confidence of each prediction, and the probability that its label gives to what was predicted."""
    ops = keras.ops
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.cast(y_pred, "float32")
    if len(y_pred.shape) == 1 or y_pred.shape[-1] == 1:
        confidence = ops.sigmoid(y_pred) if from_logits else y_pred
        if len(y_pred.shape) > 1:
            confidence = ops.squeeze(confidence, -1)
        return confidence, ops.reshape(ops.cast(y_true, "float32"), ops.shape(confidence))
    probabilities = ops.softmax(y_pred) if from_logits else y_pred
    classes = y_pred.shape[-1]
    predicted = ops.argmax(probabilities, axis=-1)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == classes:
        chosen = ops.one_hot(predicted, classes, dtype="float32")
        hit = ops.sum(ops.cast(y_true, "float32") * chosen, axis=-1)
    else:
        hit = ops.cast(ops.cast(ops.reshape(y_true, ops.shape(predicted)), predicted.dtype) == predicted, "float32")
    return ops.max(probabilities, axis=-1), hit


def _weights_of(sample_weight, values):
    """Returns a weight for each value, from weights that cover the leading axes of the values."""
    if sample_weight is None:
        return keras.ops.ones_like(values)
    weight = keras.ops.cast(sample_weight, "float32")
    while len(weight.shape) > len(values.shape) and weight.shape[-1] == 1:
        weight = keras.ops.squeeze(weight, -1)
    while len(weight.shape) < len(values.shape):
        weight = keras.ops.expand_dims(weight, -1)
    return keras.ops.broadcast_to(weight, keras.ops.shape(values))


def fit_temperature(logits: Any, labels: Any) -> float:
    """Finds the temperature T for which `softmax(logits / T)` fits the labels best (the least negative log-likelihood).

    Fit it on held-out data, and divide the logits of other data by it. Above 1 the model was over-confident, below 1
    under-confident, as models trained on strong mixes often are. Accuracy does not change.

    Args:
        logits: Array `(samples, classes)`; binary `(samples,)` or `(samples, 1)`. Not probabilities; their logarithms
            will do.
        labels: Class indices `(samples,)`, or labels of the shape of the logits.

    Returns:
        A number from 0.001 to 1000. The limits are reached where every label is predicted, or none can be.

    References:
        - [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 4.2.

    Example:

    >>> import numpy as np
    >>> from keras_mixup.evaluation import fit_temperature
    >>> logits = np.array([[4.0, 0.0]] * 10)  # 98 % sure of class 0
    >>> labels = np.array([0] * 8 + [1] * 2)  # right in 80 %
    >>> temperature = fit_temperature(logits, labels)
    >>> probability = 1 / (1 + np.exp(-4.0 / temperature))
    >>> round(temperature, 2), round(float(probability), 2)
    (2.89, 0.8)
    """
    logits, labels = _numpy(logits).astype("float64"), _numpy(labels)
    logits, labels = _over_classes(logits, labels)
    if logits.ndim != 2 or labels.shape != logits.shape or not len(logits):
        raise ValueError(
            "`fit_temperature` takes logits (samples, classes), and class indices (samples,) or labels of the same "
            f"shape. Received: logits of shape {logits.shape}, labels of shape {labels.shape}."
        )
    logits = logits - logits.max(axis=1, keepdims=True)
    of_labels = np.mean(np.sum(labels * logits, axis=1))

    def slope(log_inverse):
        # The likelihood is concave in 1/T: its slope, the mean logit of the labels less that of the predictions, falls.
        p = np.exp(np.exp(log_inverse) * logits)
        return of_labels - np.mean(np.sum(p * logits, axis=1) / np.sum(p, axis=1))

    low, high = -np.log(1000.0), np.log(1000.0)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def _over_classes(scores, labels):
    """Returns logits and labels with an axis of classes."""
    if scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1):
        scores = np.stack([np.zeros(len(scores)), scores.reshape(-1)], axis=1)
        labels = labels.reshape(-1).astype("float64")
        return scores, np.stack([1 - labels, labels], axis=1)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if scores.ndim == 2 and labels.ndim == 1 and len(labels) == len(scores):
        _check_classes(labels, scores.shape[1])
        labels = np.eye(scores.shape[1])[labels.astype(int)]
    return scores, labels


def _check_classes(labels, classes):
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes and np.all(labels == np.floor(labels))):
        raise ValueError(
            f"Expected class indices from 0 to {classes - 1}. Received: labels from {labels.min()} to {labels.max()}."
        )


class Row(NamedTuple):
    """A line of a `RobustnessReport`."""

    corruption: str
    strength: float
    accuracy: float
    confidence: float


class RobustnessReport(NamedTuple):
    """What `robustness_report` has measured; print it.

    Args:
        rows: list of rows, each with a `corruption`, its `strength`, and `accuracy` and mean `confidence` under it.
    """

    rows: list[Row]

    def __str__(self):
        width = max(len(row.corruption) for row in self.rows)
        head = f"{'corruption':{max(width, 10)}}  strength  accuracy  confidence"
        lines = (
            f"{row.corruption:{max(width, 10)}}  {row.strength:8g}  {row.accuracy:8.3f}  {row.confidence:10.3f}"
            for row in self.rows
        )
        return "\n".join([head, *lines])

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns a dict for each row, for JSON or a table of your own."""
        return [row._asdict() for row in self.rows]

    def to_dataframe(self) -> Any:
        """Returns a `pandas.DataFrame` with a line for each row."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())


def _noise(x, strength, random, options):
    return x + strength * options.span * random.normal(size=x.shape)


def _blur(x, strength, random, options):
    """A Gaussian whose standard deviation is `strength` pixels; the border is repeated."""
    reach = max(1, int(np.ceil(3 * strength)))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / strength) ** 2)
    for axis in options.image_axes(x):
        positions = np.arange(x.shape[axis])
        moved = (np.take(x, np.clip(positions + offset, 0, len(positions) - 1), axis) for offset in offsets)
        x = sum(weight * part for weight, part in zip(kernel / kernel.sum(), moved, strict=True))
    return x


def _contrast(x, strength, random, options):
    """The distance from the mean of each sample loses this share."""
    mean = x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
    return mean + (1 - strength) * (x - mean)


def _shift(x, strength, random, options):
    """Each sample moves by `strength` pixels in one of four directions; the border is repeated."""
    axes, moved = options.image_axes(x), x.copy()
    direction = random.integers(4, size=len(x))
    for number in range(4):
        axis, sign = axes[number // 2], (-1, 1)[number % 2]
        positions = np.clip(np.arange(x.shape[axis]) + sign * int(strength), 0, x.shape[axis] - 1)
        moved[direction == number] = np.take(x[direction == number], positions, axis)
    return moved


def _fgsm(x, strength, random, options):
    return x + strength * options.span * np.sign(options.gradients(x))


def _pgd(x, strength, random, options):
    """Steps along the sign of the gradient, kept within `strength` of the sample, from a random start."""
    reach = strength * options.span
    moved = options.clip(x + random.uniform(-reach, reach, x.shape))
    for _ in range(STEPS_OF_PGD):
        moved = moved + 2.5 * reach / STEPS_OF_PGD * np.sign(options.gradients(moved))
        moved = options.clip(np.clip(moved, x - reach, x + reach))
    return moved


# Name: the function, its strengths by default
CORRUPTIONS: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "noise": (_noise, (0.05, 0.1, 0.2)),
    "blur": (_blur, (0.5, 1.0, 2.0)),
    "contrast": (_contrast, (0.25, 0.5, 0.75)),
    "shift": (_shift, (1, 2, 4)),
    "fgsm": (_fgsm, (0.01, 0.03, 0.1)),
    "pgd": (_pgd, (0.01, 0.03, 0.1)),
}
BLEND = "blend"


def robustness_report(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    corruptions: Sequence[str] | Mapping[str, Callable] = (*CORRUPTIONS, BLEND),
    strengths: Mapping[str, Sequence[float]] | None = None,
    from_logits: bool = False,
    value_range: tuple[float, float] | None = None,
    batch_size: int = 128,
    seed: int = 0,
    verbose: bool | int = 1,
) -> RobustnessReport:
    """Measures accuracy and mean confidence of a classifier under corruptions, attacks and blends of two classes.

    | corruption | what happens | strength |
    |---|---|---|
    | `"noise"` | normal noise is added | standard deviation, as a share of the value range |
    | `"blur"` | a Gaussian blurs the image | standard deviation in pixels |
    | `"contrast"` | a sample moves towards its mean | share of the contrast that is lost |
    | `"shift"` | the image moves in one of four directions | pixels |
    | `"fgsm"` | one step along the sign of the gradient | length, as a share of the value range |
    | `"pgd"` | ten steps from a random start | largest distance, as a share of the value range |
    | `"blend"` | half of a sample, half of one of another class | none; right is whoever names one of the two |

    Blur and shift need images `(samples, height, width, channels)`, or channels first if Keras is set so. All results
    are clipped to the value range. The same seed gives the same corruptions on every backend and for every batch size.

    Args:
        model: A `keras.Model` with one input and one output, scores of classes or of class 1. It is never trained.
        x: Array `(samples, ...)` of numbers.
        y: Class indices `(samples,)` or one-hot labels.
        corruptions: Names, in the order of the report. Or a dict of names and functions `(x, strength, random) -> x`
            of a NumPy batch, for corruptions of your own; `random` has the methods `normal`, `uniform` and
            `integers` of a `numpy.random.Generator`, with `size` and the rows of the batch as its first axis.
        strengths: Dict, a sequence of strengths for each corruption that shall not have those of the default.
        from_logits: Boolean, whether predictions are logits, not probabilities.
        value_range: The lowest and highest value that an input may have; those of `x` by default.
        batch_size: Integer, the samples of one batch.
        seed: Integer, of all random numbers.
        verbose: 1 for a progress bar, 0 for silence.

    Returns:
        A `RobustnessReport`: print it, or take `to_dicts()` or `to_dataframe()`. Its first row is `"none"`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup.evaluation import robustness_report
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(2) * 3, np.zeros(2)])
    >>> x, y = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]]), np.array([0, 1, 1])
    >>> report = robustness_report(
    ...     model, x, y, corruptions=["fgsm"], strengths={"fgsm": [0.2]}, from_logits=True, verbose=0
    ... )
    >>> print(report)
    corruption  strength  accuracy  confidence
    none               0     1.000       0.850
    fgsm             0.2     0.667       0.787
    """
    x, labels = _checked_inputs(x, y)
    plan = _plan(corruptions, strengths or {})
    options = _Options(model, x, from_logits, value_range)
    batches = [slice(start, start + batch_size) for start in range(0, len(x), batch_size)]
    bar = keras.utils.Progbar(len(batches) * len(plan), unit_name="batch") if verbose else None
    rows = []
    for number, (name, corrupt, strength) in enumerate(plan):
        partner = _others(labels, np.random.default_rng([seed, number])) if name == BLEND else None
        hits, sure = [], []
        for batch in batches:
            hit, confidence = _measure(options, x, labels, partner, batch, corrupt, strength, [seed, number])
            hits.append(hit)
            sure.append(confidence)
            if bar is not None:
                bar.add(1)
        rows.append(Row(name, float(strength), float(np.concatenate(hits).mean()), float(np.concatenate(sure).mean())))
    return RobustnessReport(rows)


def _measure(options, x, labels, partner, batch, corrupt, strength, seed):
    """Returns for each sample of a batch whether it was recognised, and with which confidence."""
    own = x[batch]
    if partner is not None:
        own = (own + x[partner[batch]]) / 2
    elif corrupt is not None:
        options.labels = labels[batch]
        # One stream for each sample: the batch size does not matter.
        random = _RandomOfRows(seed, range(*batch.indices(len(x))))
        own = options.clip(corrupt(own, strength, random, options))
    probabilities = options.predict(own)
    predicted = probabilities.argmax(axis=1)
    hit = predicted == labels[batch]
    if partner is not None:
        hit |= predicted == labels[partner[batch]]
    return hit, probabilities.max(axis=1)


class _RandomOfRows:
    """Random numbers for the rows of a batch, each row with a generator of its own."""

    def __init__(self, seed, rows):
        self.generators = [np.random.default_rng([*seed, row]) for row in rows]

    def normal(self, loc=0.0, scale=1.0, size=None):
        return np.stack([g.normal(loc, scale, size[1:]) for g in self.generators])

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.stack([g.uniform(low, high, size[1:]) for g in self.generators])

    def integers(self, low, high=None, size=None):
        size = (size,) if isinstance(size, int) else size
        return np.stack([g.integers(low, high, size[1:]) for g in self.generators])


class _Options:
    """What corruptions know of the model and the data."""

    def __init__(self, model, x, from_logits, value_range):
        self.model = model
        self.from_logits = _arguments.check_flag("from_logits", from_logits)
        self.low, self.high = (x.min(), x.max()) if value_range is None else value_range
        self.span = self.high - self.low
        self.labels = None
        self._gradients = _backend.input_gradients(self._loss)

    def clip(self, x):
        return np.clip(x, self.low, self.high).astype("float32")

    def image_axes(self, x):
        if x.ndim != 4:
            raise ValueError(
                "Blur and shift need images (samples, height, width, channels). Received: inputs of shape "
                f'{x.shape}.\nOption: `corruptions=["noise", "contrast", "fgsm", "pgd", "blend"]`.'
            )
        return (2, 3) if keras.config.image_data_format() == "channels_first" else (1, 2)

    def predict(self, x):
        scores = _numpy(self.model.predict_on_batch(x.astype("float32"))).astype("float64")
        if scores.ndim == 1 or scores.shape[-1] == 1:
            p = scores.reshape(-1)
            p = 1 / (1 + np.exp(-p)) if self.from_logits else p
            return np.stack([1 - p, p], axis=1)
        if self.from_logits:
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            return scores / scores.sum(axis=-1, keepdims=True)
        if scores.ndim != 2 or scores.min() < 0 or np.abs(scores.sum(axis=1) - 1).max() > 0.01:
            raise ValueError(
                "Expected predictions (samples, classes) that are probabilities. Received: predictions of shape "
                f"{scores.shape} from {scores.min():.3g} to {scores.max():.3g}.\n"
                "Option: `robustness_report(..., from_logits=True)`."
            )
        return scores

    def gradients(self, x):
        """Returns the gradients of the cross-entropy of each sample with respect to the sample."""
        return _numpy(self._gradients(x.astype("float32"), self.labels))

    def _loss(self, x, labels):
        scores = keras.ops.cast(self.model(x, training=False), "float32")
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            labels = keras.ops.reshape(keras.ops.cast(labels, "float32"), keras.ops.shape(scores))
            return keras.ops.sum(keras.ops.binary_crossentropy(labels, scores, from_logits=self.from_logits))
        return keras.ops.sum(keras.ops.sparse_categorical_crossentropy(labels, scores, from_logits=self.from_logits))


def _plan(corruptions, strengths):
    """Returns name, function and strength of each row."""
    own = corruptions if isinstance(corruptions, Mapping) else {}
    known = {**CORRUPTIONS, BLEND: (None, (0.5,))}
    known |= {name: (_with_options_left_out(function), ()) for name, function in own.items()}
    plan: list[tuple[str, Callable | None, float]] = [("none", None, 0.0)]
    unknown = {*corruptions, *strengths} - set(known)
    if unknown:
        raise ValueError(f"Expected corruptions of {sorted(known)}. Received: {sorted(unknown)}.")
    for name in corruptions:
        function, usual = known[name]
        chosen = strengths.get(name, usual)
        if not len(chosen):
            raise ValueError(
                f"Corruption {name!r} has no strengths.\n"
                f"Option: `robustness_report(..., strengths={{{name!r}: [1.0]}})`."
            )
        plan += [(name, function, strength) for strength in chosen]
    return plan


def _with_options_left_out(function):
    return lambda x, strength, random, options: function(x, strength, random)


def _checked_inputs(x, y):
    """Returns inputs as floating numbers, and labels as class indices."""
    if isinstance(x, Mapping | tuple) or hasattr(x, "element_spec"):
        raise TypeError(f"`robustness_report` takes one array of inputs. Received: {type(x).__name__}.")
    x, y = _numpy(x).astype("float32"), _numpy(y)
    if y.ndim == 2:
        y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
    if not len(x) or y.shape != x.shape[:1]:
        raise ValueError(
            "`robustness_report` takes inputs (samples, ...), and class indices (samples,) or one-hot labels. "
            f"Received: inputs of shape {x.shape}, labels of shape {y.shape}."
        )
    return x, y.astype("int32")


def _others(labels, random):
    """Returns for each sample one of another class, at random."""
    if np.all(labels == labels[0]):
        raise ValueError('`"blend"` needs samples of two classes. Received: labels of one class.')
    partner = random.permutation(len(labels))
    while np.any(same := labels[partner] == labels):
        partner[same] = random.integers(len(labels), size=same.sum())
    return partner


def _numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))
