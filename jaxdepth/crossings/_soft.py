"""A differentiable stand-in for the crossing number."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import (
    RealLike,
    check_integer,
    check_interval,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.networks._scalar import scalar_function


def soft_count(
    fn: Any,
    temperature: RealLike,
    *,
    interval: tuple[Any, Any] = (0.0, 1.0),
    level: RealLike = 0.5,
    num_points: int = 2**12 + 1,
    chunk: int = 2048,
) -> Float[Array, ""]:
    """Measure how often fn crosses a level softly: the total variation of σ((fn − level)/τ).

    With σ the sigmoid, a monotone passage of fn from far below the level to far above it counts 1,
    a passage from level − a to level + a counts tanh(a/2τ), and a ripple on one side of it almost
    nothing. As τ → 0 this becomes Cr − 1 where fn is piecewise monotone and neither turns nor ends
    at the level. On the k-fold mirror map it is exactly 2^k·tanh(1/(4τ)).

    By the Kac–Rice formula it is the number of roots of fn = u, averaged over levels u drawn from
    the logistic density σ'((u − level)/τ)/τ.

    The variation is that of `num_points` equally spaced values, ends included: a lower bound on the
    true one, and equal to it (up to rounding) where every turning point of fn lies on the grid, as
    those of m^k do for a multiple of 2^k spacings. Its gradient in the parameters of fn is that of
    these values. Works under jit and vmap and has derivatives in both modes, in fn, `temperature`,
    `level` and the ends of the interval; the dtype follows the network's weights (the default float
    for other callables). The grid is streamed and each chunk is computed anew on the way back, so
    that memory does not grow with `num_points`.

    Args:
        fn: a function R → R, of shape () → () or (1,) → (1,): a network or any callable.
        temperature: τ > 0, in the units of fn's values. A gradient needs values within a few τ of
            the level somewhere.
        interval: (start, end), finite, start < end.
        level: the level of the classifier.
        num_points: points of the grid, at least 2.
        chunk: points evaluated at once.

    Returns:
        The soft count, a scalar ≥ 0; of the same order as Cr − 1, not as Cr. NaN where a value is
        NaN, or where a traced setting, or the interval as rounded, is what would be refused.

    Raises:
        ValueError: a temperature that is not positive in the dtype, a bad interval or level, a
            function that is not scalar, too few points.

    Example:
        >>> import math
        >>> from jaxdepth.networks import Sawtooth
        >>> soft = float(soft_count(Sawtooth(6), 0.25, num_points=2**6 + 1))
        >>> math.isclose(soft, 2**6 * math.tanh(1), rel_tol=1e-5)
        True

    Reference:
        Derived here, the closed form on m^k from the first paragraph: m^k passes 2^k times between
        ½ − ½ and ½ + ½.
    """
    temperature, level = check_real("temperature", temperature), check_real("level", level)
    num_points = check_integer("num_points", num_points, 2, int(jnp.iinfo(jnp.int32).max) // 2)
    chunk = min(check_integer("chunk", chunk, 1), num_points - 1)
    dtype = working_dtype(fn)
    # 16-bit floats cannot index the points, nor add up what the chunks give.
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)
    if not is_traced(temperature) and not wide.type(temperature) >= jnp.finfo(wide).tiny:
        refuse("temperature", f"positive in {wide}", temperature)
    start, end, level, temperature = (
        jnp.asarray(value if is_traced(value) else float(value)).astype(wide)
        for value in (*check_interval(interval), level, temperature)
    )
    return _variation(fn, start, end, level, temperature, dtype, num_points, chunk)


@eqx.filter_jit
def _variation(
    fn: Any,
    start: Float[Array, ""],
    end: Float[Array, ""],
    level: Float[Array, ""],
    temperature: Float[Array, ""],
    dtype: jnp.dtype,
    num_points: int,
    chunk: int,
) -> Float[Array, ""]:
    scalar = scalar_function(fn, dtype)

    def soft(index: Array) -> Array:
        fraction = jnp.minimum(index, num_points - 1).astype(start.dtype) / (num_points - 1)
        x = start * (1 - fraction) + end * fraction  # both ends exactly
        value = jax.vmap(scalar)(x.astype(dtype)).astype(start.dtype)
        return jax.nn.sigmoid((value - level) / temperature)

    @jax.checkpoint
    def block(first: Array) -> Array:
        # Each block holds the first point of the next; past the end the last point repeats.
        values = soft(first + jnp.arange(chunk + 1, dtype=jnp.int32))
        return jnp.sum(jnp.abs(jnp.diff(values)))

    def step(total: Array, first: Array) -> tuple[Array, None]:
        return total + block(first), None

    firsts = jnp.arange(0, num_points - 1, chunk, dtype=jnp.int32)
    with jax.default_matmul_precision("highest"):
        total, _ = jax.lax.scan(step, jnp.zeros((), start.dtype), firsts)
    return jnp.where((temperature > 0) & (start < end), total, jnp.nan)
