"""Every loss and every metric that Keras has follows a mix as the wrapped one would by hand, or says why it cannot."""

import inspect

import keras
import numpy as np
import pytest
import reference

from keras_mixup import MixLoss, MixMetric, MixUp, training_step

BATCH, CLASSES, STEPS = 8, 3, 2
RNG = np.random.default_rng(0)
EYE = np.eye(BATCH, dtype="float32")
INDICES = np.arange(BATCH) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype="float32")[INDICES]
MULTI_HOT = (RNG.uniform(size=(BATCH, CLASSES)) < 0.5).astype("float32")
BINARY = MULTI_HOT[:, :1]
NUMBERS = RNG.uniform(0.1, 1, size=(BATCH, CLASSES)).astype("float32")
SENTENCES = RNG.integers(1, CLASSES, size=(BATCH, 2))
PROBABILITIES = RNG.dirichlet(np.ones(CLASSES), size=BATCH).astype("float32")
FRAMES = RNG.normal(size=(BATCH, 6, CLASSES)).astype("float32")

L, M = keras.losses, keras.metrics
PAIRS, BLENDED, REFUSED = "pairs", "blended", "refused"

# loss: its labels, predictions, and how it follows
LOSSES = {
    "BinaryCrossentropy": (L.BinaryCrossentropy, MULTI_HOT, PROBABILITIES, BLENDED),
    "BinaryFocalCrossentropy": (L.BinaryFocalCrossentropy, MULTI_HOT, PROBABILITIES, BLENDED),
    "CTC": (L.CTC, SENTENCES, FRAMES, PAIRS),
    "CategoricalCrossentropy": (L.CategoricalCrossentropy, ONE_HOT, PROBABILITIES, BLENDED),
    "CategoricalFocalCrossentropy": (L.CategoricalFocalCrossentropy, ONE_HOT, PROBABILITIES, BLENDED),
    "CategoricalGeneralizedCrossEntropy": (L.CategoricalGeneralizedCrossEntropy, INDICES, PROBABILITIES, PAIRS),
    "CategoricalHinge": (L.CategoricalHinge, ONE_HOT, PROBABILITIES, BLENDED),
    "Circle": (L.Circle, INDICES, PROBABILITIES, REFUSED),
    "CosineSimilarity": (L.CosineSimilarity, NUMBERS, PROBABILITIES, BLENDED),
    "Dice": (L.Dice, ONE_HOT, PROBABILITIES, BLENDED),
    "Hinge": (L.Hinge, MULTI_HOT, PROBABILITIES, PAIRS),
    "Huber": (L.Huber, NUMBERS, PROBABILITIES, BLENDED),
    "KLDivergence": (L.KLDivergence, ONE_HOT, PROBABILITIES, BLENDED),
    "LogCosh": (L.LogCosh, NUMBERS, PROBABILITIES, BLENDED),
    "MeanAbsoluteError": (L.MeanAbsoluteError, NUMBERS, PROBABILITIES, BLENDED),
    "MeanAbsolutePercentageError": (L.MeanAbsolutePercentageError, NUMBERS, PROBABILITIES, BLENDED),
    "MeanSquaredError": (L.MeanSquaredError, NUMBERS, PROBABILITIES, BLENDED),
    "MeanSquaredLogarithmicError": (L.MeanSquaredLogarithmicError, NUMBERS, PROBABILITIES, BLENDED),
    "Poisson": (L.Poisson, NUMBERS, PROBABILITIES, BLENDED),
    "SparseCategoricalCrossentropy": (L.SparseCategoricalCrossentropy, INDICES, PROBABILITIES, PAIRS),
    "SquaredHinge": (L.SquaredHinge, MULTI_HOT, PROBABILITIES, PAIRS),
    "Tversky": (L.Tversky, ONE_HOT, PROBABILITIES, BLENDED),
}
if hasattr(L, "SparseCategoricalFocalCrossentropy"):  # from Keras 3.16 on
    LOSSES["SparseCategoricalFocalCrossentropy"] = (
        L.SparseCategoricalFocalCrossentropy,
        INDICES,
        PROBABILITIES,
        PAIRS,
    )

