"""Mistakes that must not type-check. mypy fails if one of the errors that are expected here does not come."""

from keras_mixup import CutMix, ManifoldMixUp, MixLoss, MixUp, Nearby, RandomMix, follow_mix
from keras_mixup.functional import draw_weights, random_source
from keras_mixup.loaders import MixCollate

MixUp(aplha=0.2)  # type: ignore[call-arg]
MixUp(alpha="much")  # type: ignore[arg-type]
MixUp(probability=[0.5])  # type: ignore[arg-type]
MixUp(pairing="shufle")  # type: ignore[arg-type]
MixUp(num_classes="ten")  # type: ignore[arg-type]
MixUp(same_on_batch="yes")  # type: ignore[arg-type]
MixUp(seed=0.5)  # type: ignore[arg-type]
CutMix(box_share=0.5)  # type: ignore[arg-type]
RandomMix([MixUp(0.8)], probabilities="half")  # type: ignore[arg-type]
ManifoldMixUp(2.0)  # type: ignore[call-arg]
ManifoldMixUp(num_positions=2, num_classes=3)  # type: ignore[call-arg]
Nearby(bandwidth="wide")  # type: ignore[arg-type]
MixLoss("mse", by="pixel")  # type: ignore[arg-type]
follow_mix(losses="mse")  # type: ignore[call-arg]
draw_weights(random_source(0), 4, 0.2)  # type: ignore[arg-type]
MixCollate(0.2)  # type: ignore[arg-type]
