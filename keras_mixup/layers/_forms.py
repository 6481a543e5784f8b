"""The forms a batch comes in, `(x)`, `(x, y)`, `(x, y, w)` or a Keras sample dict, and the way back to them."""

from typing import Any, NamedTuple

import keras

from keras_mixup import _backend, _batch_checks

LABEL_KEYS = ("labels", "segmentation_masks")


class Batch(NamedTuple):
    """One batch by its roles. Each of them is a nest of arrays; labels and weights may be `None`."""

    inputs: Any
    labels: Any = None
    sample_weight: Any = None
    masks: Any = None  # that are pasted with the inputs
    sample_keys: Any = None  # the keys of a sample dict, in their order

    def leaves(self):
        """Every array, with a word for its role."""
        roles = {"Inputs": self.inputs, "Labels": self.labels, "Sample weights": self.sample_weight}
        roles["Segmentation masks"] = self.masks
        for role, nest in roles.items():
            if nest is not None:
                yield from ((role, leaf) for leaf in keras.tree.flatten(nest))

    def shapes(self):
        """The shapes of the inputs, as far as they are known."""
        return [tuple(x.shape) for x in keras.tree.flatten(self.inputs)]

    def unlabelled(self):
        """Whether there are no labels: none were given, or `()` said so."""
        return self.labels is None or not keras.tree.flatten(self.labels)

    def repack(self):
        """The batch in the form it came in."""
        if self.sample_keys is not None:
            by_key = {"images": self.inputs, "sample_weights": self.sample_weight, "segmentation_masks": self.masks}
            by_key |= self.labels or {}
            return {key: by_key[key] for key in self.sample_keys}
        if self.sample_weight is None:
            return self.inputs if self.unlabelled() else (self.inputs, self.labels)
        return self.inputs, self.labels, self.sample_weight


def unpack(inputs, labels=None, sample_weight=None, *, pastes=False):
    """Sorts the arguments of a call by their roles, and checks them against each other."""
    if isinstance(inputs, dict) and "images" in inputs:
        _batch_checks.check_sample_keys(inputs)
        _batch_checks.check_no_extra_labels(labels, sample_weight)
        masks = inputs.get("segmentation_masks") if pastes else None
        labels = {key: inputs[key] for key in (("labels",) if pastes else LABEL_KEYS) if key in inputs}
        labels = None if not labels and masks is None else labels
        batch = Batch(inputs["images"], labels, inputs.get("sample_weights"), masks, tuple(inputs))
    else:
        batch = Batch(inputs, labels, sample_weight)
    _batch_checks.check_has_inputs(batch.inputs)
    _batch_checks.check_weights_have_labels(batch.labels, batch.sample_weight)
    for weights in keras.tree.flatten(batch.sample_weight):
        if hasattr(weights, "dtype"):
            _batch_checks.check_weights(_backend.dtype_of(weights))
    return batch
