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
LAYERS += [keras_mixup.RandomMix]
CLASSES = [*LAYERS, keras_mixup.MixLoss, keras_mixup.MixMetric]
PAIRINGS = [keras_mixup.Nearby, keras_mixup.OtherClass, keras_mixup.SameClass]
LOADERS = [keras_mixup.loaders.MixCollate, keras_mixup.loaders.MixMap, keras_mixup.loaders.MixPyDataset]
REQUIRED = {
    keras_mixup.ManifoldMixUp: {"num_positions": 2},
    keras_mixup.RandomMix: {"layers": [keras_mixup.MixUp()]},
    keras_mixup.MixLoss: {"loss": "mse"},
    keras_mixup.MixMetric: {"metric": "mse"},
}

# What a module may import of the package: those to the left of it.
ORDER = ["_ops", "_checks", "_batch_checks", "_texts", "_step", "_random", "functional"]
ORDER += ["_grid", "_label_checks", "_follow", "_wrapper", "losses", "metrics", "_follow_mix", "pairing", "layers"]
ORDER += ["loaders", "model_check", "plotting"]


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
    assert own == "_ops" or "tensorflow" not in names
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


def loaded_by(statement, module):
    """Whether a fresh interpreter that has imported Keras loads the module when it runs the statement."""
    code = f"import sys, keras\nsys.modules.pop({module!r}, None)\n{statement}\nprint({module!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip() == "True"


def test_pictures_import_matplotlib_only_when_drawn():
    """Importing all of the package loads no Matplotlib; drawing does, which proves that the test can tell."""
    everything = "import keras_mixup, keras_mixup.plotting"

    assert not loaded_by(everything, "matplotlib.figure")
    assert loaded_by(f"{everything}; keras_mixup.plotting.show_weights([1.0], draws=10)", "matplotlib.figure")


@pytest.mark.parametrize("module", ["torch", "grain"])
def test_loaders_import_theirs_only_when_used(module):
    """Importing all of the package loads neither PyTorch, under another backend, nor grain."""
    if module == keras.backend.backend():
        pytest.skip("Keras itself imports it")

    assert not loaded_by("import keras_mixup.loaders", module)


@pytest.mark.skipif("KERAS_MIXUP_INSTALLED" not in os.environ, reason="run on the checkout")
def test_the_installed_package_is_tested():
    """The tests import the wheel, with its marker for type checkers."""
    assert "site-packages" in PACKAGE.parts
    assert (PACKAGE / "py.typed").exists()
