"""Functions of one real variable, whatever shapes they speak."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import RealLike, is_real, refuse

Scalar = Callable[[Float[Array, ""]], Float[Array, ""]]


def as_float(x: RealLike) -> Float[Array, ""]:
    """Return a float array of no axes: floats as they are, integers in the default float."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def scalar_function(fn: Any, dtype: Any) -> Scalar:
    """Return `fn` as a map from a scalar to a scalar of the same dtype.

    A function of shape () → () or (1,) → (1,) (or a mixture) serves; the shapes are found by
    abstract evaluation, nothing is computed. Anything else is a `ValueError`.
    """
    if not callable(fn):
        refuse("fn", "a callable of one real variable", fn)
    failures = []
    for shape in ((), (1,)):
        try:
            out = jax.eval_shape(fn, jax.ShapeDtypeStruct(shape, dtype))
        except (TypeError, ValueError, IndexError, AssertionError) as error:
            failures.append(f"on shape {shape}: {error}".splitlines()[0])
            continue
        if not hasattr(out, "shape") or out.size != 1 or not is_real(out.dtype):
            failures.append(f"on shape {shape} it returned {out}")
            continue
        return partial(_evaluate, fn, shape, dtype)
    return refuse(
        "fn", "a real scalar function of one real variable", fn, "; ".join(failures) + "."
    )


def _evaluate(fn: Any, shape: tuple[int, ...], dtype: Any, x: Array) -> Array:
    return jnp.reshape(fn(jnp.reshape(x, shape)), ()).astype(dtype)
