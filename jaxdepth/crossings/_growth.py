"""How fast the crossings of the iterates of a map grow: the spectral radius of its tower."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import equinox as eqx

from jaxdepth._misc import check_integer, check_interval, check_real
from jaxdepth.crossings._graph import Matrix, between, components
from jaxdepth.crossings._perron import perron_root
from jaxdepth.crossings._symbolic import ascend
from jaxdepth.crossings._tower import Envelope, Factors, Tower


class GrowthResult(eqx.Enumeration):
    """What a growth rate is worth.

    Example:
        >>> GrowthResult[GrowthResult.markov].split(":")[0]
        'Markov'
    """

    markov: Any = (
        "Markov: finitely many intervals, and the rate is the log of a spectral radius, known to "
        "lie in [lower, upper]"
    )
    bracketed: Any = (
        "bracketed: more intervals than `max_nodes`; `rate` is that of those held, which is a "
        "lower bound, and `upper` counts the monotone pieces of an iterate"
    )


class GrowthRate(eqx.Module):
    """The limit of (1/k) log Cr(f^k) as k → ∞ (the upper limit, where the two differ).

    Attributes:
        rate: the rate, in nats per iterate.
        lower: proven bound from below.
        upper: proven bound from above; math.inf where none is known.
        trusted: whether the tower is finite, so that the bounds differ by rounding alone.
        result: a `GrowthResult`.

    Example:
        >>> from jaxdepth.networks import ConnectTheDots
        >>> found = growth_rate(ConnectTheDots.stefan(3))
        >>> found.lower <= math.log((1 + math.sqrt(5)) / 2) <= found.upper
        True
    """

    rate: float
    lower: float
    upper: float
    trusted: bool
    result: Any


def growth_rate(
    net: Any,
    *,
    interval: tuple[Any, Any] = (0.0, 1.0),
    level: Any = 0.5,
    max_nodes: int = 256,
    iterates: int = 256,
) -> GrowthRate:
    """Bound the exponential rate at which crossings of f^k grow with k.

    The tower (`crossings.Symbolic`) counts paths: Cr(f^k) − 1 = Σ_J (A^k)_{IJ} over the intervals J
    that straddle the level, I = `interval`. So the rate is the log of the spectral radius of A on
    the intervals between I and such J, its largest strong component's; 0 where that is below 1. A
    part of the tower has a part of the paths: its radius is a lower bound of the whole's.

    Args:
        net: f, a concrete piecewise linear network R → R, itself a composition or not.
        interval: (start, end).
        level: a finite number.
        max_nodes: hold at most so many intervals.
        iterates: where the tower has more, the upper bound is (1/k) log of the number of monotone
            pieces of f^k at this k, if f maps `interval` into itself.

    Returns:
        A `GrowthRate`; bounds include their rounding.

    Raises:
        ValueError: as `count` does.

    Example:
        >>> from jaxdepth.bounds import periodic_growth
        >>> from jaxdepth.networks import ConnectTheDots
        >>> found = growth_rate(ConnectTheDots.stefan(5))
        >>> abs(math.exp(found.rate) - periodic_growth(5)) < 1e-14, found.trusted
        (True, True)

    Reference:
        Hofbauer, On intrinsic ergodicity of piecewise monotonic transformations with positive
        entropy, Israel Journal of Mathematics 34 (1979), for the tower; the bounds of the rate are
        derived here.
    """
    max_nodes = check_integer("max_nodes", max_nodes, 1)
    iterates = check_integer("iterates", iterates, 1)
    interval, level = check_interval(interval), check_real("level", level)
    tower, identity, steps = ascend(net, interval, level, max_nodes, "growth_rate", "net")
    matrix, finite = _matrix(tower, set(identity), steps)
    matrix = between(matrix, {node for node in matrix if tower.changes({node: 1})})
    radii = [perron_root(part) for part in components(matrix)]
    lower, upper = (max((radius[i] for radius in radii), default=Fraction(0)) for i in (0, 1))
    rate, low, high = (max(0.0, _log(ρ)) for ρ in ((lower + upper) / 2, lower, upper))
    low, high = max(0.0, low - _slack(low)), high + _slack(high)
    if finite:
        return GrowthRate(rate, low, high, True, GrowthResult.markov)
    most = _laps_rate(net, interval, iterates)
    return GrowthRate(min(rate, most), low, most, False, GrowthResult.bracketed)


def _matrix(tower: Tower, start: set[int], steps: Factors) -> tuple[Matrix, bool]:
    """Return A's rows, for the intervals reached from `start`, and whether those are all."""
    matrix: Matrix = {}
    waiting, known, finite = list(start), set(start), True
    for node in waiting:  # which grows meanwhile
        image = tower.climb({node: 1}, steps)
        if isinstance(image, Envelope):
            finite, image = False, {}
        matrix[node] = dict(image)
        waiting += [each for each in image if each not in known]
        known |= image.keys()
    return matrix, finite


def _laps_rate(net: Any, interval: tuple[Any, Any], iterates: int) -> float:
    """Return (1/k) log of the branches of f^k; submultiplicative, so above the limit."""
    tower, identity, steps = ascend(net, interval, 0, 2**16, "growth_rate", "net")
    once = tower.climb(identity, steps)
    many = tower.climb(once, [*steps] * (iterates - 1))
    if isinstance(once, Envelope) or isinstance(many, Envelope):
        return math.inf
    start, end = tower.intervals[0]
    if not all(
        start <= low and high <= end for low, high in map(tower.intervals.__getitem__, once)
    ):
        return math.inf
    rate = max(0.0, _log(Fraction(sum(many.values())))) / iterates
    return rate + _slack(rate)


def _log(number: Fraction) -> float:
    """Return log(number) to within `_slack`, beyond the range of floats as well; −∞ at 0."""
    if number <= 0:
        return -math.inf
    excess = number.numerator.bit_length() - number.denominator.bit_length()
    shift = excess if abs(excess) > 1000 else 0
    return math.log(number / Fraction(2) ** shift) + shift * math.log(2)


def _slack(log: float) -> float:
    return 2.0**-50 * (1 + abs(log))
