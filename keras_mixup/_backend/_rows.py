"""One pass over memory."""

import functools
import math

import keras
import numpy as np

from keras_mixup._backend._arrays import in_dataset, ops_for
from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY
from keras_mixup._backend._tf_data import as_written


def parts_of(batch):
    """How many devices of a `keras.distribution` share the rows; 1 where they cannot be told, or have one row each."""
    rows = keras.tree.flatten(batch)[0].shape[0]
    return FRAMEWORK.shard_count(rows) if ops_for(batch) is KERAS else 1


def take_partners(x, partner, reach=None):
    """`x[partner]`; on JAX by a route on which rows do not leave their device, or only those at its boundary do."""
    ops = ops_for(x)
    return FRAMEWORK.take_rows(x, partner, reach) if ops is KERAS else ops.take(x, partner, axis=0)


WORTH_COMPILING = 1000  # elements in a sample; compiling takes some 50 ms


def by_rows(function, x, partner, of_rows, reach=None):
    """`function(x, x[partner], *of_rows)`, which computes row by row, in as few passes over memory as the place allows.

    In a `tf.data` map that is one pass, compiled by XLA; once for every shape, so only for large samples, in batches of
    which no size but the number of rows may vary. NumPy takes blocks of rows that stay in the cache from one operation
    to the next.
    """
    if ops_for(x) is NUMPY:
        return _by_blocks(function, x, partner, of_rows)
    run = lambda x, partner, *of_rows: function(x, take_partners(x, partner, reach), *of_rows)
    if in_dataset(x) and None not in x.shape[1:] and math.prod(x.shape[1:]) >= WORTH_COMPILING and _has_xla():
        import tensorflow as tf

        run = tf.function(as_written(run), jit_compile=True)
    return run(x, partner, *of_rows)


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


def _by_blocks(function, x, partner, of_rows, bytes_of_block=2**18):
    rows = max(1, bytes_of_block * len(x) // max(x.nbytes, 1))
    blocks = [slice(begin, begin + rows) for begin in range(0, max(len(x), 1), rows)]
    of_block = lambda part, block: part[block] if len(part) == len(x) else part  # one row for all
    mixed = lambda block: function(x[block], x[partner[block]], *(of_block(part, block) for part in of_rows))
    first = mixed(blocks[0])
    if len(blocks) == 1:
        return first
    out = np.empty((len(x), *first.shape[1:]), first.dtype)
    out[blocks[0]] = first
    for block in blocks[1:]:
        out[block] = mixed(block)
    return out
