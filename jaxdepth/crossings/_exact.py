"""Exact counting of one piecewise linear network, on the host."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import equinox as eqx
import numpy as np

from jaxdepth._misc import check_integer
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.piecewise._float64 import AmbiguousError, enumerate_float64
from jaxdepth.piecewise._model import undecided
from jaxdepth.piecewise._pieces import prepare
from jaxdepth.piecewise._rational import TooManyPiecesError, enumerate_rational


class Exact(AbstractCounter):
    """Count a piecewise linear network exactly: float64 under a rigorous bound, rationals in doubt.

    The count is of the stored weights, whatever their precision. Every kink is enumerated with a
    bound on its rounding error; a sign that the bound does not settle (a touching maximum,
    coincident kinks, zero biases) sends the network to `Rational`. Returns Python ints. One
    concrete network at a time; under jit or vmap use `Grid`. `level` and the ends of the interval
    may be Fractions.

    Attributes:
        max_pieces: hold at most so many affine pieces; beyond, `result` says `overflow` and `upper`
            is Serra et al.'s bound Π(n_i + 1) + 1 (math.inf where that has thousands of digits) and
            `value` only the trivial lower bound 1.

    Example:
        >>> from jaxdepth.crossings import count
        >>> from jaxdepth.networks import Sawtooth
        >>> count(Sawtooth(6, teeth=3), Exact()).value
        46657
    """

    max_pieces: int = eqx.field(static=True)

    def __init__(self, *, max_pieces: int = 2**22) -> None:
        self.max_pieces = check_integer("max_pieces", max_pieces, 1)

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        layers, start, end = prepare(fn, interval, "Exact", "fn", level)
        try:
            found = enumerate_float64(layers, start, end, self.max_pieces)
            above, doubt = found.h[:, 0] - float(level), found.h_error[:, 0]
            # Rounding keeps the sign of the difference, but may bring it over another doubt.
            if Fraction(float(level)) != level:
                doubt = doubt + 2.0**-52 * abs(float(level))
            doubt = np.where(doubt == 0, 0, (doubt + 2.0**-52 * np.abs(above)) * (1 + 2.0**-50))
            if np.any(undecided(above, doubt)):
                raise AmbiguousError
        except AmbiguousError:
            return Rational(max_pieces=self.max_pieces)(fn, interval, level)
        except TooManyPiecesError:
            return _overflow(layers)
        return _proven(above >= 0)


class Rational(AbstractCounter):
    """Count a piecewise linear network in exact rational arithmetic: the referee.

    The stored weights are dyadic numbers, and no operation rounds. Touching maxima, coincident
    breakpoints, zero biases and duplicate neurons are all settled. Slower than `Exact`, which calls
    it where it must. Returns Python ints; concrete networks only.

    Attributes:
        max_pieces: as for `Exact`.

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
            return _overflow(layers)
        threshold = Fraction(level)
        return _proven(np.array([value >= threshold for value in values]))


def _proven(labels: np.ndarray) -> CrossingCount:
    """Count from the labels at every kink: on an affine piece the label changes at most once."""
    value = int(np.count_nonzero(labels[1:] != labels[:-1])) + 1
    return CrossingCount(value, value, value, True, CountResult.exact)


def _overflow(layers: Any) -> CrossingCount:
    hidden = [layer.weight.shape[0] for layer in layers if float(layer.negative_slope) != 1.0]
    bits = sum((width + 1).bit_length() for width in hidden)
    # An integer of many thousand digits helps nobody, and Python refuses to print it.
    upper = math.prod(width + 1 for width in hidden) + 1 if bits < 10_000 else math.inf
    return CrossingCount(1, 1, upper, False, CountResult.overflow)
