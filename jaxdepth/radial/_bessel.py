"""Bessel functions of integer and half-integer order: all that the radial measure is made of.

One recurrence over the orders ν₀, ν₀+1, …, ν (ν₀ = 0 or ½) yields J_ν, J_{ν−1} and the sums of
squares that are the measure's distribution function. Its direction follows stability.

*Upwards* from J_{ν₀}, J_{ν₀−1} where z ≥ max(ν, 30): all orders oscillate there, nothing decays.

*Downwards* (Miller) where z < max(ν, 30): start from (0, 1) at an order M so high that the start
does not matter and fix the common factor by a sum. The sums chosen have positive terms only:

    J_0² + 2 Σ_{k≥1} J_k² = 1,        Σ_{k≥0} (2k+1) (π/2z) J_{k+½}² = 1,

so that, unlike in the customary J_0 + 2 Σ J_{2k} = 1, nothing cancels.
"""

from __future__ import annotations

import functools
import math
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from jaxdepth._misc import is_traced, refuse

_MOST_NU = 10**6  # the recurrence takes as many steps
_FORWARD_FROM = 30.0  # Hankel's expansion of J_0, J_1, f, g reaches 1e-17 from here on


class Pass(NamedTuple):
    """What one recurrence yields, elementwise in z.

    Attributes:
        order: J_ν.
        below: J_{ν−1}.
        cdf: J_ν² + 2 Σ_{k≥1} J_{ν+k}², the measure's distribution function in dimension 2ν.
        sf: its complement.
    """

    order: Array
    below: Array
    cdf: Array
    sf: Array


