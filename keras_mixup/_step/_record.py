"""What each layer did in a step."""

import threading
import weakref

import keras


class Record:
    """What one layer did in one step."""

    def __init__(self, layer):
        self.layer = weakref.ref(layer)
        self.name = layer.name
        self.calls_expected = layer.num_positions
        self.calls = 0  # that train
        self.position = None  # which of them mixes, if several are expected
        self.mixes = []
        self.clean = 0  # calls that did not mix
        self.training_not_given = 0  # of these, calls that were not told whether they train
        self.labelled = 0  # calls that mixed their labels themselves
        self.drawn = []  # every mix, followed or not: what a backward pass that calls the layer again must get
        self.repeats = 0  # calls of a backward pass that got one of them again
        self.followers = []  # losses and metrics
        self.shapes = []  # of the inputs, call by call

    def add(self, mix, shapes):
        """Takes up the mix of a call, and the shapes of its inputs."""
        self.mixes.append(mix)
        self.drawn.append(mix)
        self.count(shapes)

    def count(self, shapes):
        """Counts a call that trains."""
        self.calls += 1
        self.shapes += shapes

    @property
    def has_loss(self):
        return any(isinstance(follower, keras.losses.Loss) for follower in self.followers)


class Records(dict):
    """The records of one step, `id(layer) -> Record`."""

    mixed = False  # by a layer whose pass is over

    def __init__(self):
        super().__init__()
        self.thread = threading.get_ident()
        self.finished = []  # records of blocks inside it, which a loss has followed there

    def close(self, key):
        record = self.pop(key, None)
        self.mixed = self.mixed or bool(record and record.mixes)
        return record
