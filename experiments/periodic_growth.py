"""A cycle of odd period makes the iterates of a map oscillate exponentially often.

Chatziafratis, Nagarajan & Panageas 2020, after Štefan 1977. Where f has a cycle of odd period p,
the crossings of f^k grow at least like ρ^k, ρ = `bounds.periodic_growth(p)` the largest root of
x^p − 2x^{p−2} − 1, at every level within the range of the cycle: Telgarsky's sawtooth is the case
of the mirror map, which has period 3 and does better. Štefan's cycles do no better than they must.

Every count here is exact, of compositions that are never written out; cycles are found by solving
f^p(x) = x in rationals; growth rates are logarithms of spectral radii, enclosed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import (
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    RED,
    SKY,
    bound,
    colours,
    note,
    panels,
    styled,
)
from experiments._table import at_least
from jaxdepth.networks import ConnectTheDots, Sawtooth

CHAPTER = "oscillations"
ALT = (
    "Left, maps with periodic points and their cycles. Middle, label changes of the iterates, "
    "straight lines on a logarithmic axis at the predicted rates. Right, growth of all cyclic "
    "permutations of 3, 5 and 7 points: none below the predicted curve."
)
MIRROR = Sawtooth(1)
TENT = ConnectTheDots([0, Fraction(1, 2), 1], [0, Fraction(3, 4), 0])
LEVEL = Fraction(1, 2)
TENT_CHANGES = (2, 4, 6, 10, 14, 22, 32, 50)


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        periods: odd periods of the Štefan cycles.
        iterates: f^k is counted for k = 1 … iterates, at most 62 (the counts are stored in 64
            bits).
        deep: the mirror map is counted for k = 1 … deep.
        census: odd periods p of which all (p − 1)! cyclic permutations are tried.
        cycle_periods: cycles of the mirror map and the tent are listed for these periods.
    """

    periods: tuple[int, ...] = (3, 5, 7, 9)
    iterates: int = 40
    deep: int = 1000
    census: tuple[int, ...] = (3, 5, 7)
    cycle_periods: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)

    def __post_init__(self) -> None:
        """Refuse counts that 64 bits do not hold, and too little for the claims."""
        if not 8 <= self.iterates <= 62:
            raise ValueError(f"`iterates` must be at least 8 and at most 62; got {self.iterates}.")
        if self.deep < 1:
            raise ValueError(f"`deep` must be at least 1; got {self.deep}.")
        for name in ("periods", "census"):
            given = getattr(self, name)
            odd = all(p >= 3 and p % 2 for p in given)
            if not (given and odd and sorted(set(given)) == list(given)):
                raise ValueError(f"`{name}` must be odd, at least 3 and ascending; got {given}.")
        if 3 not in self.cycle_periods or min(self.cycle_periods) < 1:
            raise ValueError(
                f"`cycle_periods` must be at least 1 and hold 3; got {self.cycle_periods}."
            )


QUICK = Config()
FULL = Config(
    periods=(3, 5, 7, 9, 11),
    iterates=60,
    deep=4000,
    census=(3, 5, 7, 9),
    cycle_periods=tuple(range(1, 12)),
)


def run(config: Config, part: Part = direct) -> Results:
    """Count the iterates, list the cycles, bound the growth of every cyclic permutation."""
    return {
        **part("iterates", lambda: count_all(config)),
        **part("cycles", lambda: list_cycles(config)),
        **part("census", lambda: take_census(config)),
    }


def count_all(config: Config) -> Results:
    """Count the iterates of Štefan's maps, the mirror map and the tent; enclose their growth."""
    maps = [*map(ConnectTheDots.stefan, config.periods), MIRROR, TENT]
    counted = [jd.crossings.count_iterates(f, config.iterates, level=LEVEL) for f in maps]
    growth = [jd.crossings.growth_rate(f, level=LEVEL) for f in maps]
    deep = jd.crossings.count_iterates(MIRROR, config.deep, level=LEVEL)
    return {
        "periods": np.array(config.periods),
        "crossings": np.array([[answer.value for answer in row] for row in counted], np.int64),
        "proven": np.array([all(answer.trusted for answer in row) for row in counted]),
        "rate": np.array([each.rate for each in growth]),
        "rate_lower": np.array([each.lower for each in growth]),
        "rate_upper": np.array([each.upper for each in growth]),
        "deep_right": np.array(
            [
                answer.trusted and answer.value == jd.bounds.triangle_count(1, k)
                for k, answer in enumerate(deep, start=1)
            ]
        ),
    }