def bessel_pair(
    nu: float | int, z: Real[ArrayLike, "*shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Evaluate J_ν(z) and J_{ν−1}(z) for an integer or half-integer order ν ≥ 0.

    In float64 the error is below 2^-46 (1.4e-14) in absolute terms, for ν ≤ 500 and z ≤ 1e5, plus
    what the rounding of z itself does; an estimate, by comparison with mpmath. Differentiable in z
    in both modes by J_ν' = J_{ν−1} − (ν/z) J_ν and J_{ν−1}' = −J_ν + ((ν−1)/z) J_{ν−1}: twice
    everywhere, and to any order for z ≥ 1e-8, where an order costs a factor of 1/z in rounding.
    Compile time does not depend on ν.

    Args:
        nu: the order, static; ν = 0 gives J_{−1} = −J_1, and ν = ½ gives J_{−½}, infinite at 0.
        z: points z ≥ 0, any shape; the result follows their dtype, float32 or float64.

    Returns:
        The pair (J_ν, J_{ν−1}).

    Raises:
        ValueError: `nu` negative or no multiple of ½; a `z` of half precision, or concrete and
            negative or NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> j1, j0 = bessel_pair(1, jnp.array([0.0, 1.0]))
        >>> [round(float(value), 6) for value in (*j1, *j0)]
        [0.0, 0.440051, 1.0, 0.765198]

    Reference:
        NIST Digital Library of Mathematical Functions, 10.6.2, 10.23.3, 10.60.12, 10.74(iv).
    """
    two_nu = _doubled(nu)
    check_points("z", z)
    z = jnp.asarray(z)
    z = z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(float)
    if z.dtype not in (jnp.float32, jnp.float64):
        refuse("z", "float32 or float64", z.dtype, "Half precision cannot hold the recurrence.")
    return _pair(two_nu, z)


def _doubled(nu: Any) -> int:
    real = isinstance(nu, numbers.Real) and not isinstance(nu, bool)
    if not real or not 0 <= nu <= _MOST_NU or 2 * nu != int(2 * nu):
        refuse("nu", f"a non-negative multiple of 1/2, at most {_MOST_NU}", nu)
    return int(2 * nu)


def check_points(argument: str, z: ArrayLike) -> None:
    """Refuse concrete points that are negative or NaN, or no real numbers at all."""
    if is_traced(z):
        return
    points = np.asarray(z)
    number = jnp.issubdtype(points.dtype, jnp.integer) or jnp.issubdtype(points.dtype, jnp.floating)
    if not number or not (points >= 0).all():
        refuse(argument, "non-negative and not NaN", z)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _pair(two_nu: int, z: Array) -> tuple[Array, Array]:
    order, below, _, _ = recurrence(two_nu, z)
    return order, below


@_pair.defjvp
def _pair_jvp(two_nu: int, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    (z,), (dz,) = primals, tangents
    nu = 0.5 * two_nu
    order, below = _pair(two_nu, z)
    # Below the floor J_ν is its first term c·z^ν, and (ν/z)·J_ν is J_{ν−1}/2 even where z = 0.
    tiny = z < _floor(z.dtype)
    positive = jnp.where(z > 0, z, jnp.ones_like(z))
    slope = jnp.where(tiny, 0.5 * below, below - nu / positive * order) if nu > 0 else below
    large = jnp.where(tiny, jnp.ones_like(z), z)
    ratio = jnp.where(tiny, _first_ratio(two_nu, z), (nu - 1) / large * below)
    return (order, below), (slope * dz, (ratio - order) * dz)


def _first_ratio(two_nu: int, z: Array) -> Array:
    """Evaluate ((ν−1)/z) J_{ν−1} by its series' first term, finite derivatives at 0 included."""
    nu = 0.5 * two_nu
    if two_nu in (0, 2):  # J_{−1} = −z/2 has no term of power ν−1; at ν = 1 the factor vanishes
        return jnp.full_like(z, 0.5 if two_nu == 0 else 0.0)
    first = (nu - 1) * math.exp((1 - nu) * math.log(2) - math.lgamma(nu))
    return first * (z ** (nu - 2) if two_nu % 2 else jax.lax.integer_pow(z, two_nu // 2 - 2))


def _floor(dtype: jnp.dtype) -> float:
    """Where the power series' second term, z²/(4ν+4) of the first, falls under the rounding."""
    return 1e-8 if dtype == jnp.float64 else 2e-4


@functools.partial(jax.jit, static_argnums=0)
def recurrence(two_nu: int, z: Float[Array, "*shape"]) -> Pass:
    """Evaluate J_ν, J_{ν−1} and the two tails at ν = two_nu/2, elementwise in z ≥ 0."""
    nu, floor = 0.5 * two_nu, _floor(z.dtype)
    safe = jnp.maximum(z, floor)
    turn = max(nu, _FORWARD_FROM)
    near, far = safe < turn, jnp.isfinite(safe)
    down = _downwards(two_nu, jnp.where(near, safe, turn))
    up = _upwards(two_nu, jnp.where(near | ~far, turn, safe))
    order, below, cdf, sf = (jnp.where(near, d, u) for d, u in zip(down, up, strict=True))
    # J_ν(z) = (z/safe)^ν J_ν(safe) below the floor, and everything vanishes at infinity.
    root = jnp.sqrt(jnp.where(z < floor, z / safe, jnp.ones_like(z)))
    halves = (two_nu, -1 if two_nu == 1 else abs(two_nu - 2), 2 * two_nu, 0)
    values = [
        value * jax.lax.integer_pow(root, power)
        for value, power in zip((order, below, cdf, sf), halves, strict=True)
    ]
    values[3] = jnp.where(near, 1 - values[2], values[3])
    limits = (0.0, 0.0, 1.0, 0.0)
    return Pass(
        *(
            jnp.where(jnp.isnan(z), z, jnp.where(far, v, jnp.full_like(v, limit)))
            for v, limit in zip(values, limits, strict=True)
        )
    )


def _downwards(two_nu: int, z: Array) -> tuple[Array, Array, Array, Array]:
    top, half = divmod(two_nu, 2)  # orders are index + half/2; the one asked for has index `top`
    turn = max(top, _FORWARD_FROM)
    start = int(
        turn + 10 * turn ** (1 / 3) + 10
    )  # J_k(turn) ~ exp(−(2√2/3)·((k−turn)/turn^⅓)^{3/2})
    big = 2.0**100 if z.dtype == jnp.float64 else 2.0**30
    zero = jnp.zeros_like(z)

    def lower(i: Array, carry: tuple) -> tuple:
        above, here, order, below, head, norm = carry
        index = start - i
        k = index.astype(z.dtype) + 0.5 * half
        square = here * here
        order = jnp.where(index == top, here, order)
        below = jnp.where(index == top - 1, here, below)
        head = head + jnp.where(index > top, square, zero)
        norm = norm + (2 * k if half else jnp.where(index > 0, 2.0, 1.0).astype(z.dtype)) * square
        lower = 2 * k / z * here - above
        scale = jnp.where(jnp.abs(lower) > big, 1 / big, 1.0).astype(z.dtype)  # a power of 2: exact
        linear = (v * scale for v in (here, lower, order, below))
        return (*linear, head * scale * scale, norm * scale * scale)

    ends = (zero, jnp.full_like(z, 1 / big), zero, zero, zero, zero)
    _, past, order, below, head, norm = jax.lax.fori_loop(0, start + 1, lower, ends)
    below = past if top == 0 else below  # one step past the end: J_{−½}, or J_{−1} = −J_1
    unit = 1 / jnp.sqrt(norm * (math.pi / (2 * z)) if half else norm)
    cdf = (order * order + 2 * head) * unit * unit
    return order * unit, below * unit, cdf, 1 - cdf


def _upwards(two_nu: int, z: Array) -> tuple[Array, Array, Array, Array]:
    top, half = divmod(two_nu, 2)
    order, below, sf = _half_ends(z) if half else _integer_ends(z)

    def raise_order(i: Array, carry: tuple) -> tuple:
        order, below, sf = carry
        k = i.astype(z.dtype) + 0.5 * half
        higher = 2 * k / z * order - below
        return higher, order, sf + (order * order + higher * higher)

    order, below, sf = jax.lax.fori_loop(0, top, raise_order, (order, below, sf))
    return order, below, 1 - sf, sf


def _integer_ends(z: Array) -> tuple[Array, Array, Array]:
    """Return J_0, J_{−1} and the 0 on which the squares pile up.

    By Hankel's expansion (DLMF 10.17.3), with sums and differences of cos z and sin z rather than
    cos(z − π/4), whose argument would round.
    """
    c, s, w = jnp.cos(z), jnp.sin(z), 1 / (z * z)
    p0, q0, p1, q1 = (_horner(series, w) for series in _HANKEL)
    unit = 1 / jnp.sqrt(math.pi * z)
    j0 = unit * (p0 * (c + s) - q0 / z * (s - c))
    j1 = unit * (p1 * (s - c) + q1 / z * (c + s))
    return j0, -j1, jnp.zeros_like(z)


def _half_ends(z: Array) -> tuple[Array, Array, Array]:
    """Return J_½, J_{−½} and the upper tail in dimension 1, ∫_z^∞ J_½(t)²/t dt.

    With y = 2z and Si's auxiliary functions (DLMF 6.2.17) the tail is (2/π)(π/2 − Si(y) + sin²z/z)
    = (2/π)(1/y + g(y) sin y − (1/y − f(y)) cos y), and 1/y − f has an expansion of its own: nothing
    cancels.
    """
    c, s, y = jnp.cos(z), jnp.sin(z), 2 * z
    w = 1 / (y * y)
    g, defect = w * _horner(_AUXILIARY_G, w), w / y * _horner(_DEFECT_F, w)
    tail = (2 / math.pi) * (1 / y + g * (2 * s * c) - defect * (1 - 2 * s * s))
    unit = jnp.sqrt(2 / (math.pi * z))
    return unit * s, unit * c, tail


def _horner(coefficients: tuple[float, ...], w: Array) -> Array:
    total = jnp.full_like(w, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * w + coefficient
    return total


def _hankel(order: int, terms: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    a = [1.0]
    for k in range(1, 2 * terms):
        a.append(a[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k))
    return (
        tuple((-1) ** k * a[2 * k] for k in range(terms)),
        tuple((-1) ** k * a[2 * k + 1] for k in range(terms)),
    )


_HANKEL = (*_hankel(0, 11), *_hankel(1, 11))  # the terms past these are below 1e-17 at z = 30
_AUXILIARY_G = tuple(float((-1) ** k * math.factorial(2 * k + 1)) for k in range(11))
_DEFECT_F = tuple(float((-1) ** k * math.factorial(2 * k + 2)) for k in range(11))
