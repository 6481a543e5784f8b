"""What `MixMonitor` and `ScheduleMonitor` log, against the draws of each step written out; schedules by epochs."""

import keras
import numpy as np
import pytest

from keras_mixup import CutMix, MixLoss, MixMetric, MixUp, follow_mix
from keras_mixup.monitoring import MixMonitor, ScheduleMonitor
from keras_mixup.schedules import EpochSchedule

BATCH, CLASSES, STEPS = 8, 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS * BATCH, 5)).astype("float32")
INDICES = np.arange(STEPS * BATCH) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype="float32")[INDICES]
KERNEL = RNG.normal(size=(5, CLASSES)).astype("float32")


def build(metrics, loss=None, width=CLASSES, **options):
    mixup = MixUp(1.0, probability=0.6, seed=0)
    model = keras.Sequential([keras.Input((5,)), mixup, keras.layers.Dense(width)])
    model.set_weights([KERNEL[:, :width], np.zeros(width)])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), MixLoss(loss), metrics=metrics, **options)
    return model


def draws():
    """For each step: mixed inputs, and the mixing matrix."""
    layer, eye = MixUp(1.0, probability=0.6), np.eye(BATCH, dtype="float32")
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        yield rows, *layer.mix_numpy(X[rows], eye, seed=np.int64(step << 32))  # the key of a layer's step


def softmax(x):
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def expected_logs():
    weights, losses, entropies, confidences = [], [], [], []
    for rows, x, matrix in draws():
        p, y = softmax(x @ KERNEL), matrix @ ONE_HOT[rows]
        weights += [np.diag(matrix)]
        losses += [-np.sum(y * np.log(p), axis=1)]
        entropies += [-np.sum(y * np.log(np.maximum(y, 1e-30)), axis=1)]
        confidences += [p.max(1)]
    weight, loss = np.concatenate(weights), np.concatenate(losses)
    mixed = weight < 1
    return {
        "mix_weight": weight.mean(),
        "mix_rows": mixed.mean(),
        "mix_clean_loss": loss[~mixed].mean(),
        "mix_mixed_loss": loss[mixed].mean(),
        "mix_entropy": np.mean(entropies),
        "mix_confidence": np.mean(confidences),
    }


