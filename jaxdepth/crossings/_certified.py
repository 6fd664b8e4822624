"""Certified counting for smooth activations: a proven number, or none."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import check_integer, in_float64, is_traced, refuse
from jaxdepth.crossings._answer import CrossingCount
from jaxdepth.crossings._bisection import Problem, count_on_host, count_traced
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.crossings._steps import Step, steps

_IEEE = ("cpu", "gpu", "cuda", "rocm")  # devices whose float64 is IEEE's


class Certified(AbstractCounter):
    """Count a network of smooth activations, and prove the count: or say that it is not proven.

    Bisection. A box is settled when interval arithmetic, rounded outward, proves that the network
    stays on one side of the level, or that its slope keeps its sign, so that the labels of the
    box's ends, proven as well, tell the one crossing from none. The count is that of the stored
    weights in exact real arithmetic with the mathematical activations: tanh, sigmoid, softplus,
    GELU (the tanh form, and with erf), SiLU, sin, cos, exp(−x²), and the piecewise linear ones,
    mixed at will. No rounding of a library's exp or tanh is trusted; they are rebuilt from +, −, ×,
    ÷.

    A double root (a maximum that touches the level), or a root at an end of the interval, cannot be
    proven so, nor what reads numbers beyond 2^200 (sin and cos: 2^20): the `result` is
    `not_certified`, `value` and `lower` count the changes between points of proven labels, and
    `upper` is the largest count that remains possible, or unbounded.

    Concrete networks are counted in NumPy, in Python ints. Under jit or vmap the same arithmetic
    runs in a loop of fixed memory; it needs 64-bit on, and a CPU or GPU, whose float64 is IEEE's.

    Attributes:
        max_boxes: give up after so many boxes.

    Raises:
        ValueError: `max_boxes` no positive integer; in a count, a network that lists no layers or
            an activation not named above, a trace with 64-bit off or on another device.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxdepth.crossings import Grid, count
        >>> from jaxdepth.networks import MLP
        >>> key, sizes = jax.random.key(5), (1, 16, 16, 1)
        >>> net = MLP(sizes, activation="sin", weight_gain=16.0, dtype=jnp.float32, key=key)
        >>> answer = count(net, Certified(), level=0.0)
        >>> answer.value, answer.trusted, int(count(net, Grid(33), level=0.0).value)
        (7, True, 5)

    Reference:
        Moore, Kearfott & Cloud, Introduction to Interval Analysis, SIAM 2009, Sections 6.1 (mean
        value form) and 8.1 (roots by bisection).
    """

    max_boxes: int = eqx.field(static=True)

    def __init__(self, *, max_boxes: int = 2**16) -> None:
        self.max_boxes = check_integer("max_boxes", max_boxes, 1, 2**31 - 1)

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        if is_traced(fn, interval, level) and jax.default_backend() not in _IEEE:
            refuse(
                "method",
                "another than `Certified` under a trace on this device",
                jax.default_backend(),
                "Its float64 is not IEEE's: count outside the trace, on the host.",
            )
        # XLA reads float32 subnormals as 0; NumPy reads every number as it is.
        flushed = 2.0**-126 if is_traced(fn, interval, level) else 0.0
        return in_float64("Certified", self._count, fn, interval, level, flushed, cast=False)

    def _count(self, fn: Any, interval: tuple[Any, Any], level: Any, flushed: Any) -> Any:
        start, end = (_enclosed(end, flushed) for end in interval)
        threshold, doubt = _enclosed(level, flushed)
        shift = Step(np.ones((1, 1)), -threshold.reshape(1))
        problem = Problem((*steps(fn, "fn"), shift), start, end, doubt, flushed)
        if not is_traced(problem):
            with np.errstate(all="ignore"):  # what overflows is refused by its value
                return count_on_host(problem, self.max_boxes)
        still = jax.tree.map(
            lambda leaf: jax.lax.stop_gradient(leaf) if is_traced(leaf) else leaf, problem
        )
        return count_traced(still, self.max_boxes)


def _enclosed(number: Any, flushed: Any) -> tuple[Any, Any]:
    """Return float64 arrays: a number, and how far the true one may be from it."""
    if is_traced(number):
        rounded = number.astype(jnp.float64)
        whole = jnp.issubdtype(number.dtype, jnp.integer)
        return rounded, flushed + (2.0**-52 * jnp.abs(rounded) if whole else 0.0)
    exact = Fraction(float(number)) == Fraction(number)
    return np.asarray(float(number)), 0.0 if exact else abs(float(number)) * 2.0**-52 + 2.0**-1000
