"""Bounds on the errors of a network at its vertices, one for all units of a layer (JAX).

At a vertex, `e` ≥ ‖(ĥ − h(ρ))/s‖₂ and `size` ≥ ‖ĥ/s‖₂, the units of a layer measured in scales of
their own, s_i = ‖W_i ∘ s‖₂ + |b_i| with the s of the layer before, so that neither its width nor
units of very different size loosen the bound much. By Cauchy and Schwarz, z = Wh + b is known in
unit i to
    |ẑ_i − z_i| ≤ ‖W_i ∘ s‖₂·(e + γ·size) + γ|b_i|,
which costs nothing next to the product itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth.piecewise._model import SLACK, TINY, UNIT

_MOST = 2.0**400  # sizes and scales beyond may overflow when squared or multiplied
_ROOT = 2.0**-480  # more than the root of any sum of squares that underflow


class Map(NamedTuple):
    """An affine map z = Wh + b as the bounds see it, h in scales s_in and z in `scale`.

    Attributes:
        scale: the s_i, shape (units,).
        gamma: γ of a row.
        rows: at least ‖W_i ∘ s_in‖₂, shape (units,).
        offset: at least γ|b_i|, shape (units,).
        norm: at least ‖diag(1/s)·W·diag(s_in)‖₂.
        norm_of_sizes: at least ‖diag(1/s)·|W|·diag(s_in)‖₂.
        shift: at least ‖b/s‖₂.
    """

    scale: Any
    gamma: float
    rows: Any
    offset: Any
    norm: Any
    norm_of_sizes: Any
    shift: Any


def measure(W: Array, b: Array, scale: Array, sharp: bool) -> Map:
    """Return the `Map` of z = Wh + b, h in the scales `scale`.

    A = diag(1/s)·W·diag(s_in) has ‖A‖₂ ≤ ‖A‖_F, and ‖A‖₂ ≤ √(‖A‖₁‖A‖_∞), 1 for the identity; so has
    |A|. For a random matrix of n units both are near √n where the norm itself is near 2. Where a
    `sharp` bound is worth two products of matrices, in deep networks, it is sought by `_spectral`.
    """
    units, terms = W.shape
    gamma = (terms + 4) * UNIT / (1 - (terms + 4) * UNIT)
    slack = SLACK + 4 * (terms + units) * UNIT
    A = jnp.abs(W) * scale[None]
    # A unit of padding is 0 without error, whatever it is not connected to.
    empty = (jnp.abs(W).sum(axis=1) == 0) & (b == 0)
    rows = jnp.where(empty, 0, jnp.sqrt((A * A).sum(axis=1)) * slack + _ROOT)
    ours = jnp.where(empty, 1, rows + jnp.abs(b))
    A = A / ours[:, None]
    frobenius = jnp.sqrt(((rows / ours) ** 2).sum()) * slack + _ROOT
    others = jnp.sqrt(A.sum(axis=0).max() * A.sum(axis=1).max()) * slack + _ROOT
    norm = norm_of_sizes = jnp.minimum(frobenius, others)
    if sharp and min(units, terms) > 1:
        norm = jnp.minimum(norm, _spectral((W * scale[None] / ours[:, None]), 2))
    shift = jnp.sqrt(((b / ours) ** 2).sum()) * slack + _ROOT
    offset = jnp.where(empty, 0, gamma * jnp.abs(b) * slack + TINY)
    safe = jnp.where(jnp.all(ours < _MOST), 1.0, jnp.nan)  # near overflow nothing is told
    return Map(ours, gamma, safe * rows, offset, safe * norm, safe * norm_of_sizes, shift)


def _spectral(A: Float[Array, "m n"], times: int) -> Float[Array, ""]:
    """Bound ‖A‖₂ = ‖AᵀA‖₂^½ by Frobenius' norm after so many squarings.

    They are done in float32: AᵀA is wrong by (m + 1)2⁻²⁴|A|ᵀ|A| at most, and A by 2⁻²⁴|A|.
    """
    frobenius = jnp.sqrt((A * A).sum()).astype(float)
    if not times:
        return frobenius * (1 + 2.0**-30)
    single = A.astype(jnp.float32)
    single = single if A.shape[0] >= A.shape[1] else single.T
    square = jnp.matmul(single.T, single, precision=jax.lax.Precision.HIGHEST)
    lost = (sum(A.shape) + 8) * 2.0**-23 * frobenius**2 + 2.0**-100
    return jnp.sqrt(_spectral(square.astype(float), times - 1) + lost) * (1 + 2.0**-50)


def unit_errors(m: Map, e: Array, size: Array) -> Float[Array, "vertices units"]:
    """Bound |ẑ_i − z_i|; NaN where z may be near overflow."""
    doubt = (e + m.gamma * _in_range(size)) * SLACK + _ROOT
    return (m.rows[None] * doubt[:, None] + m.offset[None]) * SLACK


def vector_error(m: Map, e: Array, size: Array) -> tuple[Array, Array]:
    """Bound ‖(ẑ − z)/s‖₂ at every vertex, and ‖ẑ/s‖₂ up to the rounding that the first counts.

    The size only ever multiplies a few u: there the first, no less than γ of it, makes up for that.
    """
    longest = m.norm_of_sizes * _in_range(size) + m.shift
    return (m.norm * e + m.gamma * longest) * SLACK + _ROOT, longest


def _in_range(size: Array) -> Array:
    return jnp.where(size < _MOST, size, jnp.nan)


def norms(rows: Float[Array, "vertices units"], scale: Array) -> Float[Array, " vertices"]:
    """Return at least ‖h/s‖₂ of each row h, and not much more."""
    parts = rows / scale[None]
    slack = SLACK + 2 * rows.shape[-1] * UNIT
    return jnp.sqrt((parts * parts).sum(axis=-1)) * slack + _ROOT


def error_between(e: Array, e_t: Array, rise: Array, left: Array, right: Array) -> Array:
    """Bound the error of l + τ(r − l), what an affine quantity is at a kink.

    It is at most e + |t̂ − τ||r̂ − l̂|, e being that of l̂ and of r̂, but for rounding. Of vectors all
    arguments are norms, or bounds on them.
    """
    return (e + e_t * rise + 8 * UNIT * (left + right)) * SLACK + _ROOT


def error_activated(e: Array, size: Array, slope: Any) -> Array:
    """Bound the norm of the error of max(z, 0) + slope·min(z, 0), by that of z and its size.

    It stretches by |slope| at most, or by 1; slopes of 0 and ±1 do not round.
    """
    steep = abs(slope)
    rounds = (steep != 0) & (steep != 1)
    stretched = e * jnp.maximum(steep, 1.0)
    return jnp.where(rounds, (stretched + UNIT * steep * size) * SLACK + _ROOT, stretched)
