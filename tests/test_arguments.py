"""Arguments of the layers: checked whenever they are assigned, fixed once the layer has been used, kept by configs."""

import copy

import keras
import numpy as np
import pytest

from keras_mixup import (
    CutMix,
    FMix,
    GridMix,
    ManifoldMixUp,
    MixUp,
    Nearby,
    OtherClass,
    RandomMix,
    SaliencyMix,
    SameClass,
)

EYE = np.eye(6, dtype="float32")
IMAGES = np.random.default_rng(0).uniform(size=(6, 4, 4, 3)).astype("float32")


def random_mix(**options):
    return RandomMix(**{"layers": [MixUp(), CutMix()], **options})


def manifold(**options):
    return ManifoldMixUp(**{"num_positions": 2, **options})


# maker, argument: a good value, a bad one
COMMON = {
    "probability": (0.5, 1.5),
    "same_on_batch": (True, 1),
    "pairing": ("roll", "flip"),
    "num_classes": (4, -3),
    "ignore_class": (255, "void"),
    "dominant": (True, "yes"),
    "seed": (3, -1),
}
OWN = [(MixUp, name, good, bad) for name, (good, bad) in {**COMMON, "alpha": (0.4, "x")}.items()]
OWN += [(CutMix, "axes", (1,), "x"), (CutMix, "box_share", (0.1, 0.5), (0.5, 0.1))]
OWN += [(CutMix, "data_format", "channels_first", "first"), (FMix, "axes", (1, 2), (1,)), (FMix, "decay", 2.0, 0)]
OWN += [(GridMix, "cells", 3, 10**9), (manifold, "num_positions", 3, 0)]
OWN += [(random_mix, "probabilities", [0.25, 0.75], [0.5, 0.6]), (random_mix, "seed", 3, 2**32)]
IDS = [f"{maker.__name__}-{name}" for maker, name, _, _ in OWN]


@pytest.mark.parametrize(("maker", "name", "good", "bad"), OWN, ids=IDS)
class TestAssignment:
    def test_before_its_use_it_is_as_in_the_constructor(self, maker, name, good, bad):
        layer = maker()
        with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
            setattr(layer, name, bad)
        with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
            maker(**{name: bad, **({"num_classes": 2} if name == "ignore_class" else {})})

        setattr(layer, name, good)

        assert getattr(layer, name) == layer.get_config()[name] == good

    def test_after_its_use_it_is_refused_with_the_fix(self, maker, name, good, bad):
        layer = maker()
        layer.build(IMAGES.shape)
        before = getattr(layer, name)

        with pytest.raises(AttributeError, match=rf"`{name}` cannot be assigned once.*{name}="):
            setattr(layer, name, good)

        assert getattr(layer, name) == before


def test_members_can_be_assigned_before_use():
    mix = random_mix(probabilities=[0.5, 0.5], seed=0)
    members = [MixUp(0.0), MixUp(0.0), MixUp(0.0)]
    mix.layers = members
    assert list(mix.layers) == members
    with pytest.raises(ValueError, match=r"one number for each of the 3 members.*\[0\.5, 0\.5\]"):
        mix.mix_numpy(IMAGES, EYE, seed=0)

    mix.probabilities = None

    np.testing.assert_array_equal(mix.mix_numpy(IMAGES, EYE, seed=0)[1], EYE)
    with pytest.raises(TypeError, match="must be a mixing layer"):
        mix.layers = [keras.layers.Dense(2)]


@pytest.mark.parametrize("place", ["call", pytest.param("mix_dataset", marks=pytest.mark.slow)])
def test_a_seed_assigned_before_use_is_that_of_the_constructor(place):
    assigned, made = MixUp(1.0, seed=1), MixUp(1.0, seed=7)

    assigned.seed = 7

    assert drawn(assigned, place).tobytes() == drawn(made, place).tobytes()
    with pytest.raises(AttributeError, match=r"`seed` cannot be assigned.*`MixUp\(\.\.\., seed=\.\.\.\)`"):
        assigned.seed = 8


