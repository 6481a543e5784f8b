"""The old address and names of `_step`, until every caller has the new ones."""

from keras_mixup._step import *  # noqa: F403
from keras_mixup._step import record_clean, record_labelled, record_mix, record_of
from keras_mixup._step._open import in_thread, open_steps
from keras_mixup._step._record import Record

Pass, _open, _steps = Record, open_steps, in_thread
pass_of, note_mix, note_labelled = record_of, record_mix, record_labelled


def note_clean(layer, *, said):
    """`record_clean`."""
    record_clean(layer, training_given=said)
