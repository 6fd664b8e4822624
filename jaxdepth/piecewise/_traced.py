"""Enumeration within a compiled program: float64, fixed capacities, nothing raised.

The vertices of `_float64` in arrays of fixed length: rows past the last vertex repeat it, which
makes no kink. What the host raises is a flag here.

The floor is the product of every layer with its vertices; the rest is arranged to pass over the
(vertices, units) arrays as little as may be: once to write down the signs that are certain, as bits
of 64-bit words, in which kinks are then found, and once to make room for these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from jaxdepth._misc import is_traced
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._affine import is_linear
from jaxdepth.piecewise._kinks import find_kinks, ranked
from jaxdepth.piecewise._model import affine_exactly, extent, kink, kink_exactly, passed
from jaxdepth.piecewise._normwise import (
    Map,
    error_activated,
    error_between,
    measure,
    norms,
    unit_errors,
    vector_error,
)

_still = jax.lax.stop_gradient  # bounds have no gradients: √ has none at 0
_SHALLOW = 5  # layers for which bounds need not be sharp


class TracedVertices(NamedTuple):
    """The vertices of a network on an interval, ascending, the last one repeated to the end.

    Attributes:
        x: their places.
        x_error: bounds on the error of `x`, 0 where it is exact.
        h: the hidden (in the end, the output) vector there.
        h_error: bounds on the norm of its error, in scales; in the end, on that of the output.
        size: bounds on its norm, in scales.
        jumps: where the slope of a unit may jump, 1, and where it is proven not to, 0; or None.
        num: how many vertices.
        overflow: there was no room for all kinks.
        ambiguous: a sign or an order could not be told.
    """

    x: Float[Array, " vertices"]
    x_error: Float[Array, " vertices"]
    h: Float[Array, "vertices units"]
    h_error: Float[Array, " vertices"]
    size: Float[Array, " vertices"]
    jumps: Float[Array, "vertices units"] | None
    num: Int[Array, ""]
    overflow: Bool[Array, ""]
    ambiguous: Bool[Array, ""]


class Room(NamedTuple):
    """How many kinks a layer may bring, 0 where it has no activation, and vertices there may be."""

    kinks: int
    vertices: int


def rooms(layers: Sequence[AffineLayer], room: Sequence[Room] | int | None) -> tuple[Room, ...]:
    """Return the room of every layer: for all it can bring, up to `room`.

    A random network brings one kink a unit or fewer (Hanin & Rolnick 2019), one built from theory
    the most there are; None allows twice the units, and 64.
    """
    widths = [layer.weight.shape[0] for layer in layers]
    if room is None or isinstance(room, int):
        limits = [Room(room or max(64, 2 * units), 2**31 - 1) for units in widths]
    else:
        limits = list(room)
    found: list[Room] = []
    vertices = 2
    for layer, units, limit in zip(layers, widths, limits, strict=True):
        kinks = 0 if is_linear(layer) else min((vertices - 1) * units, limit.kinks)
        vertices = min(vertices + kinks, max(limit.vertices, 2))
        found.append(Room(kinks, vertices))
    return tuple(found)


def enumerate_traced(
    layers: Sequence[AffineLayer],
    start: Float[Array, ""],
    end: Float[Array, ""],
    room: Sequence[Room],
    *,
    dyadic: bool,
    slopes: bool = False,
    skip: bool = False,
) -> TracedVertices:
    """Return the vertices of a network R → R.

    Args:
        layers: in float64.
        start: of the interval.
        end: of the interval.
        room: for every layer.
        dyadic: look for numbers that are known exactly.
        slopes: ask for `jumps`.
        skip: spend nothing on the layers of padding, at the price of reverse mode.
    """
    x, none, no = jnp.stack([start, end]), jnp.zeros(2), jnp.zeros((), bool)
    two, scale = jnp.asarray(2, jnp.int32), jnp.ones(1)
    jumps = jnp.zeros((2, 1), jnp.float32) if slopes else None
    v = TracedVertices(x, none, x[:, None], none, _still(jnp.abs(x)), jumps, two, no, no)
    for layer, space in zip(layers, room, strict=True):
        W, b, slope = jnp.asarray(layer.weight), jnp.asarray(layer.bias), layer.negative_slope
        passing = partial(_pass, room=space, sharp=len(layers) > _SHALLOW, dyadic=dyadic)
        if not is_traced(slope):
            v, scale = passing(v, scale, W, b, slope=float(slope))
        elif skip and W.shape == (v.h.shape[1], v.h.shape[1]):
            idle = (slope == 1) & jnp.all(b == 0) & jnp.all(jnp.eye(len(W)) == W)
            v, scale = _unless(passing, partial(_held, space.vertices))(idle, v, scale, W, b, slope)
        else:
            v, scale = passing(v, scale, W, b, slope)
    return v._replace(h_error=v.h_error * scale[0])


def _pass(
    v: TracedVertices,
    scale: Array,
    W: Array,
    b: Array,
    slope: Any,
    *,
    room: Room,
    sharp: bool,
    dyadic: bool,
) -> tuple[TracedVertices, Array]:
    """Return the vertices behind a layer, and the scales of its units."""
    m = measure(_still(W), _still(b), scale, sharp)
    v, e_z = _through(v, W, b, m, dyadic)
    if room.kinks:
        v, exact = _split(v, e_z, m, slope, room.kinks, room.vertices, dyadic)
        v = _activated(v, m.scale, slope, exact)
    return v, m.scale


def _held(
    most: int, v: TracedVertices, scale: Array, *layer: Array
) -> tuple[TracedVertices, Array]:
    """Return the vertices behind a layer that is the identity: the same, without a rounding."""
    del layer
    row = jnp.minimum(jnp.arange(most, dtype=jnp.int32), v.x.shape[0] - 1)
    rows = {name: getattr(v, name)[row] for name in ("x", "x_error", "h", "h_error", "size")}
    jumps = None if v.jumps is None else v.jumps[row]
    return v._replace(**rows, jumps=jumps), scale


def _unless(work: Callable[..., Any], idle_work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of (idle, *args) that does the idle work where all of a batch may.

    Plain vmap would do both for every member. What works for one that is idle must be right too.
    """

    @custom_vmap
    def one(idle: Array, *args: Any) -> Any:
        return jax.lax.cond(idle, idle_work, work, *args)

    @one.def_vmap
    def all_(axis_size: int, in_batched: Any, idle: Array, *args: Any) -> tuple[Any, Any]:
        axes = jax.tree.map(lambda own: 0 if own else None, tuple(in_batched[1:]))
        both = (jax.vmap(f, axes, axis_size=axis_size) for f in (idle_work, work))
        found = jax.lax.cond(jnp.all(idle), *both, *args)
        return found, jax.tree.map(lambda _: True, found)

    return one


