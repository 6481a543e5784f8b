"""Draw λ, the share of the original sample."""

from typing import Any

from keras_mixup import _arguments, _backend
from keras_mixup._random import Random, key_of


def random_source(seed: Any, like: Any = None) -> Random:
    """Makes a random source.

    Args:
        seed: Integer, or integer tensor of shape `()` or `(2,)`. The numbers are a function of it alone.
        like: array or nest of arrays, of the library that makes the numbers; `None` for the Keras backend.

    >>> from keras_mixup import functional
    >>> functional.random_source(seed=0).uniform((3,)).shape[0]
    3
    """
    ops = _backend.KERAS if like is None else _backend.ops_for(like)
    return Random(ops, key_of(ops, seed))


SMALLEST = 1.1754944e-38  # number that is not 0 in any array library: compiled ones flush smaller ones to it


def draw_weights(random: Random, shape: tuple, alpha: Any) -> tuple[Any, Any]:
    """Draws λ ~ Beta(alpha, alpha) and returns `(λ, 1 - λ)`, both with full relative precision.

    Two uniform numbers a draw, no rejection (Devroye 1996, after Bailey's polar method for Student's t), so it
    compiles everywhere. With U, V uniform, W = U^(1/α), r = (1 - W)·cos²(πV): the smaller weight is
    m = ½·(W / (W + r)) / (1 + √(r / (W + r))), the sign of cos(πV) says whose it is.

    Args:
        random: the random source.
        shape: tuple, the shape of the draws.
        alpha: Float >= 0, a schedule, or a scalar tensor. 0 means no mixing, λ = 1.
    """
    ops = random.ops
    is_checked = isinstance(alpha, float) and 0 <= alpha <= 3.4e38
    if not is_checked and _backend.static_shape(alpha) is None:
        alpha = _arguments.check_number("alpha", alpha)
    alpha = random.value(alpha)
    uniform = random.uniform((2, *shape))
    u, v = uniform[0], uniform[1]
    alpha = ops.cast(alpha, "float32")
    log_w = ops.log(u) / ops.maximum(alpha, 1e-30)
    w, cosine = ops.exp(log_w), ops.cos(v * 3.14159265)
    r = -ops.expm1(log_w) * cosine * cosine
    smaller = 0.5 * (w / (w + r)) / (1.0 + ops.sqrt(r / (w + r)))
    first = cosine >= 0
    weight = ops.where(first, 1.0 - smaller, smaller)
    complement = ops.where(first, smaller, 1.0 - smaller)
    off = alpha < SMALLEST
    return ops.where(off, ops.ones_like(weight), weight), ops.where(off, ops.zeros_like(weight), complement)
