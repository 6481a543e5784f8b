"""Every example that a user can read is run: docstrings, README, and what the notebook has stored."""

import doctest
import importlib
import json
import pathlib
import re
import warnings

import keras
import pytest

import keras_mixup

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = pathlib.Path(keras_mixup.__file__).parent
MODULES = sorted(
    ".".join(("keras_mixup", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in PACKAGE.rglob("*.py")
    if ">>>" in file.read_text()
)
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_every_docstring_example_gives_what_it_says(module):
    """Each gives what it says, on this backend."""
    results = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)

    assert results.attempted
    assert not results.failed


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_every_block_of_readme_runs_by_itself(block, tmp_path, monkeypatch, capsys):
    """Each block runs by itself, as it is pasted; one that is for another backend says so in its first line."""
    wanted = re.match(r"# KERAS_BACKEND=(\w+)", block)
    if wanted and wanted[1] != keras.backend.backend():
        pytest.skip(f"this loop is for {wanted[1]}")
    monkeypatch.chdir(tmp_path)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)  # as `torchrun` sets them
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed")  # Keras, for every tf.data.Dataset
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_readme_has_a_loop_for_every_backend():
    assert set(re.findall(r"# KERAS_BACKEND=(\w+)", README)) == {"tensorflow", "jax", "torch"}


def test_readme_has_blocks_and_working_links():
    """What README points to is there."""
    assert len(BLOCKS) >= 5
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_the_stored_notebook_holds_its_outputs_and_no_error(notebook):
    """Its outputs are saved, hold no error or warning, and no path of a machine."""
    text = notebook.read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]

    assert all(cell["execution_count"] for cell in cells)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/(home|root|tmp|work|usr)/", text)
