"""Depth buys oscillations where weights are chosen, and next to none where they are drawn.

Affine pieces and crossings over depth × width. At random (He's weights, biases N(0, 1)) a network
R → R has about one breakpoint a neuron, whatever its depth (Hanin & Rolnick 2019; the constant is
derived at `bounds.breakpoint_law`). Its output is one neuron more, which takes the value 0 where a
unit would bend: so by the same law it crosses 0 once on the whole line, Cr = 2 in the mean, however
deep and wide. Of the same neurons Telgarsky's sawtooth makes Cr = (2·teeth)^depth + 1 (2016,
Corollary 3.14), and no network more than 2(2m/l)^l, of m gates in l layers (Lemma 3.3).

Every count is exact. Random networks are enumerated by rational arithmetic, whose values tell
pieces and crossings at once: of those with six layers or more, float64 leaves most open on so long
an interval. Of sawtooths crossings are counted symbolically, at any depth. That finite width costs
at most a share depth/(4·width) is observed, here as in `pieces_at_init`, and not derived.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import BLUE, GREY, HALO, ORANGE, RED, SKY, bound, edges, panels, styled
from experiments._sweeping import PART, Sweep, swept
from experiments._table import at_most
from jaxdepth.crossings import Exact, Symbolic, changes, count
from jaxdepth.networks import MLP, Sawtooth
from jaxdepth.piecewise import pieces
from jaxdepth.sweeps import Size, grid, padded, traced

CHAPTER = "oscillations"
ALT = (
    "Left, mean pieces of random networks over depth and width, alike on lines of equal neurons. "
    "Middle, crossings of sawtooths over folds and teeth, exponential in the folds. Right, counts "
    "against neurons: random networks on the line of one a neuron, sawtooths far above, all below "
    "the bounds."
)
LINE = (-1e3, 1e3)  # but for a share of 2c/(1000π) of the kinks, c < 3, the whole line
STEP_OF_WIDTH, STEP_OF_DEPTH = 16, 4
ENUMERATED = 2**12  # pieces of a sawtooth that are listed
LINES: dict[str, Any] = {"color": "white", "linewidth": 1.2, "path_effects": HALO}  # on a map


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        widths: of the random networks, ascending.
        depths: their numbers of hidden layers, ascending.
        seeds: draws of each shape.
        sampled: shapes of which one network is counted again, unpadded, in float64 where its
            rounding bound allows.
        teeth: of the sawtooths.
        deepest: they are counted for depths 1 … deepest.
    """

    widths: tuple[int, ...] = (4, 8, 12, 16)
    depths: tuple[int, ...] = (1, 2, 4, 8)
    seeds: int = 20
    sampled: int = 2
    teeth: tuple[int, ...] = (1, 2, 3, 4)
    deepest: int = 40

    def __post_init__(self) -> None:
        """Refuse too little for the claims, and what is out of order."""
        for name in ("widths", "depths", "teeth"):
            given = getattr(self, name)
            if len(given) < 2 or min(given) < 1 or sorted(set(given)) != list(given):
                raise ValueError(
                    f"`{name}` must be two at least, positive, ascending; got {given}."
                )
        if self.teeth[0] != 1:
            raise ValueError(f"`teeth` must begin with 1; got {self.teeth}.")
        least = {"seeds": 2, "sampled": 1, "deepest": 2}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"`{name}` must be at least {number}; got {getattr(self, name)}.")


QUICK = Config()
FULL = Config(
    widths=(*range(1, 17), *range(20, 65, 4)),
    depths=tuple(range(1, 13)),
    seeds=5,
    sampled=8,
    teeth=tuple(range(1, 9)),
    deepest=1000,
)


def run(config: Config, part: Part = direct) -> Results:
    """Count the random networks, some of them again, and the sawtooths."""
    with jax.enable_x64(True):
        drawn = part(PART, lambda: count_random(config, part))
        return {
            **drawn,
            **part("again", lambda: count_again(config, drawn)),
            **part("sawtooths", lambda: count_sawtooths(config)),
        }


