"""`keras_mixup.functional`: the pure core against the oracle, by identities and by distribution."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import reference
from scipy import stats

from keras_mixup import functional
from keras_mixup.functional import Mix

ALPHAS = [0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 8.0, 1000.0]


def numpy_random(seed=0):
    return functional.random_source(np.array(seed), like=np.zeros(1))


def test_one_draw_for_all_rows_of_a_large_batch():
    """A mix by hand may hold one row, also where NumPy goes block by block."""
    x = np.random.default_rng(0).uniform(size=(5, 200, 200, 3)).astype("float32")
    partner = np.array([1, 2, 3, 4, 0])

    blended = functional.blend(x, Mix(np.array([0.75], "float32"), partner=partner))
    pasted = functional.blend(x, Mix(partner=partner, keep=(np.arange(200) < 50)[None, :, None, None]))

    np.testing.assert_allclose(blended, 0.75 * x + 0.25 * x[partner], atol=1e-6)
    np.testing.assert_array_equal(pasted, np.concatenate([x[:, :50], x[partner][:, 50:]], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ALPHAS)
def test_weights_are_beta_distributed(alpha):
    """λ ~ Beta(α, α): its smaller side by Kolmogorov-Smirnov, and both sides equally often the smaller one."""
    weight, complement = functional.draw_weights(numpy_random(), (200_000,), alpha)

    smaller = np.minimum(weight, complement).astype("float64")

    def folded(m):
        return 2 * stats.beta(alpha, alpha).cdf(m)

    assert stats.kstest(smaller, folded).statistic < (0.005 if alpha >= 0.1 else 0.012)  # below: float32 underflows
    assert stats.binomtest(int((weight > complement).sum()), len(weight)).pvalue > 1e-3
    assert np.isclose(np.var(weight), 1 / (4 * (2 * alpha + 1)), rtol=0.02)
    np.testing.assert_allclose(weight + complement, 1.0, atol=2e-7)


@pytest.mark.parametrize("alpha", [1e-3, 0.01, 0.1])
def test_the_smaller_weight_has_full_precision(alpha):
    """`1 - λ` in float32 loses the smaller weight; the two returned weights do not."""
    weight, complement = functional.draw_weights(numpy_random(), (10_000,), alpha)
    u, v = numpy_random().uniform((2, 10_000)).astype("float64")

    w, c = u ** (1 / alpha), np.cos(np.pi * v)
    r = (1 - w) * c * c
    smaller = 0.5 * (w / (w + r)) / (1 + np.sqrt(r / (w + r)))
    drawn = np.minimum(weight, complement)
    representable = smaller > 1e-35
    assert (np.abs(drawn / np.where(representable, smaller, 1) - 1)[representable] < 2e-3).mean() > 0.999
    assert np.isfinite(drawn).all()


def test_alpha_zero_is_off():
    """α = 0 means λ = 1."""
    weight, complement = functional.draw_weights(numpy_random(), (100,), 0.0)

    assert (weight == 1).all()
    assert (complement == 0).all()


def test_the_backend_draws_what_numpy_draws():
    """λ on the backend is λ on NumPy, up to the last bits of `exp` and `cos`."""
    expected = functional.draw_weights(numpy_random(3), (1000,), 0.2)

    drawn = functional.draw_weights(functional.random_source(3), (1000,), 0.2)

    for a, b in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(a), b, rtol=2e-4, atol=1e-7)


@pytest.mark.slow
@hypothesis.given(rows=st.integers(2, 40), parts=st.integers(1, 4), seed=st.integers(0, 1000))
def test_shuffled_partners_are_one_cycle_through_each_part(rows, parts, seed):
    """Following the partners from a row visits every row of its part once: nobody is its own partner."""
    partner = functional.draw_partners(numpy_random(seed), parts * rows, shards=parts)

    for first in range(0, parts * rows, rows):
        row, visited = first, []
        for _ in range(rows):
            row = int(partner[row])
            visited.append(row)
        assert sorted(visited) == list(range(first, first + rows))


@pytest.mark.slow
def test_all_cycles_are_equally_likely():
    """With 4 rows there are 6 cycles; a χ² test over 6000 draws."""
    cycles = [tuple(functional.draw_partners(numpy_random(seed), 4)) for seed in range(6000)]

    _, counts = np.unique(cycles, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_rolled_partners_are_the_rows_before():
    """`roll` pairs neighbours."""
    assert functional.draw_partners(numpy_random(), 4, "roll").tolist() == [3, 0, 1, 2]


@pytest.mark.parametrize("locality", ["roll", 1, 2, 4])
def test_a_known_locality_changes_no_number(locality):
    """Rows are the same by every route, those that are their own partners too."""
    known = {"pairing": "roll"} if locality == "roll" else {"shards": locality}
    partner = np.where(np.arange(8) % 3 > 0, functional.draw_partners(numpy_random(), 8, **known), np.arange(8))
    here = keras.ops.convert_to_tensor
    mix = Mix(here(np.linspace(0, 1, 8, dtype="float32")), partner=here(partner))
    x, y = (here(np.random.default_rng(0).uniform(size=shape).astype("float32")) for shape in [(8, 3, 2), (8,)])

    mixed, wanted = (
        [functional.blend(x, mix), *functional.blend_labels(y, mix, y), functional.blend(x > 0.5, mix)]
        for mix in (mix.replace(locality=locality), mix)
    )

    for a, b in zip(mixed, wanted, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=1e-6)


@hypothesis.given(
    x=hnp.arrays(
        "float32", hnp.array_shapes(min_dims=1, max_dims=5, max_side=6), elements=st.floats(-100, 100, width=32)
    ),
    seed=st.integers(0, 100),
)
def test_blend_is_the_mixing_matrix(x, seed):
    """`tensordot(M, x) == x'` for every rank, also with one row or none."""
    mix = draw(len(x), seed)

    np.testing.assert_allclose(functional.blend(x, mix), reference.mixed(matrix(mix), x), rtol=1e-5, atol=1e-4)


def test_blend_keeps_bytes_exact_to_the_rounding():
    """uint8 images come out as float32, without a detour through a narrower type."""
    x = np.random.default_rng(0).integers(0, 256, (8, 5, 5, 3), "uint8")
    mix = draw(8, 0)

    blended = functional.blend(x, mix)

    assert blended.dtype == "float32"
    np.testing.assert_allclose(blended, reference.mixed(matrix(mix), x), atol=1e-4)


def test_a_mix_with_a_map_of_shares_keeps_each_element_by_its_share():
    """With `keep` the inputs follow the map, the labels the weight."""
    x = np.arange(8, dtype="float32").reshape(2, 4)
    keep = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], "float32")
    mix = Mix(keep=keep, partner=np.array([1, 0]))

    np.testing.assert_array_equal(functional.blend(x, mix), [[0, 1, 6, 7], [0, 1, 2, 7]])
    np.testing.assert_array_equal(functional.blend_labels(np.eye(2, dtype="float32"), mix), [[0.5, 0.5], [0.75, 0.25]])


def test_a_mix_by_hand_needs_its_weight_and_partners():
    """The share of the partner is 1 - λ unless both shares are given."""
    mix = Mix(np.float32([0.75, 1]), partner=np.array([1, 0]))

    assert functional.blend(np.float32([0, 4]), mix).tolist() == [1, 4]
    with pytest.raises(TypeError, match="needs its partners"):
        functional.blend(np.float32([0]), Mix(np.float32([1])))


SHAPES = {  # of labels: of the sample weights that fit them
    (6,): [(6,), (6, 1)],
    (6, 1): [(6,), (6, 1)],
    (6, 3): [(6,), (6, 1)],
    (6, 6): [(6,), (6, 1), (6, 6)],
    (6, 6, 2): [(6,), (6, 1), (6, 6)],
}


@pytest.mark.parametrize(("label_shape", "weight_shape"), [(y, w) for y, fitting in SHAPES.items() for w in fitting])
def test_weighted_labels_are_exact(label_shape, weight_shape):
    """w'·L(y') = λ·w_a·L(y_a) + (1 - λ)·w_b·L(y_b) for L linear in y, also where time equals batch."""
    rng = np.random.default_rng(0)
    y, w, mix = rng.uniform(size=label_shape), rng.uniform(size=weight_shape), draw(6, 1)
    w[2] = 0

    labels, weights = functional.blend_labels(y, mix, w)

    fitting = w.reshape(w.shape[:1]) if w.ndim > y.ndim else w
    expected, expected_weights = reference.weighted_labels(matrix(mix), y, fitting)
    np.testing.assert_allclose(labels, expected, rtol=1e-5)
    np.testing.assert_allclose(weights.reshape(expected_weights.shape), expected_weights, rtol=1e-5)


def test_two_samples_without_weight_are_blended_plainly():
    """No 0/0 where neither sample counts."""
    mix = Mix(np.float32([0.75, 1]), partner=np.array([1, 0]))

    labels, weights = functional.blend_labels(np.float32([0, 4]), mix, np.zeros(2, "float32"))

    assert labels.tolist() == [1, 4]
    assert weights.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 4), (5, 4, 1)])
def test_class_indices_become_one_hot_rows(shape):
    """(B,) and (B, 1) become (B, K), sequences (B, T) become (B, T, K)."""
    y = np.random.default_rng(0).integers(0, 7, shape)

    encoded = functional.encode_labels(y, 7)

    np.testing.assert_array_equal(encoded, np.eye(7)[y[..., 0] if shape[-1] == 1 and len(shape) > 1 else y])
    assert functional.encode_labels(np.float32([1.5]), 7).tolist() == [1.5]


def draw(batch, seed, alpha=1.0):
    random = numpy_random(seed)
    shares = functional.draw_weights(random, (batch,), alpha)
    return Mix(shares, (functional.draw_partners(random, batch),))


def matrix(mix):
    eye = np.eye(len(mix.weight))
    return mix.weight[:, None] * eye + mix.shares[1][:, None] * eye[mix.partner]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's compiler takes arguments apart")
def test_a_compiled_function_returns_a_mix():
    """A mix may be drawn in one compiled function and blended in another."""
    import jax

    mix = jax.jit(lambda seed: draw_on(functional.random_source(seed)))(0)
    blended = jax.jit(functional.blend)(np.eye(4, dtype="float32"), mix)

    np.testing.assert_allclose(blended, matrix(mix), atol=1e-6)


def draw_on(random):
    return Mix(functional.draw_weights(random, (4,), 1.0), partner=functional.draw_partners(random, 4))


def test_blending_refuses_arrays_that_would_lose_something():
    """The mask of a masked array, and numbers of 8 bits, which nothing is computed with."""
    mix = Mix(weight=np.float32([0.5, 0.5]), partner=np.array([1, 0]))
    masked = np.ma.masked_array(np.ones((2, 3), "float32"), mask=np.eye(2, 3))

    for blend in (functional.blend, functional.blend_labels):
        with pytest.raises(TypeError, match="the mask would be lost"):
            blend(masked, mix)
    with pytest.raises(TypeError, match="8 bits"):
        functional.blend(keras.ops.cast(np.ones((2, 3), "float32"), "float8_e4m3fn"), mix)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_nothing_of_a_partner_that_is_no_number_comes_where_all_is_kept(dtype):
    """Shares of 1 leave NaN on the other side alone, and the dtype of the array stays."""
    x = np.array([[1, 2], [np.nan, np.nan]], dtype)
    mix = Mix(keep=np.ones((2, 2), "float32"), partner=np.array([1, 0]))

    blended = functional.blend(x, mix)

    np.testing.assert_array_equal(blended, x)
    assert blended.dtype == dtype


def test_two_parts_of_one_weight_have_the_labels_of_both():
    """λ·w_a = (1 - λ)·w_b: halves, whatever λ is."""
    mix = Mix(weight=np.float32([0.75, 0.75]), partner=np.array([1, 0]))

    labels, weight = functional.blend_labels(np.eye(2, dtype="float32"), mix, np.float32([1, 3]))

    np.testing.assert_allclose(labels, [[0.5, 0.5], [0.1, 0.9]], rtol=1e-6)
    np.testing.assert_allclose(weight, [1.5, 2.5])


def test_all_samples_may_be_of_one_class():
    assert functional.encode_labels(np.array([1, 1]), num_classes=2).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("seed", [np.float32(1.5), np.array([1, 2, 3]), np.array([[1, 2]]), np.ones(2), True])
def test_seeds_that_are_neither_one_integer_nor_two_are_refused(seed):
    with pytest.raises(TypeError, match="an integer tensor of shape"):
        functional.random_source(seed)
