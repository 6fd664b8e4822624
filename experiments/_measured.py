"""Networks on one radial target, trained and explicit, measured on the same samples of μ."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

import jaxdepth as jd
from experiments._training import Sample, trained

EXPLICIT_REACH = 1.0  # of a network whose profile is linear between values in [0, 1]


class Side(eqx.Module):
    """Several networks as one function: the trained stacks, then the explicit ones."""

    stacks: list[jd.networks.MLP]
    explicit: list[jd.networks.RadialNetwork]

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, " networks"]:
        """Evaluate all of them on one point."""
        stacked = [eqx.filter_vmap(lambda net: net(x)[0])(stack) for stack in self.stacks]
        single = [net(x)[None] for net in self.explicit]
        return jnp.concatenate([*stacked, *single])

    def reach(self) -> Float[np.ndarray, " networks"]:
        """Bound every one of them on all of R^d."""
        with jax.enable_x64(True):
            stacked = [np.asarray(jax.vmap(jd.radial.reach)(stack)) for stack in self.stacks]
        return np.concatenate([*stacked, np.full(len(self.explicit), EXPLICIT_REACH)])


def descended(
    target: jd.radial.AbstractTarget,
    dim: int,
    layers: Sequence[int],
    widths: tuple[int, ...],
    seeds: int,
    *,
    points: int,
    steps: int,
    batch: int,
    pool: Executor,
    key: PRNGKeyArray,
) -> list[jd.networks.MLP]:
    """Train tanh networks on samples of μ: a stack for each number of layers.

    tanh is bounded; a ReLU network's risk under μ is infinite. `pool` runs them side by side.
    """
    sampling, training = jax.random.split(key)
    with jax.enable_x64(True):  # as `risk` draws them: one compilation for both
        x = np.asarray(jd.radial.Measure(dim).sample(sampling, points), np.float32)
    points_there = jnp.asarray(x)
    sample = Sample(points_there, jax.jit(jax.vmap(target))(points_there), batch)
    train = functools.partial(
        trained,
        sample,
        widths=widths,
        seeds=seeds,
        activation="tanh",
        steps=steps,
        rate=0.05,
        key=training,
    )
    return [nets for nets, _ in pool.map(lambda each: train(layers=each), layers)]


def risks(
    side: Side, target: jd.radial.AbstractTarget, dim: int, num: int, *, miss: float, key: Any
) -> jd.radial.Risk:
    """Measure all networks; that any one of the intervals misses has probability `miss`."""
    reach = side.reach()
    confidence = 1 - miss / reach.size
    return jd.radial.risk(side, target, dim, num, reach=reach, confidence=confidence, key=key)
