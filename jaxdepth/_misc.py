"""Dtypes, tracing and argument checks: the floor that everything else stands on."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

Answer = TypeVar("Answer")

# A real number as callers write it: Python's, NumPy's, JAX's, or a tracer.
RealLike = float | int | np.number | Real[Array, ""] | Real[np.ndarray, ""]


def refuse(argument: str, expected: str, got: Any, cure: str = "") -> NoReturn:
    """Raise the one shape of `ValueError` this library speaks: argument, asked, came, cure."""
    raise ValueError(
        f"`{argument}` must be {expected}; got {got!r}." + (f" {cure}" if cure else "")
    )


def is_traced(*trees: Any) -> bool:
    """Whether any leaf of `trees` is a tracer: a caller's transformation is at work."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def check_integer(argument: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as a real Python int within `[minimum, maximum]`, or refuse it."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
    if not (whole and minimum <= int(value) and (maximum is None or int(value) <= maximum)):
        most = "" if maximum is None else f" and at most {maximum}"
        refuse(argument, f"an integer, at least {minimum}{most}", value)
    return int(value)


def check_finite(argument: str, tree: Any) -> None:
    """Refuse concrete NaN or infinite entries; tracers pass, for their values are not known yet."""
    for leaf in jax.tree.leaves(tree):
        if is_traced(leaf) or not isinstance(leaf, (float, np.ndarray, np.generic, jax.Array)):
            continue
        dtype = np.float64 if isinstance(leaf, float) else leaf.dtype
        if jnp.issubdtype(dtype, jnp.inexact) and not np.isfinite(leaf).all():
            refuse(argument, "finite", leaf, "It holds a NaN or an infinity.")


def is_real(dtype: Any) -> bool:
    """Whether `dtype` is one of real numbers: floats or integers, no booleans."""
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


def check_real(argument: str, value: Any) -> Any:
    """Return a real finite scalar: a tracer as it is, an array of no axes as a Python number."""
    if is_traced(value):
        if jnp.shape(value) or not is_real(value.dtype):
            refuse(argument, "a real scalar", value)
        return value
    if isinstance(value, (np.ndarray, np.generic, jax.Array)) and np.ndim(value) == 0:
        value = np.asarray(value).item()
    # A longdouble or an mpf is real, and no Fraction can be made of it.
    if isinstance(value, bool) or not isinstance(value, (float, numbers.Rational)):
        refuse(argument, "a real scalar", value)
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        refuse(argument, "finite", value)
    return value


def as_numbers(argument: str, value: Any) -> np.ndarray:
    """Return concrete real numbers of any shape as float64, or refuse what is none."""
    try:
        array = np.asarray(value)
        if is_real(array.dtype) or array.dtype == object:
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    return refuse(argument, "real numbers that float64 holds", value)


def check_interval(interval: Any) -> tuple[Any, Any]:
    """Return the ends of a closed interval, refused when empty, reversed or infinite."""
    if not isinstance(interval, (tuple, list)) or len(interval) != 2:
        refuse("interval", "a pair (start, end)", interval)
    start, end = (check_real("interval", edge) for edge in interval)
    if not is_traced(start, end) and not start < end:
        refuse("interval", "(start, end) with start < end", interval)
    return start, end


def check_key(key: Any) -> None:
    """Refuse what is not one random key of JAX (typed, or raw of two words)."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    raw = isinstance(key, (jax.Array, np.ndarray)) and key.dtype == np.uint32
    if not ((typed and key.ndim == 0) or (raw and key.ndim == 1)):
        refuse("key", "one random key, such as `jax.random.key(0)`", key)


def working_dtype(*trees: Any) -> jnp.dtype:
    """Return the widest dtype among the float arrays of `trees`, else the default float."""
    floats = [
        jax.dtypes.canonicalize_dtype(leaf.dtype)
        for leaf in jax.tree.leaves(trees)
        if isinstance(leaf, (np.ndarray, np.generic, jax.Array))
        and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    with jax.numpy_dtype_promotion("standard"):
        return jnp.dtype(jnp.result_type(*floats) if floats else jnp.result_type(float))


def as_float64(tree: Any) -> Any:
    """Cast every float leaf to float64, tracers to tracers and the rest to NumPy."""

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, jax.core.Tracer):
            return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        if isinstance(leaf, float):
            return np.float64(leaf)
        if isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
            array = np.asarray(leaf)
            return array.astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array
        return leaf

    return jax.tree.map(cast, tree)


def _to_host(tree: Any) -> Any:
    def fetch(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        array = np.asarray(leaf)
        return array[()] if array.dtype.kind in "fb" else array  # a 0-d float reads as a number

    return jax.tree.map(fetch, tree)


@contextlib.contextmanager
def _float64_here() -> Iterator[None]:
    """Evaluate eagerly in float64, at full matrix-product precision, even within a caller's trace.

    Within a caller's jit, where even constants are staged, `ensure_compile_time_eval` keeps what
    runs here, and the toggle of x64, out of the caller's program. It costs compilations, so that
    it is left out elsewhere.
    """
    staging = isinstance(jnp.add(0, 0), jax.core.Tracer)
    native = jax.default_backend() in ("cpu", "gpu", "cuda", "rocm")
    device = None if native else jax.local_devices(backend="cpu")[0]
    with (
        jax.ensure_compile_time_eval() if staging else contextlib.nullcontext(),
        jax.enable_x64(True),
        jax.default_device(device),
        jax.default_matmul_precision("highest"),
    ):
        yield


def require_x64(verb: str) -> None:
    """Raise unless the caller's own trace has 64-bit on."""
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise ValueError(
            f"`{verb}` is exact and needs float64, but it was reached by a transformation (jit, "
            "vmap, grad) with 64-bit off. Wrap the whole program in `with jax.enable_x64(True):`, "
            "or call it outside the transformation."
        )


def in_float64(verb: str, kernel: Callable[..., Answer], *args: Any, cast: bool = True) -> Answer:
    """Run `kernel(*args)` in float64 whatever the caller's setting: the policy of every exact verb.

    Concrete arguments are computed in float64 at once (on the host's CPU where the backend has no
    float64) and the answer comes back as NumPy. Tracers need the caller's own x64: `ValueError`
    otherwise, at trace time. Float leaves reach the kernel as float64 either way, unless it casts
    them itself (`cast=False`); a kernel is usually compiled by `eqx.filter_jit`.
    """
    prepared = as_float64 if cast else tuple
    if is_traced(args):
        require_x64(verb)
        with jax.default_matmul_precision("highest"):
            return kernel(*prepared(args))
    with _float64_here():
        return _to_host(kernel(*prepared(args)))
