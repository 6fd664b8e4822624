"""The hardest radial profiles: ascent on the floor under every 2-layer network.

Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016), take a sum of random
signed shells for the function that 2 layers cannot approximate. Which function is the hardest? The
floor of `jd.radial.certify` is a quadratic form of the profile's values, so that it can be climbed:
over profiles with |g| ≤ 1, Lipschitz with a given constant and of the given support, for k
directions. The wave cos(Lz) is where the ascent starts, made admissible at its edge.

What comes out keeps its mass away from k tubes. The ascent finds local maxima, the best of several
starts: the floors are proven, that nothing is harder is not.

Where we depart: the paper draws its hard function at random; here it is climbed to.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._table import at_least

CHAPTER = "radial"
ALT = (
    "Top, radial profiles before and after the ascent, in dimensions 3 and 10. Below, floors "
    "against the number of directions: profiles hardened for each lie above the wave they start "
    "from. Last, bars of the floors by Lipschitz constant, higher after the ascent."
)


class Case(NamedTuple):
    """What is asked in one dimension.

    Attributes:
        directions: k.
        radius: of the support, in z units.
        method: how floors are computed; one for all k and L, which so share a compilation.
    """

    directions: float
    radius: float
    method: jd.radial.Bounded


CASES = {
    3: Case(35.0, 4.0, jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)),
    10: Case(1e4, 20.0, jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)),
}
CLOSE = 3  # the dimension looked at closely
BALL = jd.radial.Ball(2.0)
SOURCE = "derived here: the floor is a quadratic form of the profile's values"


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: among those in `CASES`; 3 is one of them.
        lipschitz: constants L, ascending; the last is used throughout.
        directions: numbers of directions at d = 3.
        starts: of every ascent.
        steps: of every ascent.
    """

    dims: tuple[int, ...] = (3, 10)
    lipschitz: tuple[float, ...] = (1.0, 2.0, 4.0)
    directions: tuple[float, ...] = (2.0, 5.0, 12.0, 35.0, 80.0, 110.0)
    starts: int = 8
    steps: int = 500

    def __post_init__(self) -> None:
        """Refuse dimensions without a case."""
        if CLOSE not in self.dims or not set(self.dims) <= set(CASES):
            raise ValueError(f"`dims` must be among {sorted(CASES)} and hold 3; got {self.dims}.")


QUICK = Config()
FULL = Config(
    lipschitz=(0.5, 1.0, 2.0, 3.0, 4.0),
    directions=(2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 35.0, 50.0, 80.0, 110.0),
    starts=64,
    steps=10_000,
)


def run(config: Config, part: Part = direct) -> Results:
    results: Results = {"dims": np.asarray(config.dims), "lipschitz": np.asarray(config.lipschitz)}
    results |= part("hardest", functools.partial(_hardest, config))
    hardest = jd.radial.Profile(results[f"hard{CLOSE}_knots"], results[f"hard{CLOSE}_values"])
    return results | part("beside", functools.partial(_beside, hardest, config))


# ---- The parts ----


def _harden(dim: int, directions: float, lipschitz: float, config: Config) -> jd.radial.Hardened:
    case = CASES[dim]
    return jd.radial.harden(
        jd.radial.Cosine(lipschitz, case.radius),
        dim,
        directions,
        lipschitz=lipschitz,
        num_knots=int(8 * case.radius) + 1,
        starts=config.starts,
        steps=config.steps,
        method=case.method,
    )


def _hardest(config: Config) -> Results:
    """Harden the wave in every dimension, and under every Lipschitz constant in the first."""

    def one(dim: int) -> Results:
        constants = config.lipschitz if dim == CLOSE else config.lipschitz[-1:]
        found = [_harden(dim, CASES[dim].directions, each, config) for each in constants]
        last = found[-1]
        assert isinstance(last.target, jd.radial.Profile)
        return {
            f"hard{dim}_knots": np.asarray(last.target.knots),
            f"hard{dim}_values": np.asarray(last.target.values),
            f"hard{dim}_floors": np.asarray([float(each.certificate.floor) for each in found]),
            f"hard{dim}_starts": np.asarray([each.start for each in found]),
            f"hard{dim}_norm": np.asarray(last.certificate.norm_squared),
        }

    results: Results = {}
    with ThreadPoolExecutor() as pool:  # programs compile side by side
        for found in pool.map(one, config.dims):
            results |= found
    return results


