"""Labels of elements follow a mix that pastes, wherever the elements lie; against a model that reads them off.

Every image has a class of its own, shown in each of its pixels, so a model that gives back what it reads is right about
every element: its loss is 0 if, and only if, each label follows the owner of its element.
"""

import keras
import numpy as np
import pytest

from keras_mixup import CutMix, FMix, GridMix, MixLayer, MixLoss, MixMetric, MixUp, RandomMix, check, training_step
from keras_mixup.functional import Mix

pytestmark = pytest.mark.slow

ROWS = 6
L, M = keras.losses, keras.metrics
SHARP = 40.0  # softmax of such scores is one-hot


class Vertical(MixLayer):
    """Pastes the lower half."""

    def draw(self, batch):
        ops, shape = batch.ops, batch.shape
        keep = ops.reshape(ops.arange(shape[1]) < shape[1] // 2, (1, -1) + (1,) * (len(shape) - 2))
        return Mix(keep=ops.broadcast_to(keep, (shape[0], shape[1]) + (1,) * (len(shape) - 2)))


LAYERS = {
    "CutMix": lambda **options: CutMix(1.0, seed=0, **options),
    "FMix": lambda **options: FMix(1.0, seed=0, **options),
    "GridMix": lambda **options: GridMix(1.0, seed=0, cells=2, **options),
    "RandomMix": lambda **options: RandomMix([CutMix(1.0, **options), GridMix(1.0, cells=2, **options)], seed=0),
}


def images(height, width, channels_first=False):
    """`(rows, height, width, rows)`, in which each pixel shows its row as a one-hot vector."""
    x = np.broadcast_to(np.eye(ROWS, dtype="float32")[:, None, None], (ROWS, height, width, ROWS))
    return np.ascontiguousarray(np.moveaxis(x, -1, 1) if channels_first else x)


def classes(*sizes):
    """The row of each element."""
    return np.broadcast_to(np.arange(ROWS).reshape(-1, *(1,) * len(sizes)), (ROWS, *sizes)).astype("int32")


def strided(*strides):
    return lambda x: x[(slice(None), *(slice(None, None, s) for s in strides))]


def repeated(factor):
    return lambda x: keras.ops.repeat(keras.ops.repeat(x, factor, axis=1), factor, axis=2)


def flattened(x):
    return keras.ops.reshape(x, (keras.ops.shape(x)[0], -1, x.shape[-1]))


class Head(keras.layers.Layer):
    """Reads the class off some of the elements; with a weight to train, which has no effect."""

    def __init__(self, read):
        super().__init__()
        self.read = read

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return self.read(x) * SHARP + 0 * self.scale

    def compute_output_shape(self, input_shape):
        return keras.ops.shape(self.read(np.zeros((ROWS, *input_shape[1:]), "float32")))


def train(layer, x, read, y, loss, metrics=(), weights=None, weighted_metrics=(), **options):
    """The logs of one training step."""
    inputs = keras.Input(x.shape[1:])
    head = Head(read)
    out = keras.ops.shape(head.read(keras.ops.convert_to_tensor(x)))
    head.compute_output_shape = lambda shape: (None, *out[1:])
    model = keras.Model(inputs, head(layer(inputs)))
    model.compile(
        keras.optimizers.SGD(0.0), loss, metrics=list(metrics), weighted_metrics=list(weighted_metrics), **options
    )
    logs = model.fit(x, y, sample_weight=weights, batch_size=ROWS, shuffle=False, verbose=0).history
    return {name: values[0] for name, values in logs.items()}


# name: size of the images, what the model reads, sizes of the labels
GRIDS = {
    "stride 1": ((8, 6), strided(1, 1), (8, 6)),
    "stride 2": ((8, 6), strided(2, 2), (4, 3)),
    "stride 4": ((8, 12), strided(4, 4), (2, 3)),
    "a stride for each axis": ((8, 6), strided(4, 2), (2, 3)),
    "height alone": ((8, 6), strided(2, 1), (4, 6)),
    "sizes that do not divide": ((7, 9), strided(2, 2), (4, 5)),
    "upsampled": ((4, 3), repeated(2), (8, 6)),
    "flattened": ((8, 6), flattened, (48,)),
    "strided and flattened": ((8, 6), lambda x: flattened(strided(2, 2)(x)), (12,)),
}


# Grids are told by shapes, whatever runs the step.
READ = [(grid, one_hot, {}) for grid in GRIDS for one_hot in (False, True)]
READ += [
    (grid, False, how)
    for grid in ("sizes that do not divide", "upsampled", "strided and flattened")
    for how in ({"run_eagerly": True}, {"jit_compile": True})
]


@pytest.mark.parametrize(("grid", "one_hot", "how"), READ, ids=str)
def test_a_model_that_reads_the_class_off_each_element_is_right(grid, one_hot, how):
    if how.get("jit_compile") and keras.backend.backend() == "torch":
        pytest.skip("XLA is a matter of TensorFlow and JAX")
    size, read, sizes = GRIDS[grid]
    y = classes(*sizes)
    loss = L.CategoricalCrossentropy(True) if one_hot else L.SparseCategoricalCrossentropy(True)

    logs = train(
        LAYERS["CutMix"](), images(*size), read, np.eye(ROWS)[y] if one_hot else y, MixLoss(loss),
        [MixMetric("accuracy")], **how,
    )  # fmt: skip

    assert logs["loss"] == pytest.approx(0, abs=1e-6)
    assert logs["accuracy"] == pytest.approx(1)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("weights", [False, True])
def test_every_pasting_layer_leads_labels_at_a_stride(name, weights):
    w = np.linspace(0.2, 2, ROWS).astype("float32") if weights else None

    logs = train(
        LAYERS[name](), images(8, 8), strided(2, 2), classes(4, 4),
        MixLoss(L.SparseCategoricalCrossentropy(True)), [MixMetric("accuracy")], w,
    )  # fmt: skip

    assert logs["loss"] == pytest.approx(0, abs=1e-6)
    assert logs["accuracy"] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["class indices", "one-hot"])
