"""The directions that 2 layers need grow exponentially in the dimension, by about the frequency.

Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016), Theorem 1, as a map:
log10 of the least number of directions that the Fourier certificate does not exclude, for the wave
g = cos(s·z)·1{z ≤ 10√d} within an error of ¼·μ(z ≤ 10√d), over the dimension d and the frequency
s. The error is half of ‖g‖² but for slow waves, s < 1.

The growth can be told beforehand. The measure's φ smears the frequencies of cos(sz), which gather
at u = ‖ξ‖/R_d = s, over a ball of radius 1: nearly all of g's mass lies within s − 1 ≤ u ≤ s + 1. A
tube covers a share q(u) ~ u^{1−d}/√d of the sphere of radius u, so that each dimension multiplies
the directions by a number between s − 1 and s + 1. Where s < 1 that may be less than 1: a wave so
slow costs no exponential, for all that lies in u ≤ 1 is free to every network.

Where we depart: the paper proves that some constant holds for large d; here every dimension and
frequency has its number, for a wave in the place of the paper's random shells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._sweeping import PART, Sweep, swept
from experiments._table import at_least
from jaxdepth.sweeps import grid, static

CHAPTER = "radial"
ALT = (
    "Left, a map of the logarithm of the directions that 2 layers need, over frequency and "
    "dimension: it grows towards fast waves in high dimensions. Right, the factor of each "
    "dimension follows the frequency, within a band one wide on either side."
)
SOURCE = "Eldan & Shamir 2016, Theorem 1"
HIGHEST = 6.0  # frequency that the quadrature is laid out for
STEEP = 2.0  # frequency from which on nothing of the wave is free
SLOW = 0.5  # and up to which nearly all of it is
CHECKED = (3, 3.0)  # dimension and frequency that are computed by ball arithmetic again


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: dimensions d, ascending; each is a compilation.
        frequencies: s of the waves, ascending up to 6; all in one program.
    """

    dims: tuple[int, ...] = (3, 8)
    frequencies: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)

    def __post_init__(self) -> None:
        """Refuse what is no map."""
        if len(self.dims) < 2 or min(np.diff(self.dims)) < 1 or self.dims[0] < 2:
            raise ValueError(f"`dims` must be two or more, ascending from 2 on; got {self.dims}.")
        ends = (0.0, *self.frequencies)
        if min(np.diff(ends)) <= 0 or ends[-1] > HIGHEST:
            raise ValueError(
                f"`frequencies` must ascend from above 0 to {HIGHEST:g} at most; got "
                f"{self.frequencies}."
            )
        if sum(frequency >= STEEP for frequency in self.frequencies) < 2:
            raise ValueError(
                f"`frequencies` must hold two from {STEEP:g} on at least; got {self.frequencies}."
            )


QUICK = Config()
FULL = Config(
    dims=(2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30),
    frequencies=tuple((np.arange(1, 25) * 0.25).tolist()),
)


def run(config: Config, part: Part = direct) -> Results:
    """Sweep the map, and certify one of its cells again."""
    with jax.enable_x64(True):
        return {
            **part(PART, lambda: mapped(config, part)),
            **part("checked", check_cell),
        }


def sweep(config: Config) -> Sweep:
    """Return the cells of the map."""
    plan = grid(dim=static(config.dims), frequency=config.frequencies)
    return Sweep(plan.tiled(len(config.frequencies)), measure, float64=True)


def measure(dim: int, frequency: Any) -> dict[str, Any]:
    """Find the least directions for one wave."""
    radius = radius_of(dim)
    cutoff = HIGHEST + 1
    # Panels of some 35 radians in u and 20 in z, at which the quadrature is trusted.
    method = jd.radial.Bounded(
        cutoff=frequency + 1,
        panels_u=math.ceil(2 * radius * cutoff * math.log(cutoff) / 35),
        panels_z=math.ceil(radius * (1 + HIGHEST + cutoff) / 20),
    )
    target = jd.radial.Cosine(frequency, radius)
    found = jd.radial.min_directions(target, dim, error_of(dim), method=method)
    return {"log10": found.log10, "trusted": found.trusted}


def radius_of(dim: int) -> float:
    """Return where the wave ends."""
    return 10 * math.sqrt(dim)