def _directions(hardest: jd.radial.Profile, config: Config) -> Results:
    """Harden for each number of directions, beside what was hardened for one of them."""
    k, method = np.asarray(config.directions), CASES[CLOSE].method
    found = [_harden(CLOSE, each, config.lipschitz[-1], config) for each in config.directions]
    return {
        "k": k,
        "k_floors": np.asarray([float(each.certificate.floor) for each in found]),
        "k_starts": np.asarray([each.start for each in found]),
        "k_hardest": np.asarray(jd.radial.certify(hardest, CLOSE, k, method=method).floor),
    }


def _beside(hardest: jd.radial.Profile, config: Config) -> Results:
    """Hold the hardest profile by others, by a fit from above, and by ball arithmetic."""
    case = CASES[CLOSE]
    k, method = case.directions, case.method
    with ThreadPoolExecutor() as pool:
        ball = pool.submit(jd.radial.certify, BALL, CLOSE, k)
        ridge = pool.submit(jd.radial.ridge_error, hardest, CLOSE, _spread(int(k)))
        results = _directions(hardest, config)
        if find_spec("flint") is not None:
            proven = jd.radial.Certified(
                cutoff=method.cutoff, panels_u=method.panels_u, panels_z=method.panels_z
            )
            certificate = jd.radial.certify(hardest, CLOSE, k, method=proven)
            results["certified"] = np.asarray(certificate.floor)
        results["ball_floor"] = np.asarray(ball.result().floor)
        results["ridge"] = np.asarray(ridge.result())
    return results


