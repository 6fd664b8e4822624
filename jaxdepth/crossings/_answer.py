"""The answer to every count, and how far to trust it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Int


class CountResult(eqx.Enumeration):
    """What a count is worth.

    Example:
        >>> CountResult[CountResult.exact]
        'exact: `value` is the crossing number'
    """

    exact: Any = "exact: `value` is the crossing number"
    certified: Any = "certified: `value` is proven by outward-rounded intervals"
    not_certified: Any = (
        "not certified: a double root, a root at an end of the interval, numbers beyond 2^200 (for "
        "sin and cos, 2^20), or more boxes than `max_boxes`; `lower` and `upper` are proven, "
        "`value` is `lower`"
    )
    lower_bound: Any = "lower bound only: the sampled values change label `value` − 1 times"
    unresolved: Any = (
        "unresolved: of a grid, label intervals can be narrower than the spacing of the points (or "
        "points coincide in this dtype), so crossings may be missing: use more points, float64, or "
        "`Exact`; of `Exact` in a compiled program, float64 cannot tell a sign: count outside it"
    )
    overflow: Any = "overflow: more pieces than the capacity; nothing was truncated into `value`"
    not_finite: Any = (
        "not finite: in this dtype a value of the function, the level or an end of the interval is "
        "NaN or infinite, so that labels are not defined"
    )


class CrossingCount(eqx.Module):
    """The crossing number of a function on an interval, as far as one method knows it.

    Attributes:
        value: Cr, the number of maximal intervals of 1[fn ≥ level] on the closed interval.
        lower: a bound from below; of `Grid` where not trusted, on the crossing number of the
            sampled values, rounding included.
        upper: a bound from above; where nothing is known, the largest integer of the dtype
            (math.inf from host methods).
        trusted: True only when `value` is proven.
        result: a `CountResult`.

    Traced methods return integer arrays (int32; int64 with 64-bit on), host methods Python ints,
    for a stack of concrete networks NumPy arrays.

    Example:
        >>> from jaxdepth.crossings import Symbolic, count
        >>> from jaxdepth.networks import Sawtooth
        >>> answer = count(Sawtooth(4), Symbolic())
        >>> answer.lower, answer.value, answer.upper, answer.trusted
        (17, 17, 17, True)
    """

    value: Int[Array | np.ndarray, "*batch"] | int
    lower: Int[Array | np.ndarray, "*batch"] | int
    upper: Int[Array | np.ndarray, "*batch"] | int | float
    trusted: Bool[Array | np.ndarray, "*batch"] | bool
    result: Any
