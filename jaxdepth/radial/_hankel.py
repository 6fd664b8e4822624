"""The Hankel-type transform behind the certificate, K(u) = ∫ g(z) J_ν(z) J_{ν−1}(uz) dz, ν = d/2.

All integrands here are entire in z and in u up to a branch z^{d−1}, u^{d−1} with d an integer, so
Gauss–Legendre quadrature converges geometrically, and a bound on a Bernstein ellipse turns the rate
into an inequality. For f analytic and at most M in the ellipse of parameter ρ around [−1, 1],

    N-point Gauss–Legendre:        |error| ≤ (64/15) M ρ^{−2N} / (1 − ρ^{−2})   (N ≥ 2),
    N-point Chebyshev interpolant: |error| ≤ 4 M ρ^{−N} / (1 − ρ^{−1}),

both from the Chebyshev coefficients |a_k| ≤ 2Mρ^{−k} (Trefethen, Approximation Theory and
Approximation Practice, theorems 8.1, 8.2, 19.3). M follows from

    |J_ν(z)| ≤ e^{|Im z|} (ν = 0, 1, …),    |J_{n+½}(z)| ≤ √(2|z|/π) e^{|Im z|} (n = 0, 1, …),
    |J_{−½}(z)| ≤ √(2/π|z|) e^{|Im z|},     |J_ν(z)/z| ≤ e^{|Im z|}/ν (ν = 1, 2, …),

which Bessel's integral, Poisson's integral j_n(z) = ½ i^{−n} ∫ e^{izt} P_n(t) dt and
2ν J_ν/z = J_{ν−1} + J_{ν+1} give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdepth._misc import is_traced, refuse
from jaxdepth.radial._bessel import bessel_pair

NODES_Z = 32  # Gauss–Legendre nodes in a panel of z
# The phase of e^{iωz} that such a panel resolves to rounding: 2N(1 − ln(2N/a)) = −35, a = phase/4.
_PHASE_Z = 54.0
_DEFAULT_PANELS_Z = 32
_MOST_PANELS = 2**16
_RHO = np.exp(np.linspace(0.05, 5.0, 80))  # ellipses tried; any one is a proof

# The model: every computed J is within this of the truth at its rounded argument.
BESSEL_ERROR = 2.0**-46
_ULP = 2.0**-52


class Moments(NamedTuple):
    """A quadrature rule in z, loaded with the target.

    Attributes:
        z: nodes in (0, radius).
        load: weight · g(z) · J_ν(z) at the nodes.
        norm_squared: ∫ g² p dz.
        norm_error: a bound on its quadrature and rounding error.
    """

    z: Array
    load: Array
    norm_squared: Array
    norm_error: Array


def panels_in_z(target: Any, highest: float | None) -> int:
    """Choose how many panels resolve e^{i(1+s+u)z} on [0, radius] for u up to `highest` (static).

    Where a tracer hides the target or u, a number that serves radius·(1 + s + u) up to about 1,700.
    """
    if highest is None or is_traced(target):
        return _DEFAULT_PANELS_Z
    phase = float(np.max(target.radius)) * (1 + float(np.max(target.growth)) + highest)
    return rounded_up(phase / _PHASE_Z)


def rounded_up(number: float) -> int:
    """Round up to 1, 1.5 or 2 times a power of two, so that few shapes are ever compiled."""
    if not number <= _MOST_PANELS:
        refuse(
            "target",
            "of a radius whose product with the frequencies in play a quadrature can resolve",
            f"a phase of {number:.3g} panels",
            "Give a smaller radius or frequency, a smaller `u`, or `Bounded` a smaller cutoff.",
        )
    power = 2 ** max(0, math.ceil(math.log2(max(number, 1))) - 1)
    return next(
        size for size in (power, power + power // 2, 2 * power, 4 * power) if size >= number
    )


def moments(target: Any, dim: int, panels: int) -> Moments:
    """Load a composite Gauss–Legendre rule on [0, radius] with g·J_ν, and integrate g²p by it."""
    points, weights = np.polynomial.legendre.leggauss(NODES_Z)
    share = ((points[None, :] + 1) / 2 + np.arange(panels)[:, None]) / panels
    z = target.radius * share.ravel()
    weight = target.radius * np.tile(weights / (2 * panels), panels)
    g, (order, _) = target.inside(z), bessel_pair(dim / 2, z)
    norm_squared = jnp.sum(weight * g * g * (dim * order * order / z))

    radius, growth = target.radius, target.growth
    # d·J_ν²/z is at most 2e^{2|Im z|} for integer ν and (2d/π)e^{2|Im z|} for half-integer ν.
    level = 2.0 if dim % 2 == 0 else 2 * dim / math.pi
    quadrature = _gauss_error(radius, panels, 2 + 2 * growth, lambda _: math.log(level))
    rounding = radius * (
        5 * BESSEL_ERROR + level * (NODES_Z * panels + 8 * (1 + growth) * radius) * _ULP
    )
    return Moments(z, weight * g * order, norm_squared, quadrature + rounding)


def transform(moments: Moments, dim: int, u: Array) -> Array:
    """Evaluate K at frequency radii u, shape (n,)."""
    return bessel_pair(dim / 2, u[:, None] * moments.z[None, :])[1] @ moments.load


def transform_error(target: Any, dim: int, panels: int, u: Array) -> Array:
    """Bound the error of `transform`: quadrature proven, rounding under the model `BESSEL_ERROR`.

    The argument uz and the node z are rounded as well, and move the integrand by their size times
    its derivative, at most 1 + s + u. That is for |J_{ν−1}| ≤ 1, d ≥ 2. In d = 1 every error is
    relative to |J_{−½}(uz)| ≤ √(2/πuz), which integrates to √(8Z/πu).
    """
    radius, growth = target.radius, target.growth

    def envelope(reach: Array) -> Array:
        if dim % 2 == 0:
            return jnp.zeros_like(reach + u[:, None])
        if dim == 1:
            return math.log(2 / math.pi) - 0.5 * jnp.log(u)[:, None] + 0 * reach
        return jnp.log(2 / math.pi * reach) + 0.5 * jnp.log(u)[:, None]

    quadrature = _gauss_error(radius, panels, (1 + growth + u)[:, None], envelope)
    rounding = radius * (
        2 * BESSEL_ERROR + (NODES_Z * panels + 4 * radius * (1 + growth + u)) * _ULP
    )
    if dim == 1:
        # √(2/πuz) times the integrand's own errors, the rule's sum of z^{−½} within 1% of 2√Z.
        rounding = rounding * (1 + 1.01 * jnp.sqrt(8 / (math.pi * u * radius)))
    return quadrature + rounding


def spectral_density(target: Any, dim: int, u: Array, panels: int) -> Array:
    """Evaluate m(u) = d·u·K(u)², shape (n,); in blocks, so that memory stays bounded."""
    loaded = moments(target, dim, panels)
    blocks = -(-u.shape[0] // 64)
    padded = jnp.concatenate([u, jnp.ones((64 * blocks - u.shape[0],), u.dtype)])
    # u·K² ~ u^{d−1} vanishes at 0, or is finite for d = 1: evaluate beside 0, never at it.
    safe = jnp.maximum(padded, 1e-12).reshape(blocks, 64)
    k = jax.lax.map(lambda block: transform(loaded, dim, block), safe).ravel()
    return (dim * safe.ravel() * k * k)[: u.shape[0]]


def _gauss_error(
    radius: Array, panels: int, rate: Array, log_level: Callable[[Array], Array | float]
) -> Array:
    """Bound the composite rule's error where |f| ≤ level·e^{rate·|Im z|}, by the best ellipse."""
    width, rate = radius / panels, jnp.asarray(rate)
    rho = _RHO.reshape((1,) * max(rate.ndim - 1, 0) + _RHO.shape)
    height, reach = width / 4 * (rho - 1 / rho), radius + width / 4 * (rho + 1 / rho - 2)
    logs = rate * height + log_level(reach) - 2 * NODES_Z * np.log(rho) - np.log1p(-(rho**-2.0))
    return radius / 2 * (64 / 15) * jnp.exp(jnp.minimum(jnp.min(logs, axis=-1), 600.0))