@pytest.mark.parametrize("weights", [None, "samples", "pixels"])
@pytest.mark.parametrize("size", [(8, 4), (ROWS, ROWS)], ids=["", "as many classes as pixels"])
def test_channels_first(size, weights, kind):
    """The classes lie along axis 1, also where every axis has the same size."""
    y = classes(*size)
    one_hot = np.moveaxis(np.eye(ROWS, dtype="float32")[y], -1, 1)
    w = {
        None: None,
        "samples": np.linspace(0.2, 2, ROWS),
        "pixels": np.random.default_rng(0).uniform(size=(ROWS, *size)),
    }
    loss = L.CategoricalCrossentropy(True, axis=1) if kind == "one-hot" else SparseFirst()
    y = {"one-hot": one_hot, "class indices": y}[kind]

    logs = train(
        LAYERS["CutMix"](data_format="channels_first"), images(*size, channels_first=True), strided(1, 1, 1), y,
        MixLoss(loss), weights=w[weights],
    )  # fmt: skip

    assert logs["loss"] == pytest.approx(0, abs=1e-6)


class SparseFirst(L.Loss):
    def call(self, y_true, y_pred):
        last = keras.ops.moveaxis(y_pred, 1, -1)  # on JAX Keras' own `axis=1` refuses its labels
        return L.sparse_categorical_crossentropy(y_true, last, from_logits=True)


PICTURES = ["images", "images first", "no channel", "no channel in the labels", "flat", "stride 2", "series", "as many"]
REGRESSIONS = [(case, "mse", weights) for case in PICTURES for weights in (False, True)]
REGRESSIONS += [
    (case, name, True) for case in ("images", "no channel", "flat") for name in ("mae", "binary_crossentropy")
]


@pytest.mark.parametrize(("case", "name", "weights"), REGRESSIONS)
def test_a_regression_of_each_element_follows_the_owners(case, name, weights):
    """An autoencoder that gives back what it was shown, whatever axis its loss averages over."""
    w = np.linspace(0.2, 2, ROWS) if weights else None
    options, x, read = {}, images(8, 4), strided(1)
    if case == "images first":
        options, x = {"data_format": "channels_first"}, images(ROWS, ROWS, channels_first=True)
    elif case in ("no channel", "no channel in the labels", "flat"):
        x = np.round(np.random.default_rng(0).uniform(size=(ROWS, 8, 4, 1))).astype("float32")
        read = {"no channel": lambda x: x[..., 0], "flat": lambda x: keras.ops.reshape(x, (-1, 32))}.get(case, read)
    elif case == "stride 2":
        read = strided(2, 2)
    elif case == "series":
        options, x = {"axes": (1,)}, images(8, 1)[:, :, 0]
    elif case == "as many":
        options, x = {"axes": (1,)}, images(ROWS, 1)[:, :, 0]
    y = keras.ops.convert_to_numpy(read(keras.ops.convert_to_tensor(x)))
    if case == "no channel in the labels":
        y = y[..., 0]
    loss = L.BinaryCrossentropy(from_logits=True) if name == "binary_crossentropy" else name
    scaled = (lambda x: read(x) * 2 - 1) if name == "binary_crossentropy" else (lambda x: read(x) / SHARP)

    logs = train(LAYERS["CutMix"](**options), x, scaled, y, MixLoss(loss), weights=w)

    assert logs["loss"] == pytest.approx(0, abs=1e-6)


