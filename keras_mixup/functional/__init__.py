"""The pure core: a mix, how it is drawn, how it is applied. No layer, no state.

Everywhere `weight` is λ of the paper, the share of the original sample; `partner` is the index of the row that
is blended into it. All functions work on tensors of the Keras backend, on NumPy arrays, and on the tensors of
a TensorFlow graph while Keras runs on another backend.

References:
    - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), equation 1.
"""

from keras_mixup._random import Random
from keras_mixup.functional._blend import blend
from keras_mixup.functional._draw import draw_weights, random_source
from keras_mixup.functional._labels import blend_element_labels, blend_labels, encode_labels
from keras_mixup.functional._mix import Mix
from keras_mixup.pairing import draw_partners

__all__ = [
    "Mix",
    "Random",
    "blend",
    "blend_element_labels",
    "blend_labels",
    "draw_partners",
    "draw_weights",
    "encode_labels",
    "random_source",
]
