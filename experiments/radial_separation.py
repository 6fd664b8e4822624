"""Radial functions: 3 layers against every 2-layer network.

Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016), Theorem 1. Where the
paper has universal constants, these are numbers: a floor under the L2(μ) error of every 2-layer
network with k directions, whatever its activation and weights, and explicit 3-layer networks, of
ReLUs and of sigmoids, that lie below the floor at as many neurons. Networks of 2 and of 3 layers
are trained on samples of μ and measured on others, with intervals that hold without assumptions: a
2-layer network whose interval ends below its floor would contradict the theorem, and stops `check`.

Where we depart: the paper's target is a sum of signed shells, chosen for the proof, and its
constants are universal and unnamed. Here the target is the indicator of a ball, of a radius that
keeps the floor high, and for the growth with the dimension the shell wave cos(4z) for z ≤ 20√d.
Trained networks are of tanh, for the risk of ReLUs under μ is infinite, and their errors have
empirical Bernstein intervals that hold together with probability .999 in each dimension.
"""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.scipy.special import betainc
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._floors import draw_floor, excluded
from experiments._live import Axis, Colour, Frame, Live, Mark, Panel, area, dots, joined, line, note
from experiments._measured import Side, descended, risks
from experiments._table import at_least, at_most, digits
from experiments._training import repeated

CHAPTER = "radial"
ALT = (
    "For the ball in each dimension: the floor of every 2-layer network falls with its directions; "
    "explicit 3-layer networks lie below it at as many neurons, trained 2-layer networks above. "
    "Right: floors for the wave cos 4z, which stay up to far more directions as d grows."
)

# A radius about where the floor is highest (`ball_indicator` searches it), the error asked of the
# 3-layer networks, and how far the floor's curve goes.
BALLS = {3: (2.0, 0.0100, 1e3), 10: (6.1, 0.0115, 1e6), 20: (11.5, 0.0085, 1e8)}
EXPLICIT = ("relu", "sigmoid")
LAYERS = (2, 3)
FREQUENCY = 4.0
ERRORS = np.append(np.linspace(0.01, 0.45, 45), 0.25)  # of the waves; ‖g‖² is .45 to .49
FREQUENCIES = np.linspace(1e-3, 12.0, 241)  # radii u = ‖ξ‖/R_d of the live figure
PLACES = 60  # of its slider, at most
MISS = 1e-3  # the probability that any one of the intervals of a dimension misses
SOURCE = "Eldan & Shamir 2016, Theorem 1"


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: of the balls; among those in `BALLS`.
        wave_dims: of the shell waves.
        widths: of the hidden layers of the trained networks.
        seeds: networks of each width.
        steps: updates of Adam.
        batch: points of an update.
        train: sampled points to train on.
        test: sampled points to test on.
        seed: of the samples and the networks.
    """

    dims: tuple[int, ...] = (3, 10)
    wave_dims: tuple[int, ...] = (4, 10)
    widths: tuple[int, ...] = (4, 8, 16, 32)
    seeds: int = 2
    steps: int = 2_000
    batch: int = 512
    train: int = 8_192
    test: int = 300_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse dimensions without a ball."""
        if not set(self.dims) <= set(BALLS):
            raise ValueError(f"`dims` must be among {sorted(BALLS)}; got {self.dims}.")


QUICK = Config()
FULL = Config(
    dims=(3, 10, 20),
    wave_dims=(4, 7, 10, 14, 20, 30),
    widths=(4, 8, 16, 32, 64, 128),
    seeds=5,
    steps=20_000,
    batch=1_024,
    train=262_144,
    test=4_000_000,
)


def run(config: Config, part: Part = direct) -> Results:
    results: Results = {
        "dims": np.asarray(config.dims),
        "wave_dims": np.asarray(config.wave_dims),
    }
    for dim in config.dims:
        results |= part(f"ball-{dim}", functools.partial(_ball, dim, config))
    return results | part("waves", functools.partial(_waves, config.wave_dims))


# ---- The parts ----


