"""J_ν and J_{ν−1} in one recurrence against two calls of `scipy.special.jv`, in one process.

    python -m experiments.benchmarks.bessel_pair_outruns_scipy

The floor is arithmetic: an order costs 10 operations a point downwards (8, and 2 for its part in
keeping within range) and 6 upwards, and all orders are taken at all points, from max(ν, 30) + 10
max(ν, 30)^⅓ + 10 down to 0 and from 0 up to ν; at low ν the sine and cosine add as much again. The
time a point is given beside, as operations a nanosecond.

Errors are the largest of 100 points against Arb, relative to |J| below the turning point and to
no less than the envelope √(2/πz) from there on.
"""

from __future__ import annotations

import math

import flint
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import jv

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds

DIMS = (2, 3, 10, 20, 50, 100, 300, 1000)
POINTS = 200_000

ROW = "{:>5} {:<12} {:>9} {:>9} {:>7} {:>11} {:>8} {:>10} {:>10}"


def operations(nu: float) -> float:
    """Count the operations of a point."""
    turn = max(nu, 30.0)
    return 10 * (turn + 10 * turn ** (1 / 3) + 10) + 6 * nu


def error(nu: float, z: np.ndarray, values: np.ndarray) -> float:
    """Return the largest error of J_ν, relative as above."""
    with flint.ctx.workprec(1000):
        exact = np.array([float(flint.arb(x).bessel_j(flint.arb(nu)).mid()) for x in z.tolist()])
    size = np.where(z < nu, abs(exact), np.maximum(abs(exact), np.sqrt(2 / (np.pi * z))))
    held = abs(exact) > 1e-300
    return float(np.max(abs(values - exact)[held] / size[held], initial=0.0))


def measure(dim: int, name: str, z: np.ndarray) -> None:
    """Print one row."""
    nu, points = dim / 2, jnp.asarray(z)
    ours = jax.jit(lambda z: jd.radial.bessel_pair(nu, z))
    mine = seconds(lambda: jax.block_until_ready(ours(points)), 7)
    rival = seconds(lambda: (jv(nu, z), jv(nu - 1, z)), 3)
    some = slice(None, None, z.size // 100)
    errors = (error(nu, z[some], j[some]) for j in (np.asarray(ours(points)[0]), jv(nu, z)))
    count = operations(nu)
    print(
        ROW.format(
            dim,
            name,
            f"{1e3 * mine:.1f} ms",
            f"{1e3 * rival:.0f} ms",
            f"{rival / mine:.1f}x",
            f"{count:.0f}",
            f"{count * z.size / mine / 1e9:.1f}",
            *(f"{each:.1e}" for each in errors),
        ),
        flush=True,
    )


def main() -> None:
    """Measure and print the table."""
    print(machine())
    headings = ("jaxdepth", "2 x jv", "ratio", "operations", "per ns", "error", "jv's error")
    print(ROW.format("d", "z", *headings))
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for dim in DIMS:
            measure(dim, "uniform", rng.uniform(0, dim + 60, POINTS))
            spread = rng.uniform(math.log(1e-2), math.log(1e5), POINTS)
            measure(dim, "log-uniform", np.exp(spread))


if __name__ == "__main__":
    main()
