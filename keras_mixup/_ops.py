"""The names of `_backend`, for the files that still import `_ops`."""

from keras_mixup._backend import (
    KERAS,
    NUMPY,
    OPERATIONS,
    DatasetState,
    as_written,
    asserted,
    dtype_of,
    framework_state_kept,
    gradient_functions,
    is_compiling,
    is_float,
    is_foreign,
    is_graph_tensor,
    is_integer,
    is_mixable,
    is_tracing_tensorflow,
    known_values,
    ops_for,
    outside_of_traces,
    replica,
    signed,
    state_of,
    state_seed,
    tensorflow_ops,
    widened,
    with_cardinality_of,
    words_of,
)
from keras_mixup._backend import (
    WORD as MASK,
)
from keras_mixup._backend import (
    concrete_value as value_at_hand,
)
from keras_mixup._backend import (
    in_one_pass as by_rows,
)
from keras_mixup._backend import (
    in_tf_data as in_dataset,
)
from keras_mixup._backend import (
    is_tracing_tf_data as is_tracing_dataset,
)
from keras_mixup._backend import (
    shard_count as parts_of,
)
from keras_mixup._backend import (
    take_rows as take_partners,
)

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
