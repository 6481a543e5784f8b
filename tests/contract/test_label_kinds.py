"""Labels of every kind, and their weights, in every pipeline, against the oracle."""

import numpy as np
import places
import pytest
import reference
from data import EYE, ROWS

from keras_mixup import MixUp

CLASSES = 4
RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(0.2, 2, ROWS).astype("float32")
NUMBERS = RNG.normal(size=ROWS).astype("float32")
INDICES = np.arange(ROWS) % CLASSES
STEPS = RNG.integers(0, CLASSES, (ROWS, ROWS))  # as many steps as rows

# name: labels, what of them is blended, num_classes
KINDS = {
    "class indices (B,)": (INDICES, np.eye(CLASSES)[INDICES], CLASSES),
    "class indices (B, 1)": (INDICES[:, None], np.eye(CLASSES)[INDICES], CLASSES),
    "class indices (B, T), T = B": (STEPS, np.eye(CLASSES)[STEPS], CLASSES),
    "class indices, uint8": (INDICES.astype("uint8"), np.eye(CLASSES)[INDICES], CLASSES),
    "one-hot": (np.eye(CLASSES, dtype="float32")[INDICES], np.eye(CLASSES)[INDICES], None),
    "multi-hot, booleans": (STEPS > 1, STEPS > 1, None),
    "soft, float16": (RNG.uniform(size=(ROWS, 3)).astype("float16"), None, None),
    "sequence (B, T, K), T = B": (RNG.uniform(size=(ROWS, ROWS, 3)).astype("float32"), None, None),
    "ordinal": ((INDICES[:, None] > np.arange(CLASSES - 1)).astype("float32"), None, None),
    "regression (B,)": (NUMBERS, None, None),
    "regression (B, 1), float64": (RNG.normal(size=(ROWS, 1)), None, None),
    "masks (B, H, W, K)": (RNG.uniform(size=(ROWS, 3, 4, 2)).astype("float32"), None, None),
}


LOADERS = [places.in_map, places.in_parallel_dataset, places.in_numpy]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@pytest.mark.parametrize("num_classes", [CLASSES, None])
def test_labels_and_weights_are_those_of_the_oracle(num_classes, loader, weights):
    """All kinds at once, as the labels of one batch; class indices need `num_classes`."""
    kinds = {name: labels for name, (labels, _, classes) in KINDS.items() if classes == num_classes}
    layer = MixUp(1.0, num_classes=num_classes, seed=0)

    M, y, *w = loader(layer, EYE, kinds, *([] if weights is None else [weights]))  # inputs `EYE` become the matrix

    reference.check_mixing_matrix(M)
    for name, labels in kinds.items():
        plain = np.asarray(labels if KINDS[name][1] is None else KINDS[name][1], "float64")
        wanted = [reference.mixed(M, plain)] if weights is None else reference.weighted_labels(M, plain, weights)
        for got, expected in zip([y[name], *w], wanted, strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-6, err_msg=name)
        assert y[name].dtype == ("float64" if labels.dtype == "float64" else "float32")


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
def test_several_outputs_are_mixed_by_one_draw(loader):
    labels = {"classes": np.eye(CLASSES, dtype="float32")[INDICES], "numbers": NUMBERS, "nested": (EYE,)}

    M, y = loader(MixUp(1.0, seed=0), EYE, labels)

    np.testing.assert_allclose(y["nested"][0], M, atol=1e-6)
    np.testing.assert_allclose(y["numbers"], reference.mixed(M, NUMBERS), atol=1e-5)
    np.testing.assert_allclose(y["classes"], reference.mixed(M, labels["classes"]), atol=1e-6)
