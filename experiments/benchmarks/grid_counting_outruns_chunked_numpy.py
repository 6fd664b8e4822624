"""Counting crossings on a dense grid against the same count in chunked NumPy, in one process.

    python -m experiments.benchmarks.grid_counting_outruns_chunked_numpy

The floor is arithmetic: a point costs 2(w + (L − 1)w² + w) operations through L hidden layers of
width w, so a network can run at most at the machine's matrix-product rate, measured beside it; m^k
costs 6 operations a point and layer and moves no memory.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd

CHUNK = 2048
POINTS = 2**22 + 1
LAYERS = 3


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least time of `repeats` calls after a warm-up (compilation apart)."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def numpy_count(evaluate: Callable[[np.ndarray], np.ndarray], points: int, chunk: int) -> int:
    """Count in NumPy, `chunk` points at a time, the last label carried over."""
    flips, last = 0, None
    for first in range(0, points, chunk):
        x = np.arange(first, min(first + chunk, points), dtype=np.float32) / np.float32(points - 1)
        labels = evaluate(x) >= np.float32(0.5)
        flips += int(np.count_nonzero(labels[1:] != labels[:-1]))
        flips += int(last is not None and labels[0] != last)
        last = labels[-1]
    return flips + 1


def numpy_mlp(net: jd.networks.MLP) -> Callable[[np.ndarray], np.ndarray]:
    """Evaluate the network in NumPy, activations of shape (width, chunk)."""
    layers = [(np.asarray(a.weight), np.asarray(a.bias)[:, None]) for a in net.affine_layers()]

    def evaluate(x: np.ndarray) -> np.ndarray:
        h = x[None]
        for weight, bias in layers[:-1]:
            h = np.maximum(weight @ h + bias, 0)
        weight, bias = layers[-1]
        return (weight @ h + bias)[0]

    return evaluate


def numpy_sawtooth(depth: int) -> Callable[[np.ndarray], np.ndarray]:
    """Evaluate m^depth in NumPy."""

    def evaluate(x: np.ndarray) -> np.ndarray:
        for _ in range(depth):
            x = np.maximum(2 * np.maximum(x, 0) - 4 * np.maximum(x - np.float32(0.5), 0), 0)
        return x

    return evaluate


def matmul_rate(width: int) -> float:
    """Return the operations per second of (width, width) @ (width, CHUNK)."""
    a, b = jnp.ones((width, width)) / width, jnp.ones((width, CHUNK))
    rounds = max(1, 2**28 // (width * width * CHUNK))
    product = jax.jit(lambda a, b: jax.lax.fori_loop(0, rounds, lambda _, h: a @ h, b))
    return rounds * 2 * width * width * CHUNK / seconds(lambda: product(a, b).block_until_ready())


ROW = "{:<18} {:>10} {:>14} {:>12} {:>7} {:>12}"


def measure_mlp(width: int, points: int) -> None:
    """Print the row of one multilayer perceptron."""
    net = jd.networks.MLP((1, *[width] * LAYERS, 1), dtype=jnp.float32, key=jax.random.key(0))
    counter, rival_net = jd.crossings.Grid(points), numpy_mlp(net)
    ours = seconds(lambda: jax.block_until_ready(jd.crossings.count(net, counter).value))
    rival = seconds(lambda: numpy_count(rival_net, points, CHUNK), 1)
    operations = 2 * points * (2 * width + (LAYERS - 1) * width**2)
    share = operations / ours / matmul_rate(width)
    times = (f"{ours:.3f} s", f"{rival:.3f} s", "")
    name = f"{width}x{LAYERS}, {points:,}"
    print(ROW.format(name, *times, f"{rival / ours:.1f}x", f"{share:.0%}"))


def measure_sawtooth(depth: int) -> None:
    """Print the row of one sawtooth."""
    net, counter = jd.networks.Sawtooth(depth), jd.crossings.Grid(POINTS)
    evaluate = numpy_sawtooth(depth)
    ours = seconds(lambda: jax.block_until_ready(jd.crossings.count(net, counter).value))
    rival = seconds(lambda: numpy_count(evaluate, POINTS, CHUNK), 1)
    naive = seconds(lambda: numpy_count(evaluate, POINTS, POINTS), 1)
    times = (f"{ours:.3f} s", f"{rival:.3f} s", f"{naive:.3f} s")
    print(ROW.format(f"Sawtooth({depth})", *times, f"{rival / ours:.1f}x", ""))


def main() -> None:
    """Measure and print the table."""
    device = jax.devices()[0]
    print(
        f"{device.platform} {device.device_kind}, {os.cpu_count()} cores, {platform.machine()}; "
        f"JAX {jax.__version__}, NumPy {np.__version__}; float32, {POINTS:,} points, chunk {CHUNK}"
    )
    headings = ("network", "jaxdepth", "chunked NumPy", "naive NumPy", "ratio", "matmul rate")
    print(ROW.format(*headings))
    measure_mlp(16, POINTS)
    measure_mlp(64, POINTS)
    measure_mlp(256, 2**19 + 1)
    measure_sawtooth(20)


if __name__ == "__main__":
    main()
