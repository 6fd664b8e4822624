"""Radial functions of compact support: what 2-layer networks fail to approximate."""

from __future__ import annotations

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from jaxdepth._misc import check_finite, check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._bessel import check_points
from jaxdepth.radial._hankel import panels_in_z, spectral_density

Scalar = Float[Array | np.ndarray | np.floating, ""]


class AbstractTarget(eqx.Module):
    """A radial function g with |g| ≤ 1 that vanishes beyond a radius and is entire in z up to it.

    Called on a point x of R^d, it reads the dimension from its shape and evaluates the profile at
    z = 2πR_d‖x‖.
    """

    radius: eqx.AbstractVar[Scalar]

    @property
    @abc.abstractmethod
    def growth(self) -> Scalar:
        """A number s with |g(z)| ≤ e^{s|Im z|} for the entire function that g is up to `radius`.

        By Bernstein's inequality g is then s-Lipschitz there too.
        """

    @abc.abstractmethod
    def inside(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Evaluate the entire function that g is up to `radius`."""

    def profile(self, z: Real[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Evaluate g at scale-free radii z = 2πR_d‖x‖, in their dtype."""
        z = jnp.asarray(z)
        return jnp.where(z <= _as(self.radius, z), self.inside(z), jnp.zeros_like(z))

    def spectrum(
        self, u: Real[ArrayLike, "*shape"], dim: int
    ) -> Float[Array | np.ndarray | np.generic, "*shape"]:
        """Evaluate m(u), the density of g's mass over the frequency radius u = ‖ξ‖/R_d.

        m(u) = d·u·K(u)², K(u) = ∫ g(z) J_ν(z) J_{ν−1}(uz) dz and ν = d/2; it integrates to
        ‖g‖²_{L2(μ)} (Parseval). By Gauss–Legendre quadrature, in float64 whatever the caller's
        setting; under `jit` or `vmap` it needs the caller's x64, and radius·u up to about 1,500 is
        resolved.

        Args:
            u: frequency radii, at least 0.
            dim: the dimension d.

        Returns:
            m(u).

        Example:
            >>> round(float(Ball(2.0).spectrum(1.0, 3)), 5)
            0.26368
        """
        dim = check_integer("dim", dim, 1)
        check_points("u", u)
        panels = panels_in_z(self, None if is_traced(u) else float(np.max(u, initial=0.0)))
        u = u if is_traced(u) else np.asarray(u, np.float64)
        kernel = eqx.Partial(_spectrum, dim, panels)
        return in_float64("spectrum", kernel, self, u)

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Evaluate g at one point of R^d."""
        dim = x.shape[0]
        unit = 2 * math.sqrt(math.pi) * math.exp(math.lgamma(dim / 2 + 1) / dim)
        squared = jnp.sum(x * x)
        origin = squared == 0  # where the square root has no derivative
        norm = jnp.where(origin, 0, jnp.sqrt(jnp.where(origin, jnp.ones_like(squared), squared)))
        return self.profile(unit * norm)


class Cosine(AbstractTarget):
    """The shell wave g(z) = cos(frequency·z) for z ≤ radius, and 0 beyond.

    A frequency of 2 or more leaves (nearly) no spectral mass in u ≤ 1, the part that is free to
    every network.

    Args:
        frequency: at least 0, in reciprocal z units.
        radius: positive, in z units.

    Raises:
        ValueError: a concrete argument out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Cosine(4.0, 63.5)(jnp.zeros(10)))
        1.0
    """

    frequency: Scalar
    radius: Scalar

    def __init__(self, frequency: Any, radius: Any) -> None:
        self.frequency = _parameter("frequency", frequency, positive=False)
        self.radius = _parameter("radius", radius)

    @property
    def growth(self) -> Scalar:
        """|cos(sz)| ≤ e^{s|Im z|}."""
        return self.frequency

    def inside(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Evaluate cos(frequency·z)."""
        return jnp.cos(_as(self.frequency, z) * z)


class Ball(AbstractTarget):
    """The indicator of the ball z ≤ radius.

    Args:
        radius: positive, in z units.

    Raises:
        ValueError: a concrete radius that is not positive and finite.

    Example:
        >>> import jax.numpy as jnp
        >>> Ball(2.0).profile(jnp.array([1.9, 2.1])).tolist()
        [1.0, 0.0]
    """

    radius: Scalar

    def __init__(self, radius: Any) -> None:
        self.radius = _parameter("radius", radius)

    @property
    def growth(self) -> Scalar:
        """A constant does not grow."""
        return 0 * self.radius

    def inside(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Evaluate the constant 1."""
        return jnp.ones_like(z)


def _parameter(argument: str, value: Any, positive: bool = True) -> Any:
    """Keep JAX arrays as they are and hold Python's numbers in full precision."""
    if is_traced(value):
        return value
    if not isinstance(value, (int, float, np.number, np.ndarray, jax.Array)):
        refuse(argument, "a real number", value)
    if np.ndim(value) or jnp.iscomplexobj(value):
        refuse(argument, "one real number", value, "Stack targets by `jax.vmap` over numbers.")
    array = value if isinstance(value, jax.Array) else np.asarray(value, np.float64)
    check_finite(argument, array)
    if not (np.asarray(array) > 0 if positive else np.asarray(array) >= 0).all():
        refuse(argument, "positive" if positive else "non-negative", value)
    return array


def _as(parameter: Any, z: Array) -> Array:
    return jnp.asarray(parameter).astype(z.dtype)


@eqx.filter_jit
def _spectrum(dim: int, panels: int, target: AbstractTarget, u: Any) -> Array:
    return spectral_density(target, dim, jnp.ravel(u), panels).reshape(jnp.shape(u))
