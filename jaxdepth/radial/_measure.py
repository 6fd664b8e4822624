"""The measure of Eldan & Shamir: |Fourier transform of a ball's indicator|², a density on R^d."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, Real

from jaxdepth._misc import check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._bessel import check_points, recurrence

Host = Array | np.ndarray | np.generic  # concrete answers are NumPy's


class Measure(eqx.Module):
    """The probability measure μ on R^d with density φ², φ the Fourier transform of 1{‖ξ‖ ≤ R_d}.

    φ(x) = (R_d/‖x‖)^{d/2} J_{d/2}(2πR_d‖x‖), where R_d is the radius of the ball of unit volume.
    Radii are told in the scale-free unit z = 2πR_d‖x‖, in which their density is p(z) =
    d·J_{d/2}(z)²/z; points of R^d are in the paper's units. Frequencies are told by u = ‖ξ‖/R_d.

    The tail is heavy, P(Z > z) ~ d/(πz): no moment of ‖x‖ exists, not even the mean, and a function
    that grows (a ReLU network, say) has infinite risk.

    Concrete arguments of `pdf`, `cdf`, `sf`, `icdf`, `isf` and `characteristic` are evaluated in
    float64 whatever the caller's setting; under `jit`, `vmap` or `grad` they need the caller's x64.
    `sample` follows the caller's dtype.

    Attributes:
        dim: the dimension d, static.

    Raises:
        ValueError: `dim` not a positive integer; arguments out of range.

    Example:
        >>> mu = Measure(3)
        >>> round(float(mu.cdf(2.0)), 6), round(float(mu.icdf(mu.cdf(2.0))), 6)
        (0.351566, 2.0)

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, section 3.
    """

    dim: int = eqx.field(static=True)

    def __init__(self, dim: int) -> None:
        self.dim = check_integer("dim", dim, 1)

    @property
    def radius_unit(self) -> float:
        """The factor 2πR_d = 2√π·Γ(d/2+1)^{1/d} from ‖x‖ to z."""
        return 2 * math.sqrt(math.pi) * math.exp(math.lgamma(self.dim / 2 + 1) / self.dim)

    def pdf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate the density of the scale-free radius, p(z) = d·J_{d/2}(z)²/z."""
        check_points("z", z)
        return self._exact("pdf", _pdf, z)

    def cdf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate P(Z ≤ z) = J_ν² + 2 Σ_{k≥1} J_{ν+k}² at ν = d/2: positive terms only."""
        check_points("z", z)
        return self._exact("cdf", _cdf, z)

    def sf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate P(Z > z), accurate in the far tail too."""
        check_points("z", z)
        return self._exact("sf", _sf, z)

    def icdf(self, q: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Find the z with P(Z ≤ z) = q, for q in [0, 1]."""
        _check_probability(q)
        return self._exact("icdf", _icdf, q)

    def isf(self, q: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Find the z with P(Z > z) = q, for q in [0, 1]; accurate for q down to 1e-290."""
        _check_probability(q)
        return self._exact("isf", _isf, q)

    def characteristic(self, u: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate E cos(2π⟨ξ, x⟩) at ‖ξ‖ = u·R_d.

        It is the share of the ball that its shift by ξ covers,
        I_{1−(u/2)²}((d+1)/2, ½) for u < 2, a regularised incomplete beta function, and 0 from there
        on.
        """
        check_points("u", u)
        return self._exact("characteristic", _characteristic, u)

    def sample(self, key: PRNGKeyArray, num: int, dtype: Any = None) -> Float[Array, "num dim"]:
        """Draw points of R^d.

        The radius is the quantile of a uniform number, found by a bracketed search that flat
        stretches of the distribution (J_{d/2} = 0) cannot stall; the direction is uniform.

        Args:
            key: random key.
            num: how many points.
            dtype: of the points; the default float where None. In float32 the uniform numbers sit
                on a lattice of 2^-23, which no radius z beyond d·2^23/π passes.

        Returns:
            Points in the paper's units, shape (num, dim).

        Example:
            >>> import jax
            >>> Measure(10).sample(jax.random.key(0), 5).shape
            (5, 10)
        """
        num = check_integer("num", num, 1)
        dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        if dtype not in (jnp.float32, jnp.float64):
            refuse("dtype", "float32 or float64", dtype)
        return _sample(self.dim, num, dtype, self.radius_unit, key)

    def _exact(self, verb: str, kernel: Callable[[int, Array], Array], argument: ArrayLike) -> Any:
        argument = argument if is_traced(argument) else np.asarray(argument, np.float64)
        return in_float64(f"Measure.{verb}", lambda z: kernel(self.dim, jnp.asarray(z)), argument)


def _check_probability(q: ArrayLike) -> None:
    check_points("q", q)
    if not is_traced(q) and not (np.asarray(q) <= 1).all():
        refuse("q", "a probability in [0, 1]", q)


@functools.partial(jax.jit, static_argnums=0)
def _pdf(dim: int, z: Array) -> Array:
    # p(z) ~ z^{d−1} below the floor, where J² would underflow (and z = 0 divide by 0).
    safe = jnp.maximum(z, 1e-6)
    shrink = jnp.where(z < safe, z / safe, jnp.ones_like(z))
    return dim * recurrence(dim, safe).order ** 2 / safe * shrink ** (dim - 1)


def _cdf(dim: int, z: Array) -> Array:
    return recurrence(dim, z).cdf


def _sf(dim: int, z: Array) -> Array:
    return recurrence(dim, z).sf


def _icdf(dim: int, q: Array) -> Array:
    return _quantile(dim, q, 1 - q)


def _isf(dim: int, q: Array) -> Array:
    return _quantile(dim, 1 - q, q)


@functools.partial(jax.jit, static_argnums=0)
def _characteristic(dim: int, u: Array) -> Array:
    inside = u < 2
    near = jnp.where(inside, u, jnp.ones_like(u)) / 2
    half = jnp.asarray(0.5, u.dtype)
    # 1 − I_x(b, a) loses nothing near u = 0, where the value is 1.
    overlap = 1 - betainc(half, (dim + 1) * half, near * near)
    far = betainc((dim + 1) * half, half, (1 - near) * (1 + near))
    return jnp.where(inside, jnp.where(overlap > 0.5, overlap, far), jnp.zeros_like(u))


@functools.partial(jax.jit, static_argnums=0)
def _quantile(dim: int, q: Array, s: Array) -> Array:
    """Find z with F(z) = q and 1 − F(z) = s, given both so that neither tail is a difference.

    Both sides of F are bounded: |J_ν(z)| ≤ (z/2)^ν/Γ(ν+1) gives F(z) ≤ (z/2)^d/Γ(ν+1)², and
    Watson's (π/2) J_ν² √(z²−ν²) ≤ 1 for z > ν gives 1 − F(z) ≤ (4/π) arcsin(ν/z). Between the two
    brackets, Chandrupatla's method in log z, which takes the inverse quadratic step only where it
    is safe and halves otherwise.
    """
    nu, tiny = dim / 2, jnp.finfo(q.dtype).tiny
    top = jnp.maximum(s, tiny)
    low = math.log(2) + (jnp.log(jnp.maximum(q, tiny)) + 2 * math.lgamma(nu + 1)) / dim
    angle = math.pi / 4 * jnp.maximum(top, jnp.finfo(q.dtype).eps ** 2)  # sin is the identity there
    high = math.log(nu * 4 / math.pi) - jnp.log(top) - jnp.log(jnp.sin(angle) / angle)
    low = jnp.minimum(low, high) - 0.01  # room for rounding

    def excess(log_z: Array) -> Array:
        answer = recurrence(dim, jnp.exp(log_z))
        return jnp.where(s < 0.5, s - answer.sf, answer.cdf - q)

    z = jnp.exp(_chandrupatla(excess, low, high + 0.01))
    return jnp.where(q <= 0, jnp.zeros_like(z), jnp.where(s <= 0, jnp.full_like(z, jnp.inf), z))


def _chandrupatla(fn: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Find the zeros of an increasing `fn`, elementwise, from brackets (Chandrupatla 1997)."""
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

    f_low, f_high, half = fn(low), fn(high), jnp.full_like(low, 0.5)
    start = (high, low, low, f_high, f_low, f_low, half, jnp.zeros((), jnp.int32))
    a, b, _, fa, fb, _, _, _ = jax.lax.while_loop(unfinished, narrow, start)
    return jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, jnp.finfo(x.dtype).tiny, x)


@eqx.filter_jit
def _sample(dim: int, num: int, dtype: Any, unit: float, key: PRNGKeyArray) -> Array:
    key_radius, key_direction = jax.random.split(key)
    s = 1 - jax.random.uniform(key_radius, (num,), dtype)  # in (0, 1]: the tail is drawn from above
    # Drawn flat: a vmapped two-dimensional `normal` takes seconds to compile on JAX 0.12.
    direction = jax.random.normal(key_direction, (num * dim,), dtype).reshape(num, dim)
    norm = jnp.sqrt(jnp.sum(direction * direction, axis=1))
    z = _quantile(dim, 1 - s, s)
    return direction * (z / (unit * norm))[:, None]
