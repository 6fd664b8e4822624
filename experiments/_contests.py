"""Contests of optimisers: each at its own best learning rate, on a grid that holds it inside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import jaxdepth as jd
from experiments._contract import Claim

DECADES = (-6, 5)  # of learning rates that are scouted
_MOST_BLOCKS = 8


class Contestant(NamedTuple):
    """How many layers it descends on, and an optax factory of the learning rate alone."""

    label: str
    layers: int
    optimiser: Callable[..., optax.GradientTransformation]


class Search(NamedTuple):
    """How the best rate is looked for.

    Attributes:
        steps: updates of a run.
        scouting: updates of shorter runs, ascending: the first scout all decades, and each further
            horizon starts from the best rate of the one before, for the best rate moves with it.
        rates: learning rates trained at once, at least 4: with 3 zooming in would never end.
        spacing: ratio of neighbouring rates in the final grid; its square in those before.
        records: losses kept of a run, besides the first.
    """

    steps: int
    scouting: tuple[int, ...]
    rates: int
    spacing: float
    records: int


class Best(NamedTuple):
    """What a search found: the grid, the loss at its end for every rate, and the best run."""

    rates: Float[np.ndarray, " rates"]
    finals: Float[np.ndarray, " rates"]
    rate: float
    curve: Float[np.ndarray, " records_and_start"]


Losses = Callable[[Float[np.ndarray, " rates"], int], Float[np.ndarray, "rates records"]]


def best_rate(losses: Losses, search: Search) -> Best:
    """Find the rate with the least final loss, strictly inside a grid of the given spacing.

    Args:
        losses: maps rates and a number of updates to losses, the last one final; infinite where a
            run diverged.
        search: the sizes.

    Returns:
        The whole grid, in order, and the best run on it.

    Raises:
        RuntimeError: the best is still at the edge after eight blocks of rates.
    """
    centre = _scout(losses, search)
    for steps in search.scouting[1:]:
        centre = _around(losses, centre, search.spacing**2, steps, search.rates).rate
    return _around(losses, centre, search.spacing, search.steps, search.rates)


def _scout(losses: Losses, search: Search) -> float:
    """Zoom in on the best rate of short runs, from all decades to the final grid's spacing."""
    low, high = DECADES
    while True:
        exponents = np.linspace(low, high, search.rates)
        ends = losses(10**exponents, search.scouting[0])[:, -1]
        best, width = float(exponents[int(np.argmin(ends))]), exponents[1] - exponents[0]
        if width <= np.log10(search.spacing):
            return 10**best
        low, high = best - width, best + width


def _around(losses: Losses, centre: float, spacing: float, steps: int, block: int) -> Best:
    """Run a block of rates around `centre`, and more on the side of the best until it is inside."""
    first = start = -(block // 2)
    curves: list[np.ndarray] = []
    for _ in range(_MOST_BLOCKS):
        ran = [*losses(centre * spacing ** np.arange(start, start + block), steps)]
        curves = ran + curves if start < first else curves + ran
        first = min(first, start)
        finals = np.array([curve[-1] for curve in curves])
        best = int(np.argmin(finals))
        if 0 < best < len(curves) - 1:
            rates = centre * spacing ** np.arange(first, first + len(curves))
            return Best(rates, finals, float(rates[best]), curves[best])
        start = first - block if best == 0 else first + len(curves)
    raise RuntimeError(f"the best learning rate is not within eight blocks around {centre:.3g}.")


def contest(
    contestant: Contestant,
    problem: jd.dynamics.LpRegression,
    start: Float[np.ndarray, "1 d"],
    search: Search,
) -> Best:
    """Run one contestant from W(0) = `start` at its best rate; balanced where it has layers."""
    model = layers_of(start, contestant.layers)

    def losses(rates: np.ndarray, steps: int) -> np.ndarray:
        every = steps // search.records if steps == search.steps else steps
        run = functools.partial(sweep, start=model, problem=problem, steps=steps)
        return finite(run(jnp.asarray(rates), optimiser=contestant.optimiser, record_every=every))

    return best_rate(losses, search)


def inside_claim(scores: Sequence[np.ndarray]) -> Claim:
    """State that no best score, over rates in order, is at an end of its grid."""
    inside = sum(0 < int(np.argmin(score)) < len(score) - 1 for score in scores)
    return Claim(
        "No best learning rate is at the edge of its grid",
        "a condition of all of the above",
        f"{len(scores)} of {len(scores)}",
        f"{inside} of {len(scores)}",
        "exact",
        inside == len(scores),
    )


def layers_of(start: np.ndarray, depth: int) -> jd.networks.DeepLinear:
    """Write W(0) as a balanced product of `depth` factors."""
    return jd.networks.DeepLinear.balanced_from(jnp.asarray(start), depth)


def finite(losses: Any) -> np.ndarray:
    """Return losses with infinity for NaN: a run that diverged lost."""
    losses = np.asarray(losses)
    return np.where(np.isfinite(losses), losses, np.inf)


@eqx.filter_jit
def sweep(
    rates: Float[Array, " rates"],
    *,
    start: Any,
    problem: jd.dynamics.LpRegression,
    optimiser: Callable[..., optax.GradientTransformation],
    steps: int,
    record_every: int,
) -> Float[Array, "rates records"]:
    """Train at every rate at once: one compile, and each step one matrix product for all rates."""

    def trained(rate: Array) -> Array:
        return jd.dynamics.descend(
            start,
            problem.loss,
            optimiser,
            steps,
            hyperparameters={"learning_rate": rate},
            record_every=record_every,
        ).losses

    return jax.vmap(trained)(rates)
