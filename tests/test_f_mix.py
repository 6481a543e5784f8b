"""`FMix`: forms that have the share that was drawn."""

import numpy as np
import pytest
from scipy import stats

from keras_mixup import FMix


@pytest.mark.parametrize("size", [8, 40])
def test_forms_of_fmix_have_the_share_that_was_drawn(size):
    rows = 500
    images = np.zeros((rows, size, size, 1), "float32")
    weights = [np.diag(FMix(1.0).mix_numpy(images, np.eye(rows, dtype="float32"), seed=s)[1]) for s in range(4)]

    assert stats.kstest(np.concatenate(weights), stats.beta(1, 1).cdf).pvalue > 1e-3
