"""Descent does not find the oscillations that a deep network can represent.

Telgarsky 2016 says what networks can be, and nothing of what training makes of them. Here one
architecture, deep enough to hold every m^k with k ≤ K (two units a layer suffice), is trained from
random starts on each m^k. Its exact crossings reach 2^k + 1 for the slow targets and fall ever
further short as k grows, though the network is the same one and still holds the target: planted
there, with noise on every weight that spoils the fit, descent mends it. All starts, targets and
both optimisers run in one compiled program.

Where we depart: the paper trains nothing. Gradients are clipped to norm 1, without which plain
descent diverges on m^k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import BLUE, GREEN, INK, ORANGE, RED, bound, colours, note, panels, styled
from jaxdepth.crossings import Exact
from jaxdepth.networks import MLP

CHAPTER = "oscillations"
ALT = (
    "Left, crossings of trained networks against k: the best reach the target's 2^k + 1 for "
    "small k, none comes near it for larger ones, unless planted. Middle, two targets and the "
    "best networks that descent finds. Right, the least square error over the updates."
)
ADAM, SGD, PLANTED = range(3)  # who trains, from where
NAMES = ("Adam", "gradient descent", "Adam, planted")


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        max_depth: K, hidden layers of the network; the targets are m^k for k = 1 … K.
        width: units of each, at least 2.
        starts: random starts for each target, by optimiser: Adam, gradient descent, and planted.
        rates: learning rates, likewise.
        noise: times He's initialisation is laid over a planted network.
        steps: full-batch updates, by gradients clipped to norm 1.
        records: losses kept of a run; a divisor of the steps.
        seed: of the starts.
    """

    max_depth: int = 6
    width: int = 8
    starts: tuple[int, int, int] = (5, 4, 3)
    rates: tuple[float, float, float] = (3e-3, 3e-2, 3e-4)
    noise: float = 3e-3
    steps: int = 1500
    records: int = 30
    seed: int = 0


QUICK = Config()
FULL = Config(max_depth=7, width=16, starts=(12, 8, 4), noise=1e-3, steps=4000, records=80)


class Fit(eqx.Module):
    """Mean square error on samples of the target."""

    x: Float[Array, " points"]
    y: Float[Array, " points"]

    def loss(self, net: MLP) -> Float[Array, ""]:
        """Return the mean of (net(x) − y)²."""
        return jnp.mean((jax.vmap(net)(self.x[:, None])[:, 0] - self.y) ** 2)


def run(config: Config, part: Part = direct) -> Results:
    """Train every start on every target and count what each has learnt, exactly."""
    return part("training", lambda: train_and_count(config))


