"""`check` tells what follows the mix and what does not, and leaves no trace."""

import keras
import numpy as np
import pytest

from keras_mixup import ManifoldMixUp, MixLoss, MixMetric, MixUp, check

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 3
CROSSENTROPY = "sparse_categorical_crossentropy"


def build(loss, metrics=None, dropout=0.5, **options):
    layers = [MixUp(name="mix"), keras.layers.BatchNormalization(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dropout(dropout), *layers])
    model.compile("adam", loss, metrics=metrics, **options)
    return model


def test_check_finds_nothing_to_change_in_a_model_that_follows():
    report = check(build(MixLoss(CROSSENTROPY), [MixMetric("accuracy"), MixMetric("mae")]), X, Y[:, None])

    assert report.ok
    assert report.layers == {"mix": [(8, 5)]}
    assert report.losses == {CROSSENTROPY: "mix"}
    assert report.metrics == {"accuracy": "mix", "mae": "mix"}
    assert str(report).splitlines() == [
        "Mixing layers",
        "  mix: mixed (8, 5), rank 2",
        "Losses",
        f"  {CROSSENTROPY}: follows 'mix' by sample",
        "Metrics",
        "  accuracy: follows 'mix' by sample",
        "  mae: follows 'mix' by sample",
        "Nothing to change.",
    ]


def test_what_does_not_follow_is_named_with_its_fix():
    report = check(build(CROSSENTROPY, ["accuracy", MixMetric("mae")]), X, Y[:, None])

    assert not report.ok
    assert report.losses == {CROSSENTROPY: None}
    assert report.metrics == {"accuracy": None, "mae": "mix"}
    assert "MixLoss('sparse_categorical_crossentropy')" in report.advice[0]
    assert "MixMetric('accuracy')" in report.advice[1]


@pytest.mark.slow
@pytest.mark.parametrize("form", [dict, list])
def test_one_plain_loss_among_several_outputs_is_found(form):
    inputs = keras.Input((5,))
    mixed = MixUp(name="mix")(inputs)
    outputs = {name: keras.layers.Dense(3, name=name)(mixed) for name in ("a", "b")}
    losses, labels = {"a": MixLoss("mse"), "b": "mse"}, {"a": np.ones((8, 3)), "b": np.ones((8, 3))}
    metrics = {"a": [MixMetric("mae")], "b": ["mae"]}

    def as_form(nest):
        return nest if form is dict else list(nest.values())

    model = keras.Model(inputs, as_form(outputs))
    model.compile("sgd", as_form(losses), metrics=as_form(metrics))

    report = check(model, X, as_form(labels))

    assert report.losses == {"a": "mix", "b": None}
    assert sorted(map(str, report.metrics.values())) == ["None", "mix"]
    assert len(report.advice) == 2
    assert "Loss 'b'" in report.advice[0]


def test_models_that_do_not_mix_say_why():
    class Off(keras.Model):
        def __init__(self):
            super().__init__()
            self.mix, self.head = MixUp(name="mix"), keras.layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.head(self.mix(x, training=False))

    class Deaf(Off):
        def call(self, x):
            return self.head(self.mix(x))

    deaf = Deaf()
    deaf.compile("sgd", MixLoss(CROSSENTROPY))
    report = check(deaf, X, Y)
    assert report.layers == {"mix": []}
    assert "training=training" in report.advice[0]

    off = Off()
    off.compile("sgd", MixLoss(CROSSENTROPY))
    assert "'mix': called with training=False" in check(off, X, Y).advice[0]

    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    plain.compile("sgd", MixLoss("mse"))
    report = check(plain, X, np.ones((8, 3)))
    assert "no mixing layer" in report.advice[0]
    assert "  none" in str(report)


def test_a_layer_that_mixes_its_labels_itself_needs_nothing_to_follow():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(5)(MixUp(name="mix")(inputs, labels=())))
    model.compile("sgd", "mse", metrics=["mae"])

    report = check(model, X, X)

    assert report.ok
    assert report.layers == {"mix": [(8, 5)]}


@pytest.mark.slow
def test_a_model_that_draws_while_it_is_built_is_left_as_it_was():
    class Noisy(keras.Model):
        def __init__(self):
            super().__init__()
            self.mix, self.head = MixUp(), keras.layers.Dense(3, activation="softmax")
            self.noise = keras.random.SeedGenerator(5)

        def call(self, x, training=None):
            x = self.mix(x, training=training)
            return self.head(x + 0.0 * keras.random.normal((1,), seed=self.noise))

    model = Noisy()
    model.compile("sgd", MixLoss(CROSSENTROPY))

    assert check(model, X, Y).ok
    assert keras.ops.convert_to_numpy(model.noise.state).tolist() == [5, 0]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="only PyTorch keeps gradients")
def test_no_gradients_are_left_behind():
    model = build(MixLoss(CROSSENTROPY))
    check(model, X, Y)

    assert all(v.value.grad is None for v in model.trainable_variables)


def test_every_depth_of_a_manifold_is_shown():
    manifold = ManifoldMixUp(num_positions=2, name="manifold")
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(3)(manifold(keras.layers.Dense(7)(manifold(inputs)))))
    model.compile("sgd", MixLoss("mse"))

    assert check(model, X, np.ones((8, 3))).layers == {"manifold": [(8, 5), (8, 7)]}


