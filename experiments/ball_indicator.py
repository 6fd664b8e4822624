"""The indicator of a ball: 3 layers do what no 2-layer network of as many neurons can.

For d = 3, 10 and 20, with E_μ(f − g)² for error: the floor under every 2-layer network by its
number of directions (Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks*, 2016,
Theorem 1, with numbers), at the radius where the floor is highest, and explicit 3-layer networks of
ReLUs, sigmoids and steps with a proven bound on their error. k neurons have k directions at most:
a 3-layer network below the floor at its own number of neurons is one that 2 layers cannot match.
At d = 3 the floor is computed again in ball arithmetic, and stands below the exact least squares
along k directions spread over the sphere: what 2 layers need lies in between.

Last, networks learn the unit ball from samples, as in section 5 of Safran & Shamir, *Depth-Width
Tradeoffs in Approximating Natural Functions with Neural Networks* (2017): directions uniform and
norms uniform in [0, 2], so that half of the points are inside. This is another measure than μ: no
floor applies, and what the networks reach is an estimate.

Where we depart: Safran & Shamir train in dimension 100 with 2 layers of up to 800 neurons, and so
does `--full`, by Adam; the quick form is in dimension 10.
"""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._floors import draw_floor, excluded
from experiments._table import at_least, at_most
from experiments._training import Sample, repeated, trained

CHAPTER = "radial"
ALT = (
    "In dimensions 3, 10 and 20 the floor of every 2-layer network falls with its directions; "
    "3-layer networks of ReLUs and sigmoids lie below it at as many neurons, least-squares fits "
    "of 2 layers above. Last, errors on the unit ball: 3 trained layers below 2."
)


class Ball(NamedTuple):
    """What is asked in one dimension.

    Attributes:
        directions: at which the radius is chosen.
        error: of the 3-layer networks, at most.
        most: directions, where the floor's curve ends.
        method: how floors are computed; one for all radii, so that they share a compilation.
    """

    directions: float
    error: float
    most: float
    method: jd.radial.Bounded


BALLS = {
    3: Ball(35, 0.0100, 1e3, jd.radial.Bounded(cutoff=50.0, panels_u=32, panels_z=3)),
    10: Ball(232, 0.0115, 1e7, jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=2)),
    20: Ball(762, 0.0085, 1e10, jd.radial.Bounded(cutoff=5.0, panels_u=16, panels_z=2)),
}
NAMES = {"relu": "ReLUs", "sigmoid": "sigmoids", "step": "steps"}
ACTIVATIONS = tuple(NAMES)
POINTS = 61  # of the floor's curve
BRACKETED = 3  # the dimension of the ridge fits, and of the ball arithmetic
FREQUENCIES = 0.25 * np.arange(1, 25)  # of the ridge fits
SOURCE = "Eldan & Shamir 2016, Theorem 1"


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        dims: of the balls in μ; among those in `BALLS`, and 3 is one of them.
        spread: numbers of directions of the ridge fits at d = 3, the largest last.
        trained_dim: of the unit ball that is learnt.
        two: widths of the trained 2-layer networks.
        three: widths of both hidden layers of the trained 3-layer networks.
        seeds: networks of each width.
        steps: updates of Adam.
        batch: points of an update.
        rate: the learning rate at the start.
        train: points to train on.
        test: points to test on.
        seed: of points and networks.
    """

    dims: tuple[int, ...] = (3, 10, 20)
    spread: tuple[int, ...] = (2, 4, 8, 16, 35)
    trained_dim: int = 10
    two: tuple[int, ...] = (16, 32, 64)
    three: tuple[int, ...] = (16,)
    seeds: int = 3
    steps: int = 2_000
    batch: int = 128
    rate: float = 0.01
    train: int = 16_384
    test: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse dimensions without a setting."""
        if BRACKETED not in self.dims or not set(self.dims) <= set(BALLS):
            raise ValueError(f"`dims` must be among {sorted(BALLS)} and hold 3; got {self.dims}.")


