"""Every test runs under the backend of `KERAS_BACKEND`; one that was asked for and does not load is a failure."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import keras
import numpy as np
import places
import pytest

hypothesis.settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("default")

BACKEND = os.environ["KERAS_BACKEND"]
# What the quick lane leaves out, unless it is marked as `quick`.
SLOW = ("slow", "compiled", "processes")
SLOW_PLACES = (places.compiled, places.in_fit, places.in_map, places.in_parallel_dataset)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run every test, not only the quick lane")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """With `-n` each process keeps to its files, which share what they compile, and takes over from a slower one."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def is_quick_lane(config):
    """Whether nothing was asked for: neither everything, nor a file, a name or a marker."""
    asked = config.option.all or config.option.keyword or config.option.markexpr
    return not asked and config.args_source is not pytest.Config.ArgsSource.ARGS


def is_slow(item):
    if item.get_closest_marker("quick"):
        return False
    place_is_slow = any(value in SLOW_PLACES for value in params(item) if callable(value))
    return place_is_slow or any(item.get_closest_marker(marker) for marker in SLOW)


def params(item):
    return item.callspec.params.values() if hasattr(item, "callspec") else ()


def pytest_collection_modifyitems(config, items):
    if is_quick_lane(config):
        slow = {item for item in items if is_slow(item)}
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]


def pytest_terminal_summary(terminalreporter, config):
    if is_quick_lane(config):
        terminalreporter.write_line(
            "The quick lane. All tests: pytest -n 2 --all, under each KERAS_BACKEND.", bold=True
        )


def pytest_report_header(config):
    import keras_mixup

    return f"keras {keras.__version__} on {keras.backend.backend()}; keras_mixup from {keras_mixup.__file__}"


def pytest_configure(config):
    if keras.backend.backend() != BACKEND:
        raise pytest.UsageError(f"KERAS_BACKEND={BACKEND} was asked for, {keras.backend.backend()} was loaded.")


@pytest.fixture(autouse=True)
def _fresh():
    """Each test starts from the same global random state, and leaves Keras' global settings as they were."""
    from keras_mixup import _step

    with _step.watch():  # takes what is left of a step that an error ended
        pass
    _step.forget()  # or a mix outside any step would be told to the tests after it
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.distribution.set_distribution(None)


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(8, 6, 5, 3)).astype("float32")


@pytest.fixture
def eye():
    """Labels that tell each sample apart: mixed, they are the mixing matrix."""
    return np.eye(8, dtype="float32")


@pytest.fixture
def numpy():
    """Turns a nest of tensors of the backend, or of a dataset, into NumPy arrays."""
    return lambda nest: keras.tree.map_structure(_to_numpy, nest)


def _to_numpy(x):
    return x.numpy() if type(x).__module__.startswith("tensorflow") else keras.ops.convert_to_numpy(x)
