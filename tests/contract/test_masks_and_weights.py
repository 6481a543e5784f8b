"""Masks and weights of a followed loss: each label set with its own, against the oracle."""

import keras
import numpy as np
import pytest
import reference
from data import to_numpy

from keras_mixup import CutMix, MixLoss, MixMetric, MixUp, training_step

pytestmark = pytest.mark.slow

BATCH, TIME, CLASSES = 8, 4, 3
RNG = np.random.default_rng(0)
L = keras.losses
X = RNG.normal(size=(BATCH, TIME, 5)).astype("float32")
Y = RNG.integers(0, CLASSES, (BATCH, TIME))
VOID = np.where(RNG.uniform(size=Y.shape) < 0.6, 255, Y)
WEIGHTS = RNG.uniform(0.2, 2, BATCH).astype("float32")
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"]


def dense_model(loss, metrics=(), weighted_metrics=(), masked=False, **options):
    masking = [keras.layers.Masking()] if masked else []
    layers = [keras.Input((TIME, 5)), *masking, MixUp(1.0, seed=0, name="mix"), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    model.compile(
        keras.optimizers.SGD(0.0), loss, metrics=list(metrics), weighted_metrics=list(weighted_metrics), **options
    )
    return model


def oracle(model, x, y):
    """The matrix, and the losses of every step with the labels of every sample, `(rows, labels, time)`."""
    mixed, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0)
    logits = to_numpy(model.layers[-1](mixed)).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return M.astype("float64"), -log_p[np.arange(BATCH)[:, None, None], np.arange(TIME), np.where(y == 255, 0, y)]


def reduced(M, values, mask, w, reduction):
    """Σ λ·w·v over what the masks leave; the mean is one by the shares."""
    w = np.ones(BATCH) if w is None else w
    counts = M[:, :, None] * mask
    terms = counts * w[:, None] * values
    if reduction == "none":
        return terms.sum(axis=1)
    divisor = {"sum": 1, "mean_with_sample_weight": (counts * w[:, None]).sum()}
    return terms.sum() / divisor.get(reduction, counts.sum())


@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["", "(B,)", "(B, 1)"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_void_class_counts_in_neither_label_set(reduction, weights):
    """`ignore_class`: Keras puts the mask on the values of the loss."""
    model = dense_model(None)
    loss = MixLoss(L.SparseCategoricalCrossentropy(True, ignore_class=255, reduction=reduction))

    with training_step():
        value = loss(VOID, model(X, training=True), weights)

    M, values = oracle(model, X, VOID)
    w = None if weights is None else weights.reshape(-1)
    np.testing.assert_allclose(to_numpy(value), reduced(M, values, VOID != 255, w, reduction), rtol=3e-5)


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {}, {"jit_compile": True}])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_void_class_in_fit(how, weights):
    if how.get("jit_compile") and keras.backend.backend() == "torch":
        pytest.skip("XLA is a matter of TensorFlow and JAX")
    model = dense_model(MixLoss(L.SparseCategoricalCrossentropy(True, ignore_class=255)), **how)

    logs = model.fit(X, VOID, sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0).history

    expected = reduced(*oracle(model, X, VOID), VOID != 255, weights, "mean")
    assert logs["loss"][0] == pytest.approx(expected, rel=3e-5)


def padded():
    x = X.copy()
    for row in range(BATCH):
        x[row, TIME - row % TIME :] = 0
    return x


