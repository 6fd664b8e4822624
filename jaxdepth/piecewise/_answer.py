"""A piecewise linear function, as its breakpoints."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdepth._misc import check_real, is_traced, refuse


class PiecesResult(eqx.Enumeration):
    """What an enumeration is worth.

    Example:
        >>> PiecesResult[PiecesResult.exact]
        'exact: `num` is the number of affine pieces of the stored weights'
    """

    exact: Any = "exact: `num` is the number of affine pieces of the stored weights"
    merged: Any = "merged: `num` pieces, within the tolerance of the function that was enumerated"
    unresolved: Any = (
        "unresolved: float64 cannot tell a sign, an order or a change of slope; call `pieces` "
        "outside jit, vmap and grad, where rational arithmetic settles it"
    )
    overflow: Any = (
        "overflow: more pieces than `max_pieces`, or in a compiled program more kinks of a layer "
        "than `capacity`; nothing was truncated into the answer"
    )
    not_finite: Any = "not finite: a weight, a breakpoint or a value is NaN or infinite"


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
    From a compiled program all are JAX arrays: the end of the interval is repeated to a fixed
    length, with slopes of 0, and breakpoints, values and slopes are differentiable in the weights
    and the interval.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> from jaxdepth.piecewise import pieces
        >>> tooth = pieces(Sawtooth(1))
        >>> tooth.breakpoints.tolist(), tooth.slopes.tolist()
        ([0.0, 0.5, 1.0], [2.0, -2.0])
    """

    breakpoints: Float[Array | np.ndarray, "*batch vertices"]
    values: Float[Array | np.ndarray, "*batch vertices"]
    slopes: Float[Array | np.ndarray, "*batch segments"]
    num: Int[Array, "*batch"] | int
    num_regions: Int[Array, "*batch"] | int
    result: Any

    def merged(self, tolerance: float) -> Pieces:
        """Leave out breakpoints while the function moves by at most `tolerance`.

        Going from left to right, each new piece is the longest chord, from the breakpoint where the
        last one ended to a later one, that is found before no chord can stay within the tolerance
        of all breakpoints in between. What rounding of stored weights has split grows together; how
        many pieces remain depends on the tolerance, and is no property of the network.

        Args:
            tolerance: at least 0.

        Returns:
            `Pieces` with result `merged`.

        Raises:
            ValueError: a traced answer, an overflow, or a tolerance that is negative or not finite.

        Example:
            >>> from jaxdepth.networks import Sawtooth
            >>> from jaxdepth.piecewise import pieces
            >>> pieces(Sawtooth(3)).merged(1e-9).num
            8
        """
        if is_traced(self, tolerance) or np.ndim(self.breakpoints) != 1:
            raise ValueError("`merged` is a host method: call it on the pieces of one network.")
        if check_real("tolerance", tolerance) < 0:
            refuse("tolerance", "at least 0", tolerance)
        if not self.num:
            raise ValueError("`merged` needs pieces, and these overflowed: raise `max_pieces`.")
        x, y = np.asarray(self.breakpoints), np.asarray(self.values)
        kept = [0]
        while kept[-1] < len(x) - 1:
            kept.append(_farthest(x, y, kept[-1], float(tolerance)))
        slopes = np.diff(y[kept]) / np.diff(x[kept])
        num, regions = len(kept) - 1, self.num_regions
        return Pieces(x[kept], y[kept], slopes, num, regions, PiecesResult.merged)


def _farthest(x: np.ndarray, y: np.ndarray, i: int, tolerance: float) -> int:
    """Return the last breakpoint whose chord from i stays within `tolerance` of those between."""
    low, high, best = -np.inf, np.inf, i + 1
    for j in range(i + 1, len(x)):
        run, rise = x[j] - x[i], y[j] - y[i]
        if low <= rise / run <= high:
            best = j
        low, high = max(low, (rise - tolerance) / run), min(high, (rise + tolerance) / run)
        if low > high:
            break
    return best
