"""Two processes of PyTorch's `DistributedDataParallel`; each prints what it drew, and the losses of its steps."""

import contextlib
import json
import pathlib
import sys

import keras
import numpy as np
import torch
from torch import distributed, multiprocessing

from keras_mixup import MixLoss, MixUp, training_step

ROWS = 8
EYE = torch.eye(ROWS)


def main(rank):
    meet = pathlib.Path(sys.argv[1]).absolute().as_uri()  # a file, which no process has to keep alive for the other
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    mixup = MixUp(1.0, seed=0)
    same = keras.layers.Dense(ROWS, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((ROWS,)), mixup, same])
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    loss_fn, optimizer = MixLoss("mse"), torch.optim.SGD(parallel.parameters(), 0.0)
    drawn, losses = [], []
    for step in range(4):
        accumulate = parallel.no_sync() if step % 2 == 0 else contextlib.nullcontext()
        with accumulate:
            with training_step():
                mixed = parallel(EYE, training=True)
                loss = loss_fn(EYE, mixed)
            loss.backward()
        if step % 2:
            optimizer.step()
            optimizer.zero_grad()
        drawn.append(np.sort(mixed.detach().numpy(), axis=1)[:, -1].tolist())
        losses.append(float(loss))
    gathered = [None, None]
    distributed.all_gather_object(gathered, {"drawn": drawn, "losses": losses})
    if rank == 0:
        print(json.dumps(gathered))
    distributed.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(main, nprocs=2)