def drawn(layer, place):
    if place == "call":
        return keras.ops.convert_to_numpy(layer(EYE, EYE, training=True)[1])
    import tensorflow as tf

    ((_, y),) = layer.mix_dataset(tf.data.Dataset.from_tensor_slices((EYE, EYE)).batch(6))
    return y.numpy()


SCHEDULE = keras.optimizers.schedules.CosineDecay(0.2, 10)
CONFIGURED = {
    "MixUp": lambda: MixUp(SCHEDULE, probability=SCHEDULE, pairing=Nearby(0.5), num_classes=3, ignore_class=-1),
    "CutMix": lambda: CutMix(axes=(1,), box_share=(0.1, 0.5), pairing=SameClass()),
    "FMix": lambda: FMix(decay=2.0, pairing=OtherClass()),
    "GridMix": lambda: GridMix(cells=3),
    "SaliencyMix": lambda: SaliencyMix(box_share=(0.1, 0.5)),
    "RandomMix": lambda: random_mix(probabilities=[0.25, 0.75]),
    "RandomMix, equal": random_mix,
    "ManifoldMixUp": manifold,
    "Nearby": lambda: Nearby(0.5),
}


@pytest.mark.parametrize("make", CONFIGURED.values(), ids=CONFIGURED)
def test_configs_are_left_alone_and_share_nothing(make):
    """`from_config` twice with one dict; changing a config does not reach the object."""
    made = make()
    config = made.get_config()
    before = copy.deepcopy(config)

    first, second = (type(made).from_config(config) for _ in range(2))

    assert config == before
    assert first.get_config() == second.get_config() == before
    for value in config.values():
        if isinstance(value, list | dict):
            value.clear()
    assert made.get_config() == before


def test_a_config_of_random_mix_without_layers():
    config = random_mix().get_config()
    del config["layers"]

    with pytest.raises(ValueError, match=r"`layers`: expected a list of mixing layers"):
        RandomMix.from_config(config)


class TestShapes:
    @pytest.mark.parametrize(
        ("shapes", "expected"),
        [
            (((2, 8, 8, 3),), (2, 8, 8, 3)),
            (((2, 8, 8, 3), (2,)), ((2, 8, 8, 3), (2, 5))),
            (((None, 4), (None, 1), (None,)), ((None, 4), (None, 5), (None,))),
            (((2, 4), (2, 5)), ((2, 4), (2, 5))),
            (([(2, 3), (2, 4)], {"a": (2,), "b": (2, 7)}), ([(2, 3), (2, 4)], {"a": (2, 5), "b": (2, 7, 5)})),
            (({"images": (2, 4, 4, 3), "labels": (2,)},), {"images": (2, 4, 4, 3), "labels": (2, 5)}),
        ],
        ids=str,
    )
    def test_of_labels_and_weights_too(self, shapes, expected):
        layer = MixUp(num_classes=5)

        assert layer.compute_output_shape(*shapes) == expected

    def test_build_takes_the_shapes_of_inputs_and_labels(self):
        for shapes in ({"inputs_shape": (2, 8), "labels_shape": (2,)}, {"inputs_shape": (2, 8)}):
            layer = MixUp(num_classes=5)
            layer.build(**shapes)
            assert layer.built


class TestRandomState:
    @pytest.mark.parametrize(
        "state", [[np.nan, 1], [1.5, 2.5], [1.0, 2.0], [-1, 0], [0, 2**40], [1, 2, 3], [[1, 2]], [True, False]], ids=str
    )
    def test_a_bad_one_in_a_file_is_refused(self, state):
        with pytest.raises(ValueError, match=r"random state of layer 'mix' must be two whole numbers.*Received: array"):
            MixUp(name="mix").load_own_variables({"random_state": np.array(state)})

    @pytest.mark.parametrize("seed", [0, 5, 2**31, 2**32 - 1])
    def test_it_is_saved_alike_on_every_backend(self, seed):
        layer, store = MixUp(1.0, seed=seed), {}
        layer(EYE, EYE, training=True)

        layer.save_own_variables(store)

        assert store["random_state"].dtype == "uint32"
        assert store["random_state"].tolist() == [seed, 1]
        other = MixUp(1.0)
        other.load_own_variables(store)
        np.testing.assert_array_equal(drawn(other, "call"), drawn(layer, "call"))