QUICK = Config()
FULL = Config(
    spread=(2, 4, 8, 16, 35, 64, 96),
    trained_dim=100,
    two=(100, 200, 400, 800),
    three=(100,),
    steps=50_000,
    rate=0.003,
    train=500_000,
    test=50_000,
)


def run(config: Config, part: Part = direct) -> Results:
    results: Results = {
        "dims": np.asarray(config.dims),
        "spread": np.asarray(config.spread),
        "trained_dim": np.array(config.trained_dim),
    }
    results |= part("balls", functools.partial(_balls, config))
    radius = float(results[f"ball{BRACKETED}_radius"])
    if find_spec("flint") is not None:
        neurons = results[f"nets{BRACKETED}_neurons"]
        results |= part("certified", functools.partial(_certified, radius, neurons))
    results |= part("ridge", functools.partial(_ridge, radius, config.spread))
    return results | part("trained", functools.partial(_trained, config))


# ---- Floors, and explicit networks below them ----


def _balls(config: Config) -> Results:
    """Treat all dimensions, two at a time: most of it is compilation, on one core each."""
    results: Results = {}
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(functools.partial(_ball, config), config.dims):
            results |= found
    return results


def _ball(config: Config, dim: int) -> Results:
    """Choose the radius, build the 3-layer networks, and certify the floors of 2 layers."""
    asked = BALLS[dim]
    size = POINTS + len(ACTIVATIONS) + len(config.spread)  # of all floors: one compilation
    radius = _best_radius(dim, asked, size)
    ball = jd.radial.Ball(radius)
    nets = [jd.radial.approximate(ball, dim, asked.error, activation=a) for a in ACTIVATIONS]
    neurons = np.asarray([net.network.num_neurons for net in nets])
    directions = np.rint(np.geomspace(1, asked.most, POINTS))
    k = np.concatenate([directions, neurons, config.spread])
    certificate = jd.radial.certify(ball, dim, k, method=asked.method)
    curve, at_nets, at_spread = np.split(certificate.floor, [POINTS, POINTS + len(nets)])
    return {
        f"ball{dim}_radius": np.asarray(radius),
        f"ball{dim}_directions": directions,
        f"ball{dim}_floors": curve,
        f"ball{dim}_spread_floors": at_spread,
        f"ball{dim}_norm": np.asarray(certificate.norm_squared),
        f"ball{dim}_trusted": np.asarray(certificate.trusted),
        f"nets{dim}_neurons": neurons,
        f"nets{dim}_bounds": np.asarray([net.error for net in nets]),
        f"nets{dim}_floors": at_nets,
    }


def _best_radius(dim: int, asked: Ball, size: int) -> float:
    """Search the radius that keeps the floor highest, up to J_ν's first maximum."""
    nu = dim / 2
    radii = np.linspace(0.3, 1.0, 29) * (nu + 1.86 * nu ** (1 / 3))
    k = np.full(size, asked.directions)

    def floor(radius: float) -> float:
        certificate = jd.radial.certify(jd.radial.Ball(radius), dim, k, method=asked.method)
        return float(np.asarray(certificate.floor)[0])

    return max(map(float, radii), key=floor)


def _certified(radius: float, neurons: np.ndarray) -> Results:
    """Certify the floors at the networks' sizes once more, in ball arithmetic."""
    alike = BALLS[BRACKETED].method
    method = jd.radial.Certified(
        cutoff=alike.cutoff, panels_u=alike.panels_u, panels_z=alike.panels_z
    )
    k = neurons.astype(np.float64)
    certificate = jd.radial.certify(jd.radial.Ball(radius), BRACKETED, k, method=method)
    return {
        "certified_floors": np.asarray(certificate.floor),
        "certified_trusted": np.asarray(certificate.trusted),
    }


def _ridge(radius: float, spread: tuple[int, ...]) -> Results:
    """Fit 2-layer networks of cosines along directions spread over the half sphere."""
    ball, most = jd.radial.Ball(radius), max(spread)
    # A direction that is there twice adds nothing: with repetitions all fits share a compilation.
    errors = [
        jd.radial.ridge_error(ball, 3, _spiral(k)[np.arange(most) % k], frequencies=FREQUENCIES)
        for k in spread
    ]
    return {"ridge_errors": np.asarray(errors, np.float64)}


