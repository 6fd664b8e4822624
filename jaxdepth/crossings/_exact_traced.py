"""Exact counting within a compiled program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdepth._misc import is_traced
from jaxdepth.crossings._answer import CountResult, CrossingCount
from jaxdepth.crossings._batching import one_by_one
from jaxdepth.networks._affine import listed
from jaxdepth.piecewise._listing import list_scalar
from jaxdepth.piecewise._lossless import lost, widened
from jaxdepth.piecewise._model import against, undecided
from jaxdepth.piecewise._traced import Room, TracedVertices, enumerate_traced, rooms

# Networks of a batch that go together: on an accelerator so many, on a CPU as many as the values of
# one layer at all vertices leave bytes for in its caches, by powers of two: what is left of a batch
# takes a second copy of the program.
_TOGETHER, _CACHED = 1024, 2**18


def count_traced(
    fn: Any,
    start: Any,
    end: Any,
    level: Any,
    room: Sequence[Room] | int | None,
    *,
    dyadic: bool,
) -> CrossingCount:
    """Count one network of traced arrays; 64-bit is on.

    `room` is for each layer, or for the kinks of any, or None for the default; `dyadic` looks for
    numbers that are known exactly.
    """
    layers = list_scalar(fn, "fn")
    space = rooms(layers, room)
    bends = [layer for layer, new in zip(layers, space, strict=True) if new.kinks]
    most = math.prod(layer.weight.shape[0] + 1 for layer in bends) + 1

    # Layers are listed, and cast to float64, one network at a time: a batch of them is large.
    traced, fixed = eqx.partition(fn, is_traced)

    common_lost = lost((fixed, start, end, level))

    def kernel(traced: Any, start: Array, end: Array, level: Array, open_: Array) -> CrossingCount:
        layers = widened(listed(eqx.combine(traced, fixed), "fn"))
        v = enumerate_traced(layers, start, end, space, dyadic=dyadic, skip=True)
        v = v._replace(ambiguous=v.ambiguous | open_ | lost(traced))
        return _answer(v, level, min(most, np.iinfo(np.int64).max))

    edges = [jnp.asarray(edge, jnp.float64) for edge in (start, end, level)]
    values = max(len(layer.bias) * new.vertices for layer, new in zip(layers, space, strict=True))
    on_cpu = jax.default_backend() == "cpu"
    together = 1 << max(0, (_CACHED // (8 * values)).bit_length() - 1) if on_cpu else _TOGETHER
    with jax.default_matmul_precision("highest"):
        return one_by_one(kernel, together)(*jax.lax.stop_gradient((traced, *edges)), common_lost)


def _answer(v: TracedVertices, level: Float[Array, ""], most: int) -> CrossingCount:
    above, doubt = against(jnp, v.h[:, 0], v.h_error, level)
    there = jnp.arange(len(above), dtype=jnp.int32) < v.num
    known = there & ~undecided(above, doubt)
    labels = above >= 0
    value = 1 + jnp.sum((labels[1:] != labels[:-1]) & there[1:], dtype=jnp.int64)
    lower, upper = _between_known(labels, known, v.num)
    finite = jnp.isfinite(jnp.where(there, above, 0)).all()
    hidden = v.ambiguous | v.overflow | ~finite
    settled = ~hidden & (lower == upper)
    result = CountResult.where(settled, CountResult.exact, CountResult.unresolved)
    result = CountResult.where(v.overflow, CountResult.overflow, result)
    result = CountResult.where(finite, result, CountResult.not_finite)
    lower = jnp.where(hidden, 1, lower)
    return CrossingCount(
        value=jnp.where(v.overflow, lower, value),
        lower=lower,
        upper=jnp.where(hidden, most, upper),
        trusted=settled,
        result=result,
    )


def _between_known(
    labels: Bool[Array, " n"], known: Bool[Array, " n"], num: Int[Array, ""]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Bound the crossing number where some of the first `num` labels are unknown.

    Between neighbouring known labels with r unknown ones between them, the label changes at most
    r + 1 times, and an even number of times where the two are equal, odd where not; before the
    first and after the last known label, at most r times.
    """
    index, num = jnp.arange(len(labels), dtype=jnp.int64), num.astype(jnp.int64)
    last = jax.lax.cummax(jnp.where(known, index, -1))
    before = jnp.concatenate([jnp.full(1, -1, jnp.int64), last[:-1]])  # the known one before
    joined = known & (before >= 0)
    differ = joined & (labels != labels[before])
    gap = index - before
    most = jnp.where((gap % 2 == 1) == differ, gap, gap - 1)
    any_known = last[-1] >= 0
    first = jnp.argmax(known).astype(jnp.int64)
    free = jnp.where(any_known, first + num - 1 - last[-1], num - 1)
    return 1 + jnp.sum(differ, dtype=jnp.int64), 1 + jnp.sum(jnp.where(joined, most, 0)) + free
