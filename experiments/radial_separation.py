"""Radial functions: 3 layers against every 2-layer network.

Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016), Theorem 1. Where the
paper has universal constants, these are numbers: a floor under the L2(μ) error of every 2-layer
network with k directions, whatever its activation and weights, and an explicit 3-layer ReLU network
that lies below the floor at as many neurons. Networks trained on samples of μ stand above.

Where we depart: the paper's target is a sum of signed shells, chosen for the proof. Here it is the
indicator of a ball, of the radius that keeps the floor highest, and for the growth with the
dimension the shell wave cos(4z) for z ≤ 20√d.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require

# Directions at which a ball's radius is chosen, the error asked of its 3-layer network, and how far
# the floor's curve goes.
BALLS = {3: (35.0, 0.0100, 1e3), 10: (232.0, 0.0115, 1e5), 20: (762.0, 0.0085, 1e6)}
FREQUENCY = 4.0
MOST = 1e24  # directions, enough to pass half the norm at d = 30
CONFIDENCE = 1e-3  # that any one of the intervals of a dimension misses


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: of the balls; among those in `BALLS`.
        wave_dims: of the shell waves.
        trained_dims: dimensions in which 2-layer networks are trained.
        widths: of these networks.
        seeds: networks of each width.
        steps: updates of Adam, full batch.
        train: sampled points to train on.
        test: sampled points to test on.
        seed: of the samples and the networks.
    """

    dims: tuple[int, ...] = (3, 10)
    wave_dims: tuple[int, ...] = (4, 7, 10)
    trained_dims: tuple[int, ...] = (3,)
    widths: tuple[int, ...] = (4, 8, 16, 32)
    seeds: int = 2
    steps: int = 500
    train: int = 2_048
    test: int = 400_000
    seed: int = 0


QUICK = Config()
FULL = Config(
    dims=(3, 10, 20),
    wave_dims=(4, 7, 10, 14, 20, 30),
    trained_dims=(3, 10),
    widths=(4, 8, 16, 32, 64, 128),
    seeds=5,
    steps=10_000,
    train=32_768,
    test=4_000_000,
)


def run(config: Config, part: Part = direct) -> Results:
    unknown = sorted(set(config.dims) - set(BALLS))
    if unknown or not set(config.trained_dims) <= set(config.dims):
        raise ValueError(f"`dims` must be among {sorted(BALLS)} and hold all `trained_dims`.")
    results: Results = {
        "dims": np.asarray(config.dims),
        "wave_dims": np.asarray(config.wave_dims),
        "trained_dims": np.asarray(config.trained_dims),
    }
    for dim in config.dims:
        results |= part(f"ball-{dim}", functools.partial(_ball, dim, config))
        if dim in config.trained_dims:
            target = jd.radial.Ball(float(results[f"ball{dim}_radius"]))
            results |= part(f"trained-{dim}", functools.partial(_trained, dim, target, config))
    for dim in config.wave_dims:
        results |= part(f"wave-{dim}", functools.partial(_wave, dim))
    return results


# ---- The parts ----