@pytest.mark.slow
def test_check_sees_a_loss_of_a_custom_compute_loss():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = build(None)
            self.own_loss = MixLoss(CROSSENTROPY)

        def call(self, x, training=None):
            return self.body(x, training=training)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return self.own_loss(y, y_pred)

    model = Own()
    model.compile("sgd")
    report = check(model, X, Y)

    assert report.ok
    assert report.losses == {CROSSENTROPY: "mix"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": True}])
@pytest.mark.parametrize("trained", [False, True])
def test_nothing_is_left_behind(options, trained):
    """Weights, statistics, optimizer, metrics, random states and compiled functions: training goes on as without it."""
    if options.get("jit_compile") and keras.backend.backend() == "torch":
        pytest.skip("torch.compile is tested with the other models")
    histories, modes = [], []
    # On PyTorch `Dropout` draws from the framework's own generator, also when Keras builds the model.
    dropout = 0.5 if trained else 0.0
    for checked in (False, True):
        keras.utils.set_random_seed(1)
        model = build(MixLoss(CROSSENTROPY), [MixMetric("accuracy")], dropout, **options)
        if trained:
            model.fit(X, Y, verbose=0)
        if checked:
            function = model.train_function
            check(model, X, Y)
            assert model.train_function is function
            assert (model.run_eagerly, model.jit_compile) == modes[0]
        modes.append((model.run_eagerly, model.jit_compile))
        histories.append(model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history)

    assert histories[0] == histories[1]


@pytest.mark.slow
def test_it_warns_of_nothing_and_the_warning_in_fit_is_kept():
    model = build(CROSSENTROPY)
    check(model, X, Y)

    with pytest.warns(UserWarning, match="no loss followed"):
        model.fit(X, Y, verbose=0)


@pytest.mark.slow
def test_mixed_precision_is_restored_too():
    keras.config.set_dtype_policy("mixed_float16")
    model = build(MixLoss(CROSSENTROPY))
    model.fit(X, Y, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in [*model.variables, *model.optimizer.variables]]

    check(model, X, Y)

    for value, variable in zip(before, [*model.variables, *model.optimizer.variables], strict=True):
        np.testing.assert_array_equal(value, keras.ops.convert_to_numpy(variable), err_msg=variable.path)


def test_errors_of_the_step_come_through_and_nothing_is_changed():
    layers = [MixUp(name="first"), MixUp(name="second"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile("sgd", MixLoss("mse"))
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]

    with pytest.raises(RuntimeError, match="'first', 'second'"):
        check(model, X, np.ones((8, 3)))

    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, keras.ops.convert_to_numpy(variable))
    assert not model.run_eagerly


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match=r"compiled.*Received: Sequential"):
        check(keras.Sequential([keras.Input((5,)), MixUp()]), X, Y)


def test_a_dataset_and_a_lack_of_labels_are_refused():
    model = build(MixLoss(CROSSENTROPY))

    with pytest.raises(TypeError, match=r"(?s)one batch.*next\(iter\(dataset\)\)"):
        check(model, iter([(X, Y)]))
    with pytest.raises(ValueError, match=r"(?s)needs labels.*check\(model, x, y\)"):
        check(model, X)


@pytest.mark.slow
class TestOutputsBetweenDepths:
    """`ManifoldMixUp` at two depths; the labels of an output between them would follow what it does not see."""

    def check(self, auxiliary):
        manifold = ManifoldMixUp(num_positions=2, seed=0, name="manifold")
        inputs = keras.Input((5,))
        hidden = keras.layers.Dropout(0.5, seed=1)(keras.layers.Dense(4)(manifold(inputs)))
        last = manifold(hidden)
        branch = hidden if auxiliary == "between" else last
        outputs = {"main": keras.layers.Dense(3)(last), "auxiliary": keras.layers.Dense(3)(branch)}
        model = keras.Model(inputs, outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", {name: MixLoss(loss) for name in outputs})
        x, y = np.random.default_rng(0).normal(size=(6, 5)).astype("float32"), np.arange(6) % 3
        state = keras.ops.convert_to_numpy(manifold.seed_generator.state)

        report = check(model, x, {"main": y, "auxiliary": y})

        np.testing.assert_array_equal(keras.ops.convert_to_numpy(manifold.seed_generator.state), state)
        return report

    def test_an_output_between_two_depths_is_named(self):
        report = self.check("between")

        assert len(report.advice) == 1
        assert report.advice[0].startswith("Output 'auxiliary' does not depend on what 'manifold' mixes at depth 2")

    def test_outputs_after_all_depths_are_right(self):
        assert self.check("after").ok


def test_check_finds_losses_in_a_nest():
    """`compile` takes losses nested as the outputs are."""
    inputs = keras.Input((5,))
    mixed = MixUp(name="mix")(inputs)
    outputs = {"kind": {"a": keras.layers.Dense(3)(mixed), "b": keras.layers.Dense(1)(mixed)}}
    model = keras.Model(inputs, outputs)
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", {"kind": {"a": MixLoss(logits), "b": "mse"}})

    report = check(model, X, {"kind": {"a": Y, "b": X[:, :1]}})

    assert report.losses == {"kind/a": "mix", "kind/b": None}
    assert "Loss 'kind/b' compares" in " ".join(report.advice)
