"""`MixLayer`, what all mixing layers share: the forms of a batch, the gate, the random state, the pipelines."""

import contextlib
import contextvars
import functools
import random as python_random
import threading
import warnings
from typing import Any

import keras
import numpy as np

from keras_mixup import _batch_checks, _checks, _ops, _step, _texts
from keras_mixup._random import Random, key_of, key_of_replica
from keras_mixup.functional import Mix
from keras_mixup.layers._forms import LABEL_KEYS
from keras_mixup.layers._mixer import Mixer

PAIRINGS = ("shuffle", "roll", "local")


def serialize(value):
    """Numbers and words as they are, schedules and pairings as their configs."""
    return value if isinstance(value, str | int | float) else keras.saving.serialize_keras_object(value)


class Argument:
    """Checks an argument of a layer whenever it is assigned, and fixes it once the layer has been used.

    Args:
        check: a function of the name, the value and the options. Returns the value to keep.
    """

    def __init__(self, check, **options):
        self.check = check
        self.options = options

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if self.name not in layer.__dict__:
            raise AttributeError(f"`{self.name}` has not been assigned yet.")
        return layer.__dict__[self.name]

    def __set__(self, layer, value):
        if layer._used:
            raise _checks.frozen(self.name, type(layer).__name__)
        layer.__dict__[self.name] = self.check(self.name, value, **self.options)


class Seed(Argument):
    """Starts the random state anew whenever it is assigned."""

    def __set__(self, layer, value):
        super().__set__(layer, value)
        layer._start_random_state()


UNPICKLING = contextvars.ContextVar("UNPICKLING", default=False)


def unpickled(kind, config, state):
    """The layer of a pickle, which a loader has sent to its worker: nothing of it is on a device until it is called."""
    token = UNPICKLING.set(True)
    try:
        layer = kind.from_config(config)
    finally:
        UNPICKLING.reset(token)
    layer._state = state
    return layer


def random_of(key, step=None, replica=None):
    """The random source for a key on the Keras backend; on NumPy where it can be."""
    value = _ops.value_at_hand(key)
    ops, key = (_ops.KERAS, key) if value is None else (_ops.NUMPY, value)
    return Random(ops, key_of_replica(ops, key, replica), step)


