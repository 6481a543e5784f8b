"""Mix in loaders other than `tf.data`: `MixCollate` for PyTorch, `MixPyDataset` for Keras, `MixMap` for grain.

Each mixes by `layer.mix_numpy`, on the CPU and in the worker. None counts batches in a variable: a worker process
starts with a copy of it, and would repeat what another worker, or another epoch, has drawn.
"""

import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_mixup import _arguments
from keras_mixup.layers import MixLayer
from keras_mixup.layers._pipelines import arguments_of


class MixCollate:
    """Collates the samples of a `torch.utils.data.DataLoader` and mixes the batch; under any Keras backend.

    The draws come from PyTorch's own random numbers, as those of torchvision's transforms do: workers differ, epochs
    differ, persistent workers go on, and one object may serve several loaders. `torch.manual_seed` makes runs repeat;
    with workers the loader's `generator` does too. Ranks of a distributed training differ, even with the same seed.

    Args:
        layer: A mixing layer, such as `MixUp(alpha=0.2, num_classes=10)`.
        collate: A function from a list of samples to a batch; by default `torch.utils.data.default_collate`. The batch
            must be `(x, y)`, `(x, y, sample_weight)` or a Keras sample dict. Where samples are batches already
            (`batch_size=None`): `torch.utils.data.default_convert`.
        training: Boolean. `False` for validation data: nothing is mixed, but labels and dtypes come out as they do for
            the training data.
        dtype: String or `None`, the dtype of the inputs, as for `mix_dataset`; by default the layer's compute dtype, or
            float32 where that is bfloat16, which NumPy lacks.

    Returns:
        When called with samples: the batch as PyTorch tensors on the CPU.

    Raises:
        TypeError, ValueError: for what `layer` cannot mix here, such as integer labels without `num_classes`.

    Example:

    >>> from keras_mixup import MixUp
    >>> from keras_mixup.loaders import MixCollate
    >>> mixup = MixUp(alpha=0.2, num_classes=3)
    >>> train = {"collate_fn": MixCollate(mixup), "batch_size": 32, "shuffle": True, "num_workers": 4}
    >>> val = {"collate_fn": MixCollate(mixup, training=False), "batch_size": 32}

    and then `torch.utils.data.DataLoader(train_set, **train)`, `DataLoader(val_set, **val)`.
    """

    def __init__(
        self,
        layer: MixLayer,
        collate: Callable[[Any], Any] | None = None,
        *,
        training: bool = True,
        dtype: str | None = None,
    ):
        self.layer = _check_layer(self, layer)
        self.collate = collate
        self.training = _arguments.check_flag("training", training)
        self.dtype = dtype
        self._rank: int | None = None

    def __call__(self, samples):
        import torch

        batch = keras.tree.map_structure(_to_numpy, self._collated(samples))
        mixed = _mix(self.layer, batch, self._seed(), self.training, self.dtype)

        def to_torch(x):
            return torch.from_numpy(np.require(x, requirements=["C", "W"]))

        return keras.tree.map_structure(to_torch, mixed)

    def __getstate__(self):
        return {**self.__dict__, "_rank": self._rank_now()}  # a spawned worker knows of no distributed training

    def _collated(self, samples):
        import torch

        if self.collate is not None:
            return self.collate(samples)
        if isinstance(samples, list):
            return torch.utils.data.default_collate(samples)
        raise TypeError(
            "`MixCollate` expected a list of samples to collate.\n"
            f"Received: {type(samples).__name__}.\n"
            "If the samples of the dataset are batches already (`batch_size=None`), say so: "
            "`MixCollate(mixup, torch.utils.data.default_convert)`."
        )

    def _seed(self):
        """A seed for this batch alone, from what PyTorch has seeded in this process."""
        import torch

        # The worker's own seed as well, because a `worker_init_fn` may have set the generators of all of them alike.
        worker = torch.utils.data.get_worker_info()
        draw = torch.randint(2**62, (), device="cpu").item()
        return (self.layer.seed or 0, self._rank_now() or 0, 0 if worker is None else worker.seed, draw)

    def _rank_now(self):
        """The number of this process in a distributed training; `None` where there is none."""
        from torch import distributed

        if self._rank is not None:
            return self._rank
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank()
        return int(os.environ["RANK"]) if "RANK" in os.environ else None  # set by `torchrun`


