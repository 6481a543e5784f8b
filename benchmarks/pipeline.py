"""What mixing a batch of images costs, beside the least that memory allows and beside other implementations.

    pip install keras-aug kornia
    KERAS_BACKEND=jax python benchmarks/pipeline.py [--quick]

In a `tf.data` map under any backend; on NumPy arrays; and, compiled, on JAX, eagerly on PyTorch. All arms of a row take
turns in one process. Prints a table, and saves it as `benchmarks/pipeline_<backend>.md`. Milliseconds a batch: the
median of the rounds, and half of the range of the middle half of them. The floor is the time that a copy of the batch
takes, for each byte, times the bytes that have to be moved: both samples are read, the result is written as float32.
"""

import argparse
import functools
import importlib
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from keras_mixup import MixUp

CLASSES = 10
BACKEND = keras.backend.backend()


def batch(rows, size, dtype):
    x = np.random.default_rng(0).integers(0, 256, (rows, size, size, 3), "uint8").astype(dtype)
    return x, np.eye(CLASSES, dtype="float32")[np.arange(rows) % CLASSES]


def formula(x, y, beta, permutation, take, cast):
    """As it is usually written: cast, gather, blend."""
    x = cast(x)
    weight = beta(x)
    partner = permutation(x)
    w = weight[:, None, None, None]
    return w * x + (1 - w) * take(x, partner), weight[:, None] * y + (1 - weight[:, None]) * take(y, partner)


def tensorflow_formula(x, y):
    rows = tf.shape(x)[0]

    def beta(x):
        a, b = (tf.random.gamma((rows,), 0.2) for _ in range(2))
        return tf.math.divide_no_nan(a, a + b)

    def permutation(x):
        return tf.random.shuffle(tf.range(rows))

    return formula(x, y, beta, permutation, tf.gather, lambda x: tf.cast(x, "float32"))


def maps(x, y, parallel):
    """Arms that are datasets: a round takes some elements of each."""
    dataset = tf.data.Dataset.from_tensors((x, y)).repeat()
    arms = {
        "copy": dataset.map(lambda x, y: (x + tf.ones((), x.dtype), y), parallel),
        "formula": dataset.map(tensorflow_formula, parallel),
        "ours": MixUp(0.2, seed=0).mix_dataset(dataset, num_parallel_calls=parallel),
    }
    samples = dataset.map(lambda x, y: {"images": x, "labels": y})
    if BACKEND == "tensorflow":
        theirs = keras.layers.MixUp(0.2)
        arms["keras.layers.MixUp"] = samples.map(lambda sample: theirs(sample, training=True), parallel)
    if aug := optional("keras_aug.layers.vision"):
        theirs_too = aug.MixUp(0.2)
        arms["keras-aug"] = samples.map(lambda sample: theirs_too(sample), parallel)
    return {name: functools.partial(elements, arm) for name, arm in arms.items()}


def elements(dataset, count):
    iterator = iter(dataset)
    next(iterator)
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    return (time.perf_counter() - start) / count


def arrays(x, y):
    """Arms that are functions of NumPy arrays."""
    mixup, rng = MixUp(0.2), np.random.default_rng(0)

    def beta(x):
        return rng.beta(0.2, 0.2, len(x)).astype("float32")

    def permutation(x):
        return rng.permutation(len(x))

    def as_float(x):
        return x.astype("float32", copy=False)

    arms = {
        "copy": lambda: x.copy(),
        "formula": lambda: formula(x, y, beta, permutation, lambda x, i: x[i], as_float),
        "ours": lambda: mixup.mix_numpy(x, y, seed=rng),
    }
    return {name: functools.partial(calls, arm) for name, arm in arms.items()}


