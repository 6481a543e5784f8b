"""The mix of this step: how it gets from the layer that drew it to the losses and metrics that follow it.

A mix belongs to one training step and may never outlive it: a loss that picks up the mix of another step is
silently wrong. So a mix is noted under the *step* that is running, and found again only from within it. A step
is one of two things:

- a call of `train_step` or `test_step` of a Keras model, which every `fit`, `evaluate` and `train_on_batch` goes
  through on every backend, eager and compiled. It is recognised by its frame on the Python stack, because no
  object that the layer and the loss both see stands for it;
- a `with training_step():` block, for loops written by hand.

Outside any step a mix is not stored, and a block forgets its mix when it ends. Only the fact that the layer mixed is
kept: from then on a `MixLoss` that is called outside a step raises instead of guessing, as long as that layer exists.
"""

import contextlib
import threading
import warnings
import weakref
from typing import Any, NamedTuple

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
    def led_a_loss(self):
        return any(isinstance(follower, keras.losses.Loss) for follower in self.followers)


class Step(dict):
    """The passes of one step, `id(layer) -> Pass`."""

    mixed = False  # by a layer whose pass is over

    def __init__(self):
        super().__init__()
        self.thread = threading.get_ident()
        self.finished = []  # passes of blocks inside it, which a loss has followed there

    def over(self, key):
        done = self.pop(key, None)
        self.mixed = self.mixed or bool(done and done.mixes)
        return done


class Closed(NamedTuple):
    """A step in which a mix was let go of, because the metrics of the layers were asked for their results."""

    model: Any  # weak reference
    code: Any  # of its `train_step`
    names: str  # of the layers


class _Steps(threading.local):
    """What runs in this thread: replicas are traced in threads of their own."""

    def __init__(self):
        self.blocks = []  # open `training_step` blocks, each with the train_step frame around it
        self.closed = {}  # id of a frame -> Closed; not the frame itself, which would keep the batch alive
        self.watchers = []  # lists that take up every pass that is over, see `watch`


_steps = _Steps()
_open: dict = {}  # frame or block -> Step, of all threads: a backward pass may look for its step from another one
_astray: weakref.WeakSet = weakref.WeakSet()  # layers that mixed outside the steps of Keras, in whatever thread
_unrepeated: weakref.WeakSet = weakref.WeakSet()  # layers with a draw that a backward pass may still ask for
_unended: weakref.WeakSet = weakref.WeakSet()  # layers that were warned of, because no model ends their step
_ended: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # layer -> the models that end its step
followers: weakref.WeakSet = weakref.WeakSet()  # every `MixLoss`


