"""The mix of this step: how it gets from the layer that drew it to the losses and metrics that follow it.

A mix belongs to one training step and may never outlive it: a loss that picks up the mix of another step is
silently wrong. So a mix is noted under the *step* that is running, and found again only from within it. A step
is one of two things:

- a call of `train_step` or `test_step` of a Keras model, which every `fit`, `evaluate` and `train_on_batch` goes
  through on every backend, eager and compiled. It is recognised by its frame on the Python stack, because no
  object that the layer and the loss both see stands for it;
- a `with training_step():` block, for loops written by hand.

Outside any step a mix is not stored, and a block forgets its mix when it ends. Only the fact that the layer mixed is
kept: from then on a `MixLoss` that is called outside a step raises instead of guessing, as long as that layer exists.
"""

from keras_mixup._step._block import training_step
from keras_mixup._step._calls import no_step, record_clean, record_labelled, record_mix, record_of, warn_if_never_ended
from keras_mixup._step._end import EndOfStep, lack_of_training, mixing_layers
from keras_mixup._step._follow import mix_to_follow
from keras_mixup._step._no_mix import lack_of_mix
from keras_mixup._step._open import forget, is_building, watch
from keras_mixup._step._repeat import is_repeated, mix_to_repeat
from keras_mixup._step._unfollowed import followers

__all__ = [
    "EndOfStep",
    "followers",
    "forget",
    "is_building",
    "is_repeated",
    "lack_of_mix",
    "lack_of_training",
    "mix_to_follow",
    "mix_to_repeat",
    "mixing_layers",
    "no_step",
    "record_clean",
    "record_labelled",
    "record_mix",
    "record_of",
    "training_step",
    "warn_if_never_ended",
    "watch",
]