def error_of(dim: int) -> float:
    """Estimate ¼·μ(z ≤ 10√d), where μ(z > Z) is about d/(πZ).

    It is half of ‖g‖² = ½·E[1 + cos 2sz; z ≤ 10√d] where the cosine averages out, which it does not
    at s < 1.
    """
    return 0.25 * (1 - math.sqrt(dim) / (10 * math.pi))


def mapped(config: Config, part: Part) -> Results:
    """Certify the cells."""
    found = swept(sweep(config), part)
    return {
        "dims": np.array(config.dims),
        "frequencies": np.array(config.frequencies),
        "log10": found["log10"].values,
        "trusted": found["trusted"].values,
    }


def check_cell() -> Results:
    """Certify one cell's floor at every small number of directions, by another method.

    In ball arithmetic, or in float64 with panels of its own choice where python-flint is missing.
    """
    dim, frequency = CHECKED
    certified = find_spec("flint") is not None
    kind = jd.radial.Certified if certified else jd.radial.Bounded
    target = jd.radial.Cosine(frequency, radius_of(dim))
    k = np.arange(1.0, 33.0)
    found = jd.radial.certify(target, dim, k, method=kind(cutoff=frequency + 1))
    return {
        "checked_floors": np.asarray(found.floor),
        "checked_trusted": np.asarray(found.trusted),
        "checked_certified": np.asarray(certified),
    }


# ---- The claims ----


def factors(results: Results) -> np.ndarray:
    """Return by what each dimension multiplies the directions, at every frequency, overall.

    Between the first dimension that needs some and the last, by least squares.
    """
    dims, log10 = results["dims"].astype(float), results["log10"]
    slopes = np.full(log10.shape[1], -np.inf)
    for column, numbers in enumerate(log10.T):
        needed = np.isfinite(numbers)
        if needed.sum() >= 2:
            slopes[column] = np.polyfit(dims[needed], numbers[needed], 1)[0]
    return 10.0**slopes


def claims(results: Results) -> list[Claim]:
    """State what the theorem predicts beside what came out."""
    dims, s, log10 = results["dims"], results["frequencies"], results["log10"]
    steep = s >= STEEP
    each = factors(results)
    local = 10.0 ** (np.diff(log10[:, steep], axis=0) / np.diff(dims)[:, None])
    told = [int(i) for i in np.unique(np.linspace(0, steep.sum() - 1, 4).round())]
    waves = s[steep][told]
    rises = np.diff(log10[:, steep], axis=1)
    dim, frequency = CHECKED
    excluded = results["checked_floors"] > error_of(dim)
    again = 1 + int(excluded.sum())
    row, column = np.flatnonzero(dims == dim), np.flatnonzero(s == frequency)
    least = round(10.0 ** float(log10[row[0], column[0]])) if row.size and column.size else None
    certified = bool(results["checked_certified"])
    rows = [
        Claim(
            f"cos sz, s ≥ {STEEP:g}: half of ‖g‖² takes 2 layers exponentially many directions in "
            f"d = {dims[0]} … {dims[-1]}, at every frequency",
            f"{SOURCE}; derived here: q(u) ~ u^(1−d)/√d, mass within s ± 1",
            "each dimension multiplies them by s − 1 to s + 1: "
            + ", ".join(f"{wave - 1:g} to {wave + 1:g}" for wave in waves),
            ", ".join(f"{factor:.2f}" for factor in each[steep][told]),
            "bounded",
            bool(
                (np.abs(each[steep] - s[steep]) < 1).all()
                and (local > np.maximum(s[steep] - 1, 1.2)).all()
                and results["trusted"].all()
            ),
        ),
        Claim(
            "and ever more with the frequency, in every dimension and in its factor",
            "derived here: faster waves lie where tubes are sparser",
            f"no neighbour in s ≥ {STEEP:g} needs fewer",
            f"log10 rises by {at_least(rises.min(), 3)} or more between neighbours, by "
            f"{rises.sum(axis=1).min():.2f} in all at d = {dims[0]}, {rises.sum(axis=1).max():.2f} "
            f"at d = {dims[-1]}",
            "bounded",
            bool(
                (rises >= 0).all()
                and (rises.sum(axis=1) > 0).all()
                and (np.diff(each[steep]) > 0).all()
            ),
        ),
    ]
    if s[0] <= SLOW:
        rows.append(
            Claim(
                f"A slow wave costs none at the same error: s = {s[0]:g}",
                "derived here: what lies within u ≤ 1 is free",
                "fewer than 10 directions in every dimension",
                ", ".join("0" if not np.isfinite(n) else f"{10**n:.0f}" for n in log10[:, 0]),
                "bounded",
                bool((log10[:, 0] < 1).all()),
            )
        )
    if least is not None:
        rows.append(
            Claim(
                f"d = {dim}, s = {frequency:g}: the map's number, computed again"
                + (" in ball arithmetic" if certified else ""),
                "derived here: the floor passes the error there",
                f"{again} directions",
                f"{least}",
                "certified" if certified else "bounded",
                bool(least == again and results["checked_trusted"] and excluded[0]),
            )
        )
    return rows


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


