"""Every kind of model, in every way that Keras runs one: the loss of each training step is that of the oracle."""

import contextlib
import functools
import threading
import types
import warnings

import keras
import numpy as np
import pytest
import reference
from data import BACKEND
from models import Recorder

from keras_mixup import ManifoldMixUp, MixLoss, MixMetric, MixUp, training_step

pytestmark = pytest.mark.slow

ROWS, STEPS = 6, 2
ROWS_OF_STEPS = [slice(i * ROWS, (i + 1) * ROWS) for i in range(STEPS)]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS * STEPS, 4, 5)).astype("float32")
TOKENS = RNG.integers(0, 4, size=(ROWS * STEPS, 7))
Y = np.arange(ROWS * STEPS) % 3
NUMBERS = RNG.normal(size=(ROWS * STEPS, 1)).astype("float32")


def dense(units, seed=None, **options):
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.RandomNormal(0.5, seed=seed), **options)


def crossentropy():
    return MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))


class Case:
    """A model, its data, and its halves in front of and behind the mixing layer."""

    def __init__(self, model, front, back, x=X, y=Y, loss=None, loss_weights=None):
        self.model, self.front, self.back, self.x, self.y = model, front, back, x, y
        self.loss, self.loss_weights = loss or crossentropy(), loss_weights

    def expected(self):
        """The loss of each step: hidden states mixed in float64, labels followed in pairs."""
        twin = MixUp(1.0, seed=0)
        return [self.expected_of_step(rows, matrix(twin)) for rows in ROWS_OF_STEPS]

    def expected_of_step(self, rows, M):
        hidden = self.front.predict(take(self.x, rows), verbose=0)
        mixed = keras.tree.map_structure(lambda h: reference.mixed(M, h).astype("float32"), hidden)
        return self.expected_loss(M, take(self.y, rows), self.back.predict(mixed, verbose=0))

    def expected_loss(self, M, y, predictions):
        return reference.paired_loss(M, reference.softmax_crossentropy, y, predictions).mean()


class TwoOutputs(Case):
    def expected_loss(self, M, y, predictions):
        squared = np.square(reference.mixed(M, y["number"]) - predictions["number"])
        return super().expected_loss(M, y["class"], predictions["class"]) + 0.5 * squared.mean()


def take(nest, rows):
    return keras.tree.map_structure(lambda x: x[rows], nest)


def matrix(twin):
    """The mixing matrix of the layer's next step."""
    return keras.ops.convert_to_numpy(twin(np.eye(ROWS, dtype="float32"), labels=(), training=True))


def mixup():
    return MixUp(1.0, seed=0)


def sequential():
    front = keras.Sequential([keras.Input((4, 5)), keras.layers.Flatten()])
    back = keras.Sequential([keras.Input((20,)), dense(3)])
    return Case(keras.Sequential([keras.Input((4, 5)), *front.layers, mixup(), *back.layers]), front, back)


def hidden():
    """Behind a convolution, in front of another."""
    front = keras.Sequential([keras.Input((4, 5)), keras.layers.Conv1D(6, 2, activation="relu")])
    back = keras.Sequential([keras.Input((3, 6)), keras.layers.Conv1D(4, 2, activation="relu")])
    back.add(keras.layers.Flatten())
    back.add(dense(3))
    inputs = keras.Input((4, 5))
    return Case(keras.Model(inputs, back(mixup()(front(inputs)))), front, back)


def functional():
    """Two inputs mixed by the same draw, two outputs with their own losses and weights."""
    inputs = {"a": keras.Input((4, 5), name="a"), "b": keras.Input((1,), name="b")}
    outputs = {"class": dense(3, name="class"), "number": dense(1, name="number")}

    def joined(x):
        return keras.layers.Concatenate()([keras.layers.Flatten()(x["a"]), x["b"]])

    def head(x):
        return {name: layer(joined(x)) for name, layer in outputs.items()}

    return TwoOutputs(
        keras.Model(inputs, head(mixup()(inputs))),
        keras.Model(inputs, {k: keras.layers.Identity()(v) for k, v in inputs.items()}),
        keras.Model(inputs, head(inputs)),
        x={"a": X, "b": NUMBERS + 1},
        y={"class": Y, "number": NUMBERS},
        loss={"class": crossentropy(), "number": MixLoss("mse")},
        loss_weights={"class": 1.0, "number": 0.5},
    )


