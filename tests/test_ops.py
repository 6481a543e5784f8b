"""The operations that a mix may be drawn with are those of `keras.ops`, in every place where a layer can mix."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixup import _backend

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
P = np.abs(X) + 0.5
N = np.array([2, 0, 1], "int32")

CASES = {
    "abs": lambda ops, at: ops.abs(at(X)),
    "all": lambda ops, at: (
        ops.all(at(X) > 0),
        ops.all(at(X) > 0, axis=1),
        ops.all(at(X) > -9, axis=(1, 2), keepdims=True),
    ),
    "any": lambda ops, at: (
        ops.any(at(X) > 0),
        ops.any(at(X) > 0, axis=(1, 2)),
        ops.any(at(X) > 0, axis=1, keepdims=True),
    ),
    "arange": lambda ops, at: (ops.arange(5), ops.arange(2, 5), ops.arange(1, 7, 2), ops.arange(4, dtype="float32")),
    "argmax": lambda ops, at: (ops.argmax(at(X)), ops.argmax(at(X), axis=1)),
    "argmin": lambda ops, at: (ops.argmin(at(X)), ops.argmin(at(X), axis=1)),
    "argsort": lambda ops, at: (ops.argsort(at(X)), ops.argsort(at(X), axis=0)),
    "broadcast_to": lambda ops, at: ops.broadcast_to(at(X[:, :1]), (3, 4, 2)),
    "cast": lambda ops, at: (ops.cast(at(X), "int32"), ops.cast(at(X), "float16"), ops.cast(at(X) > 0, "float32")),
    "ceil": lambda ops, at: ops.ceil(at(X)),
    "clip": lambda ops, at: ops.clip(at(X), -0.5, 0.5),
    "concatenate": lambda ops, at: (ops.concatenate([at(X), at(P)]), ops.concatenate([at(X), at(P)], axis=-1)),
    "convert_to_tensor": lambda ops, at: ops.convert_to_tensor(X, dtype="float32"),
    "copy": lambda ops, at: ops.copy(at(X)),
    "cos": lambda ops, at: ops.cos(at(X)),
    "cumsum": lambda ops, at: (ops.cumsum(at(X)), ops.cumsum(at(X), axis=1)),
    "exp": lambda ops, at: ops.exp(at(X)),
    "expand_dims": lambda ops, at: ops.expand_dims(at(X), 1),
    "expm1": lambda ops, at: ops.expm1(at(X)),
    "flip": lambda ops, at: (ops.flip(at(X)), ops.flip(at(X), axis=1)),
    "floor": lambda ops, at: ops.floor(at(X)),
    "full": lambda ops, at: (ops.full((2, 3), 1.5), ops.full((2,), 3, dtype="int32")),
    "isfinite": lambda ops, at: ops.isfinite(at(X)),
    "log": lambda ops, at: ops.log(at(P)),
    "log1p": lambda ops, at: ops.log1p(at(P)),
    "logical_and": lambda ops, at: ops.logical_and(at(X) > 0, at(P) > 1),
    "logical_or": lambda ops, at: ops.logical_or(at(X) > 0, at(P) > 1),
    "logical_not": lambda ops, at: ops.logical_not(at(X) > 0),
    "matmul": lambda ops, at: ops.matmul(at(X), at(np.swapaxes(P, 1, 2))),
    "max": lambda ops, at: (ops.max(at(X)), ops.max(at(X), axis=(0, 1)), ops.max(at(X), axis=1, keepdims=True)),
    "min": lambda ops, at: (ops.min(at(X)), ops.min(at(X), axis=(0, 1)), ops.min(at(X), axis=1, keepdims=True)),
    "mean": lambda ops, at: (ops.mean(at(X)), ops.mean(at(X), axis=(0, 1)), ops.mean(at(X), axis=1, keepdims=True)),
    "prod": lambda ops, at: (ops.prod(at(X)), ops.prod(at(X), axis=1), ops.prod(at(X), axis=1, keepdims=True)),
    "sum": lambda ops, at: (ops.sum(at(X)), ops.sum(at(X), axis=(0, 1)), ops.sum(at(X), axis=1, keepdims=True)),
    "maximum": lambda ops, at: (ops.maximum(at(X), at(P)), ops.maximum(at(X), 0.0)),
    "minimum": lambda ops, at: (ops.minimum(at(X), at(P)), ops.minimum(at(X), 0.0)),
    "mod": lambda ops, at: (ops.mod(at(X), at(P)), ops.mod(at(N), 2)),
    "power": lambda ops, at: (ops.power(at(P), at(X)), ops.power(at(P), 2.0)),
    "one_hot": lambda ops, at: (ops.one_hot(at(N), 4), ops.one_hot(at(N), 4, axis=0, dtype="int32")),
    "ones": lambda ops, at: (ops.ones((2, 3)), ops.ones((2,), dtype="int32")),
    "zeros": lambda ops, at: (ops.zeros((2, 3)), ops.zeros((2,), dtype="int32")),
    "ones_like": lambda ops, at: (ops.ones_like(at(X)), ops.ones_like(at(X), dtype="int32")),
    "zeros_like": lambda ops, at: ops.zeros_like(at(X)),
    "reshape": lambda ops, at: ops.reshape(at(X), (3, -1)),
    "roll": lambda ops, at: (ops.roll(at(X), 1), ops.roll(at(X), 1, axis=1), ops.roll(at(X), -1, 0)),
    "round": lambda ops, at: ops.round(at(X)),
    "shape": lambda ops, at: ops.shape(at(X)),
    "sign": lambda ops, at: ops.sign(at(X)),
    "sin": lambda ops, at: ops.sin(at(X)),
    "sort": lambda ops, at: (ops.sort(at(X)), ops.sort(at(X), axis=1)),
    "split": lambda ops, at: (
        *ops.split(at(X), 2, axis=1),
        *ops.split(at(X), [1], axis=0),
        *ops.split(at(X), [1, 3], axis=1),
    ),
    "sqrt": lambda ops, at: ops.sqrt(at(P)),
    "square": lambda ops, at: ops.square(at(X)),
    "squeeze": lambda ops, at: (ops.squeeze(at(X[:1])), ops.squeeze(at(X[:, :1]), 1)),
    "stack": lambda ops, at: (ops.stack([at(X), at(P)]), ops.stack([at(X), at(P)], axis=-1)),
    "take": lambda ops, at: (ops.take(at(X), at(N)), ops.take(at(X), at(N), axis=1), ops.take(at(X), 1, axis=-1)),
    "take_along_axis": lambda ops, at: ops.take_along_axis(at(X), ops.argsort(at(X), axis=1), axis=1),
    "tanh": lambda ops, at: ops.tanh(at(X)),
    "tile": lambda ops, at: ops.tile(at(X), (1, 2, 1)),
    "transpose": lambda ops, at: (ops.transpose(at(X)), ops.transpose(at(X), (1, 0, 2))),
    "absolute": lambda ops, at: ops.absolute(at(X)),
    "add": lambda ops, at: ops.add(at(X), at(P)),
    "divide": lambda ops, at: ops.divide(at(X), at(P)),
    "einsum": lambda ops, at: ops.einsum("abc,abd->acd", at(X), at(P)),
    "equal": lambda ops, at: ops.equal(at(N), 1),
    "floor_divide": lambda ops, at: (ops.floor_divide(at(N), 2), ops.floor_divide(at(X), at(P))),
    "greater": lambda ops, at: ops.greater(at(X), 0.0),
    "greater_equal": lambda ops, at: ops.greater_equal(at(N), 1),
    "isnan": lambda ops, at: ops.isnan(at(X)),
    "less": lambda ops, at: ops.less(at(X), 0.0),
    "less_equal": lambda ops, at: ops.less_equal(at(N), 1),
    "linspace": lambda ops, at: ops.linspace(0.0, 1.0, 5),
    "logical_xor": lambda ops, at: ops.logical_xor(at(X) > 0, at(P) > 1),
    "moveaxis": lambda ops, at: ops.moveaxis(at(X), 0, -1),
    "multiply": lambda ops, at: ops.multiply(at(X), at(P)),
    "negative": lambda ops, at: ops.negative(at(X)),
    "not_equal": lambda ops, at: ops.not_equal(at(N), 1),
    "std": lambda ops, at: (ops.std(at(X)), ops.std(at(X), axis=(1, 2), keepdims=True)),
    "subtract": lambda ops, at: ops.subtract(at(X), at(P)),
    "swapaxes": lambda ops, at: ops.swapaxes(at(X), 0, 2),
    "tan": lambda ops, at: ops.tan(at(X)),
    "tensordot": lambda ops, at: ops.tensordot(at(X), at(P), axes=[[1], [1]]),
    "var": lambda ops, at: (ops.var(at(X)), ops.var(at(X), axis=1)),
    "where": lambda ops, at: (ops.where(at(X) > 0, at(X), at(P)), ops.where(at(X) > 0, at(X), 0.0)),
}


def flat(result):
    return list(result) if isinstance(result, tuple | list) else [result]


def keras_place(case):
    return [keras.ops.convert_to_numpy(x) for x in flat(case(_backend.KERAS, keras.ops.convert_to_tensor))]


def numpy_place(case):
    return [np.asarray(x) for x in flat(case(_backend.NUMPY, np.asarray))]


def dataset_place(case):
    """A TensorFlow graph, whatever the Keras backend."""
    return [
        np.asarray(x)
        for x in tf.function(lambda: flat(case(_backend.tensorflow_ops(), tf.constant)), autograph=False)()
    ]


@pytest.mark.parametrize("place", [keras_place, numpy_place, dataset_place], ids=lambda place: place.__name__)
@pytest.mark.filterwarnings("ignore:The use of `x.T`")  # Keras' own, of PyTorch
def test_an_operation_gives_what_its_namesake_in_keras_gives(place):
    assert CASES.keys() == _backend.OPERATIONS
    for name, case in CASES.items():
        wanted = [keras.ops.convert_to_numpy(x) for x in flat(case(keras.ops, keras.ops.convert_to_tensor))]
        got = place(case)
        for found, expected in zip(got, wanted, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)
            assert found.shape == expected.shape, name
            assert keras.backend.is_float_dtype(found.dtype) == keras.backend.is_float_dtype(expected.dtype), name


@pytest.mark.parametrize(
    "ops", [_backend.KERAS, _backend.NUMPY, _backend.tensorflow_ops()], ids=lambda ops: type(ops).__name__
)
def test_one_that_is_not_there_everywhere_is_refused_everywhere(ops):
    with pytest.raises(AttributeError, match=r"`ops.fft2` is not there in every place.* abs, absolute, add, all"):
        ops.fft2(X)
