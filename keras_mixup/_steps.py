"""The old address of `_step`, until every caller has the new one."""

from keras_mixup._step import *  # noqa: F403
from keras_mixup._step._open import _open, _steps  # noqa: F401
from keras_mixup._step._record import Pass  # noqa: F401
