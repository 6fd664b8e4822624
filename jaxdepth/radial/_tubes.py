"""How much of a target's mass k tubes can hold, for any number of directions k at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array

from jaxdepth.radial._masses import PARTS, Masses

# The model: `betainc` is within this of the truth, relatively, where the truth exceeds 1e-290.
SHARE_ERROR = 1e-10
_TINY = 1e-290
_TERMS = 60  # of a series whose ratio is at most ½
_MOST_EXPONENT = 500.0
_ULP = 2.0**-52


def log_share(dim: int, u: Array) -> Array:
    """Bound from above ln q(u), q the fraction of the sphere of radius u in one tube of radius 1.

    q = I_x(a, ½) with x = 1/u², a = (d−1)/2, in logarithms because u^{1−d} underflows. For x ≤ ½

        I_x(a, ½) = x^a √(1−x)/(a·B(a, ½)) · Σ_n x^n (a+½)_n/(a+1)_n      (DLMF 8.17.8),

    a sum of positive terms with ratios below x.
    """
    if dim == 1:
        return jnp.zeros_like(u)
    a = (dim - 1) / 2
    log_beta = math.lgamma(a) + math.lgamma(0.5) - math.lgamma(a + 0.5)
    outside = u > 1
    x = jnp.where(outside, 1 / jnp.where(outside, u, 2.0) ** 2, 0.25)

    low = jnp.minimum(x, 0.5)
    total = 1 + low / (1 - low)  # the tail, larger than it is
    for n in range(_TERMS, 0, -1):
        total = 1 + (a + n - 0.5) / (a + n) * low * total
    far = a * jnp.log(low) + 0.5 * jnp.log1p(-low) - math.log(a) - log_beta + jnp.log(total)
    half = jnp.asarray(0.5, u.dtype)
    near = jnp.log(jnp.maximum(betainc(a * jnp.ones_like(half), half, jnp.maximum(x, 0.5)), _TINY))

    share = jnp.where(x < 0.5, far, near)
    share = share + SHARE_ERROR + 8 * _ULP * jnp.abs(share)
    return jnp.where(outside, jnp.minimum(share, 0.0), 0.0)


class Ladder(NamedTuple):
    """Σ_j min(1, k·q_j)·M_j made ready for every k: parts that k tubes fill, and parts they do not.

    The shares q_j fall from part to part, so that the filled ones are the first J(k). The floor
    is (1 − c_U)‖g‖² − Σ (c_j − c_U)M_j with c_j = min(1, k·q_j). All sums have two entries on a
    last axis, what they add to the floor and what to its error bound: −M_j and the bound on M_j's
    error.

    Attributes:
        log_q: ln q at the parts' left ends, shape (parts,).
        log_end: ln q(U).
        inner: how many parts begin within u < 1, which is free to every network.
        filled: Σ_{i<j}, shape (parts + 1, 2).
        sparse: Σ_{i≥j} (q_i − q_U)/q̄_j, q̄_j the share at the left of j's panel, likewise.
        log_panel: ln q̄_j, shape (parts + 1,).
        norm: ‖g‖² and its error bound, shape (2,).
        rounding: a bound on the rounding errors of all sums together.
    """

    log_q: Array
    log_end: Array
    inner: Array
    filled: Array
    sparse: Array
    log_panel: Array
    norm: Array
    rounding: Array


def ladder(dim: int, masses: Masses) -> Ladder:
    """Add up a target's masses for every k."""
    shares = log_share(dim, jnp.append(masses.left.ravel(), masses.end))
    log_q, log_end = shares[:-1].reshape(masses.left.shape), shares[-1]
    mass = jnp.stack([-masses.mass, masses.error], axis=-1)
    first = log_q[:, :1]
    weight = jnp.exp(log_q - first) * -jnp.expm1(jnp.minimum(log_end - log_q, 0.0))
    within = jnp.flip(jnp.cumsum(jnp.flip(weight[..., None] * mass, 1), axis=1), 1)

    def earlier(after: Array, panel: tuple[Array, Array]) -> tuple[Array, Array]:
        fall, total = panel
        return fall * (total + after), after

    # From a panel to the one before the unit changes from q̄ of the one to q̄ of the other.
    falls = jnp.exp(jnp.diff(first[:, 0], prepend=first[:1, 0]))
    _, after = jax.lax.scan(
        earlier, jnp.zeros_like(mass[0, 0]), (falls, within[:, 0]), reverse=True
    )
    sparse = (within + after[:, None, :]).reshape(-1, 2)
    filled = jnp.cumsum(mass.reshape(-1, 2), axis=0)
    none = jnp.zeros_like(filled[:1])
    norm = jnp.stack([masses.norm_squared, masses.norm_error])
    return Ladder(
        log_q=log_q.ravel(),
        log_end=log_end,
        inner=jnp.sum(masses.left < 1),
        filled=jnp.concatenate([none, filled]),
        sparse=jnp.concatenate([sparse, none]),
        log_panel=jnp.append(jnp.repeat(first[:, 0], PARTS), log_end),
        norm=norm,
        rounding=(masses.mass.size + 8) * 2 * _ULP * (norm[0] + jnp.sum(jnp.abs(masses.mass))),
    )


def floors(rungs: Ladder, log_k: Array) -> tuple[Array, Array]:
    """Evaluate the computed floor and what must be subtracted from it, elementwise in ln k.

    −∞ stands for k = 0: then what lies within u < 1 is filled and nothing else is.
    """
    end = jnp.minimum(1.0, jnp.exp(log_k + rungs.log_end))
    count = jnp.searchsorted(-rungs.log_q, log_k, side="right")
    count = jnp.where(log_k == -jnp.inf, rungs.inner.astype(count.dtype), count)
    # k·q̄ exceeds 1 by as much as `sparse` is small; where that nears underflow nothing is proven.
    exponent = log_k + rungs.log_panel[count]
    scale = jnp.where(exponent < _MOST_EXPONENT, jnp.exp(exponent), jnp.inf)
    scale = jnp.where(count < rungs.log_q.size, scale, 0.0)
    full = (1 - end)[..., None] * (_rows(rungs.norm, log_k) + rungs.filled[count])
    kept = full + scale[..., None] * rungs.sparse[count]
    return kept[..., 0], jax.lax.stop_gradient(kept[..., 1] + rungs.rounding)


def _rows(pair: Array, shape_of: Array) -> Array:
    return jnp.broadcast_to(pair, (*shape_of.shape, 2))
