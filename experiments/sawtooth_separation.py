"""Deep sawtooths cross one half exponentially often, and no shallow network keeps up.

Telgarsky 2016. The k-fold mirror map m^k, a ReLU network of 2k layers and 3k nodes, has crossing
number 2^k + 1 (Corollary 3.14); a network of m ReLUs in l layers has at most 2(2m/l)^l (Lemma 3.3).
Where label regions are missing, the rest is wrong (Lemma 3.1), and the distance has an exact floor:
∫₀¹ |m^K − g| ≥ (2^K + 1 − Cr(g))/2^(K+3) for every g.

Here m^k is counted three ways, and networks of one hidden layer are trained to be m^K: dozens of
them, of different width, in one compiled program. Each is then held against every bound, by counts
that are exact for the weights it ended with, and distances in closed form, rounded to float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import BLUE, GREY, INK, ORANGE, PURPLE, RED, SKY, bound, panels, styled
from jaxdepth.crossings import CountResult, Exact, Grid


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        max_depth: m^k is counted for k = 1 … max_depth.
        teeth: a sawtooth of each many teeth is counted at depth 3.
        target_depth: K, the sawtooth m^K that shallow networks are trained to be.
        widths: their hidden widths.
        restarts: networks of each width.
        steps: full-batch Adam steps.
        learning_rate: of Adam.
        seed: of the initialisations.
    """

    max_depth: int = 14
    teeth: tuple[int, ...] = (2, 3, 5)
    target_depth: int = 3
    widths: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 16, 32)
    restarts: int = 6
    steps: int = 8000
    learning_rate: float = 1e-2
    seed: int = 0


QUICK = Config()
FULL = Config(
    max_depth=18,
    teeth=(2, 3, 4, 5, 7),
    target_depth=5,
    widths=(2, 4, 8, 16, 24, 32, 64, 128),
    restarts=20,
    steps=30_000,
)


class Fit(eqx.Module):
    """Mean square error on samples of the target."""

    x: Float[Array, " points"]
    y: Float[Array, " points"]

    def loss(self, net: jd.networks.MLP) -> Float[Array, ""]:
        """Return the mean of (net(x) − y)²."""
        return jnp.mean((jax.vmap(net)(self.x[:, None])[:, 0] - self.y) ** 2)


def run(config: Config, part: Part = direct) -> Results:
    """Count the deep sawtooths, train the shallow rivals, measure both."""
    deep = part("deep", lambda: count_deep(config))
    shallow = part("shallow", lambda: train_shallow(config))
    return {**deep, **shallow, "target_depth": np.array(config.target_depth)}


def count_deep(config: Config) -> Results:
    """Count m^k by grids (all depths under one vmap), by enumeration, and by the closed form."""
    depths = np.arange(1, config.max_depth + 1)
    # One grid, which resolves the deepest; and one that puts every point of m^(p+1) on a foot.
    fine, lying = Grid(2**config.max_depth + 1), Grid(2 ** (config.max_depth - 1) + 1)
    grid = jax.vmap(lambda k: jd.crossings.count(jd.networks.Sawtooth(k), fine))(
        jnp.asarray(depths)
    )
    lie = jd.crossings.count(jd.networks.Sawtooth(config.max_depth), lying)
    enumerated = [jd.crossings.count(jd.networks.Sawtooth(int(k)), Exact()) for k in depths]
    toothed = [jd.crossings.count(jd.networks.Sawtooth(3, teeth=t), Exact()) for t in config.teeth]
    return {
        "depths": depths,
        "closed_form": np.array([jd.bounds.triangle_count(1, int(k)) for k in depths]),
        "grid": np.asarray(grid.value),
        "grid_trusted": np.asarray(grid.trusted),
        "enumerated": np.array([answer.value for answer in enumerated]),
        "teeth": np.array(config.teeth),
        "toothed": np.array([answer.value for answer in toothed]),
        "lying_value": np.asarray(lie.value),
        "lying_flagged": np.asarray(lie.result == CountResult.unresolved),
    }


