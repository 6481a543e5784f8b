"""What mixing sends between the devices of a `keras.distribution` on JAX, as the compiled training step says it.

    KERAS_BACKEND=jax python benchmarks/collectives.py

A small classifier on batches of 32 images, float32, sharded over 2, 4 and 8 virtual devices of the CPU. Prints a table,
and saves it as `benchmarks/collectives.md`. Gradients, losses and metrics are summed over the devices with or without
mixing (`all-reduce`), and left out.
"""

import collections
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ENGINE = HERE.parent / "tests" / "engines" / "data_parallel.py"
CASES = [f"{kind} {pairing} data" for pairing in ("shuffle", "roll", "local") for kind in ("MixUp", "CutMix", "FMix")]


def sent(devices):
    """For each case, the bytes that a device receives in a step by each kind of operation."""
    command = [sys.executable, str(ENGINE), str(devices), *CASES]
    runs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    for case in CASES:
        bytes_by = collections.Counter()
        for name, size in runs[case]["collectives"]:
            if name != "all-reduce":
                bytes_by[name] += size
        yield case.split()[:2], ", ".join(f"{name} {size:,}" for name, size in bytes_by.items()) or "nothing"


def main():
    lines = ["| layer | pairing | devices | bytes a device receives |", "|---|---|---|---|"]
    for devices in (2, 4, 8):
        lines += [f"| {kind} | {pairing} | {devices} | {found} |" for (kind, pairing), found in sent(devices)]
    table = "\n".join([*lines, "", f"One image has {16 * 16 * 3 * 4:,} bytes, the batch {32 * 16 * 16 * 3 * 4:,}.", ""])
    (HERE / "collectives.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
