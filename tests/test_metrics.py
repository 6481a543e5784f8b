"""`MixMetric`: metrics that follow the mix of the step."""

import keras
import numpy as np
import pytest
import reference

from keras_mixup import MixLoss, MixMetric, MixUp, training_step

BATCH, CLASSES = 8, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2 * BATCH, 5)).astype("float32")
INDICES = np.arange(2 * BATCH) % CLASSES
WEIGHTS = RNG.uniform(0.2, 2, 2 * BATCH).astype("float32")


def build(metrics, alpha=1.0, jit_compile=False, weighted_metrics=None):
    layers = [keras.Input((5,)), MixUp(alpha, seed=0), keras.layers.Dense(CLASSES, activation="softmax")]
    model = keras.Sequential(layers)
    loss = MixLoss("sparse_categorical_crossentropy")
    model.compile(
        keras.optimizers.SGD(0.0), loss, metrics=metrics, weighted_metrics=weighted_metrics, jit_compile=jit_compile
    )
    return model


def steps(model, weights=None):
    """For each of the two steps of an epoch: both label sets, the predictions, both weights."""
    layer, eye = MixUp(1.0), np.eye(BATCH, dtype="float32")
    for step, rows in enumerate((slice(0, BATCH), slice(BATCH, None))):
        x, M = layer.mix_numpy(X[rows], eye, seed=np.int64(step << 32))  # the key of a layer's step: (seed, step)
        partner = reference.partners(M)
        w = np.ones(BATCH) if weights is None else weights[rows]
        y = INDICES[rows]
        yield y, y[partner], keras.ops.convert_to_numpy(model.layers[-1](x)), np.diag(M) * w, (M @ w - np.diag(M) * w)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_accuracy_is_the_expected_accuracy_over_all_batches(jit_compile, weights):
    """λ·[ŷ = y_a] + (1 - λ)·[ŷ = y_b], averaged over the epoch with the samples' weights."""
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("XLA is a matter of TensorFlow and JAX")
    metric = [MixMetric("accuracy")]
    model = build(None, jit_compile=jit_compile, weighted_metrics=metric) if weights is not None else build(metric)

    logs = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, sample_weight=weights, verbose=0).history

    right = total = 0.0
    for a, b, p, w_a, w_b in steps(model, weights):
        right += np.sum(w_a * (p.argmax(1) == a) + w_b * (p.argmax(1) == b))
        total += np.sum(w_a + w_b)
    np.testing.assert_allclose(logs["accuracy"][0], right / total, rtol=1e-5)


METRICS = {
    "top-k": lambda: keras.metrics.SparseTopKCategoricalAccuracy(k=2),
    "sparse accuracy": lambda: keras.metrics.SparseCategoricalAccuracy(),
    "sparse cross-entropy": lambda: keras.metrics.SparseCategoricalCrossentropy(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_both_label_sets_update_the_metric_with_their_shares(name):
    """The wrapped metric sees (y_a, λ) and (y_b, 1 - λ), and is logged under its own name."""
    expected, wrapped = METRICS[name](), METRICS[name]()
    model = build([MixMetric(wrapped)])

    logs = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history

    for a, b, p, w_a, w_b in steps(model):
        expected.update_state(a, p, w_a)
        expected.update_state(b, p, w_b)
    assert set(logs) == {"loss", wrapped.name}
    np.testing.assert_allclose(logs[wrapped.name][0], float(expected.result()), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("one_hot", [False, True])
def test_accuracy_is_resolved_by_the_shapes(one_hot):
    """`"accuracy"` without a mix is what `compile` makes of it, for each kind of labels."""
    y = np.eye(CLASSES)[INDICES] if one_hot else INDICES
    model = build(None)
    model.compile(loss="crossentropy", metrics=[MixMetric("accuracy"), MixMetric("acc")])
    logs = model.evaluate(X, y, verbose=0, return_dict=True)

    model.compile(loss="crossentropy", metrics=["accuracy"])
    expected = model.evaluate(X, y, verbose=0, return_dict=True)["accuracy"]
    assert logs["accuracy"] == expected
    assert logs["acc"] == expected


def test_binary_accuracy_and_regression_metrics_follow():
    """Predictions of width 1; a regression metric with both label sets, or with blended labels."""
    y = (INDICES % 2).astype("float32")[:BATCH]
    layer, eye = MixUp(1.0, seed=0), np.eye(BATCH, dtype="float32")
    M = layer.mix_numpy(eye, eye, seed=0)[1]
    prediction = RNG.uniform(size=(BATCH, 1)).astype("float32")
    binary, pairs, blended = MixMetric("accuracy"), MixMetric("mae"), MixMetric("mae", pairwise=False, name="blended")

    with training_step():
        layer(X[:BATCH], training=True)
        for metric in (binary, pairs, blended):
            metric.update_state(y, prediction)

    def share(hit):
        return float((np.diag(M) * hit(y) + (1 - np.diag(M)) * hit(y[reference.partners(M)])).mean())

    p = prediction[:, 0]
    np.testing.assert_allclose(float(binary.result()), share(lambda y: (p > 0.5) == y), rtol=1e-5)
    np.testing.assert_allclose(float(pairs.result()), share(lambda y: abs(p - y)), rtol=1e-5)
    np.testing.assert_allclose(float(blended.result()), np.abs(M @ y - p).mean(), rtol=1e-5)


def test_sequences_of_one_number_each_follow():
    """Labels (B, T) against predictions (B, T, 1), where Keras drops the last axis."""
    y, p = RNG.normal(size=(BATCH, 4)).astype("float32"), RNG.normal(size=(BATCH, 4, 1)).astype("float32")
    layer, eye = MixUp(1.0, seed=0), np.eye(BATCH, dtype="float32")
    M, metric = layer.mix_numpy(eye, eye, seed=0)[1], MixMetric("mse")

    with training_step():
        layer(X[:BATCH], training=True)
        metric.update_state(y, p)

    def error(y):
        return ((y - p[..., 0]) ** 2).mean(axis=1)

    expected = (np.diag(M) * error(y) + (1 - np.diag(M)) * error(y[reference.partners(M)])).mean()
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)


def test_a_wrapped_metric_resets_names_and_configures_as_the_metric():
    """The wrapper resets, names and configures as the wrapped metric."""
    metric = MixMetric(keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2"), layer="mix", pairwise=None)
    metric.update_state(np.array([0]), np.array([[1.0, 0.0, 0.0]], "float32"))
    assert float(metric.result()) == 1.0

    metric.reset_state()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))

    assert float(metric.result()) == 0.0
    assert (copy.name, copy.metric.k, copy.layer, copy.pairwise) == ("top2", 2, "mix", None)
    assert copy.get_config() == metric.get_config()