def sweep(config: Config) -> Sweep:
    """Return the random networks and what is measured of each."""
    plan = grid(
        width=padded(config.widths, bounds=bounds_of(config.widths, STEP_OF_WIDTH)),
        depth=padded(config.depths, bounds=bounds_of(config.depths, STEP_OF_DEPTH)),
        seed=range(config.seeds),
    )
    return Sweep(plan, measure, float64=True, host=True)


def bounds_of(sizes: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Return the multiples of `step` that sizes are padded to."""
    return tuple(sorted({rounded_up(size, step) for size in sizes}))


def rounded_up(size: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-size // step) * step


def measure(width: Size, depth: Size, seed: Any) -> dict[str, Any]:
    """Count the crossings of 0 and the affine pieces of one random network.

    Sizes are rounded up, which changes no weight, so that few programs draw all networks.
    """
    most, layers = rounded_up(width.max, STEP_OF_WIDTH), rounded_up(depth.max, STEP_OF_DEPTH)
    net = MLP.padded(
        (1, *[most] * layers, 1),
        width=width,
        depth=depth,
        dtype=jnp.float32,
        key=key_of(width.value, depth.value, seed),
    )
    found = pieces(net, LINE, "rational")  # values rounded once, which keeps their signs
    return {"crossings": 1 + int(changes(found.values, 0.0)), "pieces": found.num}


def key_of(width: Any, depth: Any, seed: Any) -> Any:
    """Return the key of one draw of one shape.

    Weights are drawn by index: under one key a shape would hold the next smaller as its part, and
    the errors of means over shapes would be several times what independent draws promise.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), width), depth)


def count_random(config: Config, part: Part) -> Results:
    """Run the sweep."""
    dataset = swept(sweep(config), part)
    return {
        "widths": np.array(config.widths),
        "depths": np.array(config.depths),
        "crossings": dataset["crossings"].values,
        "pieces": dataset["pieces"].values,
    }


