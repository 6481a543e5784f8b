"""Answer questions about dtypes, by their names."""

import keras

from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._keras import KERAS


def dtype_of(x):
    """Return the name of an array's dtype, also of one that Keras does not know."""
    try:
        return keras.backend.standardize_dtype(x.dtype)
    except ValueError:
        return str(x.dtype)


def is_mixable(dtype):
    """Whether inputs of this dtype can be mixed: floats, and images as bytes."""
    return is_float(dtype) or dtype == "uint8"


def is_float(dtype):
    """Whether numbers can be computed with this dtype; 8-bit floats are for storage."""
    return dtype in ("float16", "bfloat16", "float32", "float64")


def is_integer(dtype):
    """Whether this is a dtype of integers, signed or not."""
    return "int" in dtype


def widened(dtype):
    """Return the dtype to blend in: float64 if the arrays have it, else float32."""
    return dtype if dtype == "float64" else "float32"


def signed(ops, x):
    """Cast integers to a dtype that holds -1 as well: 64 bits wide if the backend has them."""
    return ops.cast(x, FRAMEWORK.signed_dtype(dtype_of(x)) if ops is KERAS else "int64")
