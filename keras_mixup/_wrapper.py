"""Answer Keras as the wrapped loss or metric does."""

from typing import ClassVar

import keras

from keras_mixup import _arguments


class Choice:
    """Checks an argument that is one of a few values whenever it is assigned."""

    def __init__(self, *values):
        self.values = values

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, wrapper, owner=None):
        return self if wrapper is None else vars(wrapper)[self.name]

    def __set__(self, wrapper, value):
        vars(wrapper)[self.name] = _arguments.check_choice(self.name, value, self.values)


class Wrapper:
    """Base of `MixLoss` and `MixMetric`.

    Keras reads more from a loss or a metric than it documents, such as the direction in which a metric improves.
    What the wrapper lacks is therefore read from the wrapped object.
    """

    wraps = ""  # name of the argument, the attribute and the config key that hold the wrapped object
    defaults: ClassVar[dict] = {}  # of the other arguments

    pairwise = Choice(None, True, False)
    by = Choice(None, "sample", "element")

    def _remember(self, identifier, layer, pairwise, by):
        """Keeps the arguments as they were given: they are the config."""
        self._identifier = identifier
        self.layer = layer
        self.pairwise = pairwise
        self.by = by
        self.followed_by = None  # "sample" or "element", as it was in the last step that was traced

    def __getattr__(self, name):
        wrapped = vars(self).get(self.wraps)
        if wrapped is None or name.startswith("__"):  # not there yet, or a protocol of Python's
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(wrapped, name)

    def __repr__(self):
        said = "".join(
            f", {key}={getattr(self, key)!r}" for key, value in self.defaults.items() if getattr(self, key) != value
        )
        return f"<{type(self).__name__}({self._wrapped_name()}) name={self.name}{said}>"

    def __str__(self):
        return repr(self)

    def _wrapped_name(self):
        if isinstance(self._identifier, str) or not callable(self._identifier):
            return self._identifier
        return getattr(self._identifier, "__name__", type(self._identifier).__name__)

    def get_config(self):
        return {
            self.wraps: keras.saving.serialize_keras_object(self._identifier),
            **{key: getattr(self, key) for key in self.defaults},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, cls.wraps: keras.saving.deserialize_keras_object(config[cls.wraps])})


def check_not_wrapped(wrapper, wrapped):
    """What is wrapped twice would follow twice."""
    if isinstance(wrapped, type(wrapper)):
        raise TypeError(
            f"`{type(wrapper).__name__}` wraps a plain loss or metric. Received: {wrapped!r}. Use it as it is."
        )
