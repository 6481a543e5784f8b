"""A mix belongs to its step: whatever else is called, a loss follows the right mix, or says that it cannot tell."""

import functools
import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from data import number

from keras_mixup import MixLoss, MixMetric, MixUp, training_step
from keras_mixup._step import _running
from keras_mixup._step._record import Record

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.arange(8) % 3

# For models that have no mixing layer on purpose.
NOTHING_TO_FOLLOW = pytest.mark.filterwarnings("ignore:.*found no mix to follow")


@pytest.fixture(params=["eager", pytest.param("compiled", marks=pytest.mark.slow)])
def how(request):
    """Compile options for both ways of running a step."""
    return {"run_eagerly": request.param == "eager"}


def dense(**options):
    return keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=1), **options)


def build(how=None, mix=True, name="mix", metrics=True):
    layers = [MixUp(1.0, seed=0, name=name)] if mix else []
    model = keras.Sequential([keras.Input((5,)), *layers, dense()])
    loss = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=[MixMetric("accuracy")] if metrics else None, **(how or {}))
    return model


def train(model):
    return model.fit(X, Y, batch_size=8, shuffle=False, verbose=0).history["loss"][0]


def plain_loss(model):
    return number(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, model(X)))


def count(caught, text):
    """Other packages warn as well."""
    return sum(text in str(warning.message) for warning in caught)


@pytest.mark.slow
class TestStrayMixes:
    @NOTHING_TO_FOLLOW
    def test_a_model_without_the_layer_after_one_with_it(self, how):
        train(build(how))

        model = build(how, mix=False, metrics=False)

        assert train(model) == pytest.approx(plain_loss(model), rel=1e-5)

    @NOTHING_TO_FOLLOW
    def test_a_stray_training_call_of_a_layer_or_a_model(self, how):
        stray = MixUp(1.0)
        other = build(how)
        stray(X, training=True)
        other(X, training=True)

        model = build(how, mix=False, metrics=False)

        assert train(model) == pytest.approx(plain_loss(model), rel=1e-5)
        assert model.evaluate(X, Y, verbose=0) == pytest.approx(plain_loss(model), rel=1e-5)

    def test_a_stray_call_before_and_between_steps_changes_nothing(self, how):
        expected = [train(model) for model in [build(how)] for _ in range(2)]
        model = build(how)
        stray = MixUp(1.0)

        losses = []
        for _ in range(2):
            stray(X, training=True)
            losses.append(train(model))
            stray(X, training=True)

        assert losses == expected

    def test_alternating_models_and_one_loss_for_both(self, how):
        mixed, plain = build(how), build(how, mix=False, metrics=False)
        plain.compile(keras.optimizers.SGD(0.0), mixed.loss, **how)
        expected = [train(model) for model in [build(how)] for _ in range(2)]

        losses = [(train(mixed), train(plain)) for _ in range(2)]

        assert [a for a, _ in losses] == expected
        assert [b for _, b in losses] == [pytest.approx(plain_loss(plain), rel=1e-5)] * 2

    def test_evaluate_between_training(self, how):
        model = build(how)
        train(model)

        assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(plain_loss(model), rel=1e-5)
        assert model.test_on_batch(X, Y)[0] == pytest.approx(plain_loss(model), rel=1e-5)

    @NOTHING_TO_FOLLOW
    def test_an_error_in_the_middle_of_a_step(self, how):
        """The mix of the step that failed is gone in the next one."""

        def failing(y_true, y_pred):
            raise ArithmeticError("in the middle of a step")

        broken = build(how)
        broken.compile("sgd", failing, **how)
        with pytest.raises(ArithmeticError):
            broken.train_on_batch(X, Y)
        model, mixed = build(how, mix=False, metrics=False), build(how)

        assert model.train_on_batch(X, Y) == pytest.approx(plain_loss(model), rel=1e-5)
        assert train(mixed) == train(build(how))

    @NOTHING_TO_FOLLOW
    def test_threads_keep_their_steps_apart(self, how):
        expected = train(build(how))
        losses, models = {}, [build(how, mix=False), build(how)]
        threads = [threading.Thread(target=lambda i=i: losses.update({i: train(models[i])})) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert losses[1] == pytest.approx(expected, rel=1e-6)
        assert losses[0] == pytest.approx(plain_loss(build(how, mix=False)), rel=1e-5)


@pytest.mark.slow
class TestPasses:
    """Clean and mixed passes in one step, by a custom `train_step`."""

    def run(self, how, train_step):
        class Custom(keras.Model):
            def __init__(self):
                super().__init__()
                self.student = build(name="mix")
                self.teacher = build(name="teacher_mix")
                self.teacher.trainable = False

            def call(self, x, training=None):
                return self.student(x, training=training)

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return train_step(self, x, y, y_pred)

        model = Custom()
        model.compile(keras.optimizers.SGD(0.0), **how)
        return model.train_on_batch(X, Y)

    def test_a_teacher_looks_at_clean_inputs(self, how):
        """A clean pass of another model between the mixed pass and the loss does not touch the mix."""
        loss_fn = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))

        def step(model, x, y, y_pred):
            model.teacher(x, training=False)
            return loss_fn(y, y_pred)

        assert self.run(how, step) == pytest.approx(train(build(how)), rel=1e-5)

    @pytest.mark.parametrize("clean_first", [False, True])
    def test_a_clean_pass_of_the_same_model_is_told_apart_by_a_block(self, how, clean_first):
        loss_fn = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))

        def ambiguous(model, x, y, y_pred):
            model.student(x, training=False)
            return loss_fn(y, y_pred)

        with pytest.raises(RuntimeError, match=r"(?s)both with training=True and without.*training_step"):
            self.run(how, ambiguous)

        def told(model, x, y, y_pred):
            clean = 0.0
            if clean_first:
                clean = loss_fn_plain(y, model.student(x, training=False))
            with training_step():
                model.student.layers[0].seed_generator.state.assign([0, 0])
                loss = loss_fn(y, model.student(x, training=True))
            return loss + clean

        loss_fn_plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        clean = plain_loss(build()) if clean_first else 0.0
        assert self.run(how, told) == pytest.approx(train(build(how)) + clean, rel=1e-5)


