"""A wrapper is to Keras what it wraps: `MixLoss` and `MixMetric` answer as the wrapped one does."""

import contextlib
import copy
import pickle

import keras
import numpy as np
import pytest

from keras_mixup import MixLoss, MixMetric, MixUp

callbacks, losses, metrics = keras.callbacks, keras.losses, keras.metrics
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 3


def build(metric, loss=None, optimizer="sgd"):
    layers = [keras.Input((5,)), MixUp(seed=0), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(optimizer, loss or MixLoss("sparse_categorical_crossentropy"), metrics=[metric])
    return model


def tensorboard(path, monitor):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorBoard writes with TensorFlow")
    pytest.importorskip("tensorboard")
    return callbacks.TensorBoard(path)


# Each callback of Keras that reads a loss or a metric, that saves one, or that changes the model beside them.
CALLBACKS = {
    "EarlyStopping": lambda path, monitor: callbacks.EarlyStopping(monitor, restore_best_weights=True),
    "ReduceLROnPlateau": lambda path, monitor: callbacks.ReduceLROnPlateau(monitor, patience=0),
    "ModelCheckpoint": lambda path, monitor: callbacks.ModelCheckpoint(
        path / "best.keras", monitor, save_best_only=True
    ),
    "ModelCheckpoint of weights": lambda path, monitor: callbacks.ModelCheckpoint(
        path / "best.weights.h5", monitor, save_best_only=True, save_weights_only=True
    ),
    "BackupAndRestore": lambda path, monitor: callbacks.BackupAndRestore(path / "backup"),
    "CSVLogger": lambda path, monitor: callbacks.CSVLogger(path / "log.csv"),
    "History": lambda path, monitor: callbacks.History(),
    "LambdaCallback": lambda path, monitor: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs[monitor]),
    "LearningRateScheduler": lambda path, monitor: callbacks.LearningRateScheduler(lambda epoch: 0.1),
    "ProgbarLogger": lambda path, monitor: callbacks.ProgbarLogger(),
    "SwapEMAWeights": lambda path, monitor: callbacks.SwapEMAWeights(swap_on_epoch=True),
    "TensorBoard": tensorboard,
    "TerminateOnNaN": lambda path, monitor: callbacks.TerminateOnNaN(),
}


MONITORS = ["val_accuracy", "val_loss", "accuracy", "loss"]
MONITORING = ["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint", "ModelCheckpoint of weights", "LambdaCallback"]
READ = [(name, monitor) for name in MONITORING for monitor in MONITORS]
READ += [(name, "loss") for name in CALLBACKS if name not in MONITORING]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "monitor"), READ)
def test_every_callback_reads_a_wrapper_as_what_it_wraps(name, monitor, tmp_path):
    """In "auto" mode, two epochs with validation data give the logs that they give without the callback."""
    callback = CALLBACKS[name](tmp_path, monitor)
    model = build(MixMetric("accuracy"), optimizer=keras.optimizers.SGD(use_ema=name == "SwapEMAWeights"))

    logs = model.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[callback], verbose=0).history

    assert set(logs) - {"learning_rate"} == {"accuracy", "loss", "val_accuracy", "val_loss"}


