"""What `tf.data` needs."""


def asserted(x, condition, facts):
    """`x`, a tensor of a TensorFlow graph, which fails with these facts where the condition does not hold.

    XLA leaves assertions out: there nothing is checked.
    """
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(condition, facts)]):
        return tf.identity(x)


class DatasetState:
    """The random state of a layer inside plain `tf.data` maps: one key a batch, also from parallel calls.

    A `tf.random.Generator` hands out every key once, even to threads; a Keras variable would be raced for,
    and cannot be read in a graph of a foreign TensorFlow at all.
    """

    def __init__(self, seed):
        self.seed = seed
        self.generator = None

    def next(self):
        import tensorflow as tf

        if self.generator is None:
            with tf.init_scope():
                self.generator = tf.random.Generator.from_seed(self.seed, alg="philox")
        return tf.reshape(self.generator.make_seeds(1), (2,))


def as_written(function):
    """`function` for a TensorFlow graph, run as it is: AutoGraph would rewrite its Python."""
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def with_cardinality_of(dataset, mixed):
    """`mixed` with the length of `dataset` where that is known, so that `fit` can count its steps.

    An assertion of the length would fail for ever after a batch that `ignore_errors` has dropped. This only tells it:
    nothing, repeated without end, counts as endless for TensorFlow, and of something endless a part has a known length.
    """
    import tensorflow as tf

    length = int(dataset.cardinality())
    if length == tf.data.UNKNOWN_CARDINALITY:
        return mixed
    endless = mixed.concatenate(mixed.take(0).repeat())
    return endless if length == tf.data.INFINITE_CARDINALITY else endless.take(length)
