"""`RandomMix`: one of several mixes, drawn for every sample."""

import copy
import inspect
from typing import Unpack

import keras

from keras_mixup import _arguments
from keras_mixup.functional._mix import choose
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._mix_layer import MixLayer


def _members(name, layers):
    """Checks the mixing layers, none of which has settings of its own, and makes them members."""
    if not isinstance(layers, list | tuple) or not layers:
        raise ValueError(
            f"Invalid value for argument `{name}`: expected a list of mixing layers, such as "
            f"`[MixUp(0.8), CutMix(1.0)]`. Received: {name}={layers!r}."
        )
    for layer in layers:
        _check_member(layer)
    for layer in layers:
        layer.become_member()
    return list(layers)


def _check_member(layer):
    """A mixing layer that says only how a sample is mixed."""
    if not isinstance(layer, MixLayer):
        raise TypeError(
            f"A member must be a mixing layer, such as `MixUp(0.8)` or `CutMix(1.0)`. Received: {type(layer).__name__}."
        )
    parameters = inspect.signature(MixLayer.__init__).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    own = {name: getattr(layer, name) for name, default in defaults.items() if getattr(layer, name) != default}
    if own:
        said = ", ".join(f"{name}={value!r}" for name, value in own.items())
        raise ValueError(
            f"A member says only how a sample is mixed. Received: {type(layer).__name__}({said}).\n"
            f"Set what holds for all members once: `RandomMix([...], {said})`."
        )


def _check_probabilities(name, probabilities):
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
        probability, pairing, num_classes, ignore_class, dominant, seed, **layer_kwargs: As for `MixUp`.

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

    layers = Argument(_members)
    probabilities = Argument(_check_probabilities)

    def __init__(
        self,
        layers: list,
        *,
        probabilities: list[float] | None = None,
        same_on_batch: bool = False,
        probability: Number = 1.0,
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
            num_classes=num_classes,
            ignore_class=ignore_class,
            dominant=dominant,
            seed=seed,
            **layer_kwargs,
        )
        self.layers = layers
        self.probabilities = probabilities
        self._check_counts()

    @property
    def pastes(self):  # type: ignore[override]
        return all(layer.pastes for layer in self.layers)

    def draw(self, batch):
        number, bound = batch.random.uniform(batch.shape[:1]), 0.0
        mix, *others = [batch.paired(layer.draw_checked(batch)) for layer in self.layers]
        for probability, other in zip(self._shares(), others, strict=False):
            bound = bound + probability
            mix = choose(batch.ops, number >= bound, other, mix)
        return mix

    def _shares(self):
        """The probabilities of all members."""
        self._check_counts()
        return self.probabilities or [1.0 / len(self.layers)] * len(self.layers)

    def _check_counts(self):
        if self.probabilities is not None and len(self.probabilities) != len(self.layers):
            raise ValueError(
                f"`probabilities` must have one number for each of the {len(self.layers)} members. Received: "
                f"{self.probabilities}."
            )

    def check_batch(self, batch):
        super().check_batch(batch)
        for layer in self.layers:
            layer.check_batch(batch._replace(labels=None))

    def check_use(self, where):
        super().check_use(where)
        for layer in self.layers:
            layer.check_use(where)

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "probabilities": copy.copy(self.probabilities)}

    @classmethod
    def from_config(cls, config):
        revive = keras.saving.deserialize_keras_object
        return super().from_config({**config, "layers": [revive(layer) for layer in config.get("layers", ())]})