class Subclassed(keras.Model):
    """With a default loss, as KerasHub's classifiers have it, which is to be wrapped."""

    def __init__(self, front, back):
        super().__init__()
        self.front, self.mixup, self.back = front, mixup(), back

    def call(self, inputs, training=None):
        return self.back(self.mixup(self.front(inputs), training=training))

    def compile(self, optimizer="adam", loss="auto", **options):
        default = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        super().compile(optimizer, default if loss == "auto" else loss, **options)


def subclassed():
    case = sequential()
    return Case(Subclassed(case.front, case.back), case.front, case.back)


def nested():
    """The layer in a sub-model, which is in another."""
    case = sequential()
    inner = keras.Sequential([keras.Input((20,)), mixup()])
    middle = keras.Sequential([keras.Input((4, 5)), keras.layers.Flatten(), inner])
    inputs = keras.Input((4, 5))
    return Case(keras.Model(inputs, case.back(middle(inputs))), case.front, case.back)


def text():
    """Behind an embedding with a mask: what comes later gets the mask of the original."""
    embed = keras.layers.Embedding(4, 6, mask_zero=True, embeddings_initializer=keras.initializers.RandomNormal(1.0))
    tokens, states, mask = keras.Input((7,), dtype="int32"), keras.Input((7, 6)), keras.Input((7,), dtype="bool")
    pool, head = keras.layers.GlobalAveragePooling1D(), dense(3)
    model = keras.Model(tokens, head(pool(mixup()(embed(tokens)))))
    back = keras.Model([states, mask], head(pool(states, mask=mask)))
    return Text(model, keras.Model(tokens, embed(tokens)), back, x=TOKENS)


class Text(Case):
    def expected_of_step(self, rows, M):
        mixed = reference.mixed(M, self.front.predict(self.x[rows], verbose=0)).astype("float32")
        return self.expected_loss(M, self.y[rows], self.back.predict([mixed, self.x[rows] != 0], verbose=0))


def fine_tuned(**told):
    """A frozen backbone with its own statistics, features mixed behind it."""
    backbone = keras.Sequential([keras.Input((4, 5)), keras.layers.BatchNormalization(), keras.layers.Flatten()])
    backbone.layers[0].moving_mean.assign(RNG.normal(size=5))
    backbone.trainable = False
    back = keras.Sequential([keras.Input((20,)), dense(3)])
    inputs = keras.Input((4, 5))
    # Not `training=False`: from Keras 3.16 on every layer that is called later is told so, too.
    return Case(keras.Model(inputs, back(mixup()(backbone(inputs, **told)))), backbone, back)


def fit(case, **options):
    """The losses of the steps of an epoch, as Keras logs them: means over the steps so far."""
    accumulate = options.pop("gradient_accumulation_steps", None)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulate)
    case.model.compile(optimizer, case.loss, loss_weights=case.loss_weights, **options)
    losses = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    case.model.fit(case.x, case.y, batch_size=ROWS, shuffle=False, verbose=0, callbacks=[note])
    return losses


def loop(case):
    """A custom loop, compiled where the framework compiles functions."""
    losses = [float(loss) for loss in LOOPS[BACKEND](case.model, case.loss, batches(case))]
    return means(losses)


