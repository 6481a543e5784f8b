"""Lead the mix of a step from the layer that drew it to the losses and metrics that follow it.

A mix belongs to one training step and never outlives it: a loss that follows the mix of another step is silently
wrong. So each layer records what it did under the *step* that runs, and a loss finds the record only in the same step.
A step is one of two things:

- a call of `train_step` or `test_step` of a Keras model. Every `fit`, `evaluate` and `train_on_batch` makes one on
  every backend, eager and compiled. It is known by its frame on the Python stack;
- a `with training_step():` block, for loops written by hand.

Outside any step a mix is not stored, and a block drops its mix when it ends. Only the fact that the layer mixed is
kept. From then on, as long as that layer exists, a `MixLoss` that is called outside a step raises instead of guessing.

`_running` finds the step, `_record` and `_open` hold what the layers did in it. The other files are one question each:
what a call records (`_calls`), what a loss follows (`_follow`) or misses (`_no_mix`), what a backward pass repeats
(`_repeat`), and how steps end (`_end`, `_block`, `_closed`, `_unfollowed`).
"""

from keras_mixup._step._block import training_step
from keras_mixup._step._calls import no_step, record_clean, record_labelled, record_mix, record_of, warn_if_never_ended
from keras_mixup._step._end import EndOfStep, lack_of_training, mixing_layers
from keras_mixup._step._follow import mix_to_follow
from keras_mixup._step._no_mix import lack_of_mix
from keras_mixup._step._repeat import is_repeated, mix_to_repeat
from keras_mixup._step._running import forget, is_building, watch
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