def _ball(dim: int, config: Config) -> Results:
    """Build the ball's 3-layer networks, train others, and hold all against the floor."""
    radius, error, most = BALLS[dim]
    target = jd.radial.Ball(radius)
    with jax.enable_x64(True):  # weights of 64 bits: those of the sigmoids are large
        explicit = [jd.radial.approximate(target, dim, error, activation=a) for a in EXPLICIT]

    widths = repeated(config.widths, config.seeds)
    neurons = {
        "two": widths,
        "three": 2 * widths,
        "explicit": np.asarray([each.network.num_neurons for each in explicit]),
    }
    directions = np.unique(np.rint(np.geomspace(1, most, 161)))
    asked = np.concatenate([directions, *neurons.values()]).astype(np.float64)
    bounds = np.asarray([each.error for each in explicit])

    training, testing = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), dim))
    with ThreadPoolExecutor() as pool:  # programs compile side by side
        certifying = pool.submit(jd.radial.certify, target, dim, asked)
        stacks = descended(
            target,
            dim,
            LAYERS,
            config.widths,
            config.seeds,
            points=config.train,
            steps=config.steps,
            batch=config.batch,
            pool=pool,
            key=training,
        )
        certificate = certifying.result()
    side = Side(stacks, [each.network for each in explicit])
    risk = risks(side, target, dim, config.test, miss=MISS, key=testing)

    floors, at_networks = np.split(np.asarray(certificate.floor), [directions.size])
    found: Results = {
        "radius": np.asarray(target.radius),
        "directions": directions,
        "floors": floors,
        "norm": np.asarray(certificate.norm_squared),
        "trusted": np.asarray(certificate.trusted),
        "frequencies": FREQUENCIES,
        "spectrum": np.asarray(target.spectrum(FREQUENCIES, dim)),
        "share": tube_share(FREQUENCIES, dim),
        "confidence": np.asarray(risk.confidence),
        "explicit_bounds": bounds,
        "explicit_needed": np.asarray([excluded(directions, floors, error) for error in bounds]),
    }
    ends = np.cumsum([size.size for size in neurons.values()])[:-1]
    columns = {
        "floors": at_networks,
        "means": risk.mean,
        "half_widths": risk.half_width,
        "held": risk.trusted,
    }
    for name, values in columns.items():
        for kind, some in zip(neurons, np.split(np.asarray(values), ends), strict=True):
            found[f"{kind}_{name}"] = some
    found |= {f"{kind}_neurons": size for kind, size in neurons.items()}
    return {f"ball{dim}_{name}": array for name, array in found.items()}


def tube_share(u: np.ndarray, dim: int) -> np.ndarray:
    """Return which share of the sphere of radius u a tube covers, I_{1/u²}((d−1)/2, ½)."""
    with jax.enable_x64(True):
        return np.asarray(betainc((dim - 1) / 2, 0.5, 1 / np.maximum(u, 1.0) ** 2))


def _waves(dims: tuple[int, ...]) -> Results:
    """Bound the directions of 2-layer networks on the shell wave, for many errors."""

    def one(dim: int) -> Results:
        target = jd.radial.Cosine(FREQUENCY, 20 * math.sqrt(dim))
        needed = jd.radial.min_directions(target, dim, ERRORS)
        return {
            f"wave{dim}_log10": np.asarray(needed.log10),
            f"wave{dim}_trusted": np.asarray(needed.trusted),
        }

    dim, u = max(dims), np.linspace(1.5, 6.0, 241)
    target = jd.radial.Cosine(FREQUENCY, 20 * math.sqrt(dim))
    with ThreadPoolExecutor() as pool:
        found: Results = {
            "moved_frequencies": u,
            "moved_spectrum": np.asarray(target.spectrum(u, dim)),
            "moved_share": tube_share(u, dim),
        }
        for of_wave in pool.map(one, dims):
            found |= of_wave
    most = 10 ** float(found[f"wave{dim}_log10"][0])  # leave an error of ERRORS[0]
    directions = np.unique(np.rint(np.geomspace(1, most, 61)))
    certificate = jd.radial.certify(target, dim, directions)
    return found | {
        "moved_directions": directions,
        "moved_floors": np.asarray(certificate.floor),
        "moved_norm": np.asarray(certificate.norm_squared),
    }