def tensorflow_loop(model, loss_fn, batches):
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(0.0)

    @tf.function(jit_compile=True)
    def step(x, y):
        with tf.GradientTape() as tape, training_step():
            loss = loss_fn(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return [step(tf.constant(x), tf.constant(y)) for x, y in batches]


def jax_loop(model, loss_fn, batches):
    import jax

    def loss_and_state(trainable, state, x, y):
        with training_step():
            predictions, state = model.stateless_call(trainable, state, x, training=True)
            return loss_fn(y, predictions), state

    grad = jax.jit(jax.value_and_grad(loss_and_state, has_aux=True))
    model(batches[0][0])
    trainable, state = (
        [v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)
    )
    for x, y in batches:
        (loss, state), _ = grad(trainable, state, x, y)
        yield loss


def torch_loop(model, loss_fn, batches):
    for x, y in batches:
        model.zero_grad()
        with training_step():
            loss = loss_fn(y, model(x, training=True))
        loss.backward()
        yield loss.detach()


LOOPS = {"tensorflow": tensorflow_loop, "jax": jax_loop, "torch": torch_loop}


def train_on_batch(case):
    case.model.compile(keras.optimizers.SGD(0.0), case.loss, loss_weights=case.loss_weights)
    return means(losses_on_batch(case))


def losses_on_batch(case):
    """The loss of each step alone; in Keras 3.13 and before it is the mean since the metrics were reset."""
    for x, y in batches(case):
        case.model.reset_metrics()
        yield case.model.train_on_batch(x, y, return_dict=True)["loss"]


def batches(case):
    return [(take(case.x, rows), take(case.y, rows)) for rows in ROWS_OF_STEPS]


def means(losses):
    """Of the steps so far, as Keras logs losses."""
    return np.cumsum(list(losses)) / (np.arange(STEPS) + 1)


MODES = {
    "eager": functools.partial(fit, run_eagerly=True),
    "compiled": functools.partial(fit, jit_compile=False),
    "jit_compile": functools.partial(fit, jit_compile=True),
    "steps_per_execution": functools.partial(fit, steps_per_execution=STEPS),
    "gradient_accumulation": functools.partial(fit, gradient_accumulation_steps=2),
    "train_on_batch": train_on_batch,
    "loop": loop,
}
KINDS = [sequential, hidden, functional, subclassed, nested, text, fine_tuned]


@pytest.fixture
def quick_torch_compile(mode, monkeypatch):
    """`torch.compile` without its code generator, which takes minutes: the tracing is what can go wrong."""
    if BACKEND != "torch" or mode != "jit_compile":
        yield
        return
    import torch

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an error inside of Dynamo would be one of its own
        yield


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_step_has_the_loss_of_the_oracle(kind, mode, quick_torch_compile, record_property):
    if mode == "jit_compile" and BACKEND == "torch" and kind not in (functional, subclassed):
        pytest.skip("`torch.compile` is tried with a Functional and a subclassed model")
    if mode == "steps_per_execution" and BACKEND == "torch":
        pytest.skip("Keras refuses steps_per_execution on PyTorch")
    case = kind()

    if mode == "loop" and isinstance(case.loss, dict):
        pytest.skip("a custom loop adds its losses by hand")

    losses = MODES[mode](case)

    expected = means(case.expected())
    expected = expected[-1:] if mode == "steps_per_execution" else expected
    record_property("largest difference", float(np.abs(losses - expected).max()))
    np.testing.assert_allclose(losses, expected, rtol=2e-6)


def test_a_backbone_that_is_told_not_to_train_never_stops_the_mix_without_a_word():
    """From Keras 3.16 on `backbone(x, training=False)` tells every layer that comes after it as well."""
    case = fine_tuned(training=False)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = fit(case)

    mixed = np.allclose(losses, means(case.expected()), rtol=2e-6)
    assert mixed or any("found no mix to follow" in str(warning.message) for warning in caught)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")  # JAX has it where it is switched on
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2), ("float64", 1e-6)]
)
def test_half_and_double_precision_train_with_exact_labels(policy, tolerance):
    """λ and the labels are never narrower than float32, whatever the inputs are computed in; losses are scaled."""
    keras.config.set_dtype_policy(policy)
    labels = np.tile(np.eye(ROWS, dtype="float32"), (STEPS, 1))
    front = keras.Sequential([keras.Input((4, 5)), keras.layers.Flatten()])
    back = keras.Sequential([keras.Input((20,)), dense(ROWS), keras.layers.Activation("linear", dtype="float32")])
    recorder = Recorder((ROWS, ROWS), (ROWS, ROWS))
    model = keras.Sequential([keras.Input((4, 5)), *front.layers, mixup(), *back.layers])
    case = Soft(model, front, back, y=labels)
    optimizer = keras.optimizers.SGD(1e-30)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if policy == "mixed_float16" else optimizer
    loss = MixLoss(keras.losses.CategoricalCrossentropy(from_logits=True))
    model.compile(optimizer, loss, metrics=[MixMetric(recorder, pairwise=False)])

    losses = means(losses_on_batch(case))

    twin = MixUp(1.0, seed=0, dtype="float32")
    expected = [matrix(twin) for _ in range(STEPS)][-1]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(recorder.labels), expected, atol=3e-7)
    np.testing.assert_allclose(losses, means(case.expected()), rtol=tolerance)


class Soft(Case):
    def expected_loss(self, M, y, predictions):
        log_p = predictions - np.log(np.exp(predictions.astype("float64")).sum(axis=1, keepdims=True))
        return -np.sum((M @ y) * log_p, axis=1).mean()


