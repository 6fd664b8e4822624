"""Enumeration of one network on the host, in float64 under the running error bound of `_model`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from jaxdepth.networks import AffineLayer
from jaxdepth.piecewise._model import activated, affine, apart, exactly, kink, undecided
from jaxdepth.piecewise._rational import TooManyPiecesError


class AmbiguousError(Exception):
    """A sign or an order could not be told in float64."""


class Enumeration(NamedTuple):
    """The vertices of a network on an interval, ascending; between neighbours it is affine.

    Attributes:
        x: shape (n + 1,).
        value: the network there.
        x_error: bounds on the error of `x`, 0 where it is exact.
        value_error: likewise of `value`.
        bends: whether the network can have a kink there; where False it is proven to have none.
    """

    x: np.ndarray
    value: np.ndarray
    x_error: np.ndarray
    value_error: np.ndarray
    bends: np.ndarray


@np.errstate(all="ignore")  # what overflows has an infinite bound, and is left undecided
def enumerate_float64(
    layers: Sequence[AffineLayer],
    start: Fraction,
    end: Fraction,
    max_pieces: int,
    slopes: bool = False,
) -> Enumeration:
    """Return the vertices of the network (ends included) and its values there.

    `slopes` asks for `bends`, True everywhere otherwise.

    Raises:
        AmbiguousError: float64 cannot settle a sign or an order.
        TooManyPiecesError: more than `max_pieces` intervals.
    """
    ends = np.array([_exact_float(start), _exact_float(end)])
    rows, errors = np.stack([ends, ends], axis=1), np.zeros((2, 2))
    # Whether the slope of each unit can jump at each vertex.
    jumps = np.zeros((2, 1), np.float32) if slopes else None
    for layer in layers:
        W, b = np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)
        slope = np.float64(layer.negative_slope)
        known = ~errors.any(axis=1)
        exact = exactly(np, rows, errors, W, b) if known.any() else None
        rows, errors = affine(np, rows, errors, W, b, exact)
        if jumps is not None:
            jumps = np.minimum(jumps @ (W.T != 0).astype(np.float32), 1)
        if slope == 1.0:
            continue
        z = rows[:, 1:]
        if undecided(np, z, errors[:, 1:]).any():
            raise AmbiguousError
        place, new, e_new = _kinks(rows, errors)
        if len(rows) + len(place) - 1 > max_pieces:
            raise TooManyPiecesError
        if len(place):
            order = _merged(len(rows), place)
            rows = np.concatenate([rows, new])[order]
            errors = np.concatenate([errors, e_new])[order]
        if jumps is not None:
            jumps = np.insert(jumps, place, 0, axis=0)
            jumps = _passed(rows[:, 1:], jumps, slope)
        rows, errors = activated(np, rows, errors, slope)
    bends = np.ones(len(rows), bool) if jumps is None else jumps[:, 0] > 0
    return Enumeration(rows[:, 0], rows[:, 1], errors[:, 0], errors[:, 1], bends)


def _exact_float(number: Fraction) -> float:
    if abs(number) > 2**500 or Fraction(float(number)) != number:
        raise AmbiguousError
    return float(number)


def _kinks(rows: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a row wherever a unit changes sign between neighbours, and where it is to stand."""
    above, below = rows[:, 1:] > 0, rows[:, 1:] < 0
    left, unit = np.nonzero((above[:-1] & below[1:]) | (below[:-1] & above[1:]))
    right = left + 1
    known = not errors.all()  # an end with an exact row at least: look for more of them
    t, e_t, new, e_new = kink(
        np, rows[left], rows[right], errors[left], errors[right], unit + 1, known
    )
    order = np.lexsort((t, right))
    place, t, e_t = right[order], t[order], e_t[order]
    different, same = apart(np, t, e_t)
    neighbours = place[1:] == place[:-1]
    if np.any(neighbours & ~(different | same)):
        raise AmbiguousError
    once = np.flatnonzero(np.append(True, ~(neighbours & same)))[: len(place)]
    order = order[once]
    return place[once], new[order], e_new[order]


def _merged(old: int, place: np.ndarray) -> np.ndarray:
    """Return the order of `old` rows followed by new ones, each to stand before row `place`."""
    order = np.empty(old + len(place), np.int64)
    fresh = np.zeros(len(order), bool)
    fresh[place + np.arange(len(place))] = True
    order[fresh] = np.arange(old, len(order))
    order[~fresh] = np.arange(old)
    return order


def _passed(z: np.ndarray, jumps: np.ndarray, slope: np.float64) -> np.ndarray:
    """Say which slopes can jump after the activation.

    All that could where z > 0 (where z < 0 only with a slope to let it by), and where the unit is
    0, unless it is 0 on both sides as well.
    """
    zero = np.pad(z == 0, ((1, 1), (0, 0)), constant_values=True)
    alone = ~(zero[:-2] & zero[2:])
    passing = np.where(z > 0, jumps > 0, (z < 0) & (jumps > 0) & (slope != 0))
    return (passing | ((z == 0) & alone)).astype(np.float32)