def list_cycles(config: Config) -> Results:
    """Find how many cycles of each period the mirror map and the tent have, and one of period 3."""
    found = {
        name: [jd.piecewise.cycles(f, p) for p in config.cycle_periods]
        for name, f in (("mirror", MIRROR), ("tent", TENT))
    }
    return {
        "cycle_periods": np.array(config.cycle_periods),
        "mirror_cycles": np.array([len(cycles) for cycles in found["mirror"]]),
        "tent_cycles": np.array([len(cycles) for cycles in found["tent"]]),
        "orbit": np.array([float(x) for x in jd.piecewise.cycles(MIRROR, 3)[0]]),
    }


def take_census(config: Config) -> Results:
    """Enclose the growth of every cyclic permutation of p points, joined by straight lines."""
    rows = [
        (p, each.lower, each.upper)
        for p in config.census
        for order in itertools.permutations(range(1, p))
        for each in [jd.crossings.growth_rate(cyclic((0, *order)), level=LEVEL)]
    ]
    period, lower, upper = np.array(rows).T
    return {"census_period": period.astype(int), "census_lower": lower, "census_upper": upper}


def cyclic(orbit: tuple[int, ...]) -> ConnectTheDots:
    """Join the dots of the permutation that takes each entry of `orbit` to the next."""
    follows = dict(zip(orbit, (*orbit[1:], orbit[0]), strict=True))
    return ConnectTheDots.from_permutation([follows[i] for i in range(len(orbit))])


