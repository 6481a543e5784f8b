"""Two processes of PyTorch's `DistributedDataParallel`; what each drew, and the losses of its steps.

Then the state of rank 0 is saved, and restored on both.
"""

import contextlib
import json
import os
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

    def train(steps):
        drawn, losses = [], []
        for step in range(steps):
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
            losses.append(float(loss.detach()))
        return {"drawn": drawn, "losses": losses}

    first = train(4)
    file = sys.argv[1] + ".weights.h5"
    if rank == 0:
        model.save_weights(file)
    distributed.barrier()
    went_on = train(2)
    model.load_weights(file)
    gathered = [None, None]
    distributed.all_gather_object(gathered, {**first, "went on": went_on, "resumed": train(2)})
    if rank == 0:
        print(json.dumps(gathered))
    distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # threads of PyTorch now and then abort a process that takes itself down in good order


if __name__ == "__main__":
    multiprocessing.spawn(main, nprocs=2)
