"""The mixing layers."""

from keras_mixup.layers._base import MixLayer as MixLayer
from keras_mixup.layers._cut_mix import CutMix as CutMix
from keras_mixup.layers._f_mix import FMix as FMix
from keras_mixup.layers._grid_mix import GridMix as GridMix
from keras_mixup.layers._manifold_mix_up import ManifoldMixUp as ManifoldMixUp
from keras_mixup.layers._mix_up import MixUp as MixUp
from keras_mixup.layers._random_mix import RandomMix as RandomMix
