"""What networks share when they draw their parameters."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from jaxdepth._misc import refuse


def float_dtype(dtype: Any) -> jnp.dtype:
    """Return the float dtype asked for, the default float where None."""
    if dtype is None:
        return jnp.dtype(jnp.result_type(float))
    dtype = jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        refuse("dtype", "a float dtype", dtype)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        refuse("dtype", "at most 32 bits wide here", dtype, "Turn 64-bit on for wider ones.")
    return dtype


def normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Draw standard normals flat, then reshape.

    The same numbers as a matrix draw, whose vmap takes seconds to compile on JAX 0.12.
    """
    return jax.random.normal(key, (math.prod(shape),), float_dtype(dtype)).reshape(shape)
