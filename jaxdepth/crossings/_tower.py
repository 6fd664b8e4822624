"""The tower of image intervals: crossings of a composition, without its exponentially many pieces.

The graph of f_k∘…∘f_1 over [a, b] is a path. Cut where it turns, it is a sequence of monotone
branches, and what the next map makes of a branch depends only on the interval [u, v] that the
branch covers: it traverses the images of the monotone pieces of that map on [u, v], which share
their ends. So it is enough to know how many branches cover which interval: a vector of integers,
pushed on by a matrix of integers. A branch changes label once if u < level ≤ v, and else never.

The intervals end in a or b or in images of turning points, so that after k maps there are
polynomially many of them, for iterates of one map a multiple of k, and finitely many for all k
where the turning points have finite orbits (the Markov case).

Reference:
    Hofbauer, On intrinsic ergodicity of piecewise monotonic transformations with positive entropy,
    Israel Journal of Mathematics 34 (1979), the Markov diagram.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from jaxdepth.piecewise._line import RationalMap
from jaxdepth.piecewise._rational import TooManyPiecesError

Branches = dict[int, int]  # interval, by number -> how many branches cover it
Factors = Sequence[tuple[RationalMap, int]]  # maps, and how often each is applied


class Envelope(NamedTuple):
    """What is still known beyond the capacity: at most `branches`, all within [low, high].

    Nothing at all, not even the range, where `branches` is infinite.
    """

    low: Fraction
    high: Fraction
    branches: int | float


class _TooManyIntervalsError(Exception):
    pass


class Tower:
    """The intervals met so far, whether they straddle the level, and where each map takes them."""

    def __init__(self, level: Fraction, max_nodes: int) -> None:
        self.intervals: list[tuple[Fraction, Fraction]] = []
        self._level, self._max_nodes = level, max_nodes
        self._straddles: list[bool] = []
        self._number: dict[tuple[Fraction, Fraction], int] = {}
        self._images: dict[RationalMap, dict[int, list[tuple[int, int]]]] = {}

    def start(self, low: Fraction, high: Fraction) -> Branches:
        """Return the graph of the identity on [low, high]: one branch."""
        return {self._numbered(low, high): 1}

    def climb(self, branches: Branches | Envelope, factors: Factors) -> Branches | Envelope:
        """Compose with the factors in turn; past the capacity, only bounds are kept."""
        for each in itertools.chain.from_iterable(itertools.starmap(itertools.repeat, factors)):
            if not isinstance(branches, Envelope):
                try:
                    branches = self._push(branches, each)
                    continue
                except (_TooManyIntervalsError, TooManyPiecesError):
                    branches = self._envelope(branches)
            branches = _push_envelope(branches, each)
        return branches

    def changes(self, branches: Branches) -> int:
        """Return how often the path changes label."""
        return sum(number for node, number in branches.items() if self._straddles[node])

    def _push(self, branches: Branches, each: RationalMap) -> Branches:
        images = self._images.setdefault(each, {})
        fresh = [self.intervals[node] for node in branches if node not in images]
        if fresh:
            each.cover(min(low for low, _ in fresh), max(high for _, high in fresh))
        pushed: Branches = collections.defaultdict(int)
        for node, number in branches.items():
            if node not in images:
                images[node] = self._image(node, each)
            for image, times in images[node]:
                pushed[image] += times * number
        return pushed

    def _image(self, node: int, each: RationalMap) -> list[tuple[int, int]]:
        _, values = each.graph(*self.intervals[node])
        ends = itertools.pairwise(turning_values(values))
        covered = collections.Counter((min(pair), max(pair)) for pair in ends)
        return [(self._numbered(*pair), times) for pair, times in covered.items()]

    def _numbered(self, low: Fraction, high: Fraction) -> int:
        number = self._number.get((low, high))
        if number is None:
            if len(self.intervals) == self._max_nodes:
                raise _TooManyIntervalsError
            number = self._number[low, high] = len(self.intervals)
            self.intervals.append((low, high))
            self._straddles.append(low < self._level <= high)
        return number

    def _envelope(self, branches: Branches) -> Envelope:
        covered = [self.intervals[node] for node in branches]
        low, high = min(low for low, _ in covered), max(high for _, high in covered)
        return Envelope(low, high, sum(branches.values()))


def turning_values(values: list[Fraction]) -> list[Fraction]:
    """Return the first and last value and the local extremes between, repetitions left out."""
    turns = values[:1]
    for value in values[1:]:
        if value == turns[-1]:
            continue
        if len(turns) > 1 and (turns[-1] > turns[-2]) == (value > turns[-1]):
            turns[-1] = value
        else:
            turns.append(value)
    return turns


def _push_envelope(envelope: Envelope, each: RationalMap) -> Envelope:
    if envelope.branches == math.inf:
        return envelope
    try:
        _, values = each.graph(envelope.low, envelope.high)
    except TooManyPiecesError:
        return envelope._replace(branches=math.inf)
    laps = len(turning_values(values)) - 1
    return Envelope(min(values), max(values), envelope.branches * laps)
