"""Answer for TensorFlow, if Keras runs on it."""

import tensorflow as tf

from keras_mixup._backend._framework import Framework
from keras_mixup._backend._tensorflow import TENSORFLOW


class OnTensorFlow(Framework):
    """TensorFlow: shifts and rotations, graphs, gradients and replicas of its own."""

    def shift_right(self, x, bits):
        return TENSORFLOW.shift_right(x, bits)

    def rotate_left(self, x, bits):
        return TENSORFLOW.rotate_left(x, bits)

    def concrete_value(self, key):
        return None if tf.is_symbolic_tensor(key) else key.numpy()

    def value_on_host(self, x):
        known = tf.is_tensor(x) and not tf.is_symbolic_tensor(x) and "CPU" in x.device
        return x.numpy() if known else None

    def outside_of_traces(self):
        return tf.init_scope()

    def gradient_functions(self):
        return tf.GradientTape.gradient.__code__, tf.gradients.__code__, tf.compat.v1.gradients.__code__

    def input_gradients(self, function):
        def gradients(x, *rest):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x, *rest)
            return tape.gradient(value, x)

        compiled = tf.function(gradients, reduce_retracing=True)
        return lambda *arguments: compiled(*map(tf.convert_to_tensor, arguments))

    def replica(self):
        context = tf.distribute.get_replica_context()
        several = context is not None and context.num_replicas_in_sync > 1
        return context.replica_id_in_sync_group if several else None
