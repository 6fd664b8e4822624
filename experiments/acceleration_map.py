"""Depth accelerates descent on l4 regression at its best learning rate, and slows it on l2.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018), sections 7 and 8, as a map: the steps of descent by the end-to-end
rule to a target loss, over depth (real numbers too) × learning rate × p × seed. The loss is that of
two points, L(w) = Σ_i |w_i − y_i|^p/p with y = (5, 1); a seed is a direction of W(0), of norm .1.

What can be told beforehand: plain descent decouples, r⁺ = r(1 − η|r|^{p−2}), and diverges if and
only if η·max|r|^{p−2} > 2 at the start. At any depth a small rate follows the gradient flow of the
rule, so that it takes T/η steps, T the flow's time to the target.

Among the rates that diverge there are islands of some that arrive, thrown near the target by
chance, in fewer steps at times than any rate below. Nobody finds these: the best rate of a depth is
the best below the first that diverges.

Where we depart: descent is by the end-to-end rule, which takes real depths and is the layers' limit
at small rates; at the largest that arrive the layers may do otherwise.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._live import (
    Axis,
    Colour,
    Frame,
    Live,
    Mark,
    Panel,
    dots,
    joined,
    line,
    log_steps,
    scientific,
)
from experiments._sweeping import PART, Sweep, swept
from jaxdepth.sweeps import grid, traced

CHAPTER = "acceleration"
ALT = (
    "Two maps of the steps to the target over learning rate and depth, p = 2 and p = 4, with the "
    "best rate of each depth and, in grey, what diverges. Right, the steps at the best rate: they "
    "rise with depth at p = 2; at p = 4 every greater depth takes fewer than depth 1."
)
SOURCE = "Arora, Cohen & Hazan 2018"
TARGETS = (5.0, 1.0)
START = 0.1
ARRIVED = 1e-6  # of the loss, summed over the two points
MOVED: dict[float, Colour] = {1.0: "ink", 2.0: "blue", 3.0: "red"}  # depths of the live figure
DIVERGED = 1e9  # times the first loss: none of these descents has come back
_FEWEST = 50  # steps to the target from which on descent is held against its flow


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        depths: N of the rule, ascending from 1 on, not all integers.
        powers: p of the loss, ascending from 2 on; 2 and 4 among them.
        decades: exponents of the lowest and the highest learning rate.
        rates: learning rates between them, at equal ratios.
        seeds: starts.
        steps: after which a descent has not arrived.
    """

    depths: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)
    powers: tuple[float, ...] = (2.0, 3.0, 4.0)
    decades: tuple[float, float] = (-4.0, 1.0)
    rates: int = 31
    seeds: int = 3
    steps: int = 8_000

    def __post_init__(self) -> None:
        """Refuse what the claims do not speak of."""
        for name, least, asked in (("depths", 1.0, {1.0, 2.0}), ("powers", 2.0, {2.0, 4.0})):
            given = getattr(self, name)
            rising = sorted(set(given)) == list(given)
            if not (rising and min(given) >= least and asked <= set(given)):
                raise ValueError(
                    f"`{name}` must ascend from {least:g} on and hold {sorted(asked)}; got {given}."
                )
        for name, least in (("rates", 4), ("seeds", 1), ("steps", 100)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}; got {getattr(self, name)}.")
        if not self.decades[0] < self.decades[1]:
            raise ValueError(f"`decades` must ascend; got {self.decades}.")


QUICK = Config()
FULL = Config(
    depths=tuple(np.linspace(1, 5, 17).tolist()),
    powers=(2.0, 2.5, 3.0, 3.5, 4.0),
    rates=91,
    seeds=5,
    steps=20_000,
)


def run(config: Config, part: Part = direct) -> Results:
    """Sweep the map, and follow the flow of every depth, p and seed."""
    with jax.enable_x64(True):
        found = part(PART, lambda: mapped(config, part))
        return {
            **found,
            **part("flow", functools.partial(flows, config)),
            **part("paths", functools.partial(paths, config, found)),
        }


def sweep(config: Config) -> Sweep:
    """Return the descents of the map."""
    plan = grid(
        p=config.powers,
        depth=traced(config.depths),
        rate=np.logspace(*config.decades, config.rates).tolist(),
        seed=range(config.seeds),
    )
    measured = functools.partial(measure, steps=config.steps)
    return Sweep(plan.tiled(min(plan.size, 1024)), measured, float64=True)


