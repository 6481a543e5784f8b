"""What a mixing layer does with a batch once the random source is given: pure, in every place the same."""

from typing import Any

import keras
import numpy as np

from keras_mixup import _arguments, _batch_checks, _checks, _backend
from keras_mixup.functional import Mix, blend, blend_labels, draw_partners, encode_labels
from keras_mixup.functional._mix import _rows, only_where, reverse, selected, whole
from keras_mixup.functional._random import Random, key_of
from keras_mixup.layers._element_labels import blend_pasted
from keras_mixup.layers._forms import unpack
from keras_mixup.pairing import check_one_label

AUTOTUNE = -1  # tf.data.AUTOTUNE


class Mixer:
    """The pure half of a mixing layer: checks, draw and blend, and the pipelines that need no more than a seed."""

    pastes = False  # whether elements of the partner come as they are; then masks of a sample dict are pasted too
    probability: Any
    pairing: Any
    same_on_batch: bool
    num_classes: int | None
    ignore_class: int | None
    dominant: bool
    compute_dtype: str
    _first_seed: int
    _used: bool

    def draw(self, ops, random, shape) -> Mix:
        """Draws the mix for a batch. To be overridden.

        Args:
            ops: the array operations of the place: `where`, `cast`, `sum`, `arange`, ..., as in `keras.ops`; one that
                is not there in every place is refused, with a list of all.
            random: the random source: `random.uniform(shape)` for numbers between 0 and 1;
                `functional.draw_weights(random, shape, alpha)` for draws of Beta(alpha, alpha); `random.value(x)` for
                what may be a number or a schedule.
            shape: tuple, the shape of the (first) input. Its first entry is the number of draws: the rows of the
                batch, or 1 if they share one draw. In a graph any entry may be a tensor, so cast one before you
                divide by it: `ops.cast(shape[1], "float32")`.

        Returns:
            A `keras_mixup.functional.Mix`, of `weight` `(rows,)`, or of `keep`, in the rank of `shape`. What it leaves
            out is added: the partners, drawn by the layer's `pairing`; the weights, from `keep`. The gate,
            `probability` and `dominant` come after it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `draw(self, ops, random, shape)`.")

    def mix_dataset(self, dataset, *, training=True, num_parallel_calls=AUTOTUNE, dtype=None):
        """Mixes every batch of a `tf.data.Dataset`, under any Keras backend.

        The draws are a function of the layer's seed, the epoch and the position of the batch: the same in every
        run, also with parallel calls; other ones in every epoch. An iterator that is restored from a checkpoint goes on
        with the same draws. (Which rows it gives is TensorFlow's part: with `shuffle` before a `repeat` it restores
        them in another order, from the next epoch on, if the pipeline had read ahead into that epoch when the
        checkpoint was saved.) A dataset made anew, by another call of this method, begins with the first epoch again;
        so do not call it inside `interleave` or `flat_map`, where it is refused, but mix after them. (As for all of
        TensorFlow's seeds, its global seed counts too, if one is set.)

        Args:
            dataset: A batched `tf.data.Dataset` of `(x, y)`, `(x, y, sample_weight)` or sample dicts.
            training: Boolean. `False` for validation data: nothing is mixed, but labels and dtypes come out as they
                do for the training data.
            num_parallel_calls: Integer, as in `tf.data.Dataset.map`. Defaults to `tf.data.AUTOTUNE`.
            dtype: String or `None`, the dtype of the mixed inputs, by default the layer's compute dtype. `"uint8"`
                gives images of bytes back as bytes, rounded: a quarter of what is to be moved to an accelerator.

        Returns:
            A `tf.data.Dataset` of the same form and length. Do not `cache` it: every epoch would repeat the same mixes.
            Do not give it to the `tf.data` service, whose workers would each mix all of it: mix after the service.

        Raises:
            ValueError, TypeError: if the elements cannot be mixed, at once.
            InvalidArgumentError: while it is iterated, for class indices out of range.

        Warns:
            UserWarning: if an element plainly is one sample, because `dataset.batch(...)` was forgotten.

        Example:

        >>> import numpy as np, tensorflow as tf
        >>> from keras_mixup import MixUp
        >>> dataset = tf.data.Dataset.from_tensor_slices((np.eye(8, dtype="float32"), np.arange(8) % 3)).batch(4)
        >>> mixed = MixUp(alpha=0.2, num_classes=3, seed=0).mix_dataset(dataset)
        >>> [tuple(y.shape) for x, y in mixed]
        [(4, 3), (4, 3)]
        """
        self._check_place("`mix_dataset`")
        _batch_checks.check_dataset(dataset)
        spec = self._unpack(*_batch_checks.check_dataset_element(dataset.element_spec))
        self._check_mixable(spec) if training else _batch_checks.check_rows(spec.leaves())
        _batch_checks.warn_of_one_sample(spec.inputs, spec.labels)
        dtype = self._dtype_for(spec, dtype)
        self._used = True
        if not training:
            plain = lambda *element: self._unmixed_element(element, dtype)
            return dataset.map(_backend.as_written(plain), num_parallel_calls=num_parallel_calls)

        def epoch(seed):
            mix = lambda index, element: self._mixed_element((seed, index), element, dtype)
            return dataset.enumerate().map(
                _backend.as_written(mix), num_parallel_calls=num_parallel_calls, deterministic=True
            )

        # One random number an epoch, and every batch its number: nothing is counted in a variable, which parallel
        # calls would race for and an iterator's checkpoint could not hold.
        epochs = dataset.random(seed=self._first_seed, rerandomize_each_iteration=True).take(1)
        return _backend.with_cardinality_of(dataset, epochs.flat_map(_backend.as_written(epoch)))

    def mix_numpy(self, inputs, labels=None, sample_weight=None, *, seed, dtype=None):
        """Mixes one batch of NumPy arrays on the CPU: for `grain`, `PyDataset`, the workers of a `DataLoader`.

        Args:
            inputs: Array `(batch, ...)`, or a nest of them, or a sample dict.
            labels: As in a call of the layer.
            sample_weight: As in a call of the layer.
            seed: The draw is a function of it alone: an integer, a tuple of integers such as
                `(epoch, index, worker)`, or a `numpy.random.Generator`, which is advanced.
            dtype: As for `mix_dataset`.

        Returns:
            What a call of the layer with `training=True` returns, as NumPy arrays.

        Example:

        >>> import numpy as np
        >>> from keras_mixup import MixUp
        >>> x, y = MixUp(alpha=0.2, num_classes=3).mix_numpy(np.ones((4, 2)), np.array([0, 1, 2, 0]), seed=(0, 7))
        >>> x.shape, y.shape, y.sum(axis=1).round(6).tolist()
        ((4, 2), (4, 3), [1.0, 1.0, 1.0, 1.0])
        """
        self._check_place("`mix_numpy`")
        _batch_checks.check_not_masked((inputs, labels, sample_weight))
        as_arrays = lambda nest: None if nest is None else keras.tree.map_structure(np.asarray, nest)
        batch = self._unpack(*map(as_arrays, (inputs, labels, sample_weight)))
        self._check_mixable(batch)
        mix = self._draw(batch, Random(_backend.NUMPY, _numpy_key(seed)))
        return self._apply(batch, mix, self._dtype_for(batch, dtype)).repack()

    def _unpack(self, *arguments):
        return unpack(*arguments, pastes=self.pastes)

    def _dtype_for(self, batch, dtype):
        """The dtype in which mixed inputs come out."""
        return _batch_checks.check_dtype(
            dtype or self.compute_dtype, map(_backend.dtype_of, keras.tree.flatten(batch.inputs))
        )

    def _mixed_element(self, key, element, dtype):
        batch = self._unpack(*_batch_checks.check_dataset_element(element))
        self._check_mixable(batch)
        ops = _backend.ops_for(batch.inputs)
        return _like(element, self._apply(batch, self._draw(batch, Random(ops, ops.stack(key))), dtype).repack())

    def _unmixed_element(self, element, dtype):
        element = element if len(element) > 1 else element[0]
        batch = self._unpack(*_batch_checks.check_dataset_element(element))
        return _like(element, self._unmixed(batch, dtype).repack())

    def _unmixed(self, batch, dtype=None):
        """The batch as it is: inputs in this dtype, class indices as one-hot rows if `num_classes` is set."""
        _batch_checks.check_rows(batch.leaves())
        if self.num_classes is not None:
            self._check_labels(batch)
        mixable = lambda x: _backend.is_mixable(_backend.dtype_of(x))
        cast = lambda x: _backend.ops_for(x).cast(x, dtype or self.compute_dtype) if mixable(x) else x
        inputs = keras.tree.map_structure(cast, batch.inputs)
        return batch._replace(inputs=inputs, labels=self._encoded(batch))

    def _draw(self, batch, random):
        """The layer's draw, gated."""
        ops = random.ops
        rows, *sizes = ops.shape(keras.tree.flatten(batch.inputs)[0])
        shape = (_batch_checks.check_rows_of_graph(ops, rows, batch.leaves()), *sizes)
        mix = self._drawn(ops, random, (1, *shape[1:]) if self.same_on_batch else shape)
        if mix.partner is None:
            mix = self._paired(mix, batch, random, shape[0])
        if self.dominant:
            mix = selected(ops, mix.weight < mix.complement, reverse(ops, mix), mix)
        mixed = ops.logical_and(mix.partner != _rows(ops, mix), mix.complement > 0)
        if self.probability != 1.0:
            chance = random.uniform((1 if self.same_on_batch else shape[0],))
            mixed = ops.logical_and(mixed, chance < random.value(self.probability))
        return only_where(ops, mixed, mix)

    def _drawn(self, ops, random, shape):
        """The mix of `draw`, checked, with both shares."""
        return whole(_checks.check_drawn(self, self.draw(ops, random, shape), shape, Mix))

    def _paired(self, mix, batch, random, rows):
        if self.pairing == "roll":
            return mix._replace(partner=draw_partners(random, rows, "roll"), reach="roll")
        if isinstance(self.pairing, str):
            parts = _backend.shard_count(batch.inputs) if self.pairing == "local" else 1
            return mix._replace(partner=draw_partners(random, rows, parts=parts), reach=parts if parts > 1 else None)
        labels = check_one_label(self._encoded(batch))
        return mix._replace(partner=self.pairing.draw(random.ops, random, random.ops.from_keras(labels)))

    def _apply(self, batch, mix, dtype=None):
        inputs, labels = blend(batch.inputs, mix, dtype or self.compute_dtype), self._encoded(batch)
        batch = batch._replace(inputs=inputs, masks=blend(batch.masks, mix))
        if labels is None:
            return batch
        if mix.keep is not None:
            labels, sample_weight = blend_pasted(batch.labels, labels, mix, batch.sample_weight)
            return batch._replace(labels=labels, sample_weight=sample_weight)
        if batch.sample_weight is None:
            return batch._replace(labels=blend_labels(labels, mix))
        labels, sample_weight = blend_labels(labels, mix, batch.sample_weight)
        return batch._replace(labels=labels, sample_weight=sample_weight)

    def _encoded(self, batch):
        return None if batch.labels is None else encode_labels(batch.labels, self.num_classes, self.ignore_class)

    def _check_mixable(self, batch):
        _batch_checks.check_rows(batch.leaves())
        for x in keras.tree.flatten(batch.inputs):
            _batch_checks.check_inputs(_backend.dtype_of(x), batch.inputs)
        self._check_labels(batch)

    def _check_labels(self, batch):
        labels = [(_backend.dtype_of(y), y.shape) for y in keras.tree.flatten(batch.labels) if y is not None]
        for dtype, shape in labels:
            _batch_checks.check_labels(dtype, shape, self.num_classes)
        if self.num_classes is not None:
            _batch_checks.check_use_of_classes(labels, self.num_classes)

    def _check_place(self, where):
        _arguments.check_no_schedule(where, probability=self.probability)


def _like(element, mixed):
    """A mixed tuple as a named one, if the element was."""
    return type(element)(*mixed) if hasattr(element, "_fields") else mixed


def _numpy_key(seed):
    if isinstance(seed, np.random.Generator):
        return seed.integers(0, 2**32, 2, dtype="uint32")
    if isinstance(seed, tuple):
        # Their number and two words each, because `SeedSequence` takes (0, 1), (0, 1, 0) and 2**32 for the same.
        words = [word for number in seed for word in divmod(_checks.check_seed(number), 2**32)]
        return np.random.SeedSequence([len(seed), *words]).generate_state(2)
    return key_of(_backend.NUMPY, _checks.check_seed(seed))
