"""The oracle: the paper's formulas in NumPy and float64, one sample at a time.

`M` is the mixing matrix: row i holds λ_i in column i and 1 - λ_i in the column of i's partner. It is what labels
`eye(batch)` become.
"""

import numpy as np


def mixed(M, x):
    """x'_i = Σ_j M_ij x_j."""
    x = np.asarray(x, "float64")
    out = np.zeros_like(x)
    for i, row in enumerate(np.asarray(M, "float64")):
        for j, share in enumerate(row):
            if share:
                out[i] += share * x[j]
    return out


def partners(M):
    """The partner of each row; a row that is not mixed is its own."""
    others = M - np.diag(np.diag(M))
    return np.where(others.any(axis=1), others.argmax(axis=1), np.arange(len(M)))


def weighted_labels(M, y, w):
    """Labels and weights of blended samples: w'_i = Σ_j M_ij w_j, y'_i = Σ_j M_ij w_j y_j / w'_i."""
    w = np.asarray(w, "float64")
    y = np.asarray(y, "float64")
    spread = w.reshape(w.shape + (1,) * (y.ndim - w.ndim))
    weight = mixed(M, w)
    total = weight.reshape(spread.shape)
    return mixed(M, y * spread) / np.where(total == 0, 1, total), weight


def paired_loss(M, per_sample, y, prediction, w=None):
    """Σ_j M_ij w_j L(y_j, ŷ_i) for each i: the loss with every label set of the mix."""
    terms = []
    for i, row in enumerate(np.asarray(M, "float64")):
        term = 0.0
        for j, share in enumerate(row):
            if share:
                weight = 1.0 if w is None else np.asarray(w, "float64")[j]
                term = term + share * weight * per_sample(y[j], np.asarray(prediction[i], "float64"))
        terms.append(term)
    return np.array(terms)


def softmax_crossentropy(y, logits):
    """`y`: a class index, or a row of shares."""
    log_p = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    return -log_p[int(y)] if np.ndim(y) == 0 else -np.sum(y * log_p, axis=-1)


def check_mixing_matrix(M):
    """Rows sum to 1, hold at most two shares, and none is outside of 0 to 1."""
    M = np.asarray(M)

    np.testing.assert_allclose(M.sum(axis=1), 1.0, atol=3e-7)
    assert M.min() >= 0
    assert M.max() <= 1
    assert ((M > 0).sum(axis=1) <= 2).all()
