"""`check`: run one training step without lasting effect, and report which losses and metrics follow the mix."""

import contextlib
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mixup import _backend, _step
from keras_mixup.losses import MixLoss
from keras_mixup.metrics import MixMetric


class Report(NamedTuple):
    """What `check` has found; print it.

    Args:
        layers: dict, the name of each mixing layer and the shapes of the inputs that it mixed; an empty list if it
            did not mix.
        losses: dict, each loss and the name of the layer whose mix it followed, or `None`.
        metrics: dict, each metric and the name of the layer whose mix it followed, or `None`.
        advice: list of strings, what to change.
        by: dict with the keys `"losses"` and `"metrics"`, each a dict like those: how the labels followed, by
            `"sample"`, one λ for all labels of a sample, or by `"element"`, each label by the owner of its element.
    """

    layers: dict[str, list]
    losses: dict[str, str | None]
    metrics: dict[str, str | None]
    advice: list[str]
    by: dict[str, dict[str, str | None]]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to change."""
        return not self.advice

    def __str__(self):
        return "\n".join(
            [
                *("Mixing layers", *_rows(self.layers, _mixed)),
                *("Losses", *self._followed("losses")),
                *("Metrics", *self._followed("metrics")),
                *([f"-> {line}" for line in self.advice] or ["Nothing to change."]),
            ]
        )

    def _followed(self, kind):
        by = self.by[kind]
        rows = {
            name: f"follows {layer!r} by {by[name]}" if layer else "follows no mix"
            for name, layer in getattr(self, kind).items()
        }
        return _rows(rows, str)


def check(model: keras.Model, x: Any, y: Any = None, sample_weight: Any = None) -> Report:
    """Runs one training step on a batch, and reports what was mixed and which losses and metrics followed.

    Variables of the model, its optimizer and its metrics are as before when it returns, the random states of its
    layers too. (Layers that draw from Keras' global generator, without a seed of their own, advance it.) The step
    runs eagerly, whatever the model was compiled for.

    Args:
        model: A compiled `keras.Model`.
        x: One batch of inputs, as for `model.train_on_batch`.
        y: Its labels.
        sample_weight: Its weights.

    Returns:
        A `Report` to print; `report.ok` is true if there is nothing to change.

    Raises:
        RuntimeError: whatever the training step itself raises, such as for two mixing layers in one step.

    Example:

    >>> import keras, numpy as np, keras_mixup
    >>> model = keras.Sequential([keras.Input((4,)), keras_mixup.MixUp(name="mix"), keras.layers.Dense(3)])
    >>> loss = keras_mixup.MixLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> model.compile("sgd", loss, metrics=["accuracy"])
    >>> print(keras_mixup.check(model, np.ones((6, 4)), np.array([0, 1, 2, 0, 1, 2])))
    Mixing layers
      mix: mixed (6, 4), rank 2
    Losses
      sparse_categorical_crossentropy: follows 'mix' by sample
    Metrics
      accuracy: follows no mix
    -> Metric 'accuracy' compares predictions for mixed inputs with unmixed labels: wrap it, MixMetric('accuracy').
    """
    _check_compiled(model)
    _check_one_batch(model, x, y)
    with _unchanged(model, x), _step.watch() as records:
        model.train_on_batch(x, y, sample_weight)
    blind = [
        line for record in records if record.calls_expected > 1 for line in _blind_outputs(model, x, record.layer())
    ]
    followed = {id(follower): record.name for record in records for follower in record.followers}
    by = {id(follower): follower.followed_by for record in records for follower in record.followers}
    losses, metrics = _losses(model), _metrics(model)
    if not losses:  # the model has its own `train_step`
        losses = {f.name: f for record in records for f in record.followers if isinstance(f, MixLoss)}
    layers: dict[str, list] = {name: [] for name in _step.mixing_layers(model)}
    for record in records:
        layers[record.name] = layers.get(record.name, []) + record.shapes
    return Report(
        layers,
        {name: followed.get(id(loss)) for name, loss in losses.items()},
        {name: followed.get(id(metric)) for name, metric in metrics.items()},
        [*_advice(layers, records, losses, metrics, followed), *blind],
        {
            "losses": {name: by.get(id(loss)) for name, loss in losses.items()},
            "metrics": {name: by.get(id(metric)) for name, metric in metrics.items()},
        },
    )


def _check_compiled(model):
    if not isinstance(model, keras.Model) or not model.compiled:
        raise ValueError(
            '`check` runs a training step, so it needs a compiled Keras model: `model.compile("adam", '
            f"loss=MixLoss(...))`. Received: {type(model).__name__}."
        )


def _check_one_batch(model, x, y):
    """`check` takes arrays of one batch, and labels where a loss needs them."""
    if hasattr(x, "element_spec") or hasattr(x, "__next__") or isinstance(x, keras.utils.PyDataset):
        raise TypeError(
            f"`check` runs a training step on one batch. Received: {type(x).__name__}.\n"
            "Option: `x, y = next(iter(dataset)); check(model, x, y)`."
        )
    if y is None and model.loss is not None:
        raise ValueError(
            "`check` runs a training step, and the model was compiled with a loss, which needs labels. Received: "
            "y=None.\nOption: `check(model, x, y)`."
        )


def _build(model, x):
    """Makes the variables that the first training step would make."""
    if not model.built:
        model(x)
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


@contextlib.contextmanager
def _unchanged(model, x):
    """Makes the model train eagerly in the block, and restores all of it afterwards."""
    values = _values(model)
    _build(model, x)
    values = {**_values(model), **values}
    options = {name: getattr(model, name) for name in ("run_eagerly", "jit_compile", "train_function")}
    model.run_eagerly, model.jit_compile, model.train_function = True, False, None
    try:
        with _backend.framework_state_kept(model.trainable_variables), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in options.items():
            setattr(model, name, value)
        model.reset_metrics()  # for those that the step has made
        for variable, value in values.values():
            variable.assign(value)


def _values(model):
    """Every variable and a copy of its value."""
    groups = [model.variables, model.metrics_variables, model.optimizer.variables if model.optimizer else []]
    return {id(v): (v, np.array(keras.ops.convert_to_numpy(v))) for group in groups for v in group}


def _losses(model):
    """The losses of a compiled model under the names of their outputs; one alone under its own."""
    if not keras.tree.is_nested(model.loss):
        return {} if model.loss is None else {_name(model.loss): model.loss}
    found = {}
    for path, loss in keras.tree.flatten_with_path(model.loss):
        if loss is not None:
            found["/".join(map(str, path))] = loss
    names = getattr(model, "output_names", None)
    if isinstance(model.loss, list | tuple) and names:
        found = {names[int(path)] if path.isdigit() else path: loss for path, loss in found.items()}
    return found


def _metrics(model):
    """The metrics given to `compile`, and `MixMetric`s wherever they are."""
    found: dict[str, keras.metrics.Metric] = {}
    for group in model.metrics:
        compiled = getattr(group, "metrics", [group] if isinstance(group, MixMetric) else [])
        for metric in compiled:
            found[metric.name if metric.name not in found else f"{metric.name} ({len(found)})"] = metric
    return found


def _advice(layers, records, losses, metrics, followed):
    if not any(layers.values()):
        untold = [text for text in map(_step.lack_of_training, records) if text]
        yield from untold or [_NOT_TRAINED.format(names=", ".join(map(repr, layers))) if layers else _NO_LAYER]
        return
    if all(record.labelled for record in records if record.shapes):
        return
    for name, loss in losses.items():
        if id(loss) not in followed:
            yield _LOSS.format(name=name, wrapped=_wrapped("MixLoss", loss))
    for name, metric in metrics.items():
        if id(metric) not in followed:
            yield _METRIC.format(name=name, wrapped=_wrapped("MixMetric", metric.name))
    if not losses and not followed and any(record.mixes for record in records):
        yield _NO_LOSS


def _blind_outputs(model, x, layer):
    """Advice for outputs that do not depend on the mix at one of the depths where `layer` may mix."""
    clean, *mixed = (_outputs(model, x, layer, position) for position in range(layer.num_positions + 1))
    for name in clean:
        seen = [not np.array_equal(outputs[name], clean[name]) for outputs in mixed]
        if any(seen) and not all(seen):
            depths = ", ".join(str(depth) for depth, sees in enumerate(seen, 1) if not sees)
            yield _BLIND.format(output=name, layer=layer.name, depths=depths)


def _outputs(model, x, layer, position):
    """The outputs by name of a training pass in which `layer` mixes at this position; 0 for none."""
    with _unchanged(model, x), _step.watch(), layer.mixing_at(position), _step.training_step():
        outputs = model(x, training=True)
        if not isinstance(outputs, dict):
            outputs = {f"output {i}": output for i, output in enumerate(keras.tree.flatten(outputs))}
        return {name: keras.ops.convert_to_numpy(output) for name, output in outputs.items()}


def _wrapped(wrapper, wrapped):
    return f"{wrapper}({wrapped!r})" if isinstance(wrapped, str) else f"{wrapper}({_name(wrapped)})"


def _name(loss):
    return loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "loss")


def _mixed(shapes):
    if not shapes:
        return "mixed nothing"
    return "mixed " + ", ".join(f"{shape}, rank {len(shape)}" for shape in shapes)


def _rows(found, describe):
    return [f"  {name}: {describe(what)}" for name, what in found.items()] or ["  none"]


_NO_LAYER = (
    "The model has no mixing layer. Add one: `keras.Sequential([keras.Input(...), MixUp(alpha=0.2), ...])`. If the "
    "batches are mixed in the input pipeline, there is nothing to follow, and the plain losses are right."
)
_NOT_TRAINED = (
    "{names}: called with training=False, or not at all, in the training step. Call it with training=True, or remove "
    "it."
)
_LOSS = (
    "Loss {name!r} compares predictions for mixed inputs with unmixed labels: wrap it, {wrapped}, or wrap all "
    'losses and metrics, `compile("adam", **follow_mix(loss=..., metrics=[...]))`. If its output does not depend on '
    "the mixed inputs, leave it as it is."
)
_METRIC = "Metric {name!r} compares predictions for mixed inputs with unmixed labels: wrap it, {wrapped}."
_NO_LOSS = (
    "No loss followed the mix. In your own `train_step`, call a `MixLoss` on the predictions. If there are no "
    "labels to follow, say so in the call of the layer: `mixup(x, labels=())`."
)
_BLIND = (
    "Output {output!r} does not depend on what {layer!r} mixes at depth {depths}, but its labels would follow that "
    "mix. Call {layer!r} only before the outputs branch off, and set num_positions to the number of its calls."
)
