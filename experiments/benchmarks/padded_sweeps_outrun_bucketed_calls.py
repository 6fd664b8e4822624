"""Networks of every depth and width in a few programs, against one call a network, same counts.

    python -m experiments.benchmarks.padded_sweeps_outrun_bucketed_calls [--seeds 131]

Width 1 to 64, depth 1 to 12, so many seeds each (131 make 100,608 networks): drawn, and their
crossings of 0 on [−1, 1] counted exactly, in ten programs. The rival calls the same programs,
compiled for one network, in a Python loop: one by one, waiting for none but the last.

The floor of one network padded to width n and depth D is its products: D layers whose vertices grow
by the capacity n take about D²·n³ operations in float64, 38 million at the largest; drawing takes
Dn² numbers, each behind its own key. Five widths are the fewest that pad layers by less than 1.3;
two depths are as many as twelve programs then allow.
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
from jaxdepth.crossings import Exact, Rational, count
from jaxdepth.networks import MLP
from jaxdepth.sweeps import Plan, Size, grid, padded

INTERVAL = (-1.0, 1.0)
WIDTH_BOUNDS, DEPTH_BOUNDS = (19, 33, 45, 55, 64), (7, 12)
TILE = 64
CALLS = 3000  # of the rival at most; more networks are sampled evenly
CHECKED = 12  # networks that are drawn and counted without padding
MEMORY = 2**30  # bytes that calls in flight may take


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
    method = Exact(capacity=most, dyadic=False)
    found = count(net, method, interval=INTERVAL, level=0.0)
    value = net(jnp.full(1, 0.5, jnp.float32))[0]
    return {"crossings": found.value, "trusted": found.trusted, "value": value}


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


def measure_speed(plan: Plan) -> Any:
    """Print cold and warm times of sweep and rival in turns, and hold their answers together."""
    predicted = jd.sweeps.predict(plan, crossings, memory=MEMORY)
    print(f"predicted: {predicted}")
    loop, sample, rival_compiling = one_by_one(plan)
    loop()
    ours, theirs = [], []
    for _ in range(1 if plan.size > 10 * CALLS else 3):
        with growth_of_memory() as grown:
            spent, dataset = run(plan)
        ours.append(spent)
        began = time.perf_counter()
        counts = loop()
        theirs.append((time.perf_counter() - began) * plan.size / len(sample))
    warm, rival = min(ours), min(theirs)
    compiling = predicted.compile_seconds
    print(f"the sweep, warm: {warm:.1f} s, {1e3 * warm / plan.size:.3f} ms a network")
    print(f"one by one, warm: {rival:.1f} s from {len(sample):,} calls: {rival / warm:.2f}x")
    print(
        f"cold: compiling {compiling:.0f} s and {rival_compiling:.0f} s: "
        f"{(rival + rival_compiling) / (warm + compiling):.2f}x"
    )
    print(f"memory: grew by {grown[0] / 2**20:.0f} MiB, limit {MEMORY / 2**20:.0f} MiB")
    swept = dataset["crossings"].values.reshape(-1)
    print(f"counts that differ: {np.count_nonzero(swept[sample] != counts)} of {len(sample):,}")
    return dataset


def settle(plan: Plan, dataset: Any) -> None:
    """Count one by one what the compiled programs leave open."""
    still_open = ~dataset["trusted"].values
    print(f"left open: {still_open.sum():,} of {plan.size:,}")
    if still_open.any():
        spent, settled = run(plan.where(still_open), host=True)
        print(f"settled: {int(settled['trusted'].sum()):,}, {spent:.1f} s with drawing programs")


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
    print(f"unpadded: {differ} of {CHECKED} counts differ, values by at most {error:.1e}")


def waste(plan: Plan) -> float:
    """Return the arithmetic of layers of padded width over that of the true ones."""
    widths = np.array(plan.axes["width"].values)
    to = np.array([fitting(width, WIDTH_BOUNDS) for width in widths.tolist()])
    return float((to**2).sum() / (widths**2).sum())


def measure_resuming(plan: Plan) -> None:
    """Print what it costs to run a finished store again, and to stop half way."""
    with tempfile.TemporaryDirectory() as folder:
        whole, _ = run(plan, store=Path(folder, "whole"))
        again, _ = run(plan, store=Path(folder, "whole"))
        first, _ = run(plan, store=Path(folder, "half"), worker=(0, 2))
        rest, _ = run(plan, store=Path(folder, "half"))
    print(
        f"stored: {whole:.1f} s; again, all stored: {again:.2f} s ({again / whole:.1%}); in two "
        f"halves {first:.1f} + {rest:.1f} s ({(first + rest) / whole - 1:+.1%})"
    )


def measure_workers(sizes: list[str]) -> None:
    """Print the times of one process pinned to a core, and of two on a core each."""
    times = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", __spec__.name, *sizes, "--store", folder]
            started = [
                subprocess.Popen(
                    [*command, f"--worker={i}", f"--workers={workers}"],
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
        f"one process on one core: {times[1]:.1f} s; two on two: {times[2]:.1f} s "
        f"({times[1] / times[2]:.2f}x)"
    )


def work(plan: Plan, store: str, worker: int, workers: int) -> None:
    """Be one of `workers` processes, on one core."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[worker]})
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
    for name, kind in (("--store", str), ("--worker", int), ("--workers", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with jax.enable_x64(True):
        plan = plan_of(asked.seeds, asked.widest, asked.deepest)
        if asked.worker is not None:
            work(plan, asked.store, asked.worker, asked.workers)
            return
        print(machine())
        print(f"{plan}\npadding: {waste(plan):.2f} times the arithmetic of the widths", flush=True)
        dataset = measure_speed(plan)
        settle(plan, dataset)
        check_unpadded(plan, dataset)
        measure_resuming(plan)
        if hasattr(os, "sched_setaffinity"):
            sizes = [f"--{name}={getattr(asked, name)}" for name in ("seeds", "widest", "deepest")]
            measure_workers(sizes)


if __name__ == "__main__":
    main()
