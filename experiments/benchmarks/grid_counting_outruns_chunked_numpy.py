"""Counting crossings on a dense grid against the same count in NumPy and PyTorch, in one process.

    python -m experiments.benchmarks.grid_counting_outruns_chunked_numpy

The floor is arithmetic: a point costs 2(w + (L − 1)w² + w) operations through L hidden layers of
width w, so a network can run at most at the machine's matrix-product rate, measured beside it; m^k
costs 2 operations a point and layer, and both ask some 10 of every point for its place and label.

The rivals stream as we do, chunk by chunk, the last label carried over; PyTorch (left out where it
is not installed) in the faster of two layouts. All of a row run in turns, and each is given by its
least time, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import least

try:
    import torch
except ImportError:
    torch = None

CHUNK = 2048
POINTS = 2**22 + 1
LAYERS = 3

Evaluate = Callable[[np.ndarray], np.ndarray]


def ours(net: Any, points: int) -> Callable[[], int]:
    """Count by `Grid`."""
    method = jd.crossings.Grid(points)
    return lambda: int(jd.crossings.count(net, method).value)


def in_numpy(evaluate: Evaluate, points: int, chunk: int = CHUNK) -> Callable[[], int]:
    """Count in NumPy, `chunk` points at a time."""

    def count() -> int:
        flips, last = 0, None
        for first in range(0, points, chunk):
            index = np.arange(first, min(first + chunk, points), dtype=np.float32)
            labels = evaluate(index / np.float32(points - 1)) >= np.float32(0.5)
            flips += int(np.count_nonzero(labels[1:] != labels[:-1]))
            flips += int(last is not None and labels[0] != last)
            last = labels[-1]
        return flips + 1

    return count


def in_torch(evaluate: Callable[[Any], Any], points: int) -> Callable[[], int]:
    """Count in PyTorch, `CHUNK` points at a time, without gradients."""

    def count() -> int:
        flips, last = 0, None
        with torch.no_grad():
            for first in range(0, points, CHUNK):
                index = torch.arange(first, min(first + CHUNK, points), dtype=torch.float32)
                labels = evaluate(index / (points - 1)) >= 0.5
                flips += int(torch.count_nonzero(labels[1:] != labels[:-1]))
                flips += int(last is not None and bool(labels[0] != last))
                last = labels[-1]
        return flips + 1

    return count


def numpy_mlp(net: jd.networks.MLP) -> Evaluate:
    """Evaluate the network in NumPy, activations of shape (width, chunk)."""
    layers = [(np.asarray(a.weight), np.asarray(a.bias)[:, None]) for a in net.affine_layers()]

    def evaluate(x: np.ndarray) -> np.ndarray:
        h = x[None]
        for weight, bias in layers[:-1]:
            h = weight @ h
            h += bias
            np.maximum(h, 0, out=h)
        weight, bias = layers[-1]
        return (weight @ h + bias)[0]

    return evaluate


def torch_mlp(net: jd.networks.MLP, by_columns: bool) -> Callable[[Any], Any]:
    """Evaluate the network in PyTorch, activations of shape (width, chunk) or (chunk, width)."""
    layers = [
        tuple(torch.tensor(np.asarray(part)) for part in (a.weight, a.bias))
        for a in net.affine_layers()
    ]

    def columns(x: Any) -> Any:
        h = x[None]
        for weight, bias in layers[:-1]:
            h = torch.addmm(bias[:, None], weight, h).relu_()
        return torch.addmm(layers[-1][1][:, None], layers[-1][0], h)[0]

    def rows(x: Any) -> Any:
        h = x[:, None]
        for weight, bias in layers[:-1]:
            h = torch.nn.functional.linear(h, weight, bias).relu_()
        return torch.nn.functional.linear(h, *layers[-1])[:, 0]

    return columns if by_columns else rows


def numpy_sawtooth(depth: int) -> Evaluate:
    """Evaluate m^depth in NumPy."""

    def evaluate(x: np.ndarray) -> np.ndarray:
        for _ in range(depth):
            x = np.maximum(2 * np.maximum(x, 0) - 4 * np.maximum(x - np.float32(0.5), 0), 0)
        return x

    return evaluate


def torch_sawtooth(depth: int) -> Callable[[Any], Any]:
    """Evaluate m^depth in PyTorch."""

    def evaluate(x: Any) -> Any:
        for _ in range(depth):
            x = (2 * x.relu() - 4 * (x - 0.5).relu_()).relu_()
        return x

    return evaluate


def products(width: int, operations: float) -> Callable[[], Any]:
    """Multiply (width, width) by (width, CHUNK) until so many operations are done."""
    a, b = jnp.ones((width, width)) / width, jnp.ones((width, CHUNK))
    rounds = round(operations / (2 * width * width * CHUNK))
    product = jax.jit(lambda a, b: jax.lax.fori_loop(0, rounds, lambda _, h: a @ h, b))
    return lambda: product(a, b).block_until_ready()


ROW = "{:<22} {:>13} {:>10} {:>14} {:>15} {:>12} {:>22}"


def report(name: str, points: int, taken: Mapping[str, float]) -> None:
    """Print one row: our time, and each rival's as a multiple of it."""
    mine = taken["jaxdepth"]

    def against(*rivals: str) -> str:
        present = [taken[rival] for rival in rivals if rival in taken]
        return f"{min(present):.3f} s {min(present) / mine:5.1f}x" if present else "–"

    share = f"{taken['products'] / mine:.0%}" if "products" in taken else "–"
    rivals = (against("numpy"), against("columns", "rows", "torch"), share, against("naive"))
    print(ROW.format(name, f"{points:,}", f"{mine:.4f} s", *rivals), flush=True)


