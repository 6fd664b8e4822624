"""Symbolic counting: compositions of piecewise linear maps, to any depth, in exact integers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import equinox as eqx

from jaxdepth._misc import check_integer, check_interval, check_real
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.crossings._tower import Branches, Envelope, Factors, Tower
from jaxdepth.piecewise._line import rational_factors


class Symbolic(AbstractCounter):
    """Count a composition of piecewise linear maps R → R exactly, whatever its depth.

    The composition is never enumerated: what is held is how many monotone branches cover which
    interval (`crossings._tower`), so that 1,000 maps with 2^1000 branches take milliseconds. A
    network composed of others says so by `networks.factors`: `Sawtooth`, `Iterated`,
    `Composition`; any other is one factor. Weights are taken as the dyadic rationals they are,
    breakpoints of `ConnectTheDots` and `Sawtooth` as the rationals they stand for (where `Exact`
    and `Rational` count the rounded weights), and nothing is rounded. Returns Python ints (those of
    more than 4,300 digits print after `sys.set_int_max_str_digits`). Concrete networks only.
    `level` and the ends of the interval may be Fractions.

    Attributes:
        max_nodes: hold at most so many different intervals; beyond, `result` says `overflow`, and
            `value` is only the trivial lower bound 1, `upper` a product of the maps' numbers of
            monotone pieces (math.inf where that has thousands of digits). Iterates of one map
            need at most a multiple of the depth.

    Raises:
        ValueError: `max_nodes` no positive integer; in a count, a map that is not piecewise linear,
            a tracer.

    Example:
        >>> from jaxdepth.crossings import count
        >>> from jaxdepth.networks import Sawtooth
        >>> count(Sawtooth(1000, teeth=3), Symbolic()).value == 6**1000 + 1
        True

    Reference:
        Telgarsky, "Benefits of depth in neural networks", COLT 2016, Corollary 3.14, for the
        sawtooths; Hofbauer 1979 for the tower.
    """

    max_nodes: int = eqx.field(static=True)

    def __init__(self, *, max_nodes: int = 2**16) -> None:
        self.max_nodes = check_integer("max_nodes", max_nodes, 1)

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        tower, identity, steps = ascend(fn, interval, level, self.max_nodes, "Symbolic", "fn")
        return _answer(tower, tower.climb(identity, steps))


def count_iterates(
    net: Any,
    times: int,
    *,
    interval: tuple[Any, Any] = (0.0, 1.0),
    level: Any = 0.5,
    max_nodes: int = 2**16,
) -> list[CrossingCount]:
    """Count f, f², …, f^times symbolically, in one pass: all for the price of the last.

    Args:
        net: f, a concrete piecewise linear network R → R, itself a composition or not.
        times: at least 1.
        interval: (start, end).
        level: a finite number.
        max_nodes: as for `Symbolic`.

    Returns:
        The answers of `count(Iterated(net, k), Symbolic())`, k = 1, …, times.

    Raises:
        ValueError: as `count` does; times below 1.

    Example:
        >>> from jaxdepth.networks import ConnectTheDots
        >>> [answer.value for answer in count_iterates(ConnectTheDots.stefan(3), 7)]
        [2, 3, 4, 6, 9, 14, 22]

    Reference:
        As `Symbolic`.
    """
    times, max_nodes = check_integer("times", times, 1), check_integer("max_nodes", max_nodes, 1)
    interval, level = check_interval(interval), check_real("level", level)
    tower, identity, steps = ascend(net, interval, level, max_nodes, "count_iterates", "net")
    branches: Branches | Envelope = identity
    answers = []
    for _ in range(times):
        branches = tower.climb(branches, steps)
        answers.append(_answer(tower, branches))
    return answers


def ascend(
    net: Any, interval: tuple[Any, Any], level: Any, max_nodes: int, verb: str, argument: str
) -> tuple[Tower, Branches, Factors]:
    """Return a new tower, the identity's one branch, and the factors to climb it by."""
    steps = rational_factors(net, verb, argument, interval, level)
    tower = Tower(Fraction(level), max_nodes)
    return tower, tower.start(*map(Fraction, interval)), steps


def _answer(tower: Tower, branches: Branches | Envelope) -> CrossingCount:
    if not isinstance(branches, Envelope):
        value = tower.changes(branches) + 1
        return CrossingCount(value, value, value, True, CountResult.exact)
    upper = branches.branches + 1
    if upper >= 2**10_000:  # an integer of many thousand digits helps nobody
        upper = math.inf
    return CrossingCount(1, 1, upper, False, CountResult.overflow)
