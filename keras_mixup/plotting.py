"""Pictures of mixes. Matplotlib is imported when one is drawn, not before.

The figures are pyplot's: a notebook shows them at the end of a cell (end its last line with `;`), a script with
`plt.show()`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mixup import functional
from keras_mixup.evaluation import ExpectedCalibrationError

__all__ = [
    "mix_title",
    "show_histories",
    "show_images",
    "show_pairs",
    "show_reliability",
    "show_robustness",
    "show_weights",
]

BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito: told apart with any colour vision
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def mix_title(shares: Any, names: Sequence | None = None) -> str:
    """Writes out a soft label `(classes,)`, without the shares that would read 0.00.

    `names`, a sequence of `classes` names or numbers, says what the classes are called; their indices by default.

    >>> from keras_mixup.plotting import mix_title
    >>> mix_title([0.0, 0.75, 0.25]), mix_title([0.75, 0.25], names=["temple", "flower"])
    ('0.75 · 1 + 0.25 · 2', '0.75 temple + 0.25 flower')
    """
    names = range(len(shares)) if names is None else names
    terms = [(share, name) for share, name in zip(_numpy(shares), names, strict=True) if share >= 0.005]
    return " + ".join(f"{share:.2f}{' ' if isinstance(name, str) else ' · '}{name}" for share, name in terms)


def show_images(images: Any, titles: Sequence[str] | None = None) -> Any:
    """Draws images in a row, all on one scale of brightness; returns the figure.

    Args:
        images: Array `(count, height, width)` or `(count, height, width, channels)`, grey or RGB, of any range.
        titles: Sequence of `count` strings, or `None`.

    >>> import numpy as np
    >>> from keras_mixup.plotting import show_images
    >>> figure = show_images(np.ones((3, 8, 8)), titles=["a", "b", "c"])
    >>> [axes.get_title() for axes in figure.axes]
    ['a', 'b', 'c']
    """
    return _grid({"": _numpy(images)}, [[""] * len(images) if titles is None else titles])


def show_pairs(originals: Any, mixed: Any, matrix: Any, labels: Sequence | None = None, *, count: int = 6) -> Any:
    """Draws the first samples of a batch, their partners, and the mixes of the two; returns the figure.

    Args:
        originals: Array `(batch, height, width)` or `(batch, height, width, channels)`, the images before the mix.
        mixed: Array of the same shape, the images after it.
        matrix: Array `(batch, batch)`, the mixing matrix: what the mix makes of the labels `np.eye(batch)`. Row i
            holds the share λ of sample i at i, and 1 - λ at its partner.
        labels: Sequence of the `batch` originals' class indices or names; their positions by default.
        count: Integer, how many samples are drawn.

    >>> import numpy as np
    >>> from keras_mixup import MixUp
    >>> from keras_mixup.plotting import show_pairs
    >>> x = np.random.default_rng(0).uniform(size=(4, 8, 8)).astype("float32")
    >>> mixed, matrix = MixUp(alpha=1.0, seed=0)(x, np.eye(4), training=True)
    >>> figure = show_pairs(x, mixed, matrix, labels=[3, 8, 3, 5])
    >>> len(figure.axes)
    12
    """
    originals, mixed, matrix = _numpy(originals), _numpy(mixed)[:count], _numpy(matrix)[:count]
    labels = list(range(len(originals))) if labels is None else _numpy(labels).tolist()
    own = np.arange(len(matrix))
    others = matrix * (own[:, None] != np.arange(len(originals)))
    partner = np.where(others.any(axis=1), others.argmax(axis=1), own)
    shares = [mix_title(matrix[i, [i, j]], [labels[i], labels[j]]) for i, j in zip(own, partner, strict=True)]
    rows = {"original": originals[own], "partner": originals[partner], "mixed": mixed}
    return _grid(rows, [[labels[i] for i in own], [labels[j] for j in partner], shares], width=1.5)


def show_weights(alphas: Sequence[float], *, draws: int = 20_000, seed: int = 0) -> Any:
    """Draws histograms of the weight λ, the share of the original, over the density of Beta(α, α).

    Each α > 0 of the sequence `alphas` has a panel with that many `draws`. Returns the figure.

    >>> from keras_mixup.plotting import show_weights
    >>> figure = show_weights([0.2, 1.0], draws=100)
    >>> [axes.get_title() for axes in figure.axes]
    ['α = 0.2', 'α = 1.0']
    """
    figure, panels = _panels(1, len(alphas), (2.2 * len(alphas), 2.4))
    for axes, alpha in zip(panels[0], alphas, strict=True):
        weight, _ = functional.draw_weights(functional.random_source(seed), (draws,), alpha)
        heights, _, _ = axes.hist(_numpy(weight), bins=20, range=(0, 1), density=True, color=BLUE, alpha=0.35)
        _draw_density(axes, alpha)
        axes.set(title=f"α = {alpha}", xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"], ylim=(0, 1.1 * max(heights)))
        axes.locator_params(axis="y", nbins=4, integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("density")
    figure.supxlabel("λ, the share of the original", fontsize="medium")
    return figure


def _draw_density(axes, alpha):
    x = np.linspace(0, 1, 402)[1:-1]
    log_scale = math.lgamma(2 * alpha) - 2 * math.lgamma(alpha)
    axes.plot(x, np.exp(log_scale + (alpha - 1) * np.log(x * (1 - x))), color=ORANGE)


def show_reliability(y_true: Any, y_pred: Any, *, num_bins: int = 15, from_logits: bool = False) -> Any:
    """Draws accuracy against confidence, with the share of the predictions below; returns the figure.

    Bars below the diagonal: the model is more sure than right, over-confident. Bars above it: it is too unsure.

    Args:
        y_true, y_pred, num_bins, from_logits: As for `keras_mixup.evaluation.ExpectedCalibrationError`, whose value is
            the title.

    >>> import numpy as np
    >>> from keras_mixup.plotting import show_reliability
    >>> figure = show_reliability(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]), num_bins=10)
    >>> figure.axes[0].get_title()
    'calibration error 0.400'
    """
    error = ExpectedCalibrationError(num_bins, from_logits)
    error.update_state(y_true, y_pred)
    bins = error.bins()
    figure, panels = _panels(2, 1, (3.4, 4.2), sharex=True, height_ratios=(3, 1))
    top, bottom = panels[:, 0]
    left, width = np.arange(num_bins) / num_bins, 1 / num_bins
    filled = bins["share"] > 0
    top.bar(left[filled], bins["accuracy"][filled], width, align="edge", color=BLUE, alpha=0.35, edgecolor="white")
    top.plot(bins["confidence"][filled], bins["accuracy"][filled], "o", color=BLUE, markersize=4)
    top.plot([0, 1], [0, 1], "--", color="gray", linewidth=1)
    top.set(title=f"calibration error {float(error.result()):.3f}", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    bottom.bar(left, bins["share"], width, align="edge", color=ORANGE, alpha=0.35, edgecolor="white")
    bottom.set(xlabel="confidence", ylabel="share")
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def show_histories(runs: Mapping[str, Sequence], metric: str = "val_accuracy") -> Any:
    """Draws a metric over the epochs: for each arm the mean of its runs, and a band from the lowest to the highest.

    Args:
        runs: Dict, the name of each arm and the list of its runs: what `fit` returned, or its `history`.
        metric: String, the name in the logs.

    >>> from keras_mixup.plotting import show_histories
    >>> figure = show_histories({"MixUp": [{"loss": [2.0, 1.0]}, {"loss": [2.0, 0.0]}]}, "loss")
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [2.0, 0.5]
    """
    figure, panels = _panels(1, 1, (4.6, 3.2))
    axes = panels[0, 0]
    for color, (name, histories) in zip(_colors(runs), runs.items(), strict=True):
        series = [np.asarray(getattr(history, "history", history)[metric], "float64") for history in histories]
        shortest = min(map(len, series))  # runs that stopped early end the band
        values = np.stack([one[:shortest] for one in series])
        epochs = np.arange(1, shortest + 1)
        axes.plot(epochs, values.mean(axis=0), color=color, label=_with_count(name, len(values)))
        if len(values) > 1:
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel=metric.replace("_", " "))
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _with_count(name, count):
    return f"{name} ({count} runs)" if count > 1 else name


def show_robustness(reports: Mapping[str, Any]) -> Any:
    """Draws accuracy against the strength of each corruption, a line for each model; returns the figure.

    The value at strength 0 is that of the clean samples. A corruption of one strength, as `"blend"`, is a dot.

    Args:
        reports: Dict, the name of each model and what `keras_mixup.evaluation.robustness_report` returned for it.

    >>> from keras_mixup.evaluation import RobustnessReport, Row
    >>> from keras_mixup.plotting import show_robustness
    >>> rows = [Row("none", 0, 0.9, 0.9), Row("noise", 0.1, 0.8, 0.9), Row("noise", 0.2, 0.5, 0.8)]
    >>> figure = show_robustness({"MixUp": RobustnessReport(rows)})
    >>> figure.axes[0].get_title(), figure.axes[0].lines[0].get_ydata().tolist()
    ('noise', [0.9, 0.8, 0.5])
    """
    names = {row.corruption: None for report in reports.values() for row in report.rows if row.corruption != "none"}
    columns = max(1, min(4, len(names)))
    rows = max(1, math.ceil(len(names) / columns))
    figure, panels = _panels(rows, columns, (2.3 * columns, 2.2 * rows + 0.3), sharey=True)
    for axes, name in zip(panels.flat, names, strict=False):
        for color, report in zip(_colors(reports), reports.values(), strict=True):
            strengths, accuracies = _line(report, name)
            axes.plot(strengths, accuracies, "o-", color=color, markersize=4)
            if len(strengths) == 1:
                axes.set_xticks(strengths)
        axes.set(title=name, ylim=(0, 1.03))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("strength", fontsize="medium")
    figure.supylabel("accuracy", fontsize="medium")
    lines = panels[0, 0].lines
    figure.legend(lines, list(reports), loc="outside upper center", ncols=len(reports), frameon=False)
    return figure


def _line(report, corruption):
    """Strengths and accuracies; the clean samples come first where there are several strengths."""
    clean = [row for row in report.rows if row.corruption == "none"]
    rows = [row for row in report.rows if row.corruption == corruption]
    rows = clean + rows if len(rows) > 1 else rows
    return [row.strength for row in rows], [row.accuracy for row in rows]


def _colors(names):
    return [COLORS[number % len(COLORS)] for number in range(len(names))]


def _grid(rows, titles, width=1.8):
    """Rows of images with their names in front, and a title above each image."""
    first = next(iter(rows.values()))
    low, high = min(row.min() for row in rows.values()), max(row.max() for row in rows.values())
    height = width * first.shape[1] / first.shape[2] + 0.3
    figure, panels = _panels(len(rows), len(first), (width * len(first), height * len(rows)))
    for line, (name, row), words in zip(panels, rows.items(), titles, strict=True):
        for axes, image, title in zip(line, (row - low) / max(high - low, 1e-7), words, strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
            axes.set_title(title, fontsize=9)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=10)
    return figure


def _panels(rows, columns, size, **options):
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def _numpy(x):
    return np.asarray(keras.ops.convert_to_numpy(x))
