"""The end-to-end rule against the layers it stands for: where they agree, and where only paths do.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018), Theorem 1: the gradient flow of N balanced layers moves their product
as the end-to-end rule does. Three things are measured of it, all derived here:

- with steps of size η the two differ, at a fixed time, by O(η): for one output and for matrices,
  square, wide, tall and of deficient rank, for the square and the fourth power;
- from small Gaussian layers, which are balanced in the limit only, they do not agree at equal times
  however small the start, for they leave the neighbourhood of 0 at different times; the curves
  that they follow do agree;
- the imbalance of the layers obeys its discrete law to rounding, at any rate.
"""

from __future__ import annotations

import functools
import itertools
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
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require

CHAPTER = "acceleration"
ALT = (
    "Left, the gap between rule and layers over the learning rate, lines of slope one. Middle, "
    "the share learnt over time from Gaussian layers: the rule learns as much at other times. "
    "Right, over the scale of the start: the distance at equal times tends to the whole, that "
    "between paths to 0."
)
DEPTHS = (2, 3, 4, 5)
SIDE = 4  # every matrix is the corner of a square of this side, zero elsewhere
TIME = 0.5
RANK_TOL = 1e-2
TARGET = (2 / 3, 1 / 3, 2 / 3)  # of the Gaussian starts: one output, of norm 1
HIDDEN = 3
HORIZON = 20.0  # time over 1/s: layers of size s leave 0 after a time of that order
SHOWN = 1_000  # moments kept for the picture
FINE = 1e-3  # of a path: corners of its polygon, where moments are as close


class Case(NamedTuple):
    """A loss Σ(W − M)^p/p and the start of W: its shape and rank."""

    label: str
    shape: tuple[int, int]
    rank: int
    p: int


CASES = (
    Case("one output, p = 2", (1, 4), 1, 2),
    Case("one output, p = 4", (1, 4), 1, 4),
    Case("square, p = 2", (3, 3), 3, 2),
    Case("square, p = 4", (3, 3), 3, 4),
    Case("wide", (2, 4), 2, 2),
    Case("tall", (4, 2), 2, 2),
    Case("3 × 3 of rank 2", (3, 3), 2, 2),
)


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        halvings: the gap is taken at η = 2^-k for these k, ascending.
        scales: standard deviations of the Gaussian layers, descending.
        seeds: Gaussian starts at each scale.
        steps: of descent from each, up to the time 20/scale: in proportion to 1/scale for the
            smallest, or they and not the paths are measured.
        moments: at which paths are compared, so many that a layer moves little in between; a
            multiple of 1,000 that divides `steps`.
        seed: of everything drawn.
    """

    halvings: tuple[int, ...] = (7, 8, 9)
    scales: tuple[float, ...] = (0.16, 0.08, 0.04, 0.02)
    seeds: int = 6
    steps: int = 20_000
    moments: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse too little to fit an order to."""
        k = self.halvings
        if len(k) < 2 or sorted(set(k)) != list(k) or k[0] < 1:
            raise ValueError(f"`halvings` must be two or more, ascending from 1 on; got {k}.")
        s = self.scales
        if len(s) < 2 or sorted(set(s), reverse=True) != list(s) or s[-1] <= 0 or s[0] > 0.5:
            raise ValueError(f"`scales` must be two or more, descending from .5 to 0; got {s}.")
        if self.moments < 1 or self.moments % SHOWN or self.steps % self.moments:
            raise ValueError(
                f"`moments` must be a multiple of {SHOWN} that divides `steps`; got "
                f"{self.moments} of {self.steps}."
            )
        if self.seeds < 1:
            raise ValueError(f"`seeds` must be at least 1; got {self.seeds}.")


QUICK = Config()
FULL = Config(
    halvings=tuple(range(7, 13)),
    scales=tuple(0.16 / 2**i for i in range(7)),
    seeds=32,
    steps=1_280_000,
    moments=80_000,
)


def run(config: Config, part: Part = direct) -> Results:
    # float64 around the whole computation: the gaps are of the order of float32's rounding.
    with jax.enable_x64(True):
        return {
            "halvings": np.array(config.halvings),
            "scales": np.array(config.scales),
            **part("balanced", functools.partial(_balanced, config)),
            **part("gaussian", functools.partial(_gaussian, config)),
            **part("imbalance", functools.partial(_imbalance, config)),
        }


