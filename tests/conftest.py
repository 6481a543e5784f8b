"""Every test runs under the backend of `KERAS_BACKEND`; one that was asked for and does not load is a failure."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import keras
import numpy as np
import pytest

hypothesis.settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("default")

BACKEND = os.environ["KERAS_BACKEND"]


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
