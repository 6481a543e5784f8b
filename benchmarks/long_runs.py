"""What a long run leaves behind: memory, objects of this package, tracers, graphs and tensors.

    KERAS_BACKEND=jax python benchmarks/long_runs.py [--steps 50000] [--batches 50000] [--threads 8] [--only fit]

A tiny model is trained in `fit`, two models in turn by `train_on_batch`, one by a loop written by hand; a dataset is
mixed; many threads mix at once. Beside each of the first and of the datasets runs the same without a mix: what grows
there as well is not of this package. The state is noted after every thousand. Needs Linux, for `/proc/self/statm`.
Prints a table, and saves it as `benchmarks/long_runs_<backend>.md`, with every reading as `.json`.
"""

import argparse
import concurrent.futures
import gc
import itertools
import json
import os
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from keras_mixup import MixLoss, MixMetric, MixUp, training_step

BACKEND = keras.backend.backend()
ROWS, EVERY = 8, 1000
X = np.random.default_rng(0).normal(size=(ROWS * EVERY, 4)).astype("float32")
Y = np.arange(ROWS * EVERY) % 3
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


class Readings:
    """The state of the process, noted after every thousand."""

    def __init__(self):
        self.start, self.all = time.perf_counter(), []

    def note(self):
        gc.collect()
        kinds = [type(x) for x in gc.get_objects()]
        self.all.append(
            {
                "seconds": round(time.perf_counter() - self.start, 1),
                "MiB": round(int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * PAGE, 1),
                "objects": len(kinds),
                "of the package": sum(str(kind.__module__).startswith("keras_mixup") for kind in kinds),
                TRACED: sum(issubclass(kind, TRACED_KINDS) for kind in kinds),
            }
        )

    def growth(self):
        """MiB for each thousand, over the second half, by least squares."""
        half = [reading["MiB"] for reading in self.all[len(self.all) // 2 :]]
        return np.polyfit(np.arange(len(half)), half, 1)[0] if len(half) > 1 else np.nan


def traced():
    """What must not stay alive on this backend, and a name for it."""
    if BACKEND == "jax":
        import jax

        return "tracers", (jax.core.Tracer,)
    if BACKEND == "torch":
        import torch

        return "tensors", (torch.Tensor,)
    return "graphs", (tf.Graph,)


TRACED, TRACED_KINDS = traced()


def model(mix, seed=0):
    loss, metric = keras.losses.SparseCategoricalCrossentropy(from_logits=True), "sparse_categorical_accuracy"
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)]
    if mix:
        layers.insert(0, MixUp(0.4, seed=seed))
        loss, metric = MixLoss(loss), MixMetric(metric)
    made = keras.Sequential([keras.Input((4,)), *layers])
    made.compile(keras.optimizers.SGD(1e-3), loss, metrics=[metric])
    return made


