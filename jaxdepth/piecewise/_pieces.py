"""The affine pieces of a piecewise linear network on an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from jaxdepth._misc import (
    check_finite,
    check_integer,
    check_interval,
    is_traced,
    refuse,
    require_x64,
)
from jaxdepth.networks import AffineLayer
from jaxdepth.piecewise._answer import Pieces, PiecesResult
from jaxdepth.piecewise._float64 import AmbiguousError, Vertices, enumerate_float64
from jaxdepth.piecewise._listing import list_scalar
from jaxdepth.piecewise._model import slopes_and_doubt
from jaxdepth.piecewise._rational import TooManyPiecesError, enumerate_rational
from jaxdepth.piecewise._traced_pieces import pieces_traced

Method = Literal["float64", "rational"]


def pieces(
    net: Any,
    interval: tuple[Any, Any] = (0.0, 1.0),
    method: Method = "float64",
    *,
    max_pieces: int = 2**22,
    capacity: int | None = None,
) -> Pieces:
    """Enumerate the affine pieces of a piecewise linear network R → R, exactly.

    Under jit, vmap or grad, with 64-bit on, the arrays have a fixed length and are differentiable;
    what float64 does not settle is `unresolved`. Called on a concrete network, exact arithmetic
    settles it.

    Args:
        net: a network that lists its affine layers (`networks.affine_layers`).
        interval: (start, end).
        method: "float64" enumerates in floating point under a rigorous error bound and leaves what
            is closer than the bound to "rational", which computes with the stored weights as the
            exact dyadic numbers that they are. The answers are the same.
        max_pieces: refuse to hold more.
        capacity: in a compiled program, room for so many kinks of one layer; None is twice its
            width and at least 64.

    Returns:
        `Pieces` of the stored weights: neighbouring intervals of exactly equal slope are one piece.

    Raises:
        ValueError: a network that is not piecewise linear or not R → R, non-finite weights, a bad
            interval; a traced network with 64-bit off, or by the method "rational".

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> pieces(Sawtooth(3)).num
        8
    """
    max_pieces = check_integer("max_pieces", max_pieces, 1)
    capacity = None if capacity is None else check_integer("capacity", capacity, 1)
    if method not in ("float64", "rational"):
        refuse("method", "'float64' or 'rational'", method)
    if method == "float64" and is_traced(net, interval):
        require_x64("pieces")
        return pieces_traced(net, *check_interval(interval), capacity)
    layers, start, end = prepare(net, interval, "pieces", "net")
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
        layers = list_scalar(net, argument)
    distinct = {id(layer): layer for layer in layers}  # a tied network repeats its layers
    check_finite(argument, list(distinct.values()))
    return layers, start, end


def _from_float64(found: Vertices) -> Pieces:
    x, y, y_error = found.x, found.h[:, 0], found.h_error[:, 0]
    apart, slopes, doubt = slopes_and_doubt(np, x, y, found.x_error, y_error)
    if not apart.all():
        raise AmbiguousError
    assert found.jumps is not None
    bends = found.jumps[1:-1, 0] > 0
    differs = np.abs(np.diff(slopes)) > doubt[1:] + doubt[:-1]
    for i in np.flatnonzero(bends & ~differs).tolist():
        differs[i] = _bends_exactly(found, i + 1)
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
