"""Piecewise linear maps R → R in exact rational arithmetic, on as much of the line as asked."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from jaxdepth._misc import is_traced
from jaxdepth.networks import factors
from jaxdepth.piecewise._pieces import prepare
from jaxdepth.piecewise._rational import enumerate_rational

Dots = tuple[list[Fraction], list[Fraction]]  # kinks, ascending, and the values there

_MAX_PIECES = 2**22


class RationalMap:
    """A map that enumerates its kinks when it is first asked about a place, and remembers them."""

    def __init__(self, enumerate_on: Callable[[Fraction, Fraction], Dots]) -> None:
        self._enumerate_on = enumerate_on
        self._kinks: list[Fraction] = []
        self._values: list[Fraction] = []
        self._margin = 0

    def cover(self, low: Fraction, high: Fraction) -> None:
        """Enumerate the kinks on [low, high], where they are not known yet.

        Each further enumeration reaches 4 times as far beyond what was asked as the one before, so
        that an orbit that escapes like a^k costs of the order of √k of them and not k.
        """
        if self._kinks:
            low, high = min(low, self._kinks[0]), max(high, self._kinks[-1])
            if (low, high) == (self._kinks[0], self._kinks[-1]):
                return
        beyond = self._margin * (high - low)
        self._margin = 4 * self._margin + 3
        self._kinks, self._values = self._enumerate_on(
            low - beyond, high + beyond if low < high else low + 1
        )

    def __call__(self, x: Fraction) -> Fraction:
        """Return the value at x."""
        self.cover(x, x)
        right = max(bisect.bisect_left(self._kinks, x), 1)
        x0, x1 = self._kinks[right - 1 : right + 1]
        y0, y1 = self._values[right - 1 : right + 1]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)

    def graph(self, low: Fraction, high: Fraction) -> Dots:
        """Return the ends of [low, high] and the kinks between them, with the values there."""
        self.cover(low, high)
        inner = slice(bisect.bisect_right(self._kinks, low), bisect.bisect_left(self._kinks, high))
        return (
            [low, *self._kinks[inner], high],
            [self(low), *self._values[inner], self(high)],
        )


def rational_factors(
    net: Any, verb: str, argument: str, *others: Any
) -> list[tuple[RationalMap, int]]:
    """Return the factors of a network R → R, in order of evaluation, and how often each is applied.

    A factor with a method `dots()`, such as `ConnectTheDots`, is linear between those and constant
    outside; any other lists its affine layers. More than 2^22 pieces raise `TooManyPiecesError`,
    from whatever call first meets them. The network and the `others` must be concrete.
    """
    if is_traced(net, others):
        raise ValueError(
            f"`{verb}` is a host method and works on concrete networks: call it outside jit, vmap "
            "and grad; inside them, count by `Grid`."
        )
    listed = factors(net)
    distinct = {id(each): each for each, _ in listed}  # a factor that recurs is enumerated once
    exact = {name: _rational_map(each, verb, argument) for name, each in distinct.items()}
    return [(exact[id(each)], times) for each, times in listed]


def _rational_map(net: Any, verb: str, argument: str) -> RationalMap:
    if hasattr(net, "dots"):
        nodes, values = net.dots()
        return RationalMap(
            lambda low, high: (
                [min(low, nodes[0] - 1), *nodes, max(high, nodes[-1] + 1)],
                [values[0], *values, values[-1]],
            )
        )
    layers, _, _ = prepare(net, (0, 1), verb, argument)
    return RationalMap(lambda low, high: enumerate_rational(layers, low, high, _MAX_PIECES))
