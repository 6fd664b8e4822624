"""Exact enumeration of a piecewise linear network on an interval, in integer arithmetic.

A point of the graph is kept in homogeneous integer coordinates (q, q·x, q·h₁, …, q·hₘ), q > 0, h
the hidden vector at x. Floats are dyadic rationals, so a layer is an integer matrix once its
weights and the common denominator are scaled by a power of two. Where unit j changes sign between
neighbours v and v′, its kink is the integer combination |Z′ⱼ|·v + |Zⱼ|·v′: on it qz_j = |Z′ⱼ|Zⱼ +
|Zⱼ|Z′ⱼ = 0. No number is ever rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxdepth.networks import AffineLayer


class TooManyPiecesError(Exception):
    """The enumeration met more breakpoints than it was allowed to hold."""


def enumerate_rational(
    layers: Sequence[AffineLayer], start: Fraction, end: Fraction, max_pieces: int
) -> tuple[list[Fraction], list[Fraction]]:
    """Return every kink x (ends included, ascending) and the network's value there, exactly.

    Between neighbours the network is affine; neighbours of equal slope are not merged.

    Raises:
        TooManyPiecesError: more than `max_pieces` intervals.
    """
    points = _integers([[1, x, x] for x in (start, end)])
    for layer in layers:
        points = _insert_kinks(_linear(points, layer), float(layer.negative_slope) != 1.0)
        if len(points) - 1 > max_pieces:
            raise TooManyPiecesError
        points = _reduced(_activated(points, float(layer.negative_slope)))
    kinks = [Fraction(x, q) for q, x in zip(points[:, 0], points[:, 1], strict=True)]
    values = [Fraction(y, q) for q, y in zip(points[:, 0], points[:, 2], strict=True)]
    return kinks, values


def _integers(rows: list[list[Any]]) -> np.ndarray:
    """Return rational rows, whose first entry is 1, in integer homogeneous coordinates."""
    scaled = []
    for row in rows:
        fractions = [Fraction(entry) for entry in row]
        common = math.lcm(*(entry.denominator for entry in fractions))
        scaled.append([int(entry * common) for entry in fractions])
    return np.array(scaled, dtype=object)


def _dyadic(array: Any) -> tuple[np.ndarray, int]:
    """Write real numbers as integers over one power of two, 2^shift."""
    entries = _unrounded(array)
    ratios = [value.as_integer_ratio() for value in entries.ravel().tolist()]
    shift = max((denominator.bit_length() - 1 for _, denominator in ratios), default=0)
    numerators = [n << (shift - d.bit_length() + 1) for n, d in ratios]
    whole = np.empty(entries.size, dtype=object)
    whole[:] = numerators
    return whole.reshape(entries.shape), shift


def _unrounded(array: Any) -> np.ndarray:
    """Return numbers as float64, or as Python's where these are integers that it may not hold."""
    stored = np.asarray(array)
    wide = stored.dtype == object or (stored.dtype.kind in "iu" and stored.dtype.itemsize == 8)
    return stored.astype(object if wide else np.float64)


def _linear(points: np.ndarray, layer: AffineLayer) -> np.ndarray:
    rows = np.concatenate([_unrounded(layer.bias)[:, None], _unrounded(layer.weight)], axis=1)
    whole, shift = _dyadic(rows)
    scale = 1 << shift
    coordinates = np.delete(points, 1, axis=1)  # (q, q·h): x plays no part in the layer
    return np.concatenate([points[:, :2] * scale, coordinates @ whole.T], axis=1)


def _insert_kinks(points: np.ndarray, bends: bool) -> np.ndarray:
    if not bends:
        return points
    signs = np.sign(points[:, 2:]).astype(np.int8)
    where, unit = np.nonzero(signs[:-1] * signs[1:] < 0)
    if not len(where):
        return points
    left, right = points[where], points[where + 1]
    rows = np.arange(len(where))
    kinks = _reduced(
        abs(right[rows, 2 + unit])[:, None] * left + abs(left[rows, 2 + unit])[:, None] * right
    )
    place = [
        (int(i), Fraction(x, q)) for i, q, x in zip(where, kinks[:, 0], kinks[:, 1], strict=True)
    ]
    order = sorted(range(len(place)), key=place.__getitem__)
    distinct = [k for n, k in enumerate(order) if n == 0 or place[k] != place[order[n - 1]]]
    return np.insert(points, where[distinct] + 1, kinks[distinct], axis=0)


def _activated(points: np.ndarray, slope: float) -> np.ndarray:
    """Apply max(z, 0) + slope·min(z, 0), the slope a dyadic rational n / 2^shift."""
    numerator, shift = _dyadic(slope)
    scale = 1 << shift
    z = points[:, 2:]
    h = np.where(z > 0, z * scale, z * numerator.item())
    return np.concatenate([points[:, :2] * scale, h], axis=1)


def _reduced(points: np.ndarray) -> np.ndarray:
    """Divide each row by its greatest common divisor."""
    common = np.array([math.gcd(*row) for row in points.tolist()], dtype=object)
    return points // common[:, None]
