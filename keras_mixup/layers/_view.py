"""A batch as `draw` sees it."""

import functools

import keras

from keras_mixup import _backend, pairing


class DrawOnDevice(Exception):
    """Raised if a draw on the host asks for values on an accelerator, for which it would have to wait."""


class BatchView:
    """What a mix may be drawn from.

    Attributes:
        ops: the array operations: `where`, `cast`, `sum`, `arange`, ..., as in `keras.ops`. One that not every array
            library has is refused, with a list of those that are there.
        random: the random source: `random.uniform(shape)` for numbers between 0 and 1;
            `functional.draw_weights(random, shape, alpha)` for draws of Beta(alpha, alpha); `random.value(x)` for what
            may be a number or a schedule.
        shape: tuple, the shape of the (first) input. Its first entry is the number of draws: the rows of the batch, or
            1 if they share one draw. In a graph any entry may be a tensor, so cast one before you divide by it:
            `ops.cast(shape[1], "float32")`.
        rows: the number of rows, an integer or a tensor.
    """

    def __init__(self, batch, random, *, pair_by, same_on_batch, labels):
        self._batch = batch
        self._labels = labels
        self._pairing = pair_by
        self.random = random
        self.ops = random.ops
        first = keras.tree.flatten(batch.inputs)[0]
        rows, *sizes = self.ops.shape(first)
        self.rows = _check_rows_of_graph(self.ops, rows, batch.leaves())
        self.shape = (1 if same_on_batch else self.rows, *sizes)

    @functools.cached_property
    def inputs(self):
        """The inputs `(batch, ...)`, an array or a nest of arrays, as arrays for `ops`."""
        return self._readable(self._batch.inputs)

    @functools.cached_property
    def labels(self):
        """The labels, class indices as one-hot rows; `None` in a model, where they follow through the loss."""
        labels = self._labels()
        return None if labels is None or not keras.tree.flatten(labels) else self._readable(labels)

    def _readable(self, nest):
        if self.ops is _backend.NUMPY and any(map(_backend.waits, keras.tree.flatten(nest))):
            raise DrawOnDevice
        return keras.tree.map_structure(self.ops.from_keras, nest)

    @property
    def partner(self):
        """The partner of each row, `(batch,)` integers, drawn by the layer's `pairing`."""
        return self._pairs[0]

    def paired(self, mix):
        """The mix with the partners of the layer's pairing, unless it has brought its own."""
        if mix.partners:
            return mix
        partner, locality = self._pairs
        return mix.replace(partners=(partner,) * (len(mix.shares) - 1), locality=locality)

    @functools.cached_property
    def _pairs(self):
        """The partner of each row, and how near they are, where that is known."""
        return pairing.draw(self._pairing, self)

    @functools.cached_property
    def shards(self):
        """How many devices share the rows of the batch."""
        return _backend.shard_count(self._batch.inputs)


def _check_rows_of_graph(ops, rows, leaves):
    """Returns the number of rows of the first leaf, checked against the others when the graph runs."""
    leaves = [(word, leaf) for word, leaf in leaves if _backend.is_graph_tensor(leaf)]
    if len(leaves) < 2 or all(leaf.shape[0] is not None for _, leaf in leaves):
        return rows
    sizes = ops.stack([ops.shape(leaf)[0] for _, leaf in leaves])
    expected = "Inputs, labels and sample weights must have the same batch size (axis 0).\nReceived: rows of"
    names = ", ".join(word.lower() for word, _ in leaves)
    return _backend.asserted(rows, ops.all(sizes == sizes[0]), [f"{expected} {names}:", sizes])
