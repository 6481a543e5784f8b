"""The old address and names of `_step`, until every caller has the new ones."""

from keras_mixup._step import *  # noqa: F403
from keras_mixup._step import record_clean, record_labelled, record_mix, record_of
from keras_mixup._step._end import _end as end  # noqa: F401
from keras_mixup._step._open import steps as _open  # noqa: F401
from keras_mixup._step._record import Record

Pass = Record
pass_of, note_mix, note_labelled = record_of, record_mix, record_labelled


class _steps:
    from keras_mixup._step._running import blocks as _blocks

    blocks = _blocks.open


def note_clean(layer, *, said):
    """`record_clean`."""
    record_clean(layer, training_given=said)
