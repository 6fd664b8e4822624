"""A sweep as a program of its own, for tests that start several and kill some.

    python sweep_program.py STORE                       alone
    python sweep_program.py STORE share WORKER OF       a share of the tiles
    python sweep_program.py STORE process I OF PORT     one process of a program of several

A chaotic map, so that a single bit lost anywhere shows; some 50 ms a tile.
"""

import sys

import jax
import jax.numpy as jnp

import jaxdepth as jd

STEPS = 150_000


def orbit(width, rate, seed):
    """The logistic map from random starts, `width` of them, and how often they were above ½."""
    start = jax.random.uniform(jax.random.key(seed), (width.max,))
    alive = jnp.arange(width.max) < width.value

    def step(_, state):
        x, above = state
        x = rate * x * (1 - x)
        return x, above + jnp.sum((x > 0.5) & alive, dtype=jnp.int32)

    x, above = jax.lax.fori_loop(0, STEPS, step, (start, jnp.int32(0)))
    return {"end": jnp.where(alive, x, 0).max(), "above": above}


PLAN = jd.sweeps.grid(width=[3, 7, 8], rate=[3.7, 3.8, 3.9, 3.99], seed=range(40)).tiled(16)


def main(store, how="alone", *numbers):
    numbers = [int(number) for number in numbers]
    share = devices = None
    if how == "share":
        share = tuple(numbers)
    elif how == "process":
        index, number, port = numbers
        jax.distributed.initialize(f"127.0.0.1:{port}", number, index)
        devices = jax.devices()
    return jd.sweeps.run(PLAN, orbit, store=store, worker=share, devices=devices, progress=False)


if __name__ == "__main__":
    print(main(*sys.argv[1:]).attrs["digest"])
