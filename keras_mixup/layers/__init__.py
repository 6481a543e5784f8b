"""The mixing layers."""

from keras_mixup.layers._cut_mix import CutMix
from keras_mixup.layers._f_mix import FMix
from keras_mixup.layers._grid_mix import GridMix
from keras_mixup.layers._manifold_mix_up import ManifoldMixUp
from keras_mixup.layers._mix_layer import MixLayer
from keras_mixup.layers._mix_up import MixUp
from keras_mixup.layers._random_mix import RandomMix
from keras_mixup.layers._saliency_mix import SaliencyMix

__all__ = ["CutMix", "FMix", "GridMix", "ManifoldMixUp", "MixLayer", "MixUp", "RandomMix", "SaliencyMix"]
