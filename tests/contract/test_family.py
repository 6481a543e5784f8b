"""What holds for `MixUp` holds for every mixing layer: one table of layers, one table of promises."""

import keras
import numpy as np
import places
import pytest
import reference
from data import EYE, IMAGES, ROWS, check_images, to_numpy

from keras_mixup import CutMix, FMix, GridMix, MixLayer, MixLoss, MixUp, RandomMix, SaliencyMix
from keras_mixup.functional import Mix


class Halves(MixLayer):
    """The right half of the partner: a mix as README writes one."""

    def draw(self, batch):
        ops, shape = batch.ops, batch.shape
        column = ops.reshape(ops.arange(shape[2]), (1, 1, -1, 1))
        return Mix(keep=ops.broadcast_to(column < shape[2] // 2, (shape[0], 1, shape[2], 1)))


LAYERS = {
    "MixUp": lambda **options: MixUp(1.0, **options),
    "CutMix": lambda **options: CutMix(1.0, **options),
    "FMix": lambda **options: FMix(1.0, **options),
    "GridMix": lambda **options: GridMix(1.0, **options),
    "SaliencyMix": lambda **options: SaliencyMix(1.0, **options),
    "RandomMix": lambda **options: RandomMix([MixUp(0.8), CutMix(1.0)], **options),
    "RandomMix of pastes": lambda **options: RandomMix(
        [CutMix(1.0), GridMix(1.0)], probabilities=[0.3, 0.7], **options
    ),
    "Halves": lambda **options: Halves(**options),
}


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


SHARED = {"same_on_batch": True, "dominant": True}
CASES = [(places.in_numpy, {}), (places.in_map, {}), (places.in_parallel_dataset, {})]
CASES += [(places.in_numpy, SHARED), (places.in_fit, SHARED)]


@pytest.mark.parametrize(("place", "options"), CASES, ids=lambda case: getattr(case, "__name__", str(case)))
def test_labels_are_the_mixing_matrix_in_every_place(make, place, options):
    """In the others the layer draws what it draws on NumPy, see the next test."""
    x, M = place(make(seed=0, **options), IMAGES, EYE)

    reference.check_mixing_matrix(M)
    check_images(np.asarray(x), M)
    if options.get("same_on_batch"):
        assert len(set(np.diag(M).round(6))) == 1
        assert (np.diag(M) >= 0.5).all()


def test_rows_that_the_gate_leaves_out_come_out_as_they_are(make):
    x, M = make(probability=0.5).mix_numpy(IMAGES, EYE, seed=0)

    left = np.diag(M) == 1
    assert 0 < left.sum() < ROWS
    np.testing.assert_array_equal(x[left], IMAGES[left])
    check_images(x, M)


COMPILED_BY_TORCH = {"MixUp": "blends", "CutMix": "pastes"}  # every layer does one or both; each takes half a minute


@pytest.mark.parametrize("place", [places.eager, places.compiled, places.in_fit])
def test_one_seed_draws_the_same_everywhere(make, place, request):
    if place is places.compiled and keras.backend.backend() == "torch":
        name = request.node.callspec.params["make"]
        if name not in COMPILED_BY_TORCH:
            pytest.skip("`torch.compile` is tried with a layer that blends and one that pastes")
    x, M = make(seed=0).mix_numpy(IMAGES, EYE, seed=0)

    x_there, M_there = place(make(seed=0), IMAGES, EYE)

    np.testing.assert_allclose(x_there, x, atol=1e-6)
    np.testing.assert_allclose(M_there, M, atol=1e-6)


@pytest.mark.slow
def test_only_training_mixes_and_predictions_never_do(make):
    layer = make()
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])

    np.testing.assert_array_equal(to_numpy(layer(IMAGES)), IMAGES)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), IMAGES)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_every_layer_computes_in_the_dtype_of_its_policy(make, policy):
    x, M = make(seed=0, dtype=policy)((IMAGES * 255).astype("uint8"), EYE, training=True)

    wanted = keras.dtype_policies.get(policy).compute_dtype
    got = keras.backend.standardize_dtype(x.dtype)
    assert got == wanted or (keras.backend.backend() == "jax" and (got, wanted) == ("float32", "float64"))
    assert keras.backend.standardize_dtype(M.dtype) in ("float32", "float64")


@pytest.mark.slow
def test_it_is_saved_and_goes_on(make, tmp_path):
    if make is LAYERS["Halves"]:
        pytest.skip("a class of these tests, which is not registered")
    layers = [keras.Input(IMAGES.shape[1:]), make(), keras.layers.Flatten(), keras.layers.Dense(ROWS)]
    model = keras.Sequential(layers)
    model.compile("sgd", MixLoss("mse"))
    model.fit(IMAGES, EYE, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    expected, got = (m.fit(IMAGES, EYE, verbose=0, shuffle=False).history["loss"] for m in (model, loaded))
    assert got == pytest.approx(expected, rel=1e-6)
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    assert model.count_params() == loaded.count_params() == 360 * ROWS + ROWS


def test_a_schedule_is_followed_in_the_model(make):
    if make is LAYERS["Halves"] or "RandomMix" in make.__code__.co_names:
        pytest.skip("has no alpha of its own")
    layer = make(seed=0)
    layer.alpha = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 1.0])

    first, second = (to_numpy(layer(IMAGES, EYE, training=True)[1]) for _ in range(2))

    np.testing.assert_array_equal(first, EYE)
    assert (np.diag(second) < 1).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_image_does_not_reach_rows_that_take_nothing_of_it(make, broken):
    images = IMAGES.copy()
    images[0] = broken
    x, M = make(seed=0).mix_numpy(images, EYE, seed=1)

    for row in range(1, ROWS):
        if M[row, 0] == 0:
            assert np.isfinite(x[row]).all()
        elif make().pastes:
            assert np.isfinite(x[row]).any()


def test_empty_and_single_batches_come_out_as_they_are(make):
    for rows in (0, 1):
        x, M = make(seed=0).mix_numpy(IMAGES[:rows], EYE[:rows], seed=0)
        np.testing.assert_array_equal(x, IMAGES[:rows])
        np.testing.assert_array_equal(M, EYE[:rows])
