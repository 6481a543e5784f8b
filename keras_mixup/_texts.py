"""The texts of what can go wrong with a mix in a step: what was expected, what was received, the ways out, why."""

SEVERAL = (
    "Several layers mixed in this step: {names}. Expected one mix a step for each loss, because from the loss "
    "layers in series and in parallel look alike. Ways out: mix once, in front of the branches; one `RandomMix([...])` "
    "instead of several layers; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, for parallel branches "
    "with a loss each, name the layer that a loss follows, `MixLoss(..., layer={first!r})`."
)
TWICE = (
    "Layer {name!r} mixed {calls} times in this step (shared between branches, inside `TimeDistributed`, or called "
    "in several passes). Expected one mix a step, because a loss cannot tell which one its predictions come from. "
    "Ways out: mix once, in front of the branches; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, in "
    "your own `train_step`, put each pass and its loss into a `with keras_mixup.training_step():` block."
)
CLEAN = (
    "Layer {name!r} was called both with training=True and without in this step, and the loss cannot tell which of "
    "the two passes its predictions come from. Put the mixed pass and its loss into a block of their own: "
    "`with keras_mixup.training_step(): loss = loss_fn(y, model(x, training=True))`, and the clean pass outside of it."
)
UNKNOWN = "No layer of the name {name!r} mixed in this step. Received: layer={name!r}; layers that mixed: {names}."
UNFOLLOWED = (
    "Layer {name!r} mixed its inputs, but no loss followed: the labels stay as they are, and blended inputs are "
    "trained on hard targets.\n"
    'Wrap what must follow: `model.compile("adam", **follow_mix(loss=..., metrics=[...]))`.\n'
    "Or wrap the loss alone: `loss=MixLoss(keras.losses.SparseCategoricalCrossentropy())`.\n"
    "If there are no labels to follow, say so where the layer is called: `mixup(x, labels=())`."
)
LEFT = (
    "Layer {name!r} mixed its inputs inside of a `with training_step():` block, but no `MixLoss` was called in it. The "
    "mix is known inside of the block only: put the loss into it too, `with training_step(): loss = loss_fn(y, "
    "model(x, training=True))`. If there are no labels to follow, say so where the layer is called: "
    "`mixup(x, labels=())`."
)
ELSEWHERE = (
    "`{name}` was called in a step of its own (a `with training_step():` block, a `test_step` inside another step) in "
    "which no layer mixed, while {names} mixed in the step around it.\n"
    "Put the call of the model and its loss into the same block, or both outside it.\n"
    "For predictions that were never mixed, use the loss or the metric itself, without the wrapper."
)
BEFORE_BLOCK = (
    "`{name}` was called in a `with training_step():` block in which no mixing layer was called, but {names} mixed "
    "outside any step before. If the predictions come from that mix, their labels would not follow.\n"
    "Call the model inside the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`.\n"
    "If the forward pass is compiled (`tf.function`, `jax.jit`), compile the whole block instead.\n"
    "For predictions that were never mixed, call the wrapped loss or metric itself."
)
EMPTY_BLOCK = (
    "`MixLoss` {name!r} was called in a `with training_step():` block in which no mixing layer was called, so it is "
    "the loss that it wraps.\n"
    "If the model mixes, call it inside the block: `with training_step(): loss = loss_fn(y, model(x, training=True))`; "
    "if its forward pass is compiled, compile the whole block instead.\n"
    "If nothing is mixed, call the wrapped loss itself."
)
ASTRAY = (
    "`{name}` was called outside a training step, and {names} mixed outside one, or in a block that is over: it "
    "cannot tell whether its predictions come from that mix.\n"
    "In a loop of your own, mark the step: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, "
    "training=True))`.\n"
    "For a clean pass, use the same block around `loss_fn(y, model(x))`, or call the wrapped loss itself."
)
AFTER_BLOCK = (
    "`{name}` was called after the `with training_step():` block in which {names} mixed. A mix ends with its block.\n"
    "Put every loss and metric of those predictions into the block.\n"
    "For clean predictions, call the wrapped loss or metric itself, or put the clean pass into a block of its own."
)
LATE = (
    "`{name}` was called after the metrics of the model were read (`compute_metrics`, `get_metrics_result`, "
    "`evaluate`), which ends the mix of {names} in this step: its labels cannot follow any more.\n"
    "Call the loss and the metrics first, and read the results last."
)
UNSAID = (
    "Layer {name!r} was called in a training step without being told whether to train, so it mixed nothing (nor would "
    "`Dropout` do anything there). If that is right, as for a teacher, say so: `teacher(x, training=False)`. If not, "
    "the `call` of your model must take `training` and pass it on: `def call(self, x, training=None): x = "
    "self.mixup(x, training=training)`."
)
NEVER_MET = (
    "`MixLoss` {name!r} found no mix to follow: no layer mixed anything in this training step, so it is the loss that "
    "it wraps. To mix in the model, put a mixing layer into it, `keras.Sequential([keras.Input(...), MixUp(alpha=0.2), "
    "...])`, and let it be called with `training=True`. If the batches are mixed in the input pipeline, or not at "
    "all, use the wrapped loss itself."
)
TOLD_NOT = (
    "`MixLoss` {name!r} found no mix to follow: {names} was told `training=False` in this training step, so it is the "
    "loss that it wraps.\n"
    "From Keras 3.16 on, `backbone(x, training=False)` says it to every layer that is called later, too: leave it out, "
    "`backbone.trainable = False` is enough.\n"
    "In a subclassed model, pass `training` on: `self.mixup(x, training=training)`.\n"
    "If nothing is to be mixed, use the wrapped loss itself."
)
POSITIONS = (
    "Layer {name!r} is to be called at {expected} depths of the model (num_positions={expected}), one of which mixes "
    "the batch. Received: {calls} calls in this step. Call the one layer object at each of the depths, "
    "`x = manifold(x)`, exactly once, and set num_positions to their number."
)
NO_STEP = (
    "Layer {name!r} mixes a batch at one of several depths, so it must know which calls belong to one batch. Received: "
    "a call with training=True outside of a training step. `fit` makes its own steps; in a loop of your own say "
    "where a step begins and ends: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, training=True))`."
)
RECOMPUTED = (
    "Layer {name!r} is part of something rematerialised (`keras.RematScope`, `torch.utils.checkpoint`). The backward "
    "pass calls it again, and its mix is not known there, or is one of several; another draw would give wrong "
    "gradients.\n"
    "In a loop of your own, put the backward pass into the block too: `with keras_mixup.training_step(): ...; "
    "loss.backward()`.\n"
    "Or keep the layer out of the rematerialised part, or call it once a step."
)
HIDDEN = (
    "`ManifoldMixUp` mixes the hidden states of a model while it trains, where labels follow through `MixLoss`. "
    "Received: {where}, which has neither several depths nor a step. Mix there with `MixUp(...)`."
)
COMPARES = (
    "Loss {name!r} compares the samples of a batch by their classes, and a mixed sample has two of them: its labels "
    "cannot follow a mix. Train such a loss on clean inputs, with the mixing layer in front of the other outputs only; "
    "or, to train on both label sets one after the other, weighted λ and 1 - λ, say `MixLoss(..., pairwise=True)`."
)
NO_LABELS_TO_PAIR = (
    "Layer {name!r} pairs samples by their labels (pairing={pairing}(...)), and in a model the labels are not there. "
    "Mix in the input pipeline, `mixup.mix_dataset(dataset)`, or before the model, `x, y = mixup(x, y, training=True)`."
)
