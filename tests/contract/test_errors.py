"""Mistakes, and what the package says to them: what was expected, what was received, the fix as code, why."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixup import MixLayer, MixUp

X = np.zeros((4, 6, 6, 3), "float32")
ONE_HOT = np.eye(4, dtype="float32")
INDICES = np.arange(4)


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"alpha": -0.1}, ValueError, r"`alpha`: expected a finite number, 0 or above.*Received: alpha=-0\.1"),
        ({"alpha": float("nan")}, ValueError, r"Received: alpha=nan"),
        ({"alpha": float("inf")}, ValueError, r"Received: alpha=inf"),
        ({"alpha": 1e39}, ValueError, r"Received: alpha=1e\+39"),
        ({"alpha": "0.2"}, TypeError, r"Received: alpha='0\.2' \(of type str\)"),
        ({"alpha": True}, TypeError, r"Received: alpha=True"),
        ({"alpha": None}, TypeError, r"Received: alpha=None"),
        ({"alpha": abs}, TypeError, r"a schedule of `keras\.optimizers\.schedules`"),
        ({"probability": 1.5}, ValueError, r"`probability`: expected a number from 0 to 1.*probability=1\.5"),
        ({"probability": -1}, ValueError, r"probability=-1"),
        ({"same_on_batch": 1}, TypeError, r"`same_on_batch`: expected True or False"),
        ({"dominant": "yes"}, TypeError, r"`dominant`: expected True or False"),
        ({"pairing": "flip"}, ValueError, r"`pairing`: expected one of \('shuffle', 'roll', 'local'\).*pairing='flip'"),
        ({"num_classes": 0}, ValueError, r"`num_classes`: expected an integer of at least 1"),
        ({"num_classes": 2.0}, TypeError, r"`num_classes`: expected an integer.*num_classes=2\.0"),
        ({"seed": -1}, ValueError, r"`seed`: expected an integer of at least 0"),
        ({"seed": 2**32}, ValueError, r"and below 4294967296"),
        ({"seed": 1.0}, TypeError, r"`seed`: expected an integer"),
        ({"dtype": "int32"}, ValueError, r"`MixUp` computes in a floating dtype.*dtype='int32'"),
    ],
    ids=str,
)
def test_arguments_are_checked_when_the_layer_is_made(arguments, error, text):
    """A bad value fails at once, not after the first epoch."""
    with pytest.raises(error, match=text):
        MixUp(**arguments)


MISTAKES = {
    "integer labels": (
        (X, INDICES), {}, ValueError,
        r"dtype int64 and shape .*num_classes=None.*`MixUp\(\.\.\., num_classes=10\)`.*binary, one-hot, multi-hot or "
        r"counts.*`y\.astype\('float32'\)`.*no class between 3 and 8",
    ),
    "integer one-hot or sequences": (
        (X, np.eye(4, dtype="int64")), {"num_classes": 4}, ValueError,
        r"can be class indices or one-hot.*`y\.astype\('float32'\)`.*`keras\.ops\.one_hot\(y, 4\)`",
    ),
    "class indices as floats": (
        (X, INDICES.astype("float32")), {"num_classes": 4}, ValueError,
        r"no labels are class indices.*float32 and shape \(\D*4\D*\).*`tf\.cast\(y, 'int32'\)`.*leave num_classes out",
    ),
    "string labels": ((X, np.array(list("abcd"))), {}, TypeError, r"Labels must be floating.*Take them out"),
    "tokens": ((np.arange(8).reshape(4, 2), ONE_HOT), {}, TypeError, r"dtype int64.*keras\.layers\.Embedding"),
    "batch sizes": ((X, ONE_HOT[:3]), {}, ValueError, r"same batch size.*\(4, 6, 6, 3\).*\(3, 4\).*batch first"),
    "weights of another batch": ((X, ONE_HOT, np.ones(3)), {}, ValueError, r"Sample weights of shape \(3,\)"),
    "weights with too many axes": ((X, ONE_HOT[:, 0], np.ones((4, 2))), {}, ValueError, r"\(4, 2\) do not fit"),
    "unknown role": (
        ({"images": X, "labels": ONE_HOT, "id": INDICES},), {}, ValueError, r"Received also: \['id'\].*take them out",
    ),
    "boxes": (
        ({"images": X, "labels": ONE_HOT, "bounding_boxes": ONE_HOT},), {}, ValueError, r"boxes cannot be mixed yet",
    ),
    "sample dict and labels": (({"images": X}, ONE_HOT), {}, ValueError, r"brings its own labels and weights"),
    "scalars": ((np.float32(1), ONE_HOT), {}, ValueError, r"must be arrays with a batch axis.*shape \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_with_arrays_are_refused_at_once(mistake):
    """On NumPy every mistake is known at once; the backend says the same, where it holds such arrays at all."""
    arguments, options, error, text = MISTAKES[mistake]

    with pytest.raises(error, match=text):
        MixUp(**options).mix_numpy(*arguments, seed=0)

    if mistake != "string labels":
        with pytest.raises(error, match=text.replace("int64", "int(32|64)")):
            MixUp(**options)(*arguments, training=True)


IN_DATASETS = ["integer labels", "integer one-hot or sequences", "string labels", "tokens", "unknown role"]


@pytest.mark.parametrize("use", ["map", "mix_dataset"])
@pytest.mark.parametrize(
    "mistake", ["integer labels", "integer one-hot or sequences", "string labels", "tokens", "unknown role"]
)
def test_mistakes_in_a_dataset_are_refused_while_it_is_built(mistake, use):
    """The same texts while the pipeline is being built."""
    arguments, options, error, text = MISTAKES[mistake]
    layer = MixUp(**options)
    dataset = tf.data.Dataset.from_tensor_slices(arguments if len(arguments) > 1 else arguments[0]).batch(4)
    run = {
        "map": lambda: dataset.map(lambda *e: layer(*e, training=True)),
        "mix_dataset": lambda: layer.mix_dataset(dataset),
    }

    with pytest.raises(error, match=f"(?s){text}"):
        run[use]()


@pytest.mark.parametrize("labels", [INDICES, ONE_HOT])
def test_a_dataset_that_is_not_batched_is_refused(labels):
    """A sample alone has no partner."""
    dataset = tf.data.Dataset.from_tensor_slices((X, labels))
    layer = MixUp(num_classes=4)

    for run in (lambda: layer.mix_dataset(dataset), lambda: dataset.map(lambda x, y: layer(x, y, training=True))):
        with pytest.raises(ValueError, match=r"(?s)batch first.*`dataset\.batch\(64\)"):
            run()


def test_inputs_alone_in_a_map_are_refused():
    """Labels left behind would be hard targets for blended inputs."""
    layer = MixUp()
    text = r"(?s)labels must be mixed together with the inputs.*mixup\(x, y, training=True\).*mix_dataset.*labels=\(\)"

    with pytest.raises(ValueError, match=text):
        batches(X, ONE_HOT).map(lambda x, y: (layer(x, training=True), y))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere Keras itself refuses models in a map")
def test_inputs_alone_in_a_map_through_a_model_are_refused():
    """The gate of a map cannot be passed inside a Sequential either."""
    augment = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Rescaling(2.0), MixUp()])

    with pytest.raises(ValueError, match="labels must be mixed together with the inputs"):
        batches(X, ONE_HOT).map(lambda x, y: (augment(x, training=True), y))


def test_integer_labels_of_unknown_width_are_refused():
    """Class indices and one-hot rows cannot be told apart, if the last axis is not known."""
    spec = (tf.TensorSpec((None, 2)), tf.TensorSpec((None, None), "int32"))
    dataset = tf.data.Dataset.from_generator(lambda: iter([(np.ones((4, 2)), np.eye(4))]), output_signature=spec)

    with pytest.raises(ValueError, match=r"has, or may have, num_classes=4 entries.*shape \(None, None\)"):
        MixUp(num_classes=4).mix_dataset(dataset)


def test_a_list_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"must be arrays with a batch axis.*`np\.asarray\(\.\.\.\)`"):
        MixUp(num_classes=4).mix_numpy(X, INDICES.tolist(), seed=0)


def test_a_dataset_of_inputs_alone_is_refused():
    """`mix_dataset` names the forms it takes."""
    with pytest.raises(ValueError, match=r"must hold `\(x, y\)`.*sample dicts.*labels=\(\)"):
        MixUp().mix_dataset(tf.data.Dataset.from_tensor_slices(X).batch(4))


def test_ragged_batches_are_refused():
    """Samples of different sizes have no elements in common."""
    dataset = tf.data.Dataset.range(1, 5).map(lambda n: (tf.ones((n, 2)), tf.ones(3))).ragged_batch(2)

    with pytest.raises(ValueError, match=r"must be dense arrays.*padded_batch"):
        MixUp().mix_dataset(dataset)


def test_sample_weights_need_labels():
    with pytest.raises(ValueError, match=r"weights were given without labels.*`labels=\(\)`"):
        MixUp()(X, sample_weight=np.ones(4), training=True)


def test_a_model_of_tokens_fails_while_it_is_built():
    """The first moment it can be known is the symbolic call."""
    with pytest.raises(TypeError, match=r"keras\.layers\.Embedding"):
        MixUp()(keras.Input((7,), dtype="int32"))


def test_tokens_pass_through_where_nothing_is_mixed():
    """Without training the inputs come out as they are."""
    out = MixUp()(np.arange(8).reshape(4, 2), training=False)

    assert "int" in keras.backend.standardize_dtype(out.dtype)


@pytest.mark.parametrize("seed", [1.0, -1, "a", (1, -2), None])
def test_mix_numpy_refuses_a_bad_seed(seed):
    with pytest.raises((TypeError, ValueError), match=r"`seed`"):
        MixUp().mix_numpy(X, ONE_HOT, seed=seed)


def test_a_layer_without_a_draw_says_what_to_override():
    with pytest.raises(NotImplementedError, match=r"must override `draw\(self, batch\)`"):
        MixLayer()(X, ONE_HOT, training=True)
