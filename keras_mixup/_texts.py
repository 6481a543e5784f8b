"""Error texts of the layers and losses."""

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
