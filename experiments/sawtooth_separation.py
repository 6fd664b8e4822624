"""Deep sawtooths cross one half exponentially often, and no shallow network keeps up.

Telgarsky 2016. The k-fold mirror map m^k, a ReLU network of 2k layers and 3k nodes, has crossing
number 2^k + 1 (Corollary 3.14); a network of m ReLUs in l layers has at most 2(2m/l)^l (Lemma 3.3).
Where label regions are missing, the rest is wrong (Lemma 3.1), and the distance has an exact floor:
∫₀¹ |m^K − g| ≥ (2^K + 1 − Cr(g))/2^(K+3) for every g.

Here m^k is counted three ways, the theorem's own networks with them, and shallow networks are
trained to be m^K: dozens of them, of one, two and three hidden layers with the same numbers of
ReLUs, in one compiled program. Each is then held against every bound, by counts that are exact for
the weights it ended with, and distances in closed form, rounded to float64.

Where we depart: Telgarsky bounds the distance to shallow networks by 1/64; here trained networks
are held against the exact least distance that their own crossings allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _live
from experiments._closeness import l1_distance, regions_wrong
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import (
    BLUE,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    bound,
    note,
    panels,
    styled,
)
from experiments._live import Axis, Colour, Frame, Live, Panel, bars, dots, joined, line
from experiments._table import at_least, digits
from jaxdepth.crossings import CountResult, Exact, Grid, Symbolic

CHAPTER = "oscillations"
ALT = (
    "Top: trained networks of 1, 2 and 3 hidden layers miss teeth of the sawtooth; the sawtooth's "
    "crossings double with its depth and pass every bound for few layers. Below: each trained "
    "network's distance lies above the floor that its crossings set, and proven floors by size."
)


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        max_depth: m^k is counted for k = 1 … max_depth.
        teeth: a sawtooth of each many teeth is counted at depth 3.
        theorem: Theorem 1.1 is held to its own sizes for each of these k.
        target_depth: K, the sawtooth m^K that shallow networks are trained to be.
        nodes: their numbers of ReLUs, each divisible by every number of layers.
        layers: their numbers of hidden layers.
        restarts: networks of each kind.
        steps: full-batch Adam steps.
        learning_rate: of Adam.
        seed: of the initialisations.
    """

    max_depth: int = 14
    teeth: tuple[int, ...] = (2, 3, 5)
    theorem: tuple[int, ...] = (1, 2, 3)
    target_depth: int = 3
    nodes: tuple[int, ...] = (6, 12, 24)
    layers: tuple[int, ...] = (1, 2, 3)
    restarts: int = 4
    steps: int = 2000
    learning_rate: float = 1e-2
    seed: int = 0


QUICK = Config()
FULL = Config(
    max_depth=18,
    teeth=(2, 3, 4, 5, 7),
    theorem=(1, 2, 3, 4, 5),
    target_depth=4,
    nodes=(6, 12, 24, 48),
    restarts=8,
    steps=10_000,
)
MOVED = 12  # depths that the live figure shows, at most
PICTURED = 12  # the K of the floors in the picture: Theorem 1.1's m^K at k = 2
SHADES = {1: RED, 2: ORANGE, 3: PURPLE}  # of 1, 2 and 3 hidden layers


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
    return {
        **deep,
        **shallow,
        "theorem": np.array(config.theorem),
        "target_depth": np.array(config.target_depth),
    }


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
    sawtooths = [jd.piecewise.pieces(jd.networks.Sawtooth(int(k))) for k in depths]
    toothed = [jd.crossings.count(jd.networks.Sawtooth(3, teeth=t), Exact()) for t in config.teeth]
    theorem = [
        jd.crossings.count(jd.networks.Sawtooth(theorem_depth(k)), Symbolic())
        for k in config.theorem
    ]
    return {
        "depths": depths,
        "closed_form": np.array([jd.bounds.triangle_count(1, int(k)) for k in depths]),
        "grid": np.asarray(grid.value),
        "grid_trusted": np.asarray(grid.trusted),
        "enumerated": np.array([answer.value for answer in enumerated]),
        "num_pieces": np.array([sawtooth.num for sawtooth in sawtooths]),
        **{f"deep_x{k}": sawtooths[k - 1].breakpoints for k in depths[:MOVED].tolist()},
        **{f"deep_y{k}": sawtooths[k - 1].values for k in depths[:MOVED].tolist()},
        "teeth": np.array(config.teeth),
        "toothed": np.array([answer.value for answer in toothed]),
        # In decimal: from k = 4 on they are beyond 64 bits.
        "theorem_counts": np.array([str(answer.value) for answer in theorem]),
        "lying_value": np.asarray(lie.value),
        "lying_flagged": np.asarray(lie.result == CountResult.unresolved),
    }


