"""One program for a bucket: a tile of configurations on every device at once."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdepth.sweeps._buckets import Bucket
from jaxdepth.sweeps._identity import environment, fingerprint
from jaxdepth.sweeps._measure import arguments, as_jax, inputs, outputs
from jaxdepth.sweeps._plan import Plan

_AXIS = "sweep"
_SLOT = "slot of the tile"  # an input that is always there: there may be no varying axis
_KEPT = 256  # programs that are kept for a next call
_lock = threading.Lock()
_cache: collections.OrderedDict[Any, Program] = collections.OrderedDict()


@dataclass(frozen=True)
class Traced:
    """A bucket's tile as a jaxpr.

    The measure is traced here and only interpreted under `shard_map`: there, types carry the mesh,
    and what compares them (Equinox's closure conversion) would refuse.

    Attributes:
        bucket: whose.
        jaxpr: of vmap(measure) over a tile.
        consts: arrays that the measure closes over; they are passed, for constants would be folded.
        avals: of the inputs.
        shapes: of the outputs, by name, without the tile's axis.
        tree: of the outputs.
    """

    bucket: Bucket
    jaxpr: Any
    consts: list[Any]
    avals: dict[str, jax.ShapeDtypeStruct]
    shapes: dict[str, jax.ShapeDtypeStruct]
    tree: Any


def trace(plan: Plan, measure: Callable[..., Any], bucket: Bucket) -> Traced:
    """Trace a tile; whatever the measure raises passes."""

    def one(values: dict[str, Any]) -> dict[str, Any]:
        return outputs(plan, measure(**arguments(plan, bucket, values)), as_jax)

    avals = {
        name: jax.ShapeDtypeStruct((bucket.tile,), array.dtype)
        for name, array in tile_inputs(plan, bucket.members[:1], 1).items()
    }
    closed, out = jax.make_jaxpr(jax.vmap(one), return_shape=True)(avals)
    shapes = {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in out.items()}
    return Traced(bucket, closed.jaxpr, closed.consts, avals, shapes, jax.tree.structure(out))


def tile_inputs(plan: Plan, members: np.ndarray, tile: int) -> dict[str, np.ndarray]:
    """Return the inputs of one tile, the last configuration repeated to fill it."""
    flat = members[np.minimum(np.arange(tile), len(members) - 1)]
    return {_SLOT: np.arange(tile, dtype=np.int32), **inputs(plan, flat)}


@dataclass(frozen=True)
class Program:
    """A compiled bucket.

    Attributes:
        plan: whose bucket it is.
        bucket: its configurations.
        compiled: from inputs over (devices · tile,) to outputs over the same.
        consts: the measure's own arrays, on all devices.
        sharding: of inputs and outputs.
        shapes: of the outputs of one configuration, by name.
        nbytes: what one call takes on all local devices, by the compiler's own analysis.
        seconds: how long compiling took.
    """

    plan: Plan
    bucket: Bucket
    compiled: Any
    consts: list[Any]
    sharding: NamedSharding
    shapes: dict[str, jax.ShapeDtypeStruct]
    nbytes: int
    seconds: float

    def __call__(self, groups: Sequence[np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
        """Run a tile of configurations on each device.

        Args:
            groups: flat indices for each device, at most a tile each; the last is repeated for
                devices without one.

        Returns:
            By device of this process that had one: its outputs, without what filled the tile.
        """
        tile, size = self.bucket.tile, self.sharding.num_devices
        padded = [groups[min(i, len(groups) - 1)] for i in range(size)]
        rows = [tile_inputs(self.plan, members, tile) for members in padded]

        def put(name: str) -> Any:
            host = np.concatenate([row[name] for row in rows])
            return jax.make_array_from_callback(host.shape, self.sharding, lambda i: host[i])

        found = self.compiled(self.consts, {name: put(name) for name in rows[0]})
        mine: dict[int, dict[str, np.ndarray]] = {}
        for name, array in found.items():
            for shard in array.addressable_shards:
                device = (shard.index[0].start or 0) // tile
                if device < len(groups):
                    kept = np.asarray(shard.data)[: len(groups[device])]
                    mine.setdefault(device, {})[name] = kept
        return mine


def source_of(measure: Any) -> str | None:
    """Return the hash of a measure's content; None where it has none to be told."""
    try:
        return fingerprint(measure)
    except ValueError:
        return None


class Compiler:
    """Programs of one measure over one plan, compiled in threads, and kept for the next call.

    What is kept is found by content, `source`: the same function with other captured values is
    another measure, and a function made anew from the same code is not.
    """

    def __init__(
        self, plan: Plan, source: str | None, devices: Sequence[Any], threads: int = 2
    ) -> None:
        self._plan, self._source, self._devices = plan, source, tuple(devices)
        self._pool = ThreadPoolExecutor(threads)
        self._surroundings = repr(environment())

    def kept(self, bucket: Bucket) -> Program | None:
        """Return what this process has compiled for such a bucket already."""
        key = self._key(bucket)
        with _lock:
            if key in _cache:
                _cache.move_to_end(key)
            return _cache.get(key)

    def compile(self, traced: Traced) -> Future[Program]:
        """Start compiling."""
        here, key = settings(), self._key(traced.bucket)

        def compiled() -> Program:
            with here():
                program = _compile(self._plan, traced, self._devices)
            if key is not None:
                with _lock:
                    _cache[key] = program
                    while len(_cache) > _KEPT:
                        _cache.popitem(last=False)
            return program

        return self._pool.submit(compiled)

    def stop(self) -> None:
        """Compile nothing more; what is at work cannot be stopped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _key(self, bucket: Bucket) -> Any:
        if self._source is None:
            return None
        return self._source, self._plan.digest, bucket.number, self._devices, self._surroundings


def settings() -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return how another thread comes to this one's 64-bit setting, which is thread-local."""
    wide = jnp.result_type(float) == np.float64
    return lambda: jax.enable_x64(wide)


def _compile(plan: Plan, traced: Traced, devices: Sequence[Any]) -> Program:
    mesh = Mesh(np.array(devices), (_AXIS,))
    along, whole = NamedSharding(mesh, PartitionSpec(_AXIS)), NamedSharding(mesh, PartitionSpec())
    start = time.perf_counter()

    def tile(consts: list[Any], values: dict[str, Any]) -> Any:
        flat = jax.core.eval_jaxpr(traced.jaxpr, consts, *jax.tree.leaves(values))
        return jax.tree.unflatten(traced.tree, flat)

    program = jax.shard_map(
        tile,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(_AXIS)),
        out_specs=PartitionSpec(_AXIS),
        check_vma=False,
    )
    consts = [_everywhere(const, whole) for const in traced.consts]
    avals = {
        name: jax.ShapeDtypeStruct((len(devices) * aval.shape[0],), aval.dtype, sharding=along)
        for name, aval in traced.avals.items()
    }
    compiled = jax.jit(program).lower(consts, avals).compile()
    return Program(
        plan,
        traced.bucket,
        compiled,
        consts,
        along,
        traced.shapes,
        _nbytes(compiled, devices),
        time.perf_counter() - start,
    )


def _everywhere(const: Any, sharding: NamedSharding) -> Any:
    if jnp.issubdtype(const.dtype, jax.dtypes.extended):  # a random key
        return jax.device_put(const, sharding)
    host = np.asarray(const)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _nbytes(compiled: Any, devices: Sequence[Any]) -> int:
    books = compiled.memory_analysis()
    if books is None:  # a backend without an analysis
        return 0
    each = (
        books.temp_size_in_bytes
        + books.argument_size_in_bytes
        + books.output_size_in_bytes
        - books.alias_size_in_bytes
    )
    local = sum(device.process_index == jax.process_index() for device in devices)
    return int(each) * local