def measure(depth: Any, rate: Any, p: Any, seed: Any, *, steps: int) -> dict[str, Any]:
    """Count the steps of one descent to the target: infinite if too many, NaN if it diverges."""
    w0 = start(seed)
    first = loss(w0, p)

    def under_way(state: tuple) -> Any:
        _, taken, value = state
        return (taken < steps) & (value > ARRIVED) & (value < DIVERGED * first)

    def step(state: tuple) -> tuple:
        w, taken, _ = state
        w = descended(w, depth, rate, p)
        return w, taken + 1, loss(w, p)

    state = (w0, jnp.zeros((), jnp.int32), first)
    _, taken, value = jax.lax.while_loop(under_way, step, state)
    short = jnp.where(value < DIVERGED * first, jnp.inf, jnp.nan)
    return {"steps": jnp.where(value <= ARRIVED, taken.astype(short.dtype), short)}


def descended(w: Any, depth: Any, rate: Any, p: Any) -> Any:
    """Take a step of the end-to-end rule."""
    return w - rate * jd.dynamics.end_to_end(w[None], gradient(w, p)[None], depth)[0]


def start(seed: Any) -> Any:
    """Draw W(0), a direction of norm .1."""
    direction = jax.random.normal(jax.random.key(seed), (2,), jnp.float64)
    return START * direction / jnp.linalg.norm(direction)


def loss(w: Any, p: Any) -> Any:
    """Evaluate Σ|w_i − y_i|^p/p."""
    return (jnp.abs(w - jnp.array(TARGETS)) ** p).sum() / p


def gradient(w: Any, p: Any) -> Any:
    """Evaluate its gradient, 0 at a target."""
    residual = w - jnp.array(TARGETS)
    return jnp.sign(residual) * jnp.abs(residual) ** (p - 1)


def mapped(config: Config, part: Part) -> Results:
    """Run the descents."""
    found = swept(sweep(config), part)
    return {
        "powers": np.array(config.powers),
        "depths": np.array(config.depths),
        "rates": np.array(found["rate"].values),
        "limit": np.asarray(config.steps),
        "steps": found["steps"].transpose("p", "depth", "rate", "seed").values,
        "starts": np.asarray(jax.vmap(start)(jnp.arange(config.seeds))),
    }


def flows(config: Config) -> Results:
    """Time the gradient flow of every depth, p and seed to the target, in NumPy.

    ẇ = −‖w‖^{2−2/N}(g + (N − 1)·Pr_w g), Claim 2 written out, by Runge and Kutta's fourth order
    with steps of a tenth of the fastest time scale there is, and the last one cut to the target by
    the logarithm of the loss.
    """
    starts = np.asarray(jax.vmap(start)(jnp.arange(config.seeds)))
    shape = (len(config.powers), len(config.depths), config.seeds)
    p = np.broadcast_to(np.array(config.powers)[:, None, None], shape)[..., None]
    N = np.broadcast_to(np.array(config.depths)[None, :, None], shape)[..., None]
    w = np.broadcast_to(starts, (*shape, 2)).copy()
    y = np.array(TARGETS)

    def speed(w: np.ndarray) -> np.ndarray:
        r = w - y
        g = np.sign(r) * np.abs(r) ** (p - 1)
        squared = (w**2).sum(-1, keepdims=True)
        along = (w * g).sum(-1, keepdims=True) / squared * w
        return -(squared ** (1 - 1 / N)) * (g + (N - 1) * along)

    def height(w: np.ndarray) -> np.ndarray:
        return (np.abs(w - y) ** p).sum(-1) / p[..., 0]

    time, before = np.zeros(shape), height(w)
    while (under_way := before > ARRIVED).any():
        # Curvature of the loss times the preconditioner's largest eigenvalue, and the turning of w.
        size = np.linalg.norm(w, axis=-1)
        stiff = (p[..., 0] - 1) * np.abs(w - y).max(-1) ** (p[..., 0] - 2)
        fastest = N[..., 0] * size ** (2 - 2 / N[..., 0]) * stiff
        k1 = speed(w)
        turning = np.linalg.norm(k1, axis=-1) / size
        dt = np.where(under_way, 0.1 / np.maximum(fastest, turning), 0.0)[..., None]
        k2 = speed(w + dt / 2 * k1)
        k3 = speed(w + dt / 2 * k2)
        w = w + dt / 6 * (k1 + 2 * k2 + 2 * k3 + speed(w + dt * k3))
        after = height(w)
        fall = np.log(before / np.where(under_way, after, before / 2))
        share = np.minimum(1.0, np.log(before / ARRIVED) / fall)
        time += np.where(under_way, share, 0.0) * dt[..., 0]
        before = after
    return {"flow_times": time}