def fit(count, mix=True):
    """In `fit`, compiled where Keras compiles by default."""
    readings = Readings()
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: readings.note())
    model(mix).fit(X, Y, batch_size=ROWS, epochs=count // EVERY, verbose=0, callbacks=[note])
    return readings


def in_turn(count, mix=True):
    """Two models with layers of their own, step by step in turn."""
    models, readings = [model(mix, seed) for seed in (0, 1)], Readings()
    for step, rows in enumerate(batches(count), 1):
        models[step % 2].train_on_batch(X[rows], Y[rows])
        if step % EVERY == 0:
            readings.note()
    return readings


def loop(count):
    """A forward pass and its loss in a `training_step` block, eagerly."""
    made, loss_fn, readings = model(True), MixLoss("sparse_categorical_crossentropy"), Readings()
    for step, rows in enumerate(batches(count), 1):
        with training_step():
            loss_fn(Y[rows], made(X[rows], training=True))
        if step % EVERY == 0:
            readings.note()
    return readings


def dataset(count, mix=True):
    """Batches of `mix_dataset`, over and over the same dataset."""
    plain = tf.data.Dataset.from_tensor_slices((X, Y)).batch(ROWS)
    mixed = MixUp(0.4, num_classes=3, seed=0).mix_dataset(plain, training=mix)
    readings = Readings()
    for _ in range(count // EVERY):
        for _ in mixed:
            pass
        readings.note()
    return readings


def endless(count):
    """The same, through one iterator."""
    plain = tf.data.Dataset.from_tensor_slices((X, Y)).batch(ROWS)
    mixed, readings = MixUp(0.4, num_classes=3, seed=0).mix_dataset(plain.repeat()), Readings()
    for step, _ in enumerate(mixed.take(count), 1):
        if step % EVERY == 0:
            readings.note()
    return readings


def threads(mix_one):
    def run(count):
        readings = Readings()
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            for thousand in range(count // EVERY):
                drawn = set(pool.map(mix_one, range(thousand * EVERY, (thousand + 1) * EVERY)))
                readings.note()
                readings.all[-1]["repeated"] = EVERY - len(drawn)
        return readings

    return run


LAYER, EYE = MixUp(1.0, seed=0), np.eye(ROWS, dtype="float32")


def mix_numpy(index):
    return LAYER.mix_numpy(X[:ROWS], EYE, seed=(0, index))[1].tobytes()


def call_layer(index):
    return keras.ops.convert_to_numpy(LAYER(X[:ROWS], EYE, training=True)[1]).tobytes()


def batches(count):
    starts = itertools.cycle(range(0, len(X), ROWS))
    return (slice(start, start + ROWS) for start in itertools.islice(starts, count))


def line(name, count, readings):
    first, last = readings.all[0], readings.all[-1]
    change = [f"{first[key]:,} → {last[key]:,}" for key in ("objects", "of the package", TRACED)]
    repeated = sum(reading.get("repeated", 0) for reading in readings.all)
    memory = f"{first['MiB']:.1f} | {last['MiB']:.1f} | {readings.growth():+.3f}"
    return f"| {name} | {count:,} | {last['seconds']:.0f} | {memory} | {' | '.join(change)} | {repeated:,} |"


def main():
    global THREADS
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=50_000, help="of training")
    options.add_argument("--batches", type=int, default=50_000, help="of the datasets, and of the threads")
    options.add_argument("--threads", type=int, default=8)
    options.add_argument("--only", default="", help="the runs whose name holds this")
    options = options.parse_args()
    THREADS = options.threads
    runs = {
        "`fit`": (fit, options.steps),
        "`fit`, no mix": (lambda count: fit(count, mix=False), options.steps),
        "two models in turn": (in_turn, options.steps),
        "two models in turn, no mix": (lambda count: in_turn(count, mix=False), options.steps),
        "`training_step` blocks, eager": (loop, options.steps),
        "`mix_dataset`, 1,000 an epoch": (dataset, options.batches),
        "`mix_dataset(training=False)`": (lambda count: dataset(count, mix=False), options.batches),
        "`mix_dataset`, one iterator": (endless, options.batches),
        f"`mix_numpy`, {THREADS} threads": (threads(mix_numpy), options.batches),
        f"one layer, {THREADS} threads": (threads(call_layer), options.batches),
    }
    lines = [
        f"Keras {keras.__version__} on {BACKEND}, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores; the state after "
        "the first and after the last thousand, growth over the second half.\n",
        "| run | steps or batches | seconds | MiB, first | MiB, last | MiB a thousand | Python objects "
        f"| of the package | {TRACED} | repeated draws |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print(*lines, sep="\n", flush=True)
    kept, target = {}, pathlib.Path(__file__).with_name(f"long_runs_{BACKEND}")
    for name, (run, count) in runs.items():
        if options.only in name:
            readings = run(count)
            kept[name] = {key: [reading[key] for reading in readings.all] for key in readings.all[0]}
            lines.append(line(name, count, readings))
            print(lines[-1], flush=True)
            target.with_suffix(".md").write_text("\n".join(lines) + "\n")
            target.with_suffix(".json").write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
