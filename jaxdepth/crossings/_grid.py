"""Counting on a dense uniform grid: any callable, any device, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdepth._misc import check_integer, is_traced, refuse, working_dtype
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._batching import one_by_one
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.networks._scalar import scalar_function

_CPU_CHUNK = 2_048  # one chunk of activations of width 64 stays in the cache of a core
_DEVICE_CHUNK = 131_072  # enough points to fill an accelerator


class Grid(AbstractCounter):
    """Count the label changes on `num_points` equally spaced points of the interval, ends included.

    The grid is streamed: memory does not grow with `num_points`. Traced: works under `jit` and
    `vmap` (over networks, depths, levels or intervals), compiles once, and follows the dtype of the
    network's weights (the default float for other callables). The count is a lower bound on the
    crossing number of the sampled values, rounding included: a function that stays within its own
    rounding error of the level can show changes that exact weights would not make (`Exact` settles
    those). `trusted` is True only where the network proves that the grid resolves it (`Sawtooth`
    does), and `result` says `unresolved` where points coincide in this dtype or the network knows
    of label intervals narrower than the spacing.

    Attributes:
        num_points: how many points, at least 2 (2^p + 1 for dyadic points on [0, 1]).
        chunk: points evaluated at once; None suits the device.

    Raises:
        ValueError: fewer than two points, 2^30 or more (2^62 with 64-bit on), a chunk below 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxdepth.crossings import count
        >>> from jaxdepth.networks import Sawtooth
        >>> jax.vmap(lambda k: count(Sawtooth(k), Grid(2**8 + 1)).value)(jnp.arange(1, 6)).tolist()
        [3, 5, 9, 17, 33]
    """

    num_points: int = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)

    def __init__(self, num_points: int, *, chunk: int | None = None) -> None:
        self.num_points = check_integer("num_points", num_points, 2)
        self.chunk = None if chunk is None else check_integer("chunk", chunk, 1)

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        most = jnp.iinfo(_int_dtype()).max // 2
        if self.num_points > most:
            refuse("num_points", f"at most {most}", self.num_points, "Turn 64-bit on for more.")
        dtype = working_dtype(fn)
        # 16-bit floats cannot even index the points: those are computed in 32 bits at least.
        wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
        scalars: list[Any] = [
            value.astype(wide) if is_traced(value) else np.asarray(float(value), wide)
            for value in (*interval, level)
        ]
        start, end, level = scalars
        on_cpu = jax.default_backend() == "cpu"
        chunk = self.chunk or (_CPU_CHUNK if on_cpu else _DEVICE_CHUNK)
        chunk = min(chunk, self.num_points)
        # Networks of a batch go one by one through a CPU's caches, and together through a device.
        together = 1 if on_cpu else max(1, 2**20 // chunk)
        return _count_on_grid(fn, start, end, level, dtype, self.num_points, chunk, together)


def _int_dtype() -> np.dtype:
    return jax.dtypes.canonicalize_dtype(np.int64)


@eqx.filter_jit
def _count_on_grid(
    fn: Any,
    start: Float[Array, ""],
    end: Float[Array, ""],
    level: Float[Array, ""],
    dtype: jnp.dtype,
    num_points: int,
    chunk: int,
    together: int,
) -> CrossingCount:
    with jax.default_matmul_precision("highest"):
        # Tracers that `fn` closes over become arguments, as a batching rule of our own needs them;
        # and counts have no derivative, so that a program which holds one can still be
        # differentiated.
        points = jax.ShapeDtypeStruct((chunk,), dtype)
        evaluate = eqx.filter_closure_convert(_on_points(fn, dtype), points)
        arrays, static = eqx.partition(evaluate, eqx.is_array)
        arrays, start, end, level = jax.lax.stop_gradient((arrays, start, end, level))
        flips, finite = one_by_one(
            lambda arrays, start, end, level: _stream(
                eqx.combine(arrays, static), start, end, level, dtype, num_points, chunk
            ),
            together,
        )(arrays, start, end, level)
    resolved, narrow = _resolution(fn, num_points, start, end, level, dtype)
    finite = finite & jnp.isfinite(level) & jnp.isfinite(start) & jnp.isfinite(end)
    value = flips + 1
    trusted = resolved & finite
    unknown = jnp.asarray(jnp.iinfo(value.dtype).max, value.dtype)
    result = CountResult.where(narrow, CountResult.unresolved, CountResult.lower_bound)
    result = CountResult.where(resolved, CountResult.exact, result)
    result = CountResult.where(finite, result, CountResult.not_finite)
    return CrossingCount(
        value=value,
        lower=jnp.where(finite, value, jnp.ones_like(value)),
        upper=jnp.where(trusted, value, unknown),
        trusted=trusted,
        result=result,
    )


def _on_points(fn: Any, dtype: Any) -> Callable[[Array], Array]:
    """Return `fn` as a map of many points at once, of shape (points,) to (points,).

    A network that can do better than the plain rule of vmap says so by a method `on_points()`. What
    it computes before the first point (masks, weights in the right layout) is computed once a call.
    """
    scalar = scalar_function(fn, dtype)
    return fn.on_points() if hasattr(fn, "on_points") else jax.vmap(scalar)


def _stream(
    evaluate: Callable[[Array], Array],
    start: Array,
    end: Array,
    level: Array,
    dtype: Any,
    num_points: int,
    chunk: int,
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """Return the label changes and whether every value is finite, chunk by chunk."""
    integer = _int_dtype()
    # Vector units convert 32-bit integers to floats several times faster than 64-bit ones.
    place = jnp.int32 if num_points + chunk <= jnp.iinfo(jnp.int32).max else integer

    def points(first: Array) -> Array:
        # Past the end the last point repeats, which changes no label.
        index = jnp.minimum(first + jnp.arange(chunk, dtype=place), num_points - 1)
        inside = start + (end - start) * (index.astype(start.dtype) / (num_points - 1))
        return jnp.where(index == num_points - 1, end, inside)

    def block(index: Array, carry: tuple) -> tuple:
        flips, finite, last = carry
        values = evaluate(points(index.astype(place) * chunk).astype(dtype))
        labels = values.astype(level.dtype) >= level
        inner = jnp.sum(labels[1:] != labels[:-1], dtype=jnp.int32)
        joint = (index > 0) & (labels[0] != last)
        flips = flips + (inner + joint.astype(jnp.int32)).astype(integer)
        return flips, finite & jnp.isfinite(values).all(), labels[-1]

    blocks = -(-num_points // chunk)
    empty = (jnp.zeros((), integer), jnp.asarray(True), jnp.asarray(False))
    flips, finite, _ = jax.lax.fori_loop(0, blocks, block, empty)
    return flips, finite


def _resolution(
    fn: Any, num_points: int, start: Array, end: Array, level: Array, dtype: Any
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Return whether the grid provably resolves `fn`, and whether it is known that it may not."""
    spacing = (end - start) / (num_points - 1)
    # The floats just below f·2^e, ½ ≤ f < 1, are 2^(e−1)ε apart; below a power of two half as far.
    fraction, exponent = jnp.frexp(jnp.maximum(jnp.abs(start), jnp.abs(end)))
    eps = float(jnp.finfo(dtype).eps)
    step = eps * jnp.where(fraction > 0.5, 1.0, 0.5).astype(spacing.dtype)
    coincide = spacing < jnp.ldexp(step, exponent - 1)
    if not hasattr(fn, "resolves"):
        return jnp.zeros((), bool), coincide
    resolved = fn.resolves(
        num_points, (start.astype(dtype), end.astype(dtype)), level.astype(dtype)
    )
    return resolved & ~coincide, ~resolved | coincide
