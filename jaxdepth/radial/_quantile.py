"""Inverting the measure's distribution function F: to rounding, and for samples from a table.

Newton's method is of no use: F is flat where J_ν = 0, at hundreds of places.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from jaxdepth.radial._bessel import recurrence

_CELLS = 16  # of the table, to a unit of z


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def quantile(dim: int, q: Array, s: Array) -> Array:
    """Find z with F(z) = q and 1 − F(z) = s, given both so that neither tail is a difference.

    Both sides of F are bounded: |J_ν(z)| ≤ (z/2)^ν/Γ(ν+1) gives F(z) ≤ (z/2)^d/Γ(ν+1)², and
    Watson's (π/2) J_ν² √(z²−ν²) ≤ 1 for z > ν gives 1 − F(z) ≤ (4/π) arcsin(ν/z). Between the two
    brackets, Chandrupatla's method in log(z/c), which takes the inverse quadratic step only where
    it is safe and halves otherwise. The bracket nearer to z is c, so that log(z/c) is of order 1
    and rounding it costs z some units in the last place, in the far tails too.
    """
    nu, limits = dim / 2, jnp.finfo(q.dtype)
    top = jnp.maximum(s, limits.tiny)
    low = math.log(2) + (jnp.log(jnp.maximum(q, limits.tiny)) + 2 * math.lgamma(nu + 1)) / dim
    angle = math.pi / 4 * jnp.maximum(top, limits.eps**2)  # sin is the identity there
    high = math.log(nu * 4 / math.pi) - jnp.log(top) - jnp.log(jnp.sin(angle) / angle)
    low = jnp.minimum(low, high) - 0.01  # room for rounding
    upper = s < 0.5
    center = jnp.minimum(jnp.where(upper, high, low), math.log(limits.max) - 1)
    # To few digits, within the brackets' room: else the compiler makes one exponential of both.
    scale = jax.lax.reduce_precision(jnp.exp(center), limits.nexp, 10)

    def excess(log_z: Array) -> Array:
        answer = recurrence(dim, scale * jnp.exp(log_z))
        return jnp.where(upper, s - answer.sf, answer.cdf - q)

    # F at the brackets is not known but 0 and 1 do there: to evaluate it would triple compilation.
    at_low, at_high = jnp.where(upper, s - 1, -q), jnp.where(upper, s, 1 - q)
    found = _chandrupatla(excess, low - center, high + 0.01 - center, at_low, at_high)
    z = scale * jnp.exp(found)
    return jnp.where(q <= 0, jnp.zeros_like(z), jnp.where(s <= 0, jnp.full_like(z, jnp.inf), z))


@quantile.defjvp
def _quantile_jvp(dim: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (q, s), (dq, ds) = primals, tangents
    z = quantile(dim, q, s)
    dz = z / (dim * recurrence(dim, z).order ** 2) * jnp.where(s < 0.5, -ds, dq)
    return z, dz


def _chandrupatla(
    fn: Callable[[Array], Array], low: Array, high: Array, f_low: Array, f_high: Array
) -> Array:
    """Find the zeros of an increasing `fn`, elementwise, from brackets (Chandrupatla 1997).

    Values at the brackets are needed up to order of magnitude.
    """
    tolerance = 2 * jnp.finfo(low.dtype).eps

    def width(a: Array, b: Array) -> Array:
        return jnp.abs(b - a) - tolerance * jnp.maximum(jnp.abs(a), 1.0)

    def unfinished(carry: tuple) -> Array:
        a, b, _, fa, _, _, _, count = carry
        return jnp.any((width(a, b) > 0) & (fa != 0)) & (count < 100)

    def narrow(carry: tuple) -> tuple:
        a, b, c, fa, fb, fc, step, count = carry
        x = a + step * (b - a)
        fx = fn(x)
        same = (fx > 0) == (fa > 0)
        c, fc = jnp.where(same, a, b), jnp.where(same, fa, fb)
        b, fb = jnp.where(same, b, a), jnp.where(same, fb, fa)
        a, fa = x, fx
        # The quadratic through a, b, c is increasing between a and b just where this holds.
        xi, phi = (a - b) / _nonzero(c - b), (fa - fb) / _nonzero(fc - fb)
        safe = (phi * phi < xi) & ((1 - phi) * (1 - phi) < 1 - xi)
        inverse = fa / _nonzero(fb - fa) * (fc / _nonzero(fb - fc)) + (c - a) / _nonzero(b - a) * (
            fa / _nonzero(fc - fa) * (fb / _nonzero(fc - fb))
        )
        least = 0.5 * tolerance * jnp.maximum(jnp.abs(a), 1.0) / _nonzero(jnp.abs(b - a))
        least = jnp.minimum(least, 0.5)
        step = jnp.clip(jnp.where(safe, inverse, 0.5), least, 1 - least)
        return a, b, c, fa, fb, fc, step, count + 1

    half = jnp.full_like(low, 0.5)
    start = (high, low, low, f_high, f_low, f_low, half, jnp.zeros((), jnp.int32))
    a, b, _, fa, fb, _, _, _ = jax.lax.while_loop(unfinished, narrow, start)
    return jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, jnp.finfo(x.dtype).tiny, x)


class Table(NamedTuple):
    """F on a grid, with what a quintic interpolant of it needs.

    Attributes:
        cdf: F at the nodes, non-decreasing.
        slopes: h·F' there, h the grid's spacing.
        curvatures: h²·F'' there.
    """

    cdf: Array
    slopes: Array
    curvatures: Array


def cells(dim: int) -> int:
    """Count the table's cells: to z = 10d + 60, which 1 − F(z) ~ d/(πz) of μ lies beyond."""
    return _CELLS * (10 * dim + 60)


