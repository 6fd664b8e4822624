"""Label changes of sampled values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Real

from jaxdepth._misc import RealLike, is_traced, refuse


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
        ValueError: no last axis, no points, or concrete NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> changes(jnp.array([0.0, 1.0, 0.0, 0.5])).tolist()
        3
    """
    values = jnp.asarray(values)
    if values.ndim == 0 or values.shape[-1] == 0:
        refuse("values", "an array with at least one point on its last axis", values.shape)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.result_type(float))
    undefined = jnp.isnan(values).any(axis=-1)
    if not is_traced(values) and bool(undefined.any()):
        refuse("values", "free of NaN", "NaN", "Labels 1[value ≥ level] are not defined there.")
    labels = values >= jnp.asarray(level, values.dtype)
    flips = labels[..., 1:] != labels[..., :-1]
    return jnp.where(
        undefined, -1, jnp.sum(flips, axis=-1, dtype=jax.dtypes.canonicalize_dtype(int))
    )
