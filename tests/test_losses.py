"""`MixLoss`: labels that follow the mix of the step, against the oracle and against the pipeline."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from data import number

from keras_mixup import MixLoss, MixMetric, MixUp, training_step

BATCH, CLASSES, TIME = 8, 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, 5)).astype("float32")
INDICES = np.arange(BATCH) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype="float32")[INDICES]
WEIGHTS = RNG.uniform(0.2, 2, BATCH).astype("float32")
losses = keras.losses

SPARSE, SOFT = losses.SparseCategoricalCrossentropy(True), losses.CategoricalCrossentropy(True)
SMOOTH, BINARY = losses.CategoricalCrossentropy(True, 0.1), losses.BinaryCrossentropy(True)
MULTI_HOT = (RNG.uniform(size=(BATCH, 3)) < 0.5).astype("float32")
NUMBERS = RNG.normal(size=(BATCH, 2)).astype("float32")

# name: labels, those of the pipeline, width of the predictions, loss in the model, loss in a pipeline
LABEL_KINDS = {
    "class indices (B,)": (INDICES, ONE_HOT, 3, SPARSE, SOFT),
    "class indices (B, 1)": (INDICES[:, None], ONE_HOT, 3, SPARSE, SOFT),
    "one-hot": (ONE_HOT, ONE_HOT, 3, SOFT, SOFT),
    "one-hot, smoothed": (ONE_HOT, ONE_HOT, 3, SMOOTH, SMOOTH),
    "multi-label": (MULTI_HOT, MULTI_HOT, 3, BINARY, BINARY),
    "multi-label of integers": (MULTI_HOT.astype("int32"), MULTI_HOT, 3, BINARY, BINARY),
    "binary (B,) of integers": (INDICES % 2, (INDICES % 2).astype("float32"), 1, BINARY, BINARY),
    "regression (B,)": (NUMBERS[:, 0], NUMBERS[:, 0], 1, losses.MeanSquaredError(), losses.MeanSquaredError()),
    "regression (B, 2)": (NUMBERS, NUMBERS, 2, losses.Huber(), losses.Huber()),
}


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "xla"])
def jit_compile(request):
    if request.param and keras.backend.backend() == "torch":
        pytest.skip("XLA is a matter of TensorFlow and JAX")
    return request.param


def build(loss, outputs=3, seed=0, jit_compile=False, metrics=(), **compile_options):
    layers = [keras.Input((5,)), MixUp(1.0, seed=seed, name="mix"), keras.layers.Dense(outputs)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=list(metrics), jit_compile=jit_compile, **compile_options)
    return model


def first_mix(seed=0):
    """The matrix and the mixed inputs of the first training step of a layer with this seed."""
    x, M = MixUp(1.0).mix_numpy(X, np.eye(BATCH, dtype="float32"), seed=seed)
    return x, M


def plain(model, x):
    return model.layers[-1](x)


COMPILED = ["class indices (B,)", "one-hot", "regression (B,)"]  # in pairs, blended, and of one axis


@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("kind", "jit_compile"),
    [(kind, False) for kind in LABEL_KINDS] + [(kind, True) for kind in COMPILED],
    indirect=["jit_compile"],
)
def test_the_model_gives_the_loss_of_the_pipeline(kind, weights, jit_compile):
    """Same draws, same loss: labels followed in the model, or mixed before it."""
    y, soft, outputs, loss, pipeline_loss = LABEL_KINDS[kind]
    model = build(MixLoss(loss), outputs, jit_compile=jit_compile)
    mixed = MixUp(1.0).mix_numpy(X, soft, weights, seed=0)

    history = model.fit(X, y, batch_size=BATCH, shuffle=False, sample_weight=weights, verbose=0)

    expected = pipeline_loss(mixed[1], plain(model, mixed[0]), *mixed[2:])
    np.testing.assert_allclose(history.history["loss"][0], keras.ops.convert_to_numpy(expected), rtol=2e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"])
def test_pairs_are_the_sum_of_both_losses_under_every_reduction(reduction, weights):
    """Σ λ·w_a·L(y_a) + (1 - λ)·w_b·L(y_b), then what the wrapped loss does with its terms."""
    model = build(None)
    x, M = first_mix()
    loss = MixLoss(losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction))

    with training_step():
        value = loss(INDICES, model(X, training=True), weights)

    prediction = keras.ops.convert_to_numpy(plain(model, x))
    terms = reference.paired_loss(M, reference.softmax_crossentropy, INDICES, prediction, weights)
    divisor = {"sum": 1, "none": 1, "mean_with_sample_weight": BATCH if weights is None else (M @ weights).sum()}
    expected = terms if reduction == "none" else terms.sum() / divisor.get(reduction, BATCH)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(value), expected, rtol=2e-5)


def test_class_weights_are_exact(jit_compile):
    """Each of the two labels counts by its own class's weight, not by that of the greater share."""
    class_weight = {0: 0.1, 1: 1.0, 2: 5.0}
    model = build(MixLoss(losses.SparseCategoricalCrossentropy(from_logits=True)), jit_compile=jit_compile)
    x, M = first_mix()

    history = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, class_weight=class_weight, verbose=0)

    w = np.array([class_weight[i] for i in INDICES])
    prediction = keras.ops.convert_to_numpy(plain(model, x))
    terms = reference.paired_loss(M, reference.softmax_crossentropy, INDICES, prediction, w)
    np.testing.assert_allclose(history.history["loss"][0], terms.mean(), rtol=2e-5)


