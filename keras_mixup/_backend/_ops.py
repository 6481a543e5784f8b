"""The operations of one place."""

MASK = 0xFFFFFFFF  # words of the random source are 32 bit wide


# What a mix may be drawn with: each takes and gives what its namesake in `keras.ops` does, in all three places.
OPERATIONS = frozenset(
    """
    abs absolute add all any arange argmax argmin argsort broadcast_to cast ceil clip concatenate
    convert_to_tensor copy cos cumsum divide einsum equal exp expand_dims expm1 flip floor floor_divide full
    greater greater_equal isfinite isnan less less_equal linspace log log1p logical_and logical_not logical_or
    logical_xor matmul max maximum mean min minimum mod moveaxis multiply negative not_equal one_hot ones
    ones_like power prod reshape roll round shape sign sin sort split sqrt square squeeze stack std subtract sum
    swapaxes take take_along_axis tan tanh tensordot tile transpose var where zeros zeros_like
    """.split()  # noqa: SIM905
)


class Ops:
    """The operations of one place."""

    def __getattr__(self, name):
        if name not in OPERATIONS:
            raise AttributeError(
                f"`ops.{name}` is not there in every place where a layer can mix. These are, as in `keras.ops`: "
                f"{', '.join(sorted(OPERATIONS))}."
            )
        return self._named(name)

    def here(self, x):
        """What Keras has computed, for these operations."""
        return x

    def word(self, x):
        """`x` modulo 2**32."""
        return self.cast(x, "uint32")

    def add_words(self, a, b):
        return a + b

    def weighted_sum(self, x, weight, other, complement):
        """`weight·x + complement·other`. What runs eagerly writes it over `other`, which was gathered for it alone."""
        return weight * x + complement * other
