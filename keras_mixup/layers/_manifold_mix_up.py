"""`ManifoldMixUp`: mixup of hidden states, at one of several depths."""

import contextlib
from typing import Unpack

import keras
import numpy as np

from keras_mixup import _arguments, _backend, _step
from keras_mixup.functional import Mix, draw_weights
from keras_mixup.functional._mix import only_where
from keras_mixup.layers import _batch
from keras_mixup.layers._alpha import HasAlpha
from keras_mixup.layers._argument import Argument, LayerOptions, Number, PairingOrName
from keras_mixup.layers._base import MixBase


@keras.saving.register_keras_serializable(package="keras_mixup")
class ManifoldMixUp(HasAlpha, MixBase):
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
        probability, same_on_batch, pairing, dominant, seed, **layer_kwargs: As for `MixUp`.

    Call arguments:
        inputs: Floating array `(batch, ...)` of any rank, or a nest of them. The batch size must be the same at
            all depths, everything else may differ.
        training: Boolean or `None`.

    Output shape:
        That of the inputs.

    Raises:
        RuntimeError: if it is not called `num_positions` times in a step, or outside a step.
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

    num_positions = Argument(_arguments.check_integer, lower=1, optional=False)

    def __init__(
        self,
        alpha: Number = 2.0,
        *,
        num_positions: int,
        probability: Number = 1.0,
        same_on_batch: bool = False,
        pairing: PairingOrName = "shuffle",
        dominant: bool = False,
        seed: int | None = None,
        **layer_kwargs: Unpack[LayerOptions],
    ):
        super().__init__(
            alpha,
            probability=probability,
            same_on_batch=same_on_batch,
            pairing=pairing,
            dominant=dominant,
            seed=seed,
            **layer_kwargs,
        )
        self.num_positions = num_positions
        self._fixed_position = None

    def __call__(self, *args, **kwargs):
        self._used = True
        self._put_on_device()
        return super().__call__(*args, **kwargs)

    def call(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        if labels is not None or seed is not None:
            raise ValueError(_only_hidden("a call with labels" if seed is None else "a call with `seed`"))
        batch = _batch.Batch(inputs)
        _batch.check_rows(batch.leaves())
        if not (training or (training is None and _step.is_repeated(self))):
            _step.record_clean(self, training_given=training is not None)
            return batch.unmixed(None, self.compute_dtype).inputs
        _batch.check_inputs(inputs)
        if _backend.in_tf_data(inputs):
            raise ValueError(_only_hidden("a `tf.data` map"))
        self._check_pairing_without_labels()
        return batch.mixed(self._mix_of_call(batch), None, None, self.compute_dtype).inputs

    def draw(self, batch):
        return Mix(draw_weights(batch.random, batch.shape[:1], self.alpha))

    def _mix_of_call(self, batch):
        """One mix for all calls of a step; all rows are left alone in every call but the one that was drawn."""
        again = _step.mix_to_repeat(self)
        if again is not None:
            return again
        record = _step.record_of(self, mixes=True)
        if record is None:
            raise RuntimeError(
                f"Layer {self.name!r} mixes a batch at one of several depths, so it must know which calls belong to "
                "one batch. Received: a call with training=True outside a training step.\n`fit` makes its own steps; "
                "in a loop of your own mark them: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, "
                "training=True))`."
            )
        if record.mixes:
            record.count(batch.shapes())
        else:
            random = self._random_state.next()
            record.add(self._draw_on_backend(batch, random), batch.shapes())
            _step.warn_if_never_ended(self)
            record.position = self._position(random, like=keras.tree.flatten(batch.inputs)[0])
        _check_hidden_rows(record.shapes[0], batch.shapes())
        return only_where(_backend.KERAS, record.position == record.calls, record.mixes[0])

    def _position(self, random, like):
        if self._fixed_position is not None:
            return keras.ops.convert_to_tensor(np.array([self._fixed_position], "float32"))
        position = random.ops.floor(random.uniform((1,)) * self.num_positions) + 1
        return _backend.as_tensor(position, like)

    @contextlib.contextmanager
    def mixing_at(self, position):
        """Mixes at this position instead of a drawn one, counted from 1; 0 for none. For `check`."""
        self._fixed_position = position
        try:
            yield
        finally:
            self._fixed_position = None

    def compute_output_spec(self, inputs, labels=None, sample_weight=None, training=None, seed=None):
        if labels is not None:
            raise ValueError(_only_hidden("a call with labels"))
        _batch.check_rows(_batch.Batch(inputs).leaves())
        _batch.check_inputs(inputs)
        return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=self.compute_dtype), inputs)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def __getattr__(self, name):
        if name in ("mix_dataset", "mix_numpy"):
            raise AttributeError(_only_hidden(f"`{name}`"))
        return super().__getattribute__(name)

    def get_config(self):
        return {**super().get_config(), "num_positions": self.num_positions}


def _only_hidden(where):
    return (
        "`ManifoldMixUp` mixes the hidden states of a model while it trains, where labels follow through `MixLoss`. "
        f"Received: {where}, which has neither several depths nor a step. Mix there with `MixUp(...)`."
    )


def _check_hidden_rows(first, now):
    """The hidden states of one batch have one number of rows at all depths. Both are lists of shapes."""
    rows = {shape[0] for shape in (first, *now) if isinstance(shape[0], int)}
    if len(rows) > 1:
        raise ValueError(
            "The hidden states must have the same batch size (axis 0) at every depth where they may be mixed. "
            f"Received: shapes {first} and {now[0]}. Leave out the depths where other axes are folded into the batch "
            "axis."
        )