METRICS = {
    "AUC": (lambda: M.AUC(multi_label=True, num_labels=CLASSES), MULTI_HOT),
    "Accuracy": (M.Accuracy, (PROBABILITIES > 0.4).astype("float32")),
    "BinaryAccuracy": (M.BinaryAccuracy, MULTI_HOT),
    "BinaryCrossentropy": (M.BinaryCrossentropy, MULTI_HOT),
    "BinaryIoU": (lambda: M.BinaryIoU(threshold=0.4, dtype="float32"), BINARY),
    "CategoricalAccuracy": (M.CategoricalAccuracy, ONE_HOT),
    "CategoricalCrossentropy": (M.CategoricalCrossentropy, ONE_HOT),
    "CategoricalHinge": (M.CategoricalHinge, ONE_HOT),
    "ConcordanceCorrelation": (M.ConcordanceCorrelation, NUMBERS),
    "CosineSimilarity": (M.CosineSimilarity, NUMBERS),
    "F1Score": (lambda: M.F1Score("macro"), ONE_HOT),
    "FBetaScore": (lambda: M.FBetaScore("macro"), ONE_HOT),
    "FalseNegatives": (M.FalseNegatives, BINARY),
    "FalsePositives": (M.FalsePositives, BINARY),
    "Hinge": (M.Hinge, MULTI_HOT),
    "IoU": (lambda: M.IoU(CLASSES, [0, 1], sparse_y_pred=False, dtype="float32"), INDICES),
    "KLDivergence": (M.KLDivergence, ONE_HOT),
    "LogCoshError": (M.LogCoshError, NUMBERS),
    "MeanAbsoluteError": (M.MeanAbsoluteError, NUMBERS),
    "MeanAbsolutePercentageError": (M.MeanAbsolutePercentageError, NUMBERS),
    "MeanIoU": (lambda: M.MeanIoU(CLASSES, sparse_y_pred=False, dtype="float32"), INDICES),
    "MeanSquaredError": (M.MeanSquaredError, NUMBERS),
    "MeanSquaredLogarithmicError": (M.MeanSquaredLogarithmicError, NUMBERS),
    "OneHotIoU": (lambda: M.OneHotIoU(CLASSES, [0, 1], dtype="float32"), ONE_HOT),
    "OneHotMeanIoU": (lambda: M.OneHotMeanIoU(CLASSES, dtype="float32"), ONE_HOT),
    "PearsonCorrelation": (M.PearsonCorrelation, NUMBERS),
    "Poisson": (M.Poisson, NUMBERS),
    "Precision": (lambda: M.Precision(thresholds=0.4), BINARY),
    "PrecisionAtRecall": (lambda: M.PrecisionAtRecall(0.5), BINARY),
    "R2Score": (M.R2Score, NUMBERS),
    "Recall": (lambda: M.Recall(thresholds=0.4), BINARY),
    "RecallAtPrecision": (lambda: M.RecallAtPrecision(0.5), BINARY),
    "RootMeanSquaredError": (M.RootMeanSquaredError, NUMBERS),
    "SensitivityAtSpecificity": (lambda: M.SensitivityAtSpecificity(0.5), BINARY),
    "SparseCategoricalAccuracy": (M.SparseCategoricalAccuracy, INDICES),
    "SparseCategoricalCrossentropy": (M.SparseCategoricalCrossentropy, INDICES),
    "SparseTopKCategoricalAccuracy": (lambda: M.SparseTopKCategoricalAccuracy(2), INDICES),
    "SpecificityAtSensitivity": (lambda: M.SpecificityAtSensitivity(0.5), BINARY),
    "SquaredHinge": (M.SquaredHinge, MULTI_HOT),
    "TopKCategoricalAccuracy": (lambda: M.TopKCategoricalAccuracy(2), ONE_HOT),
    "TrueNegatives": (M.TrueNegatives, BINARY),
    "TruePositives": (M.TruePositives, BINARY),
}
BASES = {"Loss", "Metric", "Mean", "Sum", "MeanMetricWrapper"}


def to_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def first_mix():
    """The mixing matrix, λ and the partners of a layer's first step."""
    matrix = MixUp(1.0).mix_numpy(EYE, EYE, seed=0)[1]
    weight = np.diag(matrix)
    return matrix, weight, reference.partners(matrix)


def in_step(follow):
    with training_step():
        MixUp(1.0, seed=0)(EYE, training=True)
        return follow()


def names(module, base):
    return {name for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, base)}


def test_the_catalogue_is_whole():
    assert names(keras.losses, keras.losses.Loss) - BASES <= set(LOSSES)
    assert names(keras.metrics, keras.metrics.Metric) - BASES <= set(METRICS)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_keras_follows_a_mix_or_is_refused(name):
    make, y, prediction, how = LOSSES[name]
    matrix, weight, partner = first_mix()
    y_pred = keras.ops.convert_to_tensor(prediction)
    if how == REFUSED:
        with pytest.raises(ValueError, match=r"(?s)compares the samples of a batch.*pairwise=True"):
            in_step(lambda: MixLoss(make())(y, y_pred))
        return

    value = in_step(lambda: MixLoss(make())(y, y_pred))

    if how == BLENDED:
        expected = to_numpy(make()((matrix @ y).astype("float32"), y_pred))
    else:
        plain = make(reduction="none")
        terms = to_numpy(plain(y, y_pred)) * weight + to_numpy(plain(y[partner], y_pred)) * (1 - weight)
        expected = terms.mean()
    np.testing.assert_allclose(to_numpy(value), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras' confusion matrices on JAX
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_keras_follows_a_mix(name):
    make, y = METRICS[name]
    _, weight, partner = first_mix()
    metric, expected = MixMetric(make()), make()
    for step in range(STEPS):
        p = np.roll(PROBABILITIES[:, : y.shape[-1]] if y.ndim > 1 else PROBABILITIES, step, axis=0)

        in_step(lambda p=p: metric.update_state(y, p))

        expected.update_state(y, p, sample_weight=weight)
        expected.update_state(y[partner], p, sample_weight=1 - weight)
    np.testing.assert_allclose(to_numpy(metric.result()), to_numpy(expected.result()), rtol=2e-5)


def test_metrics_that_count_in_integers_are_refused():
    """They would cut λ to 0, and report nothing."""
    with pytest.raises(ValueError, match=r"'iou' counts in int.*MeanIoU\(..., dtype=\"float32\"\)"):
        MixMetric(M.MeanIoU(CLASSES, name="iou"))
    assert MixMetric(M.MeanIoU(CLASSES, name="iou"), pairwise=False).name == "iou"
