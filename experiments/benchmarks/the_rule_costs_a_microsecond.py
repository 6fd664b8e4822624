"""The explicit rule in a compiled scan, against plain descent and against the layers themselves.

    python -m experiments.benchmarks.the_rule_costs_a_microsecond

One output, 128 features, p = 2 on sufficient statistics, float64: a plain step is two products of
128² numbers. The rule adds two sums over 128 numbers and a few multiplications (Claim 2); one
hidden unit a layer, the least there can be, adds as much, and more units add more. All take
turns; each is given its least time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdepth as jd
from experiments.benchmarks._timing import least, machine

FEATURES, STEPS = 128, 20_000
ROW = "{:<28} {:>12} {:>14}"


def program(
    model: Any, loss: Callable[[Any], Any], optimiser: Any, steps: int, settings: int
) -> Callable[[], object]:
    """Compile `settings` runs of `steps` updates."""

    @jax.jit
    def run(rates: jax.Array) -> jax.Array:
        def one(rate: jax.Array) -> jax.Array:
            return jd.dynamics.descend(
                model,
                loss,
                optimiser,
                steps,
                hyperparameters={"learning_rate": rate},
                record_every=steps,
            ).losses[-1]

        return one(rates[0]) if settings == 1 else jax.vmap(one)(rates)

    rates = jnp.full(settings, 1e-3)
    return lambda: run(rates).block_until_ready()


def layers(start: np.ndarray, depth: int, hidden: int) -> jd.networks.DeepLinear:
    """Write `start` as balanced layers; units past the first are idle, and cost all the same."""
    net = jd.networks.DeepLinear.balanced_from(jnp.asarray(start), depth)
    last = len(net.layers) - 1

    def widen(j: int, W: jax.Array) -> jax.Array:
        rows = 0 if j == last else hidden - W.shape[0]
        return jnp.pad(W, ((0, rows), (0, 0 if j == 0 else hidden - W.shape[1])))

    wide = tuple(widen(j, W) for j, W in enumerate(net.layers))
    return eqx.tree_at(lambda net: net.layers, net, wide)


def main() -> None:
    """Measure and print the table."""
    print(machine())
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        X = jnp.asarray(rng.normal(size=(300, FEATURES)))
        problem = jd.dynamics.LpRegression(X, X[:, 0], 2)
        start = 0.01 * rng.normal(size=(1, FEATURES))
        rule = jd.dynamics.end_to_end_sgd
        for settings, steps in ((1, STEPS), (8, STEPS // 4), (128, STEPS // 20)):
            make = functools.partial(program, loss=problem.loss, steps=steps, settings=settings)
            calls = {"plain": make(jnp.asarray(start), optimiser=optax.sgd)}
            for N in (2, 3):
                optimiser = functools.partial(rule, depth=N)
                calls[f"rule, N = {N}"] = make(jnp.asarray(start), optimiser=optimiser)
                for hidden in (1, 16):
                    name = f"{N} layers, {hidden} hidden"
                    calls[name] = make(layers(start, N, hidden), optimiser=optax.sgd)
            each = {name: spent / steps for name, spent in least(calls, 20.0).items()}
            print(ROW.format(f"{settings} at once", "a step", "over plain"))
            for name, spent in each.items():
                over = f"{(spent - each['plain']) * 1e6:+.2f} µs"
                print(ROW.format(name, f"{spent * 1e6:.2f} µs", over), flush=True)


if __name__ == "__main__":
    main()
