"""The old address of `model_check`, until every caller has the new one."""

from keras_mixup.model_check import check  # noqa: F401
