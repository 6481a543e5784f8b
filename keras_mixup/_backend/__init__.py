"""The array operations of the place a batch is in: a Keras backend, a TensorFlow graph, or NumPy.

The core of the package is written once, against the names of `keras.ops`. It runs in three places:

- in a model or a loop, on tensors of the Keras backend: `keras.ops` itself;
- in a `tf.data` map while Keras runs on JAX or PyTorch: `keras.ops` cannot compute there, TensorFlow can;
- in a worker of a NumPy pipeline, where no device may be touched: NumPy.

This is the only folder that knows TensorFlow, NumPy and the name of the Keras backend. TensorFlow is
imported only where a TensorFlow tensor has already arrived.
"""

from keras_mixup._backend._arrays import (
    in_dataset,
    is_foreign,
    is_graph_tensor,
    is_tracing_dataset,
    is_tracing_tensorflow,
    known_values,
    ops_for,
    tensorflow_ops,
)
from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._dtypes import dtype_of, is_float, is_integer, is_mixable, signed, widened
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY
from keras_mixup._backend._ops import MASK, OPERATIONS
from keras_mixup._backend._rows import by_rows, parts_of, take_partners
from keras_mixup._backend._tf_data import DatasetState, as_written, asserted, with_cardinality_of

# The answers of the framework that Keras runs on, see `Framework`
framework_state_kept = FRAMEWORK.framework_state_kept
gradient_functions = FRAMEWORK.gradient_functions
is_compiling = FRAMEWORK.is_compiling
outside_of_traces = FRAMEWORK.outside_of_traces
replica = FRAMEWORK.replica
state_of = FRAMEWORK.state_of
state_seed = FRAMEWORK.state_seed
value_at_hand = FRAMEWORK.concrete_value
words_of = FRAMEWORK.words_of

__all__ = [
    "KERAS",
    "MASK",
    "NUMPY",
    "OPERATIONS",
    "DatasetState",
    "as_written",
    "asserted",
    "by_rows",
    "dtype_of",
    "framework_state_kept",
    "gradient_functions",
    "in_dataset",
    "is_compiling",
    "is_float",
    "is_foreign",
    "is_graph_tensor",
    "is_integer",
    "is_mixable",
    "is_tracing_dataset",
    "is_tracing_tensorflow",
    "known_values",
    "ops_for",
    "outside_of_traces",
    "parts_of",
    "replica",
    "signed",
    "state_of",
    "state_seed",
    "take_partners",
    "tensorflow_ops",
    "value_at_hand",
    "widened",
    "with_cardinality_of",
    "words_of",
]
