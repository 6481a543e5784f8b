"""Answer for JAX, if Keras runs on it.

JAX has no replicas: a step is one program over the whole batch, on any number of devices. Its backward pass repeats
what was traced and calls no layer again.
"""

import jax
import keras
import numpy as np

from keras_mixup._backend._framework import Framework


class OnJax(Framework):
    """JAX: sharded batches, narrow integers, traced values."""

    def register_tree(self, kind, flatten, unflatten):
        jax.tree_util.register_pytree_node(kind, flatten, unflatten)

    def take_rows(self, x, rows, locality):
        """XLA gathers a sharded array on every device, unless the rows are taken by a roll, or from equal parts."""
        if locality is None:
            return keras.ops.take(x, rows, axis=0)
        of_elements = (1,) * (len(x.shape) - 1)
        if locality == "roll":
            own = keras.ops.reshape(rows == keras.ops.arange(len(rows)), (-1, *of_elements))
            return keras.ops.where(own, x, keras.ops.roll(x, 1, 0))
        parts = keras.ops.reshape(x, (locality, -1, *x.shape[1:]))
        within = keras.ops.reshape(rows % parts.shape[1], (locality, -1, *of_elements))
        return keras.ops.reshape(keras.ops.take_along_axis(parts, within, axis=1), x.shape)

    def signed_dtype(self, dtype):
        return "int64" if "64" in dtype else "int32"

    def concrete_value(self, key):
        return None if isinstance(key, jax.core.Tracer) else np.asarray(key)

    def value_on_host(self, x):
        if not isinstance(x, jax.Array) or isinstance(x, jax.core.Tracer) or not x.is_fully_addressable:
            return None
        on_host = all(device.platform == "cpu" for device in x.devices())
        return np.asarray(x) if on_host else None

    def input_gradients(self, function):
        return jax.jit(jax.grad(function))

    def waits(self, tensor):
        return isinstance(tensor, jax.core.Tracer)

    def outside_of_traces(self):
        return jax.ensure_compile_time_eval()

    def shard_count(self, rows):
        distribution = keras.distribution.distribution()
        if distribution is None:
            return 1
        mesh = distribution.device_mesh
        count = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
        return count if rows % count == 0 and rows > count else 1