@pytest.mark.parametrize("time", [TIME, BATCH])
@pytest.mark.parametrize("weights", [None, "samples", "steps"])
def test_sequence_labels_follow_row_by_row(time, weights):
    """(B, T) class indices against (B, T, K), also where T equals B: λ belongs to the rows, never to the steps."""
    model = keras.Sequential([keras.Input((time, 5)), MixUp(1.0, seed=0), keras.layers.Dense(CLASSES)])
    x = RNG.normal(size=(BATCH, time, 5)).astype("float32")
    y = RNG.integers(0, CLASSES, (BATCH, time))
    w = {None: None, "samples": WEIGHTS[:, None], "steps": RNG.uniform(size=(BATCH, time)).astype("float32")}[weights]

    with training_step():
        value = MixLoss(losses.SparseCategoricalCrossentropy(from_logits=True))(y, model(x, training=True), w)

    mixed, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0)
    prediction = keras.ops.convert_to_numpy(plain(model, mixed))

    def per_sample(y, p):
        return np.array([reference.softmax_crossentropy(a, b) for a, b in zip(y, p, strict=True)])

    terms = reference.paired_loss(M, per_sample, y, prediction, w)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(value), terms.mean(), rtol=2e-5)


def test_negative_weights_are_weights():
    """As advantages are: the terms are exact, whatever the sign."""
    weights = -np.linspace(1, 3, BATCH).astype("float32")
    model = build(None)

    values = []
    for loss, y in ((SPARSE, INDICES), (SOFT, ONE_HOT)):
        model.layers[0].seed_generator.state.assign([0, 0])
        with training_step():
            values.append(number(MixLoss(loss)(y, model(X, training=True), weights)))

    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_pairwise_forces_pairs_or_blended_labels():
    """For a loss that is not linear in the labels the two differ; both are to be had."""
    y = RNG.normal(size=(BATCH, 3)).astype("float32")
    model = build(None)
    x, M = first_mix()
    values = []
    for pairwise in (True, False, None):
        model.layers[0].seed_generator.state.assign([0, 0])
        with training_step():
            values.append(number(MixLoss("mse", pairwise=pairwise)(y, model(X, training=True))))

    prediction = keras.ops.convert_to_numpy(plain(model, x)).astype("float64")
    pairs = reference.paired_loss(M, lambda y, p: np.mean((y - p) ** 2), y, prediction).mean()
    blend = np.mean((M @ y - prediction) ** 2)
    assert pairs > blend + 0.01
    np.testing.assert_allclose(values, [pairs, blend, blend], rtol=2e-5)


@pytest.mark.parametrize("loss", [losses.Hinge(), "hinge", losses.squared_hinge])
def test_labels_that_are_read_as_signs_are_paired(loss):
    """A hinge loss turns labels 0 and 1 into signs only where there are no others: blended ones it would mistake."""
    y = (INDICES % 2)[:, None].astype("float32")
    model = build(None, 1)
    x, M = first_mix()
    power = 2 if loss is losses.squared_hinge else 1

    with training_step():
        value = MixLoss(loss)(y, model(X, training=True))

    prediction = keras.ops.convert_to_numpy(plain(model, x))

    def hinge(y, p):
        return max(1 - (2 * y[0] - 1) * p[0], 0) ** power

    np.testing.assert_allclose(number(value), reference.paired_loss(M, hinge, y, prediction).mean(), rtol=2e-5)


