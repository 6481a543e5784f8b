"""The argument `alpha` of the layers that draw λ ~ Beta(alpha, alpha)."""

from typing import Any

from keras_mixup import _arguments
from keras_mixup.layers._argument import Argument, Number, serialize


class HasAlpha:
    """Adds `alpha` to a layer: a number, or a schedule where there are training steps."""

    alpha = Argument(_arguments.check_number)

    def __init__(self, alpha: Number, **options: Any):
        super().__init__(**options)
        self.alpha = alpha

    def check_use(self, where):
        super().check_use(where)  # type: ignore[misc]
        _arguments.check_no_schedule(where, alpha=self.alpha)

    def get_config(self):
        return {**super().get_config(), "alpha": serialize(self.alpha)}  # type: ignore[misc]
