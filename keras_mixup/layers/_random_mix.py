"""`RandomMix`: one of several mixes, drawn for every sample."""

import copy
import inspect

import keras

from keras_mixup import _arguments
from keras_mixup.functional._mix import selected
from keras_mixup.layers._base import Argument, MixLayer


def check_members(name, layers, *, base):
    """A list of mixing layers, none of which has settings of its own."""
    if not isinstance(layers, list | tuple) or not layers:
        raise ValueError(
            f"Invalid value for argument `{name}`: expected a list of mixing layers, such as "
            f"`[MixUp(0.8), CutMix(1.0)]`. Received: {name}={layers!r}."
        )
    for layer in layers:
        check_member(layer, base)
    return list(layers)


def check_member(layer, base):
    """A mixing layer that says only how a sample is mixed."""
    if not isinstance(layer, base) or layer.num_positions != 1:
        raise TypeError(
            f"A member must be a mixing layer, such as `MixUp(0.8)` or `CutMix(1.0)`. Received: {type(layer).__name__}."
        )
    said_by_all = inspect.signature(base.__init__).parameters.values()
    defaults = {p.name: p.default for p in said_by_all if p.default is not p.empty}
    own = {name: getattr(layer, name) for name, default in defaults.items() if getattr(layer, name) != default}
    if own:
        said = ", ".join(f"{name}={value!r}" for name, value in own.items())
        raise ValueError(
            f"A member says only how a sample is mixed. Received: {type(layer).__name__}({said}). Who is mixed, with "
            f"whom and what becomes of the labels is the same for all members: `RandomMix([...], {said})`."
        )


def check_probabilities(name, probabilities):
    """Numbers from 0 to 1 of the sum 1; `None` as it is."""
    if probabilities is None:
        return None
    if not isinstance(probabilities, list | tuple):
        raise TypeError(f"Invalid value for argument `{name}`: expected a list. Received: {name}={probabilities!r}.")
    found = [_arguments.check_number(name, p, upper=1) for p in probabilities]
    if any(map(_arguments.is_schedule, found)) or abs(sum(found) - 1) > 1e-6:
        raise ValueError(
            f"Invalid value for argument `{name}`: expected numbers of the sum 1, one for each member. "
            f"Received: {name}={probabilities!r}."
        )
    return found


def check_counts(layers, probabilities):
    if probabilities is not None and len(probabilities) != len(layers):
        raise ValueError(
            f"`probabilities` must have one number for each of the {len(layers)} members. Received: {probabilities}."
        )


def _members(name, layers):
    """The layers, of which each mixes in the place of the one that they belong to from now on."""
    layers = check_members(name, layers, base=MixLayer)
    for layer in layers:
        layer.join()
    return layers


@keras.saving.register_keras_serializable(package="keras_mixup")
class RandomMix(MixLayer):
    """Mixes every sample by one of several layers, drawn at random: `MixUp` or `CutMix`, for instance.

    For long training of large networks, whose recipes use `MixUp` and `CutMix` in turn: DeiT and timm with
    `[MixUp(0.8), CutMix(1.0)]`, half of the batches each, `same_on_batch`. It costs the draws of all members, and one
    pass over the batch.

    The members say only how a sample is mixed. Who is mixed with whom, whether at all and what becomes of the labels is
    said here, once for all of them: a member that says it too is an error.

    Args:
        layers: List of mixing layers, such as `[MixUp(0.8), CutMix(1.0)]`.
        probabilities: `None` for equal ones, or a list with the probability of each member; they sum to 1.
        same_on_batch: Boolean, whether one member is drawn for the whole batch, with one λ and one box. Defaults to
            `False`.
        **options: `probability`, `pairing`, `num_classes`, `ignore_class`, `dominant`, `seed`, and those of every Keras
            layer; as for `MixUp`.

    Call arguments:
        As for `MixUp`, and what the members ask for.

    Output shape:
        As for `MixUp`.

    Raises:
        ValueError, TypeError: for members that bring settings of their own, and what the members raise.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import CutMix, MixUp, RandomMix
    >>> mix = RandomMix([MixUp(0.8), CutMix(1.0)], probabilities=[0.5, 0.5], num_classes=3, seed=0)
    >>> x, y = mix(np.ones((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 8, 8, 3), (4, 3))
    """

    def __init__(self, layers, *, probabilities=None, same_on_batch=False, **options):
        super().__init__(same_on_batch=same_on_batch, **options)
        self.layers = layers
        self.probabilities = probabilities
        check_counts(self.layers, self.probabilities)

    layers = Argument(_members)
    probabilities = Argument(check_probabilities)

    @property
    def pastes(self):  # type: ignore[override]
        return all(layer.pastes for layer in self.layers)

    def draw(self, ops, random, shape):
        number, bound = random.uniform(shape[:1]), 0.0
        first, *others = [layer._drawn(ops, random, shape) for layer in self.layers]
        mix = first
        for probability, other in zip(self._shares(), others, strict=False):
            bound = bound + probability
            mix = selected(ops, number >= bound, other, mix)
        return mix

    def _shares(self):
        """The probabilities of all members."""
        check_counts(self.layers, self.probabilities)
        return self.probabilities or [1.0 / len(self.layers)] * len(self.layers)

    def _check_mixable(self, batch):
        super()._check_mixable(batch)
        for layer in self.layers:
            layer._check_mixable(batch._replace(labels=None))

    def _check_place(self, where):
        super()._check_place(where)
        for layer in self.layers:
            layer._check_place(where)

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "probabilities": copy.copy(self.probabilities)}

    @classmethod
    def from_config(cls, config):
        revive = keras.saving.deserialize_keras_object
        return super().from_config({**config, "layers": [revive(layer) for layer in config.get("layers", ())]})