def test_scalar_predictions_are_paired_sample_by_sample():
    """Predictions `(B,)` would be averaged over the batch by their last axis; in pairs each keeps its weight."""
    y, p = RNG.normal(size=(2, BATCH)).astype("float32")
    layer = MixUp(1.0, seed=0)
    _, M = first_mix()

    with training_step():
        layer(X, training=True)
        value = MixLoss("mae", pairwise=True)(y, keras.ops.convert_to_tensor(p))

    expected = reference.paired_loss(M, lambda y, p: abs(y - p), y, p).mean()
    np.testing.assert_allclose(number(value), expected, rtol=1e-5)


def test_a_loss_that_looks_across_the_batch_sees_one_batch():
    """The two terms are two calls: what a loss computes over the batch is not computed over a doubled one."""

    def spread(y, p):
        return keras.ops.sum(keras.ops.abs(y - p), axis=-1) / keras.ops.norm(p)

    y = RNG.normal(size=(BATCH, 3)).astype("float32")
    model = build(None)
    x, M = first_mix()

    with training_step():
        value = MixLoss(spread, pairwise=True)(y, model(X, training=True))

    prediction = keras.ops.convert_to_numpy(plain(model, x)).astype("float64")

    def per_sample(y, p):
        return np.abs(y - p).sum() / np.linalg.norm(prediction)

    np.testing.assert_allclose(number(value), reference.paired_loss(M, per_sample, y, prediction).mean(), rtol=2e-5)


def test_each_term_of_a_masked_loss_has_its_own_mask():
    """The padding of a sample masks its own label term; the mean is one over the valid steps, by their shares."""
    x = RNG.normal(size=(BATCH, TIME, 5)).astype("float32")
    for row in range(BATCH):
        x[row, TIME - row % TIME :] = 0
    y = RNG.integers(0, CLASSES, (BATCH, TIME))
    layers = [keras.Input((TIME, 5)), keras.layers.Masking(), MixUp(1.0, seed=0), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)

    with training_step():
        value = MixLoss(losses.SparseCategoricalCrossentropy(from_logits=True))(y, model(x, training=True))

    mixed, M = MixUp(1.0).mix_numpy(x, np.eye(BATCH, dtype="float32"), seed=0)
    prediction = keras.ops.convert_to_numpy(plain(model, mixed))
    mask = (x != 0).any(-1)

    def per_sample(y, p):
        return np.array([reference.softmax_crossentropy(a, b) for a, b in zip(y, p, strict=True)])

    terms = reference.paired_loss(M, per_sample, y, prediction, mask)
    np.testing.assert_allclose(number(value), terms.sum() / (M @ mask).sum(), rtol=2e-5)


@pytest.mark.slow
def test_several_outputs_follow_the_same_mix(jit_compile):
    """Each output has its own loss, all of them the mix of the step; loss weights apply."""
    inputs = keras.Input((5,))
    h = MixUp(1.0, seed=0)(inputs)
    outputs = {"kind": keras.layers.Dense(3, name="kind")(h), "size": keras.layers.Dense(1, name="size")(h)}
    model = keras.Model(inputs, outputs)
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(0.0),
        {"kind": MixLoss(sparse), "size": MixLoss("mse")},
        loss_weights={"kind": 1.0, "size": 0.5},
        jit_compile=jit_compile,
    )
    y = {"kind": INDICES, "size": RNG.normal(size=(BATCH, 1)).astype("float32")}

    logs = model.fit(X, y, batch_size=BATCH, shuffle=False, verbose=0).history

    x, M = first_mix()
    kind, size = (keras.ops.convert_to_numpy(model.get_layer(name)(x)) for name in ("kind", "size"))
    expected_kind = reference.paired_loss(M, reference.softmax_crossentropy, INDICES, kind).mean()
    expected_size = np.mean((M @ y["size"] - size) ** 2)
    np.testing.assert_allclose(logs["loss"][0], expected_kind + 0.5 * expected_size, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "crossentropy",
        keras.losses.sparse_categorical_crossentropy,
        keras.losses.SparseCategoricalCrossentropy(),
        lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p),
    ],
)
def test_names_functions_and_objects_are_one_loss(loss):
    """Without a mix each is what `compile` makes of it; with one they agree."""
    model = build(None)
    model.add(keras.layers.Softmax())
    wrapped = MixLoss(loss)
    object_loss = keras.losses.SparseCategoricalCrossentropy()

    assert number(wrapped(INDICES, model(X))) == pytest.approx(number(object_loss(INDICES, model(X))), rel=1e-6)
    with training_step():
        prediction = model(X, training=True)
        value, expected = (number(f(INDICES, prediction)) for f in (wrapped, MixLoss(object_loss)))
    assert value == pytest.approx(expected, rel=1e-6)