def train_shallow(config: Config) -> Results:
    """Train one-hidden-layer ReLU networks to be m^K; return what each came to, exactly."""
    target = jd.networks.Sawtooth(config.target_depth)
    x = jnp.linspace(0.0, 1.0, 16 * 2**config.target_depth + 1)
    data = Fit(x, jax.vmap(target)(x))
    widths = np.repeat(config.widths, config.restarts)
    keys = jax.random.split(jax.random.key(config.seed), len(widths))
    sizes = (1, max(config.widths), 1)

    @eqx.filter_jit
    def train(widths: Array, keys: Array) -> jd.networks.MLP:
        def one(width: Array, key: Array) -> jd.networks.MLP:
            net = jd.networks.MLP.padded(sizes, width=width, depth=1, key=key)
            adam = optax.adam(config.learning_rate)
            return jd.dynamics.descend(
                net, data.loss, adam, config.steps, record_every=config.steps
            ).model

        return eqx.filter_vmap(one)(widths, keys)

    trained = train(jnp.asarray(widths, jnp.int32), keys)
    nets = [
        jax.tree.map(lambda leaf, i=i: leaf[i] if eqx.is_array(leaf) else leaf, trained)
        for i in range(len(widths))
    ]
    deep = jd.piecewise.pieces(target)
    found = [jd.piecewise.pieces(net) for net in nets]
    distances = np.array([l1_distance(deep, shallow) for shallow in found])
    best = found[int(np.argmin(distances))]
    return {
        "widths": widths,
        "crossings": np.array([jd.crossings.count(net, Exact()).value for net in nets]),
        "pieces": np.array([shallow.num for shallow in found]),
        "l1": distances,
        "wrong_throughout": np.array([regions_wrong(deep, shallow) for shallow in found]),
        "best_x": best.breakpoints,
        "best_y": best.values,
    }


def l1_distance(f: jd.piecewise.Pieces, g: jd.piecewise.Pieces) -> float:
    """Return ∫|f − g| over the common interval, in closed form on each common affine piece."""
    x = np.union1d(f.breakpoints, g.breakpoints)
    gap = np.interp(x, f.breakpoints, f.values) - np.interp(x, g.breakpoints, g.values)
    a, b = np.abs(gap[:-1]), np.abs(gap[1:])
    same_sign = gap[:-1] * gap[1:] >= 0
    # ∫₀¹ |(1−t)a + tb| dt is the trapezium (a + b)/2, or two triangles where the sign changes.
    crossed = (a**2 + b**2) / (2 * np.where(same_sign, 1.0, a + b))
    return float(np.sum(np.diff(x) * np.where(same_sign, (a + b) / 2, crossed)))


def label_edges(f: jd.piecewise.Pieces, level: float = 0.5) -> tuple[np.ndarray, bool]:
    """Return where 1[f ≥ level] changes, ascending, and the label at the left end."""
    above = f.values >= level
    i = np.flatnonzero(above[1:] != above[:-1])
    return f.breakpoints[i] + (level - f.values[i]) / f.slopes[i], bool(above[0])


def regions_wrong(f: jd.piecewise.Pieces, g: jd.piecewise.Pieces) -> float:
    """Return the fraction of f's label regions on which g has the other label throughout."""
    (f_edges, f_first), (g_edges, g_first) = label_edges(f), label_edges(g)
    ends = f.breakpoints[[0, -1]]
    left, right = np.append(ends[0], f_edges), np.append(f_edges, ends[1])
    first, last = np.searchsorted(g_edges, left, "right"), np.searchsorted(g_edges, right, "left")
    f_label = f_first ^ (np.arange(len(left)) % 2 == 1)
    g_label = g_first ^ (first % 2 == 1)
    return float(np.mean((first == last) & (f_label != g_label)))