OPTIONS = {
    "plain": {},
    "one call for all steps": {"steps_per_execution": 4},
    "eager": {"run_eagerly": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_history_holds_what_the_mix_did(options):
    """λ, the share of mixed rows, both losses, entropy and confidence, over the four steps of an epoch."""
    if "steps_per_execution" in options and keras.backend.backend() == "torch":
        pytest.skip("Keras refuses it on PyTorch")
    model = build([MixMonitor(from_logits=True)], **options)

    logs = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history

    expected = expected_logs()
    assert 0.3 < expected["mix_rows"] < 0.9
    assert {name: values[0] for name, values in logs.items() if name != "loss"} == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_one_hot_labels_log_the_same():
    model = build([MixMonitor(from_logits=True)], keras.losses.CategoricalCrossentropy(from_logits=True))

    logs = model.fit(X, ONE_HOT, batch_size=BATCH, shuffle=False, verbose=0).history

    assert {name: values[0] for name, values in logs.items() if name != "loss"} == pytest.approx(
        expected_logs(), rel=1e-4
    )


def test_the_share_of_both_losses_is_the_loss():
    model = build([MixMonitor(from_logits=True)])
    logs = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history

    rows, clean, mixed = (logs[f"mix_{name}"][0] for name in ("rows", "clean_loss", "mixed_loss"))
    assert (1 - rows) * clean + rows * mixed == pytest.approx(logs["loss"][0], rel=1e-4)


def test_binary_labels_and_regression():
    y = (INDICES % 2).astype("float32")
    model = build([MixMonitor(from_logits=True)], keras.losses.BinaryCrossentropy(from_logits=True), width=1)
    logs = model.fit(X, y, batch_size=BATCH, shuffle=False, verbose=0).history
    numbers = build([MixMonitor("mse")], "mse", width=1)
    of_numbers = numbers.fit(X, y, batch_size=BATCH, shuffle=False, verbose=0).history

    p = [1 / (1 + np.exp(-(x @ KERNEL[:, :1]))) for _, x, _ in draws()]
    assert logs["mix_confidence"][0] == pytest.approx(np.mean(np.maximum(p, 1 - np.array(p))), rel=1e-4)
    assert set(of_numbers) == {"loss", "mix_weight", "mix_rows", "mix_clean_loss", "mix_mixed_loss"}
    rows, clean, mixed = (of_numbers[f"mix_{name}"][0] for name in ("rows", "clean_loss", "mixed_loss"))
    assert (1 - rows) * clean + rows * mixed == pytest.approx(of_numbers["loss"][0], rel=1e-4)


def test_in_validation_nothing_is_mixed():
    model = build([MixMonitor(from_logits=True)])

    logs = model.evaluate(X, INDICES, verbose=0, return_dict=True)

    p = softmax(X @ KERNEL)
    assert logs["mix_weight"] == 1
    assert logs["mix_rows"] == logs["mix_entropy"] == 0
    assert logs["mix_confidence"] == pytest.approx(p.max(1).mean(), rel=1e-5)
    assert logs["mix_clean_loss"] == pytest.approx(logs["loss"], rel=1e-4)
    assert np.isnan(logs["mix_mixed_loss"])


def test_a_monitor_changes_nothing_and_goes_through_follow_mix():
    """Loss, accuracy and draws are those without it."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain, watched = build([MixMetric("accuracy")]), build(None)
    watched.compile("sgd", **follow_mix(loss=loss, metrics=["accuracy", MixMonitor(from_logits=True)]))
    plain.compile("sgd", **follow_mix(loss=loss, metrics=["accuracy"]))

    a, b = (m.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history for m in (plain, watched))

    assert a["loss"] == pytest.approx(b["loss"], rel=1e-6)
    assert a["accuracy"] == pytest.approx(b["accuracy"], rel=1e-6)
    assert len(b) == 8


def test_without_a_loss_that_follows_the_warning_stays():
    """A monitor follows the mix; the labels of the loss do not."""
    model = build([MixMonitor(from_logits=True)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=[MixMonitor(from_logits=True)])

    with pytest.warns(UserWarning, match="MixLoss"):
        model.fit(X, INDICES, batch_size=BATCH, verbose=0)


def test_a_monitor_is_saved_with_its_model(tmp_path):
    model = build([MixMonitor(from_logits=True, name="seen")])
    model.fit(X, INDICES, batch_size=BATCH, verbose=0)
    model.save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras")

    logs = loaded.fit(X, INDICES, batch_size=BATCH, verbose=0).history
    assert "seen_weight" in logs
    assert 0.4 < logs["seen_weight"][0] < 1


@pytest.mark.slow
def test_masks_under_a_mix_that_pastes_are_refused():
    model = keras.Sequential([keras.Input((4, 4, 2)), CutMix(seed=0), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", MixLoss(loss), metrics=[MixMonitor(from_logits=True)], run_eagerly=True)

    with pytest.raises(ValueError, match="labels of elements"):
        model.train_on_batch(np.ones((4, 4, 4, 2)), np.zeros((4, 4, 4), int))


RAMP = EpochSchedule(0.2, steps_per_epoch=STEPS, start=1, full=3, stop=4)


def test_a_schedule_is_right_in_every_step():
    """Off in epoch 0, rising over epochs 1 and 2, whole in epoch 3, off from epoch 4 on."""
    values = [float(RAMP(step)) for step in range(6 * STEPS)]

    rising = [0.2 * n / (2 * STEPS) for n in range(2 * STEPS)]
    assert values == pytest.approx([0] * STEPS + rising + [0.2] * STEPS + [0] * 2 * STEPS, abs=1e-7)


def test_a_schedule_without_a_ramp_starts_and_stops_at_once():
    at_once = EpochSchedule(0.5, steps_per_epoch=3, start=1, stop=2)
    always, late = EpochSchedule(0.5, steps_per_epoch=3), EpochSchedule(1.0, steps_per_epoch=3, stop=2)

    assert [float(at_once(step)) for step in range(8)] == [0, 0, 0, 0.5, 0.5, 0.5, 0, 0]
    assert [float(always(step)) for step in range(3)] == [0.5] * 3
    assert [float(late(step)) for step in range(7)] == [1] * 6 + [0]
    long = EpochSchedule(1.0, steps_per_epoch=2**20, start=63)  # float32 could not tell these steps apart
    assert [float(long(63 * 2**20 + step)) for step in (-1, 0)] == [0, 1]


@pytest.mark.parametrize("epochs", [{"start": 3, "full": 2}, {"full": 5, "stop": 4}, {"start": -1}], ids=str)
def test_epochs_out_of_order_are_refused(epochs):
    with pytest.raises(ValueError, match="Expected epochs in their order"):
        EpochSchedule(0.2, steps_per_epoch=10, **epochs)


def scheduled_model():
    layer = MixUp(RAMP, probability=EpochSchedule(1.0, steps_per_epoch=STEPS, stop=5), seed=0, name="mix")
    model = keras.Sequential([keras.Input((5,)), layer, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", MixLoss(loss), metrics=[MixMonitor(from_logits=True)])
    return model


def test_training_follows_a_schedule_by_epochs_and_logs_it():
    """Nothing is mixed in epoch 0 and from epoch 4 on; what is logged is the value of the last step."""
    logs = scheduled_model().fit(
        X, INDICES, batch_size=BATCH, epochs=5, verbose=0, callbacks=[ScheduleMonitor()]
    ).history  # fmt: skip

    assert [share > 0 for share in logs["mix_rows"]] == [False, True, True, True, False]
    assert logs["mix_alpha"] == pytest.approx([0, 0.075, 0.175, 0.2, 0], abs=1e-6)
    assert logs["mix_probability"] == [1.0] * 5


def test_a_schedule_is_saved_with_its_model(tmp_path):
    """A loaded model goes on in the epoch in which it was saved."""
    model = scheduled_model()
    model.fit(X, INDICES, batch_size=BATCH, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras")

    assert loaded.get_layer("mix").alpha.get_config() == RAMP.get_config()
    logs = loaded.fit(X, INDICES, batch_size=BATCH, epochs=3, verbose=0, callbacks=[ScheduleMonitor()]).history
    assert logs["mix_alpha"] == pytest.approx([0.175, 0.2, 0], abs=1e-6)
