"""Bessel functions of integer and half-integer order: all that the radial measure is made of.

One recurrence over the orders ν₀, ν₀+1, …, ν (ν₀ = 0 or ½) yields J_ν, J_{ν−1} and the sums of
squares that are the measure's distribution function. Its direction follows stability.

*Upwards* from J_{ν₀}, J_{ν₀−1} where z ≥ max(ν, 30): all orders oscillate there, nothing decays.

*Downwards* (Miller) where z < max(ν, 30): start from (0, 1) at an order M so high that the start
does not matter and fix the common factor by a sum. The sums chosen have positive terms only:

    J_0² + 2 Σ_{k≥1} J_k² = 1,        Σ_{k≥0} (2k+1) (π/2z) J_{k+½}² = 1,

so that, unlike in the customary J_0 + 2 Σ J_{2k} = 1, nothing cancels.

Orders are taken eight to a pass over memory: the loop's carry, and not its arithmetic of 8 flops
an order and point, would set the time otherwise.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from jaxdepth._misc import is_traced, refuse

MOST_NU = 10**6  # the recurrence takes as many steps
_FORWARD_FROM = 30.0  # Hankel's expansion of J_0, J_1, f, g reaches 1e-17 from here on
_ORDERS_A_PASS = 8


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

    In float64, for ν ≤ 500 and z ≤ 1e5, the error is below 1e-14, plus what the rounding of z does:
    relative to |J| where z < ν (and where |J| < 1e-300 it is 0, or as good), from there on to |J|
    or the envelope √(2/πz), whichever is larger. In absolute terms that is below 2^-46, J_{−½}
    excepted. An estimate, by comparison with Arb; the largest seen is 8.5e-15, at ν = 499½.

    Differentiable in z in both modes by J_ν' = J_{ν−1} − (ν/z) J_ν and J_{ν−1}' = −J_ν +
    ((ν−1)/z) J_{ν−1}: twice everywhere, and to any order for z ≥ 1e-8, where an order costs a
    factor of 1/z in rounding. Compile time hardly depends on ν.

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
    if not real or not 0 <= nu <= MOST_NU or 2 * nu != int(2 * nu):
        refuse("nu", f"a non-negative multiple of 1/2, at most {MOST_NU}", nu)
    return int(2 * nu)


def check_points(argument: str, z: ArrayLike) -> None:
    """Refuse concrete points that are negative or NaN, or no real numbers at all."""
    if is_traced(z):
        return
    points = np.asarray(z)
    number = jnp.issubdtype(points.dtype, jnp.integer) or jnp.issubdtype(points.dtype, jnp.floating)
    if not number or not (points >= 0).all():
        refuse(argument, "non-negative and not NaN", z)


@functools.partial(jax.jit, static_argnums=0)
def _pair(two_nu: int, z: Array) -> tuple[Array, Array]:
    answer = recurrence(two_nu, z)
    return answer.order, answer.below


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


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def recurrence(two_nu: int, z: Float[Array, "*shape"]) -> Pass:
    """Evaluate J_ν, J_{ν−1} and the two tails at ν = two_nu/2, elementwise in z ≥ 0.

    What a caller under `jit` leaves unused is not computed.
    """
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


@recurrence.defjvp
def _recurrence_jvp(two_nu: int, primals: tuple, tangents: tuple) -> tuple[Pass, Pass]:
    (z,), (dz,) = primals, tangents
    nu = 0.5 * two_nu
    answer = recurrence(two_nu, z)
    order, below = answer.order, answer.below
    # Below the floor J_ν is its first term c·z^ν, and (ν/z)·J_ν is J_{ν−1}/2 even where z = 0.
    tiny = z < _floor(z.dtype)
    large = jnp.where(tiny, jnp.ones_like(z), z)
    ratio = jnp.where(tiny, 0.5 * below, nu / large * order) if nu > 0 else jnp.zeros_like(z)
    slope = jnp.where(tiny, 0.5 * below, below - ratio) if nu > 0 else below
    ratio_below = jnp.where(tiny, _first_ratio(two_nu, z), (nu - 1) / large * below)
    density = 2 * order * ratio  # d·J_ν²/z
    if two_nu == 1:  # (2/π) sinc² z, where J_{−½} is infinite at 0
        density = jnp.where(tiny, jnp.full_like(z, 2 / math.pi), density)
    slopes = (slope, ratio_below - order, density, -density)
    return answer, Pass(*(slope * dz for slope in slopes))


class _Reciprocal(NamedTuple):
    """1/z as high + low, high of half the digits: its product with an integer does not round.

    A quotient 2k/z rounds, and for some z in the same direction over hundreds of k, which Miller's
    recurrence adds up; 1/z rounded once does so for all.
    """

    high: Array
    low: Array

    @classmethod
    def of(cls, z: Array) -> _Reciprocal:
        exponent, mantissa = (11, 25) if z.dtype == jnp.float64 else (8, 11)
        inverse = 1 / z
        high, z_high = (jax.lax.reduce_precision(x, exponent, mantissa) for x in (inverse, z))
        # 1 − z·high, both products and differences exact.
        return cls(high, ((1 - z_high * high) - (z - z_high) * high) * inverse)

    def times(self, integer: Array | int, value: Array) -> Array:
        """Evaluate integer·value/z."""
        factor = jnp.asarray(integer, value.dtype)
        return factor * self.high * value + factor * self.low * value


def _over_orders(
    first: int,
    count: int,
    sign: int,
    step: Callable[[Array, Any], Any],
    carry: Any,
    settle: Callable[[Any], Any] = lambda carry: carry,
    often: int = _ORDERS_A_PASS,
) -> Any:
    """Apply step(index, carry) from `first` on in steps of `sign`, and `settle` so often."""
    whole, rest = divmod(count, _ORDERS_A_PASS)

    def few(start: Array, count: int, carry: Any) -> Any:
        for offset in range(count):
            carry = step(start + sign * offset, carry)
            if (offset + 1) % often == 0 or offset + 1 == count:
                carry = settle(carry)
        return carry

    def one_pass(i: Array, carry: Any) -> Any:
        return few(first + sign * _ORDERS_A_PASS * i, _ORDERS_A_PASS, carry)

    carry = jax.lax.fori_loop(0, whole, one_pass, carry)
    return few(jnp.asarray(first + sign * _ORDERS_A_PASS * whole), rest, carry)


class _Descent(NamedTuple):
    """The carry of Miller's recurrence, all up to one factor.

    Attributes:
        above: J_{k+1}.
        here: J_k.
        head: the sum of squares of the orders above k.
        norm: their sum in the normalisation.
        scale: the product of what was multiplied to keep within the exponents' range.
    """

    above: Array
    here: Array
    head: Array
    norm: Array
    scale: Array


def _downwards(two_nu: int, z: Array) -> tuple[Array, Array, Array, Array]:
    top, half = divmod(two_nu, 2)  # orders are index + half/2; the one asked for has index `top`
    turn = max(top, _FORWARD_FROM)
    # J_k(turn) ~ exp(−(2√2/3)·((k−turn)/turn^⅓)^{3/2})
    extra = math.ceil(turn + 10 * turn ** (1 / 3) + 10) - top
    extra += -extra % _ORDERS_A_PASS
    # An order multiplies by at most 2k/floor, 2^48: `often` of them, squared, stay in range, and so
    # do all products of two factors that the compiler may form.
    double = z.dtype == jnp.float64
    often, big, lift = (4, 2.0**250, 2.0**500) if double else (1, 2.0**30, 2.0**40)
    over = _Reciprocal.of(z)

    def lower(index: Array, at: _Descent) -> _Descent:
        square = at.here * at.here
        two_k = 2 * index + half
        weighted = jnp.asarray(two_k, z.dtype) * square if half else square
        lowered = over.times(two_k, at.here) - at.above
        return _Descent(at.here, lowered, at.head + square, at.norm + weighted, at.scale)

    def within_range(at: _Descent) -> _Descent:
        factor = jnp.where(jnp.abs(at.here) > big, 1 / big, 1.0).astype(z.dtype)  # exact
        once, twice = (at.above, at.here, at.scale), (at.head, at.norm)
        above, here, scale = (value * factor for value in once)
        head, norm = (value * factor * factor for value in twice)
        return _Descent(above, here, head, norm, scale)

    def sweep(first: int, count: int, start: _Descent) -> _Descent:
        return _over_orders(first, count, -1, lower, start, within_range, often)

    zero, one = jnp.zeros_like(z), jnp.ones_like(z)
    at = sweep(top + extra, extra, _Descent(zero, one, zero, zero, one))
    order, head = at.here, at.head
    below = over.times(2 * top + half, order) - at.above
    # `scale` starts high: J_ν/J_0 reaches 1e-300 and may not pass through what is smaller.
    at = sweep(top, top, at._replace(scale=jnp.full_like(z, lift)))
    last = at.here * at.here
    norm = (at.norm + last) * (math.pi / (2 * z)) if half else 2 * at.norm + last
    unit = at.scale / jnp.sqrt(norm)
    order, below, unit = order * unit / lift, below * unit / lift, unit / lift
    cdf = order * order + 2 * (head * unit * unit)
    return order, below, cdf, 1 - cdf


def _upwards(two_nu: int, z: Array) -> tuple[Array, Array, Array, Array]:
    top, half = divmod(two_nu, 2)
    over = _Reciprocal.of(z)

    def higher(index: Array, carry: tuple) -> tuple:
        order, below, sf = carry
        raised = over.times(2 * index + half, order) - below
        return raised, order, sf + (order * order + raised * raised)

    ends = _half_ends(z) if half else _integer_ends(z)
    order, below, sf = _over_orders(0, top, 1, higher, ends)
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