def claims(results: Results) -> list[Claim]:
    """State what the theorems predict beside what came out."""
    periods = results["periods"].tolist()
    rho = np.array([jd.bounds.periodic_growth(p) for p in periods])
    stefan = slice(0, len(periods))
    low, high = np.exp(results["rate_lower"]), np.exp(results["rate_upper"])
    ulps = 8 * np.finfo(np.float64).eps  # exp and the comparison round as well
    exact = (low[stefan] <= rho * (1 + ulps)) & (rho <= high[stefan] * (1 + ulps))
    tight = np.max(results["rate_upper"][stefan] - results["rate_lower"][stefan])
    tent = (results["crossings"][-1, :8] - 1).tolist()
    census = [
        (p, math.exp(results["census_lower"][results["census_period"] == p].min()))
        for p in np.unique(results["census_period"]).tolist()
    ]
    odd = {
        int(p): int(number)
        for p, number in zip(results["cycle_periods"], results["tent_cycles"], strict=True)
        if p % 2 and p > 1
    }
    mirror_3 = int(results["mirror_cycles"][results["cycle_periods"].tolist().index(3)])
    return [
        Claim(
            f"Crossings of Štefan's maps of period {', '.join(map(str, periods))} grow at the root "
            "of x^p − 2x^{p−2} − 1",
            "Chatziafratis et al. 2020; Štefan 1977",
            ", ".join(f"{each:.5f}" for each in rho),
            ", ".join(f"{math.exp(rate):.5f}" for rate in results["rate"][stefan]),
            "certified",
            bool(np.all(exact) and tight < 1e-12 and results["proven"].all()),
        ),
        Claim(
            "No cyclic permutation of p = "
            f"{', '.join(str(p) for p, _ in census)} points grows more slowly",
            "Chatziafratis et al. 2020",
            ", ".join(f"≥ {at_least(jd.bounds.periodic_growth(p), 5)}" for p, _ in census),
            ", ".join(f"≥ {at_least(least, 5)}" for _, least in census)
            + f", the least of {', '.join(str(math.factorial(p - 1)) for p, _ in census)}",
            "certified",
            all(least > jd.bounds.periodic_growth(p) * (1 - 1e-12) for p, least in census),
        ),
        Claim(
            "The mirror map has period 3, and grows faster than it must",
            "Chatziafratis et al. 2020; Telgarsky 2016",
            f"≥ {at_least(jd.bounds.periodic_growth(3), 5)}; 2 exactly",
            f"{math.exp(results['rate'][-2]):.5f}; {mirror_3} cycles of period 3",
            "certified",
            mirror_3 == 2 and bool(low[-2] <= 2 <= high[-2]),
        ),
        Claim(
            f"m^k has Cr = 2^k + 1, for every k ≤ {len(results['deep_right']):,}",
            "Telgarsky 2016, Corollary 3.14",
            "2^k + 1",
            "the same" if results["deep_right"].all() else "NOT the same",
            "exact",
            bool(results["deep_right"].all()),
        ),
        Claim(
            "The tent (3/2)·min(x, 1 − x) changes label at ½, k = 1 … 8",
            "derived here",
            ", ".join(map(str, TENT_CHANGES)),
            ", ".join(map(str, tent)),
            "exact",
            tuple(tent) == TENT_CHANGES,
        ),
        Claim(
            "It grows at its slope, too slowly for odd periods p with ρ_p > 3/2",
            "Chatziafratis et al. 2020",
            "1.5; no cycle of period 3 or 5",
            f"{math.exp(results['rate'][-1]):.5f}; "
            + ", ".join(f"{number} of period {p}" for p, number in odd.items()),
            "certified",
            bool(low[-1] <= 1.5 <= high[-1])
            and all(number == 0 for p, number in odd.items() if jd.bounds.periodic_growth(p) > 1.5),
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw the maps and a cycle, the counts, and the growth of all cyclic permutations."""
    figure, (maps, counts, census) = panels(1, 3)
    periods = results["periods"].tolist()
    shades = dict(zip(periods, colours(len(periods)), strict=True))
    draw_maps(maps, results, shades)
    draw_counts(counts, results, shades)
    draw_census(census, results, shades)
    return figure


def draw_maps(maps: Any, results: Results, shades: dict[int, Any]) -> None:
    """Draw three maps, and a cycle of period 3 of the mirror map as its corners on the diagonal."""
    p = list(shades)[len(shades) // 3]
    maps.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    maps.plot([0, 0.5, 1], [0, 1, 0], color=BLUE, label="mirror map")
    stefan = [float(y) for y in ConnectTheDots.stefan(p).values]
    maps.plot(np.linspace(0, 1, p), stefan, "s-", color=shades[p], label=f"Štefan, period {p}")
    maps.plot([0, 0.5, 1], [0, 0.75, 0], color=ORANGE, linestyle="-.", label="tent of slope 3/2")
    orbit = results["orbit"]
    corners = np.repeat(np.append(orbit, orbit[0]), 2)
    maps.plot(corners[:-1], corners[1:], color=RED, linewidth=1.3, label="cycle 2/9, 4/9, 8/9")
    maps.plot(orbit, np.roll(orbit, -1), "o", color=RED)
    maps.set(xlabel="x", ylabel="f(x)", ylim=(-0.03, 1.42), title="Maps with periodic points")
    maps.set_yticks([0, 0.5, 1])
    maps.legend(loc="upper center", ncols=2, columnspacing=1.0)


def draw_counts(counts: Any, results: Results, shades: dict[int, Any]) -> None:
    """Draw the label changes of the iterates over √2^k, which no odd period stays below."""
    k = np.arange(1, results["crossings"].shape[1] + 1)
    scaled = (results["crossings"] - 1) / math.sqrt(2) ** k
    names = [*(f"p = {p}" for p in shades), "mirror", "tent"]
    looks = [*shades.values(), BLUE, ORANGE]
    shown = slice(1, None, 2)  # two steps are one of Štefan's swings from side to side
    top = 8 * scaled[0, -1]  # the mirror map leaves it soon
    for row, name, shade, marker in zip(
        scaled, names, looks, itertools.cycle(MARKERS), strict=False
    ):
        counts.semilogy(k[shown], row[shown], marker, color=shade, markersize=3.5)
        last = np.flatnonzero(row < top)[-1]
        note(
            counts,
            name,
            (k[last], row[last]),
            (6, {"tent": 4, "p = 5": -3}.get(name, 0)),
            va="center",
            color=shade,
        )
    for p, row in zip(shades, scaled, strict=False):
        growth = (jd.bounds.periodic_growth(p) / math.sqrt(2)) ** (k - float(k[-1]))
        label = r"$C\,\rho_p^k$" if p == min(shades) else ""
        bound(counts, k, row[-1] * growth, label=label)
    counts.set(
        xlabel="k",
        xlim=(0, 1.18 * k[-1]),
        ylim=(0.6, top),
        title="Label changes of $f^k$ at ½, over $2^{k/2}$",
    )
    counts.legend(loc="upper left")


def draw_census(census: Any, results: Results, shades: dict[int, Any]) -> None:
    """Draw the growth of all cyclic permutations, ascending, and what their period forces."""
    p = results["census_period"]
    sizes = np.unique(p, return_counts=True)
    spread = np.concatenate(
        [np.linspace(-1, 1, number) * min(0.8, number / 30) for number in sizes[1].tolist()]
    )
    order = np.lexsort((results["census_lower"], p))
    rates = np.exp(results["census_lower"][order])
    census.plot(p[order] + spread, rates, ".", color=SKY, markersize=3, label="cyclic permutations")
    odd = np.arange(3, max(shades) + 1, 2)
    bound(census, odd, [jd.bounds.periodic_growth(int(q)) for q in odd], label=r"$\rho_p$")
    for rate, q in zip(results["rate"], shades, strict=False):
        label = "Štefan" if q == min(shades) else None
        census.plot(q, np.exp(rate), "s", color=shades[q], label=label)
    for q, number in zip(*sizes, strict=True):
        note(
            census,
            f"all {number:,}",
            (q, rates[p[order] == q].max()),
            (0, 6),
            ha="center",
            color=SKY,
        )
    census.set_xticks(odd)
    census.set_ylim(top=1.12 * rates.max())
    census.set(xlabel="period p", ylabel="growth per iterate", title="No cycle grows more slowly")
    census.legend(loc="best")