class MixLayer(Mixer, keras.layers.Layer):
    """Base of the layers that blend samples with other samples of their batch; for a mix of one's own.

    A subclass overrides `draw(ops, random, shape)`, see there, and returns a `keras_mixup.functional.Mix`. The same
    code then runs in a model, in a `tf.data` graph under any Keras backend, and on NumPy. With the class attribute
    `pastes = True` integer masks of a sample dict are pasted with the images. A subclass that has an `alpha` derives
    from `MixUp`, which follows schedules and saves it.

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
    ...     def draw(self, ops, random, shape):
    ...         return Mix(keep=random.uniform((shape[0], 1, 1, shape[3])) < 0.5)
    >>> x, y = Channels(seed=0)(np.ones((4, 8, 8, 3), "float32"), np.eye(4), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 4))
    """

    def __init__(
        self,
        *,
        probability=1.0,
        same_on_batch=False,
        pairing="shuffle",
        num_classes=None,
        ignore_class=None,
        dominant=False,
        seed=None,
        **layer_kwargs,
    ):
        _checks.check_made_outside(type(self).__name__)
        # Never rematerialised: a second draw in the backward pass would be another mix.
        with keras.RematScope(mode=None):
            super().__init__(autocast=False, **layer_kwargs)
        self._used = False  # from then on its arguments are fixed
        _checks.check_float_policy(type(self).__name__, self.compute_dtype)
        self.probability = probability
        self.same_on_batch = same_on_batch
        self.pairing = pairing
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        _checks.check_ignore_class(ignore_class, num_classes)
        self.dominant = dominant
        self.supports_masking = True
        self.seed_generator: Any = None
        self.seed = seed
        self._state_lock = threading.Lock()  # threads of a loader take the next state one after another
        if not UNPICKLING.get():
            self._make_state()
        self._end_of_step = _step.EndOfStep(self)
        self.built = True  # there is nothing to build, and Keras would warn of a model that calls it in `train_step`

    probability = Argument(_checks.check_number, upper=1)
    same_on_batch = Argument(_checks.check_flag)
    pairing = Argument(_checks.check_pairing, names=PAIRINGS)
    num_classes = Argument(_checks.check_integer, lower=1)
    ignore_class = Argument(_checks.check_integer, lower=-(2**31), upper=2**31)
    dominant = Argument(_checks.check_flag)
    seed = Seed(_checks.check_integer, lower=0, upper=2**32)
    num_positions = 1  # calls in a step that make one mix

    def _start_random_state(self):
        """Begins the sequence of draws that the seed stands for."""
        # Drawn from Python's generator as Keras does, so that `keras.utils.set_random_seed` holds here too.
        self._first_seed = python_random.randint(1, 10**9) if self.seed is None else self.seed
        self._dataset_state = _ops.DatasetState(self._first_seed)
        self._state: Any = None  # the one of a pickle, until it is on the device
        if self.seed_generator is not None:
            self.seed_generator.state.assign(_ops.state_of([self._first_seed, 0]))

    def _make_state(self):
        """Puts the random state on the device of the backend, where it is not there yet."""
        if self.seed_generator is None:
            with _ops.outside_of_traces():
                self.seed_generator = keras.random.SeedGenerator(_ops.state_seed(self._first_seed))
                if self._state is not None:
                    self.seed_generator.state.assign(_ops.state_of(self._state))

    def _state_now(self):
        """As two words of 32 bits, of the device or of the pickle."""
        if self.seed_generator is None:
            return self._state
        return _ops.words_of(self.seed_generator.state)

    def __reduce__(self):
        return unpickled, (type(self), keras.saving.serialize_keras_object(self)["config"], self._state_now())

    def __call__(self, *args, **kwargs):
        self._check_raw(*args, **kwargs)
        if not self._used:
            self._used = True
        if _ops.is_foreign((args, kwargs)):  # `keras.ops` cannot compute there, Keras' own `__call__` neither
            return _ops.as_written(self.call)(*args, **kwargs)
        if self.seed_generator is None:
            with self._state_lock:
                self._make_state()
        return super().__call__(*args, **kwargs)

    def _check_raw(self, inputs=None, labels=None, sample_weight=None, **others):
        """What Keras would hide by converting it to tensors."""
        _batch_checks.check_not_masked((inputs, labels, sample_weight))
        _batch_checks.check_readable(self._unpack(inputs, labels, sample_weight).leaves())

    def call(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        batch = self._unpack(inputs, labels, sample_weight)
        # Keras 3.16 does not hand `training` on when a backward pass runs a rematerialised model again.
        if training or (training is None and _step.is_repeated(self)):
            return self._mixed(batch, seed).repack()
        if training is None and batch.labels is not None and not _step.is_building():
            warnings.warn(_checks.TRAINING_UNSAID, stacklevel=2)
        if batch.labels is None:
            _step.record_clean(self, training_given=training is not None)
        return self._unmixed(batch).repack()

    def join(self):
        """Makes the layer a member of another one, which mixes in its place."""
        self._end_of_step.layer_name = None
        self._used = True

    def _mixed(self, batch, seed):
        self._check_mixable(batch)
        if _ops.in_dataset(batch.inputs):
            _batch_checks.check_labels_in_dataset(batch.labels)
            mix = self._draw(batch, self._dataset_random(batch, seed))
        elif batch.labels is None:
            self._check_pairing_without_labels()
            mix = self._mix_of_step(batch, seed)
        else:
            mix = self._mix_of_labelled(batch, seed)
        return self._apply(batch, mix)

    def _mix_of_step(self, batch, seed):
        """The mix for a call whose labels follow through the loss."""
        mix = _step.mix_to_repeat(self)
        if mix is None:
            mix = self._draw_here(batch, self._layer_random(seed))
            _step.record_mix(self, mix, batch.shapes())
        return mix

    def _mix_of_labelled(self, batch, seed):
        """The mix for a call that mixes its labels, or has none."""
        mix = _step.mix_to_repeat(self) if seed is None else None  # with a seed, the second draw is the first
        if mix is None:
            mix = self._draw_here(batch, self._layer_random(seed))
            _step.record_labelled(self, mix, batch.shapes())
        return mix

    def _check_pairing_without_labels(self):
        if not isinstance(self.pairing, str):
            raise ValueError(_texts.NO_LABELS_TO_PAIR.format(name=self.name, pairing=type(self.pairing).__name__))

    def _draw_here(self, batch, random):
        """The draw as tensors of the Keras backend."""
        mix = self._draw(batch, random)
        as_tensor = lambda x: None if x is None else keras.ops.convert_to_tensor(x)
        return Mix(*map(as_tensor, mix._replace(reach=None)))._replace(reach=mix.reach)

    def _layer_random(self, seed):
        if seed is not None:
            self._check_place("a call with `seed`")
            return random_of(key_of(_ops.KERAS, seed))
        replica = _ops.replica()
        with self._state_lock if replica is None and not _ops.is_compiling() else contextlib.nullcontext():
            state = self.seed_generator.next()
        return random_of(state, state[1], replica)

    def _dataset_random(self, batch, seed):
        self._check_place("a `tf.data` map")
        _batch_checks.warn_of_one_sample(batch.inputs, batch.labels)
        ops = _ops.ops_for(batch.inputs)
        return Random(ops, self._dataset_state.next() if seed is None else key_of(ops, seed))

    def compute_output_spec(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        batch = self._unpack(inputs, labels, sample_weight)
        self._check_mixable(batch)
        as_input = lambda x: keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        as_label = lambda y: keras.KerasTensor(y.shape, dtype=_ops.widened(_ops.dtype_of(y)))
        inputs = keras.tree.map_structure(as_input, batch.inputs)
        labels = None if batch.labels is None else keras.tree.map_structure(as_label, self._encoded(batch))
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
            by_key = {key: as_labels if key in LABEL_KEYS else as_inputs for key in inputs_shape}
            spec = self.compute_output_spec({key: by_key[key](shape) for key, shape in inputs_shape.items()})
        else:
            labels = None if labels_shape is None else as_labels(labels_shape)
            weights = None if sample_weight_shape is None else as_inputs(sample_weight_shape)
            spec = self.compute_output_spec(as_inputs(inputs_shape), labels, weights)
        return keras.tree.map_structure(lambda tensor: tensor.shape, spec)

    def build(self, inputs_shape=None, labels_shape=None, sample_weight_shape=None):
        """There is nothing to build; the layer counts as used."""
        self._used = True

    def get_config(self):
        return {
            **super().get_config(),
            "probability": serialize(self.probability),
            "same_on_batch": self.same_on_batch,
            "pairing": serialize(self.pairing),
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "dominant": self.dominant,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        revive = keras.saving.deserialize_keras_object
        return cls(**{key: revive(value) if isinstance(value, dict) else value for key, value in config.items()})

    def save_own_variables(self, store):
        state = self._state_now()
        if state is not None:  # a member of another layer has none, if that one came by a pickle
            store["random_state"] = state

    def load_own_variables(self, store):
        self._make_state()
        if "random_state" in store:  # files made without the layer, or before it kept its state, load too
            words = _checks.check_random_state(self.name, np.asarray(store["random_state"]))
            self.seed_generator.state.assign(_ops.state_of(words))