@pytest.mark.parametrize("labels", [Y, VOID], ids=["", "and a void class"])
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["", "(B,)", "(B, 1)"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_masks_of_predictions_and_weights(reduction, weights, labels):
    model, x = dense_model(None, masked=True), padded()
    loss = MixLoss(L.SparseCategoricalCrossentropy(True, ignore_class=255, reduction=reduction))

    with training_step():
        value = loss(labels, model(x, training=True), weights)

    mask = (x != 0).any(-1) & (labels != 255)
    w = None if weights is None else weights.reshape(-1)
    expected = reduced(*oracle(model, x, labels), mask, w, reduction)
    np.testing.assert_allclose(to_numpy(value), expected, rtol=3e-5)


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {}])
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]], ids=["", "(B,)", "(B, 1)"])
def test_masked_models_with_weights_train(how, weights):
    """The loss and the metrics, with and without weights, in plain `fit`; `evaluate` too."""
    x = padded()
    model = dense_model(
        MixLoss(L.SparseCategoricalCrossentropy(True)), [MixMetric("accuracy")], [MixMetric("accuracy", name="w")],
        masked=True, **how,
    )  # fmt: skip

    logs = model.fit(x, Y, sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0).history

    mask = (x != 0).any(-1)
    w = None if weights is None else weights.reshape(-1)
    M, values = oracle(model, x, Y)
    assert logs["loss"][0] == pytest.approx(reduced(M, values, mask, w, "mean"), rel=3e-5)
    if keras.backend.backend() == "jax":
        mask = np.ones_like(mask)  # there Keras loses the mask on the way to the metrics, of plain ones too
    hits = to_numpy(model.layers[-1](MixUp(1.0).mix_numpy(x, seed=0))).argmax(-1)[:, None] == Y
    assert logs["accuracy"][0] == pytest.approx(reduced(M, hits, mask, None, "mean"), rel=1e-5)
    assert logs["w"][0] == pytest.approx(reduced(M, hits, mask, w, "mean_with_sample_weight"), rel=1e-5)
    if weights is None or weights.ndim == 1:
        model.evaluate(x, Y, sample_weight=weights, batch_size=BATCH, verbose=0)


def test_a_loss_of_one_on_every_valid_step_is_one():
    """The mean over both masks is one by the shares."""

    def ones(y, p):
        return keras.ops.ones_like(p[..., 0])

    model, x = dense_model(None, masked=True), padded()

    with training_step():
        value = MixLoss(ones, pairwise=True)(Y, model(x, training=True))

    assert float(value) == pytest.approx(1, rel=1e-6)


def test_a_mix_is_as_it_was_after_masked_losses_and_metrics():
    """Keras multiplies weights in place on PyTorch: those of the step are not its to write on."""
    model, x = dense_model(None, masked=True), padded()
    loss = MixLoss(L.SparseCategoricalCrossentropy(True))
    metric = MixMetric("sparse_categorical_accuracy")
    weights = keras.ops.convert_to_tensor(np.ones((BATCH, TIME), "float32"))

    with training_step():
        p = model(x, training=True)
        values = []
        for _ in range(2):
            values.append(float(to_numpy(loss(Y, p, weights))))
            metric.update_state(Y, p, weights)
            metric.update_state(Y, p)

    assert values[0] == values[1]
    np.testing.assert_array_equal(to_numpy(weights), 1)


