"""The layer in an input pipeline: over a whole `tf.data` dataset, and over NumPy batches of any other loader."""

import keras
import numpy as np

from keras_mixup import _checks, _ops
from keras_mixup._random import Random, key_of
from keras_mixup.layers._forms import unpack

AUTOTUNE = -1  # tf.data.AUTOTUNE


class Pipelines:
    """`mix_dataset` and `mix_numpy`: pure functions of the layer's settings and a seed, its state is not touched."""

    def mix_dataset(self, dataset, *, training=True, num_parallel_calls=AUTOTUNE):
        """Mixes every batch of a `tf.data.Dataset`, under any Keras backend.

        The draws are a function of the layer's seed, the epoch and the position of the batch: the same in every
        run, also with parallel calls; other ones in every epoch; resumed exactly from an iterator's checkpoint.

        Args:
            dataset: A batched `tf.data.Dataset` of `(x, y)`, `(x, y, sample_weight)` or sample dicts.
            training: Boolean. `False` for validation data: nothing is mixed, but labels and dtypes come out as they
                do for the training data.
            num_parallel_calls: Integer, as in `tf.data.Dataset.map`. Defaults to `tf.data.AUTOTUNE`.

        Returns:
            A `tf.data.Dataset` of the same form. Do not `cache` it: every epoch would repeat the same mixes.

        Raises:
            ValueError, TypeError: if the elements cannot be mixed, at once.

        Example:

        >>> import numpy as np, tensorflow as tf
        >>> from keras_mixup import MixUp
        >>> dataset = tf.data.Dataset.from_tensor_slices((np.eye(8, dtype="float32"), np.arange(8) % 3)).batch(4)
        >>> mixed = MixUp(alpha=0.2, num_classes=3, seed=0).mix_dataset(dataset)
        >>> [tuple(y.shape) for x, y in mixed]
        [(4, 3), (4, 3)]
        """
        self._check_no_schedules("`mix_dataset`")
        spec = unpack(*_checks.check_dataset_element(dataset.element_spec))
        self._check_mixable(spec) if training else _checks.check_rows(spec.leaves())
        self.built = True
        if not training:
            return dataset.map(_ops.as_written(self._unmixed_element), num_parallel_calls=num_parallel_calls)

        def epoch(seed):
            mix = lambda index, element: self._mixed_element((seed, index), element)
            return dataset.enumerate().map(
                _ops.as_written(mix), num_parallel_calls=num_parallel_calls, deterministic=True
            )

        # One random number an epoch, and every batch its number: nothing is counted in a variable, which parallel
        # calls would race for and an iterator's checkpoint could not hold.
        epochs = dataset.random(seed=self._first_seed, rerandomize_each_iteration=True).take(1)
        return _ops.with_cardinality_of(dataset, epochs.flat_map(_ops.as_written(epoch)))

    def mix_numpy(self, inputs, labels=None, sample_weight=None, *, seed):
        """Mixes one batch of NumPy arrays on the CPU: for `grain`, `PyDataset`, the workers of a `DataLoader`.

        Args:
            inputs: Array `(batch, ...)`, or a nest of them, or a sample dict.
            labels: As in a call of the layer.
            sample_weight: As in a call of the layer.
            seed: The draw is a function of it alone: an integer, a tuple of integers such as
                `(epoch, index, worker)`, or a `numpy.random.Generator`, which is advanced.

        Returns:
            What a call of the layer with `training=True` returns, as NumPy arrays.

        Example:

        >>> import numpy as np
        >>> from keras_mixup import MixUp
        >>> x, y = MixUp(alpha=0.2, num_classes=3).mix_numpy(np.ones((4, 2)), np.array([0, 1, 2, 0]), seed=(0, 7))
        >>> x.shape, y.shape, y.sum(axis=1).round(6).tolist()
        ((4, 2), (4, 3), [1.0, 1.0, 1.0, 1.0])
        """
        self._check_no_schedules("`mix_numpy`")
        as_arrays = lambda nest: None if nest is None else keras.tree.map_structure(np.asarray, nest)
        batch = unpack(*map(as_arrays, (inputs, labels, sample_weight)))
        self._check_mixable(batch)
        return self._apply(batch, self._draw(batch, Random(_ops.NUMPY, _numpy_key(seed)))).repack()

    def _mixed_element(self, key, element):
        batch = unpack(*_checks.check_dataset_element(element))
        self._check_mixable(batch)
        ops = _ops.ops_for(batch.inputs)
        return self._apply(batch, self._draw(batch, Random(ops, ops.stack(key)))).repack()

    def _unmixed_element(self, *element):
        element = element if len(element) > 1 else element[0]
        return self._unmixed(unpack(*_checks.check_dataset_element(element))).repack()


def _numpy_key(seed):
    if isinstance(seed, np.random.Generator):
        return seed.integers(0, 2**32, 2, dtype="uint32")
    if isinstance(seed, tuple):
        words = [_checks.check_integer("seed", word, lower=0) for word in seed]
        return np.random.SeedSequence(words).generate_state(2)
    what = "an integer, a tuple of integers or a `numpy.random.Generator`"
    return key_of(_ops.NUMPY, _checks.check_integer("seed", seed, lower=0, upper=2**64, what=what))
