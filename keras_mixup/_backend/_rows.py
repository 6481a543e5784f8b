"""Take rows of a batch, and compute with them in few passes over memory."""

import functools
import math

import keras
import numpy as np

from keras_mixup._backend._arrays import in_tf_data, ops_for
from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY
from keras_mixup._backend._tf_data import as_written

WORTH_COMPILING = 1000  # elements in a sample; compiling takes some 50 ms
BLOCK = 2**18  # bytes that stay in the cache from one operation of NumPy to the next


def shard_count(batch):
    """Count the devices that share the rows of a batch; 1 for arrays that are not those of the Keras backend."""
    rows = keras.tree.flatten(batch)[0].shape[0]
    return FRAMEWORK.shard_count(rows) if ops_for(batch) is KERAS else 1


def take_rows(x, rows, locality=None):
    """Return `x[rows]`. `locality`, see `Mix`, lets a batch that is sharded over devices stay on them."""
    ops = ops_for(x)
    return FRAMEWORK.take_rows(x, rows, locality) if ops is KERAS else ops.take(x, rows, axis=0)


def in_one_pass(function, x, partners, of_rows, locality=None):
    """Return `function(x, [x[partner], ...], *of_rows)`, computed row by row in as few passes over memory as possible.

    `tf.data` takes one pass, compiled by XLA. XLA compiles once for every shape, so this is for large samples only, and
    for batches of which only the number of rows may vary. NumPy takes blocks of rows.
    """
    if ops_for(x) is NUMPY:
        return _in_blocks(function, x, partners, of_rows)

    def run(x, partners, *of_rows):
        return function(x, [take_rows(x, partner, locality) for partner in partners], *of_rows)

    if in_tf_data(x) and None not in x.shape[1:] and math.prod(x.shape[1:]) >= WORTH_COMPILING and _has_xla():
        import tensorflow as tf

        run = tf.function(as_written(run), jit_compile=True)
    return run(x, partners, *of_rows)


@functools.cache
def _has_xla():
    """Whether this build of TensorFlow can compile for the CPU, on which pipelines run."""
    import tensorflow as tf

    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))
    except tf.errors.OpError:
        return False
    return True


def _in_blocks(function, x, partners, of_rows):
    """Compute `in_one_pass` block by block. Arrays in `of_rows` without the rows of `x` hold one row for all."""
    rows = max(1, BLOCK * len(x) // max(x.nbytes, 1))

    def compute(block):
        parts = (part[block] if len(part) == len(x) else part for part in of_rows)
        return function(x[block], [x[partner[block]] for partner in partners], *parts)

    first = compute(slice(0, rows))
    if len(x) <= rows:
        return first
    out = np.empty((len(x), *first.shape[1:]), first.dtype)
    out[:rows] = first
    for begin in range(rows, len(x), rows):
        block = slice(begin, begin + rows)
        out[block] = compute(block)
    return out
