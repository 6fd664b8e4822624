"""The verb: run a measure over a plan."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxdepth._misc import refuse
from jaxdepth.sweeps._compiled import Compiled, Resources, resources
from jaxdepth.sweeps._dataset import (
    FAILED,
    MEMBERS,
    MESSAGE,
    UNMEASURED,
    Record,
    assemble,
    check_units,
)
from jaxdepth.sweeps._describe import described
from jaxdepth.sweeps._extra import needed
from jaxdepth.sweeps._host import measured_alone
from jaxdepth.sweeps._identity import fingerprint
from jaxdepth.sweeps._measure import check_measure, check_values
from jaxdepth.sweeps._plan import Plan
from jaxdepth.sweeps._processes import agreed, together
from jaxdepth.sweeps._program import source_of
from jaxdepth.sweeps._progress import Progress
from jaxdepth.sweeps._store import Store, StoreError, Tile, check_share

if TYPE_CHECKING:
    import xarray

_HOPELESS = 100  # failures without one success, after which a measure is broken
_TOLD = 5  # failures that an error lists


class FailedConfigurationsError(RuntimeError):
    """Some configurations failed; all others are measured.

    Attributes:
        dataset: what `run` would have returned.

    Example:
        >>> from jaxdepth.sweeps import grid
        >>> def inverse(x):
        ...     return 1 / x
        >>> try:
        ...     run(grid(x=[0, 2]), inverse, host=True, progress=False)
        ... except FailedConfigurationsError as error:
        ...     print(error.dataset["value"].values)
        [nan 0.5]
    """

    def __init__(self, message: str, dataset: Any) -> None:
        super().__init__(message)
        self.dataset = dataset


def run(
    plan: Plan,
    measure: Callable[..., Any],
    *,
    store: str | Path | None = None,
    devices: Sequence[jax.Device] | jax.Device | str | None = None,
    chunk: int | None = None,
    host: bool = False,
    resume: bool = True,
    retry: bool = False,
    progress: bool = True,
    memory: int | None = None,
    worker: tuple[int, int] | None = None,
    units: Mapping[str, str] | None = None,
    throw: bool = True,
) -> xarray.Dataset:
    """Measure every configuration of a plan.

    A bucket's configurations run in tiles of one compiled program, vmapped; a call runs a tile on
    each device, and as many calls are in flight as their predicted memory allows. What is measured
    is stored tile by tile: a kill loses the tiles in flight, and the same call goes on where it
    stopped. The numbers do not depend on devices, chunks, workers or restarts (on one machine type
    and version of JAX): `attrs["digest"]` tells.

    Args:
        plan: from `grid`.
        measure: called with the axes as keyword arguments; returns a number, an array or a dict of
            arrays, of the same shapes everywhere. It is traced once a bucket, under `vmap`. Arrays
            that it closes over are passed to the program. A store is held against its code and
            what it closes over, as they are when the run begins.
        store: a folder to keep results in; None keeps them in memory alone.
        devices: JAX devices, or a platform ("cpu", "gpu", "tpu"); None for all of this process. Of
            several processes (`jax.distributed`), all of `jax.devices()` make one mesh.
        chunk: at most so many configurations in flight (a call's worth at least); None for as many
            as memory and processors take.
        host: call the measure in Python, one configuration at a time, with plain values: for
            methods that cannot be compiled. What raises is recorded as failed, the others go on.
        resume: use what is stored already; otherwise measure everything again.
        retry: try again what is stored as failed.
        progress: show what is done, the rate, and the time left on standard error.
        memory: bytes for tiles in flight together; None for most of what is free (RAM, and the
            limits of cgroups; an accelerator's own).
        worker: (i, n) runs share i of n, every n-th tile, of a common `store`: start n processes,
            on one machine or many.
        units: of axes and outputs, by name; "1" where not given.
        throw: raise where configurations failed; otherwise `status` and `message` tell.

    Returns:
        An `xarray.Dataset`: outputs over the plan's dimensions (further ones are called NAME_0, …),
        coordinates, `status` (0 measured, 1 failed, 2 missing: another worker's), provenance in
        `attrs`. NaN results are kept and counted (`nan_count`).

    Raises:
        ValueError: a measure that does not take these axes, needs a concrete value of a traced
            axis, or returns different shapes; bad arguments.
        StoreError: a store that cannot be written, belongs to something else, is in use, or is
            full; what was measured is kept.
        MemoryError: one tile alone takes more than there is.
        FailedConfigurationsError: with `throw`, when all others are measured and stored.

    Example:
        >>> import jax
        >>> from jaxdepth.crossings import Grid, count
        >>> from jaxdepth.networks import MLP
        >>> from jaxdepth.sweeps import grid
        >>> def crossings(width, depth, seed):
        ...     sizes = (1, *[width.max] * depth.max, 1)
        ...     net = MLP.padded(sizes, width=width, depth=depth, key=jax.random.key(seed))
        ...     return count(net, Grid(257), level=0.0).value
        >>> plan = grid(width=[7, 8], depth=[1, 3], seed=range(10))
        >>> run(plan, crossings, progress=False)["value"].mean("seed").shape
        (2, 2)
    """
    if not isinstance(plan, Plan):
        refuse("plan", "a plan, as `jd.sweeps.grid` makes it", plan)
    check_measure(plan, measure)
    if not host:
        check_values(plan)
    share = check_share(worker)
    means = resources(devices, memory, chunk)
    if (means.spread or share != (0, 1)) and store is None:
        refuse("store", "a folder that all processes share", None, "It is where results meet.")
    if host and means.spread:
        refuse("devices", "of this process, with `host=True`", means.devices)
    needed("xarray")
    check_units(units or {}, plan.axes, {})
    source = source_of(measure) if store is None else fingerprint(measure)
    description = described(plan, measure, source, host, dict(units or {}), means)
    kept = None if store is None else Store.open(store, description)
    with _held(kept, share):
        records = _run(
            plan, measure, source, kept, share, means, host, (resume, retry), progress, units
        )
    if kept is not None:
        together("every process has stored its tiles", means.spread)
        others = {tile: kept.fetch(tile) for tile in _tiles(plan) if tile not in records}
        records.update({tile: record for tile, record in others.items() if record is not None})
    dataset = assemble(kept.description if kept else description, records.values())
    if kept is not None and not dataset.attrs["missing"]:
        with _full_disk_told(kept):
            kept.publish(dataset)
    _tell(plan, dataset, progress, throw)
    return dataset


def _run(
    plan: Plan,
    measure: Any,
    source: str | None,
    store: Store | None,
    share: tuple[int, int],
    means: Resources,
    host: bool,
    again: tuple[bool, bool],
    progress: bool,
    units: Mapping[str, str] | None,
) -> dict[Tile, Record]:
    """Return the records of this share by tile: fetched where stored, else measured."""
    mine = _tiles(plan)[share[0] :: share[1]]
    records = {tile: _fetched(store, tile, *again) for tile in mine}
    stored = np.array([record is not None for record in records.values()])
    stored = agreed(stored, means.spread)
    todo = [tile for tile, there in zip(mine, stored, strict=True) if not there]
    sizes = {tile: len(plan.buckets[tile[0]].of_tile(tile[1])) for tile in mine}
    total = sum(sizes.values())
    bar = Progress(total, total - sum(sizes[tile] for tile in todo), shown=progress)
    hope = _Hope(plan, records.values())

    def keep(tile: Tile, record: Record) -> None:
        check_units(units or {}, plan.axes, record)
        if store is not None:
            with _full_disk_told(store):
                store.keep(tile, record)

    def one_by_one(tiles: Sequence[Tile], shapes: Any) -> None:
        for tile in tiles:
            members = plan.buckets[tile[0]].of_tile(tile[1])
            records[tile] = record = measured_alone(
                plan, measure, members, lambda: bar.advance(1), shapes
            )
            keep(tile, record)
            hope.take(tile, record)

    with _interruption_told(store):
        if host:
            one_by_one(todo, None)
        elif todo:
            wanted = {number for number, _ in todo}
            buckets = [bucket for bucket in plan.buckets if bucket.number in wanted]
            with Compiled(plan, measure, source, buckets, means) as compiled:
                for measured in compiled.run(compiled.calls(todo), keep):
                    records.update(measured)
                    for tile, record in measured.items():
                        bar.advance(len(record[MEMBERS]))
                        hope.take(tile, record)
            one_by_one([tile for tile in todo if tile[0] in compiled.broken], compiled.shapes)
        bar.finish()
    return {tile: record for tile, record in records.items() if record is not None}


def _fetched(store: Store | None, tile: Tile, resume: bool, retry: bool) -> Record | None:
    record = store.fetch(tile) if store is not None and resume else None
    return None if record is not None and retry and record[FAILED].any() else record


class _Hope:
    """Whether a measure can succeed at all: failures in every bucket and no success say no."""

    def __init__(self, plan: Plan, records: Iterable[Record | None]) -> None:
        self._plan, self._failed = plan, 0
        self._untried = {bucket.number for bucket in plan.buckets}
        self._succeeded = any(not record[FAILED].all() for record in records if record)

    def take(self, tile: Tile, record: Record) -> None:
        """Take a record in.

        Raises:
            RuntimeError: none has succeeded, many have failed, and every bucket was tried.
        """
        self._untried.discard(tile[0])
        self._succeeded |= not record[FAILED].all()
        self._failed += int(record[FAILED].sum())
        if not self._succeeded and not self._untried and self._failed >= _HOPELESS:
            raise RuntimeError(
                f"all of the first {self._failed:,} configurations failed, "
                f"{self._plan.named(int(record[MEMBERS][0]))} with {record[MESSAGE][0]}. Mend the "
                "measure; nothing else was tried."
            )


def _tiles(plan: Plan) -> list[Tile]:
    return [(bucket.number, tile) for bucket in plan.buckets for tile in range(bucket.num_tiles)]


@contextlib.contextmanager
def _held(store: Store | None, share: tuple[int, int]) -> Iterator[None]:
    if store is None or jax.process_index() > 0:  # of one run in many processes, one holds it
        yield
        return
    with store.held(share):
        yield


@contextlib.contextmanager
def _full_disk_told(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = "Free space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Mend it"
        raise StoreError(
            f"`store` {str(store.folder)!r} cannot be written any more: {error.strerror or error}. "
            f"What was stored before is kept. {cure}, and the same call goes on from there."
        ) from error


@contextlib.contextmanager
def _interruption_told(store: Store | None) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if store is not None:
            told = f"Interrupted. What is stored in {str(store.folder)!r} is kept; the same call"
            Progress(1, 0, shown=True).say(f"{told} resumes.")
        raise


def _tell(plan: Plan, dataset: xarray.Dataset, progress: bool, throw: bool) -> None:
    """Tell of NaN and of what failed."""
    bar = Progress(1, 0, shown=progress)
    for name, variable in dataset.data_vars.items():
        if count := variable.attrs.get("nan_count"):
            bar.say(f"`{name}` is NaN for {count:,} configurations; they are kept.")
    failed = np.flatnonzero(dataset["status"].values.ravel() == UNMEASURED)
    if not len(failed):
        return
    messages = dataset["message"].values.ravel()
    listed = [f"  {plan.named(int(i))}: {messages[i]}" for i in failed[:_TOLD]]
    more = [f"  and {len(failed) - _TOLD:,} more"] if len(failed) > _TOLD else []
    head = f"{len(failed):,} of {plan.size:,} configurations failed; the others are measured."
    text = "\n".join([head, *listed, *more])
    if throw:
        raise FailedConfigurationsError(text, dataset)
    bar.say(text)
