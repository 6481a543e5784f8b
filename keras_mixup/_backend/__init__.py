"""Everything that differs between array libraries: the only folder that knows TensorFlow, JAX and PyTorch.

The rest of the package is written once, against the names of `keras.ops`. It runs on three array libraries:

- the Keras backend, by `keras.ops`: in a model or a loop;
- TensorFlow: in a `tf.data` map while Keras runs on JAX or PyTorch, where `keras.ops` cannot compute;
- NumPy: in a worker of a NumPy pipeline, where no device may be touched.

JAX and PyTorch are imported only if Keras runs on them, TensorFlow also if a TensorFlow tensor has arrived.
"""

from keras_mixup._backend._arrays import (
    as_tensor,
    in_tf_data,
    is_foreign,
    is_graph_tensor,
    is_tracing_tensorflow,
    is_tracing_tf_data,
    known_values,
    ops_for,
    static_shape,
    tensorflow_ops,
    trailing,
)
from keras_mixup._backend._current import FRAMEWORK
from keras_mixup._backend._dtypes import dtype_of, is_float, is_integer, is_mixable, signed, widened
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._numpy import NUMPY
from keras_mixup._backend._ops import OPERATIONS, WORD
from keras_mixup._backend._rows import in_one_pass, shard_count, take_rows
from keras_mixup._backend._state_on_host import StateOnHost
from keras_mixup._backend._tf_data import DatasetState, as_written, asserted, with_cardinality_of

# The answers of the framework that Keras runs on, explained in `Framework`
concrete_value = FRAMEWORK.concrete_value
framework_state_kept = FRAMEWORK.framework_state_kept
gradient_functions = FRAMEWORK.gradient_functions
input_gradients = FRAMEWORK.input_gradients
is_compiling = FRAMEWORK.is_compiling
on_host = FRAMEWORK.on_host
outside_of_traces = FRAMEWORK.outside_of_traces
register_tree = FRAMEWORK.register_tree
replica = FRAMEWORK.replica
state_of = FRAMEWORK.state_of
state_seed = FRAMEWORK.state_seed
waits = FRAMEWORK.waits
words_of = FRAMEWORK.words_of

__all__ = [
    "KERAS",
    "NUMPY",
    "OPERATIONS",
    "WORD",
    "DatasetState",
    "StateOnHost",
    "as_tensor",
    "as_written",
    "asserted",
    "concrete_value",
    "dtype_of",
    "framework_state_kept",
    "gradient_functions",
    "in_one_pass",
    "in_tf_data",
    "input_gradients",
    "is_compiling",
    "is_float",
    "is_foreign",
    "is_graph_tensor",
    "is_integer",
    "is_mixable",
    "is_tracing_tensorflow",
    "is_tracing_tf_data",
    "known_values",
    "on_host",
    "ops_for",
    "outside_of_traces",
    "register_tree",
    "replica",
    "shard_count",
    "signed",
    "state_of",
    "state_seed",
    "static_shape",
    "take_rows",
    "tensorflow_ops",
    "trailing",
    "waits",
    "widened",
    "with_cardinality_of",
    "words_of",
]