SERIES = images(8, 1)[:, :, 0]


@pytest.mark.parametrize("one_hot", [False, True])
def test_time_steps_at_half_the_rate(one_hot):
    y = np.eye(ROWS)[classes(4)] if one_hot else classes(4)
    loss = L.CategoricalCrossentropy(True) if one_hot else L.SparseCategoricalCrossentropy(True)

    logs = train(CutMix(1.0, axes=(1,), seed=0), SERIES, strided(2), y, MixLoss(loss), [MixMetric("accuracy")])

    assert logs["loss"] == pytest.approx(0, abs=1e-6)
    assert logs["accuracy"] == pytest.approx(1)


def test_waves_with_a_label_for_each_sample_in_time():
    """`(batch, time)` in, `(batch, time, classes)` out."""
    x = np.broadcast_to(np.arange(ROWS, dtype="float32")[:, None], (ROWS, 8)).copy()

    def read(x):
        return keras.ops.one_hot(keras.ops.cast(keras.ops.round(x), "int32"), ROWS)

    logs = train(CutMix(1.0, axes=(1,), seed=0), x, read, classes(8), MixLoss(L.SparseCategoricalCrossentropy(True)))

    assert logs["loss"] == pytest.approx(0, abs=1e-6)


WAVES = np.random.default_rng(0).normal(size=(ROWS, 8)).astype("float32")


@pytest.mark.parametrize(
    ("x", "axes"),
    [(WAVES, (1,)), (np.random.default_rng(0).normal(size=(ROWS, 4, 5)).astype("float32"), (2,))],
    ids=["waves", "boxes along the features"],
)
def test_an_argument_settles_what_cannot_be_told(x, axes):
    """An output like the input: elements, or as many classes. By element the autoencoder is right."""
    make, read = lambda: CutMix(1.0, axes=axes, seed=0), lambda x: x / SHARP

    with pytest.raises(ValueError, match=r"cannot tell.*\n.*by='element'.*by='sample'"):
        train(make(), x, read, x, MixLoss("mse"))

    assert train(make(), x, read, x, MixLoss("mse", by="element"))["loss"] == pytest.approx(0, abs=1e-6)
    by_sample = train(make(), x, read, x, MixLoss("mse", by="sample"))["loss"]
    mixed, matrix = CutMix(1.0, axes=axes).mix_numpy(x, np.eye(ROWS, dtype="float32"), seed=0)
    assert by_sample == pytest.approx(np.mean((np.tensordot(matrix, x, 1) - mixed) ** 2), rel=1e-4)


def test_an_autoencoder_with_a_flat_output_and_channels():
    x = np.random.default_rng(0).normal(size=(ROWS, 4, 4, 3)).astype("float32")

    def read(x):
        return keras.ops.reshape(x, (-1, 48)) / SHARP

    with pytest.raises(ValueError, match="by='element'"):
        train(LAYERS["CutMix"](), x, read, x.reshape(ROWS, -1), MixLoss("mse"))

    logs = train(LAYERS["CutMix"](), x, read, x.reshape(ROWS, -1), MixLoss("mse", by="element"))
    assert logs["loss"] == pytest.approx(0, abs=1e-6)


