"""Three drawings of the ideas behind the proofs, every line of them computed.

    python -m experiments._illustrations docs/figures

writes fourier_tubes.svg, classifiers.svg and partitions.svg.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import jaxdepth as jd
from experiments._figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    PURPLE,
    RED,
    note,
    save,
    styled,
)
from experiments._table import at_least, at_most
from jaxdepth.crossings import Exact, count
from jaxdepth.networks import AffineLayer

# ---- Tubes against a sphere (Eldan & Shamir 2016, lemma 6 and proposition 13) ----

WAVE = jd.radial.Cosine(4.0, 20.0)
TUBES = 4
DIMENSIONS = (2, 3, 10)
DIRECTIONS = np.unique([*range(1, 21), *np.logspace(0, 7, 113).round()])


@functools.cache
def certificate(dim: int) -> jd.radial.Certificate:
    """Certify the wave, nearly all of whose mass is within u ≤ 4 + 1: in ball arithmetic, if there.

    Without python-flint, in float64.
    """
    kind = jd.radial.Certified if find_spec("flint") else jd.radial.Bounded
    method = kind(cutoff=float(WAVE.frequency) + 1.5)
    return jd.radial.certify(WAVE, dim, DIRECTIONS, method=method)


@styled
def fourier_tubes() -> Figure:
    """Draw a radial wave, its spectral mass, and the tubes of a 2-layer network in the plane."""
    figure = Figure(figsize=(7.8, 6.4))
    axes: dict[str, Any] = figure.subplot_mosaic(
        [["wave", "plane"], ["mass", "plane"], ["share", "share"]],
        width_ratios=(1.0, 1.15),
        height_ratios=(1.0, 1.1, 1.15),
    )
    draw_wave(axes["wave"])
    draw_mass(axes["mass"])
    draw_plane(axes["plane"])
    draw_shares(axes["share"])
    return figure


def draw_wave(axes: Any) -> None:
    """Draw g over the radius."""
    radius = float(WAVE.radius)
    z = np.linspace(0, radius, 801)
    g = np.cos(float(WAVE.frequency) * z)
    axes.plot([*z, radius, 1.15 * radius], [*g, 0, 0], color=BLUE)
    axes.set(xlabel=r"radius $z = 2\pi R_d\|x\|$", yticks=(-1, 0, 1), xlim=(0, 1.15 * radius))
    axes.set_title(f"A wave, $g = \\cos {float(WAVE.frequency):g}z$ …")


def draw_mass(axes: Any) -> None:
    """Draw m(u) in the plane, over the ball that φ's transform fills and the part in tubes."""
    u, density = spectral_mass()
    covered = np.minimum(1, TUBES * tube_share(u)) * density
    axes.axvspan(0, 1, color=GREY, alpha=0.25, linewidth=0)
    axes.fill_between(u, covered, density, color=BLUE, alpha=0.35, linewidth=0)
    axes.fill_between(u, covered, color=ORANGE, alpha=0.6, linewidth=0, hatch="///")
    axes.plot(u, density, color=BLUE)
    axes.annotate("$B$", (0.5, 0.97), xycoords=("data", "axes fraction"), ha="center", va="top")
    axes.set(xlabel=r"frequency $u = \|\xi\|/R_d$", yticks=[], xlim=(0, 6.5), ylim=(0, None))
    axes.set_title(r"… and the mass of $\widehat{g\varphi}$")


