"""Certified counting for smooth activations: a proven number, or none."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import check_integer, in_float64, is_traced, refuse
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.crossings._intervals import enclose
from jaxdepth.crossings._steps import Affine, Step, steps

_IEEE = ("cpu", "gpu", "cuda", "rocm")  # devices whose float64 is IEEE's
_HOST_BATCH = 512  # boxes at once: three enclosures of 64 units stay in a core's cache
_TRACED_BATCH = 128
_TRACED_STACK = 64 * _TRACED_BATCH  # depth first, a level of bisection leaves a batch behind
# Where to prove a label, at each further try: the ends of the interval once, then where to cut.
_CUTS = np.array([0.0, 1.0, 0.5, 0.4140625, 0.6171875, 0.34375])


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
    proven so: the `result` is `not_certified`, `value` and `lower` count the changes between points
    of proven labels, and `upper` is the largest count that remains possible, or unbounded.

    Concrete networks are counted in NumPy, in Python ints. Under jit or vmap the same arithmetic
    runs in a loop of fixed memory; it needs 64-bit on, and a CPU or GPU, whose float64 is IEEE's.

    Attributes:
        max_boxes: give up after so many boxes.

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
        return in_float64("Certified", self._count, fn, interval, level, flushed)

    def _count(self, fn: Any, interval: tuple[Any, Any], level: Any, flushed: Any) -> Any:
        start, end = (_enclosed(end, flushed) for end in interval)
        threshold, doubt = _enclosed(level, flushed)
        shift = Affine(np.ones((1, 1)), -threshold.reshape(1))
        problem = _Problem((*steps(fn, "fn"), shift), start, end, doubt, flushed)
        if not is_traced(problem):
            with np.errstate(all="ignore"):  # what overflows is refused by its value
                return _count_on_host(problem, self.max_boxes)
        still = jax.tree.map(
            lambda leaf: jax.lax.stop_gradient(leaf) if is_traced(leaf) else leaf, problem
        )
        return _count_traced(still, self.max_boxes)


class _Problem(NamedTuple):
    """Count the sign changes of what `steps` compute, a number of either sign within `doubt` of 0.

    An end is a pair (number, radius): the true end is within the radius of the number.
    """

    steps: tuple[Step, ...]
    start: tuple[Any, Any]
    end: tuple[Any, Any]
    doubt: Any
    flushed: Any


class _Refined(NamedTuple):
    """What became of a batch of boxes.

    Attributes:
        children: two rows for each box, still to be settled where `keep`.
        keep: see `children`.
        proven: whether a box, settled or given up, holds a change for certain.
        possible: whether a settled box may hold one, as any does whose label at an end is unproven.
        stuck: whether a box was given up.
    """

    children: Any
    keep: Any
    proven: Any
    possible: Any
    stuck: Any


def _enclosed(number: Any, flushed: Any) -> tuple[Any, Any]:
    """Return float64 arrays: a number, and how far the true one may be from it."""
    if is_traced(number):
        rounded = number.astype(jnp.float64)
        whole = jnp.issubdtype(number.dtype, jnp.integer)
        return rounded, flushed + (2.0**-52 * jnp.abs(rounded) if whole else 0.0)
    exact = Fraction(float(number)) == Fraction(number)
    return np.asarray(float(number)), 0.0 if exact else abs(float(number)) * 2.0**-52 + 2.0**-1000


def _whole(problem: _Problem, xp: Any) -> Any:
    """Return the interval as a batch of one box: rows (a, b, labels of both, tries)."""
    return xp.stack([problem.start[0], problem.end[0], *xp.zeros(3)])[None]


def _refine(problem: _Problem, boxes: Any) -> _Refined:
    """Settle each box, cut it where the label is proven, try to cut it elsewhere, or give it up.

    The first two tries of the whole interval prove the labels of its ends.
    """
    xp = boxes.__array_namespace__()
    a, b, left, right, tries = boxes.T
    at_start, at_end = tries == 0.0, tries == 1.0
    cut = xp.take(xp.asarray(_CUTS), tries.astype(np.int32), mode="clip")
    c = xp.where(at_end, b, xp.clip(a + (b - a) * cut, a, b))
    radius = xp.where(at_start, problem.start[1], xp.where(at_end, problem.end[1], 0.0))
    jets = enclose(problem.steps, a, b, c, radius[:, None], problem.flushed)
    centre, doubt = jets.centre[:, 0], (jets.centre_radius[:, 0] + problem.doubt) * (1 + 2.0**-50)
    label = xp.where(jets.sound & (xp.abs(centre) > doubt), xp.sign(centre), 0.0)
    left, right = xp.where(at_start, label, left), xp.where(at_end, label, right)

    sided = jets.sound & ((jets.low > problem.doubt) | (jets.high < -problem.doubt))[:, 0]
    monotone = jets.sound & (xp.abs(jets.slope) > jets.slope_radius)[:, 0]
    begun = ~(at_start | at_end)
    pending = ~(begun & (sided | monotone))
    # Narrower boxes are a few floats wide; about 0 they could be cut forever.
    size = 2.0**-50 * xp.maximum(xp.abs(problem.start[0]), xp.abs(problem.end[0]))
    wide = (b - a > size) & ((a < c) & (c < b) | ~begun)
    split = pending & wide & begun & (label != 0.0)
    again = pending & wide & ~split & (tries < len(_CUTS) - 1)
    first = [a, xp.where(split, c, b), left, xp.where(split, label, right)]
    first = xp.stack([*first, xp.where(split, 2.0, tries + 1.0)], axis=1)
    second = xp.stack([c, b, label, right, xp.full_like(c, 2.0)], axis=1)
    opposite, unknown = left * right < 0.0, left * right == 0.0
    return _Refined(
        children=xp.concatenate([first, second]),
        keep=xp.concatenate([split | again, split]),
        proven=~(split | again | sided) & opposite,
        possible=~pending & (unknown | (opposite & ~sided)),
        stuck=pending & ~(split | again),
    )


def _count_on_host(problem: _Problem, max_boxes: int) -> CrossingCount:
    boxes = _whole(problem, np)
    seen = proven = possible = 0
    stuck = False
    while len(boxes) and seen < max_boxes:
        size = min(_HOST_BATCH, max_boxes - seen)
        boxes, batch = boxes[:-size], boxes[-size:]
        refined = _refine(problem, batch)
        boxes = np.concatenate([boxes, refined.children[refined.keep]])
        seen += len(batch)
        proven += int(refined.proven.sum())
        possible += int(refined.possible.sum())
        stuck |= bool(refined.stuck.any())
    lower = 1 + proven + int((boxes[:, 2] * boxes[:, 3] < 0).sum())
    upper = math.inf if stuck or len(boxes) else 1 + possible
    done = lower == upper
    result = CountResult.certified if done else CountResult.not_certified
    return CrossingCount(lower, lower, upper, done, result)


@eqx.filter_jit
def _count_traced(problem: _Problem, max_boxes: int) -> CrossingCount:
    """Run the same search, depth first on a stack of fixed size."""
    index = jnp.arange(_TRACED_BATCH, dtype=jnp.int32)

    def unfinished(state: tuple) -> Any:
        _, height, seen, *_ = state
        return (height > 0) & (seen < max_boxes)

    def batch(state: tuple) -> tuple:
        stack, height, seen, proven, possible, open_ = state
        real = index < jnp.minimum(height, max_boxes - seen)
        refined = _refine(problem, stack[jnp.maximum(height - 1 - index, 0)])
        popped = jnp.sum(real, dtype=jnp.int32)
        keep = refined.keep & jnp.concatenate([real, real])
        place = height - popped - 1 + jnp.cumsum(keep, dtype=jnp.int32)
        stack = stack.at[jnp.where(keep, place, _TRACED_STACK)].set(refined.children, mode="drop")
        full = height - popped + jnp.sum(keep, dtype=jnp.int32)
        return (
            stack,
            jnp.minimum(full, _TRACED_STACK),
            seen + popped,
            proven + jnp.sum(refined.proven & real, dtype=jnp.int64),
            possible + jnp.sum(refined.possible & real, dtype=jnp.int64),
            open_ | jnp.any(refined.stuck & real) | (full > _TRACED_STACK),
        )

    stack = jnp.zeros((_TRACED_STACK, 5), jnp.float64).at[:1].set(_whole(problem, jnp))
    none, nothing = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int64)
    start = (stack, none + 1, none, nothing, nothing, jnp.zeros((), bool))
    state = jax.lax.while_loop(unfinished, batch, start)
    stack, height, _, proven, possible, open_ = state
    left = (jnp.arange(_TRACED_STACK, dtype=jnp.int32) < height) & (stack[:, 2] * stack[:, 3] < 0)
    lower = 1 + proven + jnp.sum(left, dtype=jnp.int64)
    upper = jnp.where(open_ | (height > 0), jnp.iinfo(jnp.int64).max, 1 + possible)
    leaves = [leaf for leaf in jax.tree.leaves(problem) if eqx.is_inexact_array(leaf)]
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
    done = (lower == upper) & finite
    result = CountResult.where(done, CountResult.certified, CountResult.not_certified)
    result = CountResult.where(finite, result, CountResult.not_finite)
    return CrossingCount(lower, lower, upper, done, result)