def claims(results: Results) -> list[Claim]:
    """State what the theorems predict beside what came out."""
    depth = int(results["target_depth"])
    deepest = int(results["depths"][-1])
    counted = all(
        np.array_equal(results[route], results["closed_form"]) for route in ("grid", "enumerated")
    )
    toothed = [jd.bounds.triangle_count(int(t), 3) for t in results["teeth"]]
    crossing_bounds = [
        jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=int(width) + 1, layers=2)
        for width in results["widths"]
    ]
    crossings = results["crossings"].tolist()
    gaps = np.array([float(jd.bounds.l1_gap(depth, s)) for s in crossings])
    wrong = np.array(
        [float(jd.bounds.telgarsky16_disagreement_lower(2**depth + 1, s)) for s in crossings]
    )
    nearest = int(np.argmin(results["l1"] - gaps))
    least = int(np.argmin(results["wrong_throughout"] - wrong))
    return [
        Claim(
            f"The k-fold mirror map has Cr = 2^k + 1, for every k ≤ {deepest}",
            "Telgarsky 2016, Corollary 3.14",
            f"3, 5, 9, …, {2**deepest + 1:,}",
            f"{', '.join(f'{n:,}' for n in results['grid'][:3])}, …, {results['grid'][-1]:,} "
            "(proven grid), the same enumerated",
            "exact",
            counted and bool(results["grid_trusted"].all()),
        ),
        Claim(
            f"With {', '.join(map(str, results['teeth'].tolist()))} teeth, three deep: (2t)³ + 1",
            "Telgarsky 2016, Corollary 3.14",
            ", ".join(f"{n:,}" for n in toothed),
            ", ".join(f"{n:,}" for n in results["toothed"].tolist()),
            "exact",
            results["toothed"].tolist() == toothed,
        ),
        Claim(
            f"2^{deepest - 1} + 1 points see nothing of depth {deepest}, and the answer says so",
            "derived here: every point falls on a foot",
            "1, unresolved",
            f"{int(results['lying_value'])}, "
            + ("unresolved" if results["lying_flagged"] else "NOT flagged"),
            "exact",
            int(results["lying_value"]) == 1 and bool(results["lying_flagged"]),
        ),
        Claim(
            f"{len(crossings)} trained networks of one hidden layer: Cr ≤ 2(2m/l)^l",
            "Telgarsky 2016, Lemma 3.3",
            f"at most {int(max(crossing_bounds)):,} at width {max(results['widths'])}",
            f"{max(crossings)} (m^{depth} has {2**depth + 1})",
            "exact",
            all(c <= b for c, b in zip(crossings, crossing_bounds, strict=True)),
        ),
        Claim(
            f"None is closer to m^{depth} in L1 than its crossings allow",
            "derived here: (2^K + 1 − s)/2^(K+3); Telgarsky 2016, Theorem 3.19",
            f"≥ {gaps[nearest]:.4f} for Cr = {crossings[nearest]}",
            f"{results['l1'][nearest]:.4f}, the nearest",
            "estimate",
            bool(np.all(results["l1"] >= gaps)),
        ),
        Claim(
            f"Each is wrong throughout on a fraction of the label regions of m^{depth}",
            "Telgarsky 2016, Lemma 3.1",
            f"≥ {wrong[least]:.3f} for Cr = {crossings[least]}",
            f"{results['wrong_throughout'][least]:.3f}, the nearest",
            "estimate",
            bool(np.all(results["wrong_throughout"] >= wrong)),
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw the functions, the counts and the distances."""
    figure, (functions, counts, distances) = panels(1, 3)
    depth = int(results["target_depth"])

    x = np.linspace(0, 1, 2**depth + 1)
    functions.axhline(0.5, color=INK, linewidth=0.8)
    functions.plot(
        x, np.arange(2**depth + 1) % 2, color=BLUE, linewidth=1.0, label=f"$m^{{{depth}}}$"
    )
    functions.plot(
        results["best_x"], results["best_y"], color=RED, label="closest trained shallow network"
    )
    functions.set(
        xlabel="x", ylim=(-0.15, 1.32), title=f"What shallow networks make of $m^{{{depth}}}$"
    )
    functions.legend(loc="upper center", ncols=2, columnspacing=1.0)

    depths = results["depths"]
    counts.semilogy(depths, results["enumerated"], "o", color=BLUE, label="$m^k$, enumerated")
    grid = results["grid"]
    counts.semilogy(depths, grid, "x", color=ORANGE, markersize=8, label="$m^k$, proven grid")
    bound(counts, depths, results["closed_form"], label="$2^k + 1$")
    for layers, shade, side in ((2, PURPLE, "top"), (3, GREY, "bottom")):
        most = [
            float(jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=3 * int(k), layers=layers))
            for k in depths
        ]
        counts.plot(depths, most, color=shade, linewidth=1.3)
        counts.annotate(
            f"bound, {layers} layers",
            (depths[-1], most[-1]),
            xytext=(0, 5 if side == "bottom" else -24),
            textcoords="offset points",
            ha="right",
            va=side,
            color=shade,
        )
    counts.set(xlabel="depth k, with 3k ReLUs", title="Crossings with as many ReLUs")
    counts.set_ylim(top=6 * counts.get_ylim()[1])
    counts.legend(loc="upper left")

    width = np.unique(results["widths"])
    floor = [float(jd.bounds.l1_gap(depth, int(w) + 2)) for w in width]
    distances.fill_between(width, 0, floor, color=SKY, alpha=0.25, linewidth=0)
    bound(distances, width, floor, label="floor of every network of one hidden layer")
    distances.plot(
        results["widths"], results["l1"], "o", color=RED, alpha=0.6, label="trained, one per start"
    )
    distances.plot(3 * depth, 0, "*", color=BLUE, markersize=13, clip_on=False, zorder=3)
    distances.annotate(
        f"$m^{{{depth}}}$ itself,\n{depth} deep",
        (3 * depth, 0),
        xytext=(8, 5),
        textcoords="offset points",
        color=BLUE,
    )
    distances.set_xscale("log", base=2)
    distances.set_xticks(width, [str(w) for w in width])
    distances.minorticks_off()
    distances.set(xlabel="ReLUs in one hidden layer", ylim=(0, 0.36))
    distances.set_title(f"Distance to $m^{{{depth}}}$ in $L_1$")
    distances.legend(loc="upper left")
    return figure
