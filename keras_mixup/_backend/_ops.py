"""List the operations that the rest of the package is written against, once for all array libraries."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

WORD = 0xFFFFFFFF  # the largest word of 32 bits, to compute modulo 2**32

Operation = Callable[..., Any]


class Ops:
    """The operations of one array library.

    Those that are annotated take and return what their namesakes in `keras.ops` do. `draw` may use these alone.
    """

    # of each element
    abs: Operation
    absolute: Operation
    add: Operation
    cast: Operation
    ceil: Operation
    clip: Operation
    cos: Operation
    divide: Operation
    equal: Operation
    exp: Operation
    expm1: Operation
    floor: Operation
    floor_divide: Operation
    greater: Operation
    greater_equal: Operation
    isfinite: Operation
    isnan: Operation
    less: Operation
    less_equal: Operation
    log: Operation
    log1p: Operation
    logical_and: Operation
    logical_not: Operation
    logical_or: Operation
    logical_xor: Operation
    maximum: Operation
    minimum: Operation
    mod: Operation
    multiply: Operation
    negative: Operation
    not_equal: Operation
    power: Operation
    round: Operation
    sign: Operation
    sin: Operation
    sqrt: Operation
    square: Operation
    subtract: Operation
    tan: Operation
    tanh: Operation
    where: Operation

    # over axes
    all: Operation
    any: Operation
    argmax: Operation
    argmin: Operation
    argsort: Operation
    cumsum: Operation
    einsum: Operation
    matmul: Operation
    max: Operation
    mean: Operation
    min: Operation
    prod: Operation
    sort: Operation
    std: Operation
    sum: Operation
    tensordot: Operation
    var: Operation

    # of shapes and positions
    broadcast_to: Operation
    concatenate: Operation
    expand_dims: Operation
    flip: Operation
    moveaxis: Operation
    reshape: Operation
    roll: Operation
    shape: Operation
    split: Operation
    squeeze: Operation
    stack: Operation
    swapaxes: Operation
    take: Operation
    take_along_axis: Operation
    tile: Operation
    transpose: Operation

    # new arrays
    arange: Operation
    convert_to_tensor: Operation
    copy: Operation
    full: Operation
    linspace: Operation
    one_hot: Operation
    ones: Operation
    ones_like: Operation
    zeros: Operation
    zeros_like: Operation

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            raise AttributeError(
                f"`ops.{name}` is not there in every place where a layer can mix. These are, as in `keras.ops`: "
                f"{', '.join(sorted(OPERATIONS))}."
            )

    def from_keras(self, x):
        """Convert a Keras tensor to an array of this library."""
        return x

    def word(self, x):
        """`x` modulo 2**32."""
        return self.cast(x, "uint32")

    def add_words(self, a, b):
        """`a + b` modulo 2**32."""
        return a + b

    def shift_right(self, x, bits):
        """The word `x` without its last `bits`."""
        raise NotImplementedError

    def rotate_left(self, x, bits):
        """The word `x` with its first `bits` moved to its end."""
        raise NotImplementedError

    def weighted_sum(self, x, weight, other, complement):
        """`weight·x + complement·other`, which may be written over `other`."""
        return weight * x + complement * other


OPERATIONS = frozenset(Ops.__annotations__)
