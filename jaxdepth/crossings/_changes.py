"""Label changes of sampled values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Real

from jaxdepth._misc import RealLike, check_real, is_traced, refuse


def changes(
    values: Real[Array | np.ndarray, "*batch points"], level: RealLike = 0.5
) -> Int[Array, "*batch"]:
    """Count the label changes of 1[values ≥ level] along the last axis.

    Args:
        values: samples in order, shape (*batch, points), at least one point.
        level: the level of the classifier.

    Returns:
        Integers of shape (*batch,): Cr of the samples less 1. A row that holds a NaN, whose labels
        are not defined, raises when it is concrete and gives −1 (which no count can be) under a
        trace.

    Raises:
        ValueError: no last axis, no points, concrete NaN, complex values, or a level that is not a
            finite real scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> changes(jnp.array([0.0, 1.0, 0.0, 0.5])).tolist()
        3
    """
    if jnp.ndim(values) == 0 or jnp.shape(values)[-1] == 0:
        refuse("values", "an array with at least one point on its last axis", jnp.shape(values))
    if jnp.issubdtype(jnp.result_type(values), jnp.complexfloating):
        refuse("values", "real", jnp.result_type(values))
    level = check_real("level", level)
    integer = jax.dtypes.canonicalize_dtype(int)
    if is_traced(values, level):
        sampled = jnp.asarray(values)
        undefined = jnp.isnan(sampled).any(axis=-1) | jnp.isnan(level)
        flips = jnp.diff(sampled >= jnp.asarray(level).astype(sampled.dtype), axis=-1)
        return jnp.where(undefined, -1, jnp.sum(flips, axis=-1, dtype=integer))
    concrete = np.asarray(values)  # compared in its own dtype, whatever JAX would make of it
    if np.isnan(concrete).any():
        refuse("values", "free of NaN", "NaN", "Labels 1[value ≥ level] are not defined there.")
    return jnp.asarray(np.diff(concrete >= level, axis=-1).sum(axis=-1), integer)
