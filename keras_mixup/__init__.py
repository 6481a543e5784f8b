"""Mixup for Keras 3, right wherever it is put: in the model, in the data pipeline, with any labels."""

from keras_mixup import evaluation as evaluation
from keras_mixup import functional as functional
from keras_mixup import loaders as loaders
from keras_mixup import monitoring as monitoring
from keras_mixup import schedules as schedules
from keras_mixup._follow_mix import follow_mix as follow_mix
from keras_mixup._step import training_step as training_step
from keras_mixup.layers import CutMix as CutMix
from keras_mixup.layers import FMix as FMix
from keras_mixup.layers import GridMix as GridMix
from keras_mixup.layers import ManifoldMixUp as ManifoldMixUp
from keras_mixup.layers import MixLayer as MixLayer
from keras_mixup.layers import MixUp as MixUp
from keras_mixup.layers import RandomMix as RandomMix
from keras_mixup.losses import MixLoss as MixLoss
from keras_mixup.metrics import MixMetric as MixMetric
from keras_mixup.model_check import check as check
from keras_mixup.pairing import Nearby as Nearby
from keras_mixup.pairing import OtherClass as OtherClass
from keras_mixup.pairing import Pairing as Pairing
from keras_mixup.pairing import SameClass as SameClass

__version__ = "0.1.0"

__all__ = [
    "CutMix",
    "FMix",
    "GridMix",
    "ManifoldMixUp",
    "MixLayer",
    "MixLoss",
    "MixMetric",
    "MixUp",
    "Nearby",
    "OtherClass",
    "Pairing",
    "RandomMix",
    "SameClass",
    "check",
    "evaluation",
    "follow_mix",
    "functional",
    "loaders",
    "monitoring",
    "schedules",
    "training_step",
]
