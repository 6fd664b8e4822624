"""The Fourier certificate: a lower bound on the error of every 2-layer network, as a number."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from jaxdepth._misc import check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._hankel import (
    Moments,
    chebyshev_rule,
    farthest,
    interpolation_error,
    moments,
    panels_in_z,
    rounded_up,
    transform,
    transform_error,
)
from jaxdepth.radial._targets import AbstractTarget

_NODES_U = 48  # Chebyshev nodes in a panel of u
_PARTS = 256  # equal parts of a panel; on each, tubes are counted at their densest
_PHASE_U = 38.0  # of e^{2iZu} that a panel resolves: N(1 − ln(N/a)) = −30, a = phase/4
_DEFAULT_PANELS_U = 64
_RESOLVED = 1e-6
_SHARE_ERROR = 1e-10  # the model: `betainc` is within this of the truth, relatively


class CertificateResult(eqx.Enumeration):
    """How a floor was proven."""

    bounded: Any = "quadrature errors are proven, rounding errors bounded under a stated model"
    unresolved: Any = (
        "the floor holds but is weak: the quadrature is too coarse, raise `Bounded`'s panels"
    )


class Certificate(eqx.Module):
    """A lower bound on the error of every 2-layer network.

    Attributes:
        floor: E_μ(f − g)² ≥ floor, for every 2-layer f with that many directions; at least 0.
        norm_squared: ‖g‖²_{L2(μ)}, the error of f = 0.
        slack: what was subtracted from the computed floor for quadrature and rounding.
        trusted: whether every slack is below 1e-6. (A floor holds in any case.)
        result: a `CertificateResult`.
    """

    floor: Float[Array | np.ndarray | np.generic, "*shape"]
    norm_squared: Float[Array | np.ndarray | np.generic, ""]
    slack: Float[Array | np.ndarray | np.generic, "*shape"]
    trusted: Bool[Array | np.ndarray | np.generic, ""]
    result: Any


class Bounded(eqx.Module):
    """Certify in float64 with proven quadrature errors and a model of rounding.

    The model: every Bessel value is within 2^-46 of J at its rounded argument, every incomplete
    beta value within 1e-10 of the truth relatively, and sums round like sums. The tests hold both
    against mpmath.

    Args:
        cutoff: the frequency radius U up to which mass is placed; all mass beyond is charged as if
            at U. Chosen from the target and the directions where None.
        panels_u: panels of [0, U]; chosen from the target where None, 72 where a tracer hides it.
        panels_z: panels of [0, radius]; chosen likewise, 32 where a tracer hides it.

    Raises:
        ValueError: a cutoff that does not exceed 1, panels that are not positive integers.
    """

    cutoff: Any
    panels_u: int | None = eqx.field(static=True)
    panels_z: int | None = eqx.field(static=True)

    def __init__(
        self, *, cutoff: Any = None, panels_u: int | None = None, panels_z: int | None = None
    ) -> None:
        if cutoff is not None and not is_traced(cutoff) and not 1 < float(cutoff) < math.inf:
            refuse("cutoff", "finite and greater than 1", cutoff)
        self.cutoff = cutoff if cutoff is None or is_traced(cutoff) else np.float64(cutoff)
        self.panels_u = panels_u if panels_u is None else check_integer("panels_u", panels_u, 2)
        self.panels_z = panels_z if panels_z is None else check_integer("panels_z", panels_z, 1)


def certify(
    target: AbstractTarget,
    dim: int,
    num_directions: Real[ArrayLike, "*shape"],
    *,
    method: Bounded | None = None,
) -> Certificate:
    """Bound from below the L2(μ) error of every 2-layer network on a radial target.

    For f = Σ_{i≤k} f_i(⟨v_i, x⟩), of any activation and widths, (fφ)^ lives in the k tubes
    span{v_i} + R_d·B. Of the sphere of frequency radius u·R_d a tube holds the fraction
    q(u) = I_{1/u²}((d−1)/2, ½) for u > 1 and 1 for u ≤ 1, and g's mass is spread evenly on spheres
    with density m(u) (`AbstractTarget.spectrum`). Hence

        E_μ(f − g)² ≥ ‖g‖² − ∫ m(u) min(1, k q(u)) du,

    evaluated one-sidedly: min(1, kq) at the left end of each part [u_j, u_{j+1}] with mass M_j, and
    at U for all mass beyond. As every such weight c_j is at least c_U, the sum
    (1 − c_U)‖g‖² − Σ (c_j − c_U) M_j needs upper bounds of M_j only.

    k counts DIRECTIONS, not neurons: a network of width k has at most k. Runs in float64 whatever
    the caller's setting; under `jit`, `vmap` or `grad` it needs the caller's x64. Differentiable in
    the target's parameters, the parts held fixed.

    Args:
        target: the radial function g.
        dim: the dimension d, static. In d = 1 every floor is 0.
        num_directions: k, floats (e^d overflows integers), any shape; 0 for constants, else ≥ 1.
        method: how to certify; `Bounded()` where None.

    Returns:
        A `Certificate` whose floor has the shape of `num_directions`.

    Raises:
        ValueError: `dim` not a positive integer, `num_directions` neither 0 nor at least 1.

    Example:
        >>> import numpy as np
        >>> from jaxdepth.radial import Ball
        >>> certificate = certify(Ball(2.0), 3, np.array([1.0, 35.0]))
        >>> [round(float(floor), 4) for floor in certificate.floor]
        [0.1589, 0.0186]

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, lemma 6 and
        proposition 13, whose argument this evaluates instead of estimating.
    """
    dim = check_integer("dim", dim, 1)
    if not isinstance(target, AbstractTarget):
        refuse("target", "a radial target such as `Ball` or `Cosine`", type(target).__name__)
    if not is_traced(num_directions):
        num_directions = np.asarray(num_directions, np.float64)
        allowed = (num_directions == 0) | (num_directions >= 1)
        if not (allowed & np.isfinite(num_directions)).all():
            refuse("num_directions", "0 or at least 1, and finite", num_directions)
    method = Bounded() if method is None else method
    if not isinstance(method, Bounded):
        refuse("method", "a way to certify, such as `Bounded()`", method)
    panels_u, panels_z = _panels(target, dim, num_directions, method)
    kernel = eqx.Partial(_certify, dim, panels_u, panels_z)
    return in_float64("certify", kernel, target, num_directions, method.cutoff)


def _panels(target: Any, dim: int, k: Any, method: Bounded) -> tuple[int, int]:
    """Choose the numbers of panels from what is concrete."""
    if is_traced(target, k, method.cutoff):
        return method.panels_u or _DEFAULT_PANELS_U, method.panels_z or panels_in_z(target, None)
    cutoff = method.cutoff
    if cutoff is None:
        most = np.max(k, initial=1.0)
        cutoff = _cutoff(dim, np.asarray(target.radius), np.asarray(target.growth), most, np)
    cutoff = float(np.max(cutoff))
    phase = 2 * float(np.max(target.radius)) * cutoff * math.log(cutoff)
    return (
        method.panels_u or max(16, rounded_up(phase / _PHASE_U)),
        method.panels_z or panels_in_z(target, cutoff),
    )


def _cutoff(dim: int, radius: Any, growth: Any, k: Any, xp: Any = jnp) -> Any:
    """Choose U past g's own frequencies and where k tubes are a hundredth of the sphere.

    q(u) ≈ u^{1−d}/(a·B(a, ½)) at a = (d−1)/2; and no further than radius·U = 800.
    """
    a = max(dim - 1, 1) / 2
    log_beta = math.lgamma(a) + math.lgamma(0.5) - math.lgamma(a + 0.5)
    sparse = xp.exp((xp.log(100 * xp.maximum(k, 1.0)) - math.log(a) - log_beta) / (2 * a))
    return xp.maximum(growth + 3, xp.minimum(sparse, 800 / radius))


@eqx.filter_jit
def _certify(
    dim: int, panels_u: int, panels_z: int, target: AbstractTarget, k: Array, cutoff: Any
) -> Certificate:
    radius, growth = jax.lax.stop_gradient((target.radius, target.growth))
    k = jnp.asarray(k).astype(jnp.float64)
    k = jnp.where(k == 0, 0.0, jnp.maximum(k, 1.0))  # a tracer hid it from the check
    if cutoff is None:
        cutoff = _cutoff(dim, radius, growth, jnp.max(k, initial=1.0))
    edges = _edges(panels_u, jax.lax.stop_gradient(jnp.asarray(cutoff)))
    loaded = moments(target, dim, panels_z)
    norm, norm_error = loaded.norm_squared, loaded.norm_error
    masses, mass_errors, left = _masses(target, loaded, dim, edges, panels_z)

    many, left = k.reshape(-1, 1), jnp.append(left, edges[-1])[None, :]
    charge = jnp.where(left < 1, 1.0, jnp.minimum(1.0, many * _share(dim, left)))
    beyond = charge[:, -1]
    excess = charge[:, :-1] - beyond[:, None]

    computed = (1 - beyond) * norm - excess @ masses
    sums = (masses.size + 2) * 2.0**-52 * (norm + jnp.sum(jnp.abs(masses)))
    slack = (1 - beyond) * norm_error + excess @ mass_errors + sums
    slack = jax.lax.stop_gradient(jnp.where(jnp.isfinite(slack), slack, jnp.inf))
    finite = jnp.isfinite(computed) & jnp.isfinite(slack)
    floor = jnp.where(finite, jnp.maximum(0.0, computed - jnp.where(finite, slack, 0.0)), 0.0)
    trusted = jnp.all(finite) & (jnp.max(slack, initial=0.0) <= _RESOLVED)
    return Certificate(
        floor=floor.reshape(k.shape),
        norm_squared=norm,
        slack=slack.reshape(k.shape),
        trusted=trusted,
        result=CertificateResult.where(
            trusted, CertificateResult.bounded, CertificateResult.unresolved
        ),
    )


def _edges(panels: int, cutoff: Array) -> Array:
    """Break [0, U] evenly up to 1, where q has a square-root singularity, then by equal ratios."""
    inner = max(1, panels // 8)
    outer = jnp.exp(jnp.log(cutoff) * (np.arange(1, panels + 1) / panels))
    return jnp.concatenate([np.arange(inner + 1) / inner, outer])


def _share(dim: int, u: Array) -> Array:
    """Bound from above the fraction of the sphere of radius u in one tube of radius 1."""
    if dim == 1:
        return jnp.ones_like(u)
    outside = u > 1
    x = jnp.where(outside, 1 / jnp.where(outside, u, 2.0) ** 2, 0.25)
    half = jnp.asarray(0.5, u.dtype)
    inflated = betainc((dim - 1) * half, half, x) * (1 + _SHARE_ERROR)
    return jnp.where(outside, jnp.minimum(inflated, 1.0), 1.0)


def _masses(
    target: AbstractTarget, loaded: Moments, dim: int, edges: Array, panels_z: int
) -> tuple[Array, Array, Array]:
    """Integrate m over every part: masses, bounds on their errors, left ends; flat.

    m is replaced by its interpolant on each panel. On an ellipse m is at most
    d|u|·|K|², |K| ≤ e^{Z|Im u|} ∫ |g J_ν| b, b = 1 (integer orders), √(2z|u|/π), √(2/πz|u|) (d =
    1), and by Cauchy–Schwarz with ∫ g²J_ν²/z = ‖g‖²/d ≤ 1/d,
    d|K|² ≤ e^{2Z|Im u|}·{Z²/2, 2Z³|u|/3π, 2Z/π|u|}.
    """
    nodes, rule = chebyshev_rule(_NODES_U, _PARTS)
    half = jnp.diff(edges) / 2
    middle = edges[:-1] + half
    u = middle[:, None] + half[:, None] * nodes[None, :]
    k = jax.lax.map(lambda block: transform(loaded, dim, block), u)
    held = jax.lax.stop_gradient(target)
    error = jax.vmap(lambda block: transform_error(held, dim, panels_z, block))(u)

    values = dim * u * k * k
    value_errors = dim * u * (2 * jnp.abs(k) + error) * error + 8 * 2.0**-52 * values
    radius, reach = held.radius, farthest(middle, half)
    if dim % 2 == 0:
        level = jnp.log(reach * radius**2 / 2)
    elif dim == 1:
        level = jnp.log(2 * radius / math.pi) + 0 * reach
    else:
        level = jnp.log(2 * radius**3 / (3 * math.pi)) + 2 * jnp.log(reach)
    analytic = interpolation_error(half, 2 * radius, level, _NODES_U)

    masses = half[:, None] * (values @ rule.T)
    errors = half[:, None] * (value_errors @ np.abs(rule).T + 2 / _PARTS * analytic[:, None])
    part = np.arange(_PARTS) / _PARTS
    left = edges[:-1, None] + 2 * half[:, None] * part[None, :]
    return masses.ravel(), errors.ravel(), left.ravel()