# ---- From balanced layers: the order of the gap ----


class _Power(eqx.Module):
    """L = Σ(W − M)^p/p, p = 2 or 4, of a square or of a stack of layers whose product it is.

    Zeros around a matrix stay exactly 0. Of the stack the first `depth` layers count and the others
    are the identity: so one program serves every shape, power and depth.
    """

    M: Float[Array, "side side"]
    fourth: Float[Array, ""]
    depth: Float[Array, ""]

    def product(self, layers: Float[Array, "most side side"]) -> Float[Array, "side side"]:
        counts = jnp.arange(float(len(layers))) < self.depth
        eye = jnp.eye(SIDE)
        factors = jnp.where(counts[:, None, None], layers, eye[None])
        return functools.reduce(lambda W, factor: factor @ W, factors, eye)

    def loss(self, W: Any) -> Float[Array, ""]:
        square = ((self.product(W) if W.ndim == 3 else W) - self.M) ** 2
        return jnp.where(self.fourth > 0, square**2 / 4, square / 2).sum()


def _rule(learning_rate: Array, depth: Array) -> optax.GradientTransformation:
    # A step is tangent to the matrices of W's rank and leaves them by O(η²): singular values that
    # are 0 for the layers, and that the rule would raise to the power 2/N.
    return optax.chain(
        jd.dynamics.scale_by_end_to_end(depth, rank_tol=RANK_TOL),
        optax.scale_by_learning_rate(learning_rate),
    )


