"""Enumeration of one network on the host, in float64 under the running error bound of `_model`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxdepth.networks import AffineLayer
from jaxdepth.piecewise._componentwise import activated, affine, between
from jaxdepth.piecewise._model import (
    affine_exactly,
    apart,
    extent,
    kink,
    kink_exactly,
    passed,
    undecided,
)
from jaxdepth.piecewise._rational import TooManyPiecesError


class AmbiguousError(Exception):
    """A sign or an order could not be told in float64."""


class Vertices(NamedTuple):
    """The vertices of a network on an interval, ascending; between neighbours it is affine.

    Attributes:
        x: their places, shape (vertices,).
        x_error: bounds on the error of `x`, 0 where it is exact.
        h: the hidden (in the end, the output) vector there, shape (vertices, units).
        h_error: bounds on the error of `h`.
        jumps: where the slope of a unit may jump, 1, and where it is proven not to, 0; or None.
        kinks: how many vertices each layer brought.
    """

    x: np.ndarray
    x_error: np.ndarray
    h: np.ndarray
    h_error: np.ndarray
    jumps: np.ndarray | None
    kinks: tuple[int, ...] = ()


@np.errstate(all="ignore")  # what overflows has an infinite bound, and is left undecided
def enumerate_float64(
    layers: Sequence[AffineLayer],
    start: Fraction,
    end: Fraction,
    max_pieces: int,
    *,
    slopes: bool = False,
) -> Vertices:
    """Return the vertices of the network (ends included) and its values there.

    Exactly known numbers are looked for only where a first pass without them fails. `slopes` asks
    for `jumps`.

    Raises:
        AmbiguousError: float64 cannot settle a sign or an order.
        TooManyPiecesError: more than `max_pieces` intervals.
    """
    ends = np.array([_exact_float(start), _exact_float(end)])
    known = [_plain(layer) for layer in layers]
    try:
        return _enumerate(known, ends, max_pieces, slopes, dyadic=False)
    except AmbiguousError:
        return _enumerate(known, ends, max_pieces, slopes, dyadic=True)


def _plain(layer: AffineLayer) -> tuple[np.ndarray, np.ndarray, float]:
    return _widened(layer.weight), _widened(layer.bias), float(_widened(layer.negative_slope))


def _widened(numbers: Any) -> np.ndarray:
    stored = np.asarray(numbers)
    wide = stored.astype(np.float64)
    if (
        stored.dtype != np.float64
        and stored.dtype.itemsize >= 8
        and np.any(wide.astype(stored.dtype) != stored)
    ):
        raise AmbiguousError  # integers, or floats, of too many bits
    return wide


def _enumerate(
    layers: list[tuple[np.ndarray, np.ndarray, float]],
    ends: np.ndarray,
    max_pieces: int,
    slopes: bool,
    dyadic: bool,
) -> Vertices:
    zero = np.zeros((2, 1))
    v = Vertices(ends, zero[:, 0], ends[:, None], zero, zero if slopes else None)
    for W, b, slope in layers:
        v = _through(v, W, b, dyadic)
        if slope == 1.0:
            v = v._replace(kinks=(*v.kinks, 0))
            continue
        if undecided(v.h, v.h_error).any():
            raise AmbiguousError
        v = _split(v, max_pieces, dyadic)
        jumps = None if v.jumps is None else passed(np, v.h, v.jumps, slope)
        h, e = activated(v.h, v.h_error, slope)
        v = v._replace(h=h, h_error=e, jumps=jumps)
    return v


def _through(v: Vertices, W: np.ndarray, b: np.ndarray, dyadic: bool) -> Vertices:
    z, e = affine(v.h, v.h_error, W, b)
    if dyadic:
        known = np.flatnonzero(_certain(v.h_error))
        e[known] = np.where(affine_exactly(np, v.h[known], W, b), 0, e[known])
    jumps = None if v.jumps is None else np.minimum(v.jumps @ (W.T != 0), 1.0)
    return v._replace(h=z, h_error=e, jumps=jumps)


def _exact_float(number: Fraction) -> float:
    if abs(number) > 2**500 or Fraction(float(number)) != number:
        raise AmbiguousError
    return float(number)


def _split(v: Vertices, max_pieces: int, dyadic: bool) -> Vertices:
    """Insert a vertex wherever a unit changes sign between neighbours."""
    above, below = v.h > 0, v.h < 0
    left, unit = np.nonzero((above[:-1] & below[1:]) | (below[:-1] & above[1:]))
    if not len(left):
        return v._replace(kinks=(*v.kinks, 0))
    right = left + 1
    h_l, h_r, e = v.h[left], v.h[right], np.maximum(v.h_error[left], v.h_error[right])
    own = (np.arange(len(unit)), unit)
    t, e_t = kink(h_l[own], h_r[own], e[own])
    h, e = between(h_l, h_r, e, t[:, None], e_t[:, None])
    h[own], e[own] = 0, 0
    e_x = np.maximum(v.x_error[left], v.x_error[right])
    x, e_x = between(v.x[left], v.x[right], e_x, t, e_t)
    if dyadic:
        lowest, most = extent(np, np.column_stack([v.x, v.h]))
        known = _certain(v.h_error) & (v.x_error == 0)
        exact = known[left] & known[right]
        exact &= kink_exactly(np, lowest, most, left, right, h_l[own], h_r[own], t)
        e[exact], e_x[exact], e_t[exact] = 0, 0, 0
    # One kink a segment, as in a sawtooth, is in order as it is.
    alone = np.all(left[1:] > left[:-1])
    order = np.arange(len(t)) if alone else np.lexsort((t, right))
    place = right[order]
    different, same = apart(t[order], e_t[order])
    neighbours = place[1:] == place[:-1]
    if np.any(neighbours & ~(different | same)):
        raise AmbiguousError
    once = np.append(True, ~(neighbours & same))
    order, place = order[once], place[once]
    if len(v.x) + len(place) - 1 > max_pieces:
        raise TooManyPiecesError
    merged = _merged(len(v.x), place, order)
    jumps = None
    if v.jumps is not None:
        jumps = np.concatenate([v.jumps, np.zeros_like(h)])[merged]
    return Vertices(
        np.concatenate([v.x, x])[merged],
        np.concatenate([v.x_error, e_x])[merged],
        np.concatenate([v.h, h])[merged],
        np.concatenate([v.h_error, e])[merged],
        jumps,
        (*v.kinks, len(place)),
    )


def _certain(errors: np.ndarray) -> np.ndarray:
    """Mark the rows of bounds that are all 0, by their sums."""
    return errors @ np.ones(errors.shape[1]) == 0


def _merged(old: int, place: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the order of `old` rows and the new ones after them, these to stand before `place`."""
    merged = np.empty(old + len(place), np.int64)
    fresh = np.zeros(len(merged), bool)
    fresh[place + np.arange(len(place))] = True
    merged[fresh] = old + order
    merged[~fresh] = np.arange(old)
    return merged
