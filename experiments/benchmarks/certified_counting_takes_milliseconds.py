"""Certified crossings of smooth networks: the time, the boxes, and what grids say of the same.

    python -m experiments.benchmarks.certified_counting_takes_milliseconds

The floor is the evaluation: a box carries three enclosures, each a middle and a radius, so it costs
six matrix-vector products a layer where a grid point costs one, and three activations with their
slopes. The rival is a grid of 2^14 + 1 points, warm: it proves nothing, and is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds

INTERVAL = (-3.0, 3.0)
POINTS = (33, 1_025, 2**14 + 1)
SIZES = (1, 64, 64, 64, 1)
# Gains at which depth makes the networks bend: at He's, smooth networks cross once or not at all.
CASES = (
    ("tanh", 4.0),
    ("tanh", 300.0),
    ("tanh", 3000.0),
    ("sigmoid", 400.0),
    ("softplus", 9.0),
    ("gelu", 9.0),
    ("silu", 9.0),
    ("rbf", 9.0),
    ("sin", 2.0),
    ("sin", 6.0),
)
SEEDS = 3

ROW = "{:<10} {:>5} {:>10} {:>22} {:>22} {:>12} {:>10}"


def grid_value(count: Callable[..., jd.crossings.CrossingCount]) -> int:
    """Return what the finest grid counts, computed."""
    return int(count(jd.crossings.Grid(POINTS[-1])).value)


def measure(activation: str, gain: float) -> None:
    """Print the row of one activation: medians over the seeds."""
    times, grid_times, counts, grids, proven = [], [], [], [], 0
    for seed in range(SEEDS):
        key = jax.random.key(seed)
        net = jd.networks.MLP(
            SIZES, activation=activation, weight_gain=gain, dtype=jnp.float32, key=key
        )

        count = functools.partial(jd.crossings.count, net, interval=INTERVAL, level=0.0)
        answer = count(jd.crossings.Certified())
        proven += bool(answer.trusted)
        counts.append(int(answer.value))
        grids.append([int(count(jd.crossings.Grid(points)).value) for points in POINTS])
        times.append(seconds(functools.partial(count, jd.crossings.Certified())))
        grid_times.append(seconds(functools.partial(grid_value, count)))
    columns = "; ".join(",".join(map(str, column)) for column in zip(*grids, strict=True))
    print(
        ROW.format(
            activation,
            f"{gain:g}",
            f"{proven} of {SEEDS}",
            ",".join(map(str, counts)),
            columns,
            f"{1e3 * np.median(times):.1f} ms",
            f"{1e3 * np.median(grid_times):.1f} ms",
        )
    )


def main() -> None:
    """Measure and print the table."""
    print(f"{machine()}; 64x3, on {list(INTERVAL)}, level 0")
    grids = "grid " + "; ".join(f"{points:,}" for points in POINTS)
    print(ROW.format("activation", "gain", "proven", "crossing numbers", grids, "time", "grid"))
    for activation, gain in CASES:
        measure(activation, gain)


if __name__ == "__main__":
    main()
