"""Which sizes share a program: as few buckets as waste little arithmetic."""

from __future__ import annotations

import numpy as np

WASTE = 1.3  # arithmetic in padded shapes over that in true ones
_MOST = 512  # distinct sizes that are told apart; more are first rounded up to so many


def cheapest_bounds(sizes: np.ndarray, exponent: int, waste: float = WASTE) -> tuple[int, ...]:
    """Return the fewest bucket maxima b with Σ b(w)^e ≤ waste · Σ w^e over all sizes w.

    With u_1 < … < u_n the distinct sizes, C(k, j) the least cost of u_1 … u_j in k buckets and
    N(i, j) how many of the sizes lie in (u_i, u_j], the last bucket decides:

        C(k, j) = min_{i<j} C(k−1, i) + N(i, j)·u_j^e.

    Args:
        sizes: the sizes of all configurations, with repetition.
        exponent: e, of arithmetic in the size: 2 for a layer of that width.
        waste: at least 1.

    Returns:
        Ascending; the last is the largest size.
    """
    distinct, counts = np.unique(sizes, return_counts=True)
    if len(distinct) > _MOST:
        edges = distinct[np.linspace(0, len(distinct) - 1, _MOST).round().astype(int)]
        place = np.searchsorted(edges, distinct)
        distinct, counts = edges, np.bincount(place, counts, minlength=_MOST).astype(np.int64)
    work = distinct.astype(np.float64) ** exponent
    below = np.concatenate([[0], np.cumsum(counts)])
    # cost[i, j]: of one bucket for the sizes i … j, both included.
    cost = (below[None, 1:] - below[:-1, None]) * work[None, :]
    cost[np.tril_indices(len(work), -1)] = np.inf
    best, cuts = cost[0], []
    while best[-1] > waste * (counts * work).sum():
        whole = best[:-1, None] + cost[1:]
        cuts.append(np.argmin(whole, axis=0))
        best = np.minimum.reduce(whole, axis=0)
    ends = [len(work) - 1]
    for cut in reversed(cuts):
        ends.append(int(cut[ends[-1]]))
    return tuple(int(distinct[end]) for end in reversed(ends))
