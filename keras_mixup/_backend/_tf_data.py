"""Serve `tf.data` under any Keras backend. TensorFlow is imported at the first call."""


class DatasetState:
    """Hold the random state of a layer in plain `tf.data` maps: one key a batch, also for parallel calls.

    A `tf.random.Generator` gives out every key once, even to threads. Threads would race for a Keras variable, and a
    graph of a foreign TensorFlow cannot read one.
    """

    def __init__(self, seed):
        self.seed = seed
        self.generator = None

    def next(self):
        """Return the key of the next batch, when the graph runs."""
        import tensorflow as tf

        if self.generator is None:
            with tf.init_scope():
                self.generator = tf.random.Generator.from_seed(self.seed, alg="philox")
        return tf.reshape(self.generator.make_seeds(1), (2,))


def as_written(function):
    """Return `function` for a TensorFlow graph without AutoGraph, which would rewrite its Python."""
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def asserted(x, condition, facts):
    """Return `x`, a tensor of a TensorFlow graph, which fails with these facts unless the condition holds.

    XLA drops assertions, so a compiled graph is not checked.
    """
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(condition, facts)]):
        return tf.identity(x)


def with_cardinality_of(dataset, mixed):
    """Return `mixed` with the length of `dataset`, if that is known, so that `fit` can count its steps.

    `tf.data.experimental.assert_cardinality` would fail after a batch that `ignore_errors` has dropped; this only
    declares the length. TensorFlow counts an endlessly repeated nothing as endless, and a part of something endless has
    a known length.
    """
    import tensorflow as tf

    length = int(dataset.cardinality())
    if length == tf.data.UNKNOWN_CARDINALITY:
        return mixed
    endless = mixed.concatenate(mixed.take(0).repeat())
    return endless if length == tf.data.INFINITE_CARDINALITY else endless.take(length)
