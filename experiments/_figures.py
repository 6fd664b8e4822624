"""One look for every figure, and pictures whose bytes depend on the results alone.

    @styled
    def plot(results: Results) -> Figure:
        figure, (left, right) = panels(1, 2)
        left.plot(results["depths"], results["counts"], color=BLUE, label="counted")
        bound(left, results["depths"], results["bounds"], label="Lemma 3.3")
        return figure

Figures are made without pyplot: no global state, no window system, nothing to close.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from experiments._dark import MAP_GREY as MAP_GREY, MAP_INK as MAP_INK, adapting

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")

# Okabe & Ito's palette: told apart under every common colour blindness. Their yellow is left out,
# too faint on white. Greyscale prints need the markers as well.
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
INK = "#222222"
GREY = "#777777"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # the second channel, beside colour
SEQUENCE = "viridis"  # for an ordered family (depths, rates): `colours(n)`
HALO = (withStroke(linewidth=2.4, foreground=MAP_INK),)  # white is seen on a map's yellow too

STYLE: dict[str, Any] = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",  # the figure's paper shows, white or dark
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "svg.fonttype": "path",  # the page must look the same where DejaVu is missing
    "svg.hashsalt": "jaxdepth",  # element names from the content, not from a random number
}


def styled(plot: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Draw under the house style, leaving the caller's matplotlib settings as they were."""

    @functools.wraps(plot)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return plot(*args, **kwargs)

    return drawn


@styled
def panels(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] | None = None, **subplots: Any
) -> tuple[Figure, Any]:
    """Make a figure and its axes, as `matplotlib.pyplot.subplots` does.

    Args:
        rows: how many rows of axes.
        columns: how many columns of axes.
        size: inches; 4 by 3.1 a panel by default, which reads well on a slide and on a page.
        subplots: passed on to `Figure.subplots` (sharey=True, width_ratios=…).

    Returns:
        The figure, and one axes object or an array of them.
    """
    figure = Figure(figsize=size or (4.0 * columns + 0.4, 3.1 * rows))
    return figure, figure.subplots(rows, columns, **subplots)


def colours(count: int) -> list[Any]:
    """Return `count` colours in order, dark to light, for an ordered family of curves."""
    gradient = matplotlib.colormaps[SEQUENCE]
    return [gradient(0.88 * i / max(count - 1, 1)) for i in range(count)]


def bound(axes: Any, x: Any, y: Any, *, label: str, color: str = INK) -> None:
    """Draw what a theorem predicts: a thin dashed line, the same in every figure."""
    axes.plot(x, y, linestyle=(0, (4, 2)), linewidth=1.3, color=color, label=label, zorder=1.5)


def edges(sizes: np.ndarray) -> np.ndarray:
    """Return the edges of cells around ascending positive sizes, on a logarithmic axis."""
    logs = np.log(sizes)
    inner = (logs[1:] + logs[:-1]) / 2
    return np.exp([2 * logs[0] - inner[0], *inner, 2 * logs[-1] - inner[-1]])


def note(axes: Any, text: str, at: Any, offset: tuple[float, float], **style: Any) -> None:
    """Write beside the point `at`, shifted by `offset` in printer's points."""
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **style)


@styled
def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write `stem`.svg and `stem`.png, the same bytes for the same figure; return the two paths."""
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    svg.write_text(drawing(figure), "utf-8")
    figure.savefig(png, metadata={"Software": None})  # no version in the file
    return svg, png


@styled
def drawing(figure: Figure) -> str:
    """Return a figure as an SVG for light and dark pages, without the clock and the version."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return adapting(written.getvalue())
