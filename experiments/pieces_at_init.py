"""A random network bends about once a neuron, and where it does is Cauchy's law.

Hanin & Rolnick 2019: at initialisation the affine pieces grow linearly with the number of neurons
and not exponentially with depth. On the line the law has constants: with weights N(0, 2/fan-in) and
biases N(0, s²), layer ℓ of infinite width bends with Cauchy's density of scale s√(ℓ/2), so that

    E #breakpoints in [a, b] = Σ_ℓ (n_ℓ/π)(atan(b/c_ℓ) − atan(a/c_ℓ)),  c_ℓ = s√(ℓ/2),

and Σ n_ℓ on the whole line (`bounds.breakpoint_law`, derived there). Here networks are drawn, their
affine pieces enumerated exactly, and the means held against the law. Finite width loses a little
near 0: that it is at most a share depth/(4·width) is observed here and not derived.

Where we depart: Hanin & Rolnick bound the number of pieces; here is its expectation at infinite
width, with the share that finite width costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import (
    BLUE,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    RED,
    bound,
    colours,
    panels,
    styled,
)
from experiments._table import at_most

CHAPTER = "oscillations"
ALT = (
    "Left, where random networks bend, layer by layer, on Cauchy's law. Middle, mean breakpoints "
    "over the law: 1 at depth 1, and somewhat below it on short intervals as the depth grows. "
    "Right, pieces against neurons: one a neuron, where exponentially many are possible."
)


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        widths: the hidden width of each shape; the first is the one whose density is shown, and the
            narrowest are the family that grows in depth.
        depths: its number of hidden layers.
        draws: networks of each shape.
        reach: half the longest interval, standing for the whole line.
        seed: of the draws.
    """

    widths: tuple[int, ...] = (64, 16, 16, 16, 16)
    depths: tuple[int, ...] = (3, 1, 2, 4, 8)
    draws: int = 80
    reach: float = 1e3
    seed: int = 0


QUICK = Config()
FULL = Config(
    widths=(64, 64, 256, 32, 32, 32, 32, 32, 32),
    depths=(3, 8, 3, 1, 2, 4, 8, 16, 30),
    draws=100,
)
INTERVALS = (1.0, 3.0)  # half-lengths; the reach is the third
EDGES = np.linspace(-4.0, 4.0, 33)  # of the histogram


def run(config: Config, part: Part = direct) -> Results:
    """Draw networks of every shape and enumerate their affine pieces."""
    halves = np.array([*INTERVALS, config.reach])
    shapes = list(zip(config.widths, config.depths, strict=True))
    each = [
        part(f"{width}x{depth}", partial(breakpoints, width, depth, halves, config))
        for width, depth in shapes
    ]
    return {
        "shapes": np.array(shapes),
        "halves": halves,
        "counts": np.stack([one["counts"] for one in each]),
        "histogram": each[0]["histogram"],
    }


def breakpoints(width: int, depth: int, halves: np.ndarray, config: Config) -> Results:
    """Count the breakpoints of each draw within every interval, and in every bin."""
    reach = float(halves[-1])
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), width), depth)
    sizes = (1, *[width] * depth, 1)
    counts, bins = [], []
    for draw in range(config.draws):
        net = jd.networks.MLP(sizes, key=jax.random.fold_in(key, draw))
        kinks = jd.piecewise.pieces(net, (-reach, reach)).breakpoints[1:-1]
        counts.append([np.count_nonzero(np.abs(kinks) < half) for half in halves])
        bins.append(np.histogram(kinks, EDGES)[0])
    return {"counts": np.array(counts), "histogram": np.array(bins)}


def laws(results: Results) -> np.ndarray:
    """Return what infinite width expects, shape (shapes, intervals)."""
    return np.array(
        [
            [
                jd.bounds.breakpoint_law([width] * depth, (-half, half))
                for half in results["halves"].tolist()
            ]
            for width, depth in results["shapes"].tolist()
        ]
    )


