"""Where a target's mass lies: ∫ m over many parts of the frequency axis, with error bounds."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdepth._misc import check_integer, check_real, is_traced, refuse
from jaxdepth.radial._hankel import (
    Moments,
    Rule,
    chebyshev_rule,
    farthest,
    interpolation_error,
    moments,
    rounded_up,
    rule_in_z,
    transform,
    transform_error,
)

NODES_U = 48  # Chebyshev nodes in a panel of u
PARTS = 256  # equal parts of a panel; on each, tubes are counted at their densest
_HIDDEN_PANELS = 64
_LEAST_PANELS = 24  # for parts so fine that tubes are counted closely
_FARTHEST_PHASE = 800.0  # of radius·U, which the cost is proportional to


class Sizes(NamedTuple):
    """The static sizes of a certificate: panels in u, and the rule in z."""

    panels_u: int
    rule: Rule


class Masses(NamedTuple):
    """g's mass on parts [left_j, left_{j+1}) of the frequency axis.

    Attributes:
        mass: shape (panels, PARTS).
        error: bounds on their errors.
        left: the parts' left ends, shape (panels, PARTS).
        end: the last part's right end, U.
        norm_squared: ‖g‖².
        norm_error: a bound on its error.
    """

    mass: Array
    error: Array
    left: Array
    end: Array
    norm_squared: Array
    norm_error: Array


def check_panels(cutoff: Any, panels_u: Any, panels_z: Any) -> tuple[Any, int | None, int | None]:
    """Check a method's settings."""
    if cutoff is not None and not is_traced(check_real("cutoff", cutoff)):
        cutoff = np.float64(cutoff)
        if not 1 < cutoff < math.inf:
            refuse("cutoff", "finite and greater than 1", cutoff)
    return (
        cutoff,
        panels_u if panels_u is None else check_integer("panels_u", panels_u, 2),
        panels_z if panels_z is None else check_integer("panels_z", panels_z, 1),
    )


def settle(
    target: Any, dim: int, log_k: Any, cutoff: Any, panels_u: int | None, panels_z: int | None
) -> tuple[Any, Sizes]:
    """Choose what is not given for about e^log_k directions; None stands for k ~ e^{1.5d}."""
    regularity = target.regularity
    log_k = 1.5 * dim + 5 if log_k is None else log_k
    cutoff = _choose_cutoff(dim, regularity, log_k) if cutoff is None else cutoff
    return cutoff, _choose_sizes(regularity, cutoff, panels_u, panels_z)


def _choose_sizes(
    regularity: Any, cutoff: Any, panels_u: int | None, panels_z: int | None
) -> Sizes:
    """Choose what is not given from a concrete target and cutoff, or for hidden ones."""
    if is_traced(regularity, cutoff):
        rule, default = rule_in_z(regularity, None), _HIDDEN_PANELS
    else:
        highest = float(np.max(cutoff))
        rule = rule_in_z(regularity, highest)
        default = _panels_in_u(float(np.max(regularity.breaks)), highest)
    return Sizes(panels_u or default, Rule(panels_z, 32) if panels_z else rule)


def _choose_cutoff(dim: int, regularity: Any, log_k: Any) -> Any:
    """Choose U past g's own frequencies and where k tubes are a hundredth of the sphere.

    q(u) ≈ u^{1−d}/(a·B(a, ½)) at a = (d−1)/2; and no further than radius·U = 800.
    """
    xp = jnp if is_traced(regularity, log_k) else np
    a = max(dim - 1, 1) / 2
    log_beta = math.lgamma(a) + math.lgamma(0.5) - math.lgamma(a + 0.5)
    sparse = (math.log(100) + xp.maximum(log_k, 0.0) - math.log(a) - log_beta) / (2 * a)
    farthest = _FARTHEST_PHASE / regularity.breaks[-1]
    reach = xp.minimum(regularity.reach, farthest)
    # The minimum in the exponent: in few dimensions k tubes are sparse nowhere near.
    return xp.maximum(reach + 3, xp.exp(xp.minimum(sparse, xp.log(farthest))))