@pytest.mark.parametrize("weights", [None, WEIGHTS, -WEIGHTS], ids=["", "weighted", "negative"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_flat_labels_have_one_number_for_both_ways(reduction, weights):
    """Labels and predictions `(batch,)`: Σ λ·w·L for a loss linear in the labels, blended or in pairs."""
    layer, eye = MixUp(1.0, seed=0), np.eye(BATCH, dtype="float32")
    M = MixUp(1.0).mix_numpy(eye, eye, seed=0)[1].astype("float64")
    y, p = RNG.uniform(size=BATCH), RNG.normal(size=BATCH).astype("float32")
    found = []
    for pairwise in (True, False, None):
        layer.seed_generator.state.assign([0, 0])
        loss = MixLoss(L.BinaryCrossentropy(from_logits=True, reduction=reduction), pairwise=pairwise)
        with training_step():
            layer(eye, training=True)
            found.append(to_numpy(loss(y.astype("float32"), keras.ops.convert_to_tensor(p), weights)))

    values = np.log1p(np.exp(p.astype("float64")))[:, None] - p.astype("float64")[:, None] * y
    w = np.ones(BATCH) if weights is None else weights
    terms = (M * w * values).sum(axis=1)
    divisor = {"sum": 1, "none": 1, "mean_with_sample_weight": (M @ w).sum()}.get(reduction, BATCH)
    expected = terms / divisor if reduction == "none" else terms.sum() / divisor
    if weights is None:  # Keras makes one mean of them, under every reduction
        expected = terms.mean()
    for value in found:
        np.testing.assert_allclose(value, np.broadcast_to(expected, value.shape), rtol=3e-5)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_weights_of_samples_never_run_along_time(one_hot, mixed):
    """Labels `(B, T, K)` with weights `(B,)`, where T is B."""
    x, y = RNG.normal(size=(BATCH, BATCH, 5)).astype("float32"), RNG.integers(0, CLASSES, (BATCH, BATCH))
    head = keras.layers.Dense(CLASSES)
    model = keras.Sequential([keras.Input((BATCH, 5)), MixUp(1.0 if mixed else 0.0, seed=0), head])
    loss = L.CategoricalCrossentropy(True) if one_hot else L.SparseCategoricalCrossentropy(True)
    model.compile(keras.optimizers.SGD(0.0), MixLoss(loss), weighted_metrics=[MixMetric("accuracy")])
    labels = np.eye(CLASSES, dtype="float32")[y] if one_hot else y

    inputs, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0) if mixed else (x, np.eye(BATCH))
    if mixed:
        value = model.fit(x, labels, sample_weight=WEIGHTS, batch_size=BATCH, shuffle=False, verbose=0).history["loss"][
            0
        ]
    else:
        value = model.evaluate(x, labels, sample_weight=WEIGHTS, batch_size=BATCH, verbose=0)[0]

    logits = to_numpy(head(inputs)).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    values = -log_p[np.arange(BATCH)[:, None, None], np.arange(BATCH), y]
    assert value == pytest.approx((M[:, :, None] * WEIGHTS[:, None] * values).mean(axis=(0, 2)).sum(), rel=3e-5)


@pytest.mark.parametrize("pairwise", [True, False])
def test_a_value_for_each_element_and_weights_of_samples(pairwise):
    """A function that averages over nothing."""

    def square(y, p):
        return keras.ops.square(y - p)

    x, y = RNG.normal(size=(BATCH, 5)).astype("float32"), RNG.normal(size=(BATCH, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), MixUp(1.0, seed=0), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.0), MixLoss(square, pairwise=pairwise))

    value = model.fit(x, y, sample_weight=WEIGHTS, batch_size=BATCH, shuffle=False, verbose=0).history["loss"][0]

    mixed, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0)
    p = to_numpy(model.layers[-1](mixed))
    if pairwise:
        expected = (M[:, :, None] * WEIGHTS[:, None] * (y - p[:, None]) ** 2).sum(axis=1).mean()
    else:
        soft, w = reference.weighted_labels(M, y, WEIGHTS)
        expected = (w[:, None] * (soft - p) ** 2).mean()
    assert value == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize("weights", [0.5, np.float32(0.5)])
def test_one_weight_counts_for_all_samples(weights):
    model, loss = dense_model(None), MixLoss(L.SparseCategoricalCrossentropy(True))
    with training_step():
        p = model(X, training=True)
        halves = [loss(Y, p, keras.ops.convert_to_tensor(weights)), loss(Y, p) / 2]
        halves = [float(to_numpy(value)) for value in halves]

    assert halves[0] == pytest.approx(halves[1], rel=1e-6)


class TenTimes(L.MeanSquaredError):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return 10.0 * super().__call__(y_true, y_pred, sample_weight)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_loss_that_overrides_its_call_is_asked_as_it_is(weights):
    y, p = RNG.normal(size=(BATCH, 3)).astype("float32"), RNG.normal(size=(BATCH, 3)).astype("float32")
    values = []
    for loss in (TenTimes(), L.MeanSquaredError()):
        layer = MixUp(1.0, seed=0)
        with training_step():
            layer(X, training=True)
            values.append(float(MixLoss(loss)(y, keras.ops.convert_to_tensor(p), weights)))
            if type(loss) is TenTimes:
                with pytest.raises(ValueError, match=r"`TenTimes` overrides `__call__`.*\nOptions: override `call"):
                    MixLoss(loss, pairwise=True)(y, keras.ops.convert_to_tensor(p), weights)

    assert values[0] == pytest.approx(10 * values[1], rel=1e-6)


def refused(message, loss, y, p, weights=None, layer=None):
    layer = layer or MixUp(1.0, seed=0)
    with training_step():
        layer(X, training=True)
        with pytest.raises(ValueError, match=message):
            loss(y, keras.ops.convert_to_tensor(p), weights)
        MixLoss("mse")(p, p)


P = RNG.uniform(size=(BATCH, CLASSES)).astype("float32")


