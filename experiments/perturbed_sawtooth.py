"""Noise on the weights of a sawtooth adds affine pieces and leaves its crossings alone.

Telgarsky 2016 counts crossings of a level; much of the literature counts affine pieces, or linear
regions, as if that were the same. On m^k it is, 2^k + 1 against 2^k. But m^k is degenerate: every
peak and foot of one layer meets an end of the next layer's tooth, so that kinks coincide. The least
noise pulls them apart: the number of pieces is discontinuous at m^k and grows by a fifth or so,
however small the noise. The level ½ lies half a tooth away from every peak and foot: the crossings
stand until the noise has moved one so far. Larger noise destroys both. Every count is exact for the
weights as they are stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import BLUE, GREY, INK, RED, colours, note, panels, styled
from jaxdepth.crossings import Exact

CHAPTER = "oscillations"
ALT = (
    "Left, pieces and crossings against the noise: pieces jump above 256 at once, crossings stay "
    "at 257 until the noise is large. Middle, some teeth with and without noise. Right, crossings "
    "against pieces of every draw."
)


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        depth: k of the sawtooth m^k.
        sigmas: standard deviations of the noise on every weight and bias, ascending.
        draws: networks for each; draw i is in the same direction for all of them.
        seed: of the directions.
    """

    depth: int = 8
    sigmas: tuple[float, ...] = (1e-8, 1e-5, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    draws: int = 40
    seed: int = 0


QUICK = Config()
FULL = Config(depth=10, draws=200)
SHOWN = 3e-2  # the noise of the teeth in the picture
WINDOW = (0.25, 0.3125)
SMALL, LARGE = 1e-3, 1e-1  # noise that leaves the crossings alone, and that destroys


def run(config: Config, part: Part = direct) -> Results:
    """Count pieces and crossings of every draw at every noise."""
    counted = part("counts", lambda: count_noisy(config))
    shown = jd.piecewise.pieces(noisy(config, 0, SHOWN), WINDOW)
    return {
        **counted,
        "depth": np.array(config.depth),
        "sigmas": np.array(config.sigmas),
        "shown_x": np.asarray(shown.breakpoints),
        "shown_y": np.asarray(shown.values),
    }


def count_noisy(config: Config) -> Results:
    """Return pieces and crossings, shape (sigmas, draws)."""
    nets = [[noisy(config, draw, s) for draw in range(config.draws)] for s in config.sigmas]
    return {
        "pieces": np.array([[jd.piecewise.pieces(net).num for net in row] for row in nets]),
        "crossings": np.array(
            [[jd.crossings.count(net, Exact()).value for net in row] for row in nets]
        ),
    }


def noisy(config: Config, draw: int, sigma: float) -> list[jd.networks.AffineLayer]:
    """Return m^k with sigma times a standard normal on each of its weights and biases."""
    rng = np.random.default_rng((config.seed, draw))
    return [
        jd.networks.AffineLayer(
            layer.weight + sigma * rng.standard_normal(layer.weight.shape),
            layer.bias + sigma * rng.standard_normal(layer.bias.shape),
            layer.negative_slope,
        )
        for layer in jd.networks.Sawtooth(config.depth).affine_layers()
    ]


def at(results: Results, sigma: float, name: str) -> np.ndarray:
    """Return the counts at the noise nearest `sigma`, over the draws."""
    return results[name][np.argmin(np.abs(np.log(results["sigmas"] / sigma)))]


def claims(results: Results) -> list[Claim]:
    """State what noise does to either count."""
    depth = int(results["depth"])
    teeth = 2**depth
    draws = results["pieces"].shape[1]
    least, pieces, crossings = (
        results["pieces"][0],
        at(results, SMALL, "pieces"),
        at(results, SMALL, "crossings"),
    )
    settled = results["crossings"][0]
    # A layer whose peak is lowered by ε, a few σ, has 1 − ε times the crossings that it had.
    fewest = math.floor((1 - 4 * depth * SMALL) * (teeth + 1))
    broken = [np.median(at(results, LARGE, name)) for name in ("pieces", "crossings")]
    observed = "observed here: kinks of m^k coincide, crossings of ½ do not"
    return [
        Claim(
            f"Noise of {results['sigmas'][0]:.0e} on m^{depth} moves no crossing in {draws} draws",
            "derived here: ½ is a regular value of m^k; Telgarsky 2016, Corollary 3.14",
            f"{teeth + 1}",
            f"{settled.min()} to {settled.max()}",
            "exact",
            bool(np.all(settled == teeth + 1)),
        ),
        Claim(
            "The same noise adds affine pieces, in every draw",
            observed,
            f"more than {teeth}",
            f"{least.min()} to {least.max()}, median {np.median(least):g}",
            "exact",
            bool(np.all(least > teeth)),
        ),
        Claim(
            f"At σ = {SMALL:g} the pieces are as many, and few crossings are lost: a share of 4kσ",
            observed,
            f"more than {teeth}; {fewest} to {teeth + 1}",
            f"{pieces.min()} to {pieces.max()}; {crossings.min()} to {crossings.max()}",
            "exact",
            bool(
                np.all(pieces > teeth) and np.all((crossings >= fewest) & (crossings <= teeth + 1))
            ),
        ),
        Claim(
            f"At {LARGE:g} both collapse",
            observed,
            f"medians below {teeth // 2} and {teeth // 4}",
            f"medians {broken[0]:g} and {broken[1]:g}",
            "exact",
            bool(broken[0] < teeth // 2 and broken[1] < teeth // 4),
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw both counts against the noise, some teeth, and one count against the other."""
    figure, (counts, teeth, apart) = panels(1, 3)
    draw_counts(counts, results)
    draw_teeth(teeth, results)
    draw_apart(apart, results)
    return figure


def draw_counts(axes: Any, results: Results) -> None:
    """Draw median and range of both counts against the noise."""
    sigmas, teeth = results["sigmas"], 2 ** int(results["depth"])
    for name, shade, marker in (("pieces", RED, "s"), ("crossings", BLUE, "o")):
        found = results[name]
        axes.fill_between(
            sigmas, found.min(axis=1), found.max(axis=1), color=shade, alpha=0.15, linewidth=0
        )
        axes.plot(sigmas, np.median(found, axis=1), marker=marker, color=shade, label=name)
    axes.axhline(teeth, color=INK, linewidth=0.8)
    note(axes, f"$2^{{{results['depth']}}}$ = {teeth}", (sigmas[0], teeth), (0, -4), va="top")
    axes.set(xscale="log", xlabel="σ of the noise on weights and biases")
    axes.set_ylim(0, 1.25 * results["pieces"].max())
    axes.set_title(f"$m^{{{results['depth']}}}$ under noise: median, range")
    axes.legend(loc="upper right", ncols=2)


def draw_teeth(axes: Any, results: Results) -> None:
    """Draw a few teeth with and without noise, and where the noisy ones bend."""
    size = 2 ** int(results["depth"])
    index = np.arange(round(WINDOW[0] * size), round(WINDOW[1] * size) + 1)
    axes.axhline(0.5, color=INK, linewidth=0.8)
    axes.plot(index / size, index % 2, color=GREY, linewidth=1.0, label="without noise")
    axes.plot(
        results["shown_x"], results["shown_y"], "o-", color=RED, linewidth=1.3, markersize=3,
        label="with noise; it bends at the dots",
    )  # fmt: skip
    axes.set(xlabel="x", ylim=(-0.08, 1.38), xlim=WINDOW)
    axes.set_title(f"Some teeth, σ = {SHOWN:g}")
    axes.legend(loc="upper left", ncols=2, columnspacing=1.0)


def draw_apart(axes: Any, results: Results) -> None:
    """Draw crossings against pieces, one dot a draw."""
    sigmas, size = results["sigmas"], 2 ** int(results["depth"])
    shown = [i for i, sigma in enumerate(sigmas) if sigma in (1e-8, 1e-3, 1e-2, 1e-1)]
    for i, shade in zip(shown, colours(len(shown)), strict=True):
        axes.plot(
            results["pieces"][i], results["crossings"][i], "o", color=shade, alpha=0.6,
            markersize=4, label=f"σ = $10^{{{round(np.log10(sigmas[i]))}}}$",
        )  # fmt: skip
    most = results["pieces"].max()
    axes.plot([0, most], [1, most + 1], color=INK, linewidth=0.8)
    note(
        axes,
        "crossings = pieces + 1",
        (size / 3, size / 3),
        (-3, 4),
        rotation=38,
        rotation_mode="anchor",
        va="bottom",
        ha="center",
    )
    axes.plot(size, size + 1, "*", color=RED, markersize=13, zorder=3)
    note(axes, f"$m^{{{results['depth']}}}$", (size, size), (-6, 4), ha="right", color=RED)
    axes.set(xlabel="affine pieces", ylabel="crossings", title="The two counts move apart")
    axes.legend(loc="lower right")