def covering(dims: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return log10 of the tubes that cover half of the sphere of radius u > 1, side by side.

    A tube covers q(u) = I_{1/u²}((d − 1)/2, ½).
    """
    with jax.enable_x64(True):
        q = jax.scipy.special.betainc((dims - 1) / 2, 0.5, 1 / u**2)
    return -np.log10(2 * np.asarray(q))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    """Draw the map with contours of the theory, and the factor of a dimension by frequency."""
    figure, (chart, rate) = _figures.panels(1, 2, size=(9.8, 3.9), width_ratios=(1.35, 1))
    _draw_map(figure, chart, results)
    _draw_factors(rate, results)
    return figure


def _draw_map(figure: Figure, chart: Any, results: Results) -> None:
    dims, s = results["dims"], results["frequencies"]
    log10 = np.where(np.isfinite(results["log10"]), results["log10"], 0.0)
    middles = (s[1:] + s[:-1]) / 2
    waves = np.array([2 * s[0] - middles[0], *middles, 2 * s[-1] - middles[-1]])
    rows = _figures.edges(dims)
    image = chart.pcolormesh(waves, rows, log10, cmap=_figures.SEQUENCE, rasterized=True)
    bar = figure.colorbar(image, ax=chart, pad=0.02)
    bar.set_label("$\\log_{10}$ of the directions, at least")
    bar.outline.set_visible(False)
    wave, height = np.meshgrid(
        np.linspace(1.0, waves[-1], 100), np.geomspace(rows[0], rows[-1], 100)
    )
    told = covering(height, wave)
    step = next(step for step in (0.5, 1, 2, 5, 10) if told.max() / step < 8)
    levels = np.arange(step, 0.95 * told.max(), step)
    lines = chart.contour(wave, height, told, levels, colors="white", linewidths=1.2)
    lines.set_path_effects(_figures.HALO)
    labels = chart.clabel(lines, fmt=lambda level: f"$10^{{{level:g}}}$", fontsize=8)
    for text in labels:
        text.set_path_effects(_figures.HALO)
    chart.set_yscale("log")
    chart.set_yticks(dims, [str(dim) for dim in dims])
    chart.yaxis.set_minor_locator(NullLocator())
    chart.grid(visible=False)
    chart.set(xlabel="frequency s of the wave", ylabel="dimension d")
    chart.set_title("What 2 layers need for half of cos sz (s ≥ 1)")
    _figures.note(
        chart, "lines: tubes that cover\nhalf the sphere u = s", (waves[0], rows[0]), (6, 6),
        color="white", path_effects=_figures.HALO,
    )  # fmt: skip


def _draw_factors(rate: Any, results: Results) -> None:
    s, each = results["frequencies"], factors(results)
    shown = each > 0
    rate.fill_between(s, s - 1, s + 1, color=_figures.SKY, alpha=0.25, linewidth=0)
    _figures.bound(rate, s, s, label="the frequency, s")
    rate.plot(s[shown], each[shown], "o-", color=_figures.BLUE, label="measured")
    rate.annotate(
        "frequencies of its mass, s ± 1", (0.97, 0.05), xycoords="axes fraction", ha="right",
        color=_figures.INK,
    )  # fmt: skip
    rate.set(xlabel="frequency s of the wave", title="Each dimension multiplies them by")
    rate.set(xlim=(0, s[-1] * 1.02), ylim=(0, s[-1] + 1.2))
    rate.legend(loc="upper left")