def _balanced(config: Config) -> Results:
    """Measure ‖W_layers − W_rule‖/‖W_rule‖ at a fixed time for every case, depth and rate."""
    rng = np.random.default_rng(config.seed)
    drawn = [_draw(rng, case) for case in CASES]
    pairs = list(itertools.product(range(len(CASES)), DEPTHS))
    problems = _Power(
        M=jnp.stack([drawn[i][0] for i, _ in pairs]),
        fourth=jnp.array([float(CASES[i].p == 4) for i, _ in pairs]),
        depth=jnp.array([float(N) for _, N in pairs]),
    )
    W = jnp.stack([drawn[i][1] for i, _ in pairs])
    layers = jnp.stack([_stack(drawn[i][1], N) for i, N in pairs])
    rates = TIME / 2.0 ** np.array(config.halvings)
    shortest, longest = 2 ** config.halvings[0], 2 ** config.halvings[-1]
    at = np.array([2**k // shortest for k in config.halvings])
    both = _trained(problems, W, layers, jnp.asarray(rates), longest, shortest)
    by_rule, by_layers = (np.asarray(run)[:, range(len(at)), at] for run in both)
    gap = np.linalg.norm(by_layers - by_rule, axis=(2, 3))
    gap = gap / np.linalg.norm(by_rule, axis=(2, 3))
    return {"rates": rates, "gap": gap.reshape(len(CASES), len(DEPTHS), len(rates))}


def _draw(rng: np.random.Generator, case: Case) -> tuple[Array, Array]:
    """Draw a target and a start in the corner of the square."""
    m, n = case.shape
    M, W = np.zeros((2, SIDE, SIDE))
    M[:m, :n] = 0.7 * rng.normal(size=(m, n))
    U, s, Vt = np.linalg.svd(rng.normal(size=(m, n)), full_matrices=False)
    W[:m, :n] = 0.6 * (U[:, : case.rank] * s[: case.rank]) @ Vt[: case.rank]
    return jnp.asarray(M), jnp.asarray(W)


def _stack(W: Array, depth: int) -> Array:
    """Write W as balanced layers that count, beneath layers that do not."""
    U, s, Vt = np.linalg.svd(np.asarray(W))
    root = np.where(s > 1e-12 * s[0], s, 0) ** (1 / depth)
    inner = [np.diag(root)] * (depth - 2)
    factors = [root[:, None] * Vt, *inner, U * root]
    return jnp.asarray(np.stack(factors + [np.eye(SIDE)] * (max(DEPTHS) - depth)))


@eqx.filter_jit
def _trained(
    problems: _Power, W: Array, layers: Array, rates: Array, steps: int, every: int
) -> tuple[Array, Array]:
    def one(problem: _Power, W: Array, layers: Array, rate: Array) -> tuple[Array, Array]:
        descend = functools.partial(
            jd.dynamics.descend, loss=problem.loss, steps=steps, record_every=every
        )
        rule = descend(
            W,
            optimiser=_rule,
            hyperparameters={"learning_rate": rate, "depth": problem.depth},
            record=lambda W: W,
        )
        layered = descend(
            layers,
            optimiser=optax.sgd,
            hyperparameters={"learning_rate": rate},
            record=problem.product,
        )
        return rule.recorded, layered.recorded

    every_rate = jax.vmap(one, (None, None, None, 0))
    return jax.vmap(every_rate, (0, 0, 0, None))(problems, W, layers, rates)


# ---- From Gaussian layers near 0: equal times and equal paths ----


class _Target(eqx.Module):
    """L = ‖W − M‖²/2."""

    M: Float[Array, "m n"]

    def loss(self, W: Any) -> Float[Array, ""]:
        W = W.end_to_end() if isinstance(W, jd.networks.DeepLinear) else W
        return ((W - self.M) ** 2).sum() / 2


def _gaussian(config: Config) -> Results:
    """Descend on three Gaussian layers and by the rule from their product, in small steps."""
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    scales, M = np.array(config.scales), np.array([TARGET])
    every, shown = config.steps // config.moments, config.moments // SHOWN
    rows = []
    for scale in scales:  # one program, and the paths of one scale in memory
        rate = jnp.asarray(HORIZON / scale / config.steps)
        runs = _followed(
            _Target(jnp.asarray(M)), jnp.asarray(scale), rate, keys, config.steps, every
        )
        layers, rule = (np.asarray(paths)[:, :, 0] for paths in runs)
        rows.append(
            {
                "equal_time": np.linalg.norm(layers - rule, axis=2).max(axis=1),
                "equal_path": [
                    _farthest(_thinned(path), _thinned(other))
                    for path, other in zip(layers, rule, strict=True)
                ],
                "arrived": np.linalg.norm(layers[:, -1] - M[0], axis=1),
                "times": HORIZON / scale * np.linspace(0, 1, SHOWN + 1),
                "layers_length": layers[0, ::shown] @ M[0],
                "rule_length": rule[0, ::shown] @ M[0],
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@eqx.filter_jit
def _followed(
    target: _Target, scale: Array, rate: Array, keys: Array, steps: int, every: int
) -> tuple[Array, Array]:
    sizes = (target.M.size, HIDDEN, HIDDEN, 1)

    def one(key: Array) -> tuple[Array, Array]:
        net = jd.networks.DeepLinear(sizes, init="gaussian", scale=scale, key=key)
        descend = functools.partial(
            jd.dynamics.descend, loss=target.loss, steps=steps, record_every=every
        )
        settings = {"learning_rate": rate}
        layers = descend(
            net, optimiser=optax.sgd, hyperparameters=settings, record=lambda net: net.end_to_end()
        )
        rule = descend(
            net.end_to_end(),
            optimiser=functools.partial(jd.dynamics.end_to_end_sgd, depth=3),
            hyperparameters=settings,
            record=lambda W: W,
        )
        return layers.recorded, rule.recorded

    return jax.vmap(one)(keys)


def _thinned(path: np.ndarray) -> np.ndarray:
    """Leave out the points of a path that are within `FINE` of one before, along it."""
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()
    kept = np.diff(np.floor(length / FINE), prepend=0.0) > 0
    return path[np.concatenate([[True], kept[:-1], [True]])]


def _farthest(points: np.ndarray, corners: np.ndarray) -> float:
    """Return the greatest distance from one of `points` to the polygon through `corners`."""
    start, side = corners[:-1], np.diff(corners, axis=0)
    length = (side**2).sum(axis=1)
    beyond = points @ side.T - (start * side).sum(axis=1)
    along = np.clip(beyond / np.where(length > 0, length, 1), 0, 1)
    from_start = (points**2).sum(axis=1)[:, None] + (start**2).sum(axis=1) - 2 * points @ start.T
    squares = from_start - along * (2 * beyond - along * length)
    return float(np.sqrt(max(squares.min(axis=1).max(), 0.0)))


# ---- The discrete law of the imbalance ----


def _imbalance(config: Config) -> Results:
    """Descend on five layers with decay at a large rate; compare every step with the law."""
    rng = np.random.default_rng(config.seed + 1)
    sizes, eta, decay, steps = (3, 4, 5, 4, 3, 2), 0.05, 0.1, 100
    W = [0.6 * rng.normal(size=shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)]
    M = rng.normal(size=(sizes[-1], sizes[0]))
    errors, moved = [], []
    for _ in range(steps):
        below = list(itertools.accumulate(W, lambda P, w: w @ P, initial=np.eye(sizes[0])))
        above = list(itertools.accumulate(W[::-1], lambda P, w: P @ w, initial=np.eye(sizes[-1])))
        G = below[-1] - M
        grads = [above[len(W) - 1 - j].T @ G @ below[j].T for j in range(len(W))]
        D = jd.dynamics.imbalance(tuple(map(jnp.asarray, W)))
        W = [(1 - eta * decay) * w - eta * g for w, g in zip(W, grads, strict=True)]
        after = jd.dynamics.imbalance(tuple(map(jnp.asarray, W)))
        law = jd.dynamics.imbalance_step(D, tuple(map(jnp.asarray, grads)), eta, weight_decay=decay)
        for j, (old, new, predicted) in enumerate(zip(D, after, law, strict=True)):
            size = np.abs(W[j] @ W[j].T).max()
            errors.append(np.abs(np.asarray(new - predicted)).max() / size)
            forced = predicted - (1 - eta * decay) ** 2 * old
            moved.append(np.abs(np.asarray(forced)).max() / size)
    return {"law_error": np.max(errors), "law_forced": np.max(moved)}


# ---- What came out ----


def _orders(results: Results) -> np.ndarray:
    """Fit the order of the gap in η for every case and depth."""
    x = np.log(results["rates"])
    return np.apply_along_axis(lambda gap: np.polyfit(x, np.log(gap), 1)[0], 2, results["gap"])


def _medians(results: Results) -> tuple[np.ndarray, np.ndarray]:
    return np.median(results["equal_time"], axis=1), np.median(results["equal_path"], axis=1)


def claims(results: Results) -> list[Claim]:
    orders = _orders(results)
    _, equal_path = _medians(results)
    scales = results["scales"]
    order = float(np.polyfit(np.log(scales), np.log(equal_path), 1)[0])
    rank = CASES.index(next(case for case in CASES if case.rank < min(case.shape)))
    full = np.delete(orders, rank, axis=0)

    def span(orders: np.ndarray) -> str:
        return f"{orders.min():.3f} to {orders.max():.3f}"

    halved = f"η = 2^-{results['halvings'][0]} … 2^-{results['halvings'][-1]}"
    told = f"N = {', '.join(map(str, DEPTHS))}, {halved}"
    return [
        Claim(
            "From balanced layers the gap to the rule at fixed time is of first order in η: one "
            f"output and square matrices at p = 2 and 4, wide, tall; {told}",
            "Theorem 1 is the limit η → 0; first order derived here",
            "1 ± .05",
            f"{span(full)}, {full.size} fits",
            "estimate",
            bool(((full > 0.95) & (full < 1.05)).all()),
        ),
        Claim(
            f"So it is from a start of rank 2 of 3, the rule cut off at {RANK_TOL:g} of the "
            f"largest singular value; {told}",
            "derived here: a step leaves the matrices of rank 2 by O(η²) only",
            "1 ± .05",
            f"{span(orders[rank])}, {len(DEPTHS)} fits",
            "estimate",
            bool(((orders[rank] > 0.95) & (orders[rank] < 1.05)).all()),
        ),
        Claim(
            "From Gaussian layers of scale s the gap at equal times does not vanish with s: N = 3, "
            f"one output, s = {scales[0]:g} … {scales[-1]:g}, over ‖M‖, the largest of "
            f"{results['equal_time'].shape[1]} starts",
            "derived here: escape times of the order of 1/s differ by a factor; the target is of "
            "rank one",
            "→ 1",
            " / ".join(f"{gap:.3f}" for gap in results["equal_time"].max(axis=1)),
            "estimate",
            bool(results["equal_time"].max(axis=1)[-1] > 0.9 and results["arrived"].max() < 1e-2),
        ),
        Claim(
            "while the gap between their paths does, at every start (the largest)",
            "derived here: balance is relative to the size of the layers",
            "→ 0, like a power of s",
            " / ".join(f"{gap:.3g}" for gap in results["equal_path"].max(axis=1))
            + f"; medians like s^{order:.2f}",
            "estimate",
            bool(order > 0.8 and results["equal_path"].max(axis=1)[-1] < 0.05),
        ),
        Claim(
            "The imbalance of five layers obeys D⁺ = (1 − ηλ)²D + η²(∇ᵀ∇ above − ∇∇ᵀ below) in "
            "each of 100 steps",
            "derived here, exact at every η",
            "rounding: below 1e-14 of the layers' squares",
            f"{float(results['law_error']):.1e}, where the last term reaches "
            f"{float(results['law_forced']):.1e}",
            "estimate",
            bool(results["law_error"] < 1e-14 < 1e-5 < results["law_forced"]),
        ),
    ]


def check(results: Results) -> None:
    require(claims(results))


@_figures.styled
def plot(results: Results) -> Figure:
    figure, (gaps, lengths, paths) = _figures.panels(1, 3)
    _plot_gaps(gaps, results)
    _plot_lengths(lengths, results)
    _plot_paths(paths, results)
    return figure


def _plot_gaps(axis: Any, results: Results) -> None:
    rates = results["rates"]
    looks = zip(CASES, _figures.PALETTE, _figures.MARKERS, results["gap"], strict=True)
    for case, color, marker, gaps in looks:
        for i, gap in enumerate(gaps):
            label = None if i else case.label
            axis.loglog(rates, gap, marker, linestyle="-", color=color, linewidth=0.9, label=label)
    _figures.bound(axis, rates, 1.6 * results["gap"].max() * rates / rates[0], label="slope 1")
    axis.set(
        title="From balance, N = 2, 3, 4, 5",
        xlabel="learning rate η",
        ylabel="relative gap at time ½",
        xlim=(0.85 * rates[-1], 1.2 * rates[0]),
        ylim=(results["gap"].min() / 60, None),
    )
    axis.set_xticks(rates, [f"$2^{{-{k}}}$" for k in results["halvings"]])
    axis.set_xticks([], minor=True)
    axis.legend(ncols=2, loc="lower right", fontsize=7, columnspacing=0.8)


def _plot_lengths(axis: Any, results: Results) -> None:
    for i, color in zip(range(len(results["scales"])), _figures.PALETTE, strict=False):
        scaled = results["times"][i] * results["scales"][i]
        label = f"s = {results['scales'][i]:g}"
        axis.plot(scaled, results["layers_length"][i], color=color, label=label)
        axis.plot(scaled, results["rule_length"][i], color=color, linestyle=(0, (1, 1.2)))
    axis.plot([], [], color=_figures.INK, linestyle=(0, (1, 1.2)), label="the rule")
    late = np.minimum(results["layers_length"], results["rule_length"]) < 0.99
    last = (results["times"] * results["scales"][:, None])[late].max()
    axis.set(
        title="From N(0, s²), N = 3",
        xlim=(0, 1.6 * last),
        xlabel="time × s",
        ylabel="share of the target learnt",
    )
    axis.legend(loc="lower right")


def _plot_paths(axis: Any, results: Results) -> None:
    scales = results["scales"]
    for key, median, color, marker, label in zip(
        ("equal_time", "equal_path"),
        _medians(results),
        (_figures.RED, _figures.GREEN),
        _figures.MARKERS,
        ("at equal times", "between paths"),
        strict=False,
    ):
        for gaps in results[key].T:
            axis.loglog(scales, gaps, marker, color=color, markersize=3, alpha=0.35)
        axis.loglog(scales, median, f"{marker}-", color=color, label=label)
    _figures.bound(axis, scales, np.full_like(scales, 1.0), label="the whole of M")
    axis.set(
        title="Layers against rule, unbalanced",
        xlabel="scale of the Gaussian layers",
        ylabel="greatest distance over ‖M‖",
    )
    axis.set_xticks(scales, [f"{scale:.2g}" for scale in scales], minor=False)
    axis.set_xticks([], minor=True)
    axis.legend(loc="lower right")
