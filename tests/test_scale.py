"""Several devices and processes, by the frameworks' own engines: each runs in a process of its own."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

ENGINES = pathlib.Path(__file__).parent / "engines"
BACKEND = keras.backend.backend()


def run(engine, *arguments):
    command = [sys.executable, str(ENGINES / f"{engine}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_draws(*of_replicas):
    """No two replicas, and no two steps, drew the same."""
    weights = np.round([weight for replica in of_replicas for step in replica for weight in step], 6)
    assert len(np.unique(weights)) == weights.size


@pytest.mark.skipif(BACKEND != "tensorflow", reason="an engine of TensorFlow")
def test_mirrored_strategy():
    """Each replica draws its own mix, and its labels follow: the loss of the identity is 0."""
    first, second = run("mirrored"), run("mirrored")

    check_draws(*first["inside"])
    check_draws(*first["outside"])
    np.testing.assert_allclose(first["losses"], 0, atol=1e-10)
    assert (first["inside"], first["losses"]) == (second["inside"], second["losses"])


@pytest.mark.skipif(BACKEND != "torch", reason="an engine of PyTorch")
def test_distributed_data_parallel():
    """Ranks draw differently although their layers, and the state that is sent around, are the same."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    ranks = run("distributed_data_parallel", port)

    check_draws(*(rank["drawn"] for rank in ranks))
    np.testing.assert_allclose([rank["losses"] for rank in ranks], 0, atol=1e-10)
    assert run("distributed_data_parallel", port) == ranks


@pytest.mark.skipif(BACKEND != "jax", reason="an engine of JAX")
@pytest.mark.parametrize(("kind", "pairing"), [("MixUp", "shuffle"), ("CutMix", "roll")])
def test_data_parallel_is_what_one_device_does(kind, pairing):
    several, one = (run("data_parallel", devices, kind, pairing) for devices in (8, 1))

    assert several.keys() == one.keys()
    for name, values in several.items():
        np.testing.assert_allclose(values, one[name], rtol=1e-5, err_msg=name)