class MixPyDataset(keras.utils.PyDataset):
    """Mixes the batches of another `keras.utils.PyDataset`.

    The draw is a function of the layer's seed, the epoch and the index of the batch: the same in threads, in worker
    processes and without, and another one in every epoch. (Without a seed of the layer it is a function of
    `keras.utils.set_random_seed`.) `fit` counts the epochs, and so does every loop over the dataset. To resume a
    training, set `epoch`: `batches.epoch = initial_epoch`.

    Do not give `class_weight` to `fit` with it: Keras takes the weight of the greater share of mixed labels. Sample
    weights, as a third part of each batch, are exact.

    Args:
        layer: A mixing layer, such as `MixUp(alpha=0.2, num_classes=10)`.
        dataset: A `keras.utils.PyDataset` of `(x, y)`, `(x, y, sample_weight)` or Keras sample dicts.
        training: As for `MixCollate`.
        dtype: As for `MixCollate`.
        **options: `workers`, `use_multiprocessing` and `max_queue_size`; by default those of `dataset`.

    Raises:
        TypeError, ValueError: for what `layer` cannot mix here, such as integer labels without `num_classes`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_mixup import MixUp
    >>> from keras_mixup.loaders import MixPyDataset
    >>> class Batches(keras.utils.PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return np.ones((4, 2), "float32"), np.array([0, 1, 2, 0])
    >>> batches = MixPyDataset(MixUp(alpha=0.2, num_classes=3, seed=0), Batches(workers=2))
    >>> [(x.shape, y.shape) for x, y in batches]
    [((4, 2), (4, 3)), ((4, 2), (4, 3)), ((4, 2), (4, 3))]
    """

    def __init__(
        self,
        layer: MixLayer,
        dataset: keras.utils.PyDataset,
        *,
        training: bool = True,
        dtype: str | None = None,
        **options: Any,
    ):
        self.layer = _check_layer(self, layer)
        self.dataset = _check_dataset(dataset)
        names = ("workers", "use_multiprocessing", "max_queue_size")
        super().__init__(**{**{name: getattr(dataset, name) for name in names}, **options})
        self.training = _arguments.check_flag("training", training)
        self.dtype = dtype
        self.seed = random.randint(1, 10**9) if layer.seed is None else layer.seed
        self.epoch = 0

    def __len__(self):
        return len(self.dataset)

    @property
    def num_batches(self):
        return self.dataset.num_batches

    def __getitem__(self, index):
        seed = (self.seed, self.epoch, index)
        return _mix(self.layer, self.dataset[index], seed, self.training, self.dtype)

    def __iter__(self):
        indices = itertools.count() if self.num_batches is None else range(self.num_batches)
        try:
            yield from (self[index] for index in indices)
        finally:
            self.epoch += 1

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    # Not at the beginning: Keras starts its workers before it, with a copy of this object.
    def on_epoch_end(self):
        self.dataset.on_epoch_end()
        self.epoch += 1


