"""Measuring tiles by compiled programs, on all devices, several calls in flight."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxdepth._misc import check_integer, refuse
from jaxdepth.sweeps._buckets import Bucket
from jaxdepth.sweeps._dataset import Record, record_of
from jaxdepth.sweeps._diagnosis import blame, said
from jaxdepth.sweeps._flight import fly
from jaxdepth.sweeps._measure import ReturnError
from jaxdepth.sweeps._memory import budget
from jaxdepth.sweeps._plan import Plan
from jaxdepth.sweeps._program import (
    Compiler,
    Program,
    Traced,
    settings,
    trace,
)
from jaxdepth.sweeps._store import Tile

Shapes = dict[str, jax.ShapeDtypeStruct]
_ON_ACCELERATOR = 2  # calls in flight: one runs while the next is sent


@dataclass(frozen=True)
class Resources:
    """Where calls run and how much they may take.

    Attributes:
        devices: one tile each in a call.
        memory: bytes of the calls in flight together.
        chunk: configurations in flight together, or None.
    """

    devices: tuple[Any, ...]
    memory: int
    chunk: int | None

    @property
    def spread(self) -> bool:
        """Whether some devices are another process's."""
        return any(device.process_index != jax.process_index() for device in self.devices)

    def most(self, tile: int) -> int:
        """Return how many calls may be in flight, memory aside."""
        if self.spread:
            return 1  # all processes must make the same calls in the same order
        if self.devices[0].platform == "cpu":
            most = max(1, _cores() // len(self.devices))
        else:
            most = _ON_ACCELERATOR
        if self.chunk is None:
            return most
        return max(1, min(most, self.chunk // (tile * len(self.devices))))


def resources(devices: Any, memory: int | None, chunk: int | None) -> Resources:
    """Check and fill in what a caller leaves open."""
    if devices is None:
        config: Any = jax.config
        chosen = config.jax_default_device
        devices = [chosen] if isinstance(chosen, jax.Device) else jax.local_devices()
    elif isinstance(devices, str):
        try:
            devices = jax.local_devices(backend=devices)
        except RuntimeError as error:
            refuse("devices", "a platform that is here", devices, f"({error})")
    devices = (devices,) if isinstance(devices, jax.Device) else tuple(devices)
    if len(set(devices)) < len(devices):
        refuse("devices", "distinct devices", devices)
    if not devices or not all(isinstance(device, jax.Device) for device in devices):
        refuse("devices", "JAX devices, or a platform such as 'cpu'", devices)
    if len({device.platform for device in devices}) > 1:
        refuse("devices", "of one platform", devices)
    memory = budget(devices) if memory is None else check_integer("memory", memory, 1)
    return Resources(devices, memory, None if chunk is None else check_integer("chunk", chunk, 1))


@dataclass(frozen=True)
class Call:
    """Tiles of one bucket that run at once, one a device."""

    bucket: Bucket
    tiles: list[int]
    program: Program


class Compiled:
    """A plan's programs, traced and on their way to being compiled; leave it to stop that.

    Attributes:
        broken: by bucket, why it cannot be compiled.
        programs: of all others.
        shapes: of the outputs, the same in every bucket; None where no bucket can be traced.
    """

    def __init__(
        self,
        plan: Plan,
        measure: Any,
        source: str | None,
        buckets: Sequence[Bucket],
        means: Resources,
    ) -> None:
        self._plan, self._means, self._buckets = plan, means, buckets
        self._here = settings()
        self._compiler = Compiler(plan, source, means.devices)
        self.broken: dict[int, Exception] = {}
        self.programs: dict[int, Future[Program]] = {}
        shapes: list[tuple[Bucket, Shapes]] = []
        traced: list[Traced] = []
        for bucket in buckets:
            if (ready := self._compiler.kept(bucket)) is not None:
                self.programs[bucket.number] = Future()
                self.programs[bucket.number].set_result(ready)
                shapes.append((bucket, ready.shapes))
                continue
            try:
                traced.append(trace(plan, measure, bucket))
            except ReturnError:
                raise
            except Exception as error:
                blame(plan, measure, bucket, error)
                self._give_up(bucket, error)
            else:
                shapes.append((bucket, traced[-1].shapes))
        _check_alike(plan, shapes)
        self.shapes = shapes[0][1] if shapes else None
        self.programs.update({one.bucket.number: self._compiler.compile(one) for one in traced})

    def __enter__(self) -> Compiled:
        return self

    def __exit__(self, *_: object) -> None:
        self._compiler.stop()

    def _give_up(self, bucket: Bucket, error: Exception) -> None:
        self.broken[bucket.number] = error
        warnings.warn(
            f"`measure` cannot be compiled for {self._plan.named(int(bucket.members[0]))} and "
            f"{len(bucket.members) - 1:,} more ({said(error)}); they run one at a time, in Python.",
            stacklevel=2,
        )

    def program(self, bucket: Bucket) -> Program | None:
        """Wait for a bucket's program; None where there is none."""
        if bucket.number in self.broken:
            return None
        try:
            return self.programs[bucket.number].result()
        except Exception as error:  # it could be traced, and not lowered
            self._give_up(bucket, error)
            return None

    def calls(self, tiles: Sequence[Tile]) -> Iterator[Call]:
        """Yield the calls that run these tiles, each bucket's when it is compiled."""
        for bucket in self._buckets:
            wanted = [tile for number, tile in tiles if number == bucket.number]
            if wanted and (program := self.program(bucket)) is not None:
                together = len(self._means.devices)
                for first in range(0, len(wanted), together):
                    yield Call(bucket, wanted[first : first + together], program)

    def run(
        self, calls: Iterable[Call], keep: Callable[[Tile, Record], None]
    ) -> Iterator[dict[Tile, Record]]:
        """Run calls; yield the records of each when they are kept."""

        def execute(call: Call) -> dict[Tile, Record]:
            with self._here():
                records = _measured(call, self._means)
            for tile, record in records.items():
                keep(tile, record)
            return records

        most = min(self._means.most(bucket.tile) for bucket in self._buckets)
        for _, records in fly(calls, execute, self.needed, most=most, budget=self._means.memory):
            yield records

    def needed(self, call: Call) -> int:
        """Return what a call takes, refused where memory has no room for it alone."""
        need, have = call.program.nbytes, self._means.memory
        if need > have:
            fits = call.bucket.tile * have // need
            cure = f"Take smaller tiles: `plan.tiled({fits})`." if fits else "Give more `memory`."
            raise MemoryError(
                f"one call of {len(self._means.devices)} tile(s) of {call.bucket.tile} "
                f"configurations takes {need / 2**20:,.1f} MiB, and there are "
                f"{have / 2**20:,.1f}. {cure}"
            )
        return need


def _measured(call: Call, means: Resources) -> dict[Tile, Record]:
    """Run one call; where it fails, find the configurations that make it."""
    program = call.program
    groups = [call.bucket.of_tile(tile) for tile in call.tiles]
    try:
        found = program(groups)
    except Exception as error:
        if not _from_python(error) or means.spread:
            raise
        return {
            (call.bucket.number, tile): _without_culprits(program, members)
            for tile, members in zip(call.tiles, groups, strict=True)
        }
    return {
        (call.bucket.number, call.tiles[device]): record_of(groups[device], arrays, {})
        for device, arrays in sorted(found.items())
    }


def _without_culprits(program: Program, members: np.ndarray) -> Record:
    """Measure a tile whose program raises for some of its configurations.

    Each fills a tile alone; then those that raise give way to one that does not, and the others
    are measured in their own places, where their last bits are what they would have been.
    """
    messages: dict[int, str] = {}
    for place in range(len(members)):
        try:
            program([members[place : place + 1]])
        except Exception as error:
            if not _from_python(error):
                raise
            messages[place] = said(error)
    good = [place for place in range(len(members)) if place not in messages]
    if not good:
        return record_of(members, {}, messages)
    stand_ins = members.copy()
    stand_ins[list(messages)] = members[good[0]]
    return record_of(members, program([stand_ins])[0], messages)


def _from_python(error: Exception) -> bool:
    """Whether a callback raised (as `eqx.error_if` does), and not the device or its memory."""
    runtime = isinstance(error, jax.errors.JaxRuntimeError)
    return not runtime or "allback" in str(error) or "EquinoxRuntimeError" in str(error)


def _check_alike(plan: Plan, shapes: Sequence[tuple[Bucket, Shapes]]) -> None:
    """Refuse a measure whose outputs differ between buckets, before anything is run."""
    told = [{name: aval.shape for name, aval in each.items()} for _, each in shapes]
    for (bucket, _), these in zip(shapes, told, strict=True):
        if these != told[0]:
            first, other = (plan.named(int(b.members[0])) for b in (shapes[0][0], bucket))
            refuse(
                "measure",
                "one that returns arrays of the same names and shapes everywhere",
                f"{told[0]} for {first} and {these} for {other}",
                "Pad them to one shape, or sweep those values one by one.",
            )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count() or 1