def chebyshev_rule(nodes: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Chebyshev nodes on [−1, 1], and the matrix from values to masses on equal parts.

    Row s integrates the interpolant over the s-th of `parts` equal intervals.
    """
    angles = (np.arange(nodes) + 0.5) * math.pi / nodes
    k = np.arange(nodes)
    coefficients = np.cos(k[:, None] * angles[None, :]) * (2 / nodes)
    coefficients[0] /= 2
    theta = np.arccos(np.clip(np.linspace(-1, 1, parts + 1), -1, 1))[:, None]
    # ∫ T_k = ½(T_{k+1}/(k+1) − T_{k−1}/(k−1)) for k ≥ 2; T_1 and T_2/4 for k = 0, 1.
    higher = np.cos((k + 1) * theta) / (2 * (k + 1))
    lower = np.cos((k - 1) * theta) / np.where(k == 1, 1, 2 * (k - 1))
    primitive = higher - np.where(k >= 2, lower, 0)
    primitive[:, 0] = np.cos(theta[:, 0])
    return np.cos(angles), np.diff(primitive, axis=0) @ coefficients


def interpolation_error(half_width: Array, rate: Any, log_level: Array, nodes: int) -> Array:
    """Bound a Chebyshev interpolant's error where log|f| ≤ log_level + rate·|Im u| on any ellipse.

    `log_level` has shape (panels, ellipses), its last axis along the ellipses of `reach`.
    """
    rho = _RHO[None, :]
    height = half_width[:, None] / 2 * (rho - 1 / rho)
    logs = rate * height + log_level - nodes * np.log(rho) - np.log1p(-1 / rho)
    return 4 * jnp.exp(jnp.minimum(jnp.min(logs, axis=-1), 600.0))


def farthest(middle: Array, half_width: Array) -> Array:
    """Return the largest |u| on each panel's ellipses, shape (panels, ellipses)."""
    rho = _RHO[None, :]
    return middle[:, None] + half_width[:, None] / 2 * (rho + 1 / rho)
