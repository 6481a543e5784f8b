"""What all layers share that mix: arguments, the gate, the random state."""

import contextvars
from typing import Any, Unpack

import keras

from keras_mixup import _arguments, _backend, _step, pairing
from keras_mixup.functional import Mix
from keras_mixup.functional._mix import dominant, gated
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName, revive, serialize
from keras_mixup.layers._batch import Batch
from keras_mixup.layers._random_state import RandomState
from keras_mixup.layers._view import BatchView, DrawOnDevice


class Seed(Argument):
    """Starts the random state anew whenever it is assigned."""

    def __set__(self, layer, value):
        super().__set__(layer, value)
        layer._random_state.restart(value)


class MixBase(keras.layers.Layer):
    """Base of the layers that mix the samples of a batch. See `keras_mixup.MixLayer`."""

    pastes = False  # whether elements of the partner come as they are; then masks of a sample dict are pasted too

    probability = Argument(_arguments.check_number, upper=1)
    same_on_batch = Argument(_arguments.check_flag)
    pairing = Argument(pairing.check_pairing)
    dominant = Argument(_arguments.check_flag)
    seed = Seed(_arguments.check_integer, lower=0, upper=2**32)

    def __init__(
        self,
        *,
        probability: Number = 1.0,
        same_on_batch: bool = False,
        pairing: PairingOrName = "shuffle",
        dominant: bool = False,
        seed: int | None = None,
        **layer_kwargs: Unpack[LayerOptions],
    ):
        _check_made_outside(type(self).__name__)
        # Never rematerialised: a second draw in the backward pass would be another mix.
        with keras.RematScope(mode=None):
            super().__init__(autocast=False, **layer_kwargs)
        _check_float_policy(type(self).__name__, self.compute_dtype)
        self._used = False  # from then on its arguments are fixed
        self._random_state = RandomState(0)
        self.probability = probability
        self.same_on_batch = same_on_batch
        self.pairing = pairing
        self.dominant = dominant
        self.seed = seed
        self.supports_masking = True
        self.seed_generator: Any = None
        if not UNPICKLING.get():
            self._put_on_device()
        self._end_of_step = _step.EndOfStep(self)
        self.built = True  # there is nothing to build, and Keras would warn of a model that calls it in `train_step`

    def draw(self, batch: BatchView) -> Mix:
        """Draws the mix for a batch. To be overridden.

        Args:
            batch: what is known of the batch. `batch.ops`, the array operations, as in `keras.ops`; `batch.random`,
                the random source; `batch.shape`, the shape of the (first) input, whose first entry is the number of
                draws; `batch.inputs`; `batch.labels`, encoded, `None` in a model; `batch.partner`, the partner of each
                row; `batch.rows`, their number.

        Returns:
            A `keras_mixup.functional.Mix`, with `weight` `(rows,)`, or with `keep` in the rank of the inputs. Missing
            partners are drawn by the layer's `pairing`, missing weights computed from `keep`. `dominant` and
            `probability` are applied afterwards.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `draw(self, batch)`.")

    def draw_checked(self, batch: BatchView) -> Mix:
        """Draws the mix, and checks what `draw` returned. For layers that draw by other layers."""
        mix = self.draw(batch)
        rank, received = len(batch.shape), type(mix).__name__
        if isinstance(mix, Mix):
            arrays = {"weight": mix.weight, "partner": mix.partner, "keep": mix.keep, "owner": mix.owner}
            shapes = {name: _backend.static_shape(x) for name, x in arrays.items() if x is not None}
            ranks = {name: rank if name in ("keep", "owner") else 1 for name in shapes}
            if all(shape is not None and len(shape) == ranks[name] for name, shape in shapes.items()):
                return mix
            received = f"a mix with the shapes {shapes}"
        raise TypeError(
            f"`{type(self).__name__}.draw` must return a `keras_mixup.functional.Mix`, with `weight` of shape (rows,), "
            f"or `keep` of rank {rank} as the inputs have it, or both. Received: {received}, for inputs of shape "
            f"{tuple(batch.shape)}."
        )

    def check_use(self, where: str) -> None:
        """Refuses settings that do not hold in this use of the layer, such as schedules in a pipeline."""
        _arguments.check_no_schedule(where, probability=self.probability)

    def check_batch(self, batch: Batch) -> None:
        """Refuses a batch that the layer cannot mix. To be extended."""

    def become_member(self) -> None:
        """Makes the layer a member of another one, which mixes in its place."""
        self._end_of_step.layer_name = None
        self._used = True

    def _draw_gated(self, batch, random, labels=lambda: None):
        """The draw, with its partners; rows that the gate leaves out are their own partners."""
        view = BatchView(batch, random, pair_by=self.pairing, same_on_batch=self.same_on_batch, labels=labels)
        mix = view.paired(self.draw_checked(view))
        if self.dominant:
            mix = dominant(view.ops, mix)
        if self.probability == 1.0:
            return gated(view.ops, mix)
        chance = random.uniform((1 if self.same_on_batch else view.rows,))
        return gated(view.ops, mix, chance < random.value(self.probability))

    def _draw_on_backend(self, batch, random, labels=lambda: None):
        """The draw as tensors of the Keras backend."""
        like = keras.tree.flatten(batch.inputs)[0]
        try:
            mix = self._draw_gated(batch, random, labels)
        except DrawOnDevice:
            on_device = random.on_device(like)
            mix = self._draw_gated(batch, on_device, labels)
            random.draws = on_device.draws

        def tensor(x):
            return _backend.as_tensor(x, like)

        return mix.replace(
            shares=tuple(map(tensor, mix.shares)),
            partners=tuple(map(tensor, mix.partners)),
            keep=None if mix.keep is None else tensor(mix.keep),
            owner=None if mix.owner is None else tensor(mix.owner),
        )

    def _check_pairing_without_labels(self):
        if not isinstance(self.pairing, str) and getattr(self.pairing, "needs_labels", True):
            raise ValueError(
                f"Layer {self.name!r} pairs samples by their labels (pairing={type(self.pairing).__name__}(...)), and "
                "in a model the labels are not there.\nOptions:\n  the input pipeline, `mixup.mix_dataset(dataset)`\n"
                "  before the model, `x, y = mixup(x, y, training=True)`"
            )

    def build(self, *shapes, **named_shapes):
        """There is nothing to build; the layer counts as used."""
        self._used = True

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "probability": serialize(self.probability),
            "same_on_batch": self.same_on_batch,
            "pairing": serialize(self.pairing),
            "dominant": self.dominant,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**revive(config))

    def _put_on_device(self):
        """Puts the random state on the device. Keras finds the variables of a layer among its attributes."""
        if self.seed_generator is None:
            self.seed_generator = self._random_state.on_device()

    def __reduce__(self):
        config = keras.saving.serialize_keras_object(self)["config"]
        return unpickled, (type(self), config, self._random_state.words)

    def save_own_variables(self, store):
        words = self._random_state.words
        if words is not None:  # a member of another layer has none, if that one came by a pickle
            store["random_state"] = words

    def load_own_variables(self, store):
        self._put_on_device()
        if "random_state" in store:  # files made without the layer, or before it kept its state, load too
            self._random_state.read_file(store["random_state"], self.name)


UNPICKLING = contextvars.ContextVar("UNPICKLING", default=False)


def unpickled(kind, config, words):
    """The layer of a pickle, which a loader has sent to its worker: nothing of it is on a device until it is called."""
    token = UNPICKLING.set(True)
    try:
        layer = kind.from_config(config)
    finally:
        UNPICKLING.reset(token)
    layer._random_state.read_pickle(words)
    return layer


def _check_made_outside(name):
    """A layer has a random state, which goes with it when a function of `tf.data` has been traced."""
    if _backend.is_tracing_tf_data():
        raise ValueError(
            f"`{name}` was made inside a function of `tf.data`, which is traced once and would lose its random "
            f"state.\nMake the layer before: `mixup = {name}(...)`, then `dataset.map(lambda x, y: mixup(x, y, "
            "training=True))`."
        )


def _check_float_policy(name, compute_dtype):
    if not _backend.is_float(compute_dtype):
        raise ValueError(
            f"`{name}` computes in a floating dtype (float32, float16, bfloat16, float64). Received: "
            f"dtype={compute_dtype!r}. Mixed values lie between those of the two samples, integers cannot hold them."
        )
