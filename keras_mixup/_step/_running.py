"""Find the training step that is running, and whether its backward pass is.

No object that a layer and a loss both see stands for the step they run in; the frame of the step does. The stack is
walked while a step is traced, or run eagerly; compiled steps do not come here again. Only public methods and functions
are looked for: `train_step` and `test_step` of a Keras model, and the functions that compute gradients.
"""

import inspect
import sys
import threading
import types

import keras

from keras_mixup import _ops

TRAIN_STEPS = {"train_step", "tf__train_step"}  # the latter as AutoGraph renames it
STEPS = {*TRAIN_STEPS, "test_step", "tf__test_step"}
BUILDING = "compute_output_spec"  # Keras runs a layer, a loss or a metric on placeholders, to learn shapes

PLACEHOLDERS = object()  # stands for a step in which nothing is mixed


def step_frame():
    """The innermost frame of a `train_step` or `test_step` of a Keras model on the stack, or `None`."""
    for frame in frames():
        if frame.f_code.co_name == BUILDING:
            return PLACEHOLDERS
        if frame.f_code.co_name in STEPS and model_of(frame) is not None:
            return frame
    return None


def is_training(step):
    """Whether a step is the `train_step` of a model."""
    return isinstance(step, types.FrameType) and step.f_code.co_name in TRAIN_STEPS


def model_of(step):
    """The model whose `train_step` or `test_step` a frame is, or `None`: its first argument, whatever its name."""
    if not isinstance(step, types.FrameType):
        return None
    code, first = step.f_code, None
    if code.co_argcount:
        first = step.f_locals.get(code.co_varnames[0])
    elif code.co_flags & inspect.CO_VARARGS:
        first = next(iter(step.f_locals[code.co_varnames[code.co_kwonlyargcount]]), None)
    return first if isinstance(first, keras.Model) else None


def may_repeat_calls():
    """Whether a backward pass may call a layer for the second time on this backend."""
    return bool(_ops.gradient_functions())


def is_backward():
    """Whether this thread computes gradients: a layer that is called now is called for the second time."""
    return _computes_gradients(frames())


def threads_in_backward():
    """The other threads that compute gradients. PyTorch runs the Python of an accelerator's backward pass elsewhere."""
    own = threading.get_ident()
    running = sys._current_frames().items()
    return {thread for thread, frame in running if thread != own and _computes_gradients(frames(frame))}


def running_threads():
    """The numbers of the threads that run."""
    return sys._current_frames().keys()


def frames(frame: types.FrameType | None = None):
    """The running frames of this thread, or those below `frame`, the innermost first."""
    frame = frame or sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _computes_gradients(stack):
    """Whether gradients are computed in the innermost step of this stack."""
    gradients = _ops.gradient_functions()
    if not gradients:
        return False
    for frame in stack:
        # By identity: `torch.compile` runs code that holds dicts, of which there is no hash.
        if any(frame.f_code is code for code in gradients):
            return True
        if frame.f_code.co_name in STEPS and model_of(frame) is not None:
            return False
    return False