SOFT = ("auc", "kl_divergence", "f1_score", "r2_score", "mean_squared_error")
DIRECTED = [
    metrics.SparseCategoricalAccuracy,
    lambda: metrics.SparseTopKCategoricalAccuracy(k=2),
    metrics.SparseCategoricalCrossentropy,
    lambda: metrics.F1Score(),
    lambda: metrics.AUC(name="auc"),
    lambda: metrics.MeanSquaredError(),
    lambda: metrics.MeanMetricWrapper(losses.sparse_categorical_crossentropy, name="of a loss"),
    lambda: metrics.MeanMetricWrapper(lambda y, p: p[:, 0], name="of a function"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no loss followed")
@pytest.mark.parametrize("make", DIRECTED, ids=lambda make: make().name)
def test_more_is_better_for_a_wrapper_where_it_is_for_the_wrapped(make):
    """A metric without a direction has none when wrapped either."""
    model_loss = make().name in SOFT
    found = []
    for metric in (make(), MixMetric(make())):
        model = build(metric, MixLoss("mse" if model_loss else "sparse_categorical_crossentropy"))
        y = np.eye(3, dtype="float32")[Y] if model_loss else Y
        stopping = callbacks.EarlyStopping(metric.name)
        with contextlib.suppress(ValueError):  # Keras asks for a `mode` where a metric has no direction
            model.fit(X, y, callbacks=[stopping], verbose=0)
        found.append(stopping.monitor_op)

    assert found[0] is found[1]


@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_is_one_to_keras(name):
    assert isinstance(MixMetric(name).metric, metrics.Accuracy)


def test_what_a_wrapper_is_asked_for_comes_from_the_wrapped():
    """Name, dtype, reduction, the variables, and the wrapped one's own attributes."""
    loss = losses.SparseCategoricalCrossentropy(True, ignore_class=9, reduction="sum", name="mine", dtype="float16")
    metric = metrics.SparseTopKCategoricalAccuracy(k=2, name="top2", dtype="float16")
    mix_loss, mix_metric = MixLoss(loss), MixMetric(metric)

    for name in ("name", "dtype", "reduction", "fn", "from_logits", "ignore_class"):
        assert getattr(mix_loss, name) == getattr(loss, name)
    for name in ("name", "dtype", "variables", "k", "total", "count"):
        assert getattr(mix_metric, name) == getattr(metric, name)
    for wrapper in (mix_loss, mix_metric):
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            _ = wrapper.nonsense


def test_a_reduction_that_is_set_holds():
    """Loops over several devices set it."""
    loss = MixLoss("mse")
    loss.reduction = "sum"

    value = loss(np.zeros((4, 2), "float32"), np.ones((4, 2), "float32"))

    assert float(value) == 4.0


def test_state_without_variables_of_the_metric():
    """The stateless way, which JAX loops go."""
    metric, plain = MixMetric("sparse_categorical_accuracy"), metrics.SparseCategoricalAccuracy()
    p = RNG.uniform(size=(8, 3)).astype("float32")
    results = []
    for one in (metric, plain):
        state = one.stateless_update_state(one.stateless_reset_state(), Y, p)
        results.append(float(one.stateless_result(state)))

    assert results[0] == results[1] == float(metric(Y, p))


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        (lambda: MixLoss(losses.Huber(delta=2.0)), "<MixLoss(Huber) name=huber_loss>"),
        (lambda: MixLoss("mse", pairwise=True, layer="mix"), "<MixLoss(mse) name=mse, "
         "layer='mix', pairwise=True>"),
        (lambda: MixLoss(losses.mean_absolute_error), "<MixLoss(mean_absolute_error) name=mean_absolute_error>"),
        (lambda: MixLoss("crossentropy"), "<MixLoss(crossentropy) name=crossentropy>"),
        (lambda: MixMetric("accuracy"), "<MixMetric(accuracy) name=accuracy>"),
        (lambda: MixMetric(metrics.AUC(name="a"), pairwise=None), "<MixMetric(AUC) name=a, pairwise=None>"),
    ],
)  # fmt: skip
def test_a_wrapper_can_be_read(wrapper, text):
    assert repr(wrapper()) == str(wrapper()) == text


@pytest.mark.parametrize("wrapper", [MixLoss("mse"), MixMetric("accuracy"), MixMetric(metrics.AUC())])
@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_wrapper_is_copied_whole(wrapper, through):
    if isinstance(wrapper, MixMetric) and through is not copy.copy:
        pytest.skip("Keras' own metrics cannot be copied on every backend")
    copied = through(wrapper)

    assert repr(copied) == repr(wrapper)
    assert copied.get_config() == wrapper.get_config()


@pytest.mark.parametrize("module", [losses, metrics])
def test_the_functions_of_keras_know_a_wrapper(module):
    """`get`, `serialize` and `deserialize`; the config is left as it was."""
    wrapper = MixLoss("mse", pairwise=True) if module is losses else MixMetric("mse", pairwise=None)
    config = module.serialize(wrapper)
    before = copy.deepcopy(config)

    assert module.get(wrapper) is wrapper
    assert module.deserialize(config).get_config() == wrapper.get_config()
    assert type(wrapper).from_config(wrapper.get_config()).get_config() == wrapper.get_config()
    assert config == before


@pytest.mark.parametrize(("name", "right", "wrong"), [("by", "element", "pixel"), ("pairwise", False, "yes")])
def test_wrappers_check_an_argument_that_is_assigned_later(name, right, wrong):
    """As the constructor does."""
    for wrapper in (MixLoss("mse"), MixMetric("mse")):
        setattr(wrapper, name, right)
        assert getattr(wrapper, name) == wrapper.get_config()[name] == right
        with pytest.raises(ValueError, match=f"Invalid value for argument `{name}`"):
            setattr(wrapper, name, wrong)
