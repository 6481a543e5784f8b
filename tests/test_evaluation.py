"""Calibration and robustness, against definitions written out in NumPy and values of torchmetrics."""

import keras
import numpy as np
import pytest

from keras_mixup.evaluation import ExpectedCalibrationError, fit_temperature, robustness_report

ROWS, CLASSES = 500, 4
RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(ROWS, CLASSES))).astype("float32")
LABELS = np.where(RNG.uniform(size=ROWS) < 0.6, LOGITS.argmax(1), RNG.integers(CLASSES, size=ROWS))
WEIGHTS = RNG.uniform(0, 2, ROWS).astype("float32")
ONE_HOT = np.eye(CLASSES, dtype="float32")[LABELS]


def softmax(x):
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


PROBABILITIES = softmax(LOGITS)


def expected_error(confidence, hit, weight, bins):
    """The definition, bin by bin."""
    error = 0.0
    for k in range(bins):
        chosen = np.minimum(np.floor(confidence * np.float32(bins)), bins - 1) == k
        w = weight[chosen]
        if w.sum():
            error += abs(np.sum(w * confidence[chosen]) - np.sum(w * hit[chosen]))
    return error / weight.sum()


def updated(metric, y, p, weights=None, batch=64):
    for start in range(0, len(y), batch):
        rows = slice(start, start + batch)
        metric.update_state(y[rows], p[rows], None if weights is None else weights[rows])
    return float(metric.result())


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], ONE_HOT], ids=["indices", "column", "one-hot"])
def test_the_error_is_the_definition_over_all_batches(labels, weights):
    p = PROBABILITIES
    w = np.ones(ROWS) if weights is None else weights
    expected = expected_error(p.max(1), p.argmax(1) == LABELS, w, 15)

    assert updated(ExpectedCalibrationError(), labels, p, weights) == pytest.approx(expected, abs=1e-5)
    assert updated(ExpectedCalibrationError(from_logits=True), labels, LOGITS, weights) == pytest.approx(
        expected, abs=1e-4
    )


def test_the_error_is_that_of_torchmetrics():
    """Values of torchmetrics 1.9.0 for these arrays, multiclass and binary, 15 and 10 bins."""
    binary, y = PROBABILITIES[:, 0], (LABELS == 0).astype("float32")

    assert updated(ExpectedCalibrationError(), LABELS, PROBABILITIES) == pytest.approx(TORCHMETRICS[0], abs=1e-5)
    assert updated(ExpectedCalibrationError(10), LABELS, PROBABILITIES) == pytest.approx(TORCHMETRICS[1], abs=1e-5)
    assert updated(ExpectedCalibrationError(), y, binary) == pytest.approx(TORCHMETRICS[2], abs=1e-5)
    assert updated(ExpectedCalibrationError(), y[:, None], binary[:, None]) == pytest.approx(TORCHMETRICS[2], abs=1e-5)


TORCHMETRICS = (0.15902427, 0.15902439, 0.11486889)


def test_labels_of_time_steps_and_their_weights_count_one_by_one():
    y, p, w = LABELS.reshape(100, 5), PROBABILITIES.reshape(100, 5, CLASSES), WEIGHTS[:100]
    expected = expected_error(
        PROBABILITIES.max(1), PROBABILITIES.argmax(1) == LABELS, np.repeat(w, 5).astype("float64"), 15
    )

    assert updated(ExpectedCalibrationError(), y, p, w) == pytest.approx(expected, abs=1e-5)


def test_the_error_in_evaluate_is_the_same_and_resets():
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Softmax()])
    model.compile(loss="sparse_categorical_crossentropy", metrics=[ExpectedCalibrationError(name="ece")])
    expected = expected_error(PROBABILITIES.max(1), PROBABILITIES.argmax(1) == LABELS, np.ones(ROWS), 15)

    logs = [model.evaluate(LOGITS, LABELS, batch_size=64, verbose=0, return_dict=True) for _ in range(2)]

    assert [log["ece"] for log in logs] == pytest.approx([expected] * 2, abs=1e-4)


def test_the_metric_can_be_saved_and_improves_downwards():
    metric = ExpectedCalibrationError(10, True, name="ece")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))

    assert copy.get_config() == metric.get_config()
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(CLASSES)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[metric])
    stop = keras.callbacks.EarlyStopping("ece", mode="auto")
    model.fit(LOGITS[:8], LABELS[:8], callbacks=[stop], verbose=0)
    assert stop.monitor_op(1.0, 2.0)


def nll(logits, labels):
    return -np.mean(np.log(softmax(logits.astype("float64"))[np.arange(len(labels)), labels]))


