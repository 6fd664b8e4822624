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
from jaxdepth.radial._bessel import MOST_NU, check_points, recurrence
from jaxdepth.radial._quantile import quantile, sample

Host = Array | np.ndarray | np.generic  # concrete answers are NumPy's


class Measure(eqx.Module):
    """The probability measure μ on R^d with density φ², φ the Fourier transform of 1{‖ξ‖ ≤ R_d}.

    φ(x) = (R_d/‖x‖)^{d/2} J_{d/2}(2πR_d‖x‖), where R_d is the radius of the ball of unit volume.
    Radii are told in the scale-free unit z = 2πR_d‖x‖, in which their density is p(z) =
    d·J_{d/2}(z)²/z; points of R^d are in the paper's units. Frequencies are told by u = ‖ξ‖/R_d.

    The tail is heavy, P(Z > z) ~ d/(πz): the mean of ‖x‖ is infinite, and so is every higher
    moment, and a function that grows (a ReLU network, say) has infinite risk.

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
        self.dim = check_integer("dim", dim, 1, 2 * MOST_NU)

    @property
    def radius_unit(self) -> float:
        """The factor 2πR_d = 2√π·Γ(d/2+1)^{1/d} from ‖x‖ to z."""
        return 2 * math.sqrt(math.pi) * math.exp(math.lgamma(self.dim / 2 + 1) / self.dim)

    def pdf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate the density of the scale-free radius, p(z) = d·J_{d/2}(z)²/z.

        Args:
            z: scale-free radii, at least 0, of any shape.

        Returns:
            The density at each, in float64.

        Raises:
            ValueError: a concrete z that is negative, NaN or not real.
        """
        check_points("z", z)
        return self._exact("pdf", _pdf, z)

    def cdf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate P(Z ≤ z) = J_ν² + 2 Σ_{k≥1} J_{ν+k}² at ν = d/2: positive terms only.

        Args:
            z: scale-free radii, at least 0, of any shape.

        Returns:
            The probability at each, in float64.

        Raises:
            ValueError: a concrete z that is negative, NaN or not real.
        """
        check_points("z", z)
        return self._exact("cdf", _cdf, z)

    def sf(self, z: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate P(Z > z), accurate in the far tail too.

        Args:
            z: scale-free radii, at least 0, of any shape.

        Returns:
            The probability at each, in float64.

        Raises:
            ValueError: a concrete z that is negative, NaN or not real.
        """
        check_points("z", z)
        return self._exact("sf", _sf, z)

    def icdf(self, q: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Find the z with P(Z ≤ z) = q, for q in [0, 1].

        Args:
            q: probabilities, of any shape.

        Returns:
            The radius of each, in z units, in float64.

        Raises:
            ValueError: a concrete q that is no probability.
        """
        _check_probability(q)
        return self._exact("icdf", _icdf, q)

    def isf(self, q: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Find the z with P(Z > z) = q, for q in [0, 1]; accurate for q down to 1e-290.

        Args:
            q: probabilities, of any shape.

        Returns:
            The radius of each, in z units, in float64.

        Raises:
            ValueError: a concrete q that is no probability.
        """
        _check_probability(q)
        return self._exact("isf", _isf, q)

    def characteristic(self, u: Real[ArrayLike, "*shape"]) -> Float[Host, "*shape"]:
        """Evaluate E cos(2π⟨ξ, x⟩) at ‖ξ‖ = u·R_d.

        It is the share of the ball that its shift by ξ covers,
        I_{1−(u/2)²}((d+1)/2, ½) for u < 2, a regularised incomplete beta function, and 0 from there
        on.

        Args:
            u: frequency radii ‖ξ‖/R_d, at least 0, of any shape.

        Returns:
            The expectation at each, in float64.

        Raises:
            ValueError: a concrete u that is negative, NaN or not real.
        """
        check_points("u", u)
        return self._exact("characteristic", _characteristic, u)

    def sample(self, key: PRNGKeyArray, num: int, dtype: Any = None) -> Float[Array, "num dim"]:
        """Draw points of R^d.

        The radius is the quantile of a uniform number, the direction is uniform. Few points take
        `icdf` itself. For many, radii z ≤ 10d + 60, all but 1 in 30, come from a table that inverts
        an interpolant of F, so that they follow F up to 1e-11 in probability, 1e-5 in float32; the
        others take `isf`, and the tail is as heavy as it should be.

        Args:
            key: random key.
            num: how many points.
            dtype: of the points; the default float where None. In float32 the uniform numbers sit
                on a lattice of 2^-23, which no radius z beyond d·2^23/π passes.

        Returns:
            Points in the paper's units, shape (num, dim).

        Raises:
            ValueError: `num` not a positive integer, a dtype that is neither float32 nor float64.

        Example:
            >>> import jax
            >>> Measure(10).sample(jax.random.key(0), 5).shape
            (5, 10)
        """
        num = check_integer("num", num, 1)
        dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        if dtype not in (jnp.float32, jnp.float64):
            refuse("dtype", "float32 or float64", dtype)
        return sample(self.dim, num, dtype, self.radius_unit, key)

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
    return quantile(dim, q, 1 - q)


def _isf(dim: int, q: Array) -> Array:
    return quantile(dim, 1 - q, q)


@functools.partial(jax.jit, static_argnums=0)
def _characteristic(dim: int, u: Array) -> Array:
    inside = u < 2
    near = jnp.where(inside, u, jnp.ones_like(u)) / 2
    half = jnp.asarray(0.5, u.dtype)
    # 1 − I_x(b, a) loses nothing near u = 0, where the value is 1.
    overlap = 1 - betainc(half, (dim + 1) * half, near * near)
    far = betainc((dim + 1) * half, half, (1 - near) * (1 + near))
    return jnp.where(inside, jnp.where(overlap > 0.5, overlap, far), jnp.zeros_like(u))
