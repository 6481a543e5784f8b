"""The mix of this step: how it gets from the layer that drew it to the losses and metrics that follow it.

A mix belongs to one training step and may never outlive it: a loss that picks up the mix of another step is
silently wrong. So a mix is noted under the *step* that is running, and found again only from within it. A step
is one of two things:

- a call of `train_step` or `test_step` of a Keras model, which every `fit`, `evaluate` and `train_on_batch` goes
  through on every backend, eager and compiled. It is recognised by its frame on the Python stack, because no
  object that the layer and the loss both see stands for it;
- a `with training_step():` block, for loops written by hand.

Outside of both only the *fact* of a mix is kept, with who called for it: a loss that the same caller asks says that it
does not know what to follow.
"""

import contextlib
import threading
import warnings
import weakref

import keras

from keras_mixup import _stack, _texts


class Pass:
    """What one layer did in one step."""

    def __init__(self, layer):
        self.layer = weakref.ref(layer)
        self.name = layer.name
        self.calls_expected = layer.num_positions
        self.calls = 0  # that train
        self.position = None  # which of them mixes, if several are expected
        self.mixes = []
        self.clean = 0  # calls that did not mix
        self.unsaid = 0  # of these, calls that were not told whether they train
        self.labelled = 0  # calls that mixed their labels themselves
        self.followers = []  # losses and metrics
        self.shapes = []  # of the inputs, call by call

    def add(self, mix, shapes):
        """Takes up the mix of a call, and the shapes of its inputs."""
        self.mixes.append(mix)
        self.count(shapes)

    def count(self, shapes):
        """Counts a call that trains."""
        self.calls += 1
        self.shapes += shapes

    @property
    def led_a_loss(self):
        return any(isinstance(follower, keras.losses.Loss) for follower in self.followers)


class Step(dict):
    """The passes of one step, `id(layer) -> Pass`."""

    mixed = False  # by a layer whose pass is over

    def over(self, key):
        done = self.pop(key, None)
        self.mixed = self.mixed or bool(done and done.mixes)
        return done