def test_the_temperature_minimises_the_likelihood_and_mends_calibration():
    """Labels drawn from `softmax(logits / 2.5)`: the model is over-confident by that factor."""
    cumulated = np.cumsum(softmax(LOGITS / 2.5), axis=1)
    labels = (np.random.default_rng(5).uniform(size=(ROWS, 1)) < cumulated).argmax(1)

    temperature = fit_temperature(LOGITS, labels)

    grid = np.exp(np.linspace(-3, 3, 2001))
    best = grid[np.argmin([nll(LOGITS / t, labels) for t in grid])]
    assert temperature == pytest.approx(best, rel=5e-3)
    assert temperature == pytest.approx(2.5, rel=0.15)
    before = updated(ExpectedCalibrationError(from_logits=True), labels, LOGITS)
    after = updated(ExpectedCalibrationError(from_logits=True), labels, LOGITS / np.float32(temperature))
    assert after < before / 2


def test_the_temperature_for_other_labels_is_the_same():
    temperature = fit_temperature(LOGITS, LABELS)
    z, y = LOGITS[:, 1] - LOGITS[:, 0], (LABELS == 1).astype(int)

    assert fit_temperature(LOGITS, ONE_HOT) == pytest.approx(temperature)
    assert fit_temperature(LOGITS, LABELS[:, None]) == pytest.approx(temperature)
    two = np.stack([0 * z, z], axis=1)
    assert fit_temperature(z, y) == fit_temperature(z[:, None], y) == pytest.approx(fit_temperature(two, y))


def test_a_temperature_needs_class_indices_that_exist():
    with pytest.raises(ValueError, match=r"class indices from 0 to 3. Received: labels from 0 to 4"):
        fit_temperature(LOGITS[:2], np.array([0, 4]))
    with pytest.raises(ValueError, match=r"Received: logits of shape \(500, 4\), labels of shape \(3,\)"):
        fit_temperature(LOGITS, np.arange(3))


SIZE = 8
IMAGES = np.random.default_rng(1).uniform(size=(400, SIZE, SIZE, 1)).astype("float32")


