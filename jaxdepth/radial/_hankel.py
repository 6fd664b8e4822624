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

_NODES = (8, 12, 16, 24, 32)  # numbers of Gauss–Legendre nodes in a panel of z, to choose from
_PHASE_HIDDEN = 1700.0  # of e^{iωz} over all of [0, radius], resolved where a tracer hides it
_MOST_PANELS = 2**16
RHO = np.exp(np.linspace(0.05, 5.0, 80))  # ellipses tried; any one is a proof

# The model: every computed J is within this of the truth at its rounded argument.
BESSEL_ERROR = 2.0**-46
_ULP = 2.0**-52


class Rule(NamedTuple):
    """A composite Gauss–Legendre rule in z, by its static sizes.

    Attributes:
        panels: equal panels of every piece of the target.
        nodes: in a panel.
    """

    panels: int
    nodes: int


class Moments(NamedTuple):
    """A quadrature rule in z, loaded with the target.

    Attributes:
        z: nodes in (0, radius).
        load: weight · g(z) · J_ν(z) at the nodes.
        mean_load: weight · g(z) · p(z) at the nodes.
        norm_squared: ∫ g² p dz.
        norm_error: a bound on its quadrature and rounding error.
    """

    z: Array
    load: Array
    mean_load: Array
    norm_squared: Array
    norm_error: Array


def rule_in_z(regularity: Any, highest: Any) -> Rule:
    """Choose a rule that resolves e^{i(1+s+u)z} on every piece, for u up to `highest` (static).

    Where a tracer hides the target or u, one that serves radius·(1 + s + u) up to about 1,700 if
    the pieces are alike.
    """
    breaks = regularity.breaks
    if highest is None or is_traced(regularity):
        return _rule(_PHASE_HIDDEN / (breaks.shape[0] - 1))
    rate = 1 + float(np.max(regularity.growth)) + float(highest)
    return _rule(float(np.max(np.diff(breaks))) * rate)


def _rule(phase: float) -> Rule:
    """Choose the fewest nodes that resolve a phase to rounding."""
    for nodes in _NODES:
        if phase <= _resolved(nodes):
            return Rule(1, nodes)
    return Rule(rounded_up(phase / _resolved(_NODES[-1])), _NODES[-1])


def is_resolved(regularity: Any, rule: Rule, u: Array) -> Array:
    """Tell whether a rule, chosen for what a tracer hid, resolves frequencies u to rounding."""
    width = jnp.max(jnp.diff(jnp.asarray(regularity.breaks))) / rule.panels
    return width * (1 + regularity.growth + u) <= _resolved(rule.nodes) * (1 + 1e-9)


def _resolved(nodes: int) -> float:
    """Solve 2N(1 − ln(2N/a)) = −35 for the phase 4a of e^{iωz} that N nodes resolve to e^{−35}."""
    return 8 * nodes * math.exp(-1 - 35 / (2 * nodes))


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


def moments(target: Any, dim: int, rule: Rule) -> Moments:
    """Load a composite Gauss–Legendre rule with g·J_ν, and integrate g²p by it."""
    about, breaks = target.regularity, jnp.asarray(target.segments.breaks)
    points, weights = np.polynomial.legendre.leggauss(rule.nodes)
    share = ((points[None, :] + 1) / 2 + np.arange(rule.panels)[:, None]) / rule.panels
    widths, pieces = jnp.diff(breaks), breaks.size - 1
    widths = jnp.where(jnp.all(widths >= 0), widths, jnp.nan)  # a tracer hid knots out of order
    z = breaks[:-1, None] + widths[:, None] * share.ravel()[None, :]
    z = jnp.maximum(z.ravel(), 1e-150)  # where a piece at 0 has no width
    weight = widths[:, None] * np.tile(weights / (2 * rule.panels), rule.panels)[None, :]
    g = target.inside(z, np.repeat(np.arange(pieces), rule.panels * rule.nodes))
    order, weight = bessel_pair(dim / 2, z)[0], weight.ravel()
    mean_load = weight * g * (dim * order * order / z)
    norm_squared = jnp.sum(mean_load * g)

    radius = breaks[-1]
    # d·J_ν²/z is at most 2e^{2|Im z|} for integer ν and (2d/π)e^{2|Im z|} for half-integer ν.
    level = 2.0 if dim % 2 == 0 else 2 * dim / math.pi
    quadrature = _gauss_error(about, rule, 2.0, lambda _: math.log(level), power=2)
    sizes = about.bound * ((z.size + 2 * breaks.size + 8 * radius) * about.bound)
    rounding = radius * (
        5 * BESSEL_ERROR * about.bound**2
        + level * (sizes + 8 * about.lipschitz * about.bound * radius) * _ULP
    )
    error = about.bound**2 * quadrature + rounding
    return Moments(z, weight * g * order, mean_load, norm_squared, error)