def paths(config: Config, found: Results) -> Results:
    """Follow p = 4 from the first start, at the best rate of depths 1, 2 and 3."""
    fewest, which = (each[column(found, 4.0), :, 0] for each in best(found))
    depths = [i for i, N in enumerate(config.depths) if N in MOVED and np.isfinite(fewest[i])]
    rates = found["rates"][which[depths]]

    @jax.jit
    @jax.vmap
    def follow(depth: Any, rate: Any) -> Any:
        def step(w: Any, _: None) -> tuple[Any, Any]:
            return descended(w, depth, rate, 4.0), w

        return jax.lax.scan(step, start(0), length=config.steps + 1)[1]

    kept = np.array([0, *log_steps(1, config.steps, 70)])
    followed = follow(jnp.array(found["depths"][depths]), jnp.array(rates))
    return {
        "moved_depths": found["depths"][depths],
        "moved_rates": rates,
        "moved_steps": kept,
        "moved": np.asarray(followed)[:, kept],
    }


# ---- What came out ----


def best(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest steps, (p, depth, seed), and which rate takes them.

    Over the rates below the first that diverges.
    """
    beyond = np.logical_or.accumulate(np.isnan(results["steps"]), axis=2)
    steps = np.where(beyond, np.inf, results["steps"])
    return steps.min(axis=2), steps.argmin(axis=2)


def column(results: Results, p: float) -> int:
    """Return the row of one p."""
    return results["powers"].tolist().index(p)


def claims(results: Results) -> list[Claim]:
    """State what the theory predicts beside what came out."""
    fewest, which = best(results)
    depths, rates = results["depths"], results["rates"]
    four, two = fewest[column(results, 4.0)], fewest[column(results, 2.0)]
    gain = four[:1] / four[1:]
    near, far = gain[depths[1:] <= 3], gain[depths[1:] > 3]
    whole = depths == np.round(depths)
    medians = np.median(two[whole], axis=1)
    reached = np.isfinite(fewest)
    inside = (which > 0) & (which < len(rates) - 1)
    runs = (
        f"best of {len(rates)} rates below the first that diverges, {fewest.shape[2]} starts, "
        "steps to 1e-6"
    )
    return [
        Claim(
            f"p = 4, depths {depths[1]:g} to {depths[-1]:g} accelerate descent: {runs}",
            f"{SOURCE}, section 7",
            "fewer than depth 1 from every start, by 2.5 at least to depth 3",
            f"{four[0].min():,.0f} to {four[0].max():,.0f} steps at depth 1; {near.min():.1f} to "
            f"{near.max():.1f} times fewer to depth 3"
            + (f", {far.min():.1f} to {far.max():.1f} beyond" if far.size else ""),
            "estimate",
            bool(np.isfinite(four).all() and (near > 2.5).all() and (far > 1).all()),
        ),
        Claim(
            f"p = 2, where one step of rate 1 arrives (the Hessian is the identity), depth slows "
            f"it: {runs}",
            f"{SOURCE}, section 8",
            "medians ascend with integer depths",
            f"{', '.join(f'{m:.0f}' for m in medians)} at depths "
            f"{', '.join(f'{N:g}' for N in depths[whole])}",
            "estimate",
            bool((np.diff(medians) > 0).all()),
        ),
        _divergence(results),
        _flow(results),
        Claim(
            "Best learning rates lie within the grid",
            "a condition of the above",
            f"{reached.sum()} of {reached.sum()} that reach the target",
            f"{(inside & reached).sum()}",
            "exact",
            bool(inside[reached].all()),
        ),
    ]


def _divergence(results: Results) -> Claim:
    """Hold plain descent against r⁺ = r(1 − η|r|^{p−2}), which needs no descent.

    Above the limit the largest |r| grows by a = ηr^{p−2} − 1 at least in every step, so that the
    loss, of two terms, is DIVERGED times the first after log(2·DIVERGED)/(p·log a) steps at most:
    rates for which that is later than the last step are left out.
    """
    residual = np.abs(results["starts"] - np.array(TARGETS)).max(axis=1)
    p, rates = results["powers"][:, None, None], results["rates"][None, :, None]
    growth = rates * residual[None, None, :] ** (p - 2) - 1  # (p, rate, seed)
    expected = growth > 1
    late = math.log(2 * DIVERGED) / (p * np.log(np.where(expected, growth, math.inf)))
    told = late <= results["limit"]
    plain = np.isnan(results["steps"][:, 0])
    right, asked = int((told & (expected == plain)).sum()), int(told.sum())
    return Claim(
        "Depth 1 diverges where the rate exceeds 2/max|r|^(p−2), and nowhere else",
        "derived here: r⁺ = r(1 − η|r|^(p−2))",
        f"{int((told & expected).sum())} of {asked:,} descents",
        f"{int((told & plain).sum())}, {right:,} of {asked:,} as predicted",
        "exact",
        right == asked,
    )


def _flow(results: Results) -> Claim:
    """Hold the descents of the smallest rates against the flow, where W(0) does not point away.

    Near 0, G is constant and the flow turns W at an angle θ to −G by ṙ/r : θ̇ = N·cos θ : −sin θ,
    so that r(sin θ)^N is kept, up to θ = 90°: a start that points away, θ₀ near 180°, comes as
    near as r₀(sin θ₀)^N to W = 0, a fixed point of every depth above 1, where small errors grow.
    """
    steps, times, rates = results["steps"], results["flow_times"], results["rates"]
    downhill = np.array(TARGETS) ** (results["powers"][:, None] - 1)  # −G(0)
    cosine = downhill @ results["starts"].T / (START * np.linalg.norm(downhill, axis=1)[:, None])
    ratios, cases = [], 0
    for p, depth, seed in np.ndindex(times.shape):
        counts = steps[p, depth, :, seed]
        arrived = np.flatnonzero(np.isfinite(counts))
        if cosine[p, seed] > -0.5:
            cases += 1
            if arrived.size and counts[arrived[0]] > _FEWEST:
                lowest = arrived[0]
                ratios.append(counts[lowest] * rates[lowest] / times[p, depth, seed])
    low, high = min(ratios, default=np.nan), max(ratios, default=np.nan)
    return Claim(
        "At the lowest rate that arrives, descent by the rule takes the time of its flow, from "
        "starts within 120° of −G(0)",
        f"{SOURCE}, Claim 2; T by Runge and Kutta",
        "steps·η/T = 1 ± .02",
        f"{low:.4f} to {high:.4f} in {len(ratios)} of {cases} cases",
        "estimate",
        bool(low > 0.98 and high < 1.02 and 2 * len(ratios) > cases),
    )


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    """Draw the maps of p = 2 and p = 4 with contours of the flow, and the best over the rates."""
    figure, (left, middle, right) = _figures.panels(1, 3, size=(12.6, 3.9), width_ratios=(1, 1, 1))
    norm = LogNorm(1, float(results["limit"]))
    for axes, p in ((left, 2.0), (middle, 4.0)):
        image = _draw_map(axes, results, p, norm)
    bar = figure.colorbar(image, ax=middle, pad=0.02)
    bar.set_label("steps")
    bar.outline.set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    _draw_best(right, results)
    return figure


def _draw_map(axes: Any, results: Results, p: float, norm: Any) -> Any:
    """Draw the steps of one start; grey where descent diverges, white where it does not arrive."""
    row, halo = column(results, p), {"path_effects": _figures.HALO}
    steps = results["steps"][row, :, :, 0]
    rows, rates = np.arange(len(results["depths"])), results["rates"]
    diverged = np.where(np.isnan(steps), 1.0, np.nan)
    cells: Any = {"shading": "nearest", "rasterized": True}  # some thousands, too many for SVG
    axes.pcolormesh(rates, rows, diverged, cmap="Greys", vmin=0, vmax=2.2, **cells)
    arrived = np.where(np.isfinite(steps), steps, np.nan)
    image = axes.pcolormesh(rates, rows, arrived, cmap=_figures.SEQUENCE, norm=norm, **cells)
    beyond = np.isnan(steps)
    edge = np.where(beyond.any(axis=1), rates[beyond.argmax(axis=1)], np.inf)
    for power in range(1, 6):
        level, label = 10.0**power, "the flow takes so many steps, T/η" if power == 2 else None
        rate = results["flow_times"][row, :, 0] / level
        rate = np.where(rate < edge, rate, np.nan)
        if level <= results["limit"]:
            axes.plot(rate, rows, "--", color="white", linewidth=1.2, label=label, **halo)
        for foot in np.flatnonzero(np.isfinite(rate) & (level <= results["limit"]))[:1]:
            axes.annotate(
                f"$10^{power}$", (rate[foot], foot), xytext=(4, 0), textcoords="offset points",
                color="white", fontsize=8, va="bottom", **halo,
            )  # fmt: skip
    fewest, which = (found[row, :, 0] for found in best(results))
    reached = np.isfinite(fewest)
    axes.plot(
        rates[which[reached]], rows[reached], "o", color="white", markersize=5,
        markeredgecolor=_figures.INK, label="best rate below the first that diverges",
    )  # fmt: skip
    axes.set_xscale("log")
    shown = rows if rows.size < 8 else rows[:: max(1, rows.size // 8)]
    axes.set_yticks(shown, [f"{results['depths'][row]:g}" for row in shown])
    axes.grid(visible=False)
    axes.set(xlabel="learning rate η", ylabel="depth N", xlim=(rates[0], rates[-1]))
    axes.set_title(f"p = {p:g}: steps from start 0")
    axes.annotate("diverges", (0.98, 0.97), xycoords="axes fraction", ha="right", va="top")
    if p == 4:  # where there is room
        slow = f"more than\n{results['limit']:,} steps"
        axes.annotate(slow, (0.02, 0.03), xycoords="axes fraction", va="bottom")
    return image


def _draw_best(axes: Any, results: Results) -> None:
    fewest, _ = best(results)
    shades = _figures.colours(len(results["powers"]))
    for p, rows, shade, marker in zip(
        results["powers"], fewest, shades, _figures.MARKERS, strict=False
    ):
        median = np.median(rows, axis=1)
        shown = np.isfinite(median)
        depths = results["depths"]
        axes.semilogy(
            depths, np.where(np.isfinite(rows), rows, np.nan), ".", color=shade, alpha=0.4
        )
        axes.semilogy(depths[shown], median[shown], color=shade, marker=marker, label=f"p = {p:g}")
    axes.set(xlabel="depth N", ylabel="steps to the target", title="Each depth at its best rate")
    axes.set_ylim(0.7, 4 * float(results["limit"]))
    axes.legend(ncols=3, loc="upper center", columnspacing=1.0)


def live(results: Results) -> tuple[Live, ...]:
    """Return the way of W and its loss at p = 4, depth by depth, over the steps."""
    steps, w = results["moved_steps"], results["moved"]
    depths, rates = results["moved_depths"].tolist(), results["moved_rates"].tolist()
    names = [f"depth {N:g}, rate {rate:.2g}" for N, rate in zip(depths, rates, strict=True)]
    colours = [MOVED[N] for N in depths]
    values = (np.abs(w - np.array(TARGETS)) ** 4).sum(axis=2) / 4
    near = np.clip(w, -2.0, 2 * max(TARGETS))
    low, high = near.min(axis=(0, 1)) - 0.2, near.max(axis=(0, 1)) + 0.2
    panels = [
        Panel(
            "The way of W, and lines of equal loss",
            Axis("w₁", float(low[0]), float(high[0])),
            Axis("w₂", float(low[1]), float(high[1])),
            [*map(level_line, 4.0 ** np.arange(-6, 5)), dots(TARGETS[:1], TARGETS[1:], "green")],
        ),
        Panel(
            "Loss",
            Axis("step", 1, float(steps[-1]), log=True),
            Axis("", ARRIVED / 4, 4 * float(values[:, 0].max()), log=True),
            [line([1, steps[-1]], [ARRIVED, ARRIVED], "grey", dashed=True, width=1)],
        ),
    ]
    frames = []
    for i, t in enumerate(steps.tolist()):
        told = [
            f"{name}: {'arrived' if value[i] <= ARRIVED else f'loss {scientific(value[i])}'}"
            for name, value in zip(names, values, strict=True)
        ]
        plane, height = [], []
        for path, value, colour in zip(w, values, colours, strict=True):
            plane += [
                line(path[: i + 1, 0], path[: i + 1, 1], colour),
                dots(path[i, :1], path[i, 1:], colour, size=5),
            ]
            height += [
                line(steps[1 : i + 1], value[1 : i + 1], colour),
                dots([max(t, 1)], [value[i]], colour, size=5),
            ]
        frames.append(Frame(joined([f"step {t:,}", *told]), [plane, height]))
    moving = Live(
        "Descent on l4 by the end-to-end rule, each depth at its best learning rate",
        "step",
        [f"{t:,}" for t in steps],
        panels,
        frames,
        start=int(np.searchsorted(steps, 100)),
        key=[*zip(colours, names, strict=True), ("green", "the target")],
    )
    return (moving,)


def level_line(height: float) -> Mark:
    """Draw where the loss at p = 4 has a value: r(θ) = c(√|cos θ|, √|sin θ|) with their signs."""
    angle = np.linspace(0, 2 * np.pi, 161)
    turned = np.stack([np.cos(angle), np.sin(angle)])
    x, y = np.array(TARGETS)[:, None] + (4 * height) ** 0.25 * np.sign(turned) * abs(turned) ** 0.5
    return line(x, y, "grey", width=0.6)
