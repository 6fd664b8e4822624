"""Layers in float64, and whether any of their numbers is lost on the way into a compiled program.

XLA takes subnormal numbers for 0, in float64 as in float32 where these are widened within the
program. What is computed there underflows to less than any bound allows for, and what is exact
there has no bits below 2^-900: so only what comes in has to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxdepth._misc import is_real, is_traced
from jaxdepth.networks import AffineLayer

_WORDS = {"float64": jnp.uint64, "float32": jnp.uint32, "bfloat16": jnp.uint16}
_WHOLE = 2**53  # beyond, float64 does not hold every integer


def widened(layers: Sequence[AffineLayer]) -> list[AffineLayer]:
    """Return the layers with all numbers in float64."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(jnp.float64) if is_traced(leaf) else np.asarray(leaf, np.float64)

    return jax.tree.map(cast, list(layers))


def lost(tree: Any) -> Bool[Array, ""]:
    """Say whether a number of `tree` is lost: a subnormal one, or an integer of too many bits."""
    found = jnp.zeros((), bool)
    for leaf in jax.tree.leaves(tree):
        dtype = getattr(leaf, "dtype", np.dtype(type(leaf)) if isinstance(leaf, float) else None)
        if dtype is None or not is_real(dtype):
            continue
        if jnp.issubdtype(dtype, jnp.integer):
            if dtype.itemsize == 8:
                below = leaf < -_WHOLE if jnp.issubdtype(dtype, jnp.signedinteger) else False
                found |= jnp.any((leaf > _WHOLE) | below)
        elif not is_traced(leaf):  # narrower ones are widened by NumPy
            size = abs(np.asarray(leaf, np.float64)) if dtype == np.float64 else np.ones(1)
            found |= bool(np.any((size > 0) & (size < np.finfo(np.float64).tiny)))
        elif dtype.name in _WORDS:
            mantissa = jnp.finfo(dtype).nmant
            bits = jax.lax.bitcast_convert_type(leaf, _WORDS[dtype.name])
            # Without its sign a subnormal is 1 … 2^mantissa − 1; 0 wraps to the largest.
            found |= jnp.any((bits << 1) - 1 < 2 ** (mantissa + 1) - 1)
    return found
