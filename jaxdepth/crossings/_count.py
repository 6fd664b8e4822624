"""The verb: count the crossings of a function, by any method."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx

from jaxdepth._misc import check_interval, check_real, refuse
from jaxdepth.crossings._answer import CrossingCount


class AbstractCounter(eqx.Module):
    """A way of counting: settings as fields, one method.

    Example:
        >>> import math, numpy as np
        >>> from jaxdepth.crossings import CountResult, changes
        >>> class Ends(AbstractCounter):  # what the labels of both ends tell
        ...     def __call__(self, fn, interval, level):
        ...         least = 1 + int(changes(np.array([fn(end) for end in interval]), level))
        ...         return CrossingCount(least, least, math.inf, False, CountResult.lower_bound)
        >>> count(lambda x: x**2, Ends()).value
        2
    """

    @abc.abstractmethod
    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; `interval` and `level` are checked already."""


def count(
    fn: Any,
    method: AbstractCounter,
    *,
    interval: tuple[Any, Any] = (0.0, 1.0),
    level: Any = 0.5,
) -> CrossingCount:
    """Count the maximal intervals on which the classifier 1[fn ≥ level] is constant.

    Cr(fn) of Telgarsky 2016 (Section 3), on a closed interval: the changes of label plus 1. A
    maximum that touches the level from below counts two changes.

    Args:
        fn: a function R → R: a network of shape (1,) → (1,) or () → (), or any callable for `Grid`.
            (`piecewise.on_line` restricts a network of many inputs to a segment.)
        method: what is known of fn decides: `Exact()` for piecewise linear networks, one or a
            stack of them, and `Rational()`, its referee; `Symbolic()` for compositions of any
            depth; `Certified()` for smooth activations; `Grid(num_points)` for any callable.
        interval: (start, end), finite, start < end.
        level: a finite number.

    Returns:
        A `CrossingCount`; its `result` says what the number is worth.

    Raises:
        ValueError: a bad interval or level, a function that is not scalar, a network or setting
            that the method cannot handle.

    Example:
        >>> from jaxdepth.crossings import Grid
        >>> from jaxdepth.networks import Sawtooth
        >>> answer = count(Sawtooth(5), Grid(2**10 + 1))
        >>> int(answer.value), bool(answer.trusted)
        (33, True)

    Reference:
        Telgarsky, "Benefits of depth in neural networks", COLT 2016, arXiv:1602.04485.
    """
    if not isinstance(method, AbstractCounter):
        refuse("method", "a counting method such as `Grid(2**14 + 1)` or `Exact()`", method)
    if isinstance(fn, type):
        refuse(
            "fn", "a function R → R or a network", f"the class {fn.__name__}", "Build one of it."
        )
    return method(fn, check_interval(interval), check_real("level", level))
