"""A million full-batch steps at p = 2, whatever the number of rows; and what a step costs at p = 4.

    python -m experiments.benchmarks.quadratic_descent_costs_no_rows [DIR]

The rows are the gas sensors' in DIR, or as many normal ones, repeated with small noise to ten and a
hundred times their number. At p = 2 the loss is held as d² numbers: a step is two products of a
d × d matrix and a vector, 2d² operations each, and its cost may not depend on the rows. At p = 4
every row is needed. A step of R rates at once is 4·n·d·R operations; run in chunks of rows that fit
the cache it reads them once instead of twice, and the second column shows what that brings: less
than nothing on this machine, for XLA runs the products of a loop's body on one thread.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import jaxdepth as jd
from experiments import _contests, _gas_sensor
from experiments.benchmarks._timing import least, machine

STEPS = 1_000_000
CHUNKS = (256, 1024)
RATES = 8
ROW = "{:>10} {:>16} {:>12}"
ROW_FOUR = "{:>10} {:>8} {:>16} {:>30} {:>12}"


def data(directory: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the gas sensors' rows, or as many of normal numbers."""
    if directory:
        return _gas_sensor.load(directory)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1316, 128))
    return X, X @ rng.normal(size=128) / np.sqrt(128)


def repeated(X: np.ndarray, y: np.ndarray, times: int) -> tuple[Array, Array]:
    """Return the rows `times` over, with noise that makes them differ."""
    rng = np.random.default_rng(1)
    many = np.tile(X, (times, 1))
    return jnp.asarray(many + 1e-3 * rng.normal(size=many.shape)), jnp.asarray(np.tile(y, times))


def chunked(X: Array, y: Array, rows: int, steps: int) -> Callable[[Array, Array], Array]:
    """Descend at p = 4 by hand, chunk of rows by chunk."""
    chunks = -(-len(X) // rows)
    padding = chunks * rows - len(X)
    each = jnp.pad(X, ((0, padding), (0, 0))).reshape(chunks, rows, -1)
    targets = jnp.pad(y, (0, padding)).reshape(chunks, rows)

    @jax.jit
    def descend(W: Float[Array, "rates d"], rates: Float[Array, " rates"]) -> Array:
        def gradient(W: Array) -> Array:
            def add(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
                x, t = chunk
                return total + (W @ x.T - t) ** 3 @ x, None

            return jax.lax.scan(add, jnp.zeros_like(W), (each, targets))[0] / len(X)

        def step(W: Array, _: None) -> tuple[Array, None]:
            return W - rates[:, None] * gradient(W), None

        return jax.lax.scan(step, W, None, length=steps)[0]

    return descend


def _waiting(call: Callable[[], Array]) -> Callable[[], Array]:
    return lambda: call().block_until_ready()


def main(directory: str | None = None) -> None:
    """Measure and print the two tables."""
    print(machine())
    X, y = data(directory)
    start = 0.01 * np.random.default_rng(2).normal(size=(1, X.shape[1]))
    with jax.enable_x64(True):
        print(ROW.format("rows, p = 2", f"{STEPS:,} steps", "a step"))
        for times in (1, 10, 100):
            rows, targets = repeated(X, y, times)
            problem = jd.dynamics.LpRegression(rows, targets, 2)
            run = functools.partial(
                jd.dynamics.descend, jnp.asarray(start), problem.loss, optax.sgd
            )
            settings = {"learning_rate": jnp.asarray(1e-3)}
            run(STEPS, hyperparameters=settings, record_every=STEPS).losses.block_until_ready()
            begun = time.perf_counter()
            run(STEPS, hyperparameters=settings, record_every=STEPS).losses.block_until_ready()
            spent = time.perf_counter() - begun
            each = f"{spent / STEPS * 1e6:.2f} µs"
            print(ROW.format(f"{len(rows):,}", f"{spent:.1f} s", each), flush=True)

        names = f"in chunks of {', '.join(map(str, CHUNKS))}"
        print(ROW_FOUR.format("rows, p = 4", "rates", "a step", names, "GFLOP/s"))
        for times, num, steps in ((1, 1, 500), (1, RATES, 200), (10, RATES, 30), (100, RATES, 4)):
            rows, targets = repeated(X, y, times)
            problem = jd.dynamics.LpRegression(rows, targets, 4)
            rates = jnp.full(num, 1e-5)
            whole = functools.partial(
                _contests.sweep,
                rates,
                start=jnp.asarray(start),
                problem=problem,
                optimiser=optax.sgd,
                steps=steps,
                record_every=steps,
            )
            W = jnp.repeat(jnp.asarray(start), num, axis=0)
            calls = {"whole": _waiting(whole)}
            for size in CHUNKS:
                descend = chunked(rows, targets, size, steps)
                calls[str(size)] = _waiting(functools.partial(descend, W, rates))
            spent_by = least(calls, 8.0)
            each_by = {name: value / steps for name, value in spent_by.items()}
            flops = 4 * len(rows) * X.shape[1] * num / each_by["whole"] / 1e9
            chunks = ", ".join(f"{each_by[str(size)] * 1e6:,.0f} µs" for size in CHUNKS)
            print(
                ROW_FOUR.format(
                    f"{len(rows):,}",
                    num,
                    f"{each_by['whole'] * 1e6:,.0f} µs",
                    chunks,
                    f"{flops:.0f}",
                ),
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:2])
