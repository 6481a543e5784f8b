"""`ManifoldMixUp`: each batch is mixed at exactly one depth, drawn uniformly, and its labels follow."""

import keras
import numpy as np
import pytest
import reference
from data import EYE, ROWS, to_numpy
from scipy import stats

from keras_mixup import ManifoldMixUp, MixLoss, MixMetric, MixUp, SameClass, training_step

DEPTHS = 3


@keras.saving.register_keras_serializable(package="tests")
class Spy(keras.layers.Layer):
    """The identity, which keeps the last value that went through, and counts the steps that were mixed so far."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(ROWS, ROWS), initializer="zeros", trainable=False)
        self.mixed = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs, training=None):
        if training:
            self.seen.assign(inputs)
            self.mixed.assign_add(keras.ops.cast(keras.ops.any(keras.ops.not_equal(inputs, EYE)), "float32"))
        return inputs


@keras.saving.register_keras_serializable(package="tests")
def both(y_true, y_pred):
    return keras.ops.sum(y_true, axis=-1) + keras.ops.sum(y_pred, axis=-1)


@keras.saving.register_keras_serializable(package="tests")
def difference(y_true, y_pred):
    return keras.ops.sum(keras.ops.abs(y_true - y_pred), axis=-1)


def build(depths=DEPTHS, num_positions=DEPTHS, loss=None, **options):
    """Identities between the depths, each seen by a spy."""
    manifold = ManifoldMixUp(1.0, num_positions=num_positions, seed=0, name="manifold")
    x = inputs = keras.Input((ROWS,))
    for _ in range(depths):
        x = Spy()(manifold(x))
    outputs = keras.layers.Dense(ROWS, kernel_initializer="identity", use_bias=False)(x)
    model = keras.Model(inputs, outputs)
    metrics = [MixMetric(difference, pairwise=False)]
    model.compile(keras.optimizers.SGD(0.0), loss or MixLoss(both), metrics=metrics, **options)
    return model


def spies(model):
    return [layer for layer in model.layers if isinstance(layer, Spy)]


def fit(model, steps=1):
    x = np.tile(EYE, (steps, 1))
    return model.fit(x, x, batch_size=ROWS, shuffle=False, verbose=0).history


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("graph", "xla")]


@pytest.fixture(params=["eager", *SLOW])
def how(request):
    if request.param == "xla" and keras.backend.backend() == "torch":
        pytest.skip("torch.compile is tested with the other models")
    return {"run_eagerly": True} if request.param == "eager" else {"jit_compile": request.param == "xla"}


@pytest.mark.slow
def test_each_batch_is_mixed_at_exactly_one_depth_and_its_labels_follow(how):
    model = build(**how)
    positions = set()
    for _ in range(12):
        history = fit(model)
        seen = [to_numpy(spy.seen) for spy in spies(model)]
        position = [not np.array_equal(s, EYE) for s in seen].index(True)
        reference.check_mixing_matrix(seen[-1])
        assert all(np.array_equal(s, seen[-1]) for s in seen[position:])
        assert history["difference"][0] < 1e-6  # the labels went through the matrix of the inputs
        positions.add(position)

    assert positions == set(range(DEPTHS))


@pytest.mark.slow
def test_depths_are_drawn_uniformly_and_nothing_is_traced_again():
    calls = []
    model = build(loss=MixLoss(lambda y, p: calls.append(1) or both(y, p)))
    fit(model)
    traced = len(calls)
    fit(model, steps=600)

    counts = np.diff([0.0, *(float(to_numpy(spy.mixed)) for spy in spies(model))])
    assert counts.sum() == 601
    assert stats.chisquare(counts).pvalue > 1e-3
    if keras.backend.backend() != "torch":  # which runs Python in every step
        assert len(calls) == traced


@pytest.mark.slow
def test_evaluate_and_predict_mix_nothing():
    model = build()

    assert model.evaluate(EYE, EYE, verbose=0, return_dict=True)["difference"] == 0
    np.testing.assert_array_equal(model.predict(EYE, verbose=0), EYE)


@pytest.mark.slow
def test_options_hold_as_for_mixup():
    """One position is `MixUp`: the same draws."""
    model = build(depths=1, num_positions=1)
    fit(model)

    twin = MixUp(1.0, seed=0)(EYE, labels=(), training=True)
    np.testing.assert_allclose(to_numpy(spies(model)[0].seen), to_numpy(twin), atol=3e-7)


@pytest.mark.parametrize(
    ("depths", "how"),
    [(1, "eager"), (2, "eager"), (4, "eager"), pytest.param(2, "graph", marks=pytest.mark.slow)],
    indirect=["how"],
)
def test_another_number_of_calls_is_an_error(depths, how):
    with pytest.raises(RuntimeError, match=rf"'manifold'.*at 3 depths.*num_positions=3.*Received: {depths} calls"):
        fit(build(depths=depths, **how))


@pytest.mark.slow
def test_it_goes_on_where_it_stopped(tmp_path):
    """Saved in the middle, and loaded: the one layer at all its depths, and the rest of its draws."""
    model = build()
    fit(model, steps=2)
    model.save(tmp_path / "model.keras")
    fit(model, steps=5)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(loaded, steps=5)

    assert sum(isinstance(layer, ManifoldMixUp) for layer in loaded.layers) == 1
    for spy, other in zip(spies(model), spies(loaded), strict=True):
        np.testing.assert_array_equal(to_numpy(spy.seen), to_numpy(other.seen))
        assert float(to_numpy(spy.mixed)) == float(to_numpy(other.mixed))


def test_a_custom_loop_marks_its_step_with_a_block():
    model = build()
    with pytest.raises(RuntimeError, match=r"(?s)'manifold' mixes a batch at one of several depths.*training_step"):
        model(EYE, training=True)
    with training_step():
        loss = model.loss(EYE, model(EYE, training=True))

    assert float(to_numpy(loss)) == pytest.approx(2.0, rel=1e-6)
    assert sum(float(to_numpy(spy.mixed)) for spy in spies(model)) >= 1


def test_what_it_cannot_do_names_mixup():
    manifold = ManifoldMixUp(num_positions=2)

    def labelled():
        return manifold(EYE, EYE, training=True)

    def seeded():
        return manifold(EYE, training=True, seed=0)

    def numpy():
        return manifold.mix_numpy(EYE, EYE, seed=0)

    for mistake in (labelled, seeded, numpy):
        with pytest.raises((ValueError, AttributeError), match=r"hidden states.*Received: .*MixUp\("):
            mistake()


def test_pairing_by_labels_is_refused():
    with pytest.raises(ValueError, match=r"pairs samples by their labels \(pairing=SameClass"), training_step():
        ManifoldMixUp(num_positions=1, pairing=SameClass())(EYE, training=True)


def test_a_batch_that_changes_its_size_between_depths_is_refused():
    manifold = ManifoldMixUp(num_positions=2)
    inputs = keras.Input((4, 2))
    folded = keras.layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 2)), output_shape=(2,))(manifold(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(manifold(folded)))

    with pytest.raises(ValueError, match=r"same batch size.*at every depth"), training_step():
        model(np.ones((2, 4, 2)), training=True)


def test_num_positions_is_checked():
    with pytest.raises(ValueError, match="num_positions"):
        ManifoldMixUp(num_positions=0)
    with pytest.raises(TypeError, match="num_positions"):
        ManifoldMixUp(num_positions=None)
