"""Choose the framework that Keras runs on, once."""

import keras

from keras_mixup._backend._framework import Framework


def _framework():
    """Import the answers of the framework. Keras on NumPy or OpenVINO, which cannot train, has none of its own."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_mixup._backend._on_tensorflow import OnTensorFlow

        return OnTensorFlow()
    if backend == "jax":
        from keras_mixup._backend._on_jax import OnJax

        return OnJax()
    if backend == "torch":
        from keras_mixup._backend._on_torch import OnTorch

        return OnTorch()
    return Framework()


FRAMEWORK = _framework()