class _Steps(threading.local):
    """The running steps of this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.blocks = []  # open `training_step` blocks, each with the train_step frame around it
        self.steps = {}  # frame or block -> Step
        self.watchers = []  # lists that take up every pass that is over, see `watch`


_steps = _Steps()
_astray: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # layer that mixed outside of any step -> callers


class training_step:
    """A training step of a loop written by hand: `MixLoss` and `MixMetric` follow the mix made inside the block.

    Write it around the call of the model, the loss and the metrics, inside the function that is compiled. Inside
    `train_step` of a Keras model it also keeps apart several passes of one step, each with its loss.

    >>> import keras, numpy as np
    >>> from keras_mixup import MixLoss, MixUp, training_step
    >>> model = keras.Sequential([keras.Input((3,)), MixUp(seed=0), keras.layers.Dense(2)])
    >>> loss_fn = MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> with training_step():
    ...     loss = loss_fn(np.array([0, 1, 1]), model(np.eye(3, dtype="float32"), training=True))
    >>> loss.shape == ()
    True
    """

    def __enter__(self):
        self.around = _stack.step_frame()
        _steps.blocks.append(self)
        return self

    def __exit__(self, error, *details):
        _steps.blocks.remove(self)
        inside, step = _steps.steps.pop(self, Step()), _current()
        if error is not None or step is _stack.PLACEHOLDERS:
            return
        for key, done in inside.items():
            if done.mixes and not done.led_a_loss:
                _hand_on(key, done, step)
            else:
                _tell(done)
                _take_over(key, done, _steps.steps.get(step, Step()))


def _hand_on(key, done, step):
    """A mix that no loss has followed in its block belongs to the step around it; if there is none, it is astray."""
    if step is not None:
        around = _steps.steps.setdefault(step, Step()).setdefault(key, done)
        if around is not done:  # mixed there as well: a loss will say that it cannot tell them apart
            around.mixes += done.mixes
            around.calls += done.calls
        return
    layer = done.layer()
    if layer is not None:
        _astray[layer] = _stack.callers()
    if not _tell(done) and not done.followers:
        warnings.warn(_texts.LEFT.format(name=done.name), stacklevel=3)


def _take_over(key, done, around):
    """What a block has followed needs no loss in the step around it."""
    around.mixed = around.mixed or bool(done.mixes)
    if key in around:
        around[key].followers += done.followers


@contextlib.contextmanager
def watch():
    """Takes up every pass that is over, instead of warning of it."""
    over: list[Pass] = []
    _steps.watchers.append(over)
    try:
        yield over
        _current()  # lets go of what no layer has ended, and tells
    finally:
        _steps.watchers.remove(over)


def pass_of(layer):
    """The pass of `layer` in the running step, `None` outside of steps; on placeholders one that nobody will see."""
    step = _current()
    if step is None:
        return None
    if step is _stack.PLACEHOLDERS:
        return Pass(layer)
    return _steps.steps.setdefault(step, Step()).setdefault(id(layer), Pass(layer))


def note_mix(layer, mix, shapes):
    """Notes that `layer` has mixed inputs of these shapes."""
    done = pass_of(layer)
    if done is None:
        _astray[layer] = _stack.callers()
    else:
        done.add(mix, shapes)


def note_clean(layer, *, said):
    """Notes that `layer` has passed its inputs on unmixed, and whether it was told to."""
    done = pass_of(layer)
    if done is not None:
        done.clean += 1
        done.unsaid += not said


def note_labelled(layer, shapes):
    """Notes, for those who watch, that `layer` has mixed inputs together with their labels: there is none to follow."""
    done = pass_of(layer) if _steps.watchers else None
    if done is not None:
        done.labelled += 1
        done.shapes += shapes


def mix_recomputed(layer):
    """The mix that `layer` made, if the backward pass runs its forward pass once more; otherwise `None`."""
    if not _stack.is_recomputing():
        return None
    done = pass_of(layer)
    if done is None or len(done.mixes) != 1 or done.calls_expected != 1:
        raise RuntimeError(_texts.RECOMPUTED.format(name=layer.name))
    return done.mixes[0]


def end(layer):
    """Drops what `layer` did in the running step, which is over. Returns the warning to give, or `None`."""
    step = _current()
    passes = _steps.steps.get(step, Step())
    done = passes.over(id(layer))
    if not passes:
        _steps.steps.pop(step, None)
    if done is None or _tell(done):
        return None
    if done.mixes and not done.led_a_loss:
        return _texts.UNFOLLOWED.format(name=done.name)
    mixed = passes.mixed or any(other.mixes for other in passes.values())
    if done.unsaid and not mixed and _stack.is_training(step):
        return _texts.UNSAID.format(name=done.name)
    return None


def mix_to_follow(follower):
    """The one mix of the running step (of the layer that `follower` names), or `None` if nothing was mixed.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _current()
    if step is None:
        _refuse_astray()
    inside = _steps.steps.get(step, Step())
    if step in _steps.blocks and not inside:
        _refuse_elsewhere(follower)
    passes = [done for done in inside.values() if done.mixes]
    if follower.layer is not None and passes:
        known, passes = passes, [done for done in passes if done.name == follower.layer]
        if not passes:
            raise RuntimeError(_texts.UNKNOWN.format(name=follower.layer, names=_names(known)))
    if not passes:
        return None
    if len(passes) > 1:
        raise RuntimeError(_texts.SEVERAL.format(names=_names(passes), first=passes[0].name))
    _check_calls(passes[0])
    passes[0].followers.append(follower)
    return passes[0].mixes[0]


def lacks_mix():
    """Whether the running step is the `train_step` of a model in which no layer mixed, or was left in the dark."""
    step = _current()
    passes = _steps.steps.get(step, Step())
    return _stack.is_training(step) and not _steps.watchers and not any(done.unsaid for done in passes.values())


def _check_calls(done):
    if done.calls != done.calls_expected:
        text = _texts.TWICE if done.calls_expected == 1 else _texts.POSITIONS
        raise RuntimeError(text.format(name=done.name, calls=done.calls, expected=done.calls_expected))
    if done.clean:
        raise RuntimeError(_texts.CLEAN.format(name=done.name))


def _refuse_elsewhere(follower):
    around = [done for passes in _steps.steps.values() for done in passes.values() if done.mixes]
    if around:
        raise RuntimeError(_texts.ELSEWHERE.format(name=type(follower).__name__, names=_names(around)))


def _refuse_astray():
    running = _stack.running()
    astray = [layer for layer, callers in _astray.items() if running.intersection(callers)]
    if astray:
        raise RuntimeError(_texts.ASTRAY.format(names=_names(astray)))


def _tell(done):
    """Whether somebody watches: they learn of the pass."""
    for over in _steps.watchers:
        over.append(done)
    return bool(_steps.watchers)


def _current():
    """The innermost running step, or `None`. What is left of steps that an error has ended is dropped."""
    frame = _stack.step_frame()
    if _steps.steps:
        alive = set(_stack.frames())
        for step in [s for s in _steps.steps if s not in alive and s not in _steps.blocks]:
            for done in _steps.steps.pop(step).values():
                _tell(done)
    if frame is not _stack.PLACEHOLDERS and _steps.blocks and _steps.blocks[-1].around is frame:
        return _steps.blocks[-1]
    return frame


def _names(layers):
    return ", ".join(sorted(repr(layer.name) for layer in layers))
