"""The search for sign changes: bisection of boxes until interval arithmetic settles each."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._intervals import enclose
from jaxdepth.crossings._steps import Step

_HOST_BATCH = 512  # boxes at once: three enclosures of 64 units stay in a core's cache
_TRACED_BATCH = 128
_TRACED_STACK = 64 * _TRACED_BATCH  # depth first, a level of bisection leaves a batch behind
_CUTS = np.array([0.5, 0.4140625, 0.6171875, 0.34375])  # where to prove a label, try by try
_AT_START, _AT_END = -2.0, -1.0  # before the tries: prove the labels of the interval's ends


class Problem(NamedTuple):
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


def _whole(problem: Problem, xp: Any) -> Any:
    """Return all that may belong to the interval as one box: rows (a, b, labels of both, tries)."""
    (start, before), (end, after) = problem.start, problem.end
    return xp.stack([start - before, end + after, *xp.asarray([0.0, 0.0, _AT_START])])[None]


def _refine(problem: Problem, boxes: Any) -> _Refined:
    """Settle each box, cut it where the label is proven, try to cut it elsewhere, or give it up.

    The whole interval is looked at twice before, for the labels of its ends.
    """
    xp = boxes.__array_namespace__()
    a, b, left, right, tries = boxes.T
    at_start, at_end = tries == _AT_START, tries == _AT_END
    cut = xp.take(xp.asarray(_CUTS), tries.astype(np.int32), mode="clip")
    c, radius = xp.clip(a + (b - a) * cut, a, b), xp.zeros_like(a)
    for now, (place, off) in ((at_start, problem.start), (at_end, problem.end)):
        c, radius = xp.where(now, place, c), xp.where(now, off, radius)
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
    cuttable = begun & (b - a > size) & (a < c) & (c < b)
    split = pending & cuttable & (label != 0.0)
    again = pending & ~split & (~begun | (cuttable & (tries < len(_CUTS) - 1)))
    first = [a, xp.where(split, c, b), left, xp.where(split, label, right)]
    first = xp.stack([*first, xp.where(split, 0.0, tries + 1.0)], axis=1)
    second = xp.stack([c, b, label, right, xp.zeros_like(c)], axis=1)
    opposite, unknown = left * right < 0.0, left * right == 0.0
    return _Refined(
        children=xp.concatenate([first, second]),
        keep=xp.concatenate([split | again, split]),
        proven=~(split | again | sided) & opposite,
        possible=~pending & (unknown | (opposite & ~sided)),
        stuck=pending & ~(split | again),
    )


def count_on_host(problem: Problem, max_boxes: int) -> CrossingCount:
    """Search in NumPy, in batches that stay in a core's cache."""
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
def count_traced(problem: Problem, max_boxes: int) -> CrossingCount:
    """Search within a compiled program, on a stack of fixed size."""
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
