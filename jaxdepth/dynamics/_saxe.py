"""The strengths of single modes: Saxe's closed forms at any depth, and how singular values move."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, is_traced, refuse, working_dtype
from jaxdepth.dynamics._end_to_end import Depth, check_depth, end_to_end

Numbers = float | int | np.ndarray | Float[Array, "..."]


def saxe_mode(t: Numbers, s: Numbers, u0: Numbers, depth: Depth) -> Float[Array, "..."]:
    r"""Return the strength of one mode at time t: the solution of u̇ = N·u^{2−2/N}(s − u).

    Gradient flow on N balanced layers, square loss and white inputs keeps the singular vectors of
    an aligned start, and its singular values obey this, each for itself. In closed form
    u = s + (u₀ − s)e^{−t} at N = 1 and the logistic u = s/(1 + (s/u₀ − 1)e^{−2st}) at N = 2; at
    any other depth the time integral `saxe_time`, a hypergeometric function, is inverted by
    bisection and three Newton steps.

    Args:
        t: time η·steps, at least 0.
        s: the strength in the data, positive.
        u0: the strength at the start, at least 0; it may exceed s. 0 stays 0 at depth above 1, as
            layers at 0 do (between 1 and 2 the equation has other solutions, which leave it).
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        u(t), of the shape that t, s and u0 broadcast to. In float64 to 1e-12 of u + t·|u̇|, for
        the rounding of t is amplified like that. Differentiable in all four, to any order, in both
        modes; once at u0 = s, where it is s + (u0 − s)exp(−N·s^{2−2/N}t) to first order. At u0 = 0
        and depth above 1 it is taken as constant.

    Raises:
        ValueError: a negative time, s not positive, u0 negative, non-finite numbers, depth below 1.

    Example:
        >>> [round(float(saxe_mode(1.0, 2.0, 0.1, N)), 4) for N in (1, 2, 3)]
        [1.301, 1.4837, 1.7466]

    Reference: Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks* (2014), equations 6 and 9 (N = 2) and section 1.2; Arora, Cohen,
    Hu & Luo (2019), *Implicit Regularization in Deep Matrix Factorization*, Theorem 3.
    """
    return _mode(*_prepare(depth, t=t, s=s, u0=u0))


def saxe_time(u: Numbers, s: Numbers, u0: Numbers, depth: Depth) -> Float[Array, "..."]:
    r"""Return the time at which a mode of `saxe_mode` has strength u.

    ∫_{u₀}^{u} dv / (N·v^{2−2/N}(s − v)): a difference of incomplete beta functions, summed as
    series of positive terms. Half of s is passed, from a small start, at log(s/u₀)/(2s) for N = 2,
    and at about u₀^{−(1−2/N)}/(s(N − 2)) for N > 2: the plateaus.

    Args:
        u: the strength to reach, at least 0.
        s: the strength in the data, positive.
        u0: the strength at the start, at least 0.
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        The time, of the shape that u, s and u0 broadcast to. In float64 to 1e-12 of itself and of
        u/|u̇| at both ends, for the rounding of u and u0 is amplified like that. Negative where u
        was passed before u0, and infinite where it is never reached: s itself, what lies beyond
        it, and all else from a start at 0 or s (at N = 1, where 0 is left, at s). The way from 0,
        as u, took finite time at N below 2; from 0, as u0, it begins at no certain one, if N is
        above 1, and the time is that of `saxe_mode`, infinite.

    Raises:
        ValueError: as `saxe_mode`.

    Example:
        >>> [round(float(saxe_time(1.0, 2.0, 0.1, N)), 4) for N in (1, 2, 3)]
        [0.6419, 0.7361, 0.7123]

    Reference: Saxe, McClelland & Ganguli (2014), equation 8 (N = 2).
    """
    return _time(*_prepare(depth, u=u, s=s, u0=u0))


def singular_value_rates(
    W: Float[Array, "m n"], G: Float[Array, "m n"], depth: Depth
) -> Float[Array, " k"]:
    """Return how fast each singular value of W moves: σ̇_r = −N·σ_r^{2−2/N}⟨u_r, G v_r⟩.

    The rates of the flow Ẇ = −P_W[G] of N balanced layers: a deep network moves large singular
    values fast and leaves small ones behind.

    Args:
        W: the end-to-end matrix, shape (m, n).
        G: the gradient at W, of the same shape.
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        The rates, min(m, n) of them, for singular values in descending order. Of values that
        coincide only the sum of their rates does not depend on the choice of their vectors; a
        value of 0 has no sign of its own at N = 1, and rests at every depth above.

    Raises:
        ValueError: as `end_to_end`.

    Example:
        >>> import jax.numpy as jnp
        >>> W, G = jnp.diag(jnp.array([4.0, 1.0])), -jnp.ones((2, 2))
        >>> singular_value_rates(W, G, 2).round(4).tolist()
        [8.0, 2.0]

    Reference: Arora, Cohen, Hu & Luo (2019), Theorem 3.
    """
    moved = end_to_end(W, G, depth)
    # There is no SVD in half precision.
    wide = jnp.dtype(jnp.float32) if jnp.finfo(moved.dtype).bits < 32 else moved.dtype
    U, _, Vt = jnp.linalg.svd(jnp.asarray(W).astype(wide), full_matrices=False)
    along = jnp.einsum("ir,ij,rj->r", U, moved.astype(wide), Vt, precision="highest")
    return -along.astype(moved.dtype)


def _prepare(depth: Any, **numbers: Any) -> list[Array]:
    """Return the numbers, broadcast and of one float dtype, and the depth in it; check all."""
    check_depth(depth)
    for name, value in numbers.items():
        check_finite(name, value)
        if is_traced(value):
            continue
        if name == "s" and not np.all(np.asarray(value) > 0):
            refuse(name, "positive", value)
        if not np.all(np.asarray(value) >= 0):
            refuse(name, "at least 0", value)
    dtype = working_dtype(*numbers.values())
    arrays = [jnp.asarray(value).astype(dtype) for value in numbers.values()]
    return [*jnp.broadcast_arrays(*arrays), jnp.asarray(depth).astype(dtype)]


# ---- The time integral ----
#
# With x = v/s and τ = N·s^{2−2/N}·t the flow is dx/dτ = x^{2−2/N}(1 − x). In ζ = log(x/(1 − x)),
# for which dx = x(1 − x)dζ, that is dτ = x^β dζ with β = 2/N − 1: a straight line at N = 2. From
# above, x > 1, put p = 1/x and find the same with β = 2 − 2/N. So for p = 1/(1 + e^{−ζ}) < 1,
#
#     τ = ∫_{ζ₀}^{ζ} p^β dζ = ∫_{p₀}^{p} p^{β−1}/(1 − p) dp,     −1 < β < 2.
#
# Up to p = ½ expand 1/(1 − p): Σ_k (p^m − p₀^m)/m, m = β + k. From there on, in y = 1 − p, expand
# (1 − y)^{β−1} = Σ_k c_k y^k: log(y₀/y) + Σ_{k≥1} c_k(y₀^k − y^k)/k. Both fall by ½ a term, and
# the first, and the whole of the second, are sums without cancellation.


@jax.jit
def _mode(t: Array, s: Array, u0: Array, N: Array) -> Array:
    # What does not move has an infinite logit, which must not reach the derivatives.
    moves, below = (u0 > 0) & (u0 != s), u0 < s
    start, beta = _logit(jnp.where(moves, u0, s / 2), s, N)
    p = jax.nn.sigmoid(_advance(start, N * s ** (2 - 2 / N) * t, beta))
    moved = s * jnp.where(below, p, 1 / jnp.where(below, 1, p))
    from_zero = jnp.where(N == 1, u0 * jnp.exp(-t) - s * jnp.expm1(-t), 0)
    near_s = s + (u0 - s) * jnp.exp(-N * s ** (2 - 2 / N) * t)
    return jnp.where(moves, moved, jnp.where(u0 == s, near_s, from_zero))


@jax.jit
def _time(u: Array, s: Array, u0: Array, N: Array) -> Array:
    one_side = (u < s) == (u0 < s)
    flows = one_side & (u != s) & (u0 != s)
    # Below N = 2 the integral from 0 converges: its first ε of s by the leading term p^β/β, β > 0.
    to_zero = flows & (u == 0) & (u0 > 0) & (N > 1) & (N < 2)
    positive = (flows & (u > 0) & (u0 > 0)) | to_zero
    least = jnp.minimum(u0, jnp.finfo(s.dtype).eps * s)
    start, beta = _logit(jnp.where(positive, u0, s / 2), s, N)
    end, _ = _logit(jnp.where(positive, jnp.where(to_zero, least, u), s / 2), s, N)
    forth = start <= end
    passed = _elapsed(jnp.where(forth, start, end), jnp.where(forth, end, start), beta)
    safe = jnp.where(to_zero, beta, 1)
    left = jnp.where(to_zero, jnp.where(to_zero, least / s, 1) ** safe / safe, 0)
    passed = (jnp.where(forth, passed, -passed) - left) / (N * s ** (2 - 2 / N))
    shallow = jnp.log1p(jnp.where(flows, u - u0, 0) / jnp.where(flows, s - u, 1))
    # From 0 nothing leaves at N > 1, and from N = 2 on nothing has come from there in finite time.
    rests = jnp.where(u == u0, 0, jnp.where((u == 0) & one_side, -jnp.inf, jnp.inf))
    return jnp.where(positive, passed, jnp.where(flows & (N == 1), shallow, rests))


def _logit(u: Array, s: Array, N: Array) -> tuple[Array, Array]:
    """Return ζ of a strength, and its β, which depends on the side of s that it is on."""
    low, high = jnp.minimum(u, s), jnp.maximum(u, s)
    return jnp.log(low) - jnp.log(high - low), jnp.where(u < s, 2 / N - 1, 2 - 2 / N)


def _elapsed(start: Array, end: Array, beta: Array) -> Array:
    """Return τ between two logits, start ≤ end."""
    terms = jnp.finfo(start.dtype).nmant + 4
    k = jnp.arange(1, terms, dtype=start.dtype).reshape(*[1] * start.ndim, -1)
    first = beta
    start, end, b = (each[..., None] for each in (start, end, beta))

    log_p0, log_p = (-jax.nn.softplus(-jnp.minimum(each, 0)) for each in (start, end))
    grown = log_p - log_p0
    rising = jnp.exp((b + k) * log_p) * grown * _slope(-(b + k) * grown)
    low, high = log_p0[..., 0], log_p[..., 0]
    # (p^β − p₀^β)/β, from the larger of the two powers down
    leading = jnp.exp(first * jnp.where(first < 0, low, high)) * (high - low)
    leading = leading * _slope(-jnp.abs(first) * (high - low))

    log_y0, log_y = (-jax.nn.softplus(jnp.maximum(each, 0)) for each in (start, end))
    shrunk = log_y - log_y0
    c = jnp.cumprod((k - b) / k, axis=-1)
    falling = -c / k * jnp.exp(k * log_y0) * jnp.expm1(k * shrunk)
    return leading + rising.sum(-1) - shrunk[..., 0] + falling.sum(-1)


def _slope(x: Array) -> Array:
    """Return (e^x − 1)/x, with derivatives that keep their digits at x = 0."""
    near = jnp.abs(x) < 0.1
    small = jnp.where(near, x, 0)
    series = functools.reduce(
        lambda total, n: 1 + small * total / n, range(11, 1, -1), small * 0 + 1
    )
    apart = jnp.where(near, 1, x)
    return jnp.where(near, series, jnp.expm1(apart) / apart)


def _log_complement(x: Array) -> Array:
    """Return log(1 − e^x) for x ≤ 0."""
    return jnp.where(x < -0.7, jnp.log1p(-jnp.exp(x)), jnp.log(-jnp.expm1(x)))


@jax.custom_jvp
def _advance(start: Array, tau: Array, beta: Array) -> Array:
    """Return the logit at time τ after `start`.

    dζ/dτ = p^{−β} gives the bracket. For β ≤ 0 it lies between p₀^{−β} and 1. For β ≥ 0 it is at
    least 1; and with v = p^m, m = max(β, 1), v̇ ≤ m(1 − v), so that 1 − v decays no faster than
    e^{−mτ}, where 1 − p ≥ (1 − v)/m. That is equality at β = 1, as the other is at β = 0.
    """
    log_p0 = -jax.nn.softplus(-start)
    m = jnp.maximum(beta, 1)
    log_rest = _log_complement(m * log_p0) - m * tau
    slowest = jnp.log(m) - log_rest + _log_complement(log_rest) / m
    low = start + tau * jnp.exp(jnp.maximum(-beta, 0) * log_p0)
    high = jnp.where(beta <= 0, start + tau, jnp.maximum(slowest, low))
    low = jnp.where(beta == 1, high, low)

    halvings = jnp.finfo(start.dtype).nmant + 12

    def refine(i: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, zeta = state
        late = _elapsed(start, zeta, beta) - tau
        low, high = jnp.where(late < 0, zeta, low), jnp.where(late < 0, high, zeta)
        step = late * jnp.exp(beta * jax.nn.softplus(-zeta))
        newton = jnp.clip(zeta - jnp.where(jnp.isfinite(step), step, 0), low, high)
        return low, high, jnp.where(i < halvings, low + (high - low) / 2, newton)

    first = (low, high, low + (high - low) / 2)
    return jax.lax.fori_loop(0, halvings + 3, refine, first)[2]


@_advance.defjvp
def _advance_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # τ(ζ₀, ζ, β) is constant along p^β dζ − p₀^β dζ₀ + ∂_βτ dβ − dτ = 0.
    (start, tau, beta), (d_start, d_tau, d_beta) = primals, tangents
    zeta = _advance(start, tau, beta)
    slower = jax.jvp(lambda beta: _elapsed(start, zeta, beta), (beta,), (d_beta,))[1]
    log_p0, log_p = -jax.nn.softplus(-start), -jax.nn.softplus(-zeta)
    moved = jnp.exp(-beta * log_p) * (d_tau - slower)
    return zeta, moved + jnp.exp(beta * (log_p0 - log_p)) * d_start
