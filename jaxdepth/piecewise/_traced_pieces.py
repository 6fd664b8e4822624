"""The affine pieces of a network within a compiled program, differentiable."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxdepth.piecewise._answer import Pieces, PiecesResult
from jaxdepth.piecewise._listing import list_scalar
from jaxdepth.piecewise._lossless import lost, widened
from jaxdepth.piecewise._model import slopes_and_doubt
from jaxdepth.piecewise._traced import TracedVertices, enumerate_traced, rooms


def pieces_traced(net: Any, start: Any, end: Any, capacity: int | None) -> Pieces:
    """Enumerate one network of traced arrays; 64-bit is on."""
    layers = widened(list_scalar(net, "net"))
    room = rooms(layers, capacity)
    open_ = lost((net, start, end))
    ends = jnp.asarray(start, jnp.float64), jnp.asarray(end, jnp.float64)
    with jax.default_matmul_precision("highest"):
        v = enumerate_traced(layers, *ends, room, dyadic=True, slopes=True)
        return _merged(v._replace(ambiguous=v.ambiguous | open_))


def _merged(v: TracedVertices) -> Pieces:
    """Leave out the vertices that are no breakpoints, and repeat the last to the end."""
    assert v.jumps is not None
    x, y = v.x, v.h[:, 0]
    index = jnp.arange(len(x), dtype=jnp.int32)
    inner = (index > 0) & (index < v.num - 1)
    errors = v.x_error, v.h_error
    apart, slopes, doubt = slopes_and_doubt(jnp, *jax.lax.stop_gradient((x, y, *errors)))
    differs = jnp.abs(jnp.diff(slopes)) > doubt[1:] + doubt[:-1]
    bends = inner & (v.jumps[:, 0] > 0)
    told = jnp.pad(differs, 1) | ~bends
    keep = (inner & bends) | (index == 0) | (index == v.num - 1)

    num = jnp.sum(keep, dtype=jnp.int32) - 1
    kept = jnp.argsort(~keep, stable=True).astype(jnp.int32)
    kept = jnp.where(index <= num, kept, v.num - 1)
    breakpoints, values = x[kept], y[kept]
    run = jnp.diff(breakpoints)
    there = index[:-1] < num
    pieces = jnp.diff(values) / jnp.where(there, run, 1)

    settled = ~v.ambiguous & told.all() & (apart | (index[:-1] >= v.num - 1)).all()
    finite = jnp.isfinite(breakpoints).all() & jnp.isfinite(values).all()
    result = PiecesResult.where(settled, PiecesResult.exact, PiecesResult.unresolved)
    result = PiecesResult.where(v.overflow, PiecesResult.overflow, result)
    result = PiecesResult.where(finite, result, PiecesResult.not_finite)
    return Pieces(
        breakpoints,
        values,
        jnp.where(there, pieces, 0),
        jnp.where(v.overflow, 0, num.astype(jnp.int64)),
        jnp.where(v.overflow, 0, v.num.astype(jnp.int64) - 1),
        result,
    )
