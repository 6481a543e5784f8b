"""Conventions of the package, checked on the package itself."""

import ast
import inspect
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_mixup

PACKAGE = pathlib.Path(keras_mixup.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = [keras_mixup.CutMix, keras_mixup.FMix, keras_mixup.GridMix, keras_mixup.ManifoldMixUp, keras_mixup.MixUp]
LAYERS += [keras_mixup.RandomMix, keras_mixup.SaliencyMix]
CLASSES = [*LAYERS, keras_mixup.MixLoss, keras_mixup.MixMetric]
PAIRINGS = [
    keras_mixup.Local,
    keras_mixup.Roll,
    keras_mixup.Shuffle,
    keras_mixup.Nearby,
    keras_mixup.OtherClass,
    keras_mixup.SameClass,
]
LOADERS = [keras_mixup.loaders.MixCollate, keras_mixup.loaders.MixMap, keras_mixup.loaders.MixPyDataset]
REQUIRED = {
    keras_mixup.ManifoldMixUp: {"num_positions": 2},
    keras_mixup.RandomMix: {"layers": [keras_mixup.MixUp()]},
    keras_mixup.MixLoss: {"loss": "mse"},
    keras_mixup.MixMetric: {"metric": "mse"},
}

# What a module may import of the package: those to the left of it.
ORDER = ["_backend", "_arguments", "_random", "_step", "pairing", "functional"]
ORDER += ["_grid", "_follow", "_wrapper", "losses", "metrics", "_follow_mix", "layers"]
ORDER += ["loaders", "model_check", "schedules", "monitoring", "evaluation", "plotting"]


def imported(tree):
    """The modules that a file imports, at its top or anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file):
    """No module imports one that stands above it, nor the package itself, nor anything private of Keras."""
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    names = set(imported(ast.parse(file.read_text())))

    assert not {name for name in names if name.startswith("keras.src")}
    assert own == "_backend" or "tensorflow" not in names
    if own != "__init__":
        assert "keras_mixup" not in names or names & {f"keras_mixup.{module}" for module in ORDER}
        rooms = {name.split(".")[1] for name in names if name.startswith("keras_mixup.")}
        assert {room for room in rooms if ORDER.index(room) > ORDER.index(own)} == set()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_arguments_are_attributes_and_config_keys(cls):
    """What one gives to the constructor can be read from the object and from its config."""
    made = cls(**REQUIRED.get(cls, {}))
    arguments = [name for name, p in inspect.signature(cls).parameters.items() if p.kind is not p.VAR_KEYWORD]

    for name in arguments:
        assert hasattr(made, name)
        assert name in made.get_config()
    assert all(p.kind is p.KEYWORD_ONLY for p in list(inspect.signature(cls).parameters.values())[1:-1])


def test_the_table_of_contents_is_complete():
    """`__all__` is sorted, and everything in it has a docstring."""
    assert keras_mixup.__all__ == sorted(keras_mixup.__all__)
    assert all(inspect.getdoc(getattr(keras_mixup, name)) for name in keras_mixup.__all__)


@pytest.mark.parametrize(
    "cls",
    [*CLASSES, *PAIRINGS, *LOADERS, keras_mixup.follow_mix, keras_mixup.training_step],
    ids=lambda cls: cls.__name__,
)
def test_public_docstrings_have_an_example(cls):
    """The example is run by `test_docs.py`."""
    assert ">>>" in cls.__doc__


def test_classes_are_registered_under_lasting_names():
    """Saved files carry these names: they may never change."""
    names = [keras.saving.get_registered_name(cls) for cls in CLASSES + PAIRINGS]

    assert names == [f"keras_mixup>{cls.__name__}" for cls in CLASSES + PAIRINGS]


LOADING = """
import sys, keras, numpy as np
modules = {"tensorflow", "jax", "torch", "grain", "matplotlib.figure", "pandas"}
for module in modules - {keras.backend.backend()}:  # what Keras loads by itself
    sys.modules.pop(module, None)
before = set(sys.modules)
loaded = lambda: print(*sorted(modules & (set(sys.modules) - before)))
import keras_mixup, keras_mixup.loaders, keras_mixup.plotting, keras_mixup.evaluation, keras_mixup.monitoring
loaded()
keras_mixup.MixUp(num_classes=2).mix_numpy(np.ones((4, 2)), np.array([0, 1, 0, 1]), seed=0)
loaded()
keras_mixup.plotting.show_weights([1.0], draws=10)
loaded()
"""


@pytest.mark.processes
def test_other_packages_are_loaded_only_where_they_are_used():
    """Neither importing the package nor mixing NumPy arrays loads a framework, a loader or Matplotlib.

    Drawing loads Matplotlib, which proves that the test can tell. One fresh interpreter for all.
    """
    run = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True)

    imported, mixed, drawn = run.stdout.splitlines()
    assert (imported, mixed) == ("", "")
    assert drawn == "matplotlib.figure"


@pytest.mark.skipif("KERAS_MIXUP_INSTALLED" not in os.environ, reason="run on the checkout")
def test_the_installed_package_is_tested():
    """The tests import the wheel, with its marker for type checkers."""
    assert "site-packages" in PACKAGE.parts
    assert (PACKAGE / "py.typed").exists()
