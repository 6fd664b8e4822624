"""Where the units of a layer change sign between vertices, and in which order, in fixed shapes."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

_LOW = np.uint64(2**32 - 1)
_COMPARED = 256  # so many kinks are ordered by comparing all pairs; more are sorted


class Kinks(NamedTuple):
    """The changes of sign between neighbouring vertices, in slots that need not all be filled.

    Attributes:
        segment: the vertex to the left of each.
        unit: which unit changes.
        there: whether the slot is filled.
        num: how many there are, room or not.
        before: how many lie before each vertex.
    """

    segment: Int[Array, " capacity"]
    unit: Int[Array, " capacity"]
    there: Bool[Array, " capacity"]
    num: Int[Array, ""]
    before: Int[Array, " vertices"]


def find_kinks(
    z: Float[Array, "vertices units"],
    e_z: Float[Array, "vertices units"],
    bends: Bool[Array, ""],
    capacity: int,
) -> tuple[Kinks, Bool[Array, ""]]:
    """Find the (segment, unit) of every change of sign, in reading order.

    Say as well whether a sign is in doubt.
    """
    signs = _signs(z, e_z)
    no_less, no_more = signs & _LOW, signs >> 32
    units = z.shape[1] - 32 * np.arange(signs.shape[1])
    full = jnp.asarray((1 << np.minimum(units, 32)) - 1, jnp.uint64)
    undecided = bends & jnp.any(((no_less | no_more) & full[None]) != full[None])
    above, below = no_less & ~no_more, no_more & ~no_less
    changes = (above[:-1] & below[1:]) | (below[:-1] & above[1:])
    changes = jnp.where(bends, changes, jnp.zeros_like(changes))
    if changes.shape[1] > 1:
        changes = jnp.pad(changes, ((0, 0), (0, changes.shape[1] % 2)))
        changes = changes[:, ::2] | (changes[:, 1::2] << 32)
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
    unit = jnp.minimum(64 * (word % words) + bit, z.shape[1] - 1)
    return Kinks(word // words, unit, slot < ends[-1], ends[-1], before), undecided


def _signs(
    z: Float[Array, "rows units"], e_z: Float[Array, "rows units"]
) -> UInt[Array, "rows words"]:
    """Pack what is certain of the signs, 32 units a word, the first one in the lowest bit.

    The lower half of a word says z ≥ 0, the upper half z ≤ 0: both of an exact 0, and neither where
    the bound does not tell.
    """
    rows, units = z.shape
    words = math.ceil(units / 32)
    width = min(units, 32)
    z, e_z = (jnp.pad(a, ((0, 0), (0, width * words - units))) for a in (z, e_z))
    z, e_z = (a.reshape(rows, words, width) for a in (z, e_z))
    bit = jnp.asarray(1, jnp.uint64) << jnp.arange(width, dtype=jnp.uint64)
    # `e_z` is more than the true bound, so that ≥ is as good as >; 0 ≥ 0 says that it is exact.
    both = jnp.where(z >= e_z, bit[None, None], 0) | jnp.where(z <= -e_z, bit[None, None] << 32, 0)
    return jnp.sum(both, axis=2, dtype=jnp.uint64)


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


def ranked(
    kinks: Kinks, t: Float[Array, " n"], e_t: Float[Array, " n"], equal: bool
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