# ---- The claims ----


def _of(results: Results, dim: int) -> Results:
    """Return what was found of one ball."""
    prefix = f"ball{dim}_"
    return {name[len(prefix) :]: results[name] for name in results if name.startswith(prefix)}


def _two_layers(ball: Results) -> tuple[jd.radial.Risk, jd.radial.Certificate]:
    """Return the trained 2-layer networks as the library measured them, and their floors."""
    mean, half_width = ball["two_means"], ball["two_half_widths"]
    held = ball["two_held"]
    risk = jd.radial.Risk(
        mean,
        half_width,
        np.maximum(mean - half_width, 0.0),
        mean + half_width,
        ball["confidence"],
        held,
        jd.radial.RiskResult.estimated if held.all() else jd.radial.RiskResult.out_of_reach,
    )
    floors = ball["two_floors"]
    certificate = jd.radial.Certificate(
        floors,
        ball["norm"],
        np.zeros_like(floors),
        bool(ball["trusted"]),
        jd.radial.CertificateResult.bounded,
    )
    return risk, certificate


def claims(results: Results) -> list[Claim]:
    rows = []
    for dim in results["dims"]:
        rows += _claims_of(int(dim), _of(results, int(dim)))
    waves = [int(dim) for dim in results["wave_dims"]]
    widths = np.asarray([float(results[f"wave{dim}_log10"][-1]) for dim in waves])
    trusted = all(bool(results[f"wave{dim}_trusted"]) for dim in waves)
    told = [f"d = {dim}: {10**width:.2g}" for dim, width in zip(waves, widths, strict=True)]
    rows.append(
        Claim(
            f"cos 4z: the directions for an error of {ERRORS[-1]}, half of ‖g‖², grow "
            "exponentially with d",
            SOURCE,
            "e^{cd}: log₁₀ k rises by a constant or more per dimension",
            "; ".join(told),
            "bounded",
            trusted and bool((np.diff(widths) / np.diff(waves) > 0.4).all()),
        )
    )
    return rows


def _claims_of(dim: int, ball: Results) -> list[Claim]:
    rows = []
    columns = [ball[f"explicit_{name}"] for name in ("neurons", "bounds", "floors", "needed")]
    for kind, neurons, error, floor, needed in zip(EXPLICIT, *columns, strict=True):
        rows.append(
            Claim(
                f"ball, d = {dim}: {neurons} neurons ({kind}) in 3 layers beat every 2-layer "
                f"network with {neurons} directions",
                SOURCE,
                f"error below the floor {at_least(floor)}",
                f"error ≤ {at_most(error)}; 2 layers need over {needed:,.0f} directions for it",
                "bounded",
                bool(error < floor and ball["trusted"]),
            )
        )
    means, intervals = ball["explicit_means"], ball["explicit_half_widths"]
    rows.append(
        Claim(
            f"ball, d = {dim}: these two networks' errors on samples of μ are within their bounds",
            "derived here: worst case over |Σq(x_i) − ‖x‖²| ≤ δ",
            "; ".join(f"≤ {at_most(error)}" for error in ball["explicit_bounds"]),
            "; ".join(f"{m:.4f} ± {h:.4f}" for m, h in zip(means, intervals, strict=True)),
            "estimate",
            bool((means - intervals <= ball["explicit_bounds"]).all()),
        )
    )
    risk, certificate = _two_layers(ball)
    floors, two, around = ball["two_floors"], ball["two_means"], ball["two_half_widths"]
    worst = int(np.argmin(two + around - floors))
    rows.append(
        Claim(
            f"ball, d = {dim}: none of {two.size} trained 2-layer networks is below its floor",
            SOURCE,
            f"≥ {at_least(floors[worst])} (width {ball['two_neurons'][worst]})",
            f"{two[worst]:.4f} ± {around[worst]:.4f}, the nearest",
            "estimate",
            bool(ball["two_held"].all() and not np.any(risk.contradicts(certificate.floor))),
        )
    )
    as_many = ball["three_neurons"] <= ball["two_neurons"].max()
    best = int(np.argmin(np.where(as_many, ball["three_means"], np.inf)))
    rival = int(np.argmin(two))
    mean, half_width = ball["three_means"][best], ball["three_half_widths"][best]
    rows.append(
        Claim(
            f"ball, d = {dim}: trained, {ball['three_neurons'][best]} neurons in 3 layers beat "
            f"{ball['two_neurons'][rival]} in 2",
            "seen here (the theorem says what exists, not what descent finds)",
            f"below {two[rival]:.4f} ± {around[rival]:.4f}, the best of 2 layers",
            f"{mean:.4f} ± {half_width:.4f}",
            "estimate",
            bool(mean + half_width < np.min(two - around)),
        )
    )
    return rows


