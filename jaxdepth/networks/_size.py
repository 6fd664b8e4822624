"""A width or a depth that shares its compilation with others: its value, and the largest of all."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdepth._misc import check_integer, is_traced, refuse


class Size(eqx.Module):
    """A number of units or layers inside arrays padded to the largest that any network has.

    Shapes are static, so that networks of different sizes would each be a compilation. Of a
    `Size`, `max` fixes the shapes and `value`, which may be traced, says how much of them is in
    use: `jax.vmap` over values runs all sizes in one program. It goes wherever `MLP.padded` takes
    a width or a depth, and into its `max_sizes`, where it counts as `max`; and as the depth of a
    `Sawtooth`, whose `max_depth` it brings along. Padding changes no result beyond rounding, and
    where value = max there is none.

    Attributes:
        value: the size, an integer from 1 to `max`. It may be traced: out of range it gives a
            network of NaN.
        max: the largest size that shares the compilation, a Python int, static.

    Raises:
        ValueError: a `max` that is no positive integer, a concrete `value` outside 1 … `max`, a
            traced one that is no integer scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxdepth.networks import MLP
        >>> def output(units, layers):
        ...     width, depth = Size(units, max=16), Size(layers, max=3)
        ...     sizes = (1, *[width] * depth.max, 1)
        ...     net = MLP.padded(sizes, width=width, depth=depth, key=jax.random.key(0))
        ...     return net(jnp.ones(1))[0]
        >>> jax.vmap(output)(jnp.array([4, 16]), jnp.array([1, 3])).shape
        (2,)
    """

    value: Int[Array | np.ndarray, ""] | int
    max: int = eqx.field(static=True)

    def __post_init__(self) -> None:
        self.max = check_integer("max", self.max, 1)
        self.value = check_size("value", self.value, self.max)


def check_size(name: str, value: Any, most: int) -> Any:
    """Return a size as a Python int in [1, most], or the traced integer scalar that it is."""
    if is_traced(value):
        if jnp.shape(value) or not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            refuse(name, "an integer scalar", value)
        return value
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0:
        value = value.item()
    return check_integer(name, value, 1, most)


def or_zero(value: Any, most: int) -> Int[Array, ""]:
    """Return a traced size as int32, 0 where it is not in [1, most]."""
    most = min(most, jnp.iinfo(value.dtype).max)  # which a narrow dtype would wrap
    fits = (value >= 1) & (value <= most)  # before the cast, which wraps
    return jnp.where(fits, value, 0).astype(jnp.int32)
