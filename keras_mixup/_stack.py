"""What the Python stack tells about a call: the training step it belongs to, and who asked for it.

No object that a layer and a loss both see stands for the step they run in; the frame of the step does. The stack is
walked while a step is traced, or run eagerly; compiled steps do not come here again.
"""

import itertools
import os
import sys
import sysconfig
import types

import keras

TRAIN_STEPS = {"train_step", "tf__train_step"}  # the latter as AutoGraph renames it
STEPS = {*TRAIN_STEPS, "test_step", "tf__test_step"}
BUILDING = "compute_output_spec"  # Keras runs a layer, a loss or a metric on placeholders, to learn shapes
# The backward pass runs a rematerialised forward pass again: PyTorch's checkpoint in both its kinds, TensorFlow's.
RECOMPUTING = {"recompute_fn", "CheckpointFunction.backward", "inner_recompute_grad"}
# Where Python and installed packages live, and this package.
PATHS = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]
INSTALLED = (*PATHS, os.path.dirname(__file__), "<frozen")
# Of these, what calls the user's own code while it traces it.
TRACERS = ("tensorflow", "jax", "torch", "contextlib.py", "functools.py")

PLACEHOLDERS = object()  # stands for a step in which nothing is mixed


def step_frame():
    """The innermost frame of a `train_step` or `test_step` of a Keras model on the stack, or `None`."""
    for frame in frames():
        if frame.f_code.co_name == BUILDING:
            return PLACEHOLDERS
        if frame.f_code.co_name in STEPS and isinstance(frame.f_locals.get("self"), keras.Model):
            return frame
    return None


def is_training(step):
    """Whether a step is the `train_step` of a model."""
    return isinstance(step, types.FrameType) and step.f_code.co_name in TRAIN_STEPS


def is_recomputing():
    """Whether a backward pass runs a forward pass again, because its activations were not kept."""
    return any(RECOMPUTING.intersection((frame.f_code.co_name, frame.f_code.co_qualname)) for frame in frames())


def callers():
    """The nearest frames of the user's own code: what knows a loop again that mixes and then asks a loss.

    They end at installed code that runs unrelated things one after another, a test runner or a notebook's kernel; not
    at a framework that traces a function of the user's. The frames themselves are not kept, with all that they hold.
    """
    installed = lambda frame: frame.f_code.co_filename.startswith(INSTALLED)
    own = itertools.takewhile(
        lambda frame: not installed(frame) or _traces(frame), itertools.dropwhile(installed, frames())
    )
    return [(id(frame), frame.f_code) for frame in own if not installed(frame)]


def running():
    """Every running frame, as `callers` knows them."""
    return {(id(frame), frame.f_code) for frame in frames()}


def frames():
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _traces(frame):
    place = frame.f_code.co_filename
    folder = max((path for path in PATHS if place.startswith(path)), key=len, default="")
    return place[len(folder) :].lstrip(os.sep).split(os.sep)[0] in TRACERS
