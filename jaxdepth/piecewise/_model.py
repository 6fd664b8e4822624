"""What float64 makes of a piecewise linear network on an interval, and all that rounding can hide.

A vertex is an end of the interval or the true kink ρ of some unit; it is kept as its place x and
the hidden vector h(ρ). Between neighbouring vertices every unit of the layers so far is affine.
Rounding follows the standard model fl(a ∘ b) = (a ∘ b)(1 + δ), |δ| ≤ u = 2⁻⁵³, with
γₙ = nu/(1 − nu) for a sum of n terms in whatever order (Higham 2002, Sections 2.2 and 3.1), fused
or not; what underflows is worth less than the least that every bound has, and what overflows makes
it infinite. Two analyses bound the errors of layer after layer: `_componentwise`, tight, on the
host, and `_normwise`, for next to nothing, within compiled programs. In both a bound of 0 says that
the number is the true one: arithmetic on dyadic numbers of few bits does not round, and networks
built from theory (a sawtooth) consist of nothing else.

The functions here serve both, and NumPy and JAX alike, `xp` being the one or the other where it
matters.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

UNIT = 2.0**-53
TINY = 2.0**-1000  # more than any sum of underflows is worth
SLACK = 1 + 32 * UNIT  # for the rounding of the few operations that compute a bound
_EXPONENTS = 900  # numbers of exactly known bits are looked for between 2^±900 only


def extent(xp: Any, rows: Any) -> tuple[Any, Any]:
    """Return the exponent of the lowest bit in each row, and its largest magnitude."""
    return _least(xp, lowest_bit(xp, rows)), -_least(xp, -abs(rows))


def affine_exactly(xp: Any, h: Any, weight: Any, bias: Any) -> Any:
    """Mark the sums Wh + b, h known exactly, that do not round, shape (vertices, units).

    Where h and W are multiples of 2^p and 2^r, and b of 2^(p+r), all partial sums are multiples of
    2^(p+r); none rounds if they stay within 2^(53+p+r).
    """
    lowest, most = extent(xp, h)
    steps = lowest[:, None] + _least(xp, lowest_bit(xp, weight))[None]
    sums = most[:, None] * abs(weight).sum(axis=1)[None] + abs(bias)[None]
    grid = xp.minimum(steps, lowest_bit(xp, bias)[None])
    return _fits(xp, sums * (1 + 2 * weight.shape[1] * UNIT), grid)


def undecided(values: Any, errors: Any) -> Any:
    """Mark the values whose sign the bound does not settle, and those near overflow or NaN."""
    size = abs(values)
    return ~(((size > errors) | (errors == 0)) & (size < 2.0**_EXPONENTS))


def against(xp: Any, values: Any, errors: Any, level: Any, level_error: float = 0.0) -> Any:
    """Return the values less the level, and the doubt about the sign of each.

    A rounded difference has the sign of the exact one, so that what is known exactly stays so.
    """
    above = values - level
    doubt = (errors + level_error + 2 * UNIT * abs(above)) * SLACK
    return above, xp.where((errors == 0) & (level_error == 0), 0.0, doubt)


def kink(z_l: Any, z_r: Any, e: Any) -> tuple[Any, Any]:
    """Return where on its segment a unit vanishes, τ = z_l/(z_l − z_r), and the error bound.

    With |ẑ_l − z_l| and |ẑ_r − z_r| at most e,
        t̂ − τ = (|z_r|(|ẑ_l| − |z_l|) − |z_l|(|ẑ_r| − |z_r|)) / ((|ẑ_l| + |ẑ_r|)(|z_l| + |z_r|))
    is at most e/(|ẑ_l| + |ẑ_r|) but for the rounding of t̂.
    """
    span = z_l - z_r
    return z_l / span, (e / abs(span) + 4 * UNIT) * SLACK


def kink_exactly(
    xp: Any, lowest: Any, most: Any, left: Any, right: Any, z_l: Any, z_r: Any, t: Any
) -> Any:
    """Mark the kinks at which nothing rounds, between vertices known exactly.

    So it is where all numbers of the vertices `left` and `right`, of `extent` (lowest, most), are
    multiples of 2^p, and t̂ of 2^q with t̂(z_l − z_r) = z_l, while all stays within 2^(53+p+q).
    """
    grid = xp.minimum(lowest[left], lowest[right])
    sums = most[left] + most[right]
    return (t * (z_l - z_r) == z_l) & _fits(xp, sums, grid + lowest_bit(xp, t))


def apart(t: Any, e_t: Any) -> tuple[Any, Any]:
    """Say of neighbours t₁ ≤ t₂ whether they are proven different, and whether proven equal."""
    gap, doubt = t[1:] - t[:-1], (e_t[1:] + e_t[:-1]) * SLACK
    return gap > doubt, (gap == 0) & (doubt == 0)


def passed(xp: Any, z: Any, jumps: Any, slope: Any) -> Any:
    """Say which slopes can jump after the activation, 1 or 0 in the dtype of `jumps`.

    All that could where z > 0 (where z < 0 only with a slope to let it by), and where the unit is
    0, unless it is 0 on both sides as well.
    """
    zero = xp.pad(z == 0, ((1, 1), (0, 0)), constant_values=True)
    alone = (z == 0) & ~(zero[:-2] & zero[2:])
    through = (z > 0) | ((z < 0) & (slope != 0))
    return (alone | (through & (jumps > 0))).astype(jumps.dtype)


def slopes_and_doubt(xp: Any, x: Any, y: Any, e_x: Any, e_y: Any) -> tuple[Any, Any, Any]:
    """Return whether neighbours are proven apart, the slopes between them, and error bounds.

    (Δy + a)/(Δx + b) − Δy/Δx = (a − b·Δy/Δx)/(Δx + b), |a| and |b| bounded by the errors of the
    differences, their rounding included.
    """
    run, rise = x[1:] - x[:-1], y[1:] - y[:-1]
    e_run = (e_x[1:] + e_x[:-1] + UNIT * run) * SLACK
    e_rise = (e_y[1:] + e_y[:-1] + UNIT * abs(rise)) * SLACK
    apart = run > e_run
    slopes = rise / xp.where(apart, run, 1)
    doubt = (e_rise + abs(slopes) * e_run) / xp.where(apart, run - e_run, 1)
    return apart, slopes, (doubt + 4 * UNIT * abs(slopes)) * SLACK


def lowest_bit(xp: Any, values: Any) -> Any:
    """Return the exponent of the lowest bit set in each float64, a high one for 0 and infinity."""
    bits = values.view(np.int64) if xp is np else jax.lax.bitcast_convert_type(values, jnp.int64)
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & (2**52 - 1)) | (1 << 52)
    zeros = xp.bitwise_count((mantissa & -mantissa) - 1)
    # XLA takes a subnormal number for 0 in a comparison, and not in its bits.
    return xp.where(bits << 1 == 0, 4 * _EXPONENTS, exponent - 1075 + zeros.astype(np.int64))


def _least(xp: Any, rows: Any) -> Any:
    """Return the least entry of every row; NumPy is slow along an axis of a few entries."""
    few = xp is np and rows.shape[1] <= 8
    return functools.reduce(np.minimum, rows.T) if few else rows.min(axis=1)


def _fits(xp: Any, most: Any, grid: Any) -> Any:
    """Say whether multiples of 2^grid up to `most` have at most 53 bits."""
    power = xp.clip(grid, -_EXPONENTS, _EXPONENTS)
    bits = (power + 53 + 1023) << 52
    limit = bits.view(np.float64) if xp is np else jax.lax.bitcast_convert_type(bits, jnp.float64)
    return (most * (1 + 4 * UNIT) <= limit) & (grid > -_EXPONENTS)
