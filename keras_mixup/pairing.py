"""Who is mixed with whom.

A pairing is given to a layer by its name, `pairing="shuffle"`, or as an object, `pairing=Nearby(bandwidth=0.1)`.
"""

from typing import Any

import keras

from keras_mixup import _arguments, _backend

INELIGIBLE = -1e30


class Pairing:
    """Base of the pairings. A subclass overrides `draw`, or `scores` to pair samples by their labels.

    The object that both receive is that of `MixLayer.draw`: `batch.ops`, `batch.random`, `batch.rows`, `batch.inputs`,
    `batch.labels`.

    >>> from keras_mixup import MixUp, Pairing
    >>> class Mirrored(Pairing):
    ...     "Mixes the first row with the last, the second with the last but one, and so on."
    ...     needs_labels = False
    ...     def draw(self, batch):
    ...         return batch.rows - 1 - batch.ops.arange(batch.rows)
    >>> MixUp(pairing=Mirrored()).pairing == Mirrored()
    True
    """

    needs_labels = True  # whether the labels must be at hand: in a model, where labels follow the loss, they are not

    def draw(self, batch: Any) -> Any:
        """Draws the partner of each row, `(batch,)` integers.

        By default it is drawn among the other rows with a probability in proportion to `exp(score)`; a row without
        eligible partners stays unmixed.
        """
        ops, rows = batch.ops, batch.rows
        if isinstance(rows, int) and rows == 0:
            return ops.arange(0)
        scores = self.scores(batch.ops, _features(batch))
        own = ops.arange(rows)
        eligible = ops.logical_and(scores > INELIGIBLE, own[:, None] != own[None, :])
        # The greatest of score + Gumbel noise is a draw with the probabilities exp(score).
        noise = -ops.log(-ops.log(batch.random.uniform((rows, rows))))
        drawn = ops.argmax(ops.where(eligible, scores + noise, INELIGIBLE), axis=1)
        return ops.where(ops.any(eligible, axis=1), ops.cast(drawn, _backend.dtype_of(own)), own)

    def scores(self, ops: Any, labels: Any) -> Any:
        """Scores column j as the partner of row i, `(batch, batch)`; `INELIGIBLE` for none. To be overridden.

        Args:
            ops: the array operations, with the names of `keras.ops`.
            labels: `(batch, features)`, float32; class indices as one-hot rows.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `scores(self, ops, labels)` or `draw`.")

    def locality(self, batch: Any) -> Any:
        """Tells a compiler how near partners are, so that a sharded batch need not be gathered. `None`: anywhere."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), *self.get_config().items()))


@keras.saving.register_keras_serializable(package="keras_mixup")
class Shuffle(Pairing):
    """Draws one cycle through all rows, so that no row is its own partner. The same as `pairing="shuffle"`.

    >>> import numpy as np
    >>> from keras_mixup import MixUp, Shuffle
    >>> x, M = MixUp(alpha=1.0, pairing=Shuffle(), seed=0)(np.eye(3), np.eye(3), training=True)
    >>> [int((np.asarray(row) > 0).sum()) for row in M]
    [2, 2, 2]
    """

    needs_labels = False

    def draw(self, batch):
        return draw_partners(batch.random, batch.rows)


@keras.saving.register_keras_serializable(package="keras_mixup")
class Roll(Pairing):
    """Pairs each row with the row before. The same as `pairing="roll"`.

    With a batch that is sharded over devices one row crosses each boundary.

    >>> import numpy as np
    >>> from keras_mixup import MixUp, Roll
    >>> x, M = MixUp(alpha=1.0, pairing=Roll(), seed=0)(np.eye(3), np.eye(3), training=True)
    >>> np.asarray(np.asarray(M) > 0, int).tolist()
    [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    """

    needs_labels = False

    def draw(self, batch):
        return draw_partners(batch.random, batch.rows, "roll")

    def locality(self, batch):
        return "roll" if type(self).draw is Roll.draw else None


@keras.saving.register_keras_serializable(package="keras_mixup")
class Local(Pairing):
    """Draws a cycle through the rows of each device of a `keras.distribution`. The same as `pairing="local"`.

    No row has to be sent. Without a distribution it is `Shuffle`.

    >>> from keras_mixup import Local, MixUp
    >>> MixUp(pairing=Local()).get_config()["pairing"]["class_name"]
    'Local'
    """

    needs_labels = False

    def draw(self, batch):
        return draw_partners(batch.random, batch.rows, shards=batch.shards)

    def locality(self, batch):
        return batch.shards if batch.shards > 1 and type(self).draw is Local.draw else None