class MixMap:
    """Mixes the batches of a grain dataset: `dataset.batch(32).random_map(MixMap(mixup))`.

    It is a `grain.transforms.RandomMap`, so `grain.DataLoader` takes it too, after `grain.transforms.Batch`. It draws
    from the generator that grain makes for each batch, of the dataset's seed and the position: a batch read twice is
    the same, worker processes change nothing, a saved iterator goes on where it was. Let grain repeat the epochs,
    `.repeat()`: a dataset without it gives the same mixes whenever it is iterated over.

    Args:
        layer: A mixing layer, such as `MixUp(alpha=0.2, num_classes=10)`.
        training: As for `MixCollate`. With `False` also for `dataset.map`.
        dtype: As for `MixCollate`.

    Raises:
        TypeError, ValueError: for what `layer` cannot mix here, such as integer labels without `num_classes`.

    Example:

    >>> import grain, numpy as np
    >>> from keras_mixup import MixUp
    >>> from keras_mixup.loaders import MixMap
    >>> batches = grain.MapDataset.source([(np.ones(2), i % 3) for i in range(8)]).seed(0).shuffle().batch(4)
    >>> x, y = batches.random_map(MixMap(MixUp(alpha=0.2, num_classes=3)))[0]
    >>> x.shape, y.shape
    ((4, 2), (4, 3))
    """

    def __init__(self, layer: MixLayer, *, training: bool = True, dtype: str | None = None):
        self.layer = _check_layer(self, layer)
        self.training = _arguments.check_flag("training", training)
        self.dtype = dtype
        _become_grain_transform()

    def random_map(self, element, rng):
        return _mix(self.layer, element, rng, self.training, self.dtype)

    def __call__(self, element, rng=None):
        if self.training and rng is None:
            raise TypeError(
                "`MixMap` expected a batch and a generator.\n"
                "Received: a batch alone.\n"
                "Use `dataset.random_map(MixMap(mixup))`. For validation data, where nothing is drawn: "
                "`dataset.map(MixMap(mixup, training=False))`."
            )
        return self.random_map(element, rng)

    def __setstate__(self, state):
        self.__dict__.update(state)
        _become_grain_transform()


def _become_grain_transform():
    """Makes `MixMap` a transform by name, not by base class, so that grain is imported only where it is used."""
    import grain

    grain.transforms.RandomMap.register(MixMap)


def _mix(layer, batch, seed, training, dtype):
    """The batch, mixed or only encoded, in the form that it came in."""
    parts = _parts(batch)
    if dtype is None and layer.compute_dtype == "bfloat16":
        dtype = "float32"
    mixed = layer.mix_numpy(*parts, seed=seed, training=training, dtype=dtype)
    if len(parts) == 2 and not keras.tree.flatten(parts[1]):
        return (mixed,)  # `()` says that there are no labels
    return type(batch)(*mixed) if hasattr(batch, "_fields") else mixed


def _parts(batch):
    """The arguments of a call for a batch."""
    batch = tuple(batch) if isinstance(batch, list) else batch
    if (isinstance(batch, dict) and "images" in batch) or (isinstance(batch, tuple) and len(batch) in (2, 3)):
        return arguments_of(batch)
    raise ValueError(
        "A batch to mix must be `(x, y)`, `(x, y, sample_weight)` or a sample dict with `images` and `labels`.\n"
        f"Received: {batch!r:.200} ({type(batch).__name__}).\n"
        "If there are no labels, say so: `(x, ())`. Take other fields out before the mix and put them back after it, "
        "around `mixup.mix_numpy(x, y, seed=...)`."
    )


def _to_numpy(x):
    """A PyTorch tensor as an array, which shares its memory; anything else as it is."""
    import torch

    if not isinstance(x, torch.Tensor):
        return x
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def _check_layer(owner, layer):
    name = type(owner).__name__
    if not isinstance(layer, MixLayer):
        raise TypeError(
            f"`{name}` expected a mixing layer as its first argument.\nReceived: {layer!r:.80} "
            f"({type(layer).__name__}).\nFor example: `{name}(MixUp(alpha=0.2, num_classes=10), ...)`."
        )
    layer.check_use(f"`{name}`")
    return layer


def _check_dataset(dataset):
    if not isinstance(dataset, keras.utils.PyDataset):
        raise TypeError(
            "`MixPyDataset` expected a `keras.utils.PyDataset` as its second argument.\n"
            f"Received: {dataset!r:.80} ({type(dataset).__name__}).\n"
            "For a `tf.data.Dataset`: `mixup.mix_dataset(dataset)`. For a `DataLoader` of PyTorch: "
            "`collate_fn=MixCollate(mixup)`. For grain: `dataset.random_map(MixMap(mixup))`."
        )
    return dataset