@pytest.mark.parametrize("mode", ["activations", "full"])
@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("layer", [mixup, lambda: ManifoldMixUp(1.0, num_positions=1, seed=0)], ids=["", "manifold"])
def test_rematerialised_models_train_as_others(mode, eager, layer):
    """The backward pass runs the forward pass once more: with the same mix, or the gradients would be wrong."""
    if mode == "full" and (BACKEND == "jax" or (BACKEND == "tensorflow" and not eager)):
        pytest.skip("Keras cannot rematerialise a whole model here, whatever its layers")

    def train(scope):
        with scope:
            inner = [keras.Input((4, 5)), layer(), dense(7, activation="relu", seed=1)]
            layers = [keras.Sequential(inner), keras.layers.Flatten(), dense(3, seed=2)]
            model = keras.Sequential([keras.Input((4, 5)), *layers])
        model.compile(keras.optimizers.SGD(0.1), crossentropy(), run_eagerly=eager)
        model.fit(X, Y, batch_size=ROWS, epochs=3, shuffle=False, verbose=0)
        return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]

    for got, expected in zip(train(keras.RematScope(mode)), train(contextlib.nullcontext()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("given", ["none", "labels"])
def test_rematerialised_calls_with_labels_train_as_others(eager, given):
    """Nothing follows there, but the backward pass needs the same mix all the same."""

    class Mixing(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mixup = MixUp(1.0, num_classes=3, seed=0)

        def call(self, x, training=None):
            labels = () if given == "none" else keras.ops.zeros_like(x[:, 0, :3])
            mixed = self.mixup(x, labels=labels, training=training)
            return mixed if given == "none" else mixed[0]

    def train(scope):
        mixing = Mixing()
        with scope:
            inner = keras.Sequential([keras.Input((4, 5)), mixing, dense(7, activation="relu", seed=1)])
            model = keras.Sequential([keras.Input((4, 5)), inner, keras.layers.Flatten(), dense(3, seed=2)])
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), plain, run_eagerly=eager)
        model.fit(X, Y, batch_size=ROWS, epochs=2, shuffle=False, verbose=0)
        state = keras.ops.convert_to_numpy(mixing.mixup.seed_generator.state)
        return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables], int(state[1])

    weights, draws = train(keras.RematScope("activations" if BACKEND == "jax" else "full" if eager else "activations"))
    expected, as_many = train(contextlib.nullcontext())

    assert draws == as_many
    for got, want in zip(weights, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_code_that_cannot_be_hashed_may_call_the_layer():
    """`torch.compile` writes such code, with dicts among its constants, around what it does not compile."""
    layer = mixup()

    def forward(x):
        return layer(x, training=True)

    code = forward.__code__.replace(co_consts=(*forward.__code__.co_consts, {}))
    forward = types.FunctionType(code, forward.__globals__, closure=forward.__closure__)
    with training_step():
        mixed = keras.ops.convert_to_numpy(forward(X[:ROWS]))
        loss = MixLoss("mse")(np.eye(ROWS, dtype="float32"), np.eye(ROWS, dtype="float32"))

    assert float(loss) > 0
    np.testing.assert_array_equal(mixed, keras.ops.convert_to_numpy(mixup()(X[:ROWS], (), training=True)))


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's own rematerialisation")
class TestTorchCheckpoint:
    def backward(self, inside, reentrant):
        import torch

        layer = mixup()
        x = torch.nn.Parameter(torch.ones((ROWS, 3)) * torch.arange(ROWS)[:, None])
        with training_step():
            y = torch.utils.checkpoint.checkpoint(lambda x: layer(x, training=True) ** 2, x, use_reentrant=reentrant)
            loss = MixLoss("mse")(np.zeros((ROWS, 3), "float32"), y)
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        return x.grad, layer

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_a_backward_pass_in_the_step_sees_the_same_mix(self, reentrant):
        gradient, layer = self.backward(True, reentrant)
        again, _ = self.backward(True, reentrant)

        assert bool((gradient == again).all())
        assert int(layer.seed_generator.state.value[1]) == 1  # drawn once

    def test_a_backward_pass_outside_of_it_is_refused(self):
        with pytest.raises(RuntimeError, match=r"(?s)rematerialised.*training_step"):
            self.backward(False, False)

    @pytest.mark.parametrize("labels", [(), np.eye(ROWS, dtype="float32")], ids=["none", "given"])
    @pytest.mark.parametrize("thread", [False, True])
    def test_calls_with_labels_repeat_their_mix(self, labels, thread):
        gradient, draws = self.of_sum(labels, thread)

        assert draws == 1
        np.testing.assert_array_equal(gradient, self.of_sum(labels, thread=False, remat=False)[0])

    def of_sum(self, labels, thread, remat=True):
        """The gradient of a sum of squares of mixed inputs; and how many mixes were drawn."""
        import torch

        layer = mixup()
        x = torch.nn.Parameter(torch.ones((ROWS, 3)) * torch.arange(ROWS)[:, None])

        def forward(x):
            mixed = layer(x, labels, training=True)
            return (mixed if isinstance(labels, tuple) else mixed[0]) ** 2

        with training_step():
            y = torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=False) if remat else forward(x)
            in_thread(y.sum().backward) if thread else y.sum().backward()
        return x.grad, int(layer.seed_generator.state.value[1])

    def test_a_backward_pass_on_a_thread_of_the_engine_repeats_the_mix(self):
        """On an accelerator PyTorch runs the Python of a backward pass on a thread that knows no step."""
        import torch

        layer, mixes = mixup(), []

        class Recompute(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                mixes.append(layer(x, training=True))
                return mixes[0].clone()

            @staticmethod
            def backward(ctx, gradient):
                in_thread(lambda: mixes.append(layer(torch.eye(ROWS), training=True)))
                return gradient

        with training_step():
            x = torch.nn.Parameter(torch.eye(ROWS))
            loss = MixLoss("mse")(np.zeros((ROWS, ROWS), "float32"), Recompute.apply(x))
            loss.backward()

        assert len(mixes) == 2
        np.testing.assert_array_equal(mixes[0], mixes[1])

    @pytest.mark.parametrize("thread", [False, True])
    def test_fit_with_a_backward_pass_on_another_thread_trains_as_others(self, thread):
        class Model(keras.Model):
            def __init__(self):
                super().__init__()
                self.mix, self.head = mixup(), dense(3, seed=1)

            def call(self, x, training=None):
                import torch

                def forward(x):
                    return self.head(self.mix(x, training=training))

                return torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=False)

            def train_step(self, data):
                x, y = data
                self.zero_grad()
                loss = self.loss(y, self(x, training=True))
                in_thread(loss.backward) if thread else loss.backward()
                variables = self.trainable_variables
                self.optimizer.apply([v.value.grad for v in variables], variables)
                return {"loss": loss}

        model = Model()
        model.compile(keras.optimizers.SGD(0.1), crossentropy(), run_eagerly=True)
        x = np.reshape(X, (len(X), -1))
        model(x[:ROWS])
        model.fit(x, Y, batch_size=ROWS, epochs=2, shuffle=False, verbose=0)

        draws = int(model.mix.seed_generator.state.value[1])
        assert draws == 2 * len(X) // ROWS
        got, expected = (keras.ops.convert_to_numpy(kernel) for kernel in (model.head.kernel, self.trained()))
        np.testing.assert_allclose(got, expected, rtol=1e-5)

    def trained(self):
        """The weights after the same steps without rematerialisation."""
        inputs = keras.Input((20,))
        model = keras.Model(inputs, dense(3, seed=1)(mixup()(inputs)))
        model.compile(keras.optimizers.SGD(0.1), crossentropy(), run_eagerly=True)
        model.fit(np.reshape(X, (len(X), -1)), Y, batch_size=ROWS, epochs=2, shuffle=False, verbose=0)
        return model.layers[-1].kernel

    @pytest.mark.parametrize("inside", ["a later block", "a train_step"])
    def test_a_backward_pass_over_two_blocks_is_refused(self, inside):
        """It calls the layer twice, and the blocks do not tell which mix belongs to which call."""
        import torch

        layer, loss_fn = mixup(), MixLoss("mse")
        xs = [torch.nn.Parameter(torch.eye(ROWS)) for _ in range(2)]

        def forward(x):
            y = torch.utils.checkpoint.checkpoint(lambda x: layer(x, training=True) ** 2, x, use_reentrant=False)
            return loss_fn(np.zeros((ROWS, ROWS), "float32"), y)

        class Model(keras.Model):
            def train_step(self, data):
                losses = []
                for x in xs:
                    with training_step():
                        losses.append(forward(x))
                sum(losses).backward()

        def in_the_later_block():
            with training_step():
                first = forward(xs[0])
            with training_step():
                (first + forward(xs[1])).backward()

        with pytest.raises(RuntimeError, match=r"(?s)rematerialised.*one of several"):
            in_the_later_block() if inside == "a later block" else Model().train_step(None)

    def test_steps_one_after_the_other_repeat_their_own_mix(self):
        gradients = [self.backward(True, False)[0] for _ in range(2)]

        np.testing.assert_array_equal(*gradients)

    def test_a_mix_in_a_bare_loop_is_refused_when_it_is_called_again(self):
        import torch

        layer = mixup()
        x = torch.nn.Parameter(torch.eye(ROWS))
        y = torch.utils.checkpoint.checkpoint(lambda x: layer(x, (), training=True), x, use_reentrant=False)

        with pytest.raises(RuntimeError, match=r"(?s)rematerialised.*training_step"):
            (y**2).sum().backward()


def in_thread(function):
    """Runs a function in another thread, and raises here what it raises there."""
    failed = []

    def run():
        try:
            function()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