def mean_and_error(counts: np.ndarray, axis: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over the draws and its standard error."""
    error = counts.std(axis, ddof=1) / np.sqrt(counts.shape[axis])
    return counts.mean(axis), error


def family(results: Results) -> np.ndarray:
    """Return which shapes are the narrowest, by depth: the family that grows deeper."""
    width, depth = results["shapes"].T
    member = np.flatnonzero(width == width.min())
    return member[np.argsort(depth[member])]


def claims(results: Results) -> list[Claim]:
    """State the law beside the means."""
    shapes, halves = results["shapes"], results["halves"]
    width, depth = shapes.T
    mean, error = mean_and_error(results["counts"])
    law = laws(results)
    loss = (depth / (4 * width))[:, None]
    draws = results["counts"].shape[1]
    # Where few neurons can bend outside, the draws may all agree: then Poisson's error of those.
    outside = (width * depth)[:, None] - law
    bar = 4 * np.maximum(error, np.sqrt(outside / draws))
    within = np.abs(mean - law) <= law * loss + bar
    source = "derived here: `breakpoint_law`; Hanin & Rolnick 2019"
    rows = []
    for j, half in enumerate(halves):
        worst = int(np.argmin(mean[:, j] / law[:, j]))
        rows.append(
            Claim(
                f"Breakpoints on [−{half:g}, {half:g}], means over {draws} draws of "
                f"{len(shapes)} shapes: the law's, within a share depth/(4·width)",
                source,
                "; ".join(f"{named(shapes[i])}: {law[i, j]:.1f}" for i in (0, worst)),
                "; ".join(
                    f"{named(shapes[i])}: {mean[i, j]:.1f} ± {error[i, j]:.1f}" for i in (0, worst)
                ),
                "estimate",
                bool(within[:, j].all()),
            )
        )
    deviation = np.abs(standardised(results)).max()
    deeper = family(results)
    neurons = (width * depth)[deeper]
    slope = np.polyfit(np.log(neurons), np.log(mean[deeper, -1]), 1)[0]
    deepest = deeper[-1]
    most = int(results["counts"][deepest].max()) + 1
    allowed = jd.bounds.serra18_pieces_upper([int(width[deepest])] * int(depth[deepest]))
    return [
        *rows,
        Claim(
            f"They lie where Cauchy's densities say: {named(shapes[0])}, {len(EDGES) - 1} bins",
            source,
            "no bin 4.5 standard errors off",
            f"{at_most(deviation, 1)} at most",
            "estimate",
            bool(deviation < 4.5),
        ),
        Claim(
            f"Pieces grow linearly with neurons, {named(shapes[deeper[0]])} to "
            f"{named(shapes[deepest])}: their mean is neurons^1",
            "Hanin & Rolnick 2019, Theorem 1",
            "1",
            f"{slope:.3f}",
            "estimate",
            bool(abs(slope - 1) < 0.1),
        ),
        Claim(
            f"No draw of {named(shapes[deepest])} has a tenth of the pieces that weights can make",
            "Serra, Tjandraatmadja & Ramalingam 2018, Theorem 1",
            f"less than a tenth of {at_most(allowed, 1, 'e')}",
            f"{most:,}, the most of {draws} draws",
            "exact",
            10 * most < allowed,
        ),
    ]


def standardised(results: Results) -> np.ndarray:
    """Return how far every bin's mean is from the law, in standard errors."""
    mean, error = mean_and_error(results["histogram"], axis=0)
    return (mean - bin_laws(results)) / error


def bin_laws(results: Results) -> np.ndarray:
    """Return what infinite width expects of the first shape in every bin."""
    width, depth = results["shapes"][0].tolist()
    return np.array(
        [
            jd.bounds.breakpoint_law([width] * depth, ends)
            for ends in zip(EDGES[:-1].tolist(), EDGES[1:].tolist(), strict=True)
        ]
    )


def named(shape: np.ndarray) -> str:
    """Write a shape as width x depth."""
    return f"{shape[0]}x{shape[1]}"


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw where networks bend, how far from the law, and how many pieces they have."""
    figure, (where, ratio, growth) = panels(1, 3)
    draw_density(where, results)
    draw_ratios(ratio, results)
    draw_growth(growth, results)
    return figure


def draw_density(axes: Any, results: Results) -> None:
    """Draw the measured density of breakpoints over the layers' Cauchy densities."""
    mean, error = mean_and_error(results["histogram"], axis=0)
    spacing = np.diff(EDGES)
    axes.errorbar(
        (EDGES[:-1] + EDGES[1:]) / 2,
        mean / spacing,
        2 * error / spacing,
        fmt="o",
        color=BLUE,
        markersize=3.5,
        linewidth=1.0,
        label=f"{len(results['histogram'])} networks, ±2 standard errors",
    )
    x = np.linspace(EDGES[0], EDGES[-1], 401)
    width, depth = results["shapes"][0].tolist()
    law = np.zeros((depth + 1, len(x)))  # of the first 0, 1, … layers
    for layer in range(1, depth + 1):
        ends = zip((x - 0.01).tolist(), (x + 0.01).tolist(), strict=True)
        law[layer] = [jd.bounds.breakpoint_law([width] * layer, each) / 0.02 for each in ends]
        shade = colours(depth)[layer - 1]
        axes.fill_between(x, law[layer - 1], law[layer], color=shade, alpha=0.25, linewidth=0)
        axes.annotate(
            f"ℓ = {layer}",
            (0, law[layer - 1 : layer + 1, 200].mean()),
            ha="center",
            va="center",
            fontsize=8,
        )
    bound(axes, x, law[-1], label="Cauchy's law, infinite width")
    axes.set(xlabel="x", ylabel="breakpoints per unit length", xlim=EDGES[[0, -1]])
    axes.set_ylim(0, 1.35 * law.max())
    axes.set_title(f"Where {named(results['shapes'][0])} networks bend")
    axes.legend(loc="upper left")


def draw_ratios(axes: Any, results: Results) -> None:
    """Draw the means over the law, as the family grows deeper."""
    deeper = family(results)
    width, depth = results["shapes"][deeper].T
    mean, error = mean_and_error(results["counts"][deeper])
    law = laws(results)[deeper]
    place = np.arange(len(deeper))
    axes.axhline(1.0, color=INK, linewidth=0.8)
    for j, (half, shade) in enumerate(zip(results["halves"], (RED, ORANGE, BLUE), strict=True)):
        axes.errorbar(
            place + 0.1 * (j - 1),
            mean[:, j] / law[:, j],
            2 * error[:, j] / law[:, j],
            fmt=MARKERS[j],
            color=shade,
            linewidth=1.2,
            label=f"[−{half:g}, {half:g}]",
        )
    bound(axes, place, 1 - depth / (4 * width), label="1 − depth/(4·width), observed", color=GREY)
    axes.set_xticks(place, [str(d) for d in depth])
    axes.set(xlabel=f"hidden layers of {width[0]}", title="Breakpoints, mean over law")
    axes.set_ylim(top=1.19)
    axes.legend(loc="upper left", ncols=2, columnspacing=1.0, handletextpad=0.4)


def draw_growth(axes: Any, results: Results) -> None:
    """Draw the pieces of every draw of the family, far below the most that weights can give."""
    deeper = family(results)
    shapes = results["shapes"][deeper].tolist()
    neurons = np.array([width * depth for width, depth in shapes])
    for count, found in zip(neurons, results["counts"][deeper, :, -1], strict=True):
        axes.plot(np.full(len(found), count), found + 1, ".", color=BLUE, alpha=0.25)
    axes.plot([], [], "o", color=BLUE, label=f"drawn, {shapes[0][0]} neurons a layer")
    bound(axes, neurons, neurons + 1, label="neurons + 1")
    most = [float(jd.bounds.serra18_pieces_upper([width] * depth)) for width, depth in shapes]
    axes.plot(neurons, most, color=RED, marker="D", linewidth=1.3, label="the most: Π (width + 1)")
    axes.set(xscale="log", yscale="log", xlabel="neurons", title="Affine pieces on the line")
    axes.set_ylim(8, 30 * min(most[-1], 1e9))
    axes.set_xticks(neurons, [str(n) for n in neurons])
    axes.minorticks_off()
    axes.legend(loc="upper left")
