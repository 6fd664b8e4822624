"""Networks of every depth and width in a few programs, against one call a network, same counts.

    python -m experiments.benchmarks.padded_sweeps_outrun_bucketed_calls [--seeds 131]

Width 1 to 64, depth 1 to 12, so many seeds each (131 make 100,608 networks): drawn, and their
crossings of 0 on [−1, 1] counted exactly, in ten programs. The rival calls the same programs,
compiled for one network, in a Python loop: one by one, waiting for none but the last.

The floor of one network padded to width n and depth D is its products: D layers whose vertices grow
by the capacity ¾n take about ¾D²·n³ operations in float64, 28 million at the largest; drawing takes
Dn² numbers, each behind its own key. Layers of padding are passed by where all networks that go
together have them. Random networks bring half a kink a unit or fewer, so that ¾ seldom overflows.
Five widths are the fewest that pad layers by less than 1.3; two depths are as many as twelve
programs then allow.

Programs are compiled once, into a cache that the worker processes read. Every part prints as it
ends, so that a run that is cut off still tells.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import machine
from jaxdepth.crossings import CountResult, Exact, Rational, count
from jaxdepth.networks import MLP
from jaxdepth.sweeps import Plan, Size, grid, padded

INTERVAL = (-1.0, 1.0)
WIDTH_BOUNDS, DEPTH_BOUNDS = (19, 33, 45, 55, 64), (7, 12)
TILE = 16  # what two in flight touch stays in the caches
CALLS = 3000  # of the rival at most; more networks are sampled evenly
CHECKED = 12  # networks that are drawn and counted without padding
MEMORY = 2**30  # bytes that calls in flight may take
SHARED = 50_000  # networks at most for the times of workers and of resuming


def plan_of(seeds: int, widest: int, deepest: int) -> Plan:
    """Return the sweep over all shapes, so many seeds each."""
    return grid(
        width=padded(range(1, widest + 1), bounds=up_to(widest, WIDTH_BOUNDS)),
        depth=padded(range(1, deepest + 1), bounds=up_to(deepest, DEPTH_BOUNDS)),
        seed=range(seeds),
    ).tiled(TILE)


def fitting(size: int, bounds: tuple[int, ...]) -> int:
    """Return the least bound that holds a size."""
    return next(bound for bound in bounds if bound >= size)


def up_to(size: int, bounds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bounds that sizes up to this one need."""
    return tuple(bound for bound in bounds if bound <= fitting(size, bounds))


