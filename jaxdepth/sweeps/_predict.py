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
from jaxdepth.sweeps._measure import check_measure
from jaxdepth.sweeps._plan import Plan
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
        nbytes: at the peak: calls in flight, by the compiler's own analysis, and all results. What
            Python, JAX and the compiler take themselves comes on top.
        compile_seconds: that compiling took, which a run in this process need not do again.
        seconds: of the measuring, from a few tiles of every bucket.
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

    Compiles every program (a later `run` in this process uses them) and times the first, the middle
    and the last tile of each bucket; nothing is stored.

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
    means = resources(devices, memory, chunk)
    tiles = sum(bucket.num_tiles for bucket in plan.buckets)
    if host:
        seconds = sum(_seconds_alone(plan, measure, bucket) for bucket in plan.buckets)
        return Prediction(plan.size, len(plan.buckets), 0, tiles, 1, 0, 0.0, seconds)
    compiled = Compiled(plan, measure, plan.buckets, means)
    programs = {number: future.result() for number, future in compiled.programs.items()}
    results = sum(
        math.prod(aval.shape) * np.dtype(aval.dtype).itemsize
        for aval in (compiled.shapes or {}).values()
    )
    seconds, peak, together = 0.0, 0, 0
    for bucket in plan.buckets:
        if bucket.number in compiled.broken:
            seconds += _seconds_alone(plan, measure, bucket)
            continue
        flying = _flying(bucket, programs[bucket.number].nbytes, means)
        peak = max(peak, flying * programs[bucket.number].nbytes)
        together = max(together, flying * bucket.tile * len(means.devices))
        seconds += _seconds(compiled, bucket, flying, means)
    return Prediction(
        configurations=plan.size,
        buckets=len(plan.buckets),
        compilations=len(programs),
        tiles=tiles,
        in_flight=min(together, plan.size) or 1,
        nbytes=peak + plan.size * results,
        compile_seconds=sum(program.seconds for program in programs.values()),
        seconds=seconds,
    )


def _flying(bucket: Bucket, nbytes: int, means: Resources) -> int:
    """Return how many calls of a bucket fly at once."""
    calls = -(-bucket.num_tiles // len(means.devices))
    return max(1, min(calls, means.most(bucket.tile), means.memory // max(nbytes, 1)))


def _seconds(compiled: Compiled, bucket: Bucket, flying: int, means: Resources) -> float:
    """Return the seconds of a bucket, by its first, middle and last tiles, as many as fly."""
    per_call = 0.0
    calls = -(-bucket.num_tiles // len(means.devices))
    for quantile, weight in _WEIGHTS.items():
        tile = round(quantile * (bucket.num_tiles - 1))
        same = list(compiled.calls([(bucket.number, tile)] * len(means.devices), [bucket]))
        if quantile == 0.0:
            list(compiled.run(same, lambda *_: None))  # the first call pays for more than itself
        start = time.perf_counter()
        list(compiled.run(same * flying, lambda *_: None))
        per_call += weight / 6 * (time.perf_counter() - start) / flying
    return per_call * calls


def _seconds_alone(plan: Plan, measure: Any, bucket: Bucket) -> float:
    places = sorted({round(q * (len(bucket.members) - 1)) for q in _WEIGHTS})
    start = time.perf_counter()
    measured_alone(plan, measure, bucket.members[places], lambda _: None)
    return (time.perf_counter() - start) / len(places) * len(bucket.members)
