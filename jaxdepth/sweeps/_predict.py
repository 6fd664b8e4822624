"""What a run will take, before it is run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdepth.sweeps._buckets import Bucket
from jaxdepth.sweeps._compiled import Compiled, Resources, resources
from jaxdepth.sweeps._host import measured_alone
from jaxdepth.sweeps._measure import check_measure, check_values
from jaxdepth.sweeps._plan import Plan
from jaxdepth.sweeps._program import source_of
from jaxdepth.sweeps._progress import duration

_WEIGHTS = {0.0: 1, 0.5: 4, 1.0: 1}  # Simpson's: costs rise along a sorted bucket


@dataclass(frozen=True)
class Prediction:
    """What a run will take.

    Attributes:
        configurations: to be measured.
        buckets: that share a program.
        compilations: of programs; 0 on the host.
        tiles: calls of them, a device each.
        in_flight: configurations at once, at most.
        nbytes: at the peak: calls in flight, by the compiler's own analysis, and all results, in
            tiles and laid out. What Python, JAX and the compiler take themselves comes on top.
        compile_seconds: that compiling took, which a run in this process need not do again.
        seconds: of the measuring, from a few tiles of every bucket.

    Example:
        >>> from jaxdepth.sweeps import grid
        >>> predict(grid(rate=[0.5, 1.0]), lambda rate: rate, host=True).configurations
        2
    """

    configurations: int
    buckets: int
    compilations: int
    tiles: int
    in_flight: int
    nbytes: int
    compile_seconds: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.configurations:,} configurations in {self.tiles:,} tiles, at most "
            f"{self.in_flight:,} at once\n"
            f"{self.compilations:,} compilations ({duration(self.compile_seconds)} here), "
            f"{self.nbytes / 2**20:,.1f} MiB at the peak, about {duration(self.seconds)}"
        )


def predict(
    plan: Plan,
    measure: Any,
    *,
    devices: Any = None,
    chunk: int | None = None,
    memory: int | None = None,
    host: bool = False,
) -> Prediction:
    """Say what a run will take, before it is run.

    Compiles every program (a later `run` in this process uses the last 256) and times the first,
    the middle and the last tile of each bucket; nothing is stored.

    Args:
        plan: from `grid`.
        measure: as for `run`.
        devices: as for `run`.
        chunk: as for `run`.
        memory: as for `run`.
        host: as for `run`.

    Returns:
        A `Prediction`; print it.

    Raises:
        ValueError: as `run` does before it measures anything.
        MemoryError: one tile alone takes more than there is.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxdepth.sweeps import grid
        >>> def bump(rate):
        ...     return jnp.exp(-(rate**2))
        >>> predict(grid(rate=[0.1, 0.2, 0.3]), bump).compilations
        1
    """
    check_measure(plan, measure)
    if not host:
        check_values(plan)
    means = resources(devices, memory, chunk)
    tiles = sum(bucket.num_tiles for bucket in plan.buckets)
    if host:
        seconds = sum(_seconds_alone(plan, measure, bucket) for bucket in plan.buckets)
        return Prediction(plan.size, len(plan.buckets), 0, tiles, 1, 0, 0.0, seconds)
    with Compiled(plan, measure, source_of(measure), plan.buckets, means) as compiled:
        programs = [compiled.program(bucket) for bucket in plan.buckets]
        seconds, peak, together = 0.0, 0, 0
        for bucket, program in zip(plan.buckets, programs, strict=True):
            if program is None:
                seconds += _seconds_alone(plan, measure, bucket)
                continue
            flying = _flying(bucket, program.nbytes, means)
            peak = max(peak, flying * program.nbytes)
            together = max(together, flying * bucket.tile * len(means.devices))
            seconds += _seconds(compiled, bucket, flying, means)
    results = sum(
        math.prod(aval.shape) * np.dtype(aval.dtype).itemsize
        for aval in (compiled.shapes or {}).values()
    )
    return Prediction(
        configurations=plan.size,
        buckets=len(plan.buckets),
        compilations=sum(program is not None for program in programs),
        tiles=tiles,
        in_flight=min(together, plan.size) or 1,
        nbytes=peak + 2 * plan.size * results,  # in tiles, and laid out
        compile_seconds=sum(program.seconds for program in programs if program is not None),
        seconds=seconds,
    )


def _flying(bucket: Bucket, nbytes: int, means: Resources) -> int:
    """Return how many calls of a bucket fly at once."""
    calls = -(-bucket.num_tiles // len(means.devices))
    return max(1, min(calls, means.most(bucket.tile), means.memory // max(nbytes, 1)))


def _seconds(compiled: Compiled, bucket: Bucket, flying: int, means: Resources) -> float:
    """Return the seconds of a bucket, by its first, middle and last tiles, as many as fly."""
    calls = -(-bucket.num_tiles // len(means.devices))
    weights: dict[int, int] = {}
    for quantile, weight in _WEIGHTS.items():
        tile = round(quantile * (bucket.num_tiles - 1))
        weights[tile] = weights.get(tile, 0) + weight
    per_call = 0.0
    for place, (tile, weight) in enumerate(weights.items()):
        same = list(compiled.calls([(bucket.number, tile)] * len(means.devices)))
        if place == 0:
            list(compiled.run(same, _forget))  # the first call pays for more than itself
        start = time.perf_counter()
        list(compiled.run(same * flying, _forget))
        per_call += weight / sum(weights.values()) * (time.perf_counter() - start) / flying
    return per_call * calls


def _forget(tile: object, record: object) -> None:
    del tile, record


def _seconds_alone(plan: Plan, measure: Any, bucket: Bucket) -> float:
    places = sorted({round(q * (len(bucket.members) - 1)) for q in _WEIGHTS})
    start = time.perf_counter()
    measured_alone(plan, measure, bucket.members[places], lambda: None)
    return (time.perf_counter() - start) / len(places) * len(bucket.members)
