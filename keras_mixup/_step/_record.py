"""What each layer did in a step."""

import threading
import weakref

import keras


class Record:
    """What one layer did in one step."""

    def __init__(self, layer):
        self.key = id(layer)
        self.layer = weakref.ref(layer)
        self.name = layer.name
        self.calls_expected = getattr(layer, "num_positions", 1)
        self.calls = 0  # that train
        self.position = None  # which of them mixes, if several are expected
        self.mixes = []
        self.clean = 0  # calls that did not mix
        self.training_not_given = 0  # of these, calls without `training`
        self.labelled = 0  # calls that mixed their labels themselves
        self.drawn = []  # every mix, followed or not: a backward pass that calls the layer again gets it again
        self.repeats = 0  # calls of a backward pass that got one of them
        self.followers = []  # losses and metrics
        self.shapes = []  # of the inputs, call by call

    def add(self, mix, shapes):
        """Adds the mix of a call, and the shapes of its inputs."""
        self.mixes.append(mix)
        self.drawn.append(mix)
        self.count(shapes)

    def count(self, shapes):
        """Counts a call that trains."""
        self.calls += 1
        self.shapes += shapes

    @property
    def has_loss(self):
        """Whether a loss followed the mix; a metric is not enough."""
        return any(isinstance(follower, keras.losses.Loss) for follower in self.followers)


class Records(dict):
    """The records of one step, `id(layer) -> Record`."""

    def __init__(self):
        super().__init__()
        self.thread = threading.get_ident()
        self.mixed = False  # by a layer whose record is closed
        self.followed_in_blocks = []  # records of the blocks inside it

    def of(self, layer):
        """The record of a layer, which begins now if there is none."""
        record = self.get(id(layer))
        if record is None:
            record = self[id(layer)] = Record(layer)
        return record

    def close(self, layer):
        """Takes the record of a layer out, if there is one."""
        record = self.pop(id(layer), None)
        if record is not None and record.mixes:
            self.mixed = True
        return record