def _spiral(count: int) -> np.ndarray:
    """Spread directions over the half sphere in three dimensions: golden angles, equal areas."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (3 - math.sqrt(5)) * np.arange(count)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


# ---- Learning the unit ball ----


def _trained(config: Config) -> Results:
    """Train 2 and 3 layers of ReLUs on the same points, every depth in one compiled program."""
    keys = jax.random.split(jax.random.key(config.seed), 3)
    sample = _sample(keys[0], config.train, config)
    test = _sample(keys[1], config.test, config)

    def learn(layers: int, widths: tuple[int, ...]) -> Results:
        nets, _ = trained(
            sample,
            layers,
            widths,
            config.seeds,
            activation="relu",
            steps=config.steps,
            rate=config.rate,
            key=keys[2],
        )
        return {
            f"trained{layers}_neurons": repeated(widths, config.seeds) * (layers - 1),
            f"trained{layers}_errors": np.asarray(_errors(test, nets), np.float64),
        }

    with ThreadPoolExecutor(2) as pool:
        two, three = pool.map(learn, (2, 3), (config.two, config.three))
    return two | three


@eqx.filter_jit
def _errors(test: Sample, nets: jd.networks.MLP) -> Float[Array, " networks"]:
    return jax.lax.map(test.loss, nets)


def _sample(key: PRNGKeyArray, count: int, config: Config) -> Sample:
    """Draw points of uniform direction, and norm uniform in [0, 2]; 1 inside the unit ball."""
    turning, stretching = jax.random.split(key)
    normal = jax.random.normal(turning, (count, config.trained_dim))
    norm = jax.random.uniform(stretching, (count, 1), maxval=2.0)
    x = norm * normal / jnp.linalg.norm(normal, axis=1, keepdims=True)
    return Sample(x, (norm[:, 0] <= 1).astype(x.dtype), config.batch)


# ---- The claims ----


def claims(results: Results) -> list[Claim]:
    rows = [row for dim in results["dims"] for row in _explicit(results, int(dim))]
    if "certified_floors" in results:
        rows.append(_proven(results))
    return [*rows, _between(results), _learnt(results)]


def _explicit(results: Results, dim: int) -> list[Claim]:
    rows = []
    trusted = bool(results[f"ball{dim}_trusted"])
    for index, activation in enumerate(ACTIVATIONS):
        neurons, bound, floor = (
            results[f"nets{dim}_{name}"][index] for name in ("neurons", "bounds", "floors")
        )
        needed = excluded(results[f"ball{dim}_directions"], results[f"ball{dim}_floors"], bound)
        # Steps need d²/error neurons, too many for the floor in three dimensions.
        apart = activation != "step" or dim > BRACKETED
        rows.append(
            Claim(
                f"d = {dim}, z ≤ {results[f'ball{dim}_radius']:.2f}: 3 layers of {neurons:,} "
                f"{NAMES[activation]} " + ("beat" if apart else "are not shown to beat") + " every "
                "2-layer network of as many directions",
                SOURCE,
                f"error {'<' if apart else '>'} {at_least(floor)}, the floor",
                f"≤ {at_most(bound)}, for which 2 layers need over {needed:,.0f} directions",
                "bounded",
                trusted and bool(bound < floor) == apart,
            )
        )
    return rows


def _proven(results: Results) -> Claim:
    floors, bounded = results["certified_floors"], results[f"nets{BRACKETED}_floors"]
    counts = ", ".join(f"{neurons}" for neurons in results[f"nets{BRACKETED}_neurons"])
    return Claim(
        f"d = {BRACKETED}: the floors at {counts} directions, proven in ball arithmetic",
        SOURCE,
        ", ".join(at_least(floor, 8) for floor in bounded) + " (float64)",
        ", ".join(at_least(floor, 8) for floor in floors),
        "certified",
        bool(results["certified_trusted"]) and bool((np.abs(floors - bounded) < 1e-8).all()),
    )


def _between(results: Results) -> Claim:
    floors, fits = results[f"ball{BRACKETED}_spread_floors"], results["ridge_errors"]
    return Claim(
        f"d = {BRACKETED}: the best 2-layer network of k directions is between floor and ridge fit",
        "derived here: exact least squares along k spread directions",
        ", ".join(f"≥ {at_least(floor)}" for floor in floors),
        ", ".join(f"{fit:.4f} (k = {k})" for fit, k in zip(fits, results["spread"], strict=True)),
        "bounded",
        bool((floors <= fits).all()),
    )


def _learnt(results: Results) -> Claim:
    two, three = results["trained2_errors"], results["trained3_errors"]
    fewest = results["trained3_neurons"][np.argmin(three)]
    return Claim(
        f"trained on the unit ball, d = {results['trained_dim']}: 3 layers of {fewest} neurons are "
        f"nearer than 2 layers of up to {results['trained2_neurons'].max()}",
        "Safran & Shamir 2017, section 5",
        f"test error below {two.min():.4f}, the best of {two.size} with 2 layers",
        f"{three.min():.4f} to {three.max():.4f} in {three.size} runs",
        "estimate",
        bool(three.min() < two.min()),
    )


def check(results: Results) -> None:
    require(claims(results))


# ---- The picture ----

SHADES = {"relu": _figures.RED, "sigmoid": _figures.PURPLE, "step": _figures.ORANGE}
SIGNS = {"relu": "*", "sigmoid": "D", "step": "s"}


@_figures.styled
def plot(results: Results) -> Figure:
    dims = [int(dim) for dim in results["dims"]]
    figure, axes = _figures.panels(2, 2, size=(9.6, 7.0))
    *balls, learnt = axes.flat
    for panel, dim in zip(balls, dims, strict=False):
        _draw_ball(panel, results, dim)
    for panel in balls[len(dims) :]:
        panel.set_axis_off()
    _draw_learnt(learnt, results)
    return figure


def _draw_ball(panel: Any, results: Results, dim: int) -> None:
    directions, floors = results[f"ball{dim}_directions"], results[f"ball{dim}_floors"]
    bounds = results[f"nets{dim}_bounds"]
    bottom, top = bounds.min() / 5, 2 * float(results[f"ball{dim}_norm"])
    draw_floor(panel, directions, floors, (bottom, top))
    if dim == BRACKETED:
        panel.plot(
            results["spread"], results["ridge_errors"], "o", color=_figures.GREEN,
            label="2 layers, fitted exactly",
        )  # fmt: skip
    for activation, neurons, bound in zip(
        ACTIVATIONS, results[f"nets{dim}_neurons"], bounds, strict=True
    ):
        panel.plot(
            neurons, bound, SIGNS[activation], color=SHADES[activation],
            markersize=13 if activation == "relu" else 7,
            label=f"3 layers, {neurons:,} {NAMES[activation]}",
        )  # fmt: skip
    panel.set_ylabel(r"squared error in $L_2(\mu)$")
    panel.set_title(f"Ball, d = {dim}, z ≤ {results[f'ball{dim}_radius']:.2f}")
    panel.legend(loc="upper right")


def _draw_learnt(panel: Any, results: Results) -> None:
    for layers, shade, marker in ((2, _figures.BLUE, "o"), (3, _figures.RED, "*")):
        panel.plot(
            results[f"trained{layers}_neurons"], results[f"trained{layers}_errors"], marker,
            color=shade, markersize=11 if layers == 3 else 5, label=f"{layers} layers",
        )  # fmt: skip
    neurons = np.unique(np.append(results["trained2_neurons"], results["trained3_neurons"]))
    panel.set(xscale="log", ylim=(0, 1.15 * float(results["trained2_errors"].max())))
    panel.set_xticks(neurons, [f"{each}" for each in neurons])
    panel.set_xticks([], minor=True)
    panel.set_xlim(neurons[0] / 1.2, neurons[-1] * 1.2)
    panel.set(xlabel="neurons", ylabel="squared error on new points")
    panel.set_title(f"Learning the unit ball, d = {results['trained_dim']} (not under μ)")
    panel.legend(loc="lower right")
