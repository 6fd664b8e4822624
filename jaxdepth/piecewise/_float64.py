"""Enumeration of a piecewise linear network in float64, certified by a running error bound.

On each interval the hidden vector is affine, h(x) = A·x + C. Floating point computes A and C with
errors of at most EA and EC, carried along by the standard model: a product of n terms is wrong by
at most γ_n·|a|·|b|, γ_n = nu/(1 − nu), u = 2^−53 (Higham 2002, Section 3.1), in whatever order it
is summed. A sign is used only where it exceeds its bound, and kinks only where their enclosures are
apart; anything closer is left to exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxdepth.networks import AffineLayer
from jaxdepth.piecewise._rational import TooManyPiecesError

_UNIT = 2.0**-53


class AmbiguousError(Exception):
    """A sign or an order could not be told in float64."""


class Enumeration(NamedTuple):
    """A network on an interval: x has n + 1 entries, the others one for each of n intervals."""

    x: np.ndarray
    x_error: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    slope_error: np.ndarray
    offset_error: np.ndarray

    def at_kinks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the value at every kink, and its error bound."""
        pieces = np.append(np.arange(len(self.slope)), len(self.slope) - 1)
        return _evaluate(
            self.x,
            self.x_error,
            self.slope[pieces],
            self.offset[pieces],
            self.slope_error[pieces],
            self.offset_error[pieces],
        )


@np.errstate(all="ignore")  # what overflows is refused by its value
def enumerate_float64(
    layers: Sequence[AffineLayer], start: Fraction, end: Fraction, max_pieces: int
) -> Enumeration:
    """Return the kinks of the network (ends included) and its affine form between them.

    Raises:
        AmbiguousError: float64 cannot settle a sign or an order.
        TooManyPiecesError: more than `max_pieces` intervals.
    """
    x, ex = np.array([_exact_float(start), _exact_float(end)]), np.zeros(2)
    _refuse_extremes(x)
    A, C = np.ones((1, 1)), np.zeros((1, 1))
    EA, EC = np.zeros((1, 1)), np.zeros((1, 1))
    for layer in layers:
        W, b = np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)
        slope = float(layer.negative_slope)
        _refuse_extremes(W, b, slope)
        # Two more terms than the sum has: for the bias, and for rounding the bound itself.
        gamma = (W.shape[1] + 4) * _UNIT / (1 - (W.shape[1] + 4) * _UNIT)
        size = np.abs(W).T
        EA = (EA @ size + gamma * (np.abs(A) @ size)) * (1 + gamma)
        EC = (EC @ size + gamma * (np.abs(C) @ size + np.abs(b))) * (1 + gamma)
        A, C = A @ W.T, C @ W.T + b
        _refuse_extremes(A, C, EA, EC, x)
        if slope == 1.0:
            continue
        left = _sign(_evaluate(x[:-1, None], ex[:-1, None], A, C, EA, EC), A, EA, EC)
        right = _sign(_evaluate(x[1:, None], ex[1:, None], A, C, EA, EC), A, EA, EC)
        x, ex, parent, position = _split(x, ex, A, C, EA, EC, left != right)
        if len(x) - 1 > max_pieces:
            raise TooManyPiecesError
        # Right of its kink a unit has the sign it has at the right end of the parent interval.
        positive = np.where(x[:-1, None] >= position[parent], right[parent], left[parent]) > 0
        A, C, EA, EC = A[parent], C[parent], EA[parent], EC[parent]
        EA = np.where(positive, EA, abs(slope) * EA + _UNIT * np.abs(slope * A)) * (1 + 2 * _UNIT)
        EC = np.where(positive, EC, abs(slope) * EC + _UNIT * np.abs(slope * C)) * (1 + 2 * _UNIT)
        A, C = np.where(positive, A, slope * A), np.where(positive, C, slope * C)
        _refuse_extremes(A, C, EA, EC, x)
    return Enumeration(x, ex, A[:, 0], C[:, 0], EA[:, 0], EC[:, 0])


def _exact_float(number: Fraction) -> float:
    if abs(number) > 2**500 or Fraction(float(number)) != number:
        raise AmbiguousError
    return float(number)


def _refuse_extremes(*arrays: Any) -> None:
    """Keep every product away from overflow and underflow, where the relative model fails."""
    for array in arrays:
        size = np.abs(array)
        if not np.all((size == 0) | ((size >= 2.0**-500) & (size <= 2.0**500))):
            raise AmbiguousError


def _evaluate(
    x: np.ndarray, ex: np.ndarray, A: np.ndarray, C: np.ndarray, EA: np.ndarray, EC: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return A·x + C and a bound on its error, x itself being wrong by at most ex."""
    product = A * x
    error = EA * np.abs(x) + (np.abs(A) + EA) * ex + EC
    return product + C, (error + 4 * _UNIT * (np.abs(product) + np.abs(C))) * (1 + 16 * _UNIT)


def _sign(
    value_and_error: tuple[np.ndarray, np.ndarray], A: np.ndarray, EA: np.ndarray, EC: np.ndarray
) -> np.ndarray:
    value, error = value_and_error
    nothing = (A == 0) & (EA == 0) & (value == 0) & (EC == 0)  # a dead unit: z ≡ 0, no kink
    if np.any((np.abs(value) <= error) & ~nothing):
        raise AmbiguousError
    return np.sign(value)


def _split(
    x: np.ndarray,
    ex: np.ndarray,
    A: np.ndarray,
    C: np.ndarray,
    EA: np.ndarray,
    EC: np.ndarray,
    changes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Insert the roots of the units that change sign.

    Returns the points, their errors, the old interval of every new one, and each unit's root in
    each old interval (−∞ where there is none).
    """
    piece, unit = np.nonzero(changes)
    a, c, ea, ec = (array[piece, unit] for array in (A, C, EA, EC))
    root = -c / a
    # The true line is at most this large at the computed root (the division's rounding included),
    # and at least |a| − ea steep.
    residual = ec + ea * np.abs(root) + _UNIT * np.abs(a * root)
    error = residual / (np.abs(a) - ea) * (1 + 16 * _UNIT)
    if not np.isfinite(root).all() or np.any(np.abs(a) <= ea):
        raise AmbiguousError
    position = np.full(A.shape, -np.inf)
    position[piece, unit] = root
    points, errors = np.concatenate([x, root]), np.concatenate([ex, error])
    owner = np.concatenate([np.arange(len(x)), piece])
    order = np.lexsort((points, owner))
    points, errors, owner = points[order], errors[order], owner[order]
    if np.any(np.diff(points) <= (errors[1:] + errors[:-1]) * (1 + 4 * _UNIT)):
        raise AmbiguousError
    return points, errors, owner[:-1], position