@pytest.mark.slow
class TestSeveralMixes:
    def test_two_layers_in_one_step_are_refused_with_the_ways_out(self, how):
        layers = [MixUp(1.0, name="first"), MixUp(1.0, name="second"), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((5,)), *layers])
        model.compile("sgd", MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)), **how)

        with pytest.raises(RuntimeError, match=r"(?s)'first', 'second'.*RandomMix.*mix_dataset.*layer='first'"):
            train(model)

    def test_one_layer_on_two_branches_is_refused(self, how):
        a, b = keras.Input((5,)), keras.Input((5,))
        shared = MixUp(1.0, name="shared")
        outputs = keras.layers.Dense(3)(keras.layers.Concatenate()([shared(a), shared(b)]))
        model = keras.Model([a, b], outputs)
        model.compile("sgd", MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)), **how)

        with pytest.raises(RuntimeError, match=r"(?s)'shared' mixed 2 times.*mix_dataset.*training_step"):
            model.fit([X, X], Y, verbose=0)

    def test_a_layer_in_time_distributed_is_refused(self, how):
        """It would be called for every time step, each with a draw of its own."""
        layers = [keras.layers.TimeDistributed(MixUp(name="shared")), keras.layers.Flatten(), dense()]
        model = keras.Sequential([keras.Input((4, 5)), *layers])
        model.compile("sgd", build().loss, **how)

        with pytest.raises(RuntimeError, match=r"'shared' mixed 4 times.*TimeDistributed"):
            model.fit(np.ones((8, 4, 5)), Y, verbose=0)

    def test_parallel_branches_are_followed_by_name(self, how):
        inputs = keras.Input((5,))
        branches = {
            name: keras.layers.Dense(3, name=name, kernel_initializer="ones")(
                MixUp(1.0, seed=seed, name=f"mix_{name}")(inputs)
            )
            for seed, name in enumerate("ab")
        }
        model = keras.Model(inputs, branches)
        sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.0), {name: MixLoss(sparse, layer=f"mix_{name}") for name in "ab"}, **how)

        logs = model.fit(X, {"a": Y, "b": Y}, batch_size=8, shuffle=False, verbose=0).history

        soft = keras.losses.CategoricalCrossentropy(from_logits=True)
        for seed, name in enumerate("ab"):
            x, y = MixUp(1.0, num_classes=3).mix_numpy(X, Y, seed=seed)
            assert logs[f"{name}_loss"][0] == pytest.approx(number(soft(y, model.get_layer(name)(x))), rel=1e-5)

    def test_a_name_that_no_layer_has_is_refused(self, how):
        model = build(how)
        model.compile("sgd", MixLoss("mse", layer="other"), **how)

        with pytest.raises(RuntimeError, match=r"No layer of the name 'other'.*layers that mixed: 'mix'"):
            model.train_on_batch(X, np.ones((8, 3)))