def train_and_count(config: Config) -> Results:
    """Train all in one program; return crossings, losses and the best for the deepest targets."""
    kinds = np.repeat(np.arange(3), config.starts)
    kind = np.tile(kinds, config.max_depth)
    depth = np.repeat(np.arange(1, config.max_depth + 1), len(kinds))
    keys = jax.random.split(jax.random.key(config.seed), len(kind))
    nets, losses = _train(jnp.asarray(depth), jnp.asarray(kind), keys, config)
    each = [
        jax.tree.map(lambda leaf, i=i: leaf[i] if eqx.is_array(leaf) else leaf, nets)
        for i in range(len(kind))
    ]
    results = {
        "depth": depth,
        "kind": kind,
        "crossings": np.array([jd.crossings.count(net, Exact()).value for net in each]),
        "losses": np.asarray(losses),
        "variance": np.array([float(np.var(y)) for y in samples(config)[1]]),
        "steps": np.arange(config.records + 1) * (config.steps // config.records),
    }
    shown = np.array([min(4, config.max_depth), config.max_depth])
    for place, k in enumerate(shown):
        member = np.flatnonzero((depth == k) & (kind == ADAM))
        best = each[member[np.argmin(results["losses"][member, -1])]]
        found = jd.piecewise.pieces(best)
        x, y = np.asarray(found.breakpoints), np.asarray(found.values)
        results |= {f"x{place}": x, f"y{place}": y}
    return results | {"shown": shown}


def clipped_adam(**hyperparameters: Array) -> optax.GradientTransformation:
    """Adam on gradients of norm at most 1: from a bad start plain descent would diverge."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(**hyperparameters))


@eqx.filter_jit
def _train(
    depth: Array, kind: Array, keys: PRNGKeyArray, config: Config
) -> tuple[MLP, Float[Array, "runs records"]]:
    x, targets = samples(config)

    def one(k: Array, kind: Array, key: PRNGKeyArray) -> tuple[MLP, Array]:
        data = Fit(jnp.asarray(x), jnp.asarray(targets)[k - 1])
        run = jd.dynamics.descend(
            initial(k, kind == PLANTED, config, key=key),
            data.loss,
            clipped_adam,
            config.steps,
            # Plain descent is a limit of Adam: with no momentum and a large ε the denominator is
            # ε, so that rate·ε over it leaves the rate. One program serves both.
            hyperparameters={
                "learning_rate": jnp.asarray(config.rates)[kind] * jnp.where(kind == SGD, 1e6, 1.0),
                "b1": jnp.where(kind == SGD, 0.0, 0.9),
                "eps": jnp.where(kind == SGD, 1e6, 1e-8),
            },
            record_every=config.steps // config.records,
        )
        return run.model, run.losses

    return eqx.filter_vmap(one)(depth, kind, keys)


def samples(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Return points with every peak and foot of m^K among them, and m^k there for each k ≤ K."""
    last = 2 ** (config.max_depth + 1)
    index, fold = np.arange(last + 1), 2 ** (1 + config.max_depth - np.arange(config.max_depth))
    # m^k(i/2^(K+1)) is the distance of i to the nearest multiple of 2^(K+2−k), over half of that.
    away = index % fold[:, None]
    values = np.minimum(away, fold[:, None] - away) / (fold[:, None] // 2)
    return index / last, values


def initial(k: Array, planted: Array, config: Config, *, key: PRNGKeyArray) -> MLP:
    """Draw He's initialisation; or plant m^k, with a little of it on top."""
    net = MLP((1, *[config.width] * config.max_depth, 1), bias_std=0.5, key=key)
    scale = jnp.where(planted, config.noise, 1.0)
    net = jax.tree.map(lambda leaf: scale * leaf if eqx.is_inexact_array(leaf) else leaf, net)
    # m(z) = 2relu(z) − 4relu(z − ½) on [0, 1], and z = relu(z) there: each of the first k layers
    # holds relu(z) and relu(z − ½) of what the layer before made of its two units; the layers
    # after pass the first unit on.
    fold, keep = jnp.array([2.0, -4.0]), jnp.array([1.0, 0.0])
    layer = jnp.arange(config.max_depth)
    reads = jnp.where((layer <= k)[:, None], fold, keep)  # how a layer reads the one before
    half = jnp.where(layer < k, -0.5, 0.0)
    last = jnp.where(k == config.max_depth, fold, keep)
    plant = planted.astype(net.biases.dtype)
    return eqx.tree_at(
        lambda net: (net.weight_in, net.weights, net.weight_out, net.biases),
        net,
        (
            net.weight_in.at[:2, 0].add(plant),
            net.weights.at[:, :2, :2].add(plant * reads[1:, None, :]),
            net.weight_out.at[0, :2].add(plant * last),
            net.biases.at[:, 1].add(plant * half),
        ),
    )


def claims(results: Results) -> list[Claim]:
    """State what was there to be found beside what descent found."""
    depth, kind, crossings = results["depth"], results["kind"], results["crossings"]
    whole = 2**depth + 1
    deepest = int(depth.max())
    planted, adam, random = kind == PLANTED, kind == ADAM, kind != PLANTED
    easy = [int(crossings[adam & (depth == k)].max()) for k in (1, 2)]
    hard = [int(crossings[random & (depth == k)].max()) for k in (deepest - 1, deepest)]
    kept = (crossings / whole)[planted]
    losses = results["losses"]
    deep = depth == deepest
    best, mended = losses[random & deep, -1].min(), losses[planted & deep]
    constant = float(results["variance"][deepest - 1])
    there = "Telgarsky 2016, Corollary 3.14: it is there to be found"
    return [
        Claim(
            f"A network of {deepest} layers learns m and m² from random starts, the best by Adam",
            "Telgarsky 2016, Corollary 3.14",
            "3, 5 crossings",
            f"{easy[0]}, {easy[1]}",
            "exact",
            easy == [3, 5],
        ),
        Claim(
            f"It does not find m^{deepest - 1}, nor half the crossings of m^{deepest}, from "
            f"{np.count_nonzero(random & deep)} random starts for each",
            there,
            f"{2 ** (deepest - 1) + 1}, {2**deepest + 1} crossings",
            f"{hard[0]}, {hard[1]} at most",
            "exact",
            hard[0] < 2 ** (deepest - 1) + 1 and 2 * hard[1] < 2**deepest + 1,
        ),
        Claim(
            f"and on m^{deepest} is hardly better than a constant",
            there,
            f"0; a constant has {constant:.4f}",
            f"mean square {best:.4f}, the best",
            "estimate",
            bool(best > 0.8 * constant),
        ),
        Claim(
            f"Planted at m^k, with noise, descent keeps every crossing, k ≤ {deepest}",
            "Telgarsky 2016, Corollary 3.14",
            "all 2^k + 1",
            f"{np.mean(kept == 1):.0%} of {len(kept)} starts keep all, the least {kept.min():.0%}",
            "exact",
            bool(kept.min() > 0.95),
        ),
        Claim(
            f"and mends m^{deepest}",
            "observed here",
            "0",
            f"mean square {mended[:, 0].max():.1e} → {mended[:, -1].max():.1e}, the worst",
            "estimate",
            bool(mended[:, -1].max() < 0.05 * constant),
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw the crossings reached, what was learnt, and the errors."""
    figure, (reached, learnt, errors) = panels(1, 3)
    draw_crossings(reached, results)
    draw_functions(learnt, results)
    draw_errors(errors, results)
    return figure


def draw_crossings(axes: Any, results: Results) -> None:
    """Draw the crossings of every trained network against k."""
    k = np.arange(1, results["depth"].max() + 1)
    bound(axes, k, 2.0**k + 1, label="$2^k + 1$, the target's")
    styles = ((RED, "o", 4.5), (ORANGE, "s", 4.5), (BLUE, "*", 10))
    for kind, (shade, marker, size) in enumerate(styles):
        member = results["kind"] == kind
        start = np.arange(np.count_nonzero(member)) % (np.count_nonzero(member) // len(k))
        nudge = 0.18 * (kind - 1) if kind != PLANTED else 0.0
        axes.plot(
            results["depth"][member] + nudge + 0.03 * start,
            results["crossings"][member],
            marker,
            color=shade,
            markersize=size,
            alpha=0.7,
            label=NAMES[kind],
        )
    axes.set_yscale("log", base=2)
    axes.set_xticks(k)
    axes.set(xlabel="k of the target $m^k$", title="Crossings of the trained network")
    axes.legend(loc="upper left")


def draw_functions(axes: Any, results: Results) -> None:
    """Draw two targets, and the nearest that Adam came from random starts."""
    for place, (k, lift) in enumerate(zip(results["shown"].tolist(), (1.5, 0.0), strict=True)):
        x = np.arange(2**k + 1) / 2**k
        axes.plot(x, lift + np.arange(2**k + 1) % 2, color=BLUE, linewidth=0.8)
        axes.plot(results[f"x{place}"], lift + np.clip(results[f"y{place}"], -0.2, 1.2), color=RED)
        note(axes, f"$m^{{{k}}}$", (1.0, lift + 0.5), (4, 0), va="center")
    axes.plot([], [], color=BLUE, linewidth=0.8, label="target")
    axes.plot([], [], color=RED, label="best of Adam's random starts")
    axes.set(xlabel="x", ylim=(-0.3, 3.1), yticks=[], title="What descent makes of two of them")
    axes.legend(loc="upper left", ncols=2, columnspacing=1.0)


def draw_errors(axes: Any, results: Results) -> None:
    """Draw the least error so far of Adam's random starts, and of those planted at m^K."""
    depth, kind, steps = results["depth"], results["kind"], results["steps"]
    deepest = int(depth.max())
    for k, shade in zip(range(1, deepest + 1), colours(deepest), strict=True):
        error = results["losses"][(kind == ADAM) & (depth == k)].min(axis=0)
        relative = np.minimum.accumulate(error) / results["variance"][k - 1]
        axes.plot(steps, relative, color=shade, label=f"$m^{{{k}}}$" if k > 1 else "$m$")
    planted = results["losses"][(kind == PLANTED) & (depth == deepest)].min(axis=0)
    relative = np.minimum.accumulate(planted) / results["variance"][deepest - 1]
    axes.plot(
        steps, relative, "--", color=GREEN, linewidth=1.3, label=f"$m^{{{deepest}}}$, planted"
    )
    axes.axhline(1.0, color=INK, linewidth=0.8)
    axes.set(yscale="log", xlabel="updates", title="Least square error over a constant's")
    axes.set_ylim(1e-5, 60)
    axes.legend(loc="upper right", ncols=4, columnspacing=0.9, handlelength=1.3)