def linear_model(weights, scale=1.0):
    layers = [keras.Input((SIZE, SIZE, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.set_weights([scale * weights, np.zeros(3)])
    return model


W = np.random.default_rng(2).normal(size=(SIZE * SIZE, 3)).astype("float32")


def test_fgsm_is_that_of_the_formula():
    """For a linear model the gradient is (p - y) Wᵀ."""
    model = linear_model(W)
    flat = IMAGES.reshape(len(IMAGES), -1)
    y = (flat @ W).argmax(1)

    report = robustness_report(
        model, IMAGES, y, corruptions=["fgsm"], strengths={"fgsm": [0.02, 0.05]}, from_logits=True, verbose=0
    )

    assert report.rows[0].accuracy == 1
    span, low, high = IMAGES.max() - IMAGES.min(), IMAGES.min(), IMAGES.max()
    for row in report.rows[1:]:
        gradient = (softmax(flat @ W) - np.eye(3)[y]) @ W.T
        moved = np.clip(flat + row.strength * span * np.sign(gradient), low, high)
        assert row.accuracy == pytest.approx(np.mean((moved @ W).argmax(1) == y), abs=1e-3)
        assert row.confidence == pytest.approx(softmax(moved @ W).max(1).mean(), abs=1e-3)
    assert 0.1 < report.rows[1].accuracy < 0.95


def conv_model():
    layers = [keras.Input((SIZE, SIZE, 1)), keras.layers.Conv2D(6, 3, activation="relu"), keras.layers.Conv2D(4, 3)]
    layers += [keras.layers.Activation("tanh"), keras.layers.Flatten(), keras.layers.Dense(5, activation="softmax")]
    model, random = keras.Sequential(layers), np.random.default_rng(3)
    model.set_weights([0.4 * random.normal(size=w.shape) for w in model.get_weights()])
    return model


# One set of values for all backends
STORED = {
    ("none", 0.0): 1.0,
    ("fgsm", 0.01): 0.89,
    ("fgsm", 0.03): 0.65,
    ("fgsm", 0.1): 0.1725,
    ("pgd", 0.01): 0.89,
    ("pgd", 0.03): 0.64,
    ("pgd", 0.1): 0.1225,
}


def test_attacks_give_the_same_accuracies_on_every_backend():
    model = conv_model()
    y = keras.ops.convert_to_numpy(model(IMAGES)).argmax(1)

    report = robustness_report(model, IMAGES, y, corruptions=["fgsm", "pgd"], verbose=0)

    found = {(row.corruption, row.strength): row.accuracy for row in report.rows}
    assert found == pytest.approx(STORED, abs=1e-3)


CLEAN = ["noise", "blur", "contrast", "shift", "pgd", "blend"]


def test_the_batch_size_does_not_matter_and_the_seed_does():
    model = linear_model(W)
    y = (IMAGES.reshape(len(IMAGES), -1) @ W).argmax(1)[:90]
    strengths = {name: [0.1] if name in ("noise", "pgd") else [1] for name in CLEAN[:5]} | {"contrast": [0.5]}

    def report(**options):
        return robustness_report(
            model, IMAGES[:90], y, corruptions=CLEAN, strengths=strengths, from_logits=True, verbose=0, **options
        )

    whole, parts, other = report(), report(batch_size=40), report(seed=1)
    for a, b in zip(whole.rows, parts.rows, strict=True):
        assert (a.corruption, a.strength, a.accuracy) == (b.corruption, b.strength, b.accuracy)
        assert a.confidence == pytest.approx(b.confidence, abs=1e-5)
    assert whole.rows[1].confidence != other.rows[1].confidence


def test_corruptions_do_what_they_say():
    """Seen by a function of one's own that is given the same images, on an image with one bright pixel."""
    from keras_mixup.evaluation import CORRUPTIONS, _Options, _RandomOfRows

    x = np.zeros((4, 9, 9, 1), "float32")
    x[:, 4, 4] = 1
    options = _Options(linear_model(W), x, True, None)
    made = {
        name: CORRUPTIONS[name][0](x, strength, _RandomOfRows([0, 1], range(4)), options)
        for name, strength in {"noise": 0.1, "blur": 1.0, "contrast": 0.25, "shift": 2}.items()
    }

    assert np.std(made["noise"] - x) == pytest.approx(0.1, rel=0.1)
    rows = np.arange(9) - 4.0
    spread = made["blur"][0, :, :, 0]
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    assert (spread.sum(1) * rows**2).sum() == pytest.approx(1, abs=0.05)  # the variance in pixels
    assert np.ptp(made["contrast"]) == pytest.approx(0.75)
    places = {tuple(np.argwhere(image[..., 0])[0]) for image in made["shift"]}
    assert places <= {(2, 4), (6, 4), (4, 2), (4, 6)}
    assert made["shift"].sum() == 4


def test_half_and_half_is_right_for_either_class():
    """A model that knows class 0 alone is right wherever class 0 is in the blend."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.set_weights([np.zeros((3, 3)), np.array([9.0, 0.0, 0.0])])
    y = np.arange(60) % 3

    report = robustness_report(model, np.eye(3)[y], y, corruptions=["blend"], from_logits=True, verbose=0)

    assert report.rows[0].accuracy == pytest.approx(1 / 3)
    assert 1 / 3 < report.rows[1].accuracy < 1


def test_a_report_prints_and_becomes_dicts_and_a_data_frame():
    x, y = np.eye(3)[:2], np.array([0, 1])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    model.set_weights([np.eye(3), np.zeros(3)])

    report = robustness_report(model, x, y, corruptions={"twice": lambda x, strength, random: x * strength},
                               strengths={"twice": [2]}, verbose=0)  # fmt: skip

    assert str(report).splitlines()[0].split() == ["corruption", "strength", "accuracy", "confidence"]
    assert [row["corruption"] for row in report.to_dicts()] == ["none", "twice"]
    pandas = pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["corruption", "strength", "accuracy", "confidence"]


def test_binary_models_are_measured_too():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[4.0], [-4.0]]), np.zeros(1)])
    x, y = np.random.default_rng(0).uniform(size=(50, 2)), None
    y = (x[:, 0] > x[:, 1]).astype(int)

    report = robustness_report(model, x, y, corruptions=["fgsm"], strengths={"fgsm": [0.1]}, verbose=0)

    moved = np.abs(x[:, 0] - x[:, 1]) > 0.2 * np.ptp(x.astype("float32"))
    assert report.rows[0].accuracy == 1
    assert report.rows[1].accuracy == pytest.approx(np.mean(moved), abs=0.05)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, r"(?s)Expected predictions .* that are probabilities.*from_logits=True"),
        ({"corruptions": ["fog"]}, r"Received: \['fog'\]"),
        ({"corruptions": ["blur"], "from_logits": True}, r"(?s)Blur and shift need images.*shape \(2, 3\)"),
        ({"corruptions": {"own": None}, "from_logits": True}, r"'own' has no strengths"),
    ],
    ids=["logits", "unknown", "rank", "strengths"],
)
def test_what_cannot_be_measured_is_refused(options, text):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.set_weights([5 * np.eye(3), np.zeros(3)])

    with pytest.raises(ValueError, match=text):
        robustness_report(model, np.eye(3)[:2], np.array([0, 1]), verbose=0, **options)


def test_a_progress_bar_counts_the_batches(capsys):
    robustness_report(linear_model(W), IMAGES[:20], np.arange(20) % 3, corruptions=[], from_logits=True, batch_size=5)

    assert "4/4" in capsys.readouterr().out