def check(results: Results) -> None:
    for dim in results["dims"]:
        jd.radial.check_floor(*_two_layers(_of(results, int(dim))))
    require(claims(results))


# ---- The picture ----


@_figures.styled
def plot(results: Results) -> Figure:
    dims = [int(dim) for dim in results["dims"]]
    figure, axes = _figures.panels(1, len(dims) + 1)
    for panel, dim in zip(axes[:-1], dims, strict=True):
        _draw_ball(panel, _of(results, dim), dim)
    axes[0].set_ylabel(r"squared error in $L_2(\mu)$")
    _draw_waves(axes[-1], results)
    return figure


def _draw_ball(panel: Any, ball: Results, dim: int) -> None:
    bottom, top = float(ball["explicit_bounds"].min()) / 5, float(ball["norm"]) * 12
    draw_floor(panel, ball["directions"], ball["floors"], (bottom, top))
    risk, certificate = _two_layers(ball)
    wrong = np.asarray(risk.contradicts(certificate.floor))
    _draw_trained(panel, ball, "two", ~wrong, "o", _figures.ORANGE, "2 layers, trained")
    if wrong.any():
        _draw_trained(panel, ball, "two", wrong, "X", _figures.RED, "CONTRADICTION")
    every = np.ones(ball["three_means"].size, bool)
    _draw_trained(panel, ball, "three", every, "s", _figures.GREEN, "3 layers, trained")
    for kind, neurons, error, colour in zip(
        ("ReLUs", "sigmoids"),
        ball["explicit_neurons"],
        ball["explicit_bounds"],
        (_figures.INK, _figures.PURPLE),
        strict=True,
    ):
        panel.plot(
            neurons,
            error,
            marker="*",
            markersize=13,
            linestyle="none",
            color=colour,
            label=f"3 layers, explicit: {neurons} {kind}",
        )
    panel.set_title(f"Ball indicator, d = {dim}")
    panel.legend(loc="upper right")


def _draw_trained(
    panel: Any, ball: Results, kind: str, chosen: np.ndarray, marker: str, colour: str, label: str
) -> None:
    panel.errorbar(
        ball[f"{kind}_neurons"][chosen],
        ball[f"{kind}_means"][chosen],
        yerr=ball[f"{kind}_half_widths"][chosen],
        fmt=marker,
        markersize=9 if marker == "X" else 4,
        color=colour,
        capsize=2,
        linewidth=1,
        label=label,
    )


def _draw_waves(panel: Any, results: Results) -> None:
    dims = [int(dim) for dim in results["wave_dims"]]
    for dim, colour in zip(dims, _figures.colours(len(dims)), strict=True):
        needed = 10.0 ** np.maximum(results[f"wave{dim}_log10"][:-1], 0)
        panel.plot(needed, ERRORS[:-1], color=colour, label=f"d = {dim}")
    panel.set(
        xscale="log",
        xlim=(1, None),
        ylim=(0, 0.5),
        xlabel="directions (2 layers)",
        ylabel=r"floor of the squared error",
        title=r"Shell wave $\cos 4z$",
    )
    panel.legend(loc="upper right")