@keras.saving.register_keras_serializable(package="keras_mixup")
class Nearby(Pairing):
    """Draws partners with similar labels, for regression: C-Mixup.

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

    def __init__(self, bandwidth: float):
        self.bandwidth = _arguments.check_positive("bandwidth", bandwidth)

    def scores(self, ops, labels):
        difference = (labels[:, None, :] - labels[None, :, :]) / self.bandwidth
        return ops.maximum(-0.5 * ops.sum(difference * difference, axis=-1), -1e9)

    def get_config(self):
        return {"bandwidth": self.bandwidth}


class _ByClass(Pairing):
    same: bool

    def scores(self, ops, labels):
        if labels.shape[1] == 1:
            classes = labels[:, 0]
            known = ops.ones_like(classes) > 0
        else:
            classes = ops.argmax(labels, axis=1)
            known = ops.any(labels != 0, axis=1)  # a row of zeros is of no class
        alike = classes[:, None] == classes[None, :]
        wanted = alike if self.same else ops.logical_not(alike)
        wanted = ops.logical_and(wanted, ops.logical_and(known[:, None], known[None, :]))
        return ops.where(wanted, 0.0, INELIGIBLE)


@keras.saving.register_keras_serializable(package="keras_mixup")
class SameClass(_ByClass):
    """Draws partners of the same class only.

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
    """Draws partners of other classes only, so that every mixed sample has two labels.

    Classes are told apart as by `SameClass`.

    >>> import numpy as np
    >>> from keras_mixup import MixUp, OtherClass
    >>> mixup = MixUp(num_classes=2, pairing=OtherClass(), seed=0)
    >>> x, y = mixup(np.eye(4, dtype="float32"), np.array([0, 1, 0, 1]), training=True)
    >>> bool((np.asarray(y) > 0).all())
    True
    """

    same = False


NAMED = {"shuffle": Shuffle(), "roll": Roll(), "local": Local()}


def check_pairing(name, pairing):
    """Returns the name of a pairing, or an object that draws partners."""
    if isinstance(pairing, str) or not callable(getattr(pairing, "draw", None)):
        return _arguments.check_choice(name, pairing, tuple(NAMED))
    return pairing


def draw(pairing, batch):
    """Draws the partners by a pairing or its name. Returns them, and how near they are where that is known."""
    pairing = NAMED.get(pairing, pairing) if isinstance(pairing, str) else pairing
    return pairing.draw(batch), pairing.locality(batch) if hasattr(pairing, "locality") else None


def draw_partners(random: Any, batch: Any, pairing: str = "shuffle", shards: int = 1) -> Any:
    """Draws the partner of each row; none is its own, unless there is one row only.

    Args:
        random: the random source.
        batch: the number of rows, an integer or a scalar tensor.
        pairing: `"shuffle"`, a uniformly drawn cycle through all rows, or `"roll"`, the row before.
        shards: Integer, the number of equal parts of the batch that each have a cycle of their own.

    Returns:
        Integers `(batch,)`.
    """
    ops = random.ops
    rows = ops.arange(batch)
    if pairing == "roll":
        return ops.where(rows > 0, rows, batch) - 1
    cycle = ops.argsort(ops.reshape(random.uniform((batch,)), (shards, -1)), axis=-1)
    follower = ops.roll(cycle, -1, -1)
    within = ops.take_along_axis(follower, ops.argsort(cycle, axis=-1), axis=-1)
    first = ops.reshape(rows, (shards, -1))[:, :1]
    return ops.reshape(ops.cast(within, _backend.dtype_of(rows)) + first, (batch,))


def _features(batch):
    """The one array of labels, by which samples are paired, `(batch, features)`."""
    leaves = [] if batch.labels is None else keras.tree.flatten(batch.labels)
    if len(leaves) != 1:
        raise ValueError(
            f"To pair samples by their labels there must be one array of them. Received: {len(leaves)} arrays.\n"
            'Options:\n  `pairing="shuffle"`\n  a `Pairing` that overrides `draw(self, batch)`'
        )
    return batch.ops.reshape(batch.ops.cast(leaves[0], "float32"), (batch.rows, -1))
