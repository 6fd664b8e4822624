"""Implicit acceleration: descent on a product of layers against descent on the product.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018), Figures 1 to 3. One output, full batch, the same start W(0) for every
optimiser (balanced layers where there are several), each optimiser at its best learning rate.

Where we depart: the loss is that of whatever batch files the directory holds, all standardised; the
grids of rates have a ratio of 1.2 at most and hold the best inside; momentum and Adam, which the
paper leaves out, stand beside the rest and win. Best rates lie next to the first that diverges, so
that final losses within a fifth of each other are level.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _contests, _figures, _gas_sensor
from experiments._contests import Contestant
from experiments._contract import Claim, Part, Results, direct, require
from experiments._regressions import Regression, ill_conditioned, small_start, two_point

CHAPTER = "acceleration"
ALT = (
    "Top, loss over steps for p = 4 and p = 2, every method at its best rate, and the rule beside "
    "the layers. Below, how many times fewer steps than plain descent each method takes, and the "
    "steps on two points: they fall with depth at p = 4 and rise at p = 2."
)
POWERS = (4, 2)
DEPTHS = (1, 2, 3, 4)
TARGET = 1e-6  # of the two-point loss, summed over the points
TWO_POINT_STEPS = {4: 25_000, 2: 500}
TWO_POINT_RATES = np.logspace(-4, 1, 90)


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        data: directory of UCI's batch files; None for the embedded ill-conditioned regression.
        steps: updates on the embedded regression.
        data_steps: updates on the gas sensors.
        scouting: runs of steps/scouting updates lead to the best rate, the shortest first.
        rates: learning rates trained at once.
        spacing: ratio of neighbouring rates where the best is chosen.
        records: losses kept of a run; a divisor of the steps.
        seed: of the embedded regression and of W(0).
    """

    data: str | None = None
    steps: int = 400
    data_steps: int = 2_000
    scouting: tuple[int, ...] = (1,)
    rates: int = 12
    spacing: float = 1.15
    records: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"steps": 1, "data_steps": 1, "rates": 4, "records": 1, "seed": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name}` must be at least {minimum}; got {getattr(self, name)}.")
        if not 1 < self.spacing < 10:
            raise ValueError(f"`spacing` must be between 1 and 10; got {self.spacing}.")
        steps = self.search.steps
        if not self.scouting or not all(1 <= part <= steps for part in self.scouting):
            raise ValueError(
                f"`scouting` must be from 1 to the steps, {steps}; got {self.scouting}."
            )
        if steps % self.records:
            raise ValueError(f"`records` must divide the steps, {steps}; got {self.records}.")

    @property
    def search(self) -> _contests.Search:
        """Return how the best rates are looked for."""
        steps = self.data_steps if self.data else self.steps
        scouting = tuple(sorted(steps // part for part in self.scouting))
        return _contests.Search(steps, scouting, self.rates, self.spacing, self.records)


QUICK = Config()
FULL = Config(
    steps=1_000, data_steps=1_000_000, scouting=(50, 5), rates=6, spacing=1.2, records=1_000
)

_rule = jd.dynamics.end_to_end_sgd
METHODS = {
    "depth1": Contestant("depth 1 (plain)", 1, optax.sgd),
    "depth2": Contestant("depth 2", 2, optax.sgd),
    "depth3": Contestant("depth 3", 3, optax.sgd),
    "depth4": Contestant("depth 4", 4, optax.sgd),
    "rule2": Contestant("rule, N = 2", 1, functools.partial(_rule, depth=2)),
    "rule3": Contestant("rule, N = 3", 1, functools.partial(_rule, depth=3)),
    "adagrad": Contestant("AdaGrad", 1, optax.adagrad),
    "adadelta": Contestant("AdaDelta", 1, optax.adadelta),
    "momentum": Contestant("momentum .9", 1, functools.partial(optax.sgd, momentum=0.9)),
    "nesterov": Contestant(
        "Nesterov .9", 1, functools.partial(optax.sgd, momentum=0.9, nesterov=True)
    ),
    "adam": Contestant("Adam", 1, optax.adam),
}


def run(config: Config, part: Part = direct) -> Results:
    # float64 around the whole computation: at p = 4 the losses fall below what float32 resolves.
    with jax.enable_x64(True):
        regression = _regression(config)
        results: Results = {
            "real": np.asarray(config.data is not None),
            "samples": np.asarray(regression.X.shape),
            "steps": np.linspace(0, config.search.steps, config.records + 1).astype(int),
        }
        results |= part("two-point", _two_point)
        X, y = jnp.asarray(regression.X), jnp.asarray(regression.y)
        for p in POWERS:
            problem = jd.dynamics.LpRegression(X, y, p)
            results |= part(f"l{p}-optimum", functools.partial(_optimum, p, problem))
            for name in METHODS:
                contest = functools.partial(_contest, p, name, problem, regression.start, config)
                results |= part(f"l{p}-{name}", contest)
    return results


def _regression(config: Config) -> Regression:
    if config.data is None:
        return ill_conditioned(config.seed)
    X, y = _gas_sensor.load(config.data)
    return Regression(X, y, small_start(config.seed, X.shape[1]))


# ---- The parts ----


def _two_point() -> Results:
    """Count the steps to the target at every rate; -1 where it is not reached."""
    X, y, start = two_point()
    results: Results = {}
    for p in POWERS:
        problem = jd.dynamics.LpRegression(jnp.asarray(X), jnp.asarray(y), p)
        for depth in DEPTHS:
            losses = _contests.sweep(
                jnp.asarray(TWO_POINT_RATES),
                start=_contests.layers_of(start, depth),
                problem=problem,
                optimiser=optax.sgd,
                steps=TWO_POINT_STEPS[p],
                record_every=1,
            )
            reached = _contests.finite(losses) * len(y) <= TARGET
            first = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
            results[f"two_l{p}_depth{depth}_steps"] = first
    return results


def _optimum(p: int, problem: jd.dynamics.LpRegression) -> Results:
    return {f"l{p}_optimum": np.asarray(problem.optimum().value)}


def _contest(
    p: int, name: str, problem: jd.dynamics.LpRegression, start: np.ndarray, config: Config
) -> Results:
    best = _contests.contest(METHODS[name], problem, start, config.search)
    return {f"l{p}_{name}_{key}": np.asarray(value) for key, value in best._asdict().items()}


# ---- What came out ----


def _excess(results: Results, p: int, name: str) -> np.ndarray:
    """Return the loss above the optimum along the best run; rounding may leave it at 0."""
    return np.maximum(results[f"l{p}_{name}_curve"] - results[f"l{p}_optimum"], 0.0)


def _reached(results: Results, p: int, name: str) -> int | None:
    """Return the first recorded step with plain descent's final loss, None where there is none."""
    reached = _excess(results, p, name) <= _excess(results, p, "depth1")[-1]
    return int(results["steps"][reached.argmax()]) if reached.any() else None


def _speedup(results: Results, p: int, name: str) -> float:
    """Return the steps T of plain descent over those to its final loss; 0 where not reached."""
    steps = _reached(results, p, name)
    return float(results["steps"][-1] / max(steps, 1)) if steps is not None else 0.0


def _fewest(results: Results, p: int, depth: int) -> int:
    """Return the fewest steps over the rates; 0 where no rate reaches the target."""
    steps = results[f"two_l{p}_depth{depth}_steps"]
    return int(steps[steps >= 0].min()) if (steps >= 0).any() else 0


def claims(results: Results) -> list[Claim]:
    return [
        *_two_point_claims(results),
        *_comparison_claims(results),
        *_depth_claims(results),
        *_rule_claims(results),
        _edge_claim(results),
    ]


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
            f"more than {math.floor(floor):,} steps",
            f"{four[0]:,}",
            "estimate",
            four[0] > floor,
        ),
        Claim(
            f"p = 4, depth accelerates: {told}",
            "Arora, Cohen & Hazan 2018, section 7",
            "depths 2, 3, 4 under ¼ of depth 1",
            " / ".join(f"{steps:,}" for steps in four),
            "estimate",
            0 < 4 * max(four[1:]) < four[0] and min(four) > 0,
        ),
        Claim(
            f"p = 2, depth costs: {told}",
            "Arora, Cohen & Hazan 2018, section 8 (Figure 3)",
            "depths 1 < 2 < 3 < 4",
            " / ".join(f"{steps:,}" for steps in two),
            "estimate",
            0 < two[0] < two[1] < two[2] < two[3],
        ),
    ]


def _told(results: Results) -> tuple[str, int]:
    where = "gas sensors" if results["real"] else "ill-conditioned regression"
    return where, int(results["steps"][-1])


def _values(results: Results, p: int, *names: str) -> str:
    ends = {name: _excess(results, p, name)[-1] for name in names}
    return ", ".join(f"{METHODS[name].label} {end:.3g}" for name, end in ends.items())


def _comparison_claims(results: Results) -> list[Claim]:
    """State Figure 1: depth 2 against the optimisers of the paper, and against the others."""
    where, T = _told(results)
    told = f"{where}, excess loss after {T:,} steps, each at its best rate"
    end = {name: float(_excess(results, 4, name)[-1]) for name in METHODS}
    winners = ("momentum", "adam", *(() if results["real"] else ("nesterov", "adadelta")))
    labels = {name: METHODS[name].label for name in METHODS}
    paper = (
        "Arora, Cohen & Hazan 2018, Figure 1: .008 against .060 (plain), .058 (AdaGrad), "
        ".0205 (AdaDelta) after 1,000,000 steps on 2,565 rows"
    )
    adadelta = Claim(
        f"p = 4, depth 2 is level with AdaDelta, and does not leave it behind: {told}",
        f"measured here; {paper}",
        "within a factor 1.5 of each other",
        _values(results, 4, "depth2", "adadelta", "nesterov"),
        "estimate",
        2 / 3 < end["depth2"] / end["adadelta"] < 1.5,
    )
    return [
        Claim(
            f"p = 4, depth 2 beats plain descent and AdaGrad: {told}",
            paper,
            "depth 2 below plain and AdaGrad",
            _values(results, 4, "depth2", "depth1", "adagrad"),
            "estimate",
            end["depth2"] < min(end["depth1"], end["adagrad"]),
        ),
        # On the embedded regression AdaDelta is ahead by far: it is among the winners.
        *([adadelta] if results["real"] else []),
        Claim(
            f"p = 4, depth does not win against these: {told}",
            "measured here; the paper leaves momentum and Adam out",
            ", ".join(labels[name] for name in winners) + " below depth 2",
            _values(results, 4, *winners, "depth2"),
            "estimate",
            max(end[name] for name in winners) < end["depth2"],
        ),
    ]


def _depth_claims(results: Results) -> list[Claim]:
    """State Figure 3: what each further layer does, in loss at the end and in steps to a loss."""
    where, T = _told(results)
    fast = {p: [_speedup(results, p, f"depth{N}") for N in DEPTHS[1:]] for p in POWERS}
    names = [f"depth{N}" for N in DEPTHS]
    four, two = ([float(_excess(results, p, name)[-1]) for name in names] for p in POWERS)
    to = f"{where}, to plain descent's loss at step {T:,} (0: not reached)"
    loses = Claim(
        f"p = 2, depth loses: {where}, excess loss after {T:,} steps",
        "Arora, Cohen & Hazan 2018, Figure 3: 2.7e-3 / 3.5e-3 / 4.1e-3 at depths 1 / 2 / 3",
        "depths 3 and 4 above depth 1",
        _values(results, 2, *names),
        "estimate",
        min(two[2:]) > two[0],
    )
    return [
        # The embedded regression is solved to rounding at p = 2, where the order is noise.
        *([loses] if results["real"] else []),
        Claim(
            f"p = 4, depth accelerates: {where}, excess loss after {T:,} steps",
            "Arora, Cohen & Hazan 2018, Figure 3: 3.7e-2 / 1.65e-2 / 6.2e-3 at depths 1 / 2 / 3",
            "depths 2 and 3 below depth 1",
            _values(results, 4, *names),
            "estimate",
            max(four[1:3]) < four[0],
        ),
        Claim(
            f"p = 4, how many times fewer steps depths 2, 3, 4 take: {to}",
            "Arora, Cohen & Hazan 2018, Figure 3",
            "above 1.5 at depths 2 and 3",
            " / ".join(f"{factor:.2f}" for factor in fast[4]),
            "estimate",
            min(fast[4][:2]) > 1.5,
        ),
        Claim(
            f"p = 2, how many times fewer steps depths 2, 3, 4 take: {to}",
            "at most N in the end, derived here from Claim 2: there the preconditioner's "
            "condition is N",
            "below 1.5, and below depths 2 and 3 at p = 4",
            " / ".join(f"{factor:.2f}" for factor in fast[2]),
            "estimate",
            max(fast[2]) < min(1.5, *fast[4][:2]),
        ),
    ]


def _rule_claims(results: Results) -> list[Claim]:
    """State Figure 2: the closed form runs along with the layers that it stands for."""
    where, T = _told(results)
    ratios = [
        _speedup(results, 4, f"rule{N}") / max(_speedup(results, 4, f"depth{N}"), 1e-9)
        for N in (2, 3)
    ]
    return [
        Claim(
            f"p = 4: the explicit rule, with no layers, is as fast as N = 2, 3 layers ({where}, "
            f"its speed-up at step {T:,} over theirs)",
            "Arora, Cohen & Hazan 2018, Theorem 1 and Figure 2",
            "1 ± .25: they differ by O(η), and the best rates are large",
            " and ".join(f"{ratio:.3f}" for ratio in ratios),
            "estimate",
            all(0.75 < ratio < 1.25 for ratio in ratios),
        )
    ]


def _edge_claim(results: Results) -> Claim:
    scores = [results[f"l{p}_{name}_finals"] for p in POWERS for name in METHODS]
    counts = [results[f"two_l{p}_depth{N}_steps"] for p in POWERS for N in DEPTHS]
    scores += [np.where(steps < 0, np.inf, steps) for steps in counts]
    return _contests.inside_claim(scores)


def check(results: Results) -> None:
    require(claims(results))


@_figures.styled
def plot(results: Results) -> Figure:
    figure, axes = _figures.panels(2, 3, size=(13.2, 7.2))
    _plot_losses(axes[0, 0], results, 4, DEPTHS_AND_RIVALS)
    _plot_losses(axes[0, 1], results, 2, DEPTHS_AND_RIVALS)
    _plot_losses(axes[0, 2], results, 4, RULES)
    for axis in axes[0, ::2]:
        axis.legend(fontsize=7.5, ncols=2, loc="lower left")
    axes[0, 2].set_title("The rule runs along with the layers")
    for axis, p in zip(axes[1], POWERS, strict=False):
        _plot_speedups(axis, results, p)
    _plot_two_point(axes[1, 2], results)
    return figure


DEPTHS_AND_RIVALS = tuple(name for name in METHODS if not name.startswith("rule"))
RULES = ("depth1", "depth2", "rule2", "depth3", "rule3")
_DOTS = (0, (1, 1.5))
_LOOKS: dict[str, dict[str, Any]] = {
    "depth1": {"color": _figures.INK},
    "depth2": {"color": _figures.BLUE},
    "depth3": {"color": _figures.RED},
    "depth4": {"color": _figures.PURPLE},
    "rule2": {"color": _figures.SKY, "linestyle": _DOTS, "linewidth": 2.8},
    "rule3": {"color": _figures.ORANGE, "linestyle": _DOTS, "linewidth": 2.8},
    "adagrad": {"color": _figures.GREY, "linestyle": "--", "linewidth": 1.2},
    "adadelta": {"color": _figures.GREEN, "linestyle": "--", "linewidth": 1.2},
    "momentum": {"color": _figures.ORANGE, "linestyle": "-.", "linewidth": 1.2},
    "nesterov": {"color": _figures.SKY, "linestyle": "-.", "linewidth": 1.2},
    "adam": {"color": _figures.INK, "linestyle": "-.", "linewidth": 1.2},
}


def _plot_losses(axis: Any, results: Results, p: int, names: tuple[str, ...]) -> None:
    for name in names:
        # Best so far: at p = 2 the best rates lie past the edge of stability, and their runs spike.
        excess = np.minimum.accumulate(_excess(results, p, name))
        shown = (excess > 0) & (results["steps"] > 0)
        label = METHODS[name].label
        axis.loglog(results["steps"][shown], excess[shown], label=label, **_LOOKS[name])
    data = "gas sensors" if results["real"] else "condition 100"
    title, below = f"$\\ell_{p}$ regression, {data}", "loss above its optimum, best so far"
    axis.set(title=title, xlabel="step", ylabel=below)


def _plot_speedups(axis: Any, results: Results, p: int) -> None:
    fast = {name: _speedup(results, p, name) for name in METHODS if name != "depth1"}
    order = sorted(fast, key=lambda name: fast[name])
    for row, name in enumerate(order):
        color = _LOOKS[name]["color"] if name.startswith(("depth", "rule")) else _figures.GREY
        if fast[name]:
            axis.plot([1, fast[name]], [row, row], color=color, linewidth=1.2)
            axis.plot(fast[name], row, marker="o", color=color, markersize=6)
        told = f" {fast[name]:.3g}" if fast[name] else " not reached"
        axis.text(max(fast[name], 1) * 1.06, row, told, va="center", fontsize=8)
    axis.axvline(1, color=_figures.INK, linewidth=0.8)
    axis.set_xscale("log")
    axis.margins(x=0.25)
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    low, high = axis.get_xlim()
    axis.set_xticks([], minor=True)
    axis.set_xticks(shown := [tick for tick in ticks if low < tick < high], list(map(str, shown)))
    axis.set_ylim(-0.7, len(order) - 0.3)
    axis.set_yticks(range(len(order)), [METHODS[name].label for name in order])
    axis.grid(visible=False, axis="y")
    axis.set(
        title=f"$\\ell_{p}$: times fewer steps than plain descent",
        xlabel=f"to its loss at step {results['steps'][-1]:,}",
    )


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
