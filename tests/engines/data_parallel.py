"""`keras.distribution` on several devices of JAX, or on one.

For each "layer pairing layout" prints the losses of a training, the bytes that its compiled step sends between the
devices, and the mixing matrix of a call, with how far the mixed inputs are off from it.
"""

import json
import math
import os
import pathlib
import re
import sys
import tempfile

devices, cases = int(sys.argv[1]), sys.argv[2:]
dump = pathlib.Path(tempfile.mkdtemp())
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count={devices} "
    f"--xla_dump_to={dump} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*train_step.*"
)

import keras
import numpy as np

import keras_mixup
from keras_mixup import MixLoss, MixMetric

COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
X, Y = np.random.default_rng(0).uniform(size=(64, 16, 16, 3)).astype("float32"), np.arange(64) % 4


def distribution(layout):
    if devices == 1:
        return None
    if layout == "data":
        return keras.distribution.DataParallel()
    mesh = keras.distribution.DeviceMesh((devices // 2, 2), ["batch", "model"], keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*dense.*kernel"] = (None, "model")
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


def collectives(program):
    """`[name, bytes that each device receives]` of each of them in the compiled step (everything here has 4 bytes)."""
    found = []
    for shapes, name in re.findall(rf"= (\S.*?) ({COLLECTIVES})(?:-start)?\(", program):
        sizes = [math.prod(map(int, filter(None, s.split(",")))) for s in re.findall(r"\w\[([\d,]*)\]", shapes)]
        found.append([name, 4 * sum(sizes)])
    return found


def trained(kind, pairing, layout):
    keras.distribution.set_distribution(distribution(layout))
    keras.utils.set_random_seed(0)
    layer = getattr(keras_mixup, kind)(1.0, seed=0, pairing=pairing)
    model = keras.Sequential([keras.Input(X.shape[1:]), layer, keras.layers.Flatten(), keras.layers.Dense(4)])
    loss = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile("adam", loss, metrics=[MixMetric("accuracy")])
    history = model.fit(X, Y, batch_size=32, epochs=3, verbose=0, shuffle=False).history
    programs = list(dump.glob("*after_optimizations.txt"))
    found = collectives("".join(path.read_text() for path in programs))
    for path in programs:
        path.unlink()
    mixed, matrix = map(np.asarray, layer(X[:32], np.eye(32, dtype="float32"), training=True))
    off = np.abs(mixed - np.tensordot(matrix, X[:32], 1)).mean(axis=(1, 2, 3)).max()
    return {"history": history, "collectives": found, "matrix": matrix.tolist(), "off": float(off)}


print(json.dumps({case: trained(*case.split()) for case in cases}))