def count_again(config: Config, drawn: Results) -> Results:
    """Count the last draw of some shapes again: never padded, each number by itself."""
    shapes = list(np.ndindex(drawn["crossings"].shape[:2]))
    chosen = np.linspace(len(shapes) // 2, len(shapes) - 1, config.sampled).astype(int)
    rows = []
    for i, j in (shapes[place] for place in chosen):
        width, depth, seed = config.widths[i], config.depths[j], config.seeds - 1
        sizes = (1, *[width] * depth, 1)
        net = MLP(sizes, dtype=jnp.float32, key=key_of(width, depth, seed))
        again = count(net, Exact(), interval=LINE, level=0.0)
        listed = pieces(net, LINE)
        before = drawn["crossings"][i, j, seed], drawn["pieces"][i, j, seed]
        rows.append((width, depth, again.value, listed.num, *before))
    return {"again": np.array(rows)}


def count_sawtooths(config: Config) -> Results:
    """Count every sawtooth symbolically, and list the pieces of small ones."""
    depths = range(1, config.deepest + 1)
    plan = grid(teeth=traced(config.teeth), depth=traced(depths))
    counted = jd.sweeps.run(plan, measure_sawtooth, host=True, progress=False)
    return {
        "teeth": np.array(config.teeth),
        "sawtooth_log2": counted["log2_crossings"].values,
        "sawtooth_proven": counted["proven"].values,
        "sawtooth_pieces": counted["pieces"].values,
    }


def measure_sawtooth(teeth: int, depth: int) -> dict[str, Any]:
    """Count one sawtooth, whose crossings need not fit 64 bits; of pieces, those that are dyadic.

    Pieces of stored weights are (2·teeth)^depth where breakpoints j/(2·teeth) are stored exactly.
    """
    net = Sawtooth(depth, teeth=teeth)
    answer = count(net, Symbolic())
    dyadic = teeth & (teeth - 1) == 0
    few = dyadic and (2 * teeth) ** depth <= ENUMERATED
    return {
        "log2_crossings": math.log2(answer.value),
        "proven": answer.trusted and answer.value == jd.bounds.triangle_count(teeth, depth),
        "pieces": pieces(net).num if few else 0,
    }


def slopes(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """Return breakpoints per neuron at each depth, by least squares through 0, and the errors.

    The variance of a count grows with it, so that the mean of all breakpoints over all neurons is
    the weighted fit; the error is that of the residuals.
    """
    neurons = results["widths"][:, None] * results["depths"][None, :]
    bends = results["pieces"] - 1
    seeds = bends.shape[2]
    slope = bends.sum(axis=(0, 2)) / (seeds * neurons.sum(axis=0))
    residual = bends - slope[None, :, None] * neurons[..., None]
    error = np.sqrt((residual**2).sum(axis=(0, 2))) / (seeds * neurons.sum(axis=0))
    return slope, error


def losses(results: Results) -> np.ndarray:
    """Return the share that finite width may cost, shape (widths, depths): `pieces_at_init`'s."""
    return np.minimum(1, results["depths"][None, :] / (4 * results["widths"][:, None]))


def claims(results: Results) -> list[Claim]:
    """State what the theorems predict beside what came out."""
    widths, depths = results["widths"].tolist(), results["depths"].tolist()
    shapes = list(itertools.product(widths, depths))
    number = results["crossings"].size
    most = {name: results[name].max(axis=2).reshape(-1) for name in ("crossings", "pieces")}
    telgarsky = [upper(width * depth + 1, depth + 1) for width, depth in shapes]
    serra = [jd.bounds.serra18_pieces_upper([width] * depth) for width, depth in shapes]
    within = [
        int(c) <= t and int(p) <= s
        for c, p, t, s in zip(most["crossings"], most["pieces"], telgarsky, serra, strict=True)
    ]
    slope, error = slopes(results)
    loss = losses(results)
    lost = (loss * results["widths"][:, None]).sum(axis=0) / sum(widths)
    ends = [0, len(depths) - 1]
    mean = float(results["crossings"].mean())
    mean_error = float(results["crossings"].std(ddof=1)) / math.sqrt(number)
    again = results["again"]
    proven, log2 = results["sawtooth_proven"], results["sawtooth_log2"]
    listed = results["sawtooth_pieces"]
    few = listed > 0
    two = np.log2(2 * results["teeth"])[:, None] * np.arange(1, log2.shape[1] + 1)[None, :]
    deepest, teeth = log2.shape[1], results["teeth"].tolist()
    return [
        Claim(
            f"At random a network bends once a neuron at every depth, {depths[0]} to {depths[-1]}, "
            "within a share depth/(4·width)",
            "Hanin & Rolnick 2019, Theorem 1; `breakpoint_law`",
            "breakpoints per neuron: "
            + "; ".join(f"{1 - lost[i]:.3f} to 1 at depth {depths[i]}" for i in ends),
            "; ".join(f"{slope[i]:.3f} ± {error[i]:.3f}" for i in ends),
            "estimate",
            bool(np.all((slope > 1 - lost - 4 * error) & (slope < 1.005 + 4 * error))),
        ),
        Claim(
            f"and crosses 0 once on the line, in the mean of {number:,}",
            "derived here: the output by the law of one more neuron",
            f"Cr: {2 - loss.mean():.2f} to 2, by the same share",
            f"{mean:.3f} ± {mean_error:.3f}",
            "estimate",
            2 - loss.mean() - 4 * mean_error < mean < 2 + 4 * mean_error,
        ),
        Claim(
            f"None of the {number:,} has more crossings or pieces than networks of its size can",
            "Telgarsky 2016, Lemma 3.3; Serra et al. 2018, Theorem 1",
            f"Cr ≤ {telgarsky[0]} at {name_of(shapes[0])} to {at_most(telgarsky[-1], 1, 'e')} at "
            f"{name_of(shapes[-1])}, pieces ≤ {serra[0]} to {at_most(serra[-1], 1, 'e')}",
            "at most "
            + ", ".join(
                f"{counts.max()} {name} (at {name_of(shapes[counts.argmax()])})"
                for name, counts in most.items()
            ),
            "exact",
            all(within),
        ),
        Claim(
            f"Sawtooths of {teeth[0]} to {teeth[-1]} teeth have Cr = (2·teeth)^depth + 1 at every "
            f"depth to {deepest:,}",
            "Telgarsky 2016, Corollary 3.14",
            f"{proven.size:,} of {proven.size:,}",
            f"{int(proven.sum()):,}, the largest of {int(log2.max()) + 1:,} bits",
            "exact",
            bool(proven.all() and np.allclose(log2, np.logaddexp2(two, 0), rtol=1e-12)),
        ),
        Claim(
            f"and (2·teeth)^depth affine pieces, {int(few.sum())} of them listed",
            "Telgarsky 2016, Lemma 3.12",
            f"{round(2 ** two[few].max()):,} at most",
            f"{listed.max():,}",
            "exact",
            bool(few.any() and np.array_equal(listed[few], np.rint(2 ** two[few]))),
        ),
        Claim(
            f"{len(again)} sampled networks count the same, unpadded, in float64 where it settles",
            "two routes",
            "; ".join(f"{w}x{d}: {c}, {p}" for w, d, c, p, *_ in again[-2:].tolist()),
            "; ".join(f"{w}x{d}: {c}, {p}" for w, d, _, _, c, p in again[-2:].tolist()),
            "exact",
            bool(np.array_equal(again[:, 2:4], again[:, 4:])),
        ),
    ]


def name_of(shape: tuple[int, int]) -> str:
    """Name a shape, width before depth."""
    return f"{shape[0]}x{shape[1]}"


def upper(nodes: int, layers: int) -> Any:
    """Return Lemma 3.3's bound for a network of ReLUs."""
    return jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes, layers)


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw the two maps with what theorems say, and all counts against neurons."""
    figure, (drawn, chosen, against) = panels(1, 3)
    draw_random(figure, drawn, results)
    draw_sawtooths(figure, chosen, results)
    draw_counts(against, results)
    return figure


def draw_random(figure: Figure, axes: Any, results: Results) -> None:
    """Draw the mean pieces over depth × width, and level lines of the law."""
    widths, depths = results["widths"], results["depths"]
    mean = results["pieces"].mean(axis=2)
    across, up = edges(depths), edges(widths)
    mesh = axes.pcolormesh(across, up, mean, norm=LogNorm(), rasterized=True)
    ends = 2 * (1 + across[0] * up[0]), (1 + across[-1] * up[-1]) / 2
    for neurons in (2.0**k - 1 for k in range(2, 11) if ends[0] < 2**k < ends[1]):
        line = np.geomspace(across[0], across[-1], 50)
        inside = (neurons / line > up[0]) & (neurons / line < up[-1])
        axes.plot(line[inside], neurons / line[inside], **LINES)
        middle = line[inside][inside.sum() // 2]
        label(axes, f"{neurons + 1:.0f}", (middle, neurons / middle))
    axes.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="width")
    axes.set_title("Random: mean of pieces; lines, neurons + 1")
    axes.grid(visible=False)
    for axis, sizes in ((axes.xaxis, depths), (axes.yaxis, widths)):
        shown = [size for size in sizes.tolist() if size & (size - 1) == 0 or len(sizes) < 6]
        axis.set_ticks(shown, [str(size) for size in shown])
        axis.set_minor_locator(NullLocator())
    figure.colorbar(mesh, ax=axes).set_label("affine pieces")


def draw_sawtooths(figure: Figure, axes: Any, results: Results) -> None:
    """Draw the digits of Cr over depth × teeth, and level lines of Lemma 3.3's bound."""
    teeth = results["teeth"]
    digits = results["sawtooth_log2"] * math.log10(2)
    deepest = digits.shape[1]
    mesh = axes.pcolormesh(
        np.arange(1, deepest + 1), teeth, digits, shading="nearest", rasterized=True
    )
    height = np.linspace(teeth[0] - 0.5, teeth[-1] + 0.5, 50)
    # k folds are k(2s + 1) ReLUs in 2k layers, the bound 2(2s + 1)^(2k): its level lines have
    # k = log(level/2)/(2·log(2s + 1)), at any s.
    most = log_upper(deepest * (2 * int(teeth[-1]) + 1), 2 * deepest) / math.log(10)
    step = 10.0 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 5) if most / (step * factor) < 7)
    for level in np.arange(step, most, step):
        line = (level - math.log10(2)) / (2 * np.log10(2 * height + 1))
        inside = line < deepest + 0.5
        axes.plot(line[inside], height[inside], **LINES)
        middle = np.flatnonzero(inside)[inside.sum() // 2]
        label(axes, f"$10^{{{level:.0f}}}$", (line[middle], height[middle]))
    axes.set(xlabel="folds (two layers each)", ylabel="teeth")
    axes.set_title("Sawtooths: exact Cr; lines, Lemma 3.3")
    axes.grid(visible=False)
    axes.set_yticks(teeth)
    figure.colorbar(mesh, ax=axes).set_label("log10 Cr")


def label(axes: Any, text: str, at: tuple[float, float]) -> None:
    """Write on a line of a map."""
    axes.text(*at, text, color="white", fontsize=8, ha="center", va="center", path_effects=HALO)


def log_upper(nodes: int, layers: int) -> float:
    """Return the logarithm of Lemma 3.3's bound for a network of ReLUs."""
    return jd.bounds.log_telgarsky16_crossing_upper(1, 1, 1, nodes, layers)


def draw_counts(axes: Any, results: Results) -> None:
    """Draw pieces and crossings of both against neurons, below Lemma 3.3's bounds."""
    widths, depths = results["widths"], results["depths"]
    neurons = (widths[:, None] * depths[None, :]).reshape(-1)
    for name, marker, shade in (("pieces", "o", BLUE), ("crossings", "s", SKY)):
        means = results[name].mean(axis=2).reshape(-1)
        axes.plot(neurons, means, marker, color=shade, markersize=3, label=f"random: {name}, means")
    line = np.array([neurons.min(), neurons.max()])
    bound(axes, line, line + 1, label="the laws: neurons + 1, and 2")
    bound(axes, line, [2, 2], label="")
    top = 1e3 * neurons.max()
    for s, shade in ((1, RED), (int(results["teeth"].max()), ORANGE)):
        row = results["sawtooth_log2"][results["teeth"].tolist().index(s)]
        k = np.flatnonzero(row < math.log2(top)) + 1
        label = f"sawtooths of {s} {'tooth' if s == 1 else 'teeth'}: crossings"
        axes.plot(k * (2 * s + 1), 2 ** row[k - 1], "^-", color=shade, markersize=3, label=label)
    middle = int(depths[len(depths) // 2])
    for depth, style in ((int(depths[0]), "-."), (middle, ":")):
        most = [math.exp(min(700.0, log_upper(w * depth + 1, depth + 1))) for w in widths.tolist()]
        label = f"Lemma 3.3, depth {depth}"
        axes.plot(widths * depth, most, style, color=GREY, linewidth=1.4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="neurons", title="Counts against neurons")
    axes.set_ylim(0.9, 1e9 * top)
    axes.legend(loc="upper left", fontsize=8)
