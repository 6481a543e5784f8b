"""Pairing by labels: who may be the partner of whom."""

import keras

from keras_mixup import _arguments, _backend


class Pairing:
    """Base of the pairings that look at the labels. A subclass overrides `scores`.

    The partner of each row is drawn among the other rows with the probability `exp(score)`, up to a factor; a row
    that has no eligible partner stays unmixed. The labels must be at hand: in a pipeline, or in a call that is given
    them; in a model they are not, and mixing says so.

    Args of `draw`:
        ops: the array operations of the place, with the names of `keras.ops`.
        random: the random source.
        labels: `(batch, ...)`, as they are mixed: floating, class indices as one-hot rows.
    """

    def draw(self, ops, random, labels):
        """The partner of each row, `(batch,)` integers."""
        rows = ops.shape(labels)[0]
        labels = ops.reshape(ops.cast(labels, "float32"), (rows, -1))
        scores = self.scores(ops, labels)
        own = ops.arange(rows)
        eligible = ops.logical_and(scores > INELIGIBLE, own[:, None] != own[None, :])
        # The greatest of score + Gumbel noise is a draw with the probabilities exp(score).
        noise = -ops.log(-ops.log(random.uniform((rows, rows))))
        drawn = ops.argmax(ops.where(eligible, scores + noise, scores * 0 + INELIGIBLE), axis=1)
        return ops.where(ops.any(eligible, axis=1), ops.cast(drawn, _backend.dtype_of(own)), own)

    def scores(self, ops, labels):
        """`(batch, batch)`, the score of column j as the partner of row i; `INELIGIBLE` for none. To be overridden.

        `labels` are `(batch, features)`, float32.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `scores(self, ops, labels)`.")

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), *self.get_config().items()))


INELIGIBLE = -1e30


@keras.saving.register_keras_serializable(package="keras_mixup")
class Nearby(Pairing):
    """Partners with similar labels, for regression: C-Mixup.

    Row j is drawn as the partner of row i with a probability proportional to `exp(-|y_i - y_j|² / (2·bandwidth²))`.

    Args:
        bandwidth: Float > 0, in the units of the labels: partners are mostly not farther away than twice of it.

    References:
        - [Yao et al., 2022](https://arxiv.org/abs/2210.05775), equation 6.

    Example:

    >>> import numpy as np
    >>> from keras_mixup import MixUp, Nearby
    >>> y = np.array([0.0, 0.1, 5.0, 5.1], "float32")
    >>> x, mixed = MixUp(alpha=1.0, pairing=Nearby(bandwidth=0.1), seed=0)(y[:, None], y, training=True)
    >>> bool(abs(np.asarray(mixed) - y).max() <= 0.1)
    True
    """

    def __init__(self, bandwidth):
        self.bandwidth = _arguments.check_positive("bandwidth", bandwidth)

    def scores(self, ops, labels):
        difference = (labels[:, None, :] - labels[None, :, :]) / self.bandwidth
        return ops.maximum(-0.5 * ops.sum(difference * difference, axis=-1), -1e9)

    def get_config(self):
        return {"bandwidth": self.bandwidth}


class _ByClass(Pairing):
    same: bool

    def scores(self, ops, labels):
        classes = ops.argmax(labels, axis=1) if labels.shape[1] != 1 else labels[:, 0]
        alike = classes[:, None] == classes[None, :]
        wanted = alike if self.same else ops.logical_not(alike)
        return ops.where(wanted, 0.0, INELIGIBLE)


@keras.saving.register_keras_serializable(package="keras_mixup")
class SameClass(_ByClass):
    """Partners of the same class only: mixing within classes.

    Classes are told apart by the greatest entry of one-hot or soft labels, or by the value of labels of width 1.

    >>> import numpy as np
    >>> from keras_mixup import MixUp, SameClass
    >>> mixup = MixUp(num_classes=2, pairing=SameClass(), seed=0)
    >>> x, y = mixup(np.eye(4, dtype="float32"), np.array([0, 1, 0, 1]), training=True)
    >>> np.asarray(y).round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """

    same = True


@keras.saving.register_keras_serializable(package="keras_mixup")
class OtherClass(_ByClass):
    """Partners of other classes only: every mix has two labels.

    Classes are told apart as by `SameClass`.

    >>> import numpy as np
    >>> from keras_mixup import MixUp, OtherClass
    >>> mixup = MixUp(num_classes=2, pairing=OtherClass(), seed=0)
    >>> x, y = mixup(np.eye(4, dtype="float32"), np.array([0, 1, 0, 1]), training=True)
    >>> bool((np.asarray(y) > 0).all())
    True
    """

    same = False


def draw_partners(random, batch, pairing="shuffle", parts=1):
    """Draws the partner of each row; none is its own, unless there is one row only.

    Args:
        random: the random source.
        batch: the number of rows, an integer or a scalar tensor.
        pairing: `"shuffle"`, a uniformly drawn cycle through all rows, or `"roll"`, the row before.
        parts: the number of equal parts of the batch, such as those on several devices, each with a cycle of its own.
    """
    ops = random.ops
    rows = ops.arange(batch)
    if pairing == "roll":
        return ops.where(rows > 0, rows, batch) - 1
    cycle = ops.argsort(ops.reshape(random.uniform((batch,)), (parts, -1)), axis=-1)
    follower = ops.roll(cycle, -1, -1)
    within = ops.take_along_axis(follower, ops.argsort(cycle, axis=-1), axis=-1)
    first = ops.reshape(rows, (parts, -1))[:, :1]
    return ops.reshape(ops.cast(within, _backend.dtype_of(rows)) + first, (batch,))


def check_one_label(labels):
    """The one array of labels, by which samples are paired."""
    leaves = [] if labels is None else keras.tree.flatten(labels)
    if len(leaves) != 1:
        raise ValueError(
            "To pair samples by their labels there must be one array of them. Received: "
            f'{len(leaves)} arrays. Pair by `pairing="shuffle"`, or draw the partners by a `pairing` of your own.'
        )
    return leaves[0]


def check_pairing(name, pairing, *, names):
    """The name of a pairing, or an object that draws partners."""
    if isinstance(pairing, str) or not callable(getattr(pairing, "draw", None)):
        return _arguments.check_choice(name, pairing, names)
    return pairing
