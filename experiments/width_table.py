"""How wide 2 layers must be for a radial wave, in up to 100 dimensions.

Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016), Theorem 1, says that
2-layer networks need a width exponential in the dimension d. Here is the width: the least number of
directions k that the Fourier certificate does not exclude for an error of E_μ(f − g)², whatever
the activation and the weights, for the wave g = cos(4z)·1{z ≤ 20√d}.

The growth can be told beforehand. In R^d, the frequencies of cos(4z) are at u = ‖ξ‖/R_d = 4 if d is
odd, and gather there from inside if d is even (Huygens); the measure's φ smears them over a ball of
radius 1. So nearly all of g's mass lies within 3 ≤ u ≤ 5; its edge spreads the rest. A tube covers
a share q(u) ~ u^{1−d}/√d of the sphere of radius u, so that √d·u^{d−1} tubes may cover it all: in
high dimensions, each multiplies k by the u beyond which the error lies, a number between 3 and 5,
and about 4 for half of the norm.

Where we depart: instead of c·e^(cd) with constants that are not named, the width is the least that
the certificate does not exclude, for an error that is a share of ‖g‖².
"""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._table import at_least

CHAPTER = "radial"
ALT = (
    "Left, the directions that 2 layers need against the dimension, straight lines on a "
    "logarithmic axis up to more than 10^60 in dimension 100. Right, what each dimension "
    "multiplies them by: it falls with the dimension, to between 4 and 5."
)
FREQUENCY = 4.0
LOWEST, HIGHEST = FREQUENCY - 1, FREQUENCY + 1  # where nearly all of the mass lies
SOURCE = "Eldan & Shamir 2016, Theorem 1"

