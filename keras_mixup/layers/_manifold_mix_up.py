"""`ManifoldMixUp`: mixup of hidden states, at one of several depths."""

import contextlib

import keras
import numpy as np

from keras_mixup import _batch_checks, _checks, _ops, _step, _texts
from keras_mixup.layers._base import Argument
from keras_mixup.layers._mix_up import MixUp
from keras_mixup.layers._mixer import only_where


@keras.saving.register_keras_serializable(package="keras_mixup")
class ManifoldMixUp(MixUp):
    """Blends the samples of each training batch at one of several depths of a model, drawn anew for every batch.

    Call the one layer object at each of the depths, the input among them if you like. For every training batch one
    of them is drawn, all alike; there the states are blended as `MixUp` blends, with one draw of λ and of the partners,
    and everywhere else they pass as they are. The labels follow through `MixLoss` and `MixMetric`.

    Every output whose loss follows must lie after all the depths. An output that branches off between them would get
    mixed labels for clean states whenever a later depth is drawn; `keras_mixup.check` finds such outputs.

    For networks that learn mixed inputs by heart, or whose inputs cannot be mixed. Usual values are alpha 2 and three
    depths: the input and the first two blocks. It costs a pass over the states at each of them. It works in models
    only: in a pipeline there are no hidden states, use `MixUp` there.

    Args:
        alpha: As for `MixUp`. Defaults to `2.0`, which the paper uses for CIFAR.
        num_positions: Integer, the number of depths: how often the layer is called in one pass of the model. Another
            number of calls is an error.
        **options: `probability`, `same_on_batch`, `pairing`, `dominant`, `seed`, and those of every Keras layer; as for
            `MixUp`.

    Call arguments:
        inputs: Floating array `(batch, ...)` of any rank, or a nest of them. The batch size must be the same at
            all depths, everything else may differ.
        training: Boolean or `None`.

    Output shape:
        That of the inputs.

    Raises:
        RuntimeError: if it is not called `num_positions` times in a step, or outside of a step.
        ValueError: if it is given labels or a seed, which have no meaning for one of several calls.

    References:
        - [Verma et al., 2019](https://arxiv.org/abs/1806.05236), algorithm in section 2.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import ManifoldMixUp, MixLoss
    >>> manifold = ManifoldMixUp(num_positions=2, seed=0)
    >>> inputs = keras.Input((4,))
    >>> hidden = keras.layers.Dense(8, activation="relu")(manifold(inputs))
    >>> model = keras.Model(inputs, keras.layers.Dense(3)(manifold(hidden)))
    >>> model.compile("sgd", MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)))
    >>> history = model.fit(np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2]), verbose=0)
    """

    num_positions = Argument(_checks.check_integer, lower=1, optional=False)

    def __init__(self, alpha=2.0, *, num_positions, **options):
        super().__init__(alpha, **options)
        self.num_positions = num_positions
        self._fixed_position = None

    @contextlib.contextmanager
    def mixing_at(self, position):
        """Mixes at this position instead of a drawn one, counted from 1; 0 for none. For `check`."""
        self._fixed_position = position
        try:
            yield
        finally:
            self._fixed_position = None

    def get_config(self):
        return {**super().get_config(), "num_positions": self.num_positions}

    def _mix_of_step(self, batch, seed):
        """One mix for all calls of a step; all rows are left alone in every call but the one that was drawn."""
        if seed is not None:
            self._check_place("a call with `seed`")
        again = _step.mix_to_repeat(self)
        if again is not None:
            return again
        record = _step.record_of(self)
        if record is None:
            raise _step.no_step(self)
        if record.mixes:
            record.count(batch.shapes())
        else:
            random = self._layer_random(None)
            record.add(self._draw_here(batch, random), batch.shapes())
            _step.warn_if_never_ended(self)
            position = random.ops.floor(random.uniform((1,)) * self.num_positions) + 1
            fixed = self._fixed_position
            record.position = keras.ops.convert_to_tensor(position if fixed is None else np.array([fixed], "float32"))
        _batch_checks.check_hidden_rows(record.shapes[0], batch.shapes())
        return only_where(_ops.KERAS, record.position == record.calls, record.mixes[0])

    def _check_place(self, where):
        raise ValueError(_texts.HIDDEN.format(where=where))

    def _check_labels(self, batch):
        if batch.labels is not None:
            raise ValueError(_texts.HIDDEN.format(where="a call with labels"))
