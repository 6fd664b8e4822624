"""Periodic orbits of a piecewise linear map, exactly."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

from jaxdepth._misc import check_integer, check_interval, refuse
from jaxdepth.piecewise._line import Dots, RationalMap, rational_factors
from jaxdepth.piecewise._rational import TooManyPiecesError


def cycles(
    net: Any, period: int, interval: tuple[Any, Any] = (0.0, 1.0), *, max_pieces: int = 2**18
) -> list[tuple[Fraction, ...]]:
    """Find every cycle of a given least period that has a point in the interval.

    On each affine piece of f^p the equation f^p(x) = x is linear, and it is solved in rationals. A
    cycle of period p makes f^k oscillate: see `bounds.periodic_growth`.

    Args:
        net: f, a concrete piecewise linear network R → R; breakpoints of `ConnectTheDots` and
            `Sawtooth` are not rounded.
        period: p, at least 1.
        interval: (start, end).
        max_pieces: refuse more affine pieces of f^p; their number may grow like (pieces of f)^p.

    Returns:
        The cycles x → f(x) → … in ascending order, each from its least point.

    Raises:
        ValueError: as `pieces` does; a traced network or interval; too many pieces; or f^p is the
            identity on a whole interval, of which every point is periodic.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> for cycle in cycles(Sawtooth(1), 3):
        ...     print(*cycle)
        2/9 4/9 8/9
        2/7 4/7 6/7
    """
    period, max_pieces = (
        check_integer("period", period, 1),
        check_integer("max_pieces", max_pieces, 1),
    )
    interval = check_interval(interval)
    steps = rational_factors(net, "cycles", "net", interval)
    maps = [each for each, times in steps for _ in range(times)]
    kinks = [Fraction(edge) for edge in interval]
    values = kinks
    try:
        for each in maps * period:
            kinks, values = _compose((kinks, values), each, max_pieces)
    except TooManyPiecesError:
        refuse(
            "max_pieces",
            f"enough for the affine pieces of f^{period}",
            max_pieces,
            "Ask for a shorter period, or allow more.",
        )
    found = set()
    for x in _fixed(kinks, values, period):
        orbit = [x]
        while len(orbit) <= period and (following := _apply(maps, orbit[-1])) != x:
            orbit.append(following)
        if len(orbit) == period:
            least = orbit.index(min(orbit))
            found.add((*orbit[least:], *orbit[:least]))
    return sorted(found)


def _apply(maps: list[RationalMap], x: Fraction) -> Fraction:
    for each in maps:
        x = each(x)
    return x


def _compose(dots: Dots, each: RationalMap, max_pieces: int) -> Dots:
    """Compose the piecewise linear function through `dots` with one more map."""
    kinks, values = [dots[0][0]], [each(dots[1][0])]
    for (x0, x1), (y0, y1) in zip(*map(itertools.pairwise, dots), strict=True):
        if y0 == y1:
            kinks.append(x1)
            values.append(each(y1))
        else:
            inner, images = each.graph(min(y0, y1), max(y0, y1))
            across = list(zip(inner, images, strict=True))[:: 1 if y0 < y1 else -1]
            kinks += [x0 + (y - y0) * (x1 - x0) / (y1 - y0) for y, _ in across[1:]]
            values += [image for _, image in across[1:]]
        if len(kinks) > max_pieces + 1:
            raise TooManyPiecesError
    return kinks, values


def _fixed(kinks: list[Fraction], values: list[Fraction], period: int) -> list[Fraction]:
    """Solve y = x on each piece, where y − x is linear between the gaps at its ends."""
    points = []
    for (x0, y0), (x1, y1) in itertools.pairwise(zip(kinks, values, strict=True)):
        left, right = y0 - x0, y1 - x1
        if left == right == 0:
            refuse(
                "period",
                "one whose cycles are isolated",
                period,
                f"f^{period} is the identity from {x0} to {x1}: every point there is periodic.",
            )
        if left * right <= 0:
            points.append(x0 + left * (x1 - x0) / (left - right))
    return points