# Numbers to measure a width by, log10.
FAMILIAR = {
    "atoms in a body": 27.8,
    "atoms in the Earth": 50.1,
    "atoms in the observable universe": 80.0,
}


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: dimensions d, ascending.
        shares: of ‖g‖², the errors asked of 2 layers, descending.
        checked: dimensions, among `dims`, whose widths are checked by ball arithmetic.
    """

    dims: tuple[int, ...] = (3, 10, 30, 60, 100)
    shares: tuple[float, ...] = (0.5, 0.25, 0.1)
    checked: tuple[int, ...] = (3,)

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if len(self.dims) < 2 or min(np.diff(self.dims)) < 1 or self.dims[0] < 2:
            raise ValueError(f"`dims` must be two or more, ascending from 2 on; got {self.dims}.")
        if not set(self.checked) <= set(self.dims):
            raise ValueError(f"`checked` must be among `dims`; got {self.checked}.")
        ends = (1.0, *self.shares, 0.0)
        if not self.shares or max(np.diff(ends)) >= 0:
            raise ValueError(f"`shares` must descend between 1 and 0; got {self.shares}.")


QUICK = Config()
FULL = Config(dims=tuple(range(2, 101)), checked=(2, 3, 4, 5, 6))


def run(config: Config, part: Part = direct) -> Results:
    table = part("table", functools.partial(_table, config))
    results = {"dims": np.asarray(config.dims), "shares": np.asarray(config.shares), **table}
    results["checked"] = np.asarray(config.checked, np.int64)
    for dim in config.checked:
        row = config.dims.index(dim)
        errors, least = results["errors"][row], results["least"][row]
        results |= part(f"check-{dim}", functools.partial(_checked, dim, errors, least))
    return results


def _wave(dim: int) -> jd.radial.Cosine:
    return jd.radial.Cosine(FREQUENCY, 20 * math.sqrt(dim))


def _norm(dim: int) -> float:
    """Estimate ‖g‖² = ½·E[1 + cos 8z; z ≤ 20√d], to a thousandth of it or so.

    Over all z, E cos 8z is 0 in odd dimensions, for μ has no frequency beyond 2, and next to 0 in
    even ones; μ(z > Z) is about d/(πZ).
    """
    return 0.5 * (1 - math.sqrt(dim) / (20 * math.pi))


def _table(config: Config) -> Results:
    """Find the least directions of every dimension.

    A dimension is a compilation of some seconds, on one core: two are made at a time.
    """
    norms = np.asarray([_norm(dim) for dim in config.dims])
    errors = norms[:, None] * np.asarray(config.shares)
    method = jd.radial.Bounded(cutoff=HIGHEST)

    def row(dim: int, asked: np.ndarray) -> jd.radial.MinDirections:
        return jd.radial.min_directions(_wave(dim), dim, asked, method=method)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(row, config.dims, errors))
    return {
        "norms": norms,
        "errors": errors,
        "least": np.stack([np.asarray(each.value) for each in found]),
        "log10": np.stack([np.asarray(each.log10) for each in found]),
        "trusted": np.asarray([bool(each.trusted) for each in found]),
    }


def _checked(dim: int, errors: np.ndarray, least: np.ndarray) -> Results:
    """Certify the floors with one direction fewer and with so many: in ball arithmetic, if there.

    Without python-flint, in float64.
    """
    certified = find_spec("flint") is not None
    kind = jd.radial.Certified if certified else jd.radial.Bounded
    k = np.stack([least - 1, least])
    found = jd.radial.certify(_wave(dim), dim, k, method=kind(cutoff=HIGHEST))
    return {
        f"check{dim}_errors": errors,
        f"check{dim}_least": least,
        f"check{dim}_floors": np.asarray(found.floor),
        f"check{dim}_norm": np.asarray(found.norm_squared),
        f"check{dim}_trusted": np.asarray(found.trusted),
        f"check{dim}_certified": np.asarray(certified),
    }


# ---- The claims ----


def _factors(results: Results) -> np.ndarray:
    """Return by what each dimension multiplies the width, between neighbouring rows."""
    slopes = np.diff(results["log10"], axis=0) / np.diff(results["dims"])[:, None]
    return 10.0**slopes


def _fitted(results: Results) -> np.ndarray:
    """Return the same by least squares over all rows, one number for each share."""
    return 10.0 ** np.polyfit(results["dims"], results["log10"], 1)[0]


def _written(log10: float) -> str:
    """Write a lower bound by its logarithm."""
    if log10 < 6:
        return f"{10**log10:,.0f}"
    return f"{at_least(10 ** (log10 % 1), 1)}e{math.floor(log10)}"


def claims(results: Results) -> list[Claim]:
    dims, shares = results["dims"], results["shares"]
    factors, fitted = _factors(results), _fitted(results)
    rows = [
        Claim(
            f"cos 4z: an error of {share:g}·‖g‖² takes 2 layers exponentially many directions",
            SOURCE,
            f"each dimension multiplies them by {LOWEST:g} or more",
            f"by {at_least(least, 1)} at least; "
            + "; ".join(
                f"d = {dim}: {_written(number)}"
                for dim, number in zip(dims[_few(dims)], numbers[_few(dims)], strict=True)
            ),
            "bounded",
            bool(least >= LOWEST and results["trusted"].all()),
        )
        for share, least, numbers in zip(
            shares, factors.min(axis=0), results["log10"].T, strict=True
        )
    ]
    rows.append(
        Claim(
            "the factor is the frequency beyond which the error lies",
            "derived here: q(u) ~ u^(1−d)/√d, mass within 3 ≤ u ≤ 5",
            f"between {LOWEST:g} and {HIGHEST:g}, ever more with less error",
            ", ".join(
                f"{factor:.2f} for {share:g}·‖g‖²"
                for factor, share in zip(fitted, shares, strict=True)
            ),
            "bounded",
            bool(((fitted > LOWEST) & (fitted < HIGHEST)).all() and (np.diff(fitted) > 0).all()),
        )
    )
    for dim in results["checked"]:
        floors, errors = results[f"check{dim}_floors"], results[f"check{dim}_errors"]
        least = results[f"check{dim}_least"]
        certified = bool(results[f"check{dim}_certified"])
        rows.append(
            Claim(
                f"d = {dim}: the floor passes each error at the last direction"
                + (", in ball arithmetic" if certified else ""),
                "derived here: floor(k − 1) > error ≥ floor(k)",
                ", ".join(f"{error:.5f}" for error in errors),
                ", ".join(
                    f"{above:.5f} → {below:.5f} (k = {k:.0f})"
                    for above, below, k in zip(*floors, least, strict=True)
                ),
                "certified" if certified else "bounded",
                bool(
                    results[f"check{dim}_trusted"]
                    and (floors[0] > errors).all()
                    and (floors[1] <= errors).all()
                ),
            )
        )
    return rows


def _few(dims: np.ndarray) -> np.ndarray:
    """Choose the rows of some four dimensions to be written out."""
    return np.unique(np.linspace(0, dims.size - 1, 4).round().astype(int))


def check(results: Results) -> None:
    require(claims(results))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    figure, (widths, factors) = _figures.panels(1, 2, size=(9.6, 4.0), width_ratios=(1.6, 1))
    shades = (_figures.BLUE, _figures.ORANGE, _figures.RED, _figures.PURPLE, _figures.GREEN)
    _draw_widths(widths, results, shades)
    _draw_factors(factors, results, shades)
    return figure


def _draw_widths(panel: Any, results: Results, shades: tuple[str, ...]) -> None:
    dims, shares = results["dims"], results["shares"]
    markers = _figures.MARKERS if dims.size < 30 else ("",) * len(_figures.MARKERS)
    columns = list(zip(shares, results["log10"].T, shades, markers, strict=False))
    for share, numbers, shade, marker in columns[::-1]:  # the highest curve first in the legend
        panel.plot(dims, numbers, marker=marker, color=shade, label=f"{share:g}·‖g‖²")
    highest = float(results["log10"].max())
    top = 10.0 * math.ceil(0.13 * highest)
    for name, log10 in FAMILIAR.items():
        if log10 < top:
            panel.axhline(log10, color=_figures.GREY, linewidth=0.8, linestyle=(0, (1, 2)))
            _figures.note(panel, name, (0, log10), (4, 3), color=_figures.GREY, fontsize=8.5)
    ticks = np.arange(0, top + 1, 10)
    panel.set_yticks(ticks, [f"$10^{{{tick:.0f}}}$" for tick in ticks])
    panel.set(
        xlabel="dimension d", ylabel="directions, at least", title="What 2 layers need for cos 4z"
    )
    panel.set(ylim=(0, top), xlim=(0, 1.02 * float(dims[-1])))
    panel.legend(loc="lower right", title="error")


def _draw_factors(panel: Any, results: Results, shades: tuple[str, ...]) -> None:
    dims, factors = results["dims"], _factors(results)
    panel.axhspan(LOWEST, HIGHEST, color=_figures.SKY, alpha=0.2, linewidth=0)
    for column, shade in zip(factors.T, shades, strict=False):
        panel.stairs(column, dims, baseline=None, color=shade, linewidth=1.8)
    _figures.bound(panel, [0, dims[-1]], [FREQUENCY, FREQUENCY], label="frequency of the wave, 4")
    panel.annotate(
        "frequencies u of its mass", (0.98, LOWEST), xycoords=("axes fraction", "data"),
        xytext=(0, 4), textcoords="offset points", ha="right", color=_figures.INK,
    )  # fmt: skip
    panel.set(xlabel="dimension d", ylim=(2, 6.5), xlim=(0, float(dims[-1]) * 1.02))
    panel.set_title("Each dimension multiplies them by")
    panel.legend(loc="upper right")
