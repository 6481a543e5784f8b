"""Labels of each element, such as masks of pixels, follow a mix that pastes element by element, also in the model."""

import keras
import numpy as np
import pytest
import reference

from keras_mixup import CutMix, FMix, MixLoss, MixMetric, MixUp, RandomMix

pytestmark = pytest.mark.slow

ROWS, CLASSES = 8, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(ROWS, 6, 5, 2)).astype("float32")
MASKS = RNG.integers(0, CLASSES, (ROWS, 6, 5))
SERIES = RNG.normal(size=(ROWS, 7, 2)).astype("float32")
WEIGHTS = RNG.uniform(0.2, 2, ROWS).astype("float32")
LAYERS = {
    "CutMix": lambda **options: CutMix(1.0, **options),
    "FMix": lambda **options: FMix(1.0, **options),
    "RandomMix": lambda **options: RandomMix([MixUp(1.0), CutMix(1.0)], **options),
}


def shares(layer, x):
    """The share of each element that is the original's, and the partners: from inputs that tell the rows apart."""
    eye = np.eye(ROWS, dtype="float32")
    rows = np.broadcast_to(eye.reshape(ROWS, *(1,) * (x.ndim - 2), ROWS), (*x.shape[:-1], ROWS))
    mixed, M = layer.mix_numpy(np.ascontiguousarray(rows), eye, seed=0)
    return mixed[np.arange(ROWS), ..., np.arange(ROWS)].astype("float64"), reference.partners(M)


def first_loss(layer, x, y, loss, metrics=(), sample_weight=None):
    """Of a model whose predictions are those of a known convolution of the mixed input; and these predictions."""
    convolution = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    model = keras.Sequential([keras.Input(x.shape[1:]), layer, convolution])
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=list(metrics))
    logs = model.train_on_batch(x, y, sample_weight=sample_weight, return_dict=True)
    mixed = layer.mix_numpy(x, np.eye(ROWS, dtype="float32"), seed=0)[0]
    return logs, keras.ops.convert_to_numpy(convolution(mixed)).astype("float64")


def crossentropies(y, logits):
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("one_hot", [False, True], ids=["class indices", "one-hot"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("x", [IMAGES, SERIES], ids=["images", "series"])
def test_masks_in_the_model_are_those_that_were_pasted(x, make, one_hot, weights):
    options = {} if x is IMAGES else {"axes": (1,)}
    if x is SERIES and make is not LAYERS["CutMix"]:
        pytest.skip("for images")
    y = MASKS if x is IMAGES else MASKS[:, 0, :1].repeat(7, axis=1) % 2 + np.arange(7) % 2
    keep, partner = shares(make(**options), x)
    loss = (keras.losses.CategoricalCrossentropy if one_hot else keras.losses.SparseCategoricalCrossentropy)(True)
    labels = np.eye(CLASSES, dtype="float32")[y] if one_hot else y
    w = None if weights is None else weights.reshape(-1, *(1,) * (y.ndim - 1))

    logs, logits = first_loss(make(seed=0, **options), x, labels, MixLoss(loss), [MixMetric("accuracy")], w)

    own, other = (keep, 1 - keep) if w is None else (keep * w, (1 - keep) * w[partner])
    terms = own * crossentropies(y, logits) + other * crossentropies(y[partner], logits)
    hits = own * (logits.argmax(-1) == y) + other * (logits.argmax(-1) == y[partner])
    assert float(logs["loss"]) == pytest.approx(terms.mean(), rel=1e-4)
    if w is None:
        assert float(logs["accuracy"]) == pytest.approx(hits.mean(), abs=1e-5)


def test_blended_masks_have_the_weights_of_their_elements():
    """A pasted element is of one sample, so that blending by force gives what pairs give."""
    layer, masks = LAYERS["CutMix"], np.eye(CLASSES, dtype="float32")[MASKS]
    losses = []
    for pairwise in (True, False):
        loss = MixLoss(keras.losses.CategoricalCrossentropy(from_logits=True), pairwise=pairwise)
        losses.append(float(first_loss(layer(seed=0), IMAGES, masks, loss, (), WEIGHTS[:, None, None])[0]["loss"]))

    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_an_autoencoder_is_to_give_back_what_it_was_shown():
    layer = CutMix(1.0, seed=0)
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer, keras.layers.Dense(2, "linear", False, "identity")])
    model.compile(keras.optimizers.SGD(0.0), MixLoss("mse"))

    assert float(model.train_on_batch(IMAGES, IMAGES)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("width", [5, 6])
def test_labels_of_whole_samples_follow_by_the_share(width):
    """Also where there are as many classes as pixels along an axis."""
    layer = CutMix(1.0, seed=0)
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer, keras.layers.Flatten(), keras.layers.Dense(width)])
    model.compile(keras.optimizers.SGD(0.0), MixLoss("mse"))
    y = RNG.normal(size=(ROWS, width)).astype("float32")
    x, M = layer.mix_numpy(IMAGES, np.eye(ROWS, dtype="float32"), seed=0)

    value = float(model.train_on_batch(IMAGES, y))

    prediction = keras.ops.convert_to_numpy(model.layers[-1](x.reshape(ROWS, -1)))
    assert value == pytest.approx(np.mean((M @ y - prediction) ** 2), rel=1e-4)


def test_classes_are_no_time_steps_though_as_many():
    """Waves `(batch, time)` against class scores `(batch, classes)`, with as many classes as steps, if that is said."""
    layer = CutMix(1.0, axes=(1,), seed=0)
    model = keras.Sequential([keras.Input((ROWS,)), layer, keras.layers.Dense(ROWS)])
    model.compile(keras.optimizers.SGD(0.0), MixLoss("mse", by="sample"))
    eye = np.eye(ROWS, dtype="float32")
    x, M = layer.mix_numpy(eye, eye, seed=0)

    value = float(model.train_on_batch(eye, eye))

    prediction = keras.ops.convert_to_numpy(model.layers[-1](x))
    assert value == pytest.approx(np.mean((M - prediction) ** 2), rel=1e-4)