def theorem_depth(k: int) -> int:
    """Return K of the m^K in Theorem 1.1: it has 2k³ + 8 = 2K layers and 3k³ + 12 = 3K nodes."""
    return jd.bounds.telgarsky16_separation(k).layers // 2


def train_shallow(config: Config) -> Results:
    """Train ReLU networks of few layers to be m^K; return what each came to, exactly."""
    target = jd.networks.Sawtooth(config.target_depth)
    x = jnp.linspace(0.0, 1.0, 16 * 2**config.target_depth + 1)
    data = Fit(x, jax.vmap(target)(x))
    kinds = [(n, depth) for n in config.nodes for depth in config.layers]
    nodes, layers = np.repeat(kinds, config.restarts, axis=0).T
    keys = jax.random.split(jax.random.key(config.seed), len(nodes))
    sizes = (1, *[max(config.nodes)] * max(config.layers), 1)

    @eqx.filter_jit
    def train(widths: Array, depths: Array, keys: Array) -> jd.networks.MLP:
        def one(width: Array, depth: Array, key: Array) -> jd.networks.MLP:
            net = jd.networks.MLP.padded(sizes, width=width, depth=depth, bias_std=0.5, key=key)
            adam = optax.adam(config.learning_rate)
            return jd.dynamics.descend(
                net, data.loss, adam, config.steps, record_every=config.steps
            ).model

        return eqx.filter_vmap(one)(widths, depths, keys)

    trained = train(jnp.asarray(nodes // layers), jnp.asarray(layers), keys)
    nets = [
        jax.tree.map(lambda leaf, i=i: leaf[i] if eqx.is_array(leaf) else leaf, trained)
        for i in range(len(nodes))
    ]
    deep = jd.piecewise.pieces(target)
    found = [jd.piecewise.pieces(net) for net in nets]
    distances = np.array([l1_distance(deep, shallow) for shallow in found])
    results = {
        "nodes": nodes,
        "layers": layers,
        "crossings": np.array([jd.crossings.count(net, Exact()).value for net in nets]),
        "pieces": np.array([shallow.num for shallow in found]),
        "l1": distances,
        "wrong_throughout": np.array([regions_wrong(deep, shallow) for shallow in found]),
    }
    for depth in config.layers:
        member = np.flatnonzero(layers == depth)
        best = found[member[np.argmin(distances[member])]]
        results |= {f"best_x{depth}": best.breakpoints, f"best_y{depth}": best.values}
    return results


def most_pieces(nodes: int, layers: int) -> int:
    """Return the most affine pieces that so many ReLUs have in so many layers, however split."""
    wide = nodes % layers
    return jd.bounds.serra18_pieces_upper(
        [nodes // layers + 1] * wide + [nodes // layers] * (layers - wide)
    )


def rival_gap(k: int) -> Fraction:
    """Return how near the rivals of Theorem 1.1 can come, by the crossings Lemma 3.3 leaves them.

    The lemma's bound grows with the nodes, so that the most are taken, in each number of layers.
    """
    sizes = jd.bounds.telgarsky16_separation(k)
    most = max(
        jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=int(sizes.rival_nodes), layers=layers)
        for layers in range(1, k + 1)
    )
    return jd.bounds.l1_gap(theorem_depth(k), math.floor(most))


def named(numbers: np.ndarray) -> str:
    """Write the different numbers as a list."""
    *first, last = map(str, np.unique(numbers))
    return f"{', '.join(first)} and {last}" if first else last


def claims(results: Results) -> list[Claim]:
    """State what the theorems predict beside what came out."""
    depth = int(results["target_depth"])
    deepest = int(results["depths"][-1])
    counted = all(
        np.array_equal(results[route], results["closed_form"]) for route in ("grid", "enumerated")
    )
    toothed = [jd.bounds.triangle_count(int(t), 3) for t in results["teeth"]]
    crossing_bounds = [
        jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=int(n) + 1, layers=int(depth) + 1)
        for n, depth in zip(results["nodes"], results["layers"], strict=True)
    ]
    piece_bounds = [
        most_pieces(int(n), int(depth))
        for n, depth in zip(results["nodes"], results["layers"], strict=True)
    ]
    crossings = results["crossings"].tolist()
    theorem = results["theorem"].tolist()
    theorem_counts = [int(count) for count in results["theorem_counts"]]
    theorem_gaps = [rival_gap(k) for k in theorem]
    shallow_gaps = [
        jd.bounds.l1_gap(PICTURED, most_pieces(3 * PICTURED, layers) + 1) for layers in SHADES
    ]
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
            "Theorem 1.1's own networks, k = "
            f"{', '.join(map(str, results['theorem']))}: Cr = 2^(k³+4) + 1",
            "Telgarsky 2016, Theorem 1.1 and Corollary 3.14",
            ", ".join(digits(2 ** theorem_depth(k) + 1) for k in theorem),
            ", ".join(map(digits, theorem_counts)) + ", symbolically",
            "exact",
            theorem_counts == [2 ** theorem_depth(k) + 1 for k in theorem],
        ),
        Claim(
            "They are 1/64 and more from every rival of at most k layers and 2^k nodes",
            "Telgarsky 2016, Theorem 1.1, with Lemma 3.3 and our exact gap",
            "≥ 1/64 = 0.0156",
            ", ".join(map(at_least, theorem_gaps)),
            "exact",
            all(gap >= jd.bounds.telgarsky16_separation(1).gap for gap in theorem_gaps),
        ),
        Claim(
            f"Nothing of {3 * PICTURED} ReLUs in 1, 2 or 3 hidden layers is near m^{PICTURED}, "
            f"which has as many in {2 * PICTURED}",
            "derived here, with Serra, Tjandraatmadja & Ramalingam 2018, Theorem 1",
            "≥ 1/64 in L1",
            ", ".join(map(at_least, shallow_gaps)),
            "exact",
            all(gap >= Fraction(1, 64) for gap in shallow_gaps),
        ),
        Claim(
            f"{len(crossings)} trained networks of {named(results['layers'])} hidden layers: "
            "Cr ≤ 2(2m/l)^l",
            "Telgarsky 2016, Lemma 3.3",
            f"at most {int(min(crossing_bounds)):,} to {int(max(crossing_bounds)):,} by shape",
            f"{min(crossings)} to {max(crossings)} (m^{depth} has {2**depth + 1})",
            "exact",
            all(c <= b for c, b in zip(crossings, crossing_bounds, strict=True)),
        ),
        Claim(
            "and their affine pieces are at most Π (width + 1)",
            "Serra, Tjandraatmadja & Ramalingam 2018, Theorem 1",
            f"at most {min(piece_bounds):,} to {max(piece_bounds):,} by shape",
            f"{results['pieces'].min()} to {results['pieces'].max()}",
            "exact",
            all(p <= b for p, b in zip(results["pieces"], piece_bounds, strict=True)),
        ),
        Claim(
            f"None is closer to m^{depth} in L1 than its crossings allow",
            "derived here: (2^K + 1 − s)/2^(K+3); Telgarsky 2016, Theorem 3.19",
            f"≥ {at_least(gaps[nearest])} for Cr = {crossings[nearest]}",
            f"{results['l1'][nearest]:.4f}, the nearest",
            "estimate",
            bool(np.all(results["l1"] >= gaps)),
        ),
        Claim(
            f"Each is wrong throughout on a fraction of the label regions of m^{depth}",
            "Telgarsky 2016, Lemma 3.1",
            f"≥ {at_least(wrong[least], 3)} for Cr = {crossings[least]}",
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
    """Draw the functions, the counts, the distances and the floors."""
    figure, ((functions, counts), (distances, floors)) = panels(2, 2, size=(9.6, 6.6))
    draw_functions(functions, results)
    draw_counts(counts, results)
    draw_distances(distances, results)
    draw_floors(floors)
    return figure


def draw_functions(axes: Any, results: Results) -> None:
    """Draw m^K under the nearest rival of each depth."""
    depth = int(results["target_depth"])
    x = np.linspace(0, 1, 2**depth + 1)
    for place, layers in enumerate(np.unique(results["layers"])[::-1].tolist()):
        lift = 1.4 * place
        axes.plot(x, lift + np.arange(2**depth + 1) % 2, color=BLUE, linewidth=1.0)
        axes.plot([0, 1], [lift + 0.5] * 2, color=GREY, linewidth=0.5)
        y = np.clip(results[f"best_y{layers}"], -0.15, 1.15)
        axes.plot(results[f"best_x{layers}"], lift + y, color=SHADES[layers])
        note(axes, f"{layers} hidden", (1, lift + 0.5), (5, 0), va="center", color=SHADES[layers])
    axes.plot([], [], color=BLUE, linewidth=1.0, label=f"$m^{{{depth}}}$")
    axes.plot([], [], color=INK, label=f"nearest trained, up to {results['nodes'].max()} ReLUs")
    axes.set(xlabel="x", yticks=[], xlim=(0, 1.17), ylim=(-0.25, lift + 1.75))
    axes.set_xticks(np.linspace(0, 1, 5))
    axes.set_title(f"What shallow networks make of $m^{{{depth}}}$")
    axes.legend(loc="upper left", ncols=2)


def draw_counts(axes: Any, results: Results) -> None:
    """Draw the crossings of m^k over what few layers can have with as many ReLUs."""
    depths = results["depths"]
    axes.semilogy(depths, results["enumerated"], "o", color=BLUE, label="$m^k$, enumerated")
    axes.semilogy(depths, results["grid"], "x", color=SKY, markersize=8, label="$m^k$, proven grid")
    bound(axes, depths, results["closed_form"], label="$2^k + 1$")
    for layers, shade in SHADES.items():
        ks = depths[3 * depths >= layers]
        most = [most_pieces(3 * int(k), layers) + 1 for k in ks]
        axes.plot(ks, most, color=shade, linewidth=1.3)
        note(axes, f"{layers} hidden", (depths[-1], most[-1]), (4, 0), va="center", color=shade)
    axes.set(xlabel="depth k, with 3k ReLUs", title="Crossings with as many ReLUs, and the most")
    axes.set_xlim(right=1.17 * depths[-1])
    axes.set_xticks(depths[1::2])
    axes.legend(loc="upper left")


def draw_distances(axes: Any, results: Results) -> None:
    """Draw every trained rival's distance over the floor that its crossings set."""
    depth = int(results["target_depth"])
    s = np.arange(1, 2**depth + 2)
    floor = [float(jd.bounds.l1_gap(depth, int(each))) for each in s]
    axes.fill_between(s, 0, floor, color=SKY, alpha=0.25, linewidth=0)
    bound(axes, s, floor, label="no function is below")
    for layers, marker in zip(np.unique(results["layers"]).tolist(), MARKERS, strict=False):
        member = results["layers"] == layers
        axes.plot(
            results["crossings"][member] + 0.15 * (layers - 2),
            results["l1"][member],
            marker,
            color=SHADES[layers],
            alpha=0.7,
            label=f"trained, {layers} hidden",
        )
    axes.plot(2**depth + 1, 0, "*", color=BLUE, markersize=13, clip_on=False, zorder=3)
    note(axes, f"$m^{{{depth}}}$", (2**depth + 1, 0), (-5, 8), color=BLUE, ha="right")
    axes.set(xlabel="crossings of the network", ylim=(0, 0.37), xticks=s[:: max(1, len(s) // 9)])
    axes.set_title(f"Distance to $m^{{{depth}}}$ in $L_1$, exact counts")
    axes.legend(loc="upper right", ncols=2, columnspacing=1.0)


def draw_floors(axes: Any) -> None:
    """Draw the distance that shallow networks of a size cannot go below."""
    for layers, shade in SHADES.items():
        nodes = np.unique(np.geomspace(layers, 2**PICTURED, 200).astype(int))
        most = [most_pieces(int(n), layers) + 1 for n in nodes]
        floor = np.array([float(jd.bounds.l1_gap(PICTURED, s)) for s in most])
        reach = np.count_nonzero(floor) + 1  # the first 0 included
        nodes, floor = nodes[:reach], floor[:reach]
        axes.plot(nodes, floor, color=shade, label=f"{layers} hidden")
        axes.fill_between(nodes, 0, floor, color=shade, alpha=0.12, linewidth=0)
    axes.axhline(1 / 64, color=INK, linewidth=1.3, linestyle=(0, (4, 2)))
    note(axes, "1/64, Theorem 1.1", (1, 1 / 64), (0, 3))
    axes.plot(3 * PICTURED, 0, "*", color=BLUE, markersize=13, clip_on=False, zorder=3)
    note(
        axes,
        f"$m^{{{PICTURED}}}$, {3 * PICTURED} ReLUs",
        (3 * PICTURED, 0),
        (-7, 5),
        color=BLUE,
        ha="right",
    )
    axes.set(xscale="log", xlabel="ReLUs", ylim=(0, 0.16))
    axes.set_title(f"Proven $L_1$ floors for $m^{{{PICTURED}}}$, by hidden layers")
    axes.legend(loc="upper right", ncols=3, columnspacing=1.0)


def live(results: Results) -> tuple[Live, ...]:
    """Return m^k, its classifier and its counts, over the depth k."""
    depths = results["depths"][:MOVED].tolist()
    counts = results["enumerated"].tolist()
    most = {  # crossings of as many ReLUs in few layers, at most
        layers: [most_pieces(3 * k, layers) + 1 for k in depths] for layers in SHADES
    }
    colours: dict[int, Colour] = {1: "red", 2: "orange", 3: "purple"}
    panels = [
        Panel(
            "mᵏ, and where it is ½ or more",
            Axis("x", 0, 1),
            Axis("", -0.16, 1.04),
            [line([0, 1], [0.5, 0.5], "grey", dashed=True, width=1)],
        ),
        Panel(
            "Label intervals, of as many ReLUs",
            Axis("depth k, with 3k ReLUs", 0.5, depths[-1] + 0.5),
            Axis("", 1, 2 * counts[len(depths) - 1], log=True),
            [
                *(line(depths, most[layers], colours[layers], dashed=True) for layers in SHADES),
                *(
                    _live.note(depths[-1], 1.2 * most[layers][-1], f"{layers} hidden", anchor="end")
                    for layers in SHADES
                ),
            ],
        ),
    ]
    frames = []
    for i, k in enumerate(depths):
        x, y = results[f"deep_x{k}"], results[f"deep_y{k}"]
        cuts = x[:-1] + (0.5 - y[:-1]) * np.diff(x) / np.diff(y)  # each piece passes ½ once
        told = [
            f"k = {k}: {2 * k} layers, {3 * k} ReLUs, {counts[i]:,} label intervals and "
            f"{results['num_pieces'][i]:,} affine pieces (exact)",
            *(
                f"{layers} hidden layer{'s' * (layers > 1)}: at most {most[layers][i]:,}"
                for layers in SHADES
            ),
        ]
        function = [
            bars(cuts[::2], cuts[1::2], -0.13, -0.05, "blue"),
            line(x, y, "blue", width=1.8 if k < 7 else 0.8),
        ]
        grown = [line(depths[: i + 1], counts[: i + 1], "blue"), dots([k], [counts[i]], "blue")]
        frames.append(Frame(joined(told), [function, grown]))
    moving = Live(
        "A sawtooth, its classifier and its counts, as the depth grows",
        "depth k",
        [str(k) for k in depths],
        panels,
        frames,
        start=min(3, len(depths) - 1),
        key=[
            ("blue", "mᵏ; its classifier below"),
            *((colours[layers], f"at most, {layers} hidden") for layers in SHADES),
        ],
    )
    return (moving,)