def _ball(dim: int, config: Config) -> Results:
    """Choose the ball, build its 3-layer network, and certify the floors of all 2-layer ones."""
    reference, error, most = BALLS[dim]
    radius = _best_radius(dim, reference)
    target = jd.radial.Ball(radius)
    three = jd.radial.approximate(target, dim, error)
    neurons = three.network.num_neurons
    directions = np.geomspace(1, most, 81)
    asked = np.concatenate([directions, [float(neurons)], np.asarray(config.widths, np.float64)])
    certificate = jd.radial.certify(target, dim, asked)
    floors = np.asarray(certificate.floor)

    key = jax.random.fold_in(jax.random.key(config.seed), dim)
    x = jd.radial.Measure(dim).sample(key, config.test // 10)
    squares = _squares(three.network, target, x)
    return {
        f"ball{dim}_radius": np.asarray(radius),
        f"ball{dim}_directions": directions,
        f"ball{dim}_floors": floors[: directions.size],
        f"ball{dim}_width_floors": floors[directions.size + 1 :],
        f"ball{dim}_norm": np.asarray(certificate.norm_squared),
        f"ball{dim}_trusted": np.asarray(certificate.trusted),
        f"net{dim}_neurons": np.asarray(neurons),
        f"net{dim}_bound": np.asarray(three.error),
        f"net{dim}_floor": floors[directions.size],
        f"net{dim}_mean": np.asarray(squares.mean()),
        f"net{dim}_error": np.asarray(squares.std() / math.sqrt(squares.size)),
    }


def _best_radius(dim: int, directions: float) -> float:
    """Search the radius that keeps the floor highest, up to J_ν's first maximum."""
    nu = dim / 2
    radii = np.linspace(0.3, 1.0, 29) * (nu + 1.86 * nu ** (1 / 3))
    # Coarse parts and one cutoff for all: weaker floors, whose maximum is in the same place.
    method = jd.radial.Bounded(panels_u=16, panels_z=3, cutoff=20.0)

    def floor(radius: Array) -> Any:
        target = jd.radial.Ball(radius)
        return jd.radial.certify(target, dim, directions, method=method).floor

    with jax.enable_x64(True):
        floors = jax.jit(jax.vmap(floor))(jnp.asarray(radii))
    return float(radii[int(np.argmax(floors))])


def _wave(dim: int) -> Results:
    directions = np.geomspace(1, MOST, 145)
    target = jd.radial.Cosine(FREQUENCY, 20 * math.sqrt(dim))
    certificate = jd.radial.certify(target, dim, directions)
    return {
        f"wave{dim}_directions": directions,
        f"wave{dim}_floors": np.asarray(certificate.floor),
        f"wave{dim}_norm": np.asarray(certificate.norm_squared),
        f"wave{dim}_trusted": np.asarray(certificate.trusted),
    }


class Trained(eqx.Module):
    """A 2-layer network whose first `width` neurons are in use; widths share one compilation."""

    net: jd.networks.TwoLayer
    live: Bool[Array, " width"]

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Evaluate on one point."""
        hidden = jnp.tanh(self.net.weight @ x + self.net.bias)
        return jnp.where(self.live, self.net.out, 0) @ hidden

    def reach(self) -> Float[Array, ""]:
        """Bound |f| everywhere by Σ|v_i|, for |tanh| ≤ 1."""
        return jnp.sum(jnp.where(self.live, jnp.abs(self.net.out), 0))


class Risk(eqx.Module):
    """The mean square on sampled points."""

    x: Float[Array, "points dim"]
    y: Float[Array, " points"]

    def loss(self, model: Trained) -> Float[Array, ""]:
        """Evaluate the risk of one network."""
        return jnp.mean(jnp.square(jax.vmap(model)(self.x) - self.y))


def _trained(dim: int, target: Any, config: Config) -> Results:
    """Train every width from every seed in one program; test errors with their intervals.

    The interval is the empirical Bernstein bound (Maurer & Pontil 2009, theorem 4, both sides),

        |mean − E| ≤ √(2V ln(4/δ)/n) + 7b ln(4/δ)/(3(n − 1)),

    V the sample variance, b = (1 + Σ|v_i|)² the range of (f − g)²; δ is shared among the networks.
    """
    mu = jd.radial.Measure(dim)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1000 + dim), 3)
    x = mu.sample(keys[0], config.train)
    risk = Risk(x, jax.vmap(target)(x))
    widest = max(config.widths)
    widths = jnp.repeat(jnp.asarray(config.widths), config.seeds)

    def start(width: Array, key: Array) -> Trained:
        net = jd.networks.TwoLayer(dim, widest, activation="tanh", key=key)
        scale = jnp.sqrt(widest / width).astype(net.out.dtype)  # fan-in is the width in use
        net = eqx.tree_at(lambda net: net.out, net, net.out * scale)
        return Trained(net, jnp.arange(widest) < width)

    @eqx.filter_jit
    def train(widths: Array, keys: Array, risk: Risk) -> Trained:
        models = jax.vmap(start)(widths, keys)
        descend = functools.partial(
            jd.dynamics.descend,
            loss=risk.loss,
            optimiser=optax.adam,
            steps=config.steps,
            hyperparameters={"learning_rate": 0.02},
            record_every=config.steps,
        )
        return eqx.filter_vmap(lambda model: descend(model).model)(models)

    models = train(widths, jax.random.split(keys[1], len(widths)), risk)
    delta = CONFIDENCE / len(widths)
    confidence = math.log(4 / delta)
    test = mu.sample(keys[2], config.test)
    means, intervals = [], []
    for index in range(len(widths)):
        model = jax.tree.map(lambda leaf, index=index: leaf[index], models)
        squares = _squares(model, target, test)
        size = (1 + float(model.reach())) ** 2
        means.append(squares.mean())
        intervals.append(
            math.sqrt(2 * squares.var(ddof=1) * confidence / squares.size)
            + 7 * size * confidence / (3 * (squares.size - 1))
        )
    return {
        f"trained{dim}_widths": np.asarray(widths),
        f"trained{dim}_means": np.asarray(means),
        f"trained{dim}_intervals": np.asarray(intervals),
    }


@eqx.filter_jit
def _squares_of(model: Any, target: Any, x: Array) -> Array:
    return jnp.square(jax.vmap(model)(x) - jax.vmap(target)(x))


def _squares(model: Any, target: Any, x: Array) -> np.ndarray:
    """Return (f − g)² at every point."""
    return np.asarray(_squares_of(model, target, x), np.float64)


# ---- The claims ----


def _needed(results: Results, dim: int) -> float:
    """Bound from below the directions that a 2-layer network needs for the 3-layer one's error."""
    excluded = results[f"ball{dim}_floors"] > results[f"net{dim}_bound"]
    return float(results[f"ball{dim}_directions"][excluded].max(initial=0))


def _half(results: Results, dim: int) -> float:
    """Return where the wave's floor passes half its norm, interpolated in log k; NaN if never."""
    share = results[f"wave{dim}_floors"] / results[f"wave{dim}_norm"]
    if not share[-1] < 0.5 < share[0]:
        return math.nan
    log_k = np.log10(results[f"wave{dim}_directions"])
    return float(10 ** np.interp(-0.5, -share, log_k))


def claims(results: Results) -> list[Claim]:
    source = "Eldan & Shamir 2016, Theorem 1"
    rows = []
    for dim in results["dims"]:
        neurons, bound = int(results[f"net{dim}_neurons"]), float(results[f"net{dim}_bound"])
        floor, needed = float(results[f"net{dim}_floor"]), _needed(results, dim)
        rows.append(
            Claim(
                f"ball, d = {dim}: {neurons} neurons in 3 layers beat every 2-layer network with "
                f"{neurons} directions",
                source,
                f"error below the floor {floor:.4f}",
                f"error ≤ {bound:.4f}; 2 layers need over {needed:,.0f} directions for it",
                "bounded",
                bound < floor and bool(results[f"ball{dim}_trusted"]),
            )
        )
        mean, error = float(results[f"net{dim}_mean"]), float(results[f"net{dim}_error"])
        rows.append(
            Claim(
                f"ball, d = {dim}: the 3-layer network's error on samples of μ is within its bound",
                "derived here: worst case over |Σq(x_i) − ‖x‖²| ≤ δ",
                f"≤ {bound:.4f}",
                f"{mean:.4f} ± {2 * error:.4f}",
                "estimate",
                mean - 4 * error <= bound,
            )
        )
    for dim in results["trained_dims"]:
        means, intervals = results[f"trained{dim}_means"], results[f"trained{dim}_intervals"]
        widths, below = results[f"trained{dim}_widths"], results[f"ball{dim}_width_floors"]
        floors = np.repeat(below, widths.size // below.size)
        gap = means - floors
        worst = int(np.argmin(gap + intervals))
        rows.append(
            Claim(
                f"ball, d = {dim}: none of {gap.size} trained 2-layer networks is below its floor",
                source,
                f"≥ {floors[worst]:.4f} (width {widths[worst]})",
                f"{means[worst]:.4f} ± {intervals[worst]:.4f}, the nearest",
                "estimate",
                bool((gap + intervals >= 0).all()),
            )
        )
    waves = [int(dim) for dim in results["wave_dims"]]
    halves = [_half(results, dim) for dim in waves]
    growth = np.diff(np.log10(halves)) / np.diff(waves)
    trusted = all(bool(results[f"wave{dim}_trusted"]) for dim in waves)
    rows.append(
        Claim(
            "cos 4z: the directions that leave half of ‖g‖² grow exponentially with d",
            source,
            "e^{cd}: log₁₀ k rises by a constant or more per dimension",
            "; ".join(f"d = {dim}: {half:.2g}" for dim, half in zip(waves, halves, strict=True)),
            "bounded",
            trusted and bool((growth > 0.4).all()),
        )
    )
    return rows


def check(results: Results) -> None:
    require(claims(results))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    dims = [int(dim) for dim in results["dims"]]
    figure, axes = _figures.panels(1, len(dims) + 1)
    for panel, dim in zip(axes[:-1], dims, strict=True):
        _draw_ball(panel, results, dim)
    axes[0].set_ylabel(r"squared error in $L_2(\mu)$")
    _draw_waves(axes[-1], results)
    return figure


def _draw_ball(panel: Any, results: Results, dim: int) -> None:
    directions, floors = results[f"ball{dim}_directions"], results[f"ball{dim}_floors"]
    neurons, bound = float(results[f"net{dim}_neurons"]), float(results[f"net{dim}_bound"])
    bottom, top = bound / 4, float(results[f"ball{dim}_norm"]) * 2
    limit = directions[-1]
    shown = np.maximum(floors, bottom)
    panel.fill_between(directions, bottom, shown, color=_figures.SKY, alpha=0.28, linewidth=0)
    panel.plot(directions, shown, color=_figures.BLUE, label="floor of every 2-layer network")
    if f"trained{dim}_widths" in results:
        panel.errorbar(
            results[f"trained{dim}_widths"],
            results[f"trained{dim}_means"],
            yerr=results[f"trained{dim}_intervals"],
            fmt="o",
            color=_figures.ORANGE,
            capsize=2,
            linewidth=1,
            label="2 layers, trained (99.9% intervals)",
        )
    panel.plot(
        neurons,
        bound,
        marker="*",
        markersize=13,
        linestyle="none",
        color=_figures.RED,
        label=f"3 layers, {neurons:.0f} neurons",
    )
    panel.annotate(
        "no 2-layer\nnetwork here",
        (0.06, 0.06),
        xycoords="axes fraction",
        color=_figures.BLUE,
        fontsize=8.5,
    )
    panel.set(
        xscale="log",
        yscale="log",
        xlim=(1, limit),
        ylim=(bottom, top),
        xlabel="directions (2 layers) or neurons",
        title=f"Ball indicator, d = {dim}",
    )
    panel.legend(loc="upper right")


def _draw_waves(panel: Any, results: Results) -> None:
    dims = [int(dim) for dim in results["wave_dims"]]
    half = _half(results, max(dims))
    for dim, colour in zip(dims, _figures.colours(len(dims)), strict=True):
        share = results[f"wave{dim}_floors"] / results[f"wave{dim}_norm"]
        panel.plot(results[f"wave{dim}_directions"], share, color=colour, label=f"d = {dim}")
    _figures.bound(panel, [1, MOST], [0.5, 0.5], label="half the norm")
    panel.set(
        xscale="log",
        xlim=(1, MOST if math.isnan(half) else 10.0 ** math.ceil(2 + math.log10(4 * half))),
        ylim=(0, 1.02),
        xlabel="directions",
        ylabel=r"floor / $\|g\|^2$",
        title=r"Shell wave $\cos 4z$",
    )
    panel.legend(loc="upper right")
