"""`follow_mix`: the arguments of `compile`, in every nest, wrapped so that all of them follow."""

import functools

import keras
import numpy as np
import pytest
from data import OLD_KERAS

import keras_mixup
from keras_mixup import MixLoss, MixMetric, MixUp, follow_mix

BATCH, CLASSES = 8, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2 * BATCH, 5)).astype("float32")
Y = np.arange(2 * BATCH) % CLASSES
EYE = np.eye(CLASSES, dtype="float32")
WEIGHTS = RNG.uniform(0.2, 2, 2 * BATCH).astype("float32")


def squaredError(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class Callable:
    """A loss or metric that is neither a function nor an object of Keras."""

    def __call__(self, y_true, y_pred):
        return squaredError(y_true, y_pred)


class Subclassed(keras.Model):
    """Two outputs without names."""

    def __init__(self, alpha):
        super().__init__()
        self.mixup = MixUp(alpha, seed=0)
        self.a, self.b = heads()

    def call(self, x, training=None):
        x = self.mixup(x, training=training)
        return self.a(x), self.b(x)


def heads():
    """Logits of three classes, and three numbers."""
    return keras.layers.Dense(CLASSES, "softmax", name="a"), keras.layers.Dense(CLASSES, name="b")


def single(alpha):
    return keras.Sequential([keras.Input((5,)), MixUp(alpha, seed=0), heads()[0]])


def functional(alpha):
    inputs = keras.Input((5,))
    return keras.Model(inputs, heads()[0](MixUp(alpha, seed=0)(inputs)))


def branches(nest):
    def build(alpha):
        inputs = keras.Input((5,))
        mixed = MixUp(alpha, seed=0, name="mix")(inputs)
        return keras.Model(inputs, nest(*(head(mixed) for head in heads())))

    return build


as_list = branches(lambda a, b: [a, b])
as_dict = branches(lambda a, b: {"a": a, "b": b})
as_deep = branches(lambda a, b: {"both": {"a": a, "b": [b]}})
CE, MSE = keras.losses.SparseCategoricalCrossentropy, keras.losses.MeanSquaredError
ONE, TWO, DICT, DEEP = Y, [Y, EYE[Y]], {"a": Y, "b": EYE[Y]}, {"both": {"a": Y, "b": [EYE[Y]]}}

# The model, its labels, and what `compile` is given; made anew each time, because metrics hold state.
NESTS = {
    "a string": (single, ONE, lambda: {"loss": "sparse_categorical_crossentropy"}),
    "a class name": (single, EYE[Y], lambda: {"loss": "CategoricalCrossentropy", "metrics": ["CategoricalAccuracy"]}),
    "a function": (single, ONE, lambda: {"loss": keras.losses.sparse_categorical_crossentropy}),
    "a class": (single, EYE[Y], lambda: {"loss": MSE, "metrics": [keras.metrics.MeanAbsoluteError]}),
    "an object": (single, ONE, lambda: {"loss": CE(name="own"), "metrics": ["accuracy", "acc", "Accuracy"]}),
    "short names": (single, ONE, lambda: {"loss": "ce", "metrics": ("accuracy",)}),
    "crossentropy": (single, EYE[Y], lambda: {"loss": "crossentropy", "metrics": ["accuracy", "mse", "MAE"]}),
    "own functions": (
        single,
        EYE[Y],
        lambda: {
            "loss": squaredError,
            "metrics": [squaredError, Callable(), functools.partial(squaredError), lambda y, p: squaredError(y, p)],
        },
    ),
    "a list of one": (single, ONE, lambda: {"loss": [CE()], "metrics": [["accuracy"]]}),
    "several losses": (single, EYE[Y], lambda: {"loss": ["mse", squaredError]}),
    "a dict of one": (functional, ONE, lambda: {"loss": {"a": "ce"}, "metrics": {"a": ["accuracy"]}}),
    "weighted metrics": (
        single,
        ONE,
        lambda: {"loss": "ce", "metrics": ["acc"], "weighted_metrics": ["acc", CE_METRIC()]},
    ),
    "weighted metrics alone": (single, ONE, lambda: {"loss": "ce", "weighted_metrics": ["accuracy"]}),
    "a top-k": (
        single,
        ONE,
        lambda: {"loss": "ce", "metrics": [keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]},
    ),
    "one loss for two outputs": (as_list, [EYE[Y], EYE[Y]], lambda: {"loss": "mse", "metrics": ["mae", "mse"]}),
    "a list of losses": (as_list, TWO, lambda: {"loss": [CE(), "mse"], "metrics": [["accuracy"], ["mae", "mse"]]}),
    "a tuple of losses": (
        as_list,
        TWO,
        lambda: {"loss": ("ce", MSE()), "metrics": ("accuracy", ("mae", squaredError))},
    ),
    "a dict of losses": (
        as_dict,
        DICT,
        lambda: {"loss": {"a": "ce", "b": squaredError}, "metrics": {"a": "acc", "b": ["mae", "mse"]}},
    ),
    "a dict for a list": (as_list, TWO, lambda: {"loss": {"a": "ce", "b": "mse"}, "metrics": {"b": ["mae"]}}),
    "outputs without a loss": (
        as_dict,
        DICT,
        lambda: {"loss": {"a": "ce", "b": None}, "metrics": {"a": ["accuracy"]}, "weighted_metrics": {"b": ["mae"]}},
    ),
    "a list with nothing": (as_list, TWO, lambda: {"loss": ["ce", None], "metrics": [["accuracy"], None]}),
    "two lists with weights": (
        as_list,
        TWO,
        lambda: {"loss": ["ce", "mse"], "metrics": ["acc", "mae"], "weighted_metrics": [["acc"], ["mae", "mse"]]},
    ),
    "one metric object twice": (as_list, [EYE[Y], EYE[Y]], lambda: {"loss": "mse", "metrics": shared_metric()}),
    "one function twice": (as_list, [EYE[Y], EYE[Y]], lambda: {"loss": "mse", "metrics": [squaredError, squaredError]}),
    "loss weights": (
        as_dict,
        DICT,
        lambda: {"loss": {"a": "ce", "b": "mse"}, "loss_weights": {"a": 0.5, "b": 2.0}, "metrics": {"a": ["accuracy"]}},
    ),
    "a deep nest": (
        as_deep,
        DEEP,
        lambda: {
            "loss": {"both": {"a": "ce", "b": ["mse"]}},
            "metrics": {"both": {"a": ["accuracy"], "b": [["mae", "mse"]]}},
        },
    ),
    "outputs without names": (
        Subclassed,
        (Y, EYE[Y]),
        lambda: {"loss": ["ce", squaredError], "metrics": ["acc", "mae"]},
    ),
}


def CE_METRIC():
    return keras.metrics.SparseCategoricalCrossentropy(name="ce")


def shared_metric():
    metric = keras.metrics.MeanSquaredError()
    return [[metric], [metric]]


# Nests that Keras 3.10 refuses.
LATER = {"short names", "a list of one", "a tuple of losses", "a deep nest"}


def nests(*names):
    """Those of the nests, or of these, that this Keras takes."""
    return pytest.mark.parametrize("name", [name for name in names or NESTS if not (OLD_KERAS and name in LATER)])


def compiled(build, alpha, options, *, wrap, run_eagerly=False):
    """The model, compiled plainly or with all that must follow wrapped; the same weights every time."""
    keras.utils.set_random_seed(0)
    model = build(alpha)
    rest = {"loss_weights": options.pop("loss_weights", None), "run_eagerly": run_eagerly}
    model.compile(keras.optimizers.SGD(0.1), **(follow_mix(**options) if wrap else options), **rest)
    return model


def weights_for(y):
    return keras.tree.map_structure(lambda _: WEIGHTS, y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .*but no loss followed:UserWarning")  # the plain models
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")  # outputs without a loss
@nests()
def test_logs_have_the_names_and_values_of_a_plain_compile(name):
    """In training with λ = 1, in validation and in `evaluate`, with weights."""
    build, y, options = NESTS[name]
    data = {"batch_size": BATCH, "sample_weight": weights_for(y), "verbose": 0}
    logs = []
    for wrap in (False, True):
        model = compiled(build, 0.0, options(), wrap=wrap, run_eagerly=True)
        evaluated = model.evaluate(X, y, **data, return_dict=True)
        history = model.fit(X, y, **data, epochs=2, shuffle=False, validation_data=(X, y, weights_for(y))).history
        logs.append((evaluated, history))
    (plain, plain_history), (followed, followed_history) = logs

    assert followed == plain
    assert list(followed_history) == list(plain_history)
    for key in plain_history:
        np.testing.assert_allclose(followed_history[key], plain_history[key], rtol=1e-5, atol=1e-6, err_msg=key)


@nests()
def test_every_leaf_is_wrapped_and_every_nest_kept(name):
    """`None` stays `None`, and only what was given comes out."""
    given = NESTS[name][2]()
    given.pop("loss_weights", None)
    followed = follow_mix(**given, layer="mix")

    assert followed.keys() == given.keys()
    for part, wrapper in (("loss", MixLoss), ("metrics", MixMetric), ("weighted_metrics", MixMetric)):
        keras.tree.assert_same_structure(followed.get(part), given.get(part))
        for leaf, before in zip(*(keras.tree.flatten(nest.get(part)) for nest in (followed, given)), strict=True):
            assert (leaf is None) if before is None else (isinstance(leaf, wrapper) and leaf.layer == "mix")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")  # outputs without a loss
@nests("an object", "a dict of losses", "a list with nothing", "a deep nest")
def test_a_mixed_training_is_that_of_the_wrappers(name):
    """With a mix in every step, the same numbers as from `MixLoss` and `MixMetric` around each leaf."""
    build, y, options = NESTS[name]
    given = options()
    by_hand = {
        "loss": keras.tree.map_structure(lambda loss: None if loss is None else MixLoss(loss), given["loss"]),
        "metrics": keras.tree.map_structure(lambda m: None if m is None else MixMetric(m), given["metrics"]),
    }
    histories = []
    for given in (options(), by_hand):
        model = compiled(build, 1.0, given, wrap=True)
        histories.append(model.fit(X, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history)
        np.testing.assert_equal(histories[0].keys(), histories[-1].keys())
    plain = compiled(build, 1.0, options(), wrap=False)

    for key, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][key], rtol=1e-5, err_msg=key)
    with pytest.warns(UserWarning, match="no loss followed"):
        hard = plain.fit(X, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    assert abs(hard["loss"][0] - histories[0]["loss"][0]) > 1e-3


def test_check_has_nothing_to_change():
    model = compiled(as_dict, 1.0, NESTS["loss weights"][2](), wrap=True)

    assert keras_mixup.check(model, X, DICT).ok


def test_only_what_was_given_comes_out():
    assert follow_mix() == {}
    assert follow_mix("mse").keys() == {"loss"}
    assert follow_mix(weighted_metrics=["mae"]).keys() == {"weighted_metrics"}


def test_what_is_wrapped_stays_and_what_takes_no_labels_too():
    loss, metric = MixLoss("mse", pairwise=True), MixMetric("mae", pairwise=False)
    mean, total = keras.metrics.Mean(), keras.metrics.Sum()

    followed = follow_mix({"a": loss, "b": "mse"}, metrics=[metric, mean, total, "mae"], layer="mix")

    assert followed["loss"]["a"] is loss
    assert all(found is given for found, given in zip(followed["metrics"], (metric, mean, total), strict=False))
    assert followed["metrics"][3].layer == followed["loss"]["b"].layer == "mix"


def test_what_is_given_stays_as_it_is():
    """Nothing is changed in place: a plain compile of the same arguments is still plain."""
    given = {"loss": {"a": "ce", "b": ["mse"]}, "metrics": {"a": ["accuracy"]}}
    follow_mix(**given)

    assert given == {"loss": {"a": "ce", "b": ["mse"]}, "metrics": {"a": ["accuracy"]}}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .*but no loss followed:UserWarning")  # the plain model
def test_class_weights_count_once():
    """Hard labels become sample weights before the loss, as in a plain compile."""
    data = {"class_weight": {0: 0.2, 1: 1.0, 2: 3.0}, "batch_size": BATCH, "shuffle": False, "verbose": 0}
    plain, followed = (
        compiled(single, 0.0, {"loss": "ce", "weighted_metrics": ["accuracy"]}, wrap=wrap).fit(X, Y, **data).history
        for wrap in (False, True)
    )

    assert list(plain) == list(followed)
    for key in plain:
        np.testing.assert_allclose(followed[key], plain[key], rtol=1e-5)


@pytest.mark.slow
@nests("short names", "a top-k", "a dict of losses", "two lists with weights", "a deep nest")
def test_a_saved_model_is_compiled_as_it_was(name, tmp_path):
    build, y, options = NESTS[name]
    model = compiled(build, 1.0, options(), wrap=True)
    model.fit(X, y, batch_size=BATCH, verbose=0)
    evaluate = {"batch_size": BATCH, "verbose": 0, "return_dict": True}
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"squaredError": squaredError})

    assert loaded.evaluate(X, y, **evaluate) == model.evaluate(X, y, **evaluate)
    loaded.fit(X, y, batch_size=BATCH, verbose=0)  # would warn of a loss that does not follow


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"metrics": [keras.metrics.MeanIoU(2)]}, r'MeanIoU\(..., dtype="float32"\)'),
        ({"loss": "no such loss"}, "no such loss"),
        ({"metrics": {"a": ["no such metric"]}}, "no such metric"),
    ],
    ids=["counts in integers", "unknown loss", "unknown metric"],
)
def test_what_cannot_follow_is_refused_at_once(given, text):
    with pytest.raises(ValueError, match=text):
        follow_mix(**given)


@pytest.mark.slow
def test_losses_that_compare_samples_are_refused():
    """At once, or in the first step."""
    with pytest.raises(ValueError, match="compares the samples"):
        compiled(single, 1.0, {"loss": keras.losses.Circle()}, wrap=True).fit(X, Y, batch_size=BATCH, verbose=0)


@pytest.mark.slow
def test_callbacks_find_the_metrics_by_name():
    model = compiled(single, 1.0, {"loss": "ce", "metrics": ["accuracy"]}, wrap=True)
    stop = keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=1)

    history = model.fit(X, Y, batch_size=BATCH, validation_data=(X, Y), epochs=2, callbacks=[stop], verbose=0).history

    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