def measure_mlp(width: int, points: int, *, as_equinox: bool = False) -> None:
    """Print the row of one multilayer perceptron."""
    net = jd.networks.MLP((1, *[width] * LAYERS, 1), dtype=jnp.float32, key=jax.random.key(0))
    counted = equinox_mlp(net) if as_equinox else net
    calls: dict[str, Callable[[], Any]] = {
        "jaxdepth": ours(counted, points),
        "numpy": in_numpy(numpy_mlp(net), points),
        "products": products(width, 2 * points * (2 * width + (LAYERS - 1) * width**2)),
    }
    if torch is not None:
        calls["columns"] = in_torch(torch_mlp(net, True), points)
        calls["rows"] = in_torch(torch_mlp(net, False), points)
    name = f"{width}x{LAYERS}" + (" (eqx.nn.MLP)" if as_equinox else "")
    report(name, points, least(calls))


def equinox_mlp(net: jd.networks.MLP) -> eqx.nn.MLP:
    """Copy the weights into a network that `Grid` knows nothing about."""
    listed = net.affine_layers()
    width = listed[0].weight.shape[0]
    plain = eqx.nn.MLP(1, 1, width, LAYERS, dtype=jnp.float32, key=jax.random.key(0))
    return eqx.tree_at(
        lambda plain: [part for layer in plain.layers for part in (layer.weight, layer.bias)],
        plain,
        [part for layer in listed for part in (layer.weight, layer.bias)],
    )


def measure_sawtooth(depth: int, points: int) -> None:
    """Print the row of one sawtooth."""
    evaluate = numpy_sawtooth(depth)
    calls = {
        "jaxdepth": ours(jd.networks.Sawtooth(depth), points),
        "numpy": in_numpy(evaluate, points),
        "naive": in_numpy(evaluate, points, points),
    }
    if torch is not None:
        calls["torch"] = in_torch(torch_sawtooth(depth), points)
    report(f"Sawtooth({depth})", points, least(calls))


def measure_a_billion(depth: int) -> None:
    """Say what 2^30 + 1 points cost in time and in memory; their integers need 64 bits."""
    with jax.enable_x64(True):
        net, method = jd.networks.Sawtooth(depth), jd.crossings.Grid(2**30 + 1)

        @jax.jit
        def counted(depth: jax.Array) -> jd.crossings.CrossingCount:
            return jd.crossings.count(jd.networks.Sawtooth(depth), method)

        program = counted.lower(net.depth).compile()
        answer = program(net.depth)
        taken = least({"count": lambda: program(net.depth).value.block_until_ready()}, 0.0)["count"]
        memory = program.memory_analysis()
    temporaries = "unknown" if memory is None else f"{memory.temp_size_in_bytes / 2**20:.2f} MiB"
    print(
        f"Sawtooth({depth}), 2^30 + 1 points, float64: {taken:.2f} s, temporaries {temporaries}, "
        f"Cr = {int(answer.value):,} (2^{depth} + 1 = {2**depth + 1:,}), "
        f"trusted: {bool(answer.trusted)}"
    )


def main() -> None:
    """Measure and print the table."""
    device = jax.devices()[0]
    rival = (
        "no PyTorch: its column is left out" if torch is None else f"PyTorch {torch.__version__}"
    )
    print(
        f"{device.platform} {device.device_kind}, {os.cpu_count()} cores, {platform.machine()}; "
        f"JAX {jax.__version__}, NumPy {np.__version__}, {rival}; float32, chunk {CHUNK}"
    )
    headings = ("network", "points", "jaxdepth", "chunked NumPy", "chunked PyTorch")
    print(ROW.format(*headings, "matmul rate", "naive NumPy"))
    measure_mlp(16, POINTS)
    measure_mlp(16, POINTS, as_equinox=True)
    measure_mlp(32, 2**20 + 1)
    measure_mlp(64, 2**20 + 1)
    measure_mlp(256, 2**18 + 1)
    measure_sawtooth(20, POINTS)
    measure_a_billion(28)


if __name__ == "__main__":
    main()
