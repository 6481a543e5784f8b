"""What the pictures show, read from what is drawn."""

import keras
import numpy as np
import pytest

from keras_mixup.evaluation import ExpectedCalibrationError, RobustnessReport, Row
from keras_mixup.plotting import show_histories, show_reliability, show_robustness

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_bars_of_a_reliability_diagram_are_accuracies_and_shares():
    """Three predictions at 0.95, of which two are right, and one at 0.65, which is wrong."""
    confidence = np.array([0.95, 0.95, 0.95, 0.65])
    figure = show_reliability(np.array([0, 0, 1, 1]), np.stack([confidence, 1 - confidence], 1), num_bins=10)

    top, bottom = figure.axes
    bars = {round(bar.get_x(), 2): bar.get_height() for bar in top.patches}
    assert bars == {0.6: 0, 0.9: pytest.approx(2 / 3)}
    shares = {round(bar.get_x(), 2): bar.get_height() for bar in bottom.patches if bar.get_height()}
    assert shares == {0.6: 0.25, 0.9: 0.75}
    np.testing.assert_allclose(top.lines[0].get_xdata(), [0.65, 0.95], rtol=1e-6)
    np.testing.assert_allclose(top.lines[1].get_xydata(), [[0, 0], [1, 1]])
    expected = 0.25 * 0.65 + 0.75 * (0.95 - 2 / 3)
    assert top.get_title() == f"calibration error {expected:.3f}"


def test_a_metric_without_predictions_has_empty_bins():
    bins = ExpectedCalibrationError(4).bins()

    assert bins["share"].tolist() == [0, 0, 0, 0]
    assert np.isnan(bins["accuracy"]).all()


def test_histories_are_means_and_bands():
    """The band reaches from the lowest run to the highest, up to the shortest."""
    history = keras.callbacks.History()
    history.history = {"val_accuracy": [0.1, 0.5, 0.9]}
    figure = show_histories({"none": [history], "MixUp": [{"val_accuracy": [0.2, 0.4]}, history]})

    axes = figure.axes[0]
    none, mixed = axes.lines
    np.testing.assert_allclose(none.get_xydata(), [[1, 0.1], [2, 0.5], [3, 0.9]])
    np.testing.assert_allclose(mixed.get_xydata(), [[1, 0.15], [2, 0.45]])
    (band,) = axes.collections
    corners = {tuple(np.round(point, 6)) for point in band.get_paths()[0].vertices}
    assert {(1, 0.1), (1, 0.2), (2, 0.4), (2, 0.5)} <= corners
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["none", "MixUp (2 runs)"]


def test_robustness_has_a_panel_for_each_corruption_and_a_line_for_each_model():
    rows = [Row("none", 0, 0.9, 0.9), Row("noise", 0.1, 0.7, 0.8), Row("noise", 0.2, 0.5, 0.8)]
    worse = [*(row._replace(accuracy=row.accuracy / 2) for row in rows), Row("blend", 0.5, 0.8, 0.6)]
    figure = show_robustness({"MixUp": RobustnessReport(rows), "none": RobustnessReport(worse)})

    noise, blend = figure.axes
    assert (noise.get_title(), blend.get_title()) == ("noise", "blend")
    np.testing.assert_allclose(noise.lines[0].get_xydata(), [[0, 0.9], [0.1, 0.7], [0.2, 0.5]])
    np.testing.assert_allclose(noise.lines[1].get_ydata(), [0.45, 0.35, 0.25])
    np.testing.assert_allclose(blend.lines[1].get_xydata(), [[0.5, 0.8]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["MixUp", "none"]
