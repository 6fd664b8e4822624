"""A bound on the L2(μ) error of a 3-layer network, over all of R^d.

With ψ the profile as a function of s = Σ q(x_i), |s − z²| ≤ δ up to the radius ρ of the squares and
s ≥ ρ² − δ beyond,

    E_μ(f − g)² ≤ Σ_panels μ(panel)·sup |ψ(s) − g(z)|²

over z in the panel and s within its reach. Why s ≥ ρ² − δ where some |x_i| > ρ: q is even and does
not decrease with |t|, so that q(x_i) ≥ q(ρ) ≥ ρ² − δ/d and every other is at least q(0) ≥ −δ/d.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from jaxdepth.radial._design import Design, Pieces
from jaxdepth.radial._measure import Measure

Values = np.ndarray

_PANELS = (2**12, 2**16)  # at least, at most
_PER_RISE = 128  # panels in a length over which g may change by 1
_REACH = 1.5  # radii of the target; all beyond is one panel
_ROUNDING = 2.0**-48  # of a difference of the measure's distribution function
_AT_ONCE = 2**21  # cells times units


class Panels(NamedTuple):
    """The half line cut in parts, and a target on them.

    Attributes:
        z: their ends, the last infinite.
        low: a lower bound on g in each.
        high: an upper bound.
        mass: an upper bound on the measure of each.
    """

    z: Values
    low: Values
    high: Values
    mass: Values


def panels(g: Pieces, dim: int) -> Panels:
    """Cut the half line at g's breaks, finely between and ever finer towards them."""
    edge = g.breaks[-1]
    widths, (least, most) = np.diff(g.breaks), _PANELS
    wanted = least * widths / edge + _PER_RISE * g.lipschitz * widths
    num = np.ceil(wanted * min(1.0, most / wanted.sum())).astype(int) + 1
    inner = [
        np.linspace(low, high, count)
        for (low, high), count in zip(itertools.pairwise(g.breaks), num, strict=True)
    ]
    near = edge * np.geomspace(1e-9, 1e-2, min(48, most // (2 * g.breaks.size)))
    towards = np.add.outer(g.breaks, np.concatenate([-near, [0.0], near])).ravel()
    beyond = np.linspace(edge, _REACH * edge, least // 2)
    z = np.unique(np.concatenate([*inner, beyond, np.clip(towards, 0, _REACH * edge)]))
    middle, half = (z[1:] + z[:-1]) / 2, np.diff(z) / 2
    inside = middle < edge
    piece = np.searchsorted(g.breaks, middle[inside]) - 1
    value, reach = np.zeros_like(middle), np.zeros_like(middle)
    value[inside], reach[inside] = g(middle[inside], piece), g.lipschitz[piece] * half[inside]
    mu = Measure(dim)
    mass = np.append(np.abs(np.diff(np.asarray(mu.cdf(z)))), mu.sf(z[-1])) + _ROUNDING
    return Panels(
        np.append(z, np.inf), np.append(value - reach, 0), np.append(value + reach, 0), mass
    )


def error_bound(design: Design, dim: int, panels: Panels) -> float:
    """Bound E_μ(f − g)² for the network of a design, in exact arithmetic."""
    delta = design.squares_error(dim) * (1 + 2.0**-40)
    radius, z = design.radius, panels.z
    low = np.minimum(z[:-1], radius) ** 2 - delta
    high = np.where(z[1:] <= radius, z[1:] ** 2 + delta, np.inf)
    nodes = design.nodes()
    ends = np.unique(np.concatenate([low, high, design.knots**2, -nodes.bias / nodes.slope]))
    first, last = np.searchsorted(ends, low), np.searchsorted(ends, high)
    least, most = _over(*_cells(design, ends), first, last)
    worst = np.maximum(most - panels.low, panels.high - least)
    return float(np.sum(worst**2 * panels.mass)) * (1 + 2.0**-36)


def _cells(design: Design, ends: Values) -> tuple[Values, Values]:
    """Bound ψ between neighbouring `ends`, among which are all knots and thresholds."""
    nodes = design.nodes()
    if design.profile in ("relu", "step"):  # affine between them, or constant
        at = np.interp(ends, design.knots**2, design.values)
        if design.profile == "step":
            at = design.values[np.searchsorted(-nodes.bias, ends, side="right")]
        return np.minimum(at[:-1], at[1:]), np.maximum(at[:-1], at[1:])
    parts = max(1, math.ceil(ends.size * nodes.bias.size / _AT_ONCE))
    cuts = np.linspace(0, ends.size - 1, parts + 1).astype(int)
    bounds = [nodes.ranges(ends[i : j + 1]) for i, j in itertools.pairwise(cuts)]
    low, high = zip(*bounds, strict=True)
    return np.concatenate(low), np.concatenate(high)


def _over(low: Values, high: Values, first: Values, last: Values) -> tuple[Values, Values]:
    """Return the least of `low` and the greatest of `high` over the cells first ≤ i < last.

    Any run of cells is the union of two whose length is a power of two.
    """
    level = np.frexp(last - first)[1] - 1
    least, most = np.empty(first.size), np.empty(first.size)
    for power in range(int(level.max()) + 1):
        length = 2**power
        here = level == power
        i, j = first[here], last[here] - length
        least[here], most[here] = np.minimum(low[i], low[j]), np.maximum(high[i], high[j])
        low = np.minimum(low[:-length], low[length:])
        high = np.maximum(high[:-length], high[length:])
    return least, most
