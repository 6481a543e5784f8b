"""Count the operations that a mix sends to an accelerator on which PyTorch runs eagerly: a table, without a GPU.

    KERAS_BACKEND=torch python benchmarks/operations.py

The device is PyTorch's `meta`, from which nothing can be read. The loss is not counted.
"""

import keras
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import keras_mixup as km

LAYERS = {
    "MixUp": km.MixUp,
    "CutMix": km.CutMix,
    "GridMix": km.GridMix,
    "FMix": km.FMix,
    "RandomMix of MixUp and CutMix": lambda: km.RandomMix([km.MixUp(0.8), km.CutMix(1.0)]),
}


class Count(TorchDispatchMode):
    """Count what is sent."""

    sent = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.sent += 1
        return operation(*args, **(kwargs or {}))


def count(layer, labels, *batch):
    """Count the operations of one call in a step, whose loss is not counted."""
    with km.training_step():
        with Count() as counter:
            layer(*batch, training=True)
        if len(batch) == 1:
            km.MixLoss("mse")(labels, labels)
    return counter.sent


def main():
    with keras.device("meta"):
        x, y = torch.ones(16, 32, 32, 3, device="meta"), torch.ones(16, 10, device="meta")
        print(f"PyTorch {torch.__version__}, Keras {keras.__version__}\n")
        print("| layer | `layer(x, y, training=True)` | `layer(x)` in a step |\n|---|---|---|")
        for name, make in LAYERS.items():
            print(f"| {name} | {count(make(), y, x, y)} | {count(make(), y, x)} |")


if __name__ == "__main__":
    main()
