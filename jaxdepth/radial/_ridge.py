"""The bracket from above: the least error of ridge functions along given directions, exactly."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxdepth._misc import check_finite, check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._bessel import bessel_pair, check_points
from jaxdepth.radial._hankel import Rule, moments, rule_in_z
from jaxdepth.radial._targets import AbstractTarget, check_target

_SPACING = 0.5  # of the frequencies; a tube has radius 1
_RIDGE = 1e-10  # of the Gram matrix's unit diagonal
_TERMS = 60


def ridge_error(
    target: AbstractTarget,
    dim: int,
    directions: Real[Array | np.ndarray, "directions dim"],
    *,
    frequencies: Real[Array | np.ndarray, " frequencies"] | None = None,
) -> Float[Array | np.ndarray | np.generic, ""]:
    """Fit a radial target by 2-layer networks of cosines along given directions, without sampling.

    Least squares over f(x) = a + Σ_{i,j} c_ij cos(2πu_j R_d⟨v_i, x⟩) in L2(μ). Nothing is sampled:
    with C the characteristic function of μ the entries of the Gram matrix are

        E cos(2π⟨ξ, x⟩) cos(2π⟨η, x⟩) = (C(|ξ − η|) + C(|ξ + η|))/2,

    and E g·cos(2π⟨ξ, x⟩) is a one-dimensional integral of g·p against the mean of a cosine over a
    sphere. The answer is E_μ(f − g)² of one such f, so that with as many directions

        certify(target, dim, directions).floor ≤ ridge_error(target, dim, directions),

    always. In float64 whatever the caller's setting, right to about 1e-9; under `jit`, `vmap` or
    `grad` it needs the caller's x64. Differentiable in the target and the directions.

    Args:
        target: the radial function g.
        dim: the dimension d, static.
        directions: v_i as rows, of any length but 0, shape (k, d).
        frequencies: u_j, non-negative; where None every half up to 6 beyond the target's own, and
            up to 10 where a tracer hides it.

    Returns:
        The error of the fit; directions·frequencies + 1 cosines cost their number cubed.

    Raises:
        ValueError: rows of another length than d, or 0; frequencies negative.

    Example:
        >>> import numpy as np
        >>> from jaxdepth.radial import Ball, certify
        >>> v = np.random.default_rng(0).normal(size=(10, 3))
        >>> float(certify(Ball(2.0), 3, 10.0).floor) < float(ridge_error(Ball(2.0), 3, v))
        True

    Reference:
        Derived here: cos a·cos b = (cos(a − b) + cos(a + b))/2, and the characteristic function is
        that of `Measure`.
    """
    dim = check_integer("dim", dim, 1)
    check_target(target)
    if not is_traced(directions):
        directions = np.asarray(directions, np.float64)
        check_finite("directions", directions)
    if directions.ndim != 2 or directions.shape[1] != dim or not len(directions):
        refuse("directions", f"rows of length {dim}, at least one", directions.shape)
    if not is_traced(directions) and not (np.abs(directions).max(axis=1, initial=0) > 0).all():
        refuse("directions", "rows that are not 0", directions)
    if frequencies is None:
        reach = 4.0 if is_traced(target) else float(np.max(target.regularity.reach))
        frequencies = np.arange(1, math.ceil((reach + 6) / _SPACING) + 1) * _SPACING
    check_points("frequencies", frequencies)
    check_finite("frequencies", frequencies)
    if np.ndim(frequencies) != 1:
        refuse("frequencies", "one row of numbers", np.shape(frequencies))
    highest = None if is_traced(frequencies) else np.max(frequencies, initial=0.0) + 1
    rule = rule_in_z(target.regularity, highest)
    kernel = eqx.Partial(_ridge_error, dim, rule)
    return in_float64("ridge_error", kernel, target, directions, frequencies)


@eqx.filter_jit
def _ridge_error(dim: int, rule: Rule, target: Any, directions: Array, u: Array) -> Array:
    longest = jax.lax.stop_gradient(jnp.max(jnp.abs(directions), axis=1, keepdims=True))
    v = directions / longest  # squares of what is very long or short are no numbers
    v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
    xi = (v[:, None, :] * u[None, :, None]).reshape(-1, dim)
    xi = jnp.concatenate([jnp.zeros_like(xi[:1]), xi])
    gram = (_overlap(dim, xi, -1) + _overlap(dim, xi, 1)) / 2
    loaded = moments(target, dim, rule)
    by_frequency = _mean_cosine(dim, u[:, None] * loaded.z[None, :]) @ loaded.mean_load
    mean = jnp.sum(loaded.mean_load)[None]
    moment = jnp.concatenate([mean, jnp.tile(by_frequency, v.shape[0])])
    # Whatever its coefficients, a fit is a fit: the ridge keeps them small, the error is theirs.
    ridged = gram + _RIDGE * jnp.eye(gram.shape[0])
    fit = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(ridged), moment)
    return loaded.norm_squared - 2 * fit @ moment + fit @ gram @ fit


def _overlap(dim: int, xi: Array, sign: int) -> Array:
    """Evaluate the characteristic function C(|ξ_i ± ξ_j|) for all pairs of rows.

    C(u) = I_x((d+1)/2, ½), x = 1 − h², h = u/2, by I_x(a+1, ½) = I_x(a, ½) − t_a with
    t_a = x^a·h/(a·B(a, ½)) from I_x(½, ½) = (2/π)·arccos h or I_x(1, ½) = 1 − h (DLMF 8.17.20): to
    rounding in absolute terms, and far faster than a continued fraction a pair.
    """
    squared = jnp.sum(jnp.square(xi[:, None, :] + sign * xi[None, :, :]), axis=-1) / 4
    within = squared < 1 - 1e-12
    # √ has no derivative at 0, where C has a cusp: none is taken there.
    positive = within & (squared > 1e-24)
    h = jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 0.5)), 0.0)
    x = 1 - jnp.where(within, squared, 0.0)
    if dim % 2:
        a, overlap, term = 1.0, 1 - h, x * h / 2
    else:
        a, overlap, term = 0.5, 2 / math.pi * jnp.arccos(h), 2 / math.pi * jnp.sqrt(x) * h
    steps = dim // 2

    def raise_a(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        overlap, term = carry
        at = a + i.astype(term.dtype)
        return overlap - term, term * x * (at + 0.5) / (at + 1)

    overlap, _ = jax.lax.fori_loop(0, steps, raise_a, (overlap, term))
    return jnp.where(within, overlap, 0.0)


def _mean_cosine(dim: int, t: Array) -> Array:
    """Evaluate the mean of cos(⟨tω, e⟩) over unit vectors ω, Λ(t) = Γ(ν)(2/t)^{ν−1} J_{ν−1}(t).

    For t² ≤ 24ν by its series Σ (−t²/4)^n/(n!(ν)_n), whose terms are e⁶ at most; J underflows there
    in high dimensions.
    """
    nu = dim / 2
    near = t * t <= 24 * nu
    small = jnp.where(near, t, 1.0)
    series = jnp.ones_like(t)
    for n in range(_TERMS, 0, -1):
        series = 1 - small * small / (4 * n * (nu + n - 1)) * series
    large = jnp.where(near, 5 * math.sqrt(nu), t)
    below = bessel_pair(nu, large)[1]
    scale = math.lgamma(nu) + (nu - 1) * jnp.log(2 / large)
    far = jnp.sign(below) * jnp.exp(scale + jnp.log(jnp.maximum(jnp.abs(below), 1e-305)))
    return jnp.where(near, series, far)
