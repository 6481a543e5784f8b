"""The array operations of the place a batch is in: a Keras backend, a TensorFlow graph, or NumPy.

The core of the package is written once, against the names of `keras.ops`. It runs in three places:

- in a model or a loop, on tensors of the Keras backend: `keras.ops` itself;
- in a `tf.data` map while Keras runs on JAX or PyTorch: `keras.ops` cannot compute there, TensorFlow can;
- in a worker of a NumPy pipeline, where no device may be touched: NumPy.

This is the only file that knows TensorFlow, NumPy and the name of the Keras backend. TensorFlow is
imported only where a TensorFlow tensor has already arrived.
"""

import contextlib
import functools
import math
import operator
import sys
from typing import ClassVar

import keras
import numpy as np

MASK = 0xFFFFFFFF  # words of the random source are 32 bit wide

# What a mix may be drawn with: each takes and gives what its namesake in `keras.ops` does, in all three places.
OPERATIONS = frozenset(
    """
    abs absolute add all any arange argmax argmin argsort broadcast_to cast ceil clip concatenate
    convert_to_tensor copy cos cumsum divide einsum equal exp expand_dims expm1 flip floor floor_divide full
    greater greater_equal isfinite isnan less less_equal linspace log log1p logical_and logical_not logical_or
    logical_xor matmul max maximum mean min minimum mod moveaxis multiply negative not_equal one_hot ones
    ones_like power prod reshape roll round shape sign sin sort split sqrt square squeeze stack std subtract sum
    swapaxes take take_along_axis tan tanh tensordot tile transpose var where zeros zeros_like
    """.split()  # noqa: SIM905
)


class Ops:
    """The operations of one place."""

    def __getattr__(self, name):
        if name not in OPERATIONS:
            raise AttributeError(
                f"`ops.{name}` is not there in every place where a layer can mix. These are, as in `keras.ops`: "
                f"{', '.join(sorted(OPERATIONS))}."
            )
        return self._named(name)

    def here(self, x):
        """What Keras has computed, for these operations."""
        return x

    def word(self, x):
        """`x` modulo 2**32."""
        return self.cast(x, "uint32")

    def add_words(self, a, b):
        return a + b

    def weighted_sum(self, x, weight, other, complement):
        """`weight·x + complement·other`. What runs eagerly writes it over `other`, which was gathered for it alone."""
        return weight * x + complement * other


class KerasOps(Ops):
    """`keras.ops`, and the 32-bit words of the random source."""

    def _named(self, name):
        return getattr(keras.ops, name)

    @property
    def word_dtype(self):
        # PyTorch has next to no arithmetic for uint32: there a word lives in the low half of an int64.
        return "int64" if keras.backend.backend() == "torch" else "uint32"

    def word(self, x):
        if self.word_dtype == "uint32":
            return keras.ops.cast(x, "uint32")
        return keras.ops.cast(x, "int64") & MASK

    def add_words(self, a, b):
        return a + b if self.word_dtype == "uint32" else (a + b) & MASK

    def weighted_sum(self, x, weight, other, complement):
        # On PyTorch two thirds of the time of a large batch would go into fresh memory.
        if keras.backend.backend() == "torch" and all(map(_has_memory, (x, weight, other, complement))):
            return other.mul_(complement).addcmul_(x, weight)
        return super().weighted_sum(x, weight, other, complement)

    def shift_right(self, x, bits):
        return x >> bits if keras.backend.backend() != "tensorflow" else tensorflow_ops().shift_right(x, bits)

    def rotate_left(self, x, bits):
        if keras.backend.backend() == "tensorflow":
            return tensorflow_ops().rotate_left(x, bits)
        return self.add_words(x << bits, 0) | (x >> (32 - bits))


class NumpyOps(Ops):
    """NumPy under the names of `keras.ops`."""

    def _named(self, name):
        return getattr(np, name)

    def here(self, x):
        return keras.ops.convert_to_numpy(x)

    def cast(self, x, dtype):
        return np.asarray(x).astype(dtype, copy=False)

    def convert_to_tensor(self, x, dtype=None):
        return np.asarray(x, dtype)

    def argsort(self, x, axis=-1):
        return np.argsort(x, axis=axis, kind="stable")  # as the backends sort: ties keep their order

    def full(self, shape, fill_value, dtype="float32"):
        return np.full(shape, fill_value, dtype)

    def linspace(self, start, stop, num=50):
        return np.linspace(start, stop, num, dtype="float32")

    def ones(self, shape, dtype="float32"):
        return np.ones(shape, dtype)

    def zeros(self, shape, dtype="float32"):
        return np.zeros(shape, dtype)

    def one_hot(self, x, num_classes, axis=-1, dtype="float32"):
        return np.moveaxis((np.asarray(x)[..., None] == np.arange(num_classes)).astype(dtype), -1, axis)

    def word(self, x):
        return np.asarray(x).astype("int64").astype("uint32")

    def weighted_sum(self, x, weight, other, complement):
        other *= complement
        other += weight * x
        return other

    def shift_right(self, x, bits):
        return x >> np.uint32(bits)

    def rotate_left(self, x, bits):
        return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


