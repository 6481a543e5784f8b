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

The stack is walked while a step is traced, or run eagerly; compiled steps do not come here again.
"""

import itertools
import os
import sys
import sysconfig
import threading
import types
import weakref

import keras

STEP_NAMES = {"train_step", "test_step", "tf__train_step", "tf__test_step"}  # the latter as AutoGraph renames them
# Where Python and installed packages live, and this package.
PATHS = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]
INSTALLED = (*PATHS, os.path.dirname(__file__), "<frozen")
BUILDING = "compute_output_spec"  # Keras runs a layer, a loss or a metric on placeholders, to learn shapes


class Pass:
    """What one layer did in one step."""

    def __init__(self, layer):
        self.name = layer.name
        self.mixes = []
        self.clean = 0
        self.losses = 0  # that followed


class _Steps(threading.local):
    """The running steps of this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.blocks = []  # open `training_step` blocks, each with the train_step frame around it
        self.passes = {}  # step -> {id(layer): Pass}


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
        self.around = _step_frame()
        _steps.blocks.append(self)
        return self

    def __exit__(self, *error):
        _steps.blocks.remove(self)
        inside = _steps.passes.pop(self, {})
        for key, outside in _steps.passes.get(_current(), {}).items():
            outside.losses += inside[key].losses if key in inside else 0


def note(layer, mix):
    """Notes that `layer` has mixed with `mix`, or passed its inputs on unmixed (`None`), in the running step."""
    step = _current()
    if step is _PLACEHOLDERS:
        return
    if step is None:
        if mix is not None:
            _astray[layer] = _callers()
        return
    done = _steps.passes.setdefault(step, {}).setdefault(id(layer), Pass(layer))
    if mix is None:
        done.clean += 1
    else:
        done.mixes.append(mix)


def forget(layer):
    """Drops what `layer` did in the running step, which is over. Tells whether its mix, if any, was followed."""
    step = _current()
    passes = _steps.passes.get(step, {})
    done = passes.pop(id(layer), None)
    if not passes:
        _steps.passes.pop(step, None)
    return done is None or not done.mixes or done.losses > 0


def mix_to_follow(name=None, *, loss):
    """The one mix of the running step (of the layer of that name), or `None` if nothing was mixed.

    `loss`: whether it is a loss that asks; what no loss asks for is warned of at the end of the step.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _current()
    if step is None:
        running = {(id(frame), frame.f_code) for frame in _frames()}
        astray = [layer for layer, callers in _astray.items() if running.intersection(callers)]
        if astray:
            raise RuntimeError(_ASTRAY.format(names=_names(astray)))
    passes = [p for p in _steps.passes.get(step, {}).values() if p.mixes]
    if name is not None and passes:
        known, passes = passes, [p for p in passes if p.name == name]
        if not passes:
            raise RuntimeError(_UNKNOWN.format(name=name, names=_names(known)))
    if not passes:
        return None
    if len(passes) > 1:
        raise RuntimeError(_SEVERAL.format(names=_names(passes), first=passes[0].name))
    done = passes[0]
    if len(done.mixes) > 1:
        raise RuntimeError(_TWICE.format(name=done.name, calls=len(done.mixes)))
    if done.clean:
        raise RuntimeError(_CLEAN.format(name=done.name))
    done.losses += loss
    return done.mixes[0]


def _current():
    """The innermost running step, or `None`. What is left of steps that an error has ended is dropped."""
    frame = _step_frame()
    if _steps.passes:
        alive = set(_frames())
        for step in [s for s in _steps.passes if s not in alive and s not in _steps.blocks]:
            del _steps.passes[step]
    if frame is not _PLACEHOLDERS and _steps.blocks and _steps.blocks[-1].around is frame:
        return _steps.blocks[-1]
    return frame


_PLACEHOLDERS = object()  # stands for a step in which nothing is mixed


def _step_frame():
    """The innermost frame of a `train_step` or `test_step` of a Keras model on the stack, or `None`."""
    for frame in _frames():
        if frame.f_code.co_name == BUILDING:
            return _PLACEHOLDERS
        if frame.f_code.co_name in STEP_NAMES and isinstance(frame.f_locals.get("self"), keras.Model):
            return frame
    return None


def _callers():
    """The nearest run of frames of the user's own code: what knows a loop again that mixes and then asks a loss.

    It ends at installed code (a test runner, a notebook's kernel), which runs unrelated things one after another. The
    frames themselves are not kept, with all that they hold.
    """
    installed = lambda frame: frame.f_code.co_filename.startswith(INSTALLED)
    own = itertools.takewhile(lambda frame: not installed(frame), itertools.dropwhile(installed, _frames()))
    return [(id(frame), frame.f_code) for frame in own]


def _frames():
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _names(layers):
    return ", ".join(sorted(repr(layer.name) for layer in layers))


_SEVERAL = (
    "Several layers mixed in this step: {names}. Expected one mix a step for each loss, because from the loss "
    "layers in series and in parallel look alike. Ways out: mix once, in front of the branches; one `RandomMix([...])` "
    "instead of several layers; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, for parallel branches "
    "with a loss each, name the layer that a loss follows, `MixLoss(..., layer={first!r})`."
)
_TWICE = (
    "Layer {name!r} mixed {calls} times in this step (shared between branches, inside `TimeDistributed`, or called "
    "in several passes). Expected one mix a step, because a loss cannot tell which one its predictions come from. "
    "Ways out: mix once, in front of the branches; mix in the input pipeline, `mixup.mix_dataset(dataset)`; or, in "
    "your own `train_step`, put each pass and its loss into a `with keras_mixup.training_step():` block."
)
_CLEAN = (
    "Layer {name!r} was called both with training=True and without in this step, and the loss cannot tell which of "
    "the two passes its predictions come from. Put the mixed pass and its loss into a block of their own: "
    "`with keras_mixup.training_step(): loss = loss_fn(y, model(x, training=True))`, and the clean pass outside of it."
)
_UNKNOWN = "No layer of the name {name!r} mixed in this step. Received: layer={name!r}; layers that mixed: {names}."
UNFOLLOWED = (
    "Layer {name!r} mixed its inputs, but no loss followed: the labels stay as they are, and blended inputs are "
    "trained on hard targets. Wrap the loss, `loss=MixLoss(keras.losses.SparseCategoricalCrossentropy())`, and the "
    "metrics, `metrics=[MixMetric('accuracy')]`. If there are no labels to follow, say so where the layer is called: "
    "`mixup(x, labels=())`."
)
_ASTRAY = (
    "Inputs were mixed outside of a training step ({names} called with training=True), and a `MixLoss` or `MixMetric` "
    "that is called outside of one cannot tell whether its predictions come from that mix. In a training loop of your "
    "own say where a step begins and ends: `with keras_mixup.training_step(): loss = loss_fn(y, model(x, "
    "training=True))`. The same block around a clean pass, `model(x)`, says that nothing was mixed there."
)
