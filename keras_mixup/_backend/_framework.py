"""What else differs between the frameworks."""

import contextlib
import functools

import keras
import numpy as np

from keras_mixup._backend._arrays import is_graph_tensor, ops_for
from keras_mixup._backend._keras import KERAS
from keras_mixup._backend._ops import MASK


def parts_of(batch):
    """How many devices of a `keras.distribution` share the rows; 1 where they cannot be told, or have one row each."""
    distribution = keras.distribution.distribution()
    rows = keras.tree.flatten(batch)[0].shape[0]
    if keras.backend.backend() != "jax" or distribution is None or ops_for(batch) is not KERAS:
        return 1
    mesh = distribution.device_mesh
    parts = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    return parts if rows % parts == 0 and rows > parts else 1


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
        import tensorflow as tf

        return tf.is_tensor(x) and not is_graph_tensor(x) and "CPU" in x.device
    import torch

    return isinstance(x, torch.Tensor)  # `value_at_hand` asks for the device


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
        import tensorflow as tf

        functions = (tf.GradientTape.gradient, tf.gradients, tf.compat.v1.gradients)
        return tuple(function.__code__ for function in functions)
    return ()


def is_compiling():
    """Whether `torch.compile` traces just now."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.compiler.is_compiling()


def outside_of_traces():
    """A context in which what is made is made at once, though a function may be traced just then."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
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
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
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