class TensorFlowOps(Ops):
    """TensorFlow under the names of `keras.ops`, whatever the Keras backend."""

    RENAMED: ClassVar = {
        "absolute": "abs",
        "ceil": "math.ceil",
        "floor_divide": "math.floordiv",
        "isfinite": "math.is_finite",
        "isnan": "math.is_nan",
        "logical_xor": "math.logical_xor",
        "std": "math.reduce_std",
        "var": "math.reduce_variance",
        "log": "math.log",
        "log1p": "math.log1p",
        "expm1": "math.expm1",
        "mod": "math.floormod",
        "power": "pow",
        "clip": "clip_by_value",
        "arange": "range",
        "copy": "identity",
        **{name: f"reduce_{name}" for name in ("all", "any", "max", "mean", "min", "prod", "sum")},
    }

    def __init__(self):
        import tensorflow as tf

        self.tf = tf

    def _named(self, name):
        return operator.attrgetter(self.RENAMED.get(name, name))(self.tf)

    def shape(self, x):
        dynamic = self.tf.shape(x)
        return tuple(dynamic[i] if n is None else n for i, n in enumerate(x.shape))

    def take(self, x, indices, axis=None):
        return self.tf.gather(x if axis is not None else self.tf.reshape(x, (-1,)), indices, axis=axis or 0)

    def take_along_axis(self, x, indices, axis=-1):
        return self.tf.experimental.numpy.take_along_axis(x, indices, axis)

    def argmax(self, x, axis=None):
        return self.tf.cast(self.tf.experimental.numpy.argmax(x, axis), "int32")

    def argmin(self, x, axis=None):
        return self.tf.cast(self.tf.experimental.numpy.argmin(x, axis), "int32")

    def argsort(self, x, axis=-1):
        return self.tf.argsort(x, axis=axis, stable=True)

    def cumsum(self, x, axis=None, dtype=None):
        return self.tf.experimental.numpy.cumsum(x, axis, dtype)

    def concatenate(self, xs, axis=0):
        return self.tf.concat(xs, axis)

    def flip(self, x, axis=None):
        return self.tf.experimental.numpy.flip(x, axis)

    def full(self, shape, fill_value, dtype="float32"):
        return self.tf.fill(shape, self.tf.cast(fill_value, dtype))

    def moveaxis(self, x, source, destination):
        return self.tf.experimental.numpy.moveaxis(x, source, destination)

    def swapaxes(self, x, axis1, axis2):
        return self.tf.experimental.numpy.swapaxes(x, axis1, axis2)

    def one_hot(self, x, num_classes, axis=-1, dtype="float32"):
        # TensorFlow takes half of the integer dtypes only.
        return self.tf.one_hot(self.tf.cast(x, self.tf.int64), num_classes, axis=axis, dtype=dtype)

    def roll(self, x, shift, axis=None):
        return self.tf.experimental.numpy.roll(x, shift, axis)

    def split(self, x, indices_or_sections, axis=0):
        return self.tf.experimental.numpy.split(x, indices_or_sections, axis)

    def shift_right(self, x, bits):
        return self.tf.bitwise.right_shift(x, self.tf.constant(bits, x.dtype))

    def rotate_left(self, x, bits):
        left = self.tf.bitwise.left_shift(x, self.tf.constant(bits, x.dtype))
        return left | self.shift_right(x, 32 - bits)


KERAS = KerasOps()
NUMPY = NumpyOps()


@functools.cache
def tensorflow_ops():
    """The one `TensorFlowOps`, made when the first TensorFlow tensor arrives."""
    return TensorFlowOps()


def ops_for(*nests):
    """The operations for these arrays: TensorFlow's, NumPy's or those of the Keras backend."""
    leaves = [x for x in keras.tree.flatten(nests) if x is not None]
    if is_foreign(leaves):
        return tensorflow_ops()
    if leaves and all(isinstance(x, np.ndarray | np.generic) for x in leaves):
        return NUMPY
    return KERAS


def is_foreign(nest):
    """Whether a leaf is a tensor of a TensorFlow graph while Keras computes with another backend."""
    return keras.backend.backend() != "tensorflow" and any(map(is_graph_tensor, keras.tree.flatten(nest)))