def test_labels_that_do_not_fit_the_loss_say_so():
    one_hot, indices = np.eye(CLASSES)[Y[:, 0]], Y[:, 0]
    sparse = L.SparseCategoricalCrossentropy()

    refused(r"takes class indices.*\(8, 3\).*\nOptions: .*CategoricalCrossentropy.*\(8,\)", MixLoss(sparse), one_hot, P)
    refused(r"class indices cannot be blended", MixLoss(sparse, pairwise=False), indices, P)
    refused(r"do not fit labels", MixLoss(sparse), indices, P, np.ones((BATCH, 2), "float32"))
    with pytest.raises(ValueError, match=r"takes class indices"):  # outside of steps too
        MixLoss(sparse)(one_hot, P)


def test_what_compares_samples_is_refused_at_once():
    for pairwise in (None, False):
        with pytest.raises(ValueError, match=r"(?s)compares the samples of a batch.*pairwise=True"):
            MixLoss(L.Circle(), pairwise=pairwise)
    assert MixLoss(L.Circle(), pairwise=True).name == "circle"
    for metric in (keras.metrics.R2Score(num_regressors=2), keras.metrics.PearsonCorrelation(axis=0)):
        with pytest.raises(ValueError, match=r"cannot be updated with both label sets.*\nOptions: .*pairwise=False"):
            MixMetric(metric)
        assert MixMetric(metric, pairwise=False).metric is metric


def test_what_follows_already_is_not_wrapped_again():
    for wrapper in (MixLoss, MixMetric):
        with pytest.raises(TypeError, match="Use it as it is"):
            wrapper(wrapper("mse"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others know every size")
def test_labels_of_an_unknown_last_axis():
    """Of a generator: a custom loss must say whether they are class indices, Keras' sparse loss refuses them."""
    import tensorflow as tf

    x, y = RNG.normal(size=(BATCH, 5)).astype("float32"), Y[:, :1]
    spec = tf.TensorSpec((BATCH, 5)), tf.TensorSpec((BATCH, None), tf.int64)
    dataset = tf.data.Dataset.from_generator(lambda: iter([(x, y)]), output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(1))

    def own(y, p):
        return L.sparse_categorical_crossentropy(y[:, 0], p, from_logits=True)

    def fit(loss):
        model = keras.Sequential([keras.Input((5,)), MixUp(1.0, seed=0), keras.layers.Dense(CLASSES)])
        model.compile(keras.optimizers.SGD(0.0), loss)
        return model, model.fit(dataset, shuffle=False, verbose=0).history["loss"][0]

    with pytest.raises(ValueError, match=r"cannot tell class indices from one-hot.*\nOptions: .*set_shape"):
        fit(MixLoss(own))
    with pytest.raises(ValueError, match=r"must have rank"):
        fit(MixLoss(L.SparseCategoricalCrossentropy(True)))
    model, value = fit(MixLoss(own, pairwise=True))

    mixed, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0)
    expected = reference.paired_loss(M, reference.softmax_crossentropy, y[:, 0], to_numpy(model.layers[-1](mixed)))
    assert value == pytest.approx(expected.mean(), rel=1e-4)


def test_void_pixels_of_pasted_masks():
    """Segmentation with void labels: each element counts by the mask of its owner."""
    x = RNG.normal(size=(BATCH, 4, 4, 2)).astype("float32")
    y = np.where(RNG.uniform(size=(BATCH, 4, 4)) < 0.5, 255, RNG.integers(0, CLASSES, (BATCH, 4, 4)))
    rows = np.broadcast_to(np.eye(BATCH, dtype="float32")[:, None, None], (BATCH, 4, 4, BATCH))
    owners = CutMix(1.0).mix_numpy(np.ascontiguousarray(rows), seed=0).argmax(-1)
    pasted = y[owners, np.arange(4)[:, None], np.arange(4)]
    model = keras.Sequential([keras.Input((4, 4, 2)), CutMix(1.0, seed=0), keras.layers.Dense(CLASSES)])
    loss = L.SparseCategoricalCrossentropy(True, ignore_class=255)
    model.compile(keras.optimizers.SGD(0.0), MixLoss(loss))

    value = model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0).history["loss"][0]

    logits = model.layers[-1](CutMix(1.0).mix_numpy(x, seed=0))
    assert value == pytest.approx(float(to_numpy(loss(pasted, logits))), rel=1e-5)
