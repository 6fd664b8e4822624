"""Exact counting of a stack of networks, in compiled tiles of one shape."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import numpy as np

from jaxdepth._misc import in_float64
from jaxdepth.crossings._answer import CrossingCount
from jaxdepth.crossings._exact_traced import count_traced
from jaxdepth.piecewise._traced import Room

# So many networks run as one program, whatever the size of the stack. On a CPU the tiles go to as
# many threads as there are cores: XLA's own threads would share out loops too short to be worth it.
_TILE_ON_CPU, _TILE = 64, 4096

_compiled: set[Any] = set()  # the programs that threads may run at once


def count_stack(
    nets: Any,
    size: int,
    start: float,
    end: float,
    level: float,
    room: Sequence[Room] | int | None,
) -> CrossingCount:
    """Count `size` concrete networks; the answers are NumPy arrays of shape (size,)."""
    host = jax.tree.map(lambda leaf: np.asarray(leaf) if eqx.is_array(leaf) else leaf, nets)

    def one_tile(tile: Any) -> CrossingCount:
        return in_float64("Exact", _count_tile, tile, start, end, level, room, cast=False)

    on_cpu = jax.default_backend() == "cpu"
    tiles = list(_tiles(host, size, _TILE_ON_CPU if on_cpu else _TILE))
    arrays, rest = eqx.partition(tiles[0], eqx.is_array)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arrays))
    program = jax.tree.structure(arrays), shapes, jax.tree.structure(rest), room
    found = []
    if program not in _compiled:  # threads would each compile it
        found.append(one_tile(tiles[0]))
        _compiled.add(program)
    with ThreadPoolExecutor(os.cpu_count() if on_cpu else 1) as pool:
        found.extend(pool.map(one_tile, tiles[len(found) :]))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:size], *found)


def _tiles(nets: Any, size: int, tile: int) -> Iterator[Any]:
    """Cut a stack into tiles of one size, the last network repeated to fill the last."""
    tile = min(tile, size)
    for first in range(0, size, tile):
        index: Any = slice(first, first + tile)  # a view, but for the last
        if first + tile > size:
            index = np.minimum(np.arange(first, first + tile), size - 1)
        yield jax.tree.map(lambda leaf, i=index: leaf[i] if eqx.is_array(leaf) else leaf, nets)


@eqx.filter_jit
def _count_tile(nets: Any, start: Any, end: Any, level: Any, room: Any) -> CrossingCount:
    def one(net: Any) -> CrossingCount:
        return count_traced(net, start, end, level, room, dyadic=False)

    return eqx.filter_vmap(one)(nets)