def transform(moments: Moments, dim: int, u: Array) -> Array:
    """Evaluate K at frequency radii u, shape (n,)."""
    return transform_matrix(dim, u, moments.z) @ moments.load


def transform_matrix(dim: int, u: Array, z: Array) -> Array:
    """Evaluate J_{ν−1}(uz) at all pairs."""
    return bessel_pair(dim / 2, u[:, None] * z[None, :])[1]


def transform_error(regularity: Any, dim: int, rule: Rule, u: Array) -> Array:
    """Bound the error of `transform`: quadrature proven, rounding under the model `BESSEL_ERROR`.

    The argument uz, the node z and the breaks are rounded as well. The first two move the integrand
    by their size times its derivative, at most bound·(1 + u) and g's own; a break between pieces
    moves it by twice the bound. That is for |J_{ν−1}| ≤ 1, d ≥ 2. In d = 1 every error is relative
    to |J_{−½}(uz)| ≤ √(2/πuz), which integrates to √(8Z/πu).
    """
    breaks, bound = regularity.breaks, regularity.bound
    radius, nodes = breaks[-1], (breaks.shape[0] - 1) * rule.panels * rule.nodes

    def envelope(reach: Array) -> Array:
        if dim % 2 == 0:
            return jnp.zeros_like(reach + u[:, None])
        if dim == 1:
            return math.log(2 / math.pi) - 0.5 * jnp.log(u)[:, None] + 0 * reach
        return jnp.log(2 / math.pi * reach) + 0.5 * jnp.log(u)[:, None]

    quadrature = bound * _gauss_error(regularity, rule, (1 + u)[:, None], envelope)
    moved = bound * (nodes + 2 * breaks.shape[0] + 4 * radius * (1 + u))
    rounding = radius * (
        2 * BESSEL_ERROR * bound + (moved + 4 * radius * regularity.lipschitz) * _ULP
    )
    if dim == 1:
        # √(2/πuz) times the integrand's own errors, the rule's sum of z^{−½} within 1% of 2√Z.
        rounding = rounding * (1 + 1.01 * jnp.sqrt(8 / (math.pi * u * radius)))
    return quadrature + rounding


def spectral_density(target: Any, dim: int, u: Array, rule: Rule) -> Array:
    """Evaluate m(u) = d·u·K(u)², shape (n,); in blocks, so that memory stays bounded."""
    loaded = moments(target, dim, rule)
    blocks = -(-u.shape[0] // 64)
    padded = jnp.concatenate([u, jnp.ones((64 * blocks - u.shape[0],), u.dtype)])
    # u·K² ~ u^{d−1} vanishes at 0, or is finite for d = 1: evaluate beside 0, never at it.
    safe = jnp.maximum(padded, 1e-12).reshape(blocks, 64)
    k = jax.lax.map(lambda block: transform(loaded, dim, block), safe).ravel()
    return (dim * safe.ravel() * k * k)[: u.shape[0]]


def _gauss_error(
    regularity: Any,
    rule: Rule,
    rate: Any,
    log_level: Callable[[Array], Array | float],
    power: int = 1,
) -> Array:
    """Bound the error on (g/bound)^power·f, |f| ≤ level·e^{rate·|Im z|}, by the best ellipse.

    The widest panel has the greatest error for its width, so that radius/width such panels bound
    them all.
    """
    radius, rate = regularity.breaks[-1], jnp.asarray(rate) + power * regularity.growth
    width = jnp.max(jnp.diff(jnp.asarray(regularity.breaks))) / rule.panels
    rho = RHO.reshape((1,) * max(rate.ndim - 1, 0) + RHO.shape)
    height, reach = width / 4 * (rho - 1 / rho), radius + width / 4 * (rho + 1 / rho - 2)
    logs = rate * height + log_level(reach) - np.log1p(-(rho**-2.0))
    logs = logs + (power - 2 * rule.nodes) * np.log(rho)
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
    rho = RHO[None, :]
    height = half_width[:, None] / 2 * (rho - 1 / rho)
    logs = rate * height + log_level - nodes * np.log(rho) - np.log1p(-1 / rho)
    return 4 * jnp.exp(jnp.minimum(jnp.min(logs, axis=-1), 600.0))


def farthest(middle: Array, half_width: Array) -> Array:
    """Return the largest |u| on each panel's ellipses, shape (panels, ellipses)."""
    rho = RHO[None, :]
    return middle[:, None] + half_width[:, None] / 2 * (rho + 1 / rho)