class TestLoopsByHand:
    def test_a_block_around_the_step_follows_its_mix(self):
        model, expected = build(), train(build())

        with training_step():
            loss = model.loss(Y, model(X, training=True))

        assert number(loss) == pytest.approx(expected, rel=1e-5)

    def test_without_a_block_the_loss_says_what_to_do(self):
        model = build()
        prediction = model(X, training=True)

        with pytest.raises(RuntimeError, match=r"(?s)outside a training step.*with keras_mixup\.training_step\(\):"):
            model.loss(Y, prediction)

    @pytest.mark.parametrize("between", ["nothing", "a clean call", "evaluate"])
    def test_what_comes_between_does_not_hide_the_mix(self, between):
        """A clean pass for logging, or an evaluation, between the mixed pass and the loss."""
        model = build()
        prediction = model(X, training=True)
        {"nothing": lambda: None, "a clean call": lambda: model(X), "evaluate": lambda: model.test_on_batch(X, Y)}[
            between
        ]()

        with pytest.raises(RuntimeError, match="outside a training step"):
            model.loss(Y, prediction)
        with training_step():
            assert number(model.loss(Y, model(X))) == pytest.approx(plain_loss(model), rel=1e-5)

    def test_a_mix_made_in_another_thread_is_refused_too(self):
        """The predictions may come from there."""
        model, predictions = build(), []
        thread = threading.Thread(target=lambda: predictions.append(model(X, training=True)))
        thread.start()
        thread.join()

        with pytest.raises(RuntimeError, match="'mix' mixed outside one"):
            model.loss(Y, predictions[0])

    @pytest.mark.slow
    @NOTHING_TO_FOLLOW
    def test_a_mix_of_a_callback_is_not_followed_by_the_training(self, how):
        layer, model = MixUp(1.0), build(how, mix=False, metrics=False)
        look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: layer(X, training=True))

        losses = model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[look])

        assert losses.history["loss"] == [pytest.approx(plain_loss(model), rel=1e-5)] * 3
        with pytest.raises(RuntimeError, match="outside a training step"):
            model.loss(Y, model(X))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["subclassed", "own layer", "another line"])
    def test_a_loop_without_a_block_is_refused_whatever_calls_the_layer(self, kind):
        class Block(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.mix = MixUp(1.0, seed=0, name="mix")

            def call(self, x, training=None):
                return self.mix(x, training=training)

        loss_fn = build().loss
        if kind == "subclassed":
            model = Own(lambda training: training)
        elif kind == "own layer":
            model = keras.Sequential([keras.Input((5,)), Block(), dense()])
        else:
            model = build()

        if kind == "another line":
            scope = {"model": model, "X": X}
            exec(compile("predictions = model(X, training=True)", "<line 1>", "exec"), scope)
            predictions = scope["predictions"]
        else:
            predictions = model(X, training=True)

        with pytest.raises(RuntimeError, match="'mix' mixed outside one"):
            loss_fn(Y, predictions)

    def test_labels_given_to_the_layer_leave_nothing_to_follow(self):
        soft = keras.losses.CategoricalCrossentropy(from_logits=True)
        x, y = MixUp(1.0, num_classes=3)(X, Y, training=True)
        model = build(mix=False, metrics=False)

        assert number(MixLoss(soft)(y, model(x))) == number(soft(y, model(x)))

    def test_blocks_nest_and_end_with_an_error(self):
        model = build()

        def widen(y):
            return keras.ops.matmul(y, np.ones((3, 5), "float32"))

        def twice(x):
            return model(widen(model(x, training=True)), training=True)

        with pytest.raises(RuntimeError, match="mixed 2 times"), training_step():
            model.loss(Y, twice(X))
        with training_step():
            outer = model(X, training=True)
            with training_step():
                inner = model.loss(Y, model(X, training=True))
            loss = model.loss(Y, outer)

        assert number(inner) != number(loss)
        assert not _running.blocks.open
        assert not _running.steps


class TestBlocksInTheWrongPlace:
    def test_a_block_around_the_loss_alone_is_refused(self):
        model = build()
        predictions = model(X, training=True)

        text = r"(?s)no mixing layer was called, but 'mix' mixed.*tf\.function"
        with pytest.raises(RuntimeError, match=text), training_step():
            model.loss(Y, predictions)

    @pytest.mark.slow
    def test_a_forward_pass_that_is_compiled_alone_is_refused_from_its_second_call_on(self):
        model = build()
        forward = compiled(model)
        forward(keras.ops.convert_to_tensor(X))

        for _ in range(2):
            predictions = forward(keras.ops.convert_to_tensor(X))
            with pytest.raises(RuntimeError, match="'mix' mixed outside"), training_step():
                model.loss(Y, predictions)

    def test_a_loss_in_a_block_without_any_mixing_layer_warns_once(self):
        model = build(mix=False, metrics=False)

        def step():
            with training_step():
                return number(model.loss(Y, model(X)))

        with pytest.warns(UserWarning, match=r"'sparse_categorical_crossentropy' was called in .* block") as caught:
            losses = [step(), step()]

        assert losses == [pytest.approx(plain_loss(model), rel=1e-5)] * 2
        assert count(caught, "block") == 1

    def test_a_clean_call_in_the_block_says_that_nothing_is_mixed(self):
        model = build()
        model(X, training=True)

        with training_step():
            loss = model.loss(Y, model(X))

        assert number(loss) == pytest.approx(plain_loss(model), rel=1e-5)

    @pytest.mark.slow
    def test_a_clean_pass_of_a_teacher_in_the_block_does_not_hide_the_mix_around_it(self, how):
        teacher = build(name="teacher_mix")

        class Student(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                with training_step():
                    teacher(x, training=False)
                    return self.loss(y, y_pred)

        model = Student(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        with pytest.raises(RuntimeError, match="'mix' mixed in the step around"):
            model.train_on_batch(X, Y)

    @pytest.mark.slow
    def test_a_loss_in_a_test_step_inside_a_training_step_is_refused(self, how):
        class Nested(Own):
            def test_step(self, y, y_pred):
                return self.loss(y, y_pred)

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return self.test_step(y, y_pred)

        model = Nested(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        with pytest.raises(RuntimeError, match="'mix' mixed in the step around"):
            model.train_on_batch(X, Y)

    def test_a_function_that_is_called_as_a_step_is_none(self):
        """Its mix is over when it returns."""

        def train_step(model, x):
            return model(x, training=True)

        model = build()
        predictions = train_step(model, X)

        with pytest.raises(RuntimeError, match="'mix' mixed outside one"):
            model.loss(Y, predictions)

    def test_a_loss_in_another_thread_than_the_block_is_refused(self):
        model, raised = build(), []

        def ask(predictions):
            try:
                model.loss(Y, predictions)
            except RuntimeError as error:
                raised.append(str(error))

        with training_step():
            predictions = model(X, training=True)
            thread = threading.Thread(target=ask, args=(predictions,))
            thread.start()
            thread.join()
            model.loss(Y, predictions)

        assert "'mix' mixed outside one" in raised[0]


@pytest.mark.slow
class TestStepsOfOtherForms:
    """A `train_step` is known by its model, not by the names in it."""

    def test_its_first_argument_may_have_any_name(self, how):
        class Renamed(Own):
            def train_step(this, *args):
                return keras.Model.train_step(this, *args)

            def compute_loss(this, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return this.loss(y, y_pred)

        model = Renamed(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        assert model.train_on_batch(X, Y) == pytest.approx(train(build(how)), rel=1e-5)

    @pytest.mark.parametrize("signature", ["renamed", "packed", "decorated"])
    def test_a_step_that_does_not_call_keras_own(self, signature):
        def step(model, x, y):
            return {"loss": model.loss(y, model(x, training=True))}

        class Renamed(Own):
            def train_step(this, data):
                return step(this, *data)

        class Packed(Own):
            def train_step(*args):
                return step(args[0], *args[1])

        class Decorated(Own):
            @functools.wraps(Renamed.train_step)
            def wrapper(*args, **kwargs):
                return Renamed.train_step(*args, **kwargs)

            train_step = wrapper

        model = {"renamed": Renamed, "packed": Packed, "decorated": Decorated}[signature](lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss)

        loss = model.train_step((keras.ops.convert_to_tensor(X), Y))["loss"]

        assert number(loss) == pytest.approx(train(build()), rel=1e-5)


@pytest.mark.slow
class TestResultsReadTooEarly:
    """Reading the metrics of a model ends its step; a loss that comes later raises."""

    def run(self, how, between, **options):
        class Early(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                between(self)
                return self.loss(y, y_pred)

        model = Early(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how, **options)
        return model.train_on_batch(X, Y)

    @pytest.mark.filterwarnings("ignore:.*no loss followed")
    def test_a_loss_after_the_results_is_refused(self, how):
        def read(model):
            [metric.result() for metric in model.metrics]

        with pytest.raises(RuntimeError, match=r"(?s)after the metrics of the model were read.*'mix'.*last"):
            self.run(how, read)

    @pytest.mark.filterwarnings("ignore:.*no loss followed")
    def test_a_clean_pass_does_not_make_a_late_loss_early(self, how):
        def read_and_predict(model):
            [metric.result() for metric in model.metrics]
            model(X, training=False)

        with pytest.raises(RuntimeError, match=r"(?s)after the metrics of the model were read.*'mix'.*last"):
            self.run(how, read_and_predict)

    @pytest.mark.filterwarnings("ignore:.*no loss followed")
    @pytest.mark.parametrize("named", [False, True])
    def test_a_late_loss_does_not_take_the_mix_of_another_layer(self, how, named):
        """After the results, a loss follows a mix that has been made since if it names the layer."""

        class TwoPhases(Own):
            def __init__(self, say):
                super().__init__(say)
                self.second = MixUp(1.0, seed=5, name="second")
                self.other = MixLoss(self.plain, layer="second" if named else None)

            plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                loss = self.loss(y, y_pred)
                [metric.result() for metric in self.metrics]
                return loss + self.other(y, self.head(self.second(x, training=True)))

        model = TwoPhases(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        if named:
            assert number(model.train_on_batch(X, Y)) > 0
        else:
            with pytest.raises(RuntimeError, match=r"(?s)after the metrics of the model were read.*'mix'.*name it"):
                model.train_on_batch(X, Y)

    @pytest.mark.filterwarnings("ignore:.*no loss followed")
    def test_a_metric_after_the_results_is_refused(self, how):
        metric = MixMetric("accuracy")

        class Early(Own):
            def compute_metrics(self, x, y, y_pred, sample_weight=None):
                self.get_metrics_result()
                metric.update_state(y, y_pred)
                return {}

        model = Early(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        with pytest.raises(RuntimeError, match="after the metrics of the model were read"):
            model.train_on_batch(X, Y)

    def test_a_metric_after_the_first_result_of_a_loop_is_refused(self):
        """`update_state` and `result` in turn, metric by metric."""

        last = MixMetric("accuracy")

        class InTurn(Own):
            def compute_metrics(self, x, y, y_pred, sample_weight=None):
                for metric in [*self.metrics, last]:
                    if isinstance(metric, MixMetric):
                        metric.update_state(y, y_pred)
                    metric.result()
                return {}

        model = InTurn(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, run_eagerly=True)

        with pytest.raises(RuntimeError, match="after the metrics of the model were read"):
            model.train_on_batch(X, Y)

    def test_a_step_after_it_has_its_own_mix(self, how):
        expected = [train(model) for model in [build(how)] for _ in range(2)]
        model = build(how)

        losses = []
        for _ in range(2):
            losses.append(train(model))
            model.get_metrics_result()

        assert losses == expected


@pytest.mark.slow
class TestModelsThatOverrideMetrics:
    """They do not ask the layer for its metric, so nothing tells it that a step is over."""

    def model(self, loss, how, own_step=False):
        tracker = keras.metrics.Mean(name="tracker")

        class Overriding(Own):
            @property
            def metrics(self):
                return [tracker]

        class Stepping(Overriding):
            def train_step(self, *args):
                return keras.Model.train_step(self, *args)

        model = (Stepping if own_step else Overriding)(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), loss, **how)
        return model

    @pytest.mark.parametrize("own_step", [False, True])
    def test_an_unwrapped_loss_is_told_once(self, how, own_step):
        other = build()  # a `MixLoss` of another model does not count
        model = self.model(keras.losses.SparseCategoricalCrossentropy(from_logits=True), how, own_step)

        with pytest.warns(UserWarning, match="'mix' mixed its inputs, but no loss followed") as caught:
            [model.train_on_batch(X, Y) for _ in range(3)]

        assert count(caught, "no loss followed") == 1
        assert other.loss is not None

    def test_a_wrapped_loss_follows_in_silence(self, how):
        model = self.model(build().loss, how)

        losses = [model.fit(X, Y, batch_size=8, shuffle=False, verbose=0).history for _ in range(2)]

        assert len(losses) == 2

    def test_a_step_that_does_not_read_its_metrics_is_told_too(self):
        class Silent(Own):
            def train_step(self, *args):
                x, y = args[-1]
                return {"loss": self.compute_loss(x, y, self(x, training=True))}

        other = build()
        model = Silent(lambda training: training)
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.0), plain, run_eagerly=True)

        with pytest.warns(UserWarning, match="'mix' mixed its inputs, but no loss followed") as caught:
            [model.train_step((keras.ops.convert_to_tensor(X), Y)) for _ in range(2)]

        assert count(caught, "no loss followed") == 1
        assert other.loss is not None

    def test_a_loss_that_no_attribute_holds_is_told_of_when_the_step_is_over(self):
        """An eager step; whether a `MixLoss` somewhere follows is known only then."""
        followed = MixLoss("mse")

        class Custom(Own):
            @property
            def metrics(self):
                return []

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return keras.ops.mean(y_pred)

        model = Custom(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)

        with pytest.warns(UserWarning, match="'mix' mixed its inputs, but no loss followed"):
            [model.train_on_batch(X, Y) for _ in range(2)]
        assert followed.name


@pytest.mark.slow
class TestBuilding:
    """Keras runs a model on placeholders to learn shapes; that is no pass of a step."""

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.mix = MixUp(1.0, seed=0)
            self.head = keras.Sequential([dense()])

        def call(self, x, training=None):
            return self.head(self.mix(x, training=training))

    @pytest.mark.parametrize("train_on", ["fit", "batch"])
    def test_a_subclassed_model_that_is_built_in_its_first_step(self, how, train_on):
        model = self.Subclassed()
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        loss = train(model) if train_on == "fit" else model.train_on_batch(X, Y)

        assert loss == pytest.approx(train(build(how)), rel=1e-5)

    def test_a_model_is_built_and_trained_inside_the_block_of_another(self, how):
        """On placeholders nothing is mixed, whatever is mixed around them."""
        outer, model = build(name="outer"), build(how)

        with training_step():
            predictions = outer(X, training=True)
            loss = train(model)
            outer.loss(Y, predictions)

        assert loss == pytest.approx(train(build(how)), rel=1e-5)

    def test_a_subclassed_model_that_is_built_in_a_block(self):
        model, loss_fn = self.Subclassed(), build().loss

        with training_step():
            loss = loss_fn(Y, model(X, training=True))

        assert number(loss) == pytest.approx(train(build()), rel=1e-5)


@pytest.mark.slow
class TestMixesThatNoLossFollows:
    """The mistake of everyone who only puts the layer in: blended inputs, hard labels."""

    def test_fit_warns_once_and_names_the_fix(self, how):
        model = build(how)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], **how)

        with pytest.warns(
            UserWarning, match=r"(?s)'mix' mixed its inputs, but no loss followed.*follow_mix\(.*MixLoss\("
        ) as caught:
            model.fit(X, Y, batch_size=2, epochs=2, verbose=0)

        assert count(caught, "no loss followed") == 1

    def test_a_metric_that_follows_is_not_enough(self, how):
        model = build(how)
        model.compile("sgd", "mse", metrics=[MixMetric("mae")], **how)

        with pytest.warns(UserWarning, match="no loss followed"):
            model.fit(X, np.ones((8, 3)), verbose=0)

    def test_a_model_without_labels_says_so(self, how):
        """An autoencoder that is to restore the clean inputs from mixed ones."""
        inputs = keras.Input((5,))
        model = keras.Model(inputs, keras.layers.Dense(5)(MixUp(1.0, seed=0)(inputs, labels=())))
        model.compile("sgd", "mse", **how)

        assert model.fit(X, X, verbose=0).history["loss"][0] > 0

    def test_a_block_without_its_loss_warns(self):
        model = build()

        text = "'mix' mixed its inputs in a .* no `MixLoss` was called in it"
        with pytest.warns(UserWarning, match=text), training_step():
            predictions = model(X, training=True)

        with pytest.raises(RuntimeError, match="'mix' mixed outside one"):
            model.loss(Y, predictions)

    def test_a_metric_in_the_block_is_no_loss(self):
        model, metric = build(), MixMetric("accuracy")
        with training_step():
            predictions = model(X, training=True)
            metric.update_state(Y, predictions)

        with pytest.raises(RuntimeError, match="'mix' mixed outside one"):
            model.loss(Y, predictions)

    def test_a_loss_after_its_block_in_a_step_follows(self, how):
        """Within one `train_step` it is clear which mix is meant."""

        class Behind(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return self.loss(y, y_pred)

            def call(self, x, training=None):
                with training_step():
                    return super().call(x, training=training)

        model = Behind(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        assert model.train_on_batch(X, Y) == pytest.approx(train(build(how)), rel=1e-5)

    @pytest.mark.parametrize("follower", ["loss", "metric"])
    def test_a_follower_after_a_block_that_has_been_followed_is_refused(self, follower):
        model, metric = build(), MixMetric("accuracy")
        with training_step():
            predictions = model(X, training=True)
            model.loss(Y, predictions)

        with pytest.raises(RuntimeError, match="mixed outside one, or in a block that is over"):
            model.loss(Y, predictions) if follower == "loss" else metric.update_state(Y, predictions)

    def test_a_metric_after_the_block_in_a_step_is_refused(self, how):
        class After(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                with training_step():
                    self.predictions = self.head(self.mix(x, training=True))
                    return self.loss(y, self.predictions)

            def compute_metrics(self, x, y, y_pred, sample_weight=None):
                self.accuracy.update_state(y, self.predictions)
                return {}

        model = After(lambda training: False)
        model.accuracy = MixMetric("accuracy")
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        with pytest.raises(RuntimeError, match=r"(?s)after the .* block in which 'mix' mixed"):
            model.train_on_batch(X, Y)

    def test_a_loss_in_a_block_of_its_own_is_refused(self, how):
        """The mix is in the step around it."""

        class Inside(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                with training_step():
                    return self.loss(y, y_pred)

        model = Inside(lambda training: training)
        model.compile(keras.optimizers.SGD(0.0), build().loss, **how)

        with pytest.raises(
            RuntimeError, match=r"(?s)`MixLoss` was called in a step of its own .*'mix' mixed in the step around"
        ):
            model.train_on_batch(X, Y)

    def test_a_model_that_is_compiled_alone_leaves_its_loss_astray(self):
        model = build()
        forward = compiled(model)

        predictions = forward(keras.ops.convert_to_tensor(X))

        with pytest.raises(RuntimeError, match="cannot tell whether its predictions come from that mix"):
            model.loss(Y, predictions)


def compiled(model):
    """The forward pass as a compiled function."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: model(x, training=True))
    if keras.backend.backend() == "jax":
        import jax

        weights = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
        return jax.jit(lambda x: model.stateless_call(*weights, x, training=True)[0])
    return lambda x: model(x, training=True)  # eager: what `torch.compile` calls is not traced on every version


class Own(keras.Model):
    """A subclassed model; how it calls its mixing layer is the point."""

    def __init__(self, say):
        super().__init__()
        self.mix, self.head, self.say = MixUp(1.0, seed=0, name="mix"), dense(), say

    def call(self, x, training=None):
        return self.head(self.mix(x, training=self.say(training)))


class WithoutTraining(Own):
    """Keras tells it nothing, and it tells its layers nothing."""

    def call(self, x):
        return self.head(self.mix(x))


@pytest.mark.slow
class TestLossesThatMeetNoMix:
    def fit(self, model, how, loss=None):
        model.compile(keras.optimizers.SGD(0.0), loss or build().loss, **how)
        return model.fit(X, Y, epochs=2, batch_size=8, verbose=0).history["loss"][-1]

    def test_a_model_that_does_not_take_training_is_told(self, how):
        model = WithoutTraining(None)

        with pytest.warns(
            UserWarning, match=r"(?s)'mix' was called .* without being told.*training=training"
        ) as caught:
            loss = self.fit(model, how)

        assert loss == pytest.approx(plain_loss(model), rel=1e-5)
        assert count(caught, "without being told") == 1
        assert count(caught, "found no mix") == 0

    def test_a_model_that_does_not_take_training_is_told_without_a_mixloss_too(self, how):
        with pytest.warns(UserWarning, match="without being told"):
            self.fit(WithoutTraining(None), how, keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def test_a_model_that_passes_training_on_is_not(self, how):
        assert self.fit(Own(lambda training: training), how) > 0

    def test_a_layer_that_is_told_not_to_train_leaves_the_loss_alone(self, how):
        text = "'sparse_categorical_crossentropy' found no mix to follow: 'mix' was told `training=False`"
        with pytest.warns(UserWarning, match=text) as caught:
            self.fit(Own(lambda training: False), how)

        assert count(caught, "found no mix") == 1

    def test_a_model_without_a_mixing_layer(self, how):
        with pytest.warns(UserWarning, match="(?s)found no mix to follow.*MixUp.*pipeline") as caught:
            self.fit(build(mix=False), how)

        assert count(caught, "found no mix") == 1

    def test_a_loss_that_has_met_a_mix_is_silent(self, how):
        model = build(how)
        train(model)

        assert self.fit(build(mix=False), how, model.loss) > 0

    def test_a_clean_teacher_is_silent(self, how):
        """A second model of the step that is not told to train, beside one that mixes."""
        teacher = build(name="teacher_mix")

        class Student(Own):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return super().compute_loss(x, y, y_pred + 0 * teacher(x), sample_weight, training)

        assert self.fit(Student(lambda training: training), how) > 0


@pytest.mark.slow
def test_nothing_of_a_step_stays_alive_after_it(how):
    """No mix, tracer, graph or frame is kept when `fit` returns."""
    kept = []
    add = Record.add

    def spy(self, mix, shapes):
        kept.append(weakref.ref(mix.weight))
        add(self, mix, shapes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "add", spy)
        train(build(how))
    gc.collect()

    assert kept
    assert not _running.steps
    if keras.backend.backend() != "tensorflow" or how["run_eagerly"]:  # a compiled TensorFlow model keeps its graph
        assert all(reference() is None for reference in kept)


@pytest.mark.slow
def test_a_layer_that_only_the_training_step_calls_is_no_lack_of_a_build():
    """Keras warns of a model that holds layers which are not built."""

    class Training(keras.Model):
        def __init__(self):
            super().__init__()
            self.mix, self.head = MixUp(seed=0), dense()
            self.head.build((None, 5))

        def call(self, x, training=None):
            return self.head(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(self.head(self.mix(x, labels=(), training=True)))

    model = Training()
    model.compile("sgd", run_eagerly=True)

    model.fit(X, Y, verbose=0)

    assert model.mix.built


@pytest.mark.slow
def test_the_layer_adds_nothing_to_the_logs():
    """The metric that ends a step has no result and no name in the logs."""
    assert set(build().fit(X, Y, verbose=0).history) == {"loss", "accuracy"}
    assert set(build().evaluate(X, Y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