def live(results: Results) -> tuple[Live, ...]:
    """Return what k tubes hold of the spectral mass of a wave and of a ball, over k."""
    dim = int(results["wave_dims"].max())
    wave = {
        name: results[f"moved_{name}"]
        for name in ("frequencies", "spectrum", "share", "directions", "floors", "norm")
    }
    ball_dim = int(results["dims"][0])
    ball = _of(results, ball_dim)
    neurons, errors = ball["explicit_neurons"], ball["explicit_bounds"]
    units = {"relu": "ReLUs", "sigmoid": "sigmoids"}
    names = [f"{n} {units[name]}" for n, name in zip(neurons.tolist(), EXPLICIT, strict=True)]
    there = [
        dots(neurons, errors, "green", size=5),
        *(
            note(float(n), 0.68 * float(error), name, anchor="middle")
            for n, error, name in zip(neurons, errors, names, strict=True)
        ),
    ]
    three = [
        f"{name} in 3 layers err by {at_most(error)} or less"
        for name, error in zip(names, errors.tolist(), strict=True)
    ]
    return (
        _uncovered(f"The wave cos {FREQUENCY:g}z in dimension {dim}", wave, 0.0, [], []),
        _uncovered(
            f"The indicator of a ball in dimension {ball_dim}, and 3-layer networks",
            ball,
            float(errors.min()) / 2,
            there,
            three,
        ),
    )


def _uncovered(
    title: str, found: Results, least: float, there: list[Mark], three: list[str]
) -> Live:
    """Return the figure of one target; from `least` on logarithmic axes, if it is not 0."""
    norm = float(found["norm"])
    shown = np.flatnonzero(found["floors"] > max(least, norm / 1000))
    shown = shown[:: -(-len(shown) // PLACES)]
    directions, floors = found["directions"][shown], found["floors"][shown]
    seen = found["spectrum"] > 0.01 * found["spectrum"].max()
    seen = slice(0, np.flatnonzero(seen)[-1] + 10)
    u, density, share = (found[name][seen] for name in ("frequencies", "spectrum", "share"))
    end, ground = float(u[-1]), float(density.max()) / 1000 if least else 0.0
    panels = [
        Panel(
            "Spectral mass, and what k tubes can hold",
            Axis("frequency radius u = ‖ξ‖/R", round(float(u[0]), 1), end),
            Axis("density", ground, 1.08 * float(density.max()), log=bool(least)),
            [line(u, np.maximum(density, ground), "ink", width=1.2)],
        ),
        Panel(
            "Error of every 2-layer network, at least",
            Axis("directions k, at most one a neuron", 1, float(directions[-1]), log=True),
            Axis("E(f − g)²", least, norm if least else 1.08 * norm, log=bool(least)),
            [line(directions, floors, "red"), *there],
        ),
    ]
    frames = []
    for k, floor in zip(directions.tolist(), floors.tolist(), strict=True):
        held = np.minimum(1.0, k * share) * density
        beyond = floor - float(np.trapezoid(density - held, u))
        told = [
            f"k = {digits(k)} direction{'s' * (k != 1)}: every 2-layer network errs by "
            f"{at_least(floor)} or more in mean square, {at_least(100 * floor / norm, 1)}% of "
            "‖g‖², whatever its activation and its weights (bounded)"
            + (
                f", {min(1, beyond / floor):.0%} of it beyond u = {end:.1f}"
                if beyond > 1e-3
                else ""
            ),
            *three,
        ]
        tubes = [
            area(u, ground, np.maximum(held, ground), "sky", opacity=0.6),
            area(u, np.maximum(held, ground), np.maximum(density, ground), "red", opacity=0.6),
        ]
        cut = [
            line([k, k], [least, 2 * norm], "grey", dashed=True, width=1),
            dots([k], [floor], "red", size=5.5),
        ]
        frames.append(Frame(joined(told), [tubes, cut]))
    green: list[tuple[Colour, str]] = [("green", "3-layer networks, error at most")]
    first = floors.max() / 8 if there else 0.6 * norm
    return Live(
        f"{title}: what 2 layers of k directions cannot reach",
        "directions k",
        list(map(digits, directions)),
        panels,
        frames,
        start=int(np.argmin(np.abs(floors - first))),
        key=[
            ("sky", "held by the tubes at most"),
            ("red", "out of reach: the floor"),
            *(green if there else []),
        ],
    )
