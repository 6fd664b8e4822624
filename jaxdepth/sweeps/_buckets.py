"""Which sizes share a program: as few buckets as waste little arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxdepth.sweeps._axes import Axis
from jaxdepth.sweeps._identity import fingerprint

WASTE = 1.3  # arithmetic in padded shapes over that in true ones
_MOST = 512  # distinct sizes that are told apart; more are first rounded up to so many
LOOPED = ("depth",)  # padded axes that bound a loop, and need no buckets
_LARGEST_TILE = 256
_TILES = 16  # of a bucket at least, where it has so many configurations


@dataclass(frozen=True, eq=False)
class Bucket:
    """Configurations that share one program.

    Attributes:
        number: its place in the plan.
        statics: values of the static axes.
        maxima: what the sizes of padded axes are padded to.
        members: flat indices of its configurations, alike ones together.
        tile: how many of them one call of the program runs.

    Example:
        >>> from jaxdepth.sweeps import grid
        >>> bucket = grid(depth=[1, 2, 3], seed=range(10)).buckets[0]
        >>> bucket.maxima, len(bucket.members)
        ({'depth': 3}, 30)
    """

    number: int
    statics: dict[str, Any]
    maxima: dict[str, int]
    members: Int[np.ndarray, " members"]
    tile: int

    @property
    def num_tiles(self) -> int:
        """Return how many calls run all members."""
        return -(-len(self.members) // self.tile)

    def of_tile(self, tile: int) -> Int[np.ndarray, " configurations"]:
        """Return the members of one tile; the last may hold fewer.

        Args:
            tile: its number, from 0.
        """
        return self.members[tile * self.tile : (tile + 1) * self.tile]


def buckets_of(
    axes: Mapping[str, Axis], places: Mapping[str, Int[np.ndarray, " n"]], tile: int | None
) -> tuple[Bucket, ...]:
    """Sort configurations into what shares a program.

    Args:
        axes: by name.
        places: of every configuration on every axis.
        tile: configurations of one call; None for a sixteenth of a bucket, 256 at most.
    """
    number = len(next(iter(places.values())))
    group = np.zeros(number, np.int64)
    found: dict[str, tuple[np.ndarray, list[Any]]] = {}  # the code of each, and what codes mean
    order: dict[tuple[bool, bool, str], np.ndarray] = {}
    for name, axis in axes.items():
        if axis.kind == "traced":
            continue
        if axis.kind == "static":
            # By content: 1, 1.0 and True are equal, as 0.0 and -0.0 are, and not the same.
            prints = [fingerprint(value) for value in axis.values]
            distinct = dict(zip(prints, axis.values, strict=True))
            ranks = {each: rank for rank, each in enumerate(distinct)}
            code = np.array([ranks[each] for each in prints])[places[name]]
            meaning = list(distinct.values())
        else:
            sizes = np.array(axis.values)[places[name]]
            bounds = axis.bounds or _bounds(name, sizes)
            code, meaning = np.searchsorted(bounds, sizes), list(bounds)
            # Loops over what is not split run to the greatest of a tile: sort by that first.
            order[len(bounds) > 1, name not in LOOPED, name] = sizes
        found[name] = code, meaning
        group = np.unique(group * len(meaning) + code, return_inverse=True)[1].reshape(-1)
    keys = [order[rank] for rank in sorted(order, reverse=True)]
    ranked = np.lexsort((np.arange(number), *keys, group))
    splits = np.flatnonzero(np.diff(group[ranked])) + 1

    def bucket(place: int, members: np.ndarray) -> Bucket:
        shared = {name: meaning[code[members[0]]] for name, (code, meaning) in found.items()}
        return Bucket(
            place,
            {name: value for name, value in shared.items() if axes[name].kind == "static"},
            {name: value for name, value in shared.items() if axes[name].kind == "padded"},
            members,
            tile or min(_LARGEST_TILE, -(-len(members) // _TILES)),
        )

    return tuple(bucket(place, members) for place, members in enumerate(np.split(ranked, splits)))


def _bounds(name: str, sizes: np.ndarray) -> tuple[int, ...]:
    return (int(sizes.max()),) if name in LOOPED else cheapest_bounds(sizes, 2)


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
