"""Bounds on the errors of a network at its vertices, number by number (NumPy)."""

from __future__ import annotations

import numpy as np

from jaxdepth.piecewise._model import SLACK, TINY, UNIT

_ONE_THREAD = 2**18  # multiplications


def affine(
    h: np.ndarray, e: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return z = Wh + b at every vertex, shape (vertices, units), and the bounds on its error.

    |fl(Wĥ + b) − (Wh + b)| ≤ |W|e + γ(|W||ĥ| + |b|), e the bound on ĥ.
    """
    terms = (weight.shape[1] + 2) * UNIT
    gamma = terms / (1 - terms)
    size = abs(weight) + np.finfo(np.float64).tiny
    bound = _product(e + gamma * abs(h) + TINY, size.T) + gamma * abs(bias) + TINY
    return _product(h, weight.T) + bias, bound * (SLACK + 4 * weight.shape[1] * UNIT)


def _product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows @ matrix, in blocks so small that OpenBLAS uses one thread for each.

    Its other threads go on waiting busily for some time, and hold up whatever runs next. Of wide
    matrices blocks would be too narrow.
    """
    block = _ONE_THREAD // max(matrix.size, 1)
    if not 16 <= block < len(rows):
        return rows @ matrix
    out = np.empty((len(rows), matrix.shape[1]))
    for first in range(0, len(rows), block):
        np.matmul(rows[first : first + block], matrix, out=out[first : first + block])
    return out


def between(
    left: np.ndarray, right: np.ndarray, e: np.ndarray, t: np.ndarray, e_t: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return l + τ(r − l), what an affine quantity is at a kink, and the error bound.

    It is wrong by at most e + |t̂ − τ||r̂ − l̂|, e bounding the errors of l̂ and r̂, but for rounding.
    """
    rise = right - left
    bound = e + e_t * abs(rise) + 8 * UNIT * (abs(left) + abs(right))
    return left + t * rise, bound * SLACK + TINY


def activated(z: np.ndarray, e: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return max(z, 0) + slope·min(z, 0), and its bound; a slope of 0 or ±1 does not round."""
    if slope == 0:
        return np.maximum(z, 0), np.where(z > 0, e, 0)
    gain = np.where(z > 0, 1.0, slope)
    h, bound = gain * z, abs(gain) * e
    if abs(slope) != 1:
        bound = (bound + np.where(z > 0, 0, UNIT * abs(h) + TINY)) * SLACK
    return h, bound