def crossings(width: Size, depth: Size, seed: Any) -> dict[str, Any]:
    """Draw a network, count its crossings of 0, and evaluate it at ½."""
    most, layers = fitting(width.max, WIDTH_BOUNDS), fitting(depth.max, DEPTH_BOUNDS)
    net = MLP.padded(
        (1, *[most] * layers, 1),
        width=width,
        depth=depth,
        dtype=jnp.float32,
        key=jax.random.key(seed),
    )
    method = Exact(capacity=-(-3 * most // 4), dyadic=False)
    found = count(net, method, interval=INTERVAL, level=0.0)
    value = net(jnp.full(1, 0.5, jnp.float32))[0]
    overflow = found.result == CountResult.overflow
    answer = {"crossings": found.value, "trusted": found.trusted, "overflow": overflow}
    return {**answer, "value": value}


def one_by_one(plan: Plan) -> tuple[Callable[[], np.ndarray], np.ndarray, float]:
    """Return the rival's loop over a sample, the sample's flat indices, and its compile seconds."""
    sample = np.arange(0, plan.size, -(-plan.size // CALLS))
    columns = [plan.values(name, sample).tolist() for name in ("width", "depth", "seed")]
    calls: dict[tuple[int, int], Any] = {}
    todo, began = [], time.perf_counter()
    for width, depth, seed in zip(*columns, strict=True):
        most, layers = fitting(width, WIDTH_BOUNDS), fitting(depth, DEPTH_BOUNDS)
        row = (np.int32(width), np.int32(depth), np.int64(seed))
        if (most, layers) not in calls:
            calls[most, layers] = jax.jit(partial(_padded_to, most, layers)).lower(*row).compile()
        todo.append((calls[most, layers], row))
    compiling = time.perf_counter() - began

    def loop() -> np.ndarray:
        return np.array(jax.device_get([call(*row)["crossings"] for call, row in todo]))

    return loop, sample, compiling


def _padded_to(most: int, layers: int, width: Any, depth: Any, seed: Any) -> dict[str, Any]:
    return crossings(Size(width, most), Size(depth, layers), seed)


def run(plan: Plan, **options: Any) -> tuple[float, Any]:
    """Run the sweep; return the seconds and the dataset."""
    began = time.perf_counter()
    dataset = jd.sweeps.run(plan, crossings, progress=False, memory=MEMORY, **options)
    return time.perf_counter() - began, dataset


@contextmanager
def growth_of_memory() -> Iterator[list[int]]:
    """Watch by how many bytes this process grows."""
    page, over = os.sysconf("SC_PAGESIZE"), threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    before, most = resident(), [0]

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def clocked(call: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Return the seconds and CPU seconds of a call, and what it returns."""
    worked, began = time.process_time(), time.perf_counter()
    found = call()
    return (time.perf_counter() - began, time.process_time() - worked), found


def measure_speed(plan: Plan) -> Any:
    """Print cold and warm times of sweep and rival in turns, and hold their answers together."""
    predicted = jd.sweeps.predict(plan, crossings, memory=MEMORY)
    print(f"predicted: {predicted}", flush=True)
    warm, cpu, grown, dataset = np.inf, np.inf, 0, None
    rival, rival_cpu, counts = np.inf, np.inf, np.zeros(0)
    loop, sample, rival_compiling = one_by_one(plan)
    loop()
    for _ in range(1 if plan.size > 10 * CALLS else 3):
        with growth_of_memory() as most:
            (spent, worked), (_, dataset) = clocked(lambda: run(plan))
        warm, cpu, grown = min(warm, spent), min(cpu, worked), max(grown, most[0])
        for _ in range(3):
            (spent, worked), counts = clocked(loop)
            rival, rival_cpu = min(rival, spent), min(rival_cpu, worked)
    assert dataset is not None
    rival, rival_cpu = (rest * plan.size / len(sample) for rest in (rival, rival_cpu))
    compiling = predicted.compile_seconds
    each = 1e3 / plan.size
    print(
        f"the sweep, warm: {warm:.1f} s, {each * warm:.3f} ms a network ({each * cpu:.3f} CPU-ms)\n"
        f"one by one, warm: {rival:.1f} s, {each * rival:.3f} ms ({each * rival_cpu:.3f} CPU-ms), "
        f"from {len(sample):,} calls: {rival / warm:.2f}x ({rival_cpu / cpu:.2f}x in CPU time)\n"
        f"cold: compiling {compiling:.0f} s and {rival_compiling:.0f} s: "
        f"{(rival + rival_compiling) / (warm + compiling):.2f}x\n"
        f"memory: grew by {grown / 2**20:.0f} MiB, limit {MEMORY / 2**20:.0f} MiB"
    )
    swept = dataset["crossings"].values.reshape(-1)
    differ = np.count_nonzero(swept[sample] != counts)
    print(f"counts that differ: {differ} of {len(sample):,}", flush=True)
    return dataset


def settle(plan: Plan, dataset: Any) -> None:
    """Count one by one what the compiled programs leave open."""
    still_open = ~dataset["trusted"].values
    overflowed = int(dataset["overflow"].values.sum())
    print(f"left open: {still_open.sum():,} of {plan.size:,}, {overflowed:,} by their capacity")
    if still_open.any():
        spent, settled = run(plan.where(still_open), host=True)
        number = int(settled["trusted"].sum())
        print(f"settled: {number:,}, {spent:.1f} s with drawing programs", flush=True)


def check_unpadded(plan: Plan, dataset: Any) -> None:
    """Draw networks in shapes of their own, and count them by rational arithmetic."""
    trusted = np.flatnonzero(dataset["trusted"].values.reshape(-1))
    sample = trusted[np.linspace(0, len(trusted) - 1, CHECKED).astype(int)]
    differ, error = 0, 0.0
    for index in sample.tolist():
        row = plan.configuration(index)
        sizes = (1, *[row["width"]] * row["depth"], 1)
        net = MLP(sizes, dtype=jnp.float32, key=jax.random.key(row["seed"]))
        exact = count(net, Rational(), interval=INTERVAL, level=0.0).value
        differ += exact != dataset["crossings"].values.reshape(-1)[index]
        value = float(net(jnp.full(1, 0.5, jnp.float32))[0])
        error = max(error, abs(value - dataset["value"].values.reshape(-1)[index]))
    told = f"{differ} of {CHECKED} counts differ, values by at most {error:.1e}"
    print(f"unpadded: {told}", flush=True)


def waste(plan: Plan) -> float:
    """Return the arithmetic of layers of padded width over that of the true ones."""
    widths = np.array(plan.axes["width"].values)
    to = np.array([fitting(width, WIDTH_BOUNDS) for width in widths.tolist()])
    return float((to**2).sum() / (widths**2).sum())


def measure_resuming(plan: Plan) -> None:
    """Print what it costs to run a finished store again, and to stop half way."""
    n = shares(plan)
    with tempfile.TemporaryDirectory() as folder:
        whole, _ = run(plan, store=Path(folder, "whole"), worker=(0, n))
        again, _ = run(plan, store=Path(folder, "whole"), worker=(0, n))
        first, _ = run(plan, store=Path(folder, "half"), worker=(0, 2 * n))
        rest, _ = run(plan, store=Path(folder, "half"), worker=(0, n))
    print(
        f"1/{n} stored: {whole:.1f} s; again, all stored: {again:.2f} s ({again / whole:.1%}); in "
        f"two halves {first:.1f} + {rest:.1f} s ({(first + rest) / whole - 1:+.1%})",
        flush=True,
    )


def shares(plan: Plan) -> int:
    """Return of how many shares of a plan one is measured where the whole would take long."""
    return -(-plan.size // SHARED)


def measure_workers(plan: Plan, sizes: list[str], cache: str) -> None:
    """Print the times of one process pinned to a core, and of two on a core each."""
    times, n = {}, shares(plan)
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", __spec__.name, *sizes, "--store", folder]
            started = [
                subprocess.Popen(
                    [*command, f"--core={i}", f"--worker={i * n}", f"--workers={workers * n}"],
                    env={**os.environ, "JAX_COMPILATION_CACHE_DIR": cache},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for i in range(workers)
            ]
            for each in started:  # until all have compiled
                assert each.stdout is not None
                each.stdout.readline()
            began = time.perf_counter()
            for each in started:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            for each in started:
                assert each.stdout is not None
                each.stdout.readline()
            times[workers] = time.perf_counter() - began
            for each in started:
                each.communicate()
    print(
        f"1/{n} by one process on one core: {times[1]:.1f} s; by two on two: {times[2]:.1f} s "
        f"({times[1] / times[2]:.2f}x)"
    )


def work(plan: Plan, store: str, core: int, worker: int, workers: int) -> None:
    """Be one of `workers` processes, on one core."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    jd.sweeps.predict(plan, crossings, memory=MEMORY)
    print("ready", flush=True)
    sys.stdin.readline()
    run(plan, store=store, worker=(worker, workers))
    print("done", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="131 make 100,608 networks")
    parser.add_argument("--widest", type=int, default=64, help="at most 64")
    parser.add_argument("--deepest", type=int, default=12, help="at most 12")
    parser.add_argument("--store", help=argparse.SUPPRESS)
    for name in ("--core", "--worker", "--workers"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with jax.enable_x64(True), tempfile.TemporaryDirectory() as cache:
        plan = plan_of(asked.seeds, asked.widest, asked.deepest)
        if asked.worker is not None:
            work(plan, asked.store, asked.core, asked.worker, asked.workers)
            return
        jax.config.update("jax_compilation_cache_dir", cache)
        print(machine())
        print(f"{plan}\npadding: {waste(plan):.2f} times the arithmetic of the widths", flush=True)
        dataset = measure_speed(plan)
        check_unpadded(plan, dataset)
        settle(plan, dataset)
        measure_resuming(plan)
        if hasattr(os, "sched_setaffinity"):
            sizes = [f"--{name}={getattr(asked, name)}" for name in ("seeds", "widest", "deepest")]
            measure_workers(plan, sizes, cache)


if __name__ == "__main__":
    main()
