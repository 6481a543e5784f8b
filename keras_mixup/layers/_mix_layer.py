"""`MixLayer`: a layer that mixes inputs, and their labels, wherever it is put."""

import functools
import warnings
from typing import Any, Unpack

import keras

from keras_mixup import _arguments, _backend, _step
from keras_mixup.layers import _batch, _pipelines
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._base import MixBase
from keras_mixup.layers._random_state import source_of_call


class MixLayer(MixBase):
    """Base of the layers that blend samples with other samples of their batch. Derive from it for a new mix.

    A subclass overrides `draw(batch)`, see there, and returns a `keras_mixup.functional.Mix`. The same code then runs
    in a model, in a `tf.data` graph under any Keras backend, and on NumPy. With the class attribute `pastes = True`
    integer masks of a sample dict are pasted with the images. A subclass that has an `alpha` derives from `MixUp`,
    which follows schedules and saves it.

    Args:
        probability, same_on_batch, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

    Call arguments:
        As for `MixUp`.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import MixLayer
    >>> from keras_mixup.functional import Mix
    >>> class Channels(MixLayer):
    ...     "Takes every channel from one of the two samples."
    ...     pastes = True
    ...     def draw(self, batch):
    ...         rows, _, _, channels = batch.shape
    ...         return Mix(keep=batch.random.uniform((rows, 1, 1, channels)) < 0.5)
    >>> x, y = Channels(seed=0)(np.ones((4, 8, 8, 3), "float32"), np.eye(4), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 4))
    """

    num_classes = Argument(_arguments.check_integer, lower=1)
    ignore_class = Argument(_arguments.check_integer, lower=-(2**31), upper=2**31)

    def __init__(
        self,
        *,
        probability: Number = 1.0,
        same_on_batch: bool = False,
        pairing: PairingOrName = "shuffle",
        num_classes: int | None = None,
        ignore_class: int | None = None,
        dominant: bool = False,
        seed: int | None = None,
        **layer_kwargs: Unpack[LayerOptions],
    ):
        super().__init__(
            probability=probability,
            same_on_batch=same_on_batch,
            pairing=pairing,
            dominant=dominant,
            seed=seed,
            **layer_kwargs,
        )
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        _check_ignore_class(ignore_class, num_classes)

    def __call__(self, *args, **kwargs):
        _batch.check_before_keras(self, *args, **kwargs)
        if not self._used:
            self._used = True
        if _backend.is_foreign((args, kwargs)):  # Keras can compute nothing there, its own `__call__` neither
            return _backend.as_written(self.call)(*args, **kwargs)
        if self.seed_generator is None:
            self._put_on_device()
        return super().__call__(*args, **kwargs)

    def call(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        batch = _batch.unpack(inputs, labels, sample_weight, pastes=self.pastes)
        # Keras 3.16 does not hand `training` on when a backward pass runs a rematerialised model again.
        if training or (training is None and _step.is_repeated(self)):
            self.check_batch(batch)
            if _backend.in_tf_data(batch.inputs):
                return self._mix(batch, _pipelines.source_in_map(self, batch, seed)).repack()
            return self._apply(batch, self._mix_of_step(batch, seed)).repack()
        if training is None and batch.labels is not None and not _step.is_building():
            warnings.warn(TRAINING_NOT_GIVEN, stacklevel=2)
        if batch.labels is None:
            _step.record_clean(self, training_given=training is not None)
        return self._pass_through(batch).repack()

    def _mix_of_step(self, batch, seed):
        """The mix of this call, which a backward pass that calls the layer again gets once more."""
        follows = batch.labels is None
        if follows:
            self._check_pairing_without_labels()
        # With a seed the second draw is the first.
        mix = None if seed is not None and not follows else _step.mix_to_repeat(self)
        if mix is None:
            random = self._random_state.next() if seed is None else self._source_of_call(seed)
            mix = self._draw_on_backend(batch, random, functools.partial(self._encoded, batch))
            record = _step.record_mix if follows else _step.record_labelled
            record(self, mix, batch.shapes())
        return mix

    def _source_of_call(self, seed):
        self.check_use("a call with `seed`")
        return source_of_call(seed)

    def _mix(self, batch, random, dtype=None):
        """The mixed batch, drawn and computed in the array library of the random source."""
        return self._apply(batch, self._draw_gated(batch, random, functools.partial(self._encoded, batch)), dtype)

    def _apply(self, batch, mix, dtype=None):
        return batch.mixed(mix, self.num_classes, self.ignore_class, dtype or self.compute_dtype)

    def _pass_through(self, batch, dtype=None):
        """The batch as it is, in the dtypes of a mixed one."""
        batch.check_unmixed(self.num_classes)
        return batch.unmixed(self._encoded(batch), dtype or self.compute_dtype)

    def _encoded(self, batch):
        return batch.encoded(self.num_classes, self.ignore_class)

    def check_batch(self, batch):
        batch.check_mixable(self.num_classes)

    def compute_output_spec(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        batch = _batch.unpack(inputs, labels, sample_weight, pastes=self.pastes)
        self.check_batch(batch)

        def of_inputs(x):
            return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

        def of_labels(y):
            return keras.KerasTensor(y.shape, dtype=_backend.widened(_backend.dtype_of(y)))

        inputs = keras.tree.map_structure(of_inputs, batch.inputs)
        labels = None if batch.labels is None else keras.tree.map_structure(of_labels, self._encoded(batch))
        return batch._replace(inputs=inputs, labels=labels).repack()

    def compute_output_shape(self, inputs_shape, labels_shape=None, sample_weight_shape=None):
        """Returns the shapes of the outputs. Labels without an axis of `num_classes` are taken for class indices."""

        def of_inputs(shape):
            return keras.KerasTensor(shape, "float32")

        def of_labels(shape):
            encoded = self.num_classes is None or (len(shape) > 1 and shape[-1] == self.num_classes)
            return keras.KerasTensor(shape, "float32" if encoded else "int32")

        as_inputs, as_labels = (functools.partial(keras.tree.map_shape_structure, f) for f in (of_inputs, of_labels))
        if isinstance(inputs_shape, dict) and "images" in inputs_shape:
            by_key = {key: as_labels if key in _batch.LABEL_KEYS else as_inputs for key in inputs_shape}
            spec = self.compute_output_spec({key: by_key[key](shape) for key, shape in inputs_shape.items()})
        else:
            labels = None if labels_shape is None else as_labels(labels_shape)
            weights = None if sample_weight_shape is None else as_inputs(sample_weight_shape)
            spec = self.compute_output_spec(as_inputs(inputs_shape), labels, weights)
        return keras.tree.map_structure(lambda tensor: tensor.shape, spec)

    def build(self, inputs_shape=None, labels_shape=None, sample_weight_shape=None):
        """There is nothing to build; the layer counts as used."""
        self._used = True

    def mix_dataset(
        self,
        dataset: Any,
        *,
        training: bool = True,
        num_parallel_calls: int = _pipelines.AUTOTUNE,
        dtype: str | None = None,
    ) -> Any:
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
        return _pipelines.mix_dataset(self, dataset, training, num_parallel_calls, dtype)

    def mix_numpy(
        self,
        inputs: Any,
        labels: Any = None,
        sample_weight: Any = None,
        *,
        seed: Any = None,
        training: bool = True,
        dtype: str | None = None,
    ) -> Any:
        """Mixes one batch of NumPy arrays on the CPU: for `grain`, `PyDataset`, the workers of a `DataLoader`.

        Args:
            inputs: Array `(batch, ...)`, or a nest of them, or a sample dict.
            labels: As in a call of the layer.
            sample_weight: As in a call of the layer.
            seed: The draw is a function of it alone: an integer, a tuple of integers such as
                `(epoch, index, worker)`, or a `numpy.random.Generator`, which is advanced.
            training: Boolean. `False` for validation data, which needs no seed.
            dtype: As for `mix_dataset`.

        Returns:
            What a call of the layer returns, as NumPy arrays.

        Example:

        >>> import numpy as np
        >>> from keras_mixup import MixUp
        >>> x, y = MixUp(alpha=0.2, num_classes=3).mix_numpy(np.ones((4, 2)), np.array([0, 1, 2, 0]), seed=(0, 7))
        >>> x.shape, y.shape, y.sum(axis=1).round(6).tolist()
        ((4, 2), (4, 3), [1.0, 1.0, 1.0, 1.0])
        """
        return _pipelines.mix_numpy(self, (inputs, labels, sample_weight), seed, training, dtype)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "ignore_class": self.ignore_class}


def _check_ignore_class(ignore_class, num_classes):
    if ignore_class is not None and num_classes is None:
        raise ValueError(
            f"`ignore_class` is one of the class indices, which need `num_classes`. Received: "
            f"ignore_class={ignore_class!r}, num_classes=None.\nWrite `MixUp(..., num_classes=21, ignore_class=255)`."
        )


TRAINING_NOT_GIVEN = (
    "Labels were given, but `training` was not: nothing is mixed. Say which batches are to be mixed: "
    "`dataset.map(lambda x, y: mixup(x, y, training=True))`, or `mixup.mix_dataset(dataset)`; and "
    "`training=False` for validation data, which leaves out the mix and this warning."
)