def in_dataset(nest):
    """Whether the leaves belong to a function that `tf.data` is tracing, or to a foreign TensorFlow graph.

    `tf.data` names the graphs of its functions after the transformation (`Dataset_map_…`); the graph of a
    training step bears the step's name. Nothing else tells the two apart.
    """
    if is_foreign(nest):
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    return any(_traced_by_dataset(x) for x in keras.tree.flatten(nest) if is_graph_tensor(x))


def is_graph_tensor(x):
    """Whether a leaf is a tensor of a TensorFlow graph."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.is_tensor(x) and tf.is_symbolic_tensor(x)


def is_tracing_tensorflow():
    """Whether TensorFlow traces a function just now."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and tf.inside_function()


def is_tracing_dataset():
    """Whether `tf.data` traces a function just now."""
    return is_tracing_tensorflow() and _is_of_dataset(sys.modules["tensorflow"].compat.v1.get_default_graph())


def _traced_by_dataset(x):
    return _is_of_dataset(x.graph)


def _is_of_dataset(graph):
    while graph is not None:
        if str(getattr(graph, "name", "")).startswith("Dataset_"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def parts_of(batch):
    """How many devices of a `keras.distribution` share the rows; 1 where they cannot be told, or have one row each."""
    distribution = keras.distribution.distribution()
    rows = keras.tree.flatten(batch)[0].shape[0]
    if keras.backend.backend() != "jax" or distribution is None or ops_for(batch) is not KERAS:
        return 1
    mesh = distribution.device_mesh
    parts = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    return parts if rows % parts == 0 and rows > parts else 1


def take_partners(x, partner, reach=None):
    """`x[partner]`; on JAX by a route on which rows do not leave their device, or only those at its boundary do.

    XLA gathers a sharded array on every device, whatever the indices are. `reach`, see `Mix`, says more of them.
    """
    ops = ops_for(x)
    if reach is None or ops is not KERAS or keras.backend.backend() != "jax":
        return ops.take(x, partner, axis=0)
    of_elements = (1,) * (len(x.shape) - 1)
    if reach == "roll":
        own = ops.reshape(partner == ops.arange(len(partner)), (-1, *of_elements))
        return ops.where(own, x, ops.roll(x, 1, 0))
    parts = ops.reshape(x, (reach, -1, *x.shape[1:]))
    within = ops.reshape(partner % parts.shape[1], (reach, -1, *of_elements))
    return ops.reshape(ops.take_along_axis(parts, within, axis=1), x.shape)


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
        run = tensorflow_ops().tf.function(as_written(run), jit_compile=True)
    return run(x, partner, *of_rows)


@functools.cache
def _has_xla():
    """Whether this build of TensorFlow can compile for the CPU, on which pipelines run."""
    tf = tensorflow_ops().tf
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


def dtype_of(x):
    """The name of a leaf's dtype, also of one that Keras does not know."""
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
    return "int" in dtype


def widened(dtype):
    """`dtype`, but float32 where it is narrower than that or no float at all."""
    return dtype if dtype == "float64" else "float32"


def state_seed(seed):
    """A seed below 2**32 as the integer that `keras.random.SeedGenerator` can hold on this backend."""
    # PyTorch's seeds are int32: the same 32 bits, read as a signed number.
    return seed - 2**32 if keras.backend.backend() == "torch" and seed >= 2**31 else seed


def state_of(words):
    """Two words of 32 bits as the state of a `keras.random.SeedGenerator` of this backend."""
    words = np.asarray(words, "uint32")
    return words.view("int32") if keras.backend.backend() == "torch" else words


def words_of(state):
    """The state of a `keras.random.SeedGenerator` as two words of 32 bits, alike on all backends."""
    return (keras.ops.convert_to_numpy(state).astype("int64") & MASK).astype("uint32")


def _has_memory(tensor):
    """Whether a tensor of PyTorch is one, and nothing that a compiler or a transformation of `torch.func` traces."""
    import torch

    if torch.compiler.is_compiling():
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


def value_at_hand(key):
    """The key of a mix as a NumPy array, if its value is known while Python runs; `None` while something is traced.

    A mix is drawn by some hundred operations on small arrays. NumPy does them in a tenth of the time that a framework
    takes eagerly, and the same numbers come out.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return None if isinstance(key, jax.core.Tracer) else np.asarray(key)
    if backend == "tensorflow":
        return None if is_graph_tensor(key) else key.numpy()
    import torch

    if torch.compiler.is_compiling() or key.device.type != "cpu":  # on a GPU reading it would wait for all work before
        return None
    try:
        return key.numpy()
    except RuntimeError:  # inside of a transformation of `torch.func`
        return None


def gradient_functions():
    """The code of the public functions that compute gradients, where a backward pass may run Python once more.

    Both PyTorch and TensorFlow call a rematerialised part again. JAX and `torch.compile` replay what they have traced.
    """
    return () if is_compiling() else _gradient_functions()


@functools.cache
def _gradient_functions():
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return tuple(function.__code__ for function in (torch.autograd.backward, torch.autograd.grad))
    if backend == "tensorflow":
        tf = tensorflow_ops().tf
        functions = (tf.GradientTape.gradient, tf.gradients, tf.compat.v1.gradients)
        return tuple(function.__code__ for function in functions)
    return ()


def known_values(x):
    """The values of an array where they can be read without waiting for an accelerator; `None` elsewhere."""
    if isinstance(x, np.ndarray | np.generic):
        return x
    return value_at_hand(x) if _is_on_host(x) else None


def _is_on_host(x):
    """Whether this is a tensor of the Keras backend in the memory of the CPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        if not isinstance(x, jax.Array) or isinstance(x, jax.core.Tracer) or not x.is_fully_addressable:
            return False
        return all(device.platform == "cpu" for device in x.devices())
    if backend == "tensorflow":
        return tensorflow_ops().tf.is_tensor(x) and not is_graph_tensor(x) and "CPU" in x.device
    import torch

    return isinstance(x, torch.Tensor)  # `value_at_hand` asks for the device


def asserted(x, condition, facts):
    """`x`, a tensor of a TensorFlow graph, which fails with these facts where the condition does not hold.

    XLA leaves assertions out: there nothing is checked.
    """
    tf = tensorflow_ops().tf
    with tf.control_dependencies([tf.debugging.Assert(condition, facts)]):
        return tf.identity(x)


def signed(ops, x):
    """Integers in a dtype that holds -1 as well: 64 bits wide where the backend has them."""
    narrow = ops is KERAS and keras.backend.backend() == "jax" and "64" not in dtype_of(x)
    return ops.cast(x, "int32" if narrow else "int64")


def is_compiling():
    """Whether `torch.compile` traces just now."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.compiler.is_compiling()


def outside_of_traces():
    """A context in which what is made is made at once, though a function may be traced just then."""
    if keras.backend.backend() == "tensorflow":
        return tensorflow_ops().tf.init_scope()
    if keras.backend.backend() == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    return contextlib.nullcontext()


def replica():
    """The number of this replica, where each of several runs the step on its part of the batch; `None` where it is one.

    JAX has none: there the step is one program over the whole batch, whatever the number of devices.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        context = tensorflow_ops().tf.distribute.get_replica_context()
        several = context is not None and context.num_replicas_in_sync > 1
        return context.replica_id_in_sync_group if several else None
    if backend == "torch":
        from torch import distributed

        several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        return distributed.get_rank() if several else None
    return None


@contextlib.contextmanager
def framework_state_kept(variables):
    """Puts back what PyTorch keeps itself: the gradients, and the random state, from which Keras' `Dropout` draws."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    gradients = [(v.value, v.value.grad) for v in variables]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for tensor, gradient in gradients:
            tensor.grad = gradient


class DatasetState:
    """The random state of a layer inside plain `tf.data` maps: one key a batch, also from parallel calls.

    A `tf.random.Generator` hands out every key once, even to threads; a Keras variable would be raced for,
    and cannot be read in a graph of a foreign TensorFlow at all.
    """

    def __init__(self, seed):
        self.seed = seed
        self.generator = None

    def next(self):
        tf = tensorflow_ops().tf
        if self.generator is None:
            with tf.init_scope():
                self.generator = tf.random.Generator.from_seed(self.seed, alg="philox")
        return tf.reshape(self.generator.make_seeds(1), (2,))


def as_written(function):
    """`function` for a TensorFlow graph, run as it is: AutoGraph would rewrite its Python."""
    return tensorflow_ops().tf.autograph.experimental.do_not_convert(function)


def with_cardinality_of(dataset, mixed):
    """`mixed` with the length of `dataset` where that is known, so that `fit` can count its steps.

    An assertion of the length would fail for ever after a batch that `ignore_errors` has dropped. This only tells it:
    nothing, repeated without end, counts as endless for TensorFlow, and of something endless a part has a known length.
    """
    length = int(dataset.cardinality())
    if length == tensorflow_ops().tf.data.UNKNOWN_CARDINALITY:
        return mixed
    endless = mixed.concatenate(mixed.take(0).repeat())
    return endless if length == tensorflow_ops().tf.data.INFINITE_CARDINALITY else endless.take(length)
