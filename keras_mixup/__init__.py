"""Mixup for Keras 3 that stays correct in the model, the input pipeline and loops written by hand."""

from keras_mixup import evaluation, functional, loaders, monitoring, schedules
from keras_mixup._follow_mix import follow_mix
from keras_mixup._step import training_step
from keras_mixup.layers import CutMix, FMix, GridMix, ManifoldMixUp, MixLayer, MixUp, RandomMix, SaliencyMix
from keras_mixup.losses import MixLoss
from keras_mixup.metrics import MixMetric
from keras_mixup.model_check import check
from keras_mixup.pairing import Local, Nearby, OtherClass, Pairing, Roll, SameClass, Shuffle

__version__ = "0.1.0"

__all__ = [
    "CutMix",
    "FMix",
    "GridMix",
    "Local",
    "ManifoldMixUp",
    "MixLayer",
    "MixLoss",
    "MixMetric",
    "MixUp",
    "Nearby",
    "OtherClass",
    "Pairing",
    "RandomMix",
    "Roll",
    "SaliencyMix",
    "SameClass",
    "Shuffle",
    "check",
    "evaluation",
    "follow_mix",
    "functional",
    "loaders",
    "monitoring",
    "schedules",
    "training_step",
]
