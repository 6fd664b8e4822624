"""Sampling the radial measure by a table of its distribution, against inverting it exactly.

    python -m experiments.benchmarks.sampling_inverts_a_heavy_tail

The floor is the directions: d normal numbers a sample, whose time alone is given. The exact inverse
(timed on 50,000 points and scaled) evaluates F some 15 times a point, by a recurrence over all
orders to d/2; the table evaluates it once a cell, 16 to a unit of z up to 10d + 60, and halves a
quintic 53 times; 3% of the points, the tail, are inverted exactly all the same. The error is the
largest |F(z) − q| over the sampled radii, q the uniform numbers they come from.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds

ROW = "{:>5} {:>9} {:<8} {:>10} {:>13} {:>15} {:>9}"


def measure(dim: int, num: int, dtype: type, *, exact: bool) -> None:
    """Print one row."""
    mu, key = jd.radial.Measure(dim), jax.random.key(0)

    @functools.partial(jax.jit, static_argnums=1)
    def normals(key: jax.Array, num: int) -> jax.Array:
        return jax.random.normal(key, (num * dim,), dtype)

    ours = seconds(lambda: mu.sample(key, num, dtype).block_until_ready(), 2)
    floor = seconds(lambda: normals(key, num).block_until_ready(), 2)
    q = np.asarray(jax.random.uniform(jax.random.split(key)[0], (num,), dtype), np.float64)
    some = slice(None, None, max(1, num // 2000))
    few = q[: min(num, 50_000)]
    inverse = f"{seconds(lambda: mu.icdf(few), 1) * num / few.size:.2f} s" if exact else "–"
    radii = jnp.linalg.norm(mu.sample(key, num, dtype)[some], axis=1)
    reached = np.asarray(mu.cdf(np.asarray(radii, np.float64) * mu.radius_unit))
    gap = np.max(abs(reached - q[some]))
    name = np.dtype(dtype).name
    print(
        ROW.format(dim, f"{num:,}", name, f"{ours:.2f} s", f"{floor:.2f} s", inverse, f"{gap:.0e}"),
        flush=True,
    )


def main() -> None:
    """Measure and print the table."""
    print(machine())
    print(ROW.format("d", "samples", "", "sample", "normals alone", "radii by `icdf`", "error"))
    with jax.enable_x64(True):
        for dim in (1, 3, 20):
            measure(dim, 1_000_000, jnp.float64, exact=True)
        measure(20, 1_000_000, jnp.float32, exact=False)
        measure(100, 200_000, jnp.float64, exact=True)
        measure(1000, 50_000, jnp.float64, exact=False)
        measure(20, 400, jnp.float64, exact=True)  # too few for a table


if __name__ == "__main__":
    main()
