"""The affine pieces of a piecewise linear network on an interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from jaxdepth._misc import check_finite, check_integer, check_interval, is_traced, refuse
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._affine import listed
from jaxdepth.piecewise._float64 import AmbiguousError, Vertices, enumerate_float64
from jaxdepth.piecewise._model import UNIT
from jaxdepth.piecewise._rational import TooManyPiecesError, enumerate_rational

Method = Literal["float64", "rational"]


class PiecesResult(eqx.Enumeration):
    """What an enumeration is worth."""

    exact: Any = "exact: `num` is the number of affine pieces of the stored weights"
    overflow: Any = "overflow: more pieces than `max_pieces`; nothing was truncated into the answer"


class Pieces(eqx.Module):
    """A piecewise linear function on an interval, neighbours of equal slope merged.

    Affine pieces are maximal intervals on which the function is affine; activation regions, maximal
    intervals on which no unit of the network changes sign. Every piece is a union of regions: a
    unit that the layers after it ignore, or cancel, makes a region and no piece.

    Attributes:
        breakpoints: shape (num + 1,), the ends of the interval included; empty on overflow.
        values: the function there, shape (num + 1,).
        slopes: shape (num,).
        num: how many affine pieces; 0 on overflow.
        num_regions: how many activation regions, at least `num`; 0 on overflow.
        result: a `PiecesResult`.

    `num` and `num_regions` are exact; the arrays are rounded to float64 (±inf beyond its range).
    """

    breakpoints: Float[np.ndarray, " num_plus_1"]
    values: Float[np.ndarray, " num_plus_1"]
    slopes: Float[np.ndarray, " num"]
    num: int
    num_regions: int
    result: Any


def pieces(
    net: Any,
    interval: tuple[float, float] = (0.0, 1.0),
    method: Method = "float64",
    *,
    max_pieces: int = 2**22,
) -> Pieces:
    """Enumerate the affine pieces of a piecewise linear network R → R, exactly.

    Args:
        net: a network that lists its affine layers (`networks.affine_layers`).
        interval: (start, end).
        method: "float64" enumerates in floating point under a rigorous error bound and leaves what
            is closer than the bound to "rational", which computes with the stored weights as the
            exact dyadic numbers that they are. The answers are the same.
        max_pieces: refuse to hold more.

    Returns:
        `Pieces` of the stored weights: neighbouring intervals of exactly equal slope are one piece.

    Raises:
        ValueError: a network that is not piecewise linear or not R → R, non-finite weights, a
            traced network (this is a host method), a bad interval.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> pieces(Sawtooth(3)).num
        8
    """
    layers, start, end = prepare(net, interval, "pieces", "net")
    max_pieces = check_integer("max_pieces", max_pieces, 1)
    if method not in ("float64", "rational"):
        refuse("method", "'float64' or 'rational'", method)
    try:
        if method == "float64":
            try:
                return _from_float64(enumerate_float64(layers, start, end, max_pieces, slopes=True))
            except AmbiguousError:
                pass
        return _from_rational(*enumerate_rational(layers, start, end, max_pieces))
    except TooManyPiecesError:
        none = np.zeros(0)
        return Pieces(none, none, none, 0, 0, PiecesResult.overflow)


def prepare(
    net: Any, interval: tuple[Any, Any], verb: str, argument: str, *others: Any
) -> tuple[tuple[AffineLayer, ...], Fraction, Fraction]:
    """Check what every host enumeration needs: concrete, finite, R → R, with exact ends."""
    if is_traced(net, interval, others):
        raise ValueError(
            f"`{verb}` is a host method and works on concrete networks: call it outside jit, vmap "
            "and grad, or count by `Grid` inside them."
        )
    start, end = (Fraction(edge) for edge in check_interval(interval))
    # NumPy's arrays are cheaper to slice than JAX's, and concrete under any transformation.
    net = jax.tree.map(lambda leaf: np.asarray(leaf) if eqx.is_array(leaf) else leaf, net)
    with jax.ensure_compile_time_eval():
        layers = listed(net, argument)
    sizes = [layer.weight.shape[::-1] for layer in layers]
    if any(len(size) != 2 for size in sizes):
        refuse(argument, "one network", "a stack of several", "Index it, or count by `Grid`.")
    if any(one[1] != two[0] for one, two in itertools.pairwise(sizes)):
        refuse(argument, "layers whose shapes fit each other", sizes)
    if sizes[0][0] != 1 or sizes[-1][1] != 1:
        refuse(argument, "a network of one input and one output", (sizes[0][0], sizes[-1][1]))
    distinct = {id(layer): layer for layer in layers}  # a tied network repeats its layers
    check_finite(argument, list(distinct.values()))
    return layers, start, end


def _from_float64(found: Vertices) -> Pieces:
    x, y, y_error = found.x, found.h[:, 0], found.h_error[:, 0]
    assert found.jumps is not None
    bends = found.jumps[1:-1, 0] > 0
    run, rise = np.diff(x), np.diff(y)
    e_run = found.x_error[1:] + found.x_error[:-1] + UNIT * run
    if not np.all(run > e_run * (1 + 2.0**-50)):
        raise AmbiguousError
    slopes = rise / run
    e_rise = y_error[1:] + y_error[:-1] + UNIT * np.abs(rise)
    doubt = (e_rise + np.abs(slopes) * e_run) / (run - e_run) + 4 * UNIT * np.abs(slopes)
    differs = np.abs(np.diff(slopes)) > (doubt[1:] + doubt[:-1]) * (1 + 2.0**-50)
    for i in np.flatnonzero(bends & ~differs):
        differs[i] = _bends_exactly(found, int(i) + 1)
    keep = np.concatenate([[True], bends & differs, [True]])
    num = int(keep.sum()) - 1
    return Pieces(x[keep], y[keep], slopes[keep[:-1]], num, len(x) - 1, PiecesResult.exact)


def _bends_exactly(found: Vertices, i: int) -> bool:
    """Say whether the slope changes at vertex `i`, known exactly with its neighbours."""
    three = slice(i - 1, i + 2)
    if found.x_error[three].any() or found.h_error[three].any():
        raise AmbiguousError
    (x0, x1, x2), (y0, y1, y2) = (map(Fraction, table[three]) for table in (found.x, found.h[:, 0]))
    return (y1 - y0) * (x2 - x1) != (y2 - y1) * (x1 - x0)


def _from_rational(kinks: Sequence[Fraction], values: Sequence[Fraction]) -> Pieces:
    slopes = [
        (values[i + 1] - values[i]) / (kinks[i + 1] - kinks[i]) for i in range(len(kinks) - 1)
    ]
    starts = [i for i, slope in enumerate(slopes) if i == 0 or slope != slopes[i - 1]]
    keep = [*starts, len(kinks) - 1]
    return Pieces(
        np.array([_rounded(kinks[i]) for i in keep]),
        np.array([_rounded(values[i]) for i in keep]),
        np.array([_rounded(slopes[i]) for i in starts]),
        len(starts),
        len(slopes),
        PiecesResult.exact,
    )


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