UNCLEAR = {
    "another size": ((8, 6), (5, 5), None),
    "valid convolutions": ((8, 6), (6, 4), None),
    "two strides explain it": ((7, 7), (3, 3), None),
}


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("case", UNCLEAR)
def test_dense_labels_whose_place_cannot_be_told_are_refused(case, one_hot):
    size, sizes, _ = UNCLEAR[case]
    y = np.eye(ROWS)[classes(*sizes)] if one_hot else classes(*sizes)
    loss = L.CategoricalCrossentropy(True) if one_hot else L.SparseCategoricalCrossentropy(True)

    def crop(x):
        return x[:, : sizes[0], : sizes[1]]

    received = rf"Received: parts pasted in inputs of shape \({ROWS}, {size[0]}, {size[1]}, any\)"

    with pytest.raises(ValueError, match=rf"cannot tell.*{received}.*\nOptions: `MixLoss\(..., by='element'\)`"):
        train(LAYERS["CutMix"](), images(*size), crop, y, MixLoss(loss))
    with pytest.raises(ValueError, match=r"told by='element'.*\nOptions: .*by='sample'"):
        train(LAYERS["CutMix"](), images(*size), crop, y, MixLoss(loss, by="element"))
    assert train(LAYERS["CutMix"](), images(*size), crop, y, MixLoss(loss, by="sample"))["loss"] > 0.1


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
@pytest.mark.parametrize("size", [(8, 6), (ROWS, ROWS), (4, 4)])
def test_labels_of_whole_images_follow_by_sample(shape, size):
    y = np.arange(ROWS).reshape(shape)

    def mean(x):
        return keras.ops.mean(x, axis=(1, 2)) * 4 / SHARP

    layer = LAYERS["CutMix"]()
    loss = MixLoss(L.SparseCategoricalCrossentropy(True))
    value = train(layer, images(*size), mean, y, loss)["loss"]

    mixed, matrix = CutMix(1.0).mix_numpy(images(*size), np.eye(ROWS, dtype="float32"), seed=0)
    scores = mixed.mean(axis=(1, 2)) * 4
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    assert loss.followed_by == "sample"
    assert value == pytest.approx(-(matrix * log_p).sum(-1).mean(), rel=1e-4)


def test_boxes_of_frequencies_leave_labels_of_time_steps_by_sample():
    """Every time step is a mix of the same shares."""
    x, loss = np.ones((ROWS, 5, 7), "float32"), MixLoss(L.SparseCategoricalCrossentropy(True))
    train(CutMix(1.0, axes=(2,), seed=0), x, lambda x: x[..., :ROWS] / SHARP, classes(5), loss)

    assert loss.followed_by == "sample"


@pytest.mark.parametrize("by", [None, "sample", "element"])
@pytest.mark.parametrize("wrapper", [MixLoss, MixMetric])
def test_the_argument_is_saved(wrapper, by):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(wrapper("mse", by=by)))

    assert copy.by == by
    with pytest.raises(ValueError, match="Invalid value for argument `by`"):
        wrapper("mse", by="pixel")


def test_check_says_which_way_each_loss_and_metric_follows():
    inputs = keras.Input((8, 6, ROWS))
    h = CutMix(1.0, seed=0, name="cut")(inputs)
    outputs = {
        "mask": keras.layers.Conv2D(ROWS, 1, strides=2, name="mask")(h),
        "kind": keras.layers.Dense(ROWS, name="kind")(keras.layers.Flatten()(h)),
    }
    model = keras.Model(inputs, outputs)
    sparse = L.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "sgd", {name: MixLoss(sparse) for name in outputs}, metrics={name: [MixMetric("acc")] for name in outputs}
    )

    report = check(model, images(8, 6), {"mask": classes(4, 3), "kind": classes()})

    assert report.losses == {"mask": "cut", "kind": "cut"}
    assert report.by["losses"] == {"mask": "element", "kind": "sample"}
    assert "  mask: follows 'cut' by element" in str(report)
    assert "  kind: follows 'cut' by sample" in str(report)
    assert sorted(report.by["metrics"].values()) == ["element", "sample"]


def test_a_mix_that_blends_everything_has_one_share_for_each_sample():
    loss = MixLoss("mse", by="element")
    train(MixUp(1.0, seed=0), images(4, 4), lambda x: x / SHARP, images(4, 4), loss)

    assert loss.followed_by == "sample"


def test_halves_of_sequences_in_a_loop():
    layer = Vertical(seed=0)
    with training_step():
        x = layer(SERIES, training=True)
        value = MixLoss(L.SparseCategoricalCrossentropy(True))(classes(8), x * SHARP)

    assert float(value) == pytest.approx(0, abs=1e-6)


