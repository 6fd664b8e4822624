"""Radial functions of compact support: what 2-layer networks fail to approximate."""

from __future__ import annotations

import abc
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Real

from jaxdepth._misc import check_finite, check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._bessel import check_points
from jaxdepth.radial._hankel import Rule, is_resolved, rule_in_z, spectral_density

Scalar = Float[Array | np.ndarray | np.floating, ""]


class Segments(NamedTuple):
    """A target written out: a line times a wave on each of some segments of the radius.

    Between b_j and b_{j+1}, g is the line from left_j to right_j, times cos(wave·z); outside all
    segments it is 0.

    Attributes:
        breaks: radii 0 ≤ b_0 ≤ b_1 ≤ … ≤ b_m, shape (m + 1,).
        left: of the lines, shape (m,).
        right: of the lines, shape (m,).
        wave: a frequency, at least 0.
        reach: how far in u it is worth to place g's mass; a guide, no bound.
        break_error: how far the breaks may be from those meant, relatively.

    Example:
        >>> Ball(2.0).segments.breaks.tolist(), Ball(2.0).segments.left.tolist()
        ([0.0, 2.0], [1.0])
    """

    breaks: Any
    left: Any
    right: Any
    wave: Any = 0.0
    reach: Any = 0.0
    break_error: float = 0.0


class Regularity(NamedTuple):
    """What bounds a target g: |g(z)| ≤ bound·ρ·e^{growth·|Im z|} for z of parameter ρ.

    That is on the Bernstein ellipse of parameter ρ around a part of a segment. A line bounded there
    on the real line is at most ρ times as large (Bernstein), and |cos(sz)| ≤ e^{s|Im z|}.

    Attributes:
        breaks: radii between the segments.
        bound: of |g| on the real line.
        growth: s.
        lipschitz: a Lipschitz constant of g within every segment.
        reach: how far in u it is worth to place g's mass; a guide, no bound.
    """

    breaks: Any
    bound: Any
    growth: Any
    lipschitz: Any
    reach: Any