def _through(
    v: TracedVertices, W: Array, b: Array, m: Map, dyadic: bool
) -> tuple[TracedVertices, Float[Array, "vertices units"]]:
    """Return the vertices with z = Wh + b, and bounds on every z."""
    z, e_z = v.h @ W.T + b[None], unit_errors(m, v.h_error, v.size)
    e, size = vector_error(m, v.h_error, v.size)
    if dyadic:
        exactly = (v.h_error == 0)[:, None] & affine_exactly(jnp, v.h, W, b)
        e_z, e = jnp.where(exactly, 0, e_z), jnp.where(exactly.all(axis=1), 0, e)
    jumps = None
    if v.jumps is not None:
        jumps = jnp.minimum(v.jumps @ (W.T != 0).astype(jnp.float32), 1)
    return v._replace(h=z, h_error=e, size=size, jumps=jumps), e_z


def _activated(v: TracedVertices, scale: Array, slope: Any, exact: Array | None) -> TracedVertices:
    plain = isinstance(slope, float) and slope == 0
    h = jnp.maximum(v.h, 0) if plain else jnp.where(v.h > 0, v.h, slope * v.h)
    e = error_activated(v.h_error, v.size, _still(slope))
    if exact is not None:
        e = jnp.where((slope == 0) & (exact | jnp.all(h == 0, axis=1)), 0, e)
    jumps = None if v.jumps is None else passed(jnp, v.h, v.jumps, slope)
    return v._replace(h=h, h_error=e, size=norms(_still(h), scale), jumps=jumps)


