"""What a long run leaves behind: memory, objects of this package, tracers, graphs and tensors.

    KERAS_BACKEND=jax python benchmarks/long_runs.py [--steps 50000] [--batches 50000] [--eager 10000] [--only fit]

A tiny model is trained in `fit`, two models in turn by `train_on_batch`, one by a loop written by hand; a dataset is
mixed; many threads mix at once. Beside each of the first and of the datasets runs the same without a mix: what grows
there as well is not of this package. The state is noted after every thousand. Needs Linux, for `/proc/self/statm`.
Every reading goes into `benchmarks/long_runs.json`, beside those of the other backends, and `long_runs.md` is written
from all of them.
"""

import argparse
import concurrent.futures
import gc
import itertools
import json
import os
import pathlib
import platform
import sys
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
TARGET = pathlib.Path(__file__).with_suffix(".json")


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


HEAD = """# Long runs

Written by `benchmarks/long_runs.py`, which says what each run is. The state after the first and after the last
thousand steps or batches; growth in MiB for each thousand, over the second half. Objects are those that Python's
collector follows and that were made since the start of the script.
"""
COLUMNS = ["run", "steps or batches", "seconds", "MiB, first", "MiB, last", "MiB a thousand", "Python objects"]


def about():
    """Date, versions and machine."""
    modules = {"keras": keras, "numpy": np, "tensorflow": tf, BACKEND: sys.modules[BACKEND]}
    versions = ", ".join(f"{name} {module.__version__}" for name, module in modules.items())
    return f"{time.strftime('%Y-%m-%d')}, {versions}, Python {platform.python_version()}, {os.cpu_count()} cores"


def row(name, run):
    """A line of the table, from the readings of a run."""
    first_and_last = [f"{run[key][0]:,} → {run[key][-1]:,}" for key in ("objects", "of the package", run["traced"])]
    cells = [name, f"{run['count']:,}", f"{run['seconds'][-1]:.0f}", run["MiB"][0], run["MiB"][-1]]
    cells += [f"{growth(run['MiB']):+.3f}", *first_and_last, f"{sum(run.get('repeated', [0])):,}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def growth(sizes):
    """MiB for each thousand, over the second half, by least squares."""
    half = sizes[len(sizes) // 2 :]
    return np.polyfit(np.arange(len(half)), half, 1)[0] if len(half) > 1 else np.nan


def section(backend, results):
    traced = next(iter(results["runs"].values()))["traced"]
    columns = [*COLUMNS, "of the package", traced, "repeated draws"]
    lines = [f"\n## {backend}\n\n{results['about']}.\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(row(name, run) for name, run in results["runs"].items())]) + "\n"


def save(name, count, readings):
    """Puts a run beside the others, and writes the tables anew."""
    results = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    mine = results.setdefault(BACKEND, {"runs": {}})
    mine["about"] = about()
    mine["runs"][name] = {"count": count, "traced": TRACED} | {
        key: [reading[key] for reading in readings.all] for key in readings.all[0]
    }
    TARGET.write_text(json.dumps(results) + "\n")
    TARGET.with_suffix(".md").write_text(HEAD + "".join(section(key, results[key]) for key in sorted(results)))
    print(row(name, mine["runs"][name]), flush=True)


def main():
    global THREADS
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=50_000, help="of training")
    options.add_argument("--batches", type=int, default=50_000, help="of the datasets and `mix_numpy`")
    options.add_argument("--eager", type=int, default=10_000, help="steps of blocks, and calls by threads")
    options.add_argument("--threads", type=int, default=8)
    options.add_argument("--only", default="", help="the runs whose name holds this")
    options = options.parse_args()
    THREADS = options.threads
    runs = {
        "`fit`": (fit, options.steps),
        "`fit`, no mix": (lambda count: fit(count, mix=False), options.steps),
        "two models in turn": (in_turn, options.steps),
        "two models in turn, no mix": (lambda count: in_turn(count, mix=False), options.steps),
        "`training_step` blocks, eager": (loop, options.eager),
        "`mix_dataset`, 1,000 an epoch": (dataset, options.batches),
        "`mix_dataset(training=False)`": (lambda count: dataset(count, mix=False), options.batches),
        "`mix_dataset`, one iterator": (endless, options.batches),
        f"`mix_numpy`, {THREADS} threads": (threads(mix_numpy), options.batches),
        f"one layer, {THREADS} threads": (threads(call_layer), options.eager),
    }
    gc.collect()
    gc.freeze()  # what the frameworks have made is not counted, nor walked through after every thousand
    for name, (run, count) in runs.items():
        if options.only in name:
            save(name, count, run(count))


if __name__ == "__main__":
    main()