class AbstractTarget(eqx.Module):
    """A radial function g of compact support, on every segment of the radius a line times a wave.

    Called on a point x of R^d, it reads the dimension from its shape and evaluates the profile at
    z = 2πR_d‖x‖.

    Example:
        >>> class Cone(AbstractTarget):  # 1 − z/radius on the ball
        ...     radius: float
        ...     @property
        ...     def segments(self):
        ...         return Segments(np.array([0.0, self.radius]), np.ones(1), np.zeros(1))
        >>> Cone(2.0).profile(jnp.array([0.0, 1.0, 3.0])).tolist()
        [1.0, 0.5, 0.0]
    """

    @property
    @abc.abstractmethod
    def segments(self) -> Segments:
        """The target written out: all that certificates read."""

    @property
    def regularity(self) -> Regularity:
        """What bounds the target, without derivatives: bounds are not differentiated."""
        g = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if is_traced(x) else x, self.segments)
        xp = jnp if is_traced(g) else np
        bound = xp.maximum(xp.max(xp.abs(g.left)), xp.max(xp.abs(g.right)))
        widths = xp.diff(g.breaks)
        slopes = xp.abs(g.right - g.left) / xp.where(widths > 0, widths, 1.0)
        return Regularity(g.breaks, bound, g.wave, xp.max(slopes) + g.wave * bound, g.reach)

    def inside(
        self, z: Float[Array, "*shape"], piece: Int[Array | np.ndarray, "*shape"]
    ) -> Float[Array, "*shape"]:
        """Evaluate at z the entire function that g is on a segment, counted from 0.

        Args:
            z: scale-free radii, of any shape.
            piece: the segment of each, of the same shape.

        Returns:
            The values.
        """
        g = jax.tree.map(lambda leaf: like(leaf, z), self.segments)
        start, width = g.breaks[piece], jnp.diff(g.breaks)[piece]
        share = (z - start) / jnp.where(width > 0, width, jnp.ones_like(width))
        return (g.left[piece] + (g.right - g.left)[piece] * share) * jnp.cos(g.wave * z)

    def profile(self, z: Real[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Evaluate g at scale-free radii z = 2πR_d‖x‖, in their dtype; from the left at a break.

        Args:
            z: scale-free radii, of any shape.

        Returns:
            The values g(z).
        """
        z = jnp.asarray(z)
        z = z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(float)
        breaks = like(self.segments.breaks, z)
        piece = jnp.clip(jnp.searchsorted(breaks, z) - 1, 0, breaks.size - 2)
        within = (z >= breaks[0]) & (z <= breaks[-1])
        outside = jnp.where(jnp.isnan(z), z, jnp.zeros_like(z))
        return jnp.where(within, self.inside(z, piece), outside)

    def spectrum(
        self, u: Real[ArrayLike, "*shape"], dim: int
    ) -> Float[Array | np.ndarray | np.generic, "*shape"]:
        """Evaluate m(u), the density of g's mass over the frequency radius u = ‖ξ‖/R_d.

        m(u) = d·u·K(u)², K(u) = ∫ g(z) J_ν(z) J_{ν−1}(uz) dz and ν = d/2; it integrates to
        ‖g‖²_{L2(μ)} (Parseval). By Gauss–Legendre quadrature, in float64 whatever the caller's
        setting; under `jit` or `vmap` it needs the caller's x64, and radius·u beyond about 1,500 is
        not resolved and NaN.

        Args:
            u: frequency radii, at least 0.
            dim: the dimension d.

        Returns:
            m(u).

        Raises:
            ValueError: `dim` not a positive integer; a concrete u that is negative, NaN or not
                real.

        Example:
            >>> round(float(Ball(2.0).spectrum(1.0, 3)), 5)
            0.26368
        """
        dim = check_integer("dim", dim, 1)
        check_points("u", u)
        rule = rule_in_z(self.regularity, None if is_traced(u) else np.max(u, initial=0.0))
        u = u if is_traced(u) else np.asarray(u, np.float64)
        kernel = eqx.Partial(_spectrum, dim, rule)
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
        self.frequency = parameter("frequency", frequency, positive=False)
        self.radius = parameter("radius", radius)

    @property
    def segments(self) -> Segments:
        """One, of constant 1 times the wave."""
        breaks, one = stacked(0.0, self.radius), np.ones(1)
        return Segments(breaks, one, one, wave=self.frequency, reach=self.frequency)


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
        self.radius = parameter("radius", radius)

    @property
    def segments(self) -> Segments:
        """One, of constant 1."""
        return Segments(stacked(0.0, self.radius), np.ones(1), np.ones(1))


def check_target(target: Any) -> None:
    """Refuse what is no radial target."""
    if not isinstance(target, AbstractTarget):
        refuse("target", "a radial target such as `Ball` or `Cosine`", type(target).__name__)


def parameter(argument: str, value: Any, positive: bool = True) -> Any:
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


def like(parameter: Any, z: Array) -> Array:
    """Return a parameter in the dtype of the points."""
    return jnp.asarray(parameter).astype(z.dtype)


def stacked(*numbers: Any) -> Any:
    """Put scalars, or axes of numbers, one after the other: on the host where all are concrete."""
    if is_traced(numbers):
        dtype = next(leaf.dtype for leaf in numbers if is_traced(leaf))
        return jnp.concatenate([jnp.atleast_1d(jnp.asarray(leaf, dtype)) for leaf in numbers])
    return np.concatenate([np.atleast_1d(np.asarray(leaf, np.float64)) for leaf in numbers])


@eqx.filter_jit
def _spectrum(dim: int, rule: Rule, target: AbstractTarget, u: Any) -> Array:
    density = spectral_density(target, dim, jnp.ravel(u), rule).reshape(jnp.shape(u))
    return jnp.where(is_resolved(target.regularity, rule, u), density, jnp.nan)