def _panels_in_u(radius: float, cutoff: float) -> int:
    """Choose how many panels resolve m(u) ~ level·e^{2iZu} to e^{−20}.

    N(1 − ln(N/a)) = −20 − ln(level) has a solution a, a quarter of the phase of a panel: the last,
    or those of width 8/panels below u = 1. The level is that of odd dimensions, 2Z³u²/3π.
    """
    level = max(0.0, 3 * math.log(radius) + 2 * math.log(cutoff) + math.log(2 / (3 * math.pi)))
    resolved = 4 * NODES_U * math.exp(-1 - (20 + level) / NODES_U)
    phase = 2 * radius * max(cutoff * math.log(cutoff), 8.0)
    return max(_LEAST_PANELS, rounded_up(phase / resolved))


def place(target: Any, dim: int, sizes: Sizes, cutoff: Array) -> Masses:
    """Integrate m over every part of [0, cutoff]."""
    edges = jax.lax.stop_gradient(edges_of(sizes.panels_u, jnp.asarray(cutoff), jnp))
    loaded = moments(target, dim, sizes.rule)
    mass, error, left = _masses(target, loaded, dim, edges, sizes.rule)
    return Masses(mass, error, left, edges[-1], loaded.norm_squared, loaded.norm_error)


def edges_of(panels: int, cutoff: Any, xp: Any) -> Any:
    """Break [0, U] evenly up to 1, where q has a square-root singularity, then by equal ratios."""
    inner = max(1, panels // 8)
    cutoff = xp.where(cutoff > 1, cutoff, math.nan)  # a tracer hid it: nothing is proven then
    outer = xp.exp(xp.log(cutoff) * (np.arange(1, panels + 1) / panels))
    return xp.concatenate([np.arange(inner + 1) / inner, outer])


def nodes_and_parts(edges: Array) -> tuple[Array, Array, Array]:
    """Return the panels' half widths, their Chebyshev nodes, and the left ends of their parts."""
    nodes, _ = chebyshev_rule(NODES_U, PARTS)
    half = jnp.diff(edges) / 2
    u = (edges[:-1] + half)[:, None] + half[:, None] * nodes[None, :]
    left = edges[:-1, None] + 2 * half[:, None] * (np.arange(PARTS) / PARTS)[None, :]
    return half, u, left


def _masses(
    target: Any, loaded: Moments, dim: int, edges: Array, rule: Rule
) -> tuple[Array, Array, Array]:
    """Integrate m over every part: masses, bounds on their errors, left ends.

    m is replaced by its interpolant on each panel. (The rounding of the rule to parts and of its
    sums is far below that of adding up all parts, which the ladder bounds.) On an ellipse m is at
    most d|u|·|K|², |K| ≤ e^{Z|Im u|} ∫ |g J_ν| b, b = 1 (integer orders), √(2z|u|/π) or √(2/πz|u|)
    (d = 1), and by Cauchy–Schwarz with ∫ g²J_ν²/z = ‖g‖²/d ≤ B²/d, B the bound of g,
    d|K|² ≤ B²e^{2Z|Im u|}·{Z²/2, 2Z³|u|/3π, 2Z/π|u|}.
    """
    half, u, left = nodes_and_parts(edges)
    _, to_parts = chebyshev_rule(NODES_U, PARTS)
    k = jax.lax.map(lambda block: transform(loaded, dim, block), u)
    about = target.regularity
    error = jax.vmap(lambda block: transform_error(about, dim, rule, block))(u)

    values = dim * u * k * k
    value_errors = dim * u * (2 * jnp.abs(k) + error) * error + 8 * 2.0**-52 * values
    radius, reach = about.breaks[-1], farthest(edges[:-1] + half, half)
    if dim % 2 == 0:
        level = jnp.log(reach * radius**2 / 2)
    elif dim == 1:
        level = jnp.log(2 * radius / math.pi) + 0 * reach
    else:
        level = jnp.log(2 * radius**3 / (3 * math.pi)) + 2 * jnp.log(reach)
    analytic = about.bound**2 * interpolation_error(half, 2 * radius, level, NODES_U)

    mass = half[:, None] * (values @ to_parts.T)
    errors = half[:, None] * (value_errors @ np.abs(to_parts).T + 2 / PARTS * analytic[:, None])
    return mass, errors, left