class training_step:
    """A training step of a loop written by hand: `MixLoss` and `MixMetric` follow the mix made inside the block.

    Write it around the call of the model, the loss and the metrics, inside the function that is compiled. Inside
    `train_step` of a Keras model it also keeps apart several passes of one step, each with its loss. A backward pass
    that calls a mixing layer again (`keras.RematScope`, `torch.utils.checkpoint`) belongs into the block too.

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
        inside, step = _open.pop(self, Step()), _current()
        if step is _stack.PLACEHOLDERS:
            return
        for key, done in inside.items():
            if step is None:
                _end_of_loop(done, error)
            elif error is None and done.mixes and not done.led_a_loss:
                _hand_on(key, done, step)
            elif error is None:
                _tell(done)
                _take_over(key, done, step)


def _end_of_loop(done, error):
    """What a block in a loop by hand has mixed is astray when it ends."""
    layer = done.layer()
    if error is None and _tell(done):
        return
    if done.drawn and not done.repeats and layer is not None:
        _unrepeated.add(layer)
    if done.mixes and layer is not None:
        _astray.add(layer)
    if error is None and done.mixes and not done.followers:
        warnings.warn(_texts.LEFT.format(name=done.name), stacklevel=3)


def _hand_on(key, done, step):
    """A mix that no loss has followed in its block belongs to the step around it."""
    around = _open.setdefault(step, Step()).setdefault(key, done)
    if around is not done:  # mixed there as well: a loss will say that it cannot tell them apart
        around.mixes += done.mixes
        around.drawn += done.drawn
        around.calls += done.calls


def _take_over(key, done, step):
    """What a block has followed needs no loss in the step around it, but its backward pass may come there."""
    layer = done.layer()
    if layer is None or not (done.mixes or done.drawn):
        return
    around = _open.setdefault(step, Step())
    if done.mixes:
        around.mixed = True
        around.finished.append(done)
    if key in around or _stack.calls_again():
        outer = around.setdefault(key, Pass(layer))
        outer.drawn += done.drawn
        outer.followers += done.followers


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


def forget():
    """Forgets which layers mixed outside any step, or in a block that is over."""
    _astray.clear()
    _unrepeated.clear()


def pass_of(layer):
    """The pass of `layer` in the running step, `None` outside of steps; on placeholders one that nobody will see."""
    step = _current()
    if step is None:
        return None
    if step is _stack.PLACEHOLDERS:
        return Pass(layer)
    _steps.closed.pop(id(step), None)  # a layer that is called begins anew
    return _open.setdefault(step, Step()).setdefault(id(layer), Pass(layer))


def is_building():
    """Whether Keras runs a model on placeholders, to learn shapes."""
    return _stack.step_frame() is _stack.PLACEHOLDERS


def note_mix(layer, mix, shapes):
    """Notes that `layer` has mixed inputs of these shapes."""
    done = pass_of(layer)
    if done is None:
        _astray.add(layer)
    else:
        done.add(mix, shapes)
        warn_if_never_ended(layer)


def note_clean(layer, *, said):
    """Notes that `layer` has passed its inputs on unmixed, and whether it was told to."""
    done = pass_of(layer)
    if done is not None:
        done.clean += 1
        done.unsaid += not said


def note_labelled(layer, mix, shapes):
    """Notes that `layer` has mixed inputs together with their labels: there is nothing to follow."""
    step = _current()
    if step in _steps.blocks or _steps.watchers or _stack.calls_again():  # or nobody would ask
        done = pass_of(layer) or Pass(layer)
        done.labelled += 1
        done.shapes += shapes
        done.drawn.append(mix)


def is_repeated(layer):
    """Whether a backward pass runs the forward pass of `layer` once more, in a step in which it mixed."""
    return _stack.calls_again() and bool(_passes_to_repeat(layer))


def mix_to_repeat(layer):
    """The mix that `layer` drew in this step, if a backward pass runs its forward pass once more; otherwise `None`."""
    if not _stack.calls_again():
        return None
    passes = _passes_to_repeat(layer)
    if not passes and not _stack.is_backward():
        return None
    drawn = [mix for done in passes for mix in done.drawn]
    if len(drawn) != 1 or passes[0].calls_expected != 1 or layer in _unrepeated:
        raise RuntimeError(_texts.RECOMPUTED.format(name=layer.name))
    passes[0].repeats += 1
    return drawn[0]


def _passes_to_repeat(layer):
    """The passes in which `layer` drew a mix and to which a backward pass belongs, if one is running."""
    step = _current()
    if _stack.is_backward():
        here = _drawn_in([step, getattr(step, "around", None)], layer)
        return here or _drawn_in(
            [s for s, passes in list(_open.items()) if passes.thread != threading.get_ident()], layer
        )
    if step is not None:
        return []
    threads = _stack.threads_in_backward() if _open else ()
    return _drawn_in([s for s, passes in list(_open.items()) if passes.thread in threads], layer)


def _drawn_in(steps, layer):
    """What `layer` did in these steps, where it drew a mix."""
    passes = [_open.get(step, {}).get(id(layer)) for step in steps]
    return [done for done in passes if done is not None and done.drawn]


def end(layer):
    """Drops what `layer` did in the running step, which is over. Returns the warning to give, or `None`."""
    step = _current()
    passes = _open.get(step, Step())
    done = passes.over(id(layer))
    mixes = [*passes.finished, *([done] if done is not None and done.mixes else ())]
    if mixes and _stack.model_of(step) is not None:
        _close(step, mixes)
    if not passes:
        _open.pop(step, None)
    if done is None or _tell(done):
        return None
    if done.mixes and not done.led_a_loss and layer not in _unended:
        return _texts.UNFOLLOWED.format(name=done.name)
    mixed = passes.mixed or any(other.mixes for other in passes.values())
    if done.unsaid and not mixed and _stack.is_training(step):
        return _texts.UNSAID.format(name=done.name)
    return None


def _close(step, mixes):
    """Remembers that a loss which comes later in this step would be too late."""
    alive = {id(frame) for frame in _stack.frames()}
    _steps.closed = {key: closed for key, closed in _steps.closed.items() if key in alive}
    _steps.closed[id(step)] = Closed(weakref.ref(_stack.model_of(step)), step.f_code, _names(mixes))


def mix_to_follow(follower):
    """The one mix of the running step (of the layer that `follower` names), or `None` if nothing was mixed.

    Raises:
        RuntimeError: if there are several, or none can be told to be the right one.
    """
    step = _current()
    if step is None:
        _refuse_astray(follower)
    inside = _open.get(step, Step())
    if step not in (None, _stack.PLACEHOLDERS) and not any(done.mixes for done in inside.values()):
        _refuse_elsewhere(follower, step, inside)
    passes = [done for done in inside.values() if done.mixes]
    if not passes:
        _refuse_late(follower, step, inside.finished)
        return None
    if follower.layer is not None:
        known, passes = passes, [done for done in passes if done.name == follower.layer]
        if not passes:
            raise RuntimeError(_texts.UNKNOWN.format(name=follower.layer, names=_names(known)))
    if len(passes) > 1:
        raise RuntimeError(_texts.SEVERAL.format(names=_names(passes), first=passes[0].name))
    _check_calls(passes[0])
    passes[0].followers.append(follower)
    return passes[0].mixes[0]


def lack_of_mix(name):
    """Says why the loss `name` meets no mix in the running step; `None` if that may well be right."""
    step = _current()
    passes = _open.get(step, Step())
    if _steps.watchers or any(done.unsaid for done in passes.values()):
        return None
    if _stack.is_training(step):
        clean = [done for done in passes.values() if done.clean]
        text = _texts.TOLD_NOT if clean else _texts.NEVER_MET
        return text.format(name=name, names=_names(clean))
    return _texts.EMPTY_BLOCK.format(name=name) if step in _steps.blocks and not passes else None


def _check_calls(done):
    if done.calls != done.calls_expected:
        text = _texts.TWICE if done.calls_expected == 1 else _texts.POSITIONS
        raise RuntimeError(text.format(name=done.name, calls=done.calls, expected=done.calls_expected))
    if done.clean:
        raise RuntimeError(_texts.CLEAN.format(name=done.name))


def _refuse_elsewhere(follower, step, inside):
    """In a step in which nothing was mixed, while something was around it, or before it."""
    is_block = step in _steps.blocks
    if inside and not is_block:
        return
    own = [passes for passes in list(_open.values()) if passes.thread == threading.get_ident()]
    around = [done for passes in own for key, done in passes.items() if done.mixes and key not in inside]
    if around:
        raise RuntimeError(_texts.ELSEWHERE.format(name=type(follower).__name__, names=_names(around)))
    if _astray and is_block and not inside:
        raise RuntimeError(_texts.BEFORE_BLOCK.format(name=type(follower).__name__, names=_names(_astray)))


def _refuse_astray(follower):
    """Outside any step, once a layer has mixed outside one, or while another thread is in a step with a mix."""
    running = _stack.running_threads() if _open else ()
    others = [passes for passes in list(_open.values()) if passes.thread in running]
    elsewhere = [done for passes in others for done in passes.values() if done.mixes]
    if _astray or elsewhere:
        raise RuntimeError(_texts.ASTRAY.format(name=type(follower).__name__, names=_names([*_astray, *elsewhere])))


def _refuse_late(follower, step, finished):
    """In a step whose mix was let go of before, or ended with a block inside it."""
    if finished:
        raise RuntimeError(_texts.AFTER_BLOCK.format(name=type(follower).__name__, names=_names(finished)))
    closed = _steps.closed.get(id(step))
    if closed is None or closed.model() is not _stack.model_of(step) or closed.code is not step.f_code:
        return  # or the frame of another step, in the same place of memory
    raise RuntimeError(_texts.LATE.format(name=type(follower).__name__, names=closed.names))


def warn_if_never_ended(layer):
    """Tells of the lack of a loss at once where the end of a step may not be seen.

    A model that overrides `metrics`, or a `train_step` that does not read them, does not say when its step is over.
    """
    step = _current()
    if layer in _unended or not _stack.is_training(step) or _steps.watchers:
        return
    model = _stack.model_of(step)
    if type(model).train_step is keras.Model.train_step and _is_ended(step, layer):
        return
    if _cannot_follow(model):
        _unended.add(layer)
        warnings.warn(_texts.UNFOLLOWED.format(name=layer.name), stacklevel=3)


def _is_ended(step, layer):
    """Whether the metrics of the model in whose step `layer` is called end the step of the layer."""
    model, known = _stack.model_of(step), _ended.setdefault(layer, weakref.WeakSet())
    if model not in known and any(metric is layer._end_of_step for metric in model.metrics):
        known.add(model)
    return model in known


def _cannot_follow(model):
    """Whether no loss of this model can follow a mix: it has losses, all without `MixLoss`, or there is none at all."""
    if not followers:
        return True
    if not model.compiled or model.loss is None:
        return False
    return not any(isinstance(x, keras.losses.Loss) and x in followers for x in _owned(model))


def _owned(model):
    """What a model holds, one by one or in lists and dicts."""
    for value in (model.loss, *vars(model).values()):
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _tell(done):
    """Whether somebody watches: they learn of the pass."""
    for over in _steps.watchers:
        over.append(done)
    return bool(_steps.watchers)


def _current():
    """The innermost running step, or `None`. What is left of steps that an error has ended is dropped."""
    frame = _stack.step_frame()
    if _open:
        _drop_dead()
    if frame is not _stack.PLACEHOLDERS and _steps.blocks and _steps.blocks[-1].around is frame:
        return _steps.blocks[-1]
    return frame


def _drop_dead():
    """Drops the steps of this thread that nobody ended: an error did, or the model overrides `metrics`."""
    alive = {*_stack.frames(), *_steps.blocks}
    for step in [s for s, passes in list(_open.items()) if passes.thread == threading.get_ident() and s not in alive]:
        for done in _open.pop(step).values():
            if not _tell(done):
                _warn_of_dead(step, done)


def _warn_of_dead(step, done):
    layer = done.layer()
    if layer is None or not done.mixes or done.led_a_loss:
        return
    _astray.add(layer)
    if layer not in _unended and _stack.is_training(step) and not _is_ended(step, layer):
        _unended.add(layer)
        warnings.warn(_texts.UNFOLLOWED.format(name=done.name), stacklevel=2)


def _names(layers):
    return ", ".join(sorted(repr(layer.name) for layer in layers))
