"""Implicit acceleration: descent on a product of layers against descent on the product.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018): Theorem 1, Figures 1 and 3. One output, full batch, the same start
W(0) for every optimiser (balanced layers where there are several), each optimiser at its best
learning rate. Where we depart: the loss is that of whatever batch files the directory holds, all
standardised; momentum and Adam, which the paper leaves out, stand beside the rest and win.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures, _gas_sensor
from experiments._contract import Claim, Part, Results, direct, require
from experiments._regressions import Regression, ill_conditioned, small_start, two_point

POWERS = (4, 2)
DEPTHS = (1, 2, 3)
TARGET = 1e-6  # of the two-point loss, summed over the points
TWO_POINT_STEPS = {4: 25_000, 2: 500}
TWO_POINT_RATES = np.logspace(-4, 1, 90)
HALVINGS = np.arange(6, 11)  # the gap is taken at η = T/2^k


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        data: directory of UCI's batch files; None for the embedded ill-conditioned regression.
        steps: updates on the embedded regression.
        data_steps: updates on the gas sensors.
        scouting: the coarse search over rates makes steps/scouting updates.
        rates: learning rates in each grid, coarse and fine.
        records: losses kept of a run; a divisor of the steps.
        seed: of the embedded regression and of W(0).
    """

    data: str | None = None
    steps: int = 400
    data_steps: int = 2_000
    scouting: int = 1
    rates: int = 24
    records: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        steps = self.data_steps if self.data else self.steps
        least = {"steps": 1, "data_steps": 1, "scouting": 1, "rates": 3, "records": 1, "seed": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name}` must be at least {minimum}; got {getattr(self, name)}.")
        if steps % self.records:
            raise ValueError(f"`records` must divide the steps, {steps}; got {self.records}.")
        if self.scouting > steps:
            raise ValueError(f"`scouting` must be at most the steps, {steps}; got {self.scouting}.")


QUICK = Config()
FULL = Config(steps=1_000, data_steps=1_000_000, scouting=20, rates=32, records=1_000)


class Method(NamedTuple):
    """One contestant: how many layers it descends on, and an optax factory of the rate alone."""

    label: str
    layers: int
    optimiser: Callable[..., optax.GradientTransformation]


METHODS = {
    "depth1": Method("depth 1 (plain)", 1, optax.sgd),
    "depth2": Method("depth 2", 2, optax.sgd),
    "depth3": Method("depth 3", 3, optax.sgd),
    "rule2": Method("rule, N = 2", 1, functools.partial(jd.dynamics.end_to_end_sgd, depth=2)),
    "rule3": Method("rule, N = 3", 1, functools.partial(jd.dynamics.end_to_end_sgd, depth=3)),
    "adagrad": Method("AdaGrad", 1, optax.adagrad),
    "adadelta": Method("AdaDelta", 1, optax.adadelta),
    "momentum": Method("momentum .9", 1, functools.partial(optax.sgd, momentum=0.9)),
    "adam": Method("Adam", 1, optax.adam),
}


def run(config: Config, part: Part = direct) -> Results:
    # float64 around the whole computation: at p = 4 the losses fall below what float32 resolves.
    with jax.enable_x64(True):
        real = config.data is not None
        steps = config.data_steps if real else config.steps
        regression = _regression(config)
        results: Results = {
            "real": np.asarray(real),
            "samples": np.asarray(regression.X.shape),
            "steps": np.linspace(0, steps, config.records + 1).astype(int),
        }
        results |= part("two-point", _two_point)
        X, y = jnp.asarray(regression.X), jnp.asarray(regression.y)
        problems = {p: jd.dynamics.LpRegression(X, y, p) for p in POWERS}
        for p, problem in problems.items():
            results |= part(f"l{p}-optimum", functools.partial(_optimum, p, problem))
            for name in METHODS:
                contest = functools.partial(
                    _contest, p, name, problem, regression.start, steps, config
                )
                results |= part(f"l{p}-{name}", contest)
        scale = {N: float(results[f"l4_depth{N}_rate"]) for N in DEPTHS[1:]}
        results |= part("gap", functools.partial(_gaps, problems[4], regression.start, scale))
    return results


def _regression(config: Config) -> Regression:
    if config.data is None:
        return ill_conditioned(config.seed)
    X, y = _gas_sensor.load(config.data)
    return Regression(X, y, small_start(config.seed, X.shape[1]))


@eqx.filter_jit
def _sweep(
    rates: Float[Array, " rates"],
    start: Any,
    problem: jd.dynamics.LpRegression,
    optimiser: Callable[..., optax.GradientTransformation],
    steps: int,
    record_every: int,
    record: Callable[[Any], Any] | None = None,
) -> tuple[Array, Any]:
    """Train at every rate at once: one compile, and each step one matrix product for all rates."""

    def trained(rate: Array) -> tuple[Array, Any]:
        trajectory = jd.dynamics.descend(
            start,
            problem.loss,
            optimiser,
            steps,
            hyperparameters={"learning_rate": rate},
            record_every=record_every,
            record=record,
        )
        return trajectory.losses, trajectory.recorded

    return jax.vmap(trained)(rates)


def _layers(start: np.ndarray, depth: int) -> Any:
    return jd.networks.DeepLinear.balanced_from(jnp.asarray(start), depth)


def _finite(losses: Any) -> np.ndarray:
    losses = np.asarray(losses)
    return np.where(np.isfinite(losses), losses, np.inf)


# ---- The parts ----


def _two_point() -> Results:
    """Count the steps to the target at every rate; -1 where it is not reached."""
    X, y, start = two_point()
    results: Results = {}
    for p in POWERS:
        problem = jd.dynamics.LpRegression(jnp.asarray(X), jnp.asarray(y), p)
        for depth in DEPTHS:
            losses, _ = _sweep(
                jnp.asarray(TWO_POINT_RATES),
                _layers(start, depth),
                problem,
                optax.sgd,
                TWO_POINT_STEPS[p],
                1,
            )
            reached = _finite(losses) * len(y) <= TARGET
            first = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
            results[f"two_l{p}_depth{depth}_steps"] = first
    return results


def _optimum(p: int, problem: jd.dynamics.LpRegression) -> Results:
    return {f"l{p}_optimum": np.asarray(problem.optimum().value)}


def _contest(
    p: int,
    name: str,
    problem: jd.dynamics.LpRegression,
    start: np.ndarray,
    steps: int,
    config: Config,
) -> Results:
    """Find the best rate: eleven decades scouted, then 1.5 around the best, until it is inside."""
    method = METHODS[name]
    model = _layers(start, method.layers)

    def losses(rates: np.ndarray, steps: int) -> np.ndarray:
        every, at = steps // math.gcd(steps, config.records), jnp.asarray(rates)
        return _finite(_sweep(at, model, problem, method.optimiser, steps, every)[0])

    rates = np.logspace(-6, 5, config.rates)
    best = int(np.argmin(losses(rates, steps // config.scouting)[:, -1]))
    for _ in range(8):
        rates = rates[best] * np.logspace(-0.75, 0.75, config.rates)
        curves = losses(rates, steps)
        best = int(np.argmin(curves[:, -1]))
        if 0 < best < config.rates - 1:
            break
    return {
        f"l{p}_{name}_rates": rates,
        f"l{p}_{name}_finals": curves[:, -1],
        f"l{p}_{name}_rate": rates[best],
        f"l{p}_{name}_curve": curves[best],
    }


class _MatrixTarget(eqx.Module):
    """L(W) = ‖W − M‖²/2 for a matrix, where the rule needs its singular values."""

    M: Float[Array, "m n"]

    def loss(self, W: Any) -> Float[Array, ""]:
        return ((_product(W) - self.M) ** 2).sum() / 2


def _product(W: Any) -> Array:
    return W.end_to_end() if isinstance(W, jd.networks.DeepLinear) else W


def _gaps(problem: Any, start: np.ndarray, scale: dict[int, float]) -> Results:
    """Measure ‖W_layers − W_rule‖/‖W_rule‖ at time T against η, from balanced layers."""
    rng = np.random.default_rng(0)
    matrix = _MatrixTarget(jnp.asarray(rng.normal(size=(3, 4))))
    matrix_start = 0.3 * rng.normal(size=(3, 4))
    results: Results = {}
    for N in DEPTHS[1:]:
        for name, on, W, T in (
            ("regression", problem, start, 8 * scale[N]),
            ("matrix", matrix, matrix_start, 1.0),
        ):
            etas = T / 2.0**HALVINGS
            layers = _at_time(T, on, _layers(W, N), optax.sgd)
            rule = _at_time(T, on, jnp.asarray(W), METHODS[f"rule{N}"].optimiser)
            gap = np.linalg.norm(layers - rule, axis=(1, 2)) / np.linalg.norm(rule, axis=(1, 2))
            results[f"gap_{name}_depth{N}"] = np.stack([etas, gap])
    return results


def _at_time(T: float, problem: Any, start: Any, optimiser: Any) -> np.ndarray:
    """Return W at η·steps = T for every η at once: all run as long as the smallest needs."""
    shortest = 2 ** int(HALVINGS[0])
    rates = jnp.asarray(T / 2.0**HALVINGS)
    longest = 2 ** int(HALVINGS[-1])
    _, W = _sweep(rates, start, problem, optimiser, longest, shortest, _product)
    return np.stack([W[i, 2 ** int(k) // shortest] for i, k in enumerate(HALVINGS)])


# ---- What came out ----


def _excess(results: Results, p: int, name: str) -> np.ndarray:
    """Return the loss above the optimum along the best run; rounding may leave it at 0."""
    return np.maximum(results[f"l{p}_{name}_curve"] - results[f"l{p}_optimum"], 0.0)


def _speedup(results: Results, p: int, name: str) -> float:
    """Return T over the first recorded step at which plain descent's loss at T is reached."""
    steps, target = results["steps"], _excess(results, p, "depth1")[-1]
    reached = _excess(results, p, name) <= target
    return float(steps[-1] / steps[reached.argmax()]) if reached.any() else 0.0


def _order(results: Results, key: str) -> float:
    etas, gap = np.log(results[key])
    return float(np.polyfit(etas, gap, 1)[0])


def _fewest(results: Results, p: int, depth: int) -> int:
    """Return the fewest steps over the rates; 0 where no rate reaches the target."""
    steps = results[f"two_l{p}_depth{depth}_steps"]
    return int(steps[steps >= 0].min()) if (steps >= 0).any() else 0


def claims(results: Results) -> list[Claim]:
    return [*_two_point_claims(results), *_regression_claims(results), *_rule_claims(results)]


def _two_point_claims(results: Results) -> list[Claim]:
    """State the two-point example: where depth wins, and where it loses.

    Plain descent on Σr⁴/4 obeys r⁺ = r(1 − ηr²). It diverges from r₁ unless η < 2/r₁². With
    x = ηr₂² at the start, 1/r₂² grows by at most 2η/(1−x)² a step, and must reach 1/√(4·target).
    """
    X, y, start = two_point()
    r1, r2 = np.abs(X @ start[0] - y)
    eta = 2 / r1**2
    floor = (0.5 / np.sqrt(TARGET) - 1 / r2**2) * (1 - eta * r2**2) ** 2 / (2 * eta)
    four, two = ([_fewest(results, p, N) for N in DEPTHS] for p in POWERS)
    told = "two points, y = (10, 1), loss to 1e-6, best of 90 rates"
    return [
        Claim(
            f"p = 4, plain descent is slow: {told}",
            "derived here: r⁺ = r − ηr³ and η < 2/r₁²",
            f"more than {floor:,.0f} steps",
            f"{four[0]:,}",
            "estimate",
            four[0] > floor,
        ),
        Claim(
            f"p = 4, depth accelerates: {told}",
            "Arora, Cohen & Hazan 2018, section 7",
            "depths 2 and 3 under ¼ of depth 1",
            " / ".join(f"{steps:,}" for steps in four),
            "estimate",
            0 < 4 * max(four[1:]) < four[0] and min(four) > 0,
        ),
        Claim(
            f"p = 2, depth costs: {told}",
            "Arora, Cohen & Hazan 2018, section 8 (Figure 3)",
            "depth 1 < depth 2 < depth 3",
            " / ".join(f"{steps:,}" for steps in two),
            "estimate",
            0 < two[0] < two[1] < two[2],
        ),
    ]


def _regression_claims(results: Results) -> list[Claim]:
    real, T = bool(results["real"]), int(results["steps"][-1])
    where = "gas sensors" if real else "ill-conditioned regression"
    told = f"{where}, excess loss after {T:,} steps, each at its best rate"
    end = {p: {name: float(_excess(results, p, name)[-1]) for name in METHODS} for p in POWERS}
    beaten = ("adadelta", "depth1", "adagrad") if real else ("depth1", "adagrad")
    winners = ("momentum", "adam") if real else ("momentum", "adam", "adadelta")
    depths = [end[4]["depth2"], end[4]["depth3"]]
    fast = {p: [_speedup(results, p, f"depth{N}") for N in DEPTHS[1:]] for p in POWERS}

    def values(*names: str) -> str:
        return ", ".join(f"{METHODS[name].label} {end[4][name]:.3g}" for name in names)

    return [
        Claim(
            f"p = 4, depth wins: {told}",
            "Arora, Cohen & Hazan 2018, Figures 1 and 3",
            "depths 2 and 3 below " + ", ".join(METHODS[name].label for name in beaten),
            values("depth3", "depth2", *beaten),
            "estimate",
            max(depths) < min(end[4][name] for name in beaten),
        ),
        Claim(
            f"p = 4, depth does not win against these: {told}",
            "measured here; the paper leaves momentum and Adam out",
            ", ".join(METHODS[name].label for name in winners) + " below depth 2",
            values(*winners, "depth2", "depth3"),
            "estimate",
            max(end[4][name] for name in winners) < end[4]["depth2"],
        ),
        Claim(
            f"p = 4, speed-up of depths 2 and 3: {where}, plain descent's loss at step {T:,}",
            "Arora, Cohen & Hazan 2018, Figure 3",
            "above 1.5",
            " and ".join(f"{factor:.2f}" for factor in fast[4]),
            "estimate",
            min(fast[4]) > 1.5,
        ),
        Claim(
            f"p = 2, depth gains little: {where}, speed-up at step {T:,} (0: never there)",
            "Arora, Cohen & Hazan 2018, Figure 3; at most N in the end, derived here from Claim 2: "
            "there the preconditioner's condition is N",
            "below 1.5, and below those at p = 4",
            " and ".join(f"{factor:.2f}" for factor in fast[2]),
            "estimate",
            max(fast[2]) < min(1.5, *fast[4]),
        ),
    ]


def _rule_claims(results: Results) -> list[Claim]:
    T = int(results["steps"][-1])
    ratios = [
        _speedup(results, 4, f"rule{N}") / max(_speedup(results, 4, f"depth{N}"), 1e-9)
        for N in DEPTHS[1:]
    ]
    keys = [f"gap_{name}_depth{N}" for name in ("regression", "matrix") for N in DEPTHS[1:]]
    orders = [_order(results, key) for key in keys]
    scores = [results[f"l{p}_{name}_finals"] for p in POWERS for name in METHODS]
    counts = [results[f"two_l{p}_depth{N}_steps"] for p in POWERS for N in DEPTHS]
    scores += [np.where(steps < 0, np.inf, steps) for steps in counts]
    inside = sum(0 < int(np.argmin(score)) < len(score) - 1 for score in scores)
    return [
        Claim(
            "p = 4: the explicit rule, with no layers, is as fast as N = 2, 3 layers "
            f"(its speed-up at step {T:,} over theirs)",
            "Arora, Cohen & Hazan 2018, Theorem 1",
            "1 ± .25: they differ by O(η), and the best rates are large",
            " and ".join(f"{ratio:.3f}" for ratio in ratios),
            "estimate",
            all(0.75 < ratio < 1.25 for ratio in ratios),
        ),
        Claim(
            "Gap between layers and rule at fixed time, from balanced layers: order in η "
            "(one output N = 2, 3; 3 × 4 matrix N = 2, 3)",
            "Theorem 1 is the limit η → 0; first order derived here",
            "1 ± .05",
            ", ".join(f"{order:.3f}" for order in orders),
            "estimate",
            all(0.95 < order < 1.05 for order in orders),
        ),
        Claim(
            "No best learning rate is at the edge of its grid",
            "a condition of all of the above",
            f"{len(scores)} of {len(scores)}",
            f"{inside} of {len(scores)}",
            "exact",
            inside == len(scores),
        ),
    ]


def check(results: Results) -> None:
    require(claims(results))


@_figures.styled
def plot(results: Results) -> Figure:
    figure, axes = _figures.panels(2, 2, size=(9.6, 7.0))
    for axis, p in zip(axes[0], POWERS, strict=True):
        _plot_losses(axis, results, p)
    axes[0, 0].legend(fontsize=7.5, ncols=2, loc="lower left")
    _plot_two_point(axes[1, 0], results)
    _plot_gap(axes[1, 1], results)
    return figure


_LOOKS: dict[str, dict[str, Any]] = {
    "depth1": {"color": _figures.INK},
    "depth2": {"color": _figures.BLUE},
    "depth3": {"color": _figures.RED},
    "rule2": {"color": _figures.SKY, "linestyle": (0, (1, 1.5)), "linewidth": 2.6},
    "rule3": {"color": _figures.ORANGE, "linestyle": (0, (1, 1.5)), "linewidth": 2.6},
    "adagrad": {"color": _figures.GREY, "linestyle": "--", "linewidth": 1.2},
    "adadelta": {"color": _figures.GREEN, "linestyle": "--", "linewidth": 1.2},
    "momentum": {"color": _figures.PURPLE, "linestyle": "-.", "linewidth": 1.2},
    "adam": {"color": _figures.INK, "linestyle": "-.", "linewidth": 1.2},
}


def _plot_losses(axis: Any, results: Results, p: int) -> None:
    for name, method in METHODS.items():
        # Best so far: at p = 2 the best rates lie past the edge of stability, and their runs spike.
        excess = np.minimum.accumulate(_excess(results, p, name))
        shown = (excess > 0) & (results["steps"] > 0)
        axis.loglog(results["steps"][shown], excess[shown], label=method.label, **_LOOKS[name])
    data = "gas sensors" if results["real"] else "condition 100"
    title, below = f"$\\ell_{p}$ regression, {data}", "loss above its optimum, best so far"
    axis.set(title=title, xlabel="step", ylabel=below)


def _plot_two_point(axis: Any, results: Results) -> None:
    for offset, p, color in zip((-0.2, 0.2), POWERS, (_figures.BLUE, _figures.ORANGE), strict=True):
        steps = [_fewest(results, p, N) for N in DEPTHS]
        bars = axis.bar(np.array(DEPTHS) + offset, steps, 0.36, color=color, label=f"p = {p}")
        axis.bar_label(bars, [f"{count:,}" for count in steps], fontsize=8, padding=2)
    axis.set_yscale("log")
    axis.set_ylim(1, 1e5)
    axis.set_xticks(DEPTHS)
    axis.grid(visible=False, axis="x")
    axis.set(title="Two points, y = (10, 1)", xlabel="depth N", ylabel="steps to loss $10^{-6}$")
    axis.legend(loc="upper right", ncols=2)


def _plot_gap(axis: Any, results: Results) -> None:
    curves = [("regression", N) for N in DEPTHS[1:]] + [("matrix", N) for N in DEPTHS[1:]]
    for (name, N), color, marker in zip(curves, _figures.PALETTE, _figures.MARKERS, strict=False):
        etas, gap = results[f"gap_{name}_depth{N}"]
        told = "one output" if name == "regression" else "3 × 4"
        relative = etas / etas[0]
        axis.loglog(relative, gap, marker=marker, color=color, label=f"{told}, N = {N}")
    _figures.bound(axis, relative, gap[0] * relative * 3, label="slope 1")
    axis.set(
        title="Layers against rule, fixed time",
        xlabel="learning rate η over the largest",
        ylabel="relative gap in W",
    )
    axis.legend(fontsize=7.5, ncols=2)