NAMES = ["mse", "huber", "poisson", "hinge", "squared_hinge", "kl_divergence", "binary_crossentropy", "crossentropy"]
ALIGNED = [((8,), (8, 1)), ((8, 4), (8, 4, 1)), ((8, 3), (8, 3)), ((8, 4, 1), (8, 4))]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [*NAMES, lambda y, p: keras.ops.square(y - p)])
@pytest.mark.parametrize("shapes", ALIGNED, ids=str)
def test_names_and_functions_are_what_compile_makes_of_them(loss, shapes):
    """Labels and predictions with an axis of size 1 more or less are aligned, not broadcast against each other."""
    y = RNG.integers(0, 2, shapes[0]).astype("float32")
    p = RNG.uniform(0.1, 0.9, shapes[1]).astype("float32")
    if loss == "crossentropy" and shapes == ALIGNED[-1]:
        loss = "mae"  # Keras takes these for class indices, and then refuses them
    compiled = []
    for candidate in (MixLoss(loss), loss):
        model = keras.Sequential([keras.Input(shapes[1][1:]), keras.layers.Identity()])
        model.compile("sgd", candidate, run_eagerly=True)
        compiled.append(model.evaluate(p, y, verbose=0))

    assert compiled[0] == compiled[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found no mix to follow")
def test_without_a_mix_it_is_exactly_the_wrapped_loss(jit_compile):
    """`evaluate`, and a model without a mixing layer, also in training."""
    plain_loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    values = []
    for loss in (MixLoss(plain_loss), plain_loss):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        model.compile("sgd", loss, jit_compile=jit_compile)
        history = model.fit(X, INDICES, sample_weight=WEIGHTS, verbose=0, epochs=2)
        values.append([*history.history["loss"], model.evaluate(X, INDICES, verbose=0)])

    assert values[0] == values[1]


@pytest.mark.slow
def test_a_saved_model_needs_no_extra_word(tmp_path):
    """`load_model(path)`, and the labels go on following."""
    model = build(
        MixLoss(losses.SparseCategoricalCrossentropy(from_logits=True), layer="mix"), metrics=[MixMetric("accuracy")]
    )
    model.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    expected = model.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert loaded.fit(X, INDICES, batch_size=BATCH, shuffle=False, verbose=0).history == expected
    assert loaded.loss.layer == "mix"


@pytest.mark.parametrize(
    "loss", [losses.CategoricalCrossentropy(label_smoothing=0.3, name="smooth"), "mse", losses.mean_absolute_error]
)
def test_config_round_trip(loss):
    """`from_config(get_config())` is the same loss."""
    wrapped = MixLoss(loss, layer="mix", pairwise=True)

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(wrapped))

    y, p = RNG.dirichlet(np.ones(3), (2, 4)).astype("float32")
    assert copy.get_config() == wrapped.get_config()
    assert number(copy(y, p)) == number(wrapped(y, p))
    assert (copy.name, copy.layer, copy.pairwise) == (wrapped.name, "mix", True)


def test_what_cannot_be_followed_says_so():
    """A loss without a value for each sample; a mix of other rows than the predictions; what is no loss."""

    def one_number(y, p):
        return keras.ops.mean(p)

    layer = MixUp(1.0)
    with training_step():
        layer(X, training=True)
        with pytest.raises(ValueError, match=r"one number for the whole batch.*pairwise=False"):
            MixLoss(one_number)(INDICES, keras.ops.ones((BATCH, 3)))
        with pytest.raises(ValueError, match=r"has 8 rows, the predictions have 4.*mix_dataset"):
            MixLoss("mse")(np.ones((4, 3)), keras.ops.ones((4, 3)))
    with pytest.raises(ValueError, match="Could not interpret loss identifier: 3"):
        MixLoss(3)
    with pytest.raises(ValueError, match="Invalid value for argument `pairwise`"):
        MixLoss("mse", pairwise="yes")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found no mix to follow")
def test_fit_on_a_mixed_dataset_leaves_the_labels_alone():
    """In the pipeline the labels are mixed already: `MixLoss` is then the wrapped loss."""
    dataset = tf.data.Dataset.from_tensor_slices((X, INDICES)).batch(BATCH)
    values = []
    for loss in (MixLoss(losses.CategoricalCrossentropy(True)), losses.CategoricalCrossentropy(True)):
        keras.utils.set_random_seed(0)
        mixed = MixUp(1.0, num_classes=3, seed=0).mix_dataset(dataset)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        model.compile("sgd", loss)
        values.append(model.fit(mixed, epochs=2, shuffle=False, verbose=0).history["loss"])

    assert values[0] == values[1]
    assert values[0][0] != values[0][1]
