"""How far one piecewise linear function is from another, and how their labels differ."""

from __future__ import annotations

import numpy as np

import jaxdepth as jd


def l1_distance(f: jd.piecewise.Pieces, g: jd.piecewise.Pieces) -> float:
    """Return ∫|f − g| over the common interval, in closed form on each common affine piece."""
    x = np.union1d(f.breakpoints, g.breakpoints)
    gap = np.interp(x, f.breakpoints, f.values) - np.interp(x, g.breakpoints, g.values)
    a, b = np.abs(gap[:-1]), np.abs(gap[1:])
    same_sign = gap[:-1] * gap[1:] >= 0
    # ∫₀¹ |(1−t)a + tb| dt is the trapezium (a + b)/2, or two triangles where the sign changes.
    crossed = (a**2 + b**2) / (2 * np.where(same_sign, 1.0, a + b))
    return float(np.sum(np.diff(x) * np.where(same_sign, (a + b) / 2, crossed)))


def label_edges(f: jd.piecewise.Pieces, level: float = 0.5) -> tuple[np.ndarray, bool]:
    """Return where 1[f ≥ level] changes, ascending, and the label at the left end."""
    x, y, slopes = map(np.asarray, (f.breakpoints, f.values, f.slopes))
    above = y >= level
    i = np.flatnonzero(above[1:] != above[:-1])
    return x[i] + (level - y[i]) / slopes[i], bool(above[0])


def regions_wrong(f: jd.piecewise.Pieces, g: jd.piecewise.Pieces) -> float:
    """Return the fraction of f's label regions on which g has the other label throughout."""
    (f_edges, f_first), (g_edges, g_first) = label_edges(f), label_edges(g)
    ends = f.breakpoints[[0, -1]]
    left, right = np.append(ends[0], f_edges), np.append(f_edges, ends[1])
    first, last = np.searchsorted(g_edges, left, "right"), np.searchsorted(g_edges, right, "left")
    f_label = f_first ^ (np.arange(len(left)) % 2 == 1)
    g_label = g_first ^ (first % 2 == 1)
    return float(np.mean((first == last) & (f_label != g_label)))