def tabulate(dim: int, dtype: Any) -> Table:
    """Evaluate F, F' = p = d·J_ν²/z and F'' = (2d·J_ν J_{ν−1} − (d+1)·p)/z at the nodes."""
    z = jnp.maximum(jnp.arange(cells(dim) + 1, dtype=dtype) / _CELLS, 1e-3)
    order, below, cdf, _ = recurrence(dim, z)
    density = dim * order**2 / z
    curvature = (2 * dim * order * below - (dim + 1) * density) / z
    # The node at 0, where this cannot be evaluated: p = 2/π (d = 1), z/2 (d = 2) or o(z).
    density = density.at[0].set(2 / math.pi if dim == 1 else 0.0)
    curvature = curvature.at[0].set(0.5 if dim == 2 else 0.0)
    cdf = jax.lax.cummax(cdf.at[0].set(0.0))
    return Table(cdf, density / _CELLS, curvature / _CELLS**2)


def from_table(table: Table, q: Array) -> Array:
    """Invert the interpolant of F at q below its last node.

    On a cell, x from 0 to 1, the quintic of both ends' values, slopes and curvatures is within
    max|F⁽⁶⁾|·h⁶/46080 of F. Halving finds its zeros even where it is flat.
    """
    last = table.cdf.shape[0] - 2
    cell = jnp.clip(jnp.searchsorted(table.cdf, q, side="right") - 1, 0, last)
    (f0, v0, a0), (f1, v1, a1) = (tuple(part[node] for part in table) for node in (cell, cell + 1))
    rise, slope, bend = f1 - f0 - v0 - a0 / 2, v1 - v0 - a0, a1 - a0
    wanted = q - f0
    quintic = (
        v0,
        a0 / 2,
        10 * rise - 4 * slope + bend / 2,
        -15 * rise + 7 * slope - bend,
        6 * rise - 3 * slope + bend / 2,
    )

    def halve(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        low, width = carry
        width = width / 2
        x = low + width
        value = jnp.zeros_like(x)
        for coefficient in reversed(quintic):
            value = (value + coefficient) * x
        return jnp.where(value < wanted, x, low), width

    digits = jnp.finfo(q.dtype).nmant + 1
    start = (jnp.zeros_like(q), jnp.ones_like(q))
    x, width = jax.lax.fori_loop(0, digits, halve, start, unroll=4)
    return (cell.astype(q.dtype) + x + width / 2) / _CELLS


def _radii(dim: int, s: Array) -> Array:
    """Find quantiles of upper probabilities s, shape (n,), for samples."""
    # The exact search takes some 15 evaluations of F a point, the table one a cell.
    if cells(dim) > 8 * s.shape[0]:
        return quantile(dim, 1 - s, s)
    table = tabulate(dim, s.dtype)
    num, room = s.shape[0], s.shape[0] // 16 + 64

    def unfinished(carry: tuple[Array, Array]) -> Array:
        return jnp.any(carry[1])

    def finish(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        """Search `room` of the tail's radii, twice what is expected."""
        z, waiting = carry
        (index,) = jnp.nonzero(waiting, size=room, fill_value=num)
        some = s.at[index].get(mode="fill", fill_value=0.5)
        z = z.at[index].set(quantile(dim, 1 - some, some), mode="drop")
        return z, waiting.at[index].set(False, mode="drop")

    start = from_table(table, 1 - s), 1 - s >= table.cdf[-1]
    return jax.lax.while_loop(unfinished, finish, start)[0]


@eqx.filter_jit
def sample(dim: int, num: int, dtype: Any, unit: float, key: PRNGKeyArray) -> Array:
    """Draw `num` points of R^d whose radii are `unit` of z to one of ‖x‖."""
    key_radius, key_direction = jax.random.split(key)
    s = 1 - jax.random.uniform(key_radius, (num,), dtype)  # in (0, 1]: the tail is drawn from above
    # Drawn flat: a vmapped two-dimensional `normal` takes seconds to compile on JAX 0.12.
    direction = jax.random.normal(key_direction, (num * dim,), dtype).reshape(num, dim)
    norm = jnp.sqrt(jnp.sum(direction * direction, axis=1))
    return direction * (_radii(dim, s) / (unit * norm))[:, None]
