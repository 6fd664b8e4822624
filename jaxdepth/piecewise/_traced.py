"""Enumeration within a compiled program: float64, fixed capacities, nothing raised.

The vertices of `_float64` in arrays of fixed length: rows past the last vertex repeat it, which
makes no kink. What the host raises is a flag here. Bounds are float32.

The floor is the product of every layer with its vertices, in float64 for the values and in float32
for the bounds; the rest is arranged to pass over the (vertices, units) arrays as little as may be.
Signs are packed into 64-bit words, so that finding the kinks touches one word per vertex.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

from jaxdepth._misc import is_traced
from jaxdepth.networks import AffineLayer
from jaxdepth.piecewise._model import (
    activated,
    affine,
    affine_exactly,
    between,
    kink,
    kink_exactly,
    passed,
    undecided,
)

_COMPARED = 256  # so many kinks are ordered by comparing all pairs; more are sorted


class TracedVertices(NamedTuple):
    """The vertices of a network on an interval, ascending, the last one repeated to the end.

    Attributes:
        x: their places.
        x_error: bounds on the error of `x`, 0 where it is exact.
        h: the hidden (in the end, the output) vector there.
        h_error: bounds on the error of `h`.
        jumps: where the slope of a unit may jump, 1, and where it is proven not to, 0; or None.
        num: how many vertices.
        overflow: a layer brought more kinks than its capacity.
        ambiguous: a sign or an order could not be told.
    """

    x: Float[Array, " vertices"]
    x_error: Float[Array, " vertices"]
    h: Float[Array, "vertices units"]
    h_error: Float[Array, "vertices units"]
    jumps: Float[Array, "vertices units"] | None
    num: Int[Array, ""]
    overflow: Bool[Array, ""]
    ambiguous: Bool[Array, ""]


def capacities(
    widths: Sequence[int], slopes: Sequence[float | None], room: Sequence[int] | int | None
) -> tuple[int, ...]:
    """Return how many kinks each layer may bring: all it can, up to `room`; 0 if it is linear.

    A random network brings one kink a unit or fewer (Hanin & Rolnick 2019), one built from theory
    the most there are; None allows twice the units, and 64.
    """
    if room is None:
        room = [max(64, 2 * units) for units in widths]
    limits = [room] * len(widths) if isinstance(room, int) else room
    most: list[int] = []
    for units, slope, limit in zip(widths, slopes, limits, strict=True):
        most.append(0 if slope == 1 else min((sum(most) + 1) * units, limit))
    return tuple(most)


def enumerate_traced(
    layers: Sequence[AffineLayer],
    start: Float[Array, ""],
    end: Float[Array, ""],
    room: Sequence[int],
    *,
    dyadic: bool,
    slopes: bool = False,
) -> TracedVertices:
    """Return the vertices of a network R → R.

    Args:
        layers: in float64.
        start: of the interval.
        end: of the interval.
        room: how many kinks each layer may bring, 0 where it has no activation.
        dyadic: look for numbers that are known exactly.
        slopes: ask for `jumps`.
    """
    zero = jnp.zeros((2, 1), jnp.float32)
    x, no = jnp.stack([start, end]), jnp.zeros((), bool)
    two = jnp.asarray(2, jnp.int32)
    v = TracedVertices(x, jnp.zeros(2), x[:, None], zero, zero if slopes else None, two, no, no)
    for layer, capacity in zip(layers, room, strict=True):
        W, b, slope = layer.weight, layer.bias, layer.negative_slope
        slope = slope if is_traced(slope) else float(slope)
        z, e = affine(v.h, v.h_error, W, b)
        if dyadic:
            known = ~jnp.any(v.h_error != 0, axis=1)[:, None]
            e = jnp.where(known & affine_exactly(jnp, v.h, W, b), 0, e)
        jumps = None
        if v.jumps is not None:
            jumps = jnp.minimum(v.jumps @ (W.T != 0).astype(jnp.float32), 1)
        v = v._replace(h=z, h_error=e, jumps=jumps)
        if capacity:
            bends = jnp.asarray(slope != 1)
            v = v._replace(ambiguous=v.ambiguous | bends & jnp.any(undecided(v.h, v.h_error)))
            v = _split(v, bends, capacity, dyadic)
            if v.jumps is not None:
                v = v._replace(jumps=passed(jnp, v.h, v.jumps, slope))
            h, e = activated(jnp, v.h, v.h_error, slope)
            v = v._replace(h=h, h_error=e)
    return v


def flushed(tree: Any) -> Bool[Array, ""]:
    """Say whether a number of `tree` is subnormal in float32 or bfloat16: XLA may widen it to 0."""
    found = jnp.zeros((), bool)
    for leaf in jax.tree.leaves(tree):
        if not is_traced(leaf) or leaf.dtype not in (jnp.float32, jnp.bfloat16):
            continue
        mantissa = jnp.finfo(leaf.dtype).nmant
        word = jnp.uint32 if leaf.dtype == jnp.float32 else jnp.uint16
        bits = jax.lax.bitcast_convert_type(leaf, word)
        # Without its sign a subnormal is 1 … 2^mantissa − 1; 0 wraps to the largest.
        found |= jnp.any((bits << 1) - 1 < 2 ** (mantissa + 1) - 1)
    return found


def _split(
    v: TracedVertices, bends: Bool[Array, ""], capacity: int, dyadic: bool
) -> TracedVertices:
    """Insert a vertex wherever a unit changes sign between neighbours.

    Two kinks at one place, if proven so, are both inserted: rows that are equal make no kink. Where
    `jumps` are asked for, they are a case for the host.
    """
    old = v.x.shape[0]
    kinks = _kinks(v.h, bends, capacity)
    left, right, unit = kinks.segment, kinks.segment + 1, kinks.unit
    h_l, h_r, e = v.h[left], v.h[right], jnp.maximum(v.h_error[left], v.h_error[right])
    own = jnp.arange(v.h.shape[1], dtype=jnp.int32)[None] == unit[:, None]
    z_l = jnp.where(kinks.there, v.h[left, unit], 1)
    z_r = jnp.where(kinks.there, v.h[right, unit], -1)
    e_z = jnp.maximum(v.h_error[left, unit], v.h_error[right, unit])
    t, e_t = kink(z_l, z_r, e_z.astype(z_l.dtype))
    h, e_h = between(h_l, h_r, e, t[:, None], e_t[:, None])
    x_l, x_r, e_x = v.x[left], v.x[right], jnp.maximum(v.x_error[left], v.x_error[right])
    x, e_new = between(x_l, x_r, e_x, t, e_t)
    if dyadic:
        before, after = (
            jnp.concatenate([x[:, None], h], axis=1) for x, h in ((x_l, h_l), (x_r, h_r))
        )
        known = ~jnp.any(e != 0, axis=1) & (e_x == 0)
        exact = known & kink_exactly(jnp, before, after, z_l, z_r, t)
        e_t, e_new = jnp.where(exact, 0, e_t), jnp.where(exact, 0, e_new)
        e_h = jnp.where(exact[:, None], 0, e_h)
    h, e_h = jnp.where(own, 0, h), jnp.where(own, 0, e_h)
    rank, close = _ranked(kinks, jax.lax.stop_gradient(t), e_t, v.jumps is None)

    # A new vertex of segment i and rank s stands at s + i + 1, an old one after all before it.
    index, slot = (jnp.arange(n, dtype=jnp.int32) for n in (old, capacity))
    target = jnp.concatenate([index + kinks.before, rank + jnp.where(kinks.there, left + 1, old)])
    source = jnp.concatenate([index, jnp.where(kinks.there, old + slot, old - 1)])
    merged = jnp.zeros(old + capacity, jnp.int32).at[target].set(source, mode="drop")
    jumps = None
    if v.jumps is not None:
        jumps = jnp.concatenate([v.jumps, jnp.zeros((capacity, v.h.shape[1]), jnp.float32)])[merged]
    return TracedVertices(
        jnp.concatenate([v.x, x])[merged],
        jnp.concatenate([v.x_error, e_new])[merged],
        jnp.concatenate([v.h, h])[merged],
        jnp.concatenate([v.h_error, e_h])[merged],
        jumps,
        v.num + kinks.num,
        v.overflow | (kinks.num > capacity),
        v.ambiguous | close,
    )


class _Kinks(NamedTuple):
    segment: Int[Array, " capacity"]
    unit: Int[Array, " capacity"]
    there: Bool[Array, " capacity"]
    num: Int[Array, ""]
    before: Int[Array, " vertices"]


def _kinks(z: Float[Array, "vertices units"], bends: Bool[Array, ""], capacity: int) -> _Kinks:
    """Find the (segment, unit) of every change of sign, in reading order."""
    above, below = _words(z > 0), _words(z < 0)
    changes = (above[:-1] & below[1:]) | (below[:-1] & above[1:])
    changes = jnp.where(bends, changes, jnp.zeros_like(changes))
    segments, words = changes.shape
    flat = changes.reshape(-1)
    counts = jnp.bitwise_count(flat).astype(jnp.int32)
    ends = jnp.cumsum(counts)
    slot = jnp.arange(capacity, dtype=jnp.int32)
    method = "compare_all" if capacity <= _COMPARED else "scan"
    word = jnp.searchsorted(ends, slot, side="right", method=method).astype(jnp.int32)
    word = jnp.minimum(word, flat.shape[0] - 1)
    bit = _select(flat[word], slot - (ends - counts)[word])
    before = jnp.concatenate([jnp.zeros(1, jnp.int32), ends.reshape(segments, words)[:, -1]])
    return _Kinks(
        word // words,
        jnp.minimum(64 * (word % words) + bit, z.shape[1] - 1),
        slot < ends[-1],
        ends[-1],
        before,
    )


def _words(mask: Bool[Array, "rows units"]) -> UInt[Array, "rows words"]:
    """Pack each row into 64-bit words, the first unit in the lowest bit."""
    rows, units = mask.shape
    words = math.ceil(units / 64)
    padded = jnp.pad(mask, ((0, 0), (0, 64 * words - units))).reshape(rows, words, 64)
    bits = jnp.asarray(1, jnp.uint64) << jnp.arange(64, dtype=jnp.uint64)
    return jnp.sum(jnp.where(padded, bits, 0), axis=2, dtype=jnp.uint64)


def _select(word: UInt[Array, " n"], rank: Int[Array, " n"]) -> Int[Array, " n"]:
    """Return the place of the set bit of each rank, by halves."""
    place = jnp.zeros_like(rank)
    for width in (32, 16, 8, 4, 2, 1):
        low = jnp.bitwise_count(word & ((1 << width) - 1)).astype(rank.dtype)
        high = rank >= low
        place = place + jnp.where(high, width, 0)
        rank = jnp.where(high, rank - low, rank)
        word = jnp.where(high, word >> width, word)
    return place


def _ranked(
    kinks: _Kinks, t: Float[Array, " n"], e_t: Float[Array, " n"], equal: bool
) -> tuple[Int[Array, " n"], Bool[Array, ""]]:
    """Return the rank of each kink, and whether the order of two on one segment is in doubt.

    Empty slots come last. `equal` accepts two that are proven to coincide.
    """
    there = kinks.there
    group = jnp.where(there, kinks.segment, jnp.iinfo(jnp.int32).max)
    slot = jnp.arange(group.shape[0], dtype=jnp.int32)
    if group.shape[0] <= _COMPARED:
        one, two = (lambda a: a[:, None]), (lambda a: a[None])
        together = one(group) == two(group)
        later = (one(t) > two(t)) | ((one(t) == two(t)) & (one(slot) > two(slot)))
        rank = jnp.sum((one(group) > two(group)) | (together & later), axis=1, dtype=jnp.int32)
        doubt = (one(e_t) + two(e_t)) * (1 + 2.0**-50)
        close = together & (one(slot) != two(slot)) & (abs(one(t) - two(t)) <= doubt)
        return rank, jnp.any(close & one(there) & ((doubt != 0) | (not equal)))
    group, t, order = jax.lax.sort((group, t, slot), num_keys=2)
    gap, doubt = t[1:] - t[:-1], (e_t[order][1:] + e_t[order][:-1]) * (1 + 2.0**-50)
    close = (group[1:] == group[:-1]) & (gap <= doubt) & ((doubt != 0) | (not equal))
    close = close & there[order][1:]
    return jnp.zeros_like(slot).at[order].set(slot), jnp.any(close)
