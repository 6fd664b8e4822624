"""Layers made of factors train a ReLU network faster, in part by a larger rate.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018), section 8, last experiment: each layer of a network with activations
becomes a product, which computes the same and descends otherwise.

A product's gradient is longer, and part of the gain is no more than that. While the loss falls by
η‖G‖² a step for the plain network it falls by η⟨G, P_W[G]⟩ for N factors: their quotient is the
effective factor c of the rate. The plain network at the rate c·η, c the mean along the way, is what
the rate alone does.

Where we depart: theirs is a convolutional network on MNIST of which two layers are doubled, by
stochastic descent; here every layer of a fully connected one on scikit-learn's digits (or MNIST,
`--set mnist=DIR`), full batch, at one rate for all and each at its best of a fine grid, from
balanced factors that compute the plain network.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _digits
from experiments._contests import inside_claim
from experiments._contract import Claim, Part, Results, direct, require
from experiments._factored_layers import (
    as_layers,
    away,
    outputs,
    product_operations,
    step_operations,
)
from experiments._figures import BLUE, INK, ORANGE, RED, SKY, bound, note, panels, styled
from jaxdepth.networks import Factored, collapse, overparameterize

CHAPTER = "acceleration"
ALT = (
    "Top, training loss over steps at best rates and at one rate, and at the last step by rate: "
    "without momentum depth 2 ends ahead of depth 1. Below, the effective factor of the rate "
    "rises along the run, and the plain network at that rate does as well."
)
LOOKS = {1: (INK, "o"), 2: (BLUE, "s"), 3: (RED, "^")}
SAME = 0.1  # the rate that all depths share
MOMENTUM = 0.9
PRECISIONS = ("float64", "float32", "bfloat16")
PLACES = ("same", "best")  # of the rates at which the effective factor is taken
SLOWER = {1: 0.5, 2: 0.25, 3: 0.125}  # momentum's grid over that of plain descent, by depth


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        depths: factors a layer, beside the plain network: 2, or 2 and 3.
        mnist: directory of MNIST's four idx files, gzipped or not; None for scikit-learn's digits.
        samples: images to train on, the whole batch.
        width: of the hidden layers.
        hidden: how many of them.
        steps: updates.
        records: moments at which weights and losses are kept; a divisor of the steps.
        rates: learning rates, from .1 upwards.
        ratio: from each to the next.
        seed: of the initial weights, and of the order of the images.
    """

    depths: tuple[int, ...] = (2,)
    mnist: str | None = None
    samples: int = 120
    width: int = 16
    hidden: int = 1
    steps: int = 600
    records: int = 15
    rates: int = 12
    ratio: float = 1.4
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"samples": 10, "width": 2, "hidden": 1, "steps": 1, "rates": 3, "records": 2}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name}` must be at least {minimum}; got {getattr(self, name)}.")
        if self.depths not in ((2,), (2, 3)):
            raise ValueError(f"`depths` must be 2, or 2 and 3; got {self.depths}.")
        if self.seed < 0:
            raise ValueError(f"`seed` must be at least 0; got {self.seed}.")
        if self.steps % self.records:
            raise ValueError(f"`records` must divide the steps, {self.steps}; got {self.records}.")
        if not self.ratio > 1:
            raise ValueError(f"`ratio` must be above 1; got {self.ratio}.")


QUICK = Config()
FULL = Config(depths=(2, 3), samples=1437, width=32, steps=2000, records=40, rates=16, ratio=1.25)


class Classification(eqx.Module):
    """Images, and of each digit whether it is on them."""

    x: Float[Array, "samples pixels"]
    y: Float[Array, "samples digits"]

    def loss(self, net: Any) -> Float[Array, ""]:
        """Return the mean cross-entropy."""
        scores = jax.vmap(net)(self.x)
        return jnp.mean(jax.nn.logsumexp(scores, axis=1) - (scores * self.y).sum(axis=1))


def run(config: Config, part: Part = direct) -> Results:
    """Compare the networks at the start; descend at every rate, the products first."""
    data = _digits.load(config.mnist, config.samples, config.seed)
    with jax.enable_x64(True):
        starts = _starts(plain_network(data.x.shape[1], config), config.depths)
    static = eqx.filter(starts["float32"][0], eqx.is_array, inverse=True)
    results: Results = {
        "depths": np.array(config.depths),
        "steps": np.linspace(0, config.steps, config.records + 1).astype(int),
        "images": np.array([*data.x.shape, len(data.y_test)]),
        "rates": SAME * config.ratio ** np.arange(config.rates),
    }
    results |= part("start", lambda: compare(starts, data.x_test))
    for N in (*config.depths, 1):  # the plain network at last: it tries what the products amount to
        model = starts["float32"][(1, *config.depths).index(N)]
        descended = functools.partial(contest, N, model, static, data, results, config)
        results = results | part(f"depth{N}", descended)
    return results


# ---- The start: one function in several precisions ----


def plain_network(pixels: int, config: Config) -> eqx.nn.MLP:
    """Draw weights on ±1/√(inputs), as Equinox does, in NumPy: nothing to compile; biases are 0."""
    rng = np.random.default_rng(config.seed)

    def draw(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        reach = 1 / math.sqrt(leaf.shape[1]) if leaf.ndim == 2 else 0.0
        return jnp.asarray(rng.uniform(-reach, reach, leaf.shape), jnp.float32)

    sizes = (pixels, 10, config.width, config.hidden)
    skeleton = eqx.filter_eval_shape(eqx.nn.MLP, *sizes, key=jax.random.key(0))
    return jax.tree.map(draw, skeleton)


@eqx.filter_jit
def _starts(net: eqx.nn.MLP, depths: tuple[int, ...]) -> dict[str, list[Any]]:
    """Factor the layers of the plain network in every precision."""

    def cast(dtype: str) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_array(leaf) else leaf, net)

    return {
        dtype: [cast(dtype), *(overparameterize(cast(dtype), N) for N in depths)]
        for dtype in PRECISIONS
    }


def compare(starts: dict[str, list[Any]], x: np.ndarray) -> Results:
    """Measure how far the products' function is from the network's, over its largest output."""
    results: Results = {}
    for dtype, nets in starts.items():
        plain, *products = (outputs(as_layers(net), x) for net in nets)
        results[f"away_{dtype}"] = np.array([away(product, plain) for product in products])
    return results


# ---- Descent at every rate ----


def contest(
    N: int, model: Any, static: Any, data: _digits.Digits, before: Results, config: Config
) -> Results:
    """Descend on N factors a layer at every rate, without momentum and with it, in one program."""
    train = Classification(
        jnp.asarray(data.x, jnp.float32), jnp.asarray(np.eye(10)[data.y], jnp.float32)
    )
    rates = before["rates"]
    extra = np.array(
        [before[f"{at}_{M}"] for M in config.depths for at in PLACES] if N == 1 else []
    )
    lanes = np.concatenate([rates, SLOWER[N] * rates, extra])
    momentum = np.where(np.arange(len(lanes)) // len(rates) == 1, MOMENTUM, 0.0)
    grid = (jnp.asarray(lanes, jnp.float32), jnp.asarray(momentum, jnp.float32))
    losses, path, last = _sweep(model, train, *grid, config)
    curves = np.nan_to_num(np.asarray(losses), nan=np.inf)
    plain, hurried = curves[: len(rates)], curves[len(rates) : 2 * len(rates)]
    best = int(np.argmin(plain[:, -1]))
    scores = outputs(as_layers(_lane(last, best)), data.x_test)
    results: Results = {
        f"curves_{N}": plain,
        f"momentum_{N}": hurried,
        f"right_{N}": scores.argmax(axis=1) == data.y_test,
        f"operations_{N}": np.array(step_operations(model, train)),
        f"products_{N}": np.array(product_operations(model)),
    }
    if N == 1:
        return results | {"rate_alone": curves[2 * len(rates) :, -1]}
    collapsed = outputs(as_layers(_lane(path, best, -1)), data.x_test)
    results[f"collapsed_{N}"] = np.array(away(collapsed, scores))
    for at, lane in zip(PLACES, (0, best), strict=True):
        factors = np.asarray(_effective(_lane(path, lane), static, train, jnp.float32(N)))
        results |= {f"factor_{at}_{N}": factors, f"{at}_{N}": rates[lane] * factors.mean()}
    return results


def _lane(tree: Any, *index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


@eqx.filter_jit
def _sweep(
    model: Any,
    train: Classification,
    rates: Float[Array, " lanes"],
    momentum: Float[Array, " lanes"],
    config: Config,
) -> tuple[Array, Any, Any]:
    """Train at all rates; return losses, collapsed weights on the way, and the last parameters."""

    def weights(model: Any) -> Any:
        deep = any(isinstance(layer, Factored) for layer in model.layers)
        return eqx.filter(collapse(model) if deep else model, eqx.is_array)

    def trained(rate: Array, momentum: Array) -> tuple[Array, Any, Any]:
        run = jd.dynamics.descend(
            model,
            train.loss,
            optax.sgd,
            config.steps,
            hyperparameters={"learning_rate": rate, "momentum": momentum},
            record_every=config.steps // config.records,
            record=weights,
        )
        return run.losses, run.recorded, eqx.filter(run.model, eqx.is_array)

    return jax.vmap(trained)(rates, momentum)


@eqx.filter_jit
def _effective(
    path: Any, static: Any, train: Classification, N: Float[Array, ""]
) -> Float[Array, " records"]:
    """Return c along a path: the fall of the loss for each rate, over that of the plain network.

    Biases are no products, and fall alike in both.
    """

    def factor(weights: Any) -> Array:
        net = eqx.combine(weights, static)
        slopes = eqx.filter_grad(train.loss)(net)
        biases = sum((layer.bias**2).sum() for layer in slopes.layers)
        plain = deep = biases
        for layer, slope in zip(net.layers, slopes.layers, strict=True):
            G = slope.weight
            plain += (G**2).sum()
            deep += (G * jd.dynamics.end_to_end(layer.weight, G, N)).sum()
        return deep / plain

    return jax.vmap(factor)(path)


# ---- What came out ----


def _best(results: Results, N: int) -> np.ndarray:
    """Return the losses along the run that ends lowest."""
    curves = results[f"curves_{N}"]
    return curves[np.argmin(curves[:, -1])]


def claims(results: Results) -> list[Claim]:
    """State what theory predicts beside what came out, and where depth loses."""
    deeper = results["depths"].tolist()
    depths = [1, *deeper]
    samples, _, tests = results["images"].tolist()
    T = int(results["steps"][-1])
    ladder = " / ".join(map(str, depths))
    told = f"{samples:,} images, {T:,} steps"
    same = {N: float(results[f"curves_{N}"][0, -1]) for N in depths}
    best = {N: float(results[f"curves_{N}"][:, -1].min()) for N in depths}
    early = {N: float(_best(results, N)[1]) for N in depths}
    hurried = {N: float(results[f"momentum_{N}"][:, -1].min()) for N in depths}
    factor = {N: float(results[f"factor_same_{N}"].mean()) for N in deeper}
    alone = dict(
        zip(((N, at) for N in deeper for at in PLACES), results["rate_alone"], strict=True)
    )
    right = {N: results[f"right_{N}"] for N in depths}
    gained = [int(np.count_nonzero(right[N] & ~right[1])) for N in deeper]
    lost = [int(np.count_nonzero(right[1] & ~right[N])) for N in deeper]
    plainly = float(results["operations_1"])
    cost = {N: float(results[f"operations_{N}"]) - plainly for N in deeper}
    products = {N: float(results[f"products_{N}"]) for N in deeper}
    collapsed = max(float(results[f"collapsed_{N}"]) for N in deeper)
    start = {dtype: float(results[f"away_{dtype}"].max()) for dtype in PRECISIONS}
    grids = [results[f"{kind}_{N}"][:, -1] for kind in ("curves", "momentum") for N in depths]

    def listed(values: Any) -> str:
        return " / ".join(f"{value:.2g}" for value in values)

    return [
        Claim(
            "Factored layers compute the same: outputs in float64, float32, bfloat16",
            "derived here: rounding of the SVD, and in bfloat16 of each factor",
            "≤ 1e-12, 1e-5, .05 of the largest",
            ", ".join(f"{value:.1e}" for value in start.values()),
            "estimate",
            start["float64"] <= 1e-12 and start["float32"] <= 1e-5 and start["bfloat16"] <= 0.05,
        ),
        Claim(
            f"At one rate, {SAME}, depth is faster: loss at depth {ladder} ({told})",
            "Arora, Cohen & Hazan 2018, section 8",
            "falling by half and more",
            listed(same.values()),
            "estimate",
            all(same[above] > 2 * same[N] for above, N in itertools.pairwise(depths)),
        ),
        Claim(
            "and that is the effective rate: the plain network at "
            + ", ".join(f"{SAME * c:.2g}" for c in factor.values()),
            "derived here: c = ⟨G, P_W[G]⟩/‖G‖², its mean on the way",
            f"{listed(list(same.values())[1:])} within a factor 2",
            listed(alone[N, "same"] for N in deeper),
            "estimate",
            all(0.5 < alone[N, "same"] / same[N] < 2 for N in deeper),
        ),
        Claim(
            f"Each at its best rate, depth still is: loss at depth {ladder} ({told})",
            "Arora, Cohen & Hazan 2018, section 8",
            "the deeper below depth 1",
            listed(best.values()),
            "estimate",
            max(best[N] for N in deeper) < best[1],
        ),
        Claim(
            f"but not at first: at step {int(results['steps'][1])} of those runs",
            "measured here: the factors must grow before they speed descent up",
            "depth 1 below the deeper",
            listed(early.values()),
            "estimate",
            early[1] < min(early[N] for N in deeper),
        ),
        Claim(
            "which the rate alone does not do: the plain network at depth 2's effective rate, "
            f"{float(results['best_2']):.2g}",
            "derived here, as above",
            f"above its own best, {best[1]:.2g}",
            f"{alone[2, 'best']:.2g}",
            "estimate",
            alone[2, "best"] > best[1],
        ),
        Claim(
            f"Momentum {MOMENTUM} does more than depth: loss at depth {ladder} with it",
            "measured here; the paper leaves momentum out",
            f"depth 1 below {min(best.values()):.2g}, the best without",
            listed(hurried.values()),
            "estimate",
            hurried[1] < min(best.values()),
        ),
        Claim(
            f"Depth does not help on {tests:,} other images: share right at depth {ladder}",
            "measured here: the theorem is about optimisation",
            "the deeper gain no more than they lose, within two errors (McNemar)",
            " / ".join(f"{share.mean():.3f}" for share in right.values())
            + "; "
            + ", ".join(f"+{up} −{down}" for up, down in zip(gained, lost, strict=True)),
            "estimate",
            all(
                up - down <= 2 * math.sqrt(up + down) for up, down in zip(gained, lost, strict=True)
            ),
        ),
        Claim(
            "The trained products, collapsed, compute what they did factor by factor",
            "derived here: rounding of the product in float32",
            "≤ 1e-5 of the largest output",
            f"{collapsed:.1e}",
            "estimate",
            collapsed <= 1e-5,
        ),
        Claim(
            "A step costs the factors' own products more, once for all images: operations at depth "
            f"{' / '.join(map(str, deeper))} over depth 1",
            "derived here: 6k((N − 2)k² + mn) for a layer m × n, k = min(m, n)",
            " / ".join(f"{1 + each / plainly:.3f}" for each in products.values()) + ", within 1%",
            " / ".join(f"{1 + each / plainly:.3f}" for each in cost.values()),
            "exact",
            all(abs(cost[N] - products[N]) <= 0.01 * products[N] for N in deeper),
        ),
        inside_claim(grids),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw the losses at one rate and at the best, over all rates, and the effective factors."""
    figure, axes = panels(2, 2, size=(9.6, 7.0))
    draw_descent(axes[0, 0], results)
    draw_rates(axes[0, 1], results)
    draw_factors(axes[1, 0], results)
    draw_bars(axes[1, 1], results)
    return figure


def draw_descent(axes: Any, results: Results) -> None:
    """Draw the losses on the way, at the common rate and each at its best."""
    steps = results["steps"]
    for N in (1, *results["depths"].tolist()):
        shade, _ = LOOKS[N]
        best = _best(results, N)
        axes.semilogy(steps, results[f"curves_{N}"][0], "--", color=shade, linewidth=1.2)
        axes.semilogy(steps, np.minimum.accumulate(best), color=shade, label=f"depth {N}")
    axes.plot([], [], "--", color=INK, linewidth=1.2, label=f"all at rate {SAME}")
    axes.set(xlabel="step", ylabel="training loss", title="Each at its best rate, and at one")
    axes.legend(loc="upper right")


def draw_rates(axes: Any, results: Results) -> None:
    """Draw the last loss over the rate, with momentum and without."""
    rates = results["rates"]
    for N in (1, *results["depths"].tolist()):
        shade, marker = LOOKS[N]
        for kind, grid, line in (
            ("curves", rates, "-"),
            ("momentum", SLOWER[N] * rates, ":"),
        ):
            last = results[f"{kind}_{N}"][:, -1]
            stable = last < results[f"curves_{N}"][0, 0] / 10  # the rest has blown up
            axes.loglog(
                grid[stable], last[stable], line, color=shade, marker=marker, markersize=3.5
            )
        axes.plot([], [], color=shade, marker=marker, label=f"depth {N}")
    axes.plot([], [], ":", color=INK, label=f"with momentum {MOMENTUM}")
    axes.set(xlabel="learning rate", ylabel="loss at the last step", title="Every rate that holds")
    axes.set_ylim(top=3)
    axes.legend(loc="upper right", ncols=2)


def draw_factors(axes: Any, results: Results) -> None:
    """Draw the effective factor of the rate along the way, at the common rate."""
    for N in results["depths"].tolist():
        shade, marker = LOOKS[N]
        factors = results[f"factor_same_{N}"]
        axes.plot(results["steps"], factors, color=shade, marker=marker, label=f"depth {N}")
        axes.axhline(factors.mean(), color=shade, linewidth=0.8)
        at = (results["steps"][-1], factors.mean())
        note(axes, f"mean {factors.mean():.1f}", at, (0, -4), color=shade, ha="right", va="top")
    bound(axes, results["steps"][[0, -1]], [1, 1], label="plain network")
    axes.set(
        xlabel="step", ylabel="c", ylim=(0, None), title=f"Effective factor of the rate {SAME}"
    )
    axes.legend(loc="upper left")


def draw_bars(axes: Any, results: Results) -> None:
    """Draw how much of the gain the rate alone makes."""
    deeper = results["depths"].tolist()
    bars = [(f"plain, rate {SAME}", float(results["curves_1"][0, -1]), INK)]
    for place, N in enumerate(deeper):
        rate = float(results[f"same_{N}"])
        pale = {2: SKY, 3: ORANGE}[N]
        bars += [
            (f"depth {N}, rate {SAME}", float(results[f"curves_{N}"][0, -1]), LOOKS[N][0]),
            (f"plain, rate {rate:.2f}", float(results["rate_alone"][2 * place]), pale),
        ]
    names, values, shades = zip(*bars[::-1], strict=True)
    drawn = axes.barh(names, values, color=shades, height=0.6)
    axes.bar_label(drawn, [f"{value:.2g}" for value in values], padding=3, fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 3)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="loss at the last step", title="The same rate: the gain is the rate's")