def on_jax(x, y):
    """Arms that are compiled."""
    import jax

    mixup, key = MixUp(0.2), jax.random.key(0)
    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)

    def plain(x, y, seed):
        keys = jax.random.split(jax.random.fold_in(key, seed))

        def beta(x):
            return jax.random.beta(keys[0], 0.2, 0.2, (len(x),))

        def permutation(x):
            return jax.random.permutation(keys[1], len(x))

        return formula(x, y, beta, permutation, lambda x, i: x[i], lambda x: x.astype("float32"))

    arms = {
        "copy": lambda x, y, seed: x + 1,
        "formula": plain,
        "ours": lambda x, y, seed: mixup(x, y, training=True, seed=seed),
    }
    jitted = {name: jax.jit(arm) for name, arm in arms.items()}
    seed = jax.numpy.asarray(1)

    def run(arm):
        return lambda: jax.block_until_ready(arm(x, y, seed))

    return {name: functools.partial(calls, run(arm)) for name, arm in jitted.items()}


def on_torch(x, y):
    """Arms that run eagerly."""
    import torch

    mixup, x, y = MixUp(0.2), torch.as_tensor(x), torch.as_tensor(y)

    def beta(x):
        return torch.distributions.Beta(0.2, 0.2).sample((len(x),))

    def permutation(x):
        return torch.randperm(len(x))

    def in_place():
        weight, partner = beta(x), permutation(x)
        w, own, other = weight[:, None, None, None], x.float(), x[partner].float()
        return (own * w).add_(other.mul_(1 - w)), (y * weight[:, None]).add_(y[partner].mul_(1 - weight[:, None]))

    arms = {
        "copy": lambda: x.clone(),
        "formula": lambda: formula(x, y, beta, permutation, lambda x, i: x[i], lambda x: x.float()),
        "formula in place": in_place,
        "ours": lambda: mixup(x, y, training=True),
    }
    if kornia := optional("kornia.augmentation"):
        theirs, images = kornia.RandomMixUpV2(p=1.0, data_keys=["input", "class"]), x.float().permute(0, 3, 1, 2)
        arms["kornia"] = lambda: theirs(images, y.argmax(1))
    return {name: functools.partial(calls, arm) for name, arm in arms.items()}


def calls(function, count):
    function()
    start = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - start) / count


def optional(module):
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def measure(arms, rounds, count):
    """Milliseconds of each arm, one row a round; the order changes from round to round."""
    rng, times = np.random.default_rng(0), {name: [] for name in arms}
    for arm in arms.values():
        arm(1)
    for _ in range(rounds):
        for name in rng.permutation(list(arms)):
            times[name].append(1e3 * arms[name](count))
    return times


def row(place, dtype, rows, size, times):
    item = np.dtype(dtype).itemsize
    floor = np.median(times["copy"]) * (2 * item + 4) / (2 * item)
    for name, values in times.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        spread = f"{middle:.2f} ± {(high - low) / 2:.2f}"
        yield f"| {place} | {dtype} | {rows} × {size}² | {name} | {spread} | {middle / floor:.2f} |"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="batches of (64, 224, 224, 3) only")
    options.add_argument("--rounds", type=int, default=9)
    options = options.parse_args()
    shapes = [(64, 224)] if options.quick else [(64, 32), (256, 32), (64, 224), (256, 224), (64, 384), (256, 384)]
    places = {f"tf.data map, {n} at a time": functools.partial(maps, parallel=n) for n in (1, 2)} | {"NumPy": arrays}
    places |= {"jax": {"JAX, jitted": on_jax}, "torch": {"PyTorch, eager": on_torch}}.get(BACKEND, {})
    lines = ["| place | dtype | batch | | ms | of the floor |", "|---|---|---|---|---|---|"]
    print(*lines, sep="\n")
    for place, make in places.items():
        for rows, size in shapes:
            for dtype in ("float32", "uint8"):
                arms, count = make(*batch(rows, size, dtype)), 20 if size == 32 else 3
                for line in row(place, dtype, rows, size, measure(arms, options.rounds, count)):
                    lines.append(line)
                    print(line, flush=True)
    target = pathlib.Path(__file__).with_name(f"pipeline_{BACKEND}.md")
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