def _split(
    v: TracedVertices,
    e_z: Float[Array, "vertices units"],
    m: Map,
    slope: Any,
    capacity: int,
    most: int,
    dyadic: bool,
) -> tuple[TracedVertices, Array | None]:
    """Insert a vertex wherever a unit changes sign between neighbours.

    Say of each, where it is asked for, whether all that is not negative is known exactly. Two kinks
    at one place, if proven so, are both inserted: rows that are equal make no kink. Where `jumps`
    are asked for, they are a case for the host.
    """
    old = v.x.shape[0]
    kinks, undecided = find_kinks(v.h, e_z, jnp.asarray(slope != 1), capacity)
    left, right, unit = kinks.segment, kinks.segment + 1, kinks.unit
    h_l, h_r = v.h[left], v.h[right]
    z_l = jnp.where(kinks.there, v.h[left, unit], 1)
    z_r = jnp.where(kinks.there, v.h[right, unit], -1)
    t, e_t = kink(z_l, z_r, jnp.maximum(e_z[left, unit], e_z[right, unit]))
    own = jnp.arange(v.h.shape[1], dtype=jnp.int32)[None] == unit[:, None]
    rise, run = h_r - h_l, v.x[right] - v.x[left]
    h, x = jnp.where(own, 0, h_l + t[:, None] * rise), v.x[left] + t * run
    e_t, size = _still(e_t), jnp.maximum(v.size[left], v.size[right])
    e_h = jnp.maximum(v.h_error[left], v.h_error[right])
    e_h = error_between(e_h, e_t, norms(_still(rise), m.scale), size, size)
    e_x = jnp.maximum(v.x_error[left], v.x_error[right])
    ends = _still((v.x[left], v.x[right]))
    e_x = error_between(e_x, e_t, abs(_still(run)), *map(jnp.abs, ends))
    exact = None
    if dyadic:
        known = (v.h_error == 0) & (v.x_error == 0)
        lowest, greatest = extent(jnp, jnp.concatenate([v.x[:, None], v.h], axis=1))
        exact = known[left] & known[right]
        exact &= kink_exactly(jnp, lowest, greatest, left, right, z_l, z_r, t)
        e_t, e_x, e_h = (jnp.where(exact, 0, bound) for bound in (e_t, e_x, e_h))
    rank, close = ranked(kinks, _still(t), e_t, v.jumps is None)

    # A new vertex of segment i and rank s stands at s + i + 1, an old one after all before it.
    index, slot = (jnp.arange(n, dtype=jnp.int32) for n in (old, capacity))
    target = jnp.concatenate([index + kinks.before, rank + jnp.where(kinks.there, left + 1, old)])
    source = jnp.concatenate([index, jnp.where(kinks.there, old + slot, old - 1)])
    merged = jnp.zeros(most, jnp.int32).at[target].set(source, mode="drop")
    num = v.num + kinks.num
    jumps = None
    if v.jumps is not None:
        jumps = jnp.concatenate([v.jumps, jnp.zeros((capacity, v.h.shape[1]), jnp.float32)])[merged]
    if exact is not None:
        exact = jnp.concatenate([jnp.all((e_z == 0) | (v.h < 0), axis=1), exact])[merged]
    found = TracedVertices(
        jnp.concatenate([v.x, x])[merged],
        jnp.concatenate([v.x_error, e_x])[merged],
        jnp.concatenate([v.h, h])[merged],
        jnp.concatenate([v.h_error, e_h])[merged],
        jnp.concatenate([v.size, size])[merged],
        jumps,
        jnp.minimum(num, most),
        v.overflow | (kinks.num > capacity) | (num > most),
        v.ambiguous | close | undecided,
    )
    return found, exact