METRICS = {
    "MeanIoU of class indices": (lambda: M.MeanIoU(ROWS, dtype="float32"), "ids"),
    "MeanIoU of scores": (lambda: M.MeanIoU(ROWS, sparse_y_pred=False, dtype="float32"), "scores"),
    "OneHotMeanIoU": (lambda: M.OneHotMeanIoU(ROWS, dtype="float32"), "one-hot"),
    "OneHotIoU": (lambda: M.OneHotIoU(ROWS, list(range(ROWS)), dtype="float32"), "one-hot"),
    "BinaryIoU": (lambda: M.BinaryIoU(dtype="float32"), "binary"),
    "BinaryIoU with a channel": (lambda: M.BinaryIoU(dtype="float32"), "binary with a channel"),
    "SparseCategoricalAccuracy": (lambda: M.SparseCategoricalAccuracy(), "scores"),
    "SparseTopK": (lambda: M.SparseTopKCategoricalAccuracy(k=1), "scores"),
    "TopK": (lambda: M.TopKCategoricalAccuracy(k=1), "one-hot"),
    "CategoricalAccuracy": (lambda: M.CategoricalAccuracy(), "one-hot"),
    "accuracy": (lambda: "accuracy", "one-hot"),
    "BinaryAccuracy": (lambda: M.BinaryAccuracy(), "binary"),
    "BinaryAccuracy with a channel": (lambda: M.BinaryAccuracy(), "binary with a channel"),
    "AUC": (lambda: M.AUC(), "binary with a channel"),
    "AUC without": (lambda: M.AUC(), "binary"),
    "AUC of one-hot": (lambda: M.AUC(), "one-hot"),
    "Precision": (lambda: M.Precision(), "one-hot"),
    "Recall": (lambda: M.Recall(), "binary"),
    "error": (lambda: "mae", "one-hot"),
    "error of binary": (lambda: "mse", "binary"),
    "root": (lambda: M.RootMeanSquaredError(), "one-hot"),
    "cosine": (lambda: M.CosineSimilarity(), "one-hot"),
}
BEST_IS_0 = ("error", "error of binary", "root")


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras in `MeanIoU` on JAX
@pytest.mark.parametrize(
    ("name", "step", "weights"),
    [(name, *case) for name in METRICS for case in ((1, False), (2, True))]
    + [("accuracy", 1, True), ("accuracy", 2, False)],
)
def test_metrics_of_elements_know_a_model_that_is_right(name, step, weights):
    make, kind = METRICS[name]
    x, sizes = images(8, 4), (8 // step, 4 // step)
    y = classes(*sizes)

    def thin(x):
        return strided(step, step)(x) / SHARP

    read = {
        "scores": thin, "one-hot": thin,
        "ids": lambda x: keras.ops.cast(keras.ops.argmax(thin(x), -1), "float32") / SHARP,
        "binary": lambda x: keras.ops.sum(thin(x)[..., : ROWS // 2], -1),
        "binary with a channel": lambda x: keras.ops.sum(thin(x)[..., : ROWS // 2], -1, keepdims=True),
    }[kind]  # fmt: skip
    if kind == "one-hot":
        y = np.eye(ROWS, dtype="float32")[y]
    elif kind.startswith("binary"):
        y = (y < ROWS // 2).astype("float32")[..., None if kind.endswith("channel") else slice(None)]
    metric = MixMetric(make(), name="m", by="element" if (kind, step) == ("binary", 2) else None)
    w = np.linspace(0.2, 2, ROWS).astype("float32") if weights else None
    group = {"weighted_metrics": [metric]} if weights else {"metrics": [metric]}

    loss = L.SparseCategoricalCrossentropy(True) if kind == "scores" else "mse"
    logs = train(LAYERS["CutMix"](), x, read, y, MixLoss(loss, by="sample"), weights=w, **group)

    assert metric.followed_by == "element"
    assert logs["m"] == pytest.approx(0 if name in BEST_IS_0 else 1, abs=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "none", "sum_over_batch_size"])
def test_a_loss_over_the_last_axis_of_elements_is_reduced_as_without_a_mix(reduction):
    """Nothing is mixed (probability 0), so the step must give the plain loss."""
    x = np.random.default_rng(0).uniform(size=(4, 8, 8)).astype("float32")
    y = (np.random.default_rng(1).uniform(size=(4, 8, 8)) > 0.5).astype("float32")
    plain = keras.losses.BinaryCrossentropy(reduction=reduction)
    layer = CutMix(probability=0.0, axes=(1, 2), seed=0)

    with training_step():
        layer(x, training=True)
        loss = MixLoss(plain)(y, keras.ops.convert_to_tensor(x))

    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (loss, plain(y, x))), rtol=1e-5)
