"""Exact counting of one piecewise linear network in rational arithmetic, on the host."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import equinox as eqx
import numpy as np

from jaxdepth._misc import check_integer
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.piecewise._pieces import prepare
from jaxdepth.piecewise._rational import TooManyPiecesError, enumerate_rational


class Rational(AbstractCounter):
    """Count a piecewise linear network in exact rational arithmetic: the referee.

    The stored weights are dyadic numbers, and no operation rounds. Touching maxima, coincident
    breakpoints, zero biases and duplicate neurons are all settled. Slower than `Exact`, which calls
    it where it must. Returns Python ints; concrete networks only.

    Attributes:
        max_pieces: as for `Exact`.

    Raises:
        ValueError: `max_pieces` no positive integer; in a count, a network that is not piecewise
            linear, a tracer.

    Example:
        >>> from jaxdepth.crossings import count
        >>> from jaxdepth.networks import Sawtooth
        >>> count(Sawtooth(4), Rational()).value
        17
    """

    max_pieces: int = eqx.field(static=True)

    def __init__(self, *, max_pieces: int = 2**22) -> None:
        self.max_pieces = check_integer("max_pieces", max_pieces, 1)

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        layers, start, end = prepare(fn, interval, "Rational", "fn", level)
        try:
            _, values = enumerate_rational(layers, start, end, self.max_pieces)
        except TooManyPiecesError:
            return overflowed(layers)
        threshold = Fraction(level)
        return proven(np.array([value >= threshold for value in values]))


def proven(labels: np.ndarray) -> CrossingCount:
    """Count from the labels at every kink: on an affine piece the label changes at most once."""
    value = int(np.count_nonzero(labels[1:] != labels[:-1])) + 1
    return CrossingCount(value, value, value, True, CountResult.exact)


def overflowed(layers: Any) -> CrossingCount:
    hidden = [layer.weight.shape[0] for layer in layers if float(layer.negative_slope) != 1.0]
    bits = sum((width + 1).bit_length() for width in hidden)
    # An integer of many thousand digits helps nobody, and Python refuses to print it.
    upper = math.prod(width + 1 for width in hidden) + 1 if bits < 10_000 else math.inf
    return CrossingCount(1, 1, upper, False, CountResult.overflow)
