"""What drawing λ costs: ours beside `keras.random.beta`, eagerly and compiled.

    KERAS_BACKEND=jax python benchmarks/sampling.py

100,000 draws of Beta(0.2, 0.2). Milliseconds, median and half of the range of the middle half of 31 rounds in turn.
"""

import statistics
import time

import keras
import numpy as np

from keras_mixup import functional

DRAWS, ALPHA, BACKEND = (100_000,), 0.2, keras.backend.backend()
GENERATOR = keras.random.SeedGenerator(0)


def ours(seed):
    return functional.draw_weights(functional.random_source(seed), DRAWS, ALPHA)[0]


def theirs(seed):
    return keras.random.beta(DRAWS, ALPHA, ALPHA, seed=GENERATOR)


def compiled(function):
    """By `jax.jit`, or in a `tf.function`; PyTorch has `torch.compile`, which wants a compiler of C++."""
    if BACKEND == "jax":
        import jax

        def pure(seed):
            with keras.StatelessScope(state_mapping=[(GENERATOR.state, keras.ops.stack([seed, seed]))]):
                return function(seed)

        return jax.jit(pure)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return None


def milliseconds(function, seed):
    start = time.perf_counter()
    keras.ops.convert_to_numpy(function(seed))
    return 1e3 * (time.perf_counter() - start)


arms = {("eager", "ours"): ours, ("eager", "keras.random.beta"): theirs}
arms |= {("compiled", name): compiled(arm) for (_, name), arm in list(arms.items()) if compiled(arm)}
times = {name: [] for name in arms}
for number in range(33):
    seed = keras.ops.convert_to_tensor(np.uint32(number) if BACKEND != "torch" else number)
    for name, arm in arms.items():
        times[name].append(milliseconds(arm, seed))
print(f"| {BACKEND} | | ms |", "|---|---|---|", sep="\n")
for (place, name), found in times.items():
    low, _, high = statistics.quantiles(found[2:], n=4)
    print(f"| {place} | {name} | {statistics.median(found[2:]):.2f} ± {(high - low) / 2:.2f} |")