def _spread(count: int) -> np.ndarray:
    """Spread directions over the half sphere, along a golden spiral."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


# ---- The claims ----


def _admissible(knots: np.ndarray, values: np.ndarray, lipschitz: float) -> bool:
    """Tell, in exact arithmetic, whether |g| ≤ 1, g ends at 0 and is Lipschitz."""
    z, v = [Fraction(float(each)) for each in knots], [Fraction(float(each)) for each in values]
    slopes = (abs((v[i + 1] - v[i]) / (z[i + 1] - z[i])) for i in range(len(z) - 1))
    return max(map(abs, v)) <= 1 and v[-1] == 0 and max(slopes) <= Fraction(lipschitz)


def claims(results: Results) -> list[Claim]:
    constant = float(results["lipschitz"][-1])
    rows = []
    for dim in map(int, results["dims"]):
        floor, start = results[f"hard{dim}_floors"][-1], results[f"hard{dim}_starts"][-1]
        rows.append(
            Claim(
                f"d = {dim}, {CASES[dim].directions:,.0f} directions, L = {constant:g}: a profile "
                "is found that is harder than the wave",
                SOURCE,
                f"floor ≥ {at_least(start)}, that of cos {constant:g}z",
                f"≥ {at_least(floor)} of ‖g‖² = {results[f'hard{dim}_norm']:.4f}",
                "bounded",
                bool(floor >= start),
            )
        )
    profiles = [
        (results[f"hard{dim}_knots"], results[f"hard{dim}_values"]) for dim in results["dims"]
    ]
    rows.append(
        Claim(
            "these profiles are bounded by 1, Lipschitz, and 0 at the edge",
            "McShane 1934: the nearest-admissible map",
            f"|g| ≤ 1, slopes ≤ {constant:g}",
            "; ".join(
                f"{np.abs(values).max():.6f}, {np.abs(np.diff(values) / np.diff(knots)).max():.6f}"
                for knots, values in profiles
            ),
            "estimate",
            all(_admissible(knots, values, constant) for knots, values in profiles),
        )
    )
    floors = results[f"hard{CLOSE}_floors"]
    gains = (floors - results[f"hard{CLOSE}_starts"], results["k_floors"] - results["k_starts"])
    more = np.concatenate(gains)
    rows.append(
        Claim(
            f"d = {CLOSE}: for every k and every L the ascent ends no lower than it starts",
            SOURCE,
            "gain ≥ 0",
            f"{more.min():.4f} to {more.max():.4f}, {more.size} ascents",
            "bounded",
            bool((more >= 0).all()),
        )
    )
    floor, ridge = float(floors[-1]), float(results["ridge"])
    k = int(CASES[CLOSE].directions)
    rows.append(
        Claim(
            f"d = {CLOSE}: least squares along {k} directions stay above the floor",
            "Eldan & Shamir 2016, Theorem 1",
            f"≥ {at_least(floor)}",
            f"{ridge:.4f}",
            "bounded",
            ridge >= floor,
        )
    )
    if "certified" in results:
        certified = float(results["certified"])
        rows.append(
            Claim(
                f"d = {CLOSE}: the floor is proven in ball arithmetic",
                SOURCE,
                f"≥ {at_least(floor, 6)}, as bounded in float64",
                f"≥ {at_least(certified, 6)}",
                "certified",
                floor * (1 - 1e-9) <= certified <= ridge,
            )
        )
    return rows


def check(results: Results) -> None:
    require(claims(results))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    dims = [int(dim) for dim in results["dims"]]
    figure, axes = _figures.panels(2, max(2, len(dims)))
    for panel, dim in zip(axes[0], dims, strict=False):
        _draw_profile(panel, results, dim)
    _draw_directions(axes[1, 0], results)
    _draw_constants(axes[1, 1], results)
    for panel in axes[1, 2:]:
        panel.remove()
    return figure


def _draw_profile(panel: Any, results: Results, dim: int) -> None:
    constant, case = float(results["lipschitz"][-1]), CASES[dim]
    z = np.linspace(0, case.radius, 801)
    floor, start = results[f"hard{dim}_floors"][-1], results[f"hard{dim}_starts"][-1]
    wave = rf"start, $\cos {constant:g}z$: floor {at_least(start, 3)}"
    panel.plot(z, np.cos(constant * z), color=_figures.SKY, linewidth=1.2, label=wave)
    panel.plot(
        results[f"hard{dim}_knots"],
        results[f"hard{dim}_values"],
        color=_figures.RED,
        label=f"hardened: floor {at_least(floor, 3)}",
    )
    panel.set(
        xlabel=r"radius $z = 2\pi R_d\|x\|$",
        ylabel="g(z)",
        ylim=(-1.1, 1.9),
        yticks=(-1, 0, 1),
        title=f"d = {dim}, k = {case.directions:,.0f}, L = {constant:g}",
    )
    panel.legend(loc="upper right")


def _draw_directions(panel: Any, results: Results) -> None:
    constant, k = float(results["lipschitz"][-1]), results["k"]
    panel.plot(k, results["k_floors"], "o-", color=_figures.RED, label="hardened for each k")
    reference = f"hardened for k = {CASES[CLOSE].directions:,.0f}"
    panel.plot(k, results["k_hardest"], "s--", color=_figures.ORANGE, label=reference)
    wave = rf"the wave $\cos {constant:g}z$"
    panel.plot(k, results["k_starts"], "^-", color=_figures.SKY, label=wave)
    panel.set(
        xscale="log",
        ylim=(0, None),
        xlabel="directions k (2 layers)",
        ylabel=r"floor of the squared error",
        title=f"Floor against width, d = {CLOSE}",
    )
    panel.legend(loc="upper right")


def _draw_constants(panel: Any, results: Results) -> None:
    constants = results["lipschitz"]
    place, floors = np.arange(constants.size), results[f"hard{CLOSE}_floors"]
    starts = results[f"hard{CLOSE}_starts"]
    for shift, heights, colour, label in (
        (-0.2, starts, _figures.SKY, r"start, $\cos Lz$"),
        (0.2, floors, _figures.RED, "hardened"),
    ):
        bars = panel.bar(place + shift, heights, 0.38, color=colour, label=label)
        told = [at_least(height, 3) for height in heights]
        panel.bar_label(bars, told, fontsize=8, padding=1)
    ball = float(results["ball_floor"])
    label = f"ball of radius {float(BALL.radius):g}, which jumps"
    _figures.bound(panel, [-0.5, constants.size - 0.5], [ball, ball], label=label)
    panel.set(
        xticks=place,
        xticklabels=[f"{each:g}" for each in constants],
        xlabel="Lipschitz constant L",
        ylabel=r"floor of the squared error",
        ylim=(0, 1.15 * float(floors.max())),
        title=f"k = {CASES[CLOSE].directions:,.0f}, d = {CLOSE}",
    )
    panel.legend(loc="upper left")