def draw_plane(axes: Any) -> None:
    """Draw the mass as dots in the plane of frequencies, of which k tubes hold some."""
    dots, inside = spectral_dots(800)
    size = matplotlib.rcParams["lines.markersize"] ** 2 / 3
    edge = 6.6
    for index, angle in enumerate(tube_angles()):
        along, across = _axis(angle), _axis(angle + math.pi / 2)
        sides = np.array(
            [[side * across - 9 * along, side * across + 9 * along] for side in (1, -1)]
        )
        outline = np.concatenate([sides[0], sides[1][::-1]])
        axes.fill(*outline.T, color=ORANGE, alpha=0.16, linewidth=0)
        for side in sides:
            axes.plot(*side.T, color=ORANGE, linewidth=1.1)
        label = r"span$\{v_i\}$" if index == 0 else None
        for end in (-9, 9):
            half = np.array([math.copysign(1, end) * along, end * along])
            axes.plot(*half.T, color=INK, linewidth=0.8, linestyle=(0, (5, 3)), label=label)
            label = None
    for chosen, shade, marker, told in (
        (~inside, BLUE, MARKERS[0], "out of reach"),
        (inside, RED, MARKERS[1], "in a tube"),
    ):
        axes.scatter(
            *dots[chosen].T,
            s=size,
            color=shade,
            marker=marker,
            linewidths=0,
            label=told,
            zorder=2.5,
        )
    axes.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=INK, linewidth=1.8, zorder=3))
    axes.annotate("$B$", (0, 0), ha="center", va="center", zorder=4)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    found = certificate(2)
    place = int(np.flatnonzero(DIRECTIONS == TUBES)[0])
    floor, norm = float(np.asarray(found.floor)[place]), float(found.norm_squared)
    share = at_most(100 * (1 - floor / norm), 0)
    axes.set_title(f"{TUBES} tubes hold {share}% of the mass, at most")
    least = at_least(floor, 3)
    axes.set_xlabel(f"{TUBES} directions: $E(f - g)^2 ≥ {least}$ of $‖g‖^2 = {norm:.3f}$")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, handletextpad=0.4)


def draw_shares(axes: Any) -> None:
    """Draw the share of the mass that k tubes can hold, in spaces of several dimensions."""
    shades, styles = (ORANGE, GREEN, PURPLE), ("-", "--", "-.")
    for d, shade, style in zip(DIMENSIONS, shades, styles, strict=True):
        found = certificate(d)
        share = 1 - np.asarray(found.floor) / float(found.norm_squared)
        axes.semilogx(DIRECTIONS, share, style, color=shade, label=f"d = {d}")
        half = math.exp(np.interp(0.5, share, np.log(DIRECTIONS)))
        axes.plot(half, 0.5, "o", color=shade)
        note(axes, _written(math.ceil(half)), (half, 0.5), (6, -4), va="top", color=shade)
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    axes.set(xlabel="directions k", ylim=(0, 1.03), xlim=(1, DIRECTIONS[-1]))
    axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.set_title("Share that k tubes hold, at most")
    axes.legend(loc="lower left", bbox_to_anchor=(0.27, 0.06))


@functools.cache
def spectral_mass() -> tuple[np.ndarray, np.ndarray]:
    """Return u and m(u) of the wave in the plane."""
    u = np.linspace(0, 12, 1201)
    return u, np.asarray(WAVE.spectrum(u, 2))


def tube_share(u: np.ndarray) -> np.ndarray:
    """Return the share of the circle of radius u that lies in one strip |⟨ξ, v⊥⟩| ≤ 1."""
    return 2 / math.pi * np.arcsin(1 / np.maximum(u, 1))


def tube_angles() -> np.ndarray:
    """Return the directions v_i: evenly turned, so that the tubes overlap as little as they can."""
    return math.pi * (np.arange(TUBES) + 0.5) / TUBES


