"""The float64 model of a piecewise linear network on an interval, and all that rounding can hide.

A row (x, h₁, …, hₘ) stands for a vertex: an end of the interval or the true kink ρ of some unit,
and the hidden vector h(ρ) there. Between neighbouring vertices every unit of the layers so far is
affine. Each entry carries a bound on its error, by the standard model fl(a ∘ b) = (a ∘ b)(1 + δ),
|δ| ≤ u = 2⁻⁵³, with γₙ = nu/(1 − nu) for a sum of n terms in whatever order (Higham 2002, Sections
2.2 and 3.1), fused or not; what underflows is worth less than the `_TINY` in every bound. A bound
of 0 says that the entry is the true number: arithmetic on dyadic numbers of few bits does not
round, and networks built from theory (a sawtooth) consist of nothing else.

The functions here serve NumPy and JAX alike, `xp` being the one or the other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

UNIT = 2.0**-53
_TINY = 2.0**-1000
_EXPONENTS = 900  # numbers of exactly known bits are looked for between 2^±900 only
_SLACK = 1 + 16 * UNIT  # for the rounding of the few operations that compute a bound


def affine(
    xp: Any, rows: Any, errors: Any, weight: Any, bias: Any, exact: Any = None
) -> tuple[Any, Any]:
    """Return the rows (x, Wh + b) and their error bounds.

    |fl(Wĥ + b) − (Wh + b)| ≤ |W|e + γ(|W||ĥ| + |b|), e the bound on ĥ; two terms more in γ pay for
    the rounding of the bound itself. `exact` (from `exactly`) marks the sums that do not round.
    """
    h, e = rows[:, 1:], errors[:, 1:]
    terms = (weight.shape[1] + 4) * UNIT
    gamma = terms / (1 - terms)
    z = h @ weight.T + bias
    bound = (e + gamma * abs(h)) @ abs(weight).T + gamma * abs(bias)
    bound = bound * (1 + 2 * gamma) + _TINY
    if exact is not None:
        bound = xp.where(exact, 0.0, bound)
    return (
        xp.concatenate([rows[:, :1], z], axis=1),
        xp.concatenate([errors[:, :1], bound], axis=1),
    )


def exactly(xp: Any, rows: Any, errors: Any, weight: Any, bias: Any) -> Any:
    """Mark the sums Wh + b that float64 computes without rounding, shape (vertices, units).

    Where h and W are multiples of 2^p and 2^r, and b of 2^(p+r), all partial sums are multiples of
    2^(p+r); none rounds if they stay within 2^(53+p+r).
    """
    h = rows[:, 1:]
    known = ~xp.any(errors[:, 1:] != 0, axis=1)
    grid = xp.minimum(
        lowest_bit(xp, h).min(axis=1)[:, None] + lowest_bit(xp, weight).min(axis=1)[None],
        lowest_bit(xp, bias)[None],
    )
    most = abs(h).max(axis=1)[:, None] * abs(weight).sum(axis=1)[None] + abs(bias)[None]
    return known[:, None] & _fits(xp, most * (1 + 2 * weight.shape[1] * UNIT), grid)


def undecided(xp: Any, values: Any, errors: Any) -> Any:
    """Mark the values whose sign the bound does not settle, and those near overflow or NaN."""
    size = abs(values)
    return ~(((size > errors) | (errors == 0)) & (size < 2.0**_EXPONENTS))


def kink(
    xp: Any, left: Any, right: Any, e_left: Any, e_right: Any, unit: Any, dyadic: bool = True
) -> tuple[Any, Any, Any, Any]:
    """Return (t, its error bound, the row, its error bounds) of units that change sign.

    On the segment from `left` to `right` the unit vanishes at τ = z_l/(z_l − z_r). With |ẑ_l − z_l|
    and |ẑ_r − z_r| at most e,
        t̂ − τ = (|z_r|(|ẑ_l| − |z_l|) − |z_l|(|ẑ_r| − |z_r|)) / ((|ẑ_l| + |ẑ_r|)(|z_l| + |z_r|))
    is at most e/(|ẑ_l| + |ẑ_r|) but for the rounding of t̂. An affine entry at the kink is
    l + τ(r − l), wrong by at most max(e_l, e_r) + |t̂ − τ||r̂ − l̂| but for rounding; the unit's own
    is 0.

    Args:
        xp: numpy or jax.numpy.
        left: the rows before the kinks, shape (kinks, 1 + units).
        right: the rows after them.
        e_left: bounds on `left`.
        e_right: bounds on `right`.
        unit: the column of each kink's unit, shape (kinks,).
        dyadic: look for kinks that float64 computes without rounding.
    """
    own = xp.arange(left.shape[1])[None] == unit[:, None]
    e = xp.maximum(e_left, e_right)
    rise = right - left
    z_l, span, e_z = (xp.sum(xp.where(own, table, 0.0), axis=1) for table in (left, -rise, e))
    t = z_l / span
    e_t = (e_z / abs(span) + 4 * UNIT) * _SLACK
    row = xp.where(own, 0.0, left + t[:, None] * rise)
    bound = e + e_t[:, None] * abs(rise) + 8 * UNIT * (abs(left) + abs(right))
    bound = bound * _SLACK + _TINY
    if dyadic:
        exact = _kink_exactly(xp, left, right, e, t, z_l, span)
        e_t, own = xp.where(exact, 0.0, e_t), own | exact[:, None]
    return t, e_t, row, xp.where(own, 0.0, bound)


def _kink_exactly(xp: Any, left: Any, right: Any, e: Any, t: Any, z_l: Any, span: Any) -> Any:
    """Mark the kinks that do not round.

    So it is where both rows are known exactly, are multiples of 2^p, and t̂ of 2^q with
    t̂(z_l − z_r) = z_l, while all stays within 2^(53+p+q).
    """
    grid = xp.minimum(lowest_bit(xp, left).min(axis=1), lowest_bit(xp, right).min(axis=1))
    most = abs(left).max(axis=1) + abs(right).max(axis=1)
    within = _fits(xp, most, grid + lowest_bit(xp, t))
    return ~xp.any(e != 0, axis=1) & (t * span == z_l) & within


def apart(xp: Any, t: Any, e_t: Any) -> tuple[Any, Any]:
    """Say of neighbours t₁ ≤ t₂ whether they are proven different, and whether proven equal."""
    gap, doubt = t[1:] - t[:-1], (e_t[1:] + e_t[:-1]) * _SLACK
    return gap > doubt, (gap == 0) & (doubt == 0)


def activated(xp: Any, rows: Any, errors: Any, slope: Any) -> tuple[Any, Any]:
    """Apply max(z, 0) + slope·min(z, 0) to the h of every row."""
    keep = (rows > 0) | (xp.arange(rows.shape[1])[None] == 0)  # x is no unit
    bent = slope * rows
    whole = (slope == 0) | (abs(slope) == 1)  # such a product does not round
    bound = (abs(slope) * errors + xp.where(whole, 0.0, UNIT * abs(bent) + _TINY)) * _SLACK
    return xp.where(keep, rows, bent), xp.where(keep, errors, bound)


def lowest_bit(xp: Any, values: Any) -> Any:
    """Return the exponent of the lowest bit set in each float64, a high one for 0 and infinity."""
    bits = values.view(np.int64) if xp is np else jax.lax.bitcast_convert_type(values, jnp.int64)
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & (2**52 - 1)) | (1 << 52)
    zeros = xp.bitwise_count((mantissa & -mantissa) - 1)
    return xp.where(values == 0, 4 * _EXPONENTS, exponent - 1075 + zeros.astype(np.int64))


def _fits(xp: Any, most: Any, grid: Any) -> Any:
    """Say whether multiples of 2^grid up to `most` have at most 53 bits."""
    power = xp.clip(grid, -_EXPONENTS, _EXPONENTS)
    bits = (power + 53 + 1023) << 52
    limit = bits.view(np.float64) if xp is np else jax.lax.bitcast_convert_type(bits, jnp.float64)
    return (most * (1 + 4 * UNIT) <= limit) & (grid > -_EXPONENTS)