def spectral_dots(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Place dots in the plane of frequencies, each of the same mass, and tell which a tube holds.

    Radii are quantiles of m; angles go on by the golden angle, even on every annulus.
    """
    u, density = spectral_mass()
    mass = np.cumsum(density)
    radius = np.interp((np.arange(number) + 0.5) / number, mass / mass[-1], u)
    angle = math.pi * (3 - math.sqrt(5)) * np.arange(number)
    dots = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    normals = np.stack([_axis(v + math.pi / 2) for v in tube_angles()])
    return dots, (np.abs(dots @ normals.T) <= 1).any(axis=1)


def _written(number: float) -> str:
    power = math.floor(math.log10(number))
    return f"{number:.0f}" if power < 3 else f"${number / 10**power:.1f}·10^{power}$"


def _axis(angle: float) -> np.ndarray:
    return np.array([math.cos(angle), math.sin(angle)])


# ---- Few intervals against many (Telgarsky 2016, Lemma 3.1) ----

DEEP = jd.networks.Sawtooth(3)
SHALLOW = jd.networks.ConnectTheDots([0, 0.3, 0.68, 1], [0.16, 0.78, 0.3, 0.42])


@styled
def classifiers() -> Figure:
    """Draw a sawtooth and a shallow network over the intervals of their classifiers."""
    figure = Figure(figsize=(7.6, 4.4))
    graphs, strips = figure.subplots(2, 1, sharex=True, height_ratios=(2.1, 1.0))
    draw_graphs(graphs)
    lemma, least = draw_strips(strips)
    strips.set_title(
        f"… and where $g$ is wrong throughout (Lemma 3.1: {lemma} regions or more; exact: {least})",
        fontsize=9.5,
    )
    return figure


def draw_graphs(axes: Any) -> None:
    """Draw f and g, and the level."""
    for net, shade, style, told in (
        (DEEP, BLUE, "-", r"$f = m^3$, six layers"),
        (SHALLOW, ORANGE, "--", r"$g$, one hidden layer"),
    ):
        graph = jd.piecewise.pieces(net)
        axes.plot(graph.breakpoints, graph.values, style, color=shade, label=told, linewidth=2.2)
    axes.axhline(0.5, color=INK, linewidth=0.9)
    note(axes, "½", (1, 0.5), (6, 0), va="center")
    axes.set(ylim=(-0.04, 1.28), yticks=(0, 1), xlim=(0, 1))
    axes.legend(loc="upper center", ncols=2)
    axes.set_title("How often $f$ and $g$ cross ½ …")


def draw_strips(axes: Any) -> tuple[int, int]:
    """Draw the maximal intervals of both classifiers, and where g is wrong throughout.

    Returns what Lemma 3.1 grants of such regions, rounded up, and how few there can be.
    """
    f, g = label_intervals(DEEP), label_intervals(SHALLOW)
    wrong = wrong_throughout(f, g)
    s_f, s_g = (int(count(net, Exact()).value) for net in (DEEP, SHALLOW))
    assert (len(f), len(g)) == (s_f, s_g)
    rows = (
        (2, [(start, end) for start, end, label in f if label], BLUE, ""),
        (1, [(start, end) for start, end, label in g if label], ORANGE, "\\\\\\"),
        (0, wrong, RED, "xxx"),
    )
    for height, bars, shade, hatch in rows:
        spans = [(start, end - start) for start, end in bars]
        axes.broken_barh(spans, (height - 0.36, 0.72), facecolor=shade, alpha=0.55, hatch=hatch)
    for height, regions in ((2, f), (1, g), (0, f)):
        for start, end, _ in regions:
            axes.broken_barh(
                [(start, end - start)], (height - 0.36, 0.72), facecolor="none", edgecolor=INK,
                linewidth=0.9,
            )  # fmt: skip
    lemma = math.ceil(s_f * jd.bounds.telgarsky16_disagreement_lower(s_f, s_g))
    least = jd.crossings.min_disagreement(s_f, s_g)
    axes.set_yticks(
        (2, 1, 0),
        (f"$f ≥ ½$\nCr = {s_f}", f"$g ≥ ½$\nCr = {s_g}", f"wrong: {len(wrong)}\nof {s_f}"),
    )
    axes.set(ylim=(-0.5, 2.5), xlabel="x")
    axes.grid(False)
    axes.tick_params(axis="y", length=0)
    return lemma, least


def label_intervals(net: Any) -> list[tuple[float, float, bool]]:
    """Return the maximal intervals (start, end, label) of 1[net ≥ ½] on [0, 1]."""
    graph = jd.piecewise.pieces(net)
    x, y = graph.breakpoints, graph.values - 0.5
    labels = y >= 0
    at = np.flatnonzero(labels[1:] != labels[:-1])
    cuts = x[at] - y[at] * (x[at + 1] - x[at]) / (y[at + 1] - y[at])
    edges = [float(x[0]), *cuts.tolist(), float(x[-1])]
    told = [bool(labels[0]), *labels[at + 1].tolist()]
    return [(*pair, label) for pair, label in zip(itertools.pairwise(edges), told, strict=True)]


def wrong_throughout(
    f: Sequence[tuple[float, float, bool]], g: Sequence[tuple[float, float, bool]]
) -> list[tuple[float, float]]:
    """Return the intervals of f that lie within the intervals of g of the other label."""
    return [
        (start, end)
        for start, end, label in f
        if all(other != label for left, right, other in g if left < end and right > start)
    ]


# ---- The breakpoints of a layer and their union (Telgarsky 2016, Lemma 3.6) ----

RANGE = (-3.0, 3.0)
UNITS = 4


@styled
def partitions() -> Figure:
    """Draw where the units of two layers bend, each on a line of its own, and all together."""
    figure = Figure(figsize=(8.0, 3.9))
    draw_layers(*figure.subplots(1, 2))
    return figure


def draw_layers(left: Any, right: Any) -> jd.networks.MLP:
    """Draw the first layer and the second of a random network, and return it."""
    net = jd.networks.MLP((1, UNITS, UNITS, 1), dtype=jnp.float32, key=jax.random.key(0))
    bends, later = unit_graphs(net)
    inherited = np.unique(np.concatenate([graph.breakpoints[1:-1] for graph in bends]))
    draw_partition(left, bends, np.zeros(0))
    draw_partition(right, later, inherited)
    left.set_title("Units of the first layer")
    right.set_title("Units of the second layer")
    right.plot([], [], "o", color=BLUE, label="bend of the first layer")
    right.plot([], [], "D", color=RED, label="new bend")
    handles = right.get_legend_handles_labels()
    right.figure.legend(*handles, loc="outside lower center", ncols=2)
    return net


def unit_graphs(net: jd.networks.MLP) -> tuple[list[Any], list[Any]]:
    """Enumerate the units of the first and of the second layer, each alone."""
    first, second, _ = net.affine_layers()
    units = range(UNITS)
    return [unit_graph((), first, i) for i in units], [
        unit_graph((first,), second, i) for i in units
    ]


def unit_graph(before: tuple[AffineLayer, ...], layer: AffineLayer, unit: int) -> Any:
    """Enumerate one unit of a layer as a network of its own."""
    one = slice(unit, unit + 1)
    alone = AffineLayer(layer.weight[one], layer.bias[one], layer.negative_slope)
    return jd.piecewise.pieces((*before, alone), RANGE)


def draw_partition(axes: Any, graphs: Sequence[Any], inherited: np.ndarray) -> None:
    """Draw every unit over its line, the bends on it, and the union of all bends below."""
    first = not inherited.size
    cuts = np.unique(np.concatenate([graph.breakpoints[1:-1] for graph in graphs]))
    for row, graph in enumerate(graphs):
        height = len(graphs) - row
        x, y = graph.breakpoints, graph.values
        axes.plot(x, height + 0.7 * y / y.max(), color=GREY, linewidth=1.2)
        axes.plot(RANGE, (height, height), color=INK, linewidth=1.0)
        _mark(axes, x[1:-1], height, inherited, first)
        note(axes, f"t = {graph.num}", (RANGE[1], height), (6, -3))
    axes.vlines(cuts, 0, len(graphs), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    ends = [RANGE[0], *cuts, RANGE[1]]
    for k, (start, end) in enumerate(itertools.pairwise(ends)):
        axes.fill_between(
            [start, end], -0.3, 0.0, color=GREEN, alpha=(0.2, 0.5)[k % 2], linewidth=0
        )
    axes.plot(RANGE, (0, 0), color=INK, linewidth=1.6)
    _mark(axes, cuts, 0, inherited, first)
    pieces = [graph.num for graph in graphs]
    union = len(cuts) + 1
    most = jd.bounds.piecewise_poly_sum(*[(t, 1) for t in pieces]).t
    note(axes, f"{union}", (RANGE[1], 0), (6, -3), weight="bold")
    k, t = len(pieces), max(pieces)
    axes.set_xlabel(
        f"{union} intervals of 1 + Σ(t − 1) = {most} at most\n(never k·t = {k}·{t} = {k * t})"
    )
    axes.set(ylim=(-0.45, len(graphs) + 0.95), xlim=RANGE)
    units = range(1, len(graphs) + 1)
    axes.set_yticks([*reversed(units), 0], [*(f"unit {i}" for i in units), "all"])
    axes.grid(False)
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _mark(axes: Any, at: np.ndarray, height: float, inherited: np.ndarray, first: bool) -> None:
    old = np.full(at.shape, first) | np.isin(at, inherited)
    for chosen, marker, shade in ((at[old], "o", BLUE), (at[~old], "D", RED)):
        axes.plot(chosen, np.full(chosen.shape, height), marker, color=shade, zorder=3)


ILLUSTRATIONS = {
    "fourier_tubes": fourier_tubes,
    "classifiers": classifiers,
    "partitions": partitions,
}


def main(folder: str) -> None:
    """Write the three as SVG."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as passing:  # the PNGs that `save` writes beside them
        for name, draw in ILLUSTRATIONS.items():
            svg, _ = save(draw(), Path(passing) / name)
            (target / svg.name).write_bytes(svg.read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
