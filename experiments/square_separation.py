"""Deep networks square with exponentially small error; shallow ones cannot.

Yarotsky 2017: f_m(x) = x − Σ_{s≤m} m^s(x)/4^s, a ReLU network of m hidden layers of 3, is x² on
[0, 1] within exactly 4^−(m+1). A network with n affine pieces is no nearer to x² than 1/(8n²), and
one hidden layer of w ReLUs has at most w + 1 pieces; l layers have at most Π(n_i + 1) (Serra et al.
2018). The square is not an artificial function, and the bound holds for all weights.

Here the deep networks are enumerated and their error is found exactly; networks of one hidden layer
are trained in the sup norm (its smooth neighbour L_16), all in one compiled program, from kinks
that lie in [0, 1] already; and each is held against the bound for the pieces that it has.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments._contract import Claim, Part, Results, direct, require
from experiments._figures import BLUE, GREEN, GREY, INK, RED, SKY, bound, note, panels, styled
from experiments._table import at_least

CHAPTER = "oscillations"
ALT = (
    "Left, what ReLUs in one layer leave of x squared, beside the far smaller error of about as "
    "many in several layers. Right, largest errors against ReLUs: deep networks fall "
    "exponentially, trained networks of one layer stay above their floor."
)


@dataclass(frozen=True)
class Config:
    """Sizes of the experiment.

    Attributes:
        max_depth: f_m is enumerated for m = 1 … max_depth.
        widths: hidden widths of the trained networks, powers of two.
        restarts: networks of each width.
        steps: full-batch Adam steps.
        learning_rate: of Adam, decayed to 0 along a cosine.
        seed: of the initialisations.
    """

    max_depth: int = 10
    widths: tuple[int, ...] = (1, 2, 4, 8, 16)
    restarts: int = 6
    steps: int = 6000
    learning_rate: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_depth < 2 or self.steps < 1 or self.restarts < 1 or not self.widths:
            raise ValueError("`max_depth` must be at least 2, the other sizes at least 1.")
        if any(width < 1 or width & (width - 1) for width in self.widths):
            raise ValueError(f"`widths` must be powers of two; got {self.widths}.")


QUICK = Config()
FULL = Config(max_depth=13, widths=(1, 2, 4, 8, 16, 32, 64), restarts=20, steps=40_000)


class Fit(eqx.Module):
    """The L_16 error on n samples of x²: between n^−(1/16) of the largest and all of it."""

    x: Float[Array, " points"]

    def loss(self, net: jd.networks.MLP) -> Float[Array, ""]:
        """Return the 16th root of the mean of (net(x) − x²)^16, scaled against underflow."""
        gap = jnp.abs(jax.vmap(net)(self.x[:, None])[:, 0] - self.x**2)
        largest = jax.lax.stop_gradient(jnp.max(gap))
        return largest * jnp.mean((gap / largest) ** 16) ** (1 / 16)


def run(config: Config, part: Part = direct) -> Results:
    """Enumerate the deep squares, build the best equal pieces, train the shallow rivals."""
    return {**part("deep", lambda: deep(config)), **part("shallow", lambda: shallow(config))}


def deep(config: Config) -> Results:
    """Find the exact errors of f_1, f_2, … and of equally spaced kinks."""
    nets = [jd.networks.square(m) for m in range(1, config.max_depth + 1)]
    found = [jd.piecewise.pieces(net) for net in nets]
    return {
        "neurons": np.array([net.num_neurons for net in nets]),
        "pieces": np.array([each.num for each in found]),
        "error": np.array([sup_error(each) for each in found]),
        "stated": np.array([float(net.error) for net in nets]),
        "equal_widths": np.array(config.widths),
        "equal_error": np.array(
            [sup_error(jd.piecewise.pieces(equal_pieces(w))) for w in config.widths]
        ),
    }


def equal_pieces(width: int) -> list[jd.networks.AffineLayer]:
    """Build the network of `width` ReLUs and as many equal pieces that is nearest to x².

    Chords of x², lowered by 1/(8w²): relu(x − i/w) has weight 1/w for i = 0, then 2/w.
    """
    kinks = np.arange(width) / width
    turns = np.where(kinks == 0, 1.0, 2.0)[None] / width
    layer = jd.networks.AffineLayer
    return [
        layer(np.ones((width, 1)), -kinks, np.array(0.0)),
        layer(turns, np.array([-1 / (8 * width**2)]), np.array(1.0)),
    ]


def sup_error(f: jd.piecewise.Pieces) -> float:
    """Return max |f(x) − x²| over f's interval: f − x² is concave on each piece.

    Its extremes are at the kinks and where 2x is the slope. In float64; without rounding where f is
    a `square` of moderate depth.
    """
    at_kinks = np.abs(f.values - f.breakpoints**2)
    x = np.clip(f.slopes / 2, f.breakpoints[:-1], f.breakpoints[1:])
    inside = f.values[:-1] + f.slopes * (x - f.breakpoints[:-1]) - x**2
    return float(max(at_kinks.max(), np.abs(inside).max()))


def shallow(config: Config) -> Results:
    """Train one-hidden-layer ReLU networks to be x²; return what each came to."""
    data = Fit(jnp.linspace(0.0, 1.0, 16 * max(config.widths) + 1))
    widths = np.repeat(config.widths, config.restarts)
    keys = jax.random.split(jax.random.key(config.seed), len(widths))
    sizes = (1, max(config.widths), 1)

    @eqx.filter_jit
    def train(data: Fit, widths: Array, keys: Array) -> jd.networks.MLP:
        def one(width: Array, key: Array) -> jd.networks.MLP:
            draw, shift = jax.random.split(key)
            net = jd.networks.MLP.padded(sizes, width=width, depth=1, key=draw)
            # A kink in each w-th part of [0, 1], all units facing right: the best of many starts.
            dtype = net.biases.dtype
            place = jnp.arange(sizes[1], dtype=dtype) + jax.random.uniform(shift, (), dtype)
            facing = jnp.abs(net.weight_in)
            net = eqx.tree_at(
                lambda net: (net.weight_in, net.biases),
                net,
                (facing, -facing.T * (place[None] / width.astype(dtype))),
            )
            rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
            return jd.dynamics.descend(
                net, data.loss, optax.adam(rate), config.steps, record_every=config.steps
            ).model

        return eqx.filter_vmap(one)(widths, keys)

    trained = train(data, jnp.asarray(widths, jnp.int32), keys)
    found = [jd.piecewise.pieces(member(trained, i)) for i in range(len(widths))]
    errors = np.array([sup_error(each) for each in found])
    best = found[int(np.argmin(errors))]
    return {
        "widths": widths,
        "shallow_pieces": np.array([each.num for each in found]),
        "shallow_error": errors,
        "best_x": np.asarray(best.breakpoints),
        "best_y": np.asarray(best.values),
    }


def member(stack: Any, i: int) -> Any:
    """Return the i-th network of a stack."""
    return jax.tree.map(lambda leaf: leaf[i] if eqx.is_array(leaf) else leaf, stack)


def floor(neurons: int, hidden_layers: int) -> float:
    """Bound the error of every ReLU network of so many neurons in so many hidden layers."""
    each, left = divmod(neurons, hidden_layers)
    widths = [each + 1] * left + [each] * (hidden_layers - left)  # the product is largest so
    return float(jd.bounds.square_error_lower(jd.bounds.serra18_pieces_upper(widths)))


def neurons_needed(error: float, hidden_layers: int) -> int:
    """Count the neurons without which no network of so many hidden layers has this error."""
    return next(n for n in itertools.count(hidden_layers) if floor(n, hidden_layers) <= error)


def claims(results: Results) -> list[Claim]:
    """State what the theorems predict beside what came out."""
    depth = len(results["neurons"])
    predicted = [0.25 ** (m + 1) for m in range(1, depth + 1)]
    equal = [float(jd.bounds.square_error_lower(int(w))) for w in results["equal_widths"]]
    floors = np.array(
        [float(jd.bounds.square_error_lower(int(n))) for n in results["shallow_pieces"]]
    )
    best = int(np.argmin(results["shallow_error"]))
    deepest, size = float(results["error"][-1]), int(results["neurons"][-1])
    needed = [neurons_needed(deepest, hidden) for hidden in (1, 2)]
    return [
        Claim(
            f"f_m, of 3m ReLUs, is x² on [0, 1] within exactly 4^−(m+1), for every m ≤ {depth}",
            "Yarotsky 2017, Proposition 2",
            f"{predicted[0]:.4g}, {predicted[1]:.4g}, …, {predicted[-1]:.4g}",
            f"{results['error'][0]:.4g}, {results['error'][1]:.4g}, …, {deepest:.4g}, "
            f"on {int(results['pieces'][-1]):,} pieces",
            "exact",
            results["error"].tolist() == predicted == results["stated"].tolist()
            and results["pieces"].tolist() == [2**m for m in range(1, depth + 1)],
        ),
        Claim(
            "w ReLUs in one layer with equally spaced kinks: 1/(8w²), the least for w pieces",
            "derived here: 1/(8n²)",
            ", ".join(f"{e:.3g}" for e in equal),
            ", ".join(f"{e:.3g}" for e in results["equal_error"]),
            "exact",
            results["equal_error"].tolist() == equal,
        ),
        Claim(
            f"None of {len(floors)} trained networks of one hidden layer is nearer to x² than its "
            "pieces allow",
            "derived here: 1/(8n²)",
            f"≥ {at_least(floors[best], 5)} for {int(results['shallow_pieces'][best])} pieces",
            f"{results['shallow_error'][best]:.3g}, the nearest",
            "estimate",
            bool(np.all(results["shallow_error"] >= floors)),
        ),
        Claim(
            f"To match {size} ReLUs, {depth} deep, one hidden layer needs exponentially many",
            "derived here: 1/(8n²), n ≤ w + 1",
            f"≥ {math.isqrt(4 ** (depth + 1) // 8 - 1)} ReLUs, about 2^m/√2",
            f"≥ {needed[0]} ReLUs (two layers ≥ {needed[1]})",
            "exact",
            needed[0] == math.isqrt(4 ** (depth + 1) // 8 - 1) and needed[1] > size,
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@styled
def plot(results: Results) -> Figure:
    """Draw what is left of x², and the error against the size."""
    figure, (profile, sizes) = panels(1, 2, size=(9.2, 3.5))
    width = int(results["widths"][np.argmin(results["shallow_error"])])
    m = max(1, width // 3)
    x = np.linspace(0, 1, 64 * 2**m + 1)
    left = np.interp(x, np.arange(2**m + 1) / 2**m, (np.arange(2**m + 1) / 2**m) ** 2) - x**2
    shallow_left = np.interp(x, results["best_x"], results["best_y"]) - x**2
    scale = 1e3
    reach = 1.7 * scale * max(np.abs(shallow_left).max(), left.max())
    profile.axhspan(
        -scale * floor(width, 1), scale * floor(width, 1), color=SKY, alpha=0.35, linewidth=0
    )
    profile.plot(x, scale * shallow_left, color=RED, linewidth=1.1, label=f"{width} in one layer")
    profile.plot(x, scale * left, color=BLUE, linewidth=1.1, label=f"{3 * m}, in {m} layers")
    profile.annotate(
        f"no network of {width} ReLUs in one layer stays in here",
        (0.62, -scale * floor(width, 1)),
        xytext=(0.5, -0.88 * reach),
        ha="center",
        color=INK,
        arrowprops={"arrowstyle": "->", "color": GREY, "shrinkB": 0},
    )
    profile.set(xlabel="x", ylabel="(network − x²) · 1000", ylim=(-reach, reach))
    profile.set_title(f"What about {width} ReLUs leave of x²")
    profile.legend(loc="upper center", ncols=2)

    neurons = np.arange(1, int(results["neurons"][-1]) + 1)
    for hidden in (1, 2, 3):
        least = [floor(int(n), hidden) for n in neurons if n >= hidden]
        bound(
            sizes, neurons[hidden - 1 :], least, label="" if hidden > 1 else "floor of all networks"
        )
        note(
            sizes,
            f"{hidden} layer{'s'[: hidden - 1]}",
            (neurons[-1], least[-1]),
            (5, 0),
            va="center",
            annotation_clip=False,
        )
        if hidden == 1:
            sizes.fill_between(neurons, 1e-12, least, color=SKY, alpha=0.25, linewidth=0)
    sizes.semilogy(
        results["widths"],
        results["shallow_error"],
        "o",
        color=RED,
        alpha=0.6,
        label="one layer, trained",
    )
    w = results["equal_widths"]
    sizes.plot(w, results["equal_error"], "^", color=GREEN, label="one layer, equal pieces")
    sizes.plot(results["neurons"], results["error"], "s", color=BLUE, label="$f_m$, m layers of 3")
    sizes.set(
        xlabel="ReLUs",
        ylabel="largest error on [0, 1]",
        xlim=(0, neurons[-1] + 1.5),
        ylim=(results["error"][-1] / 6, 1),
    )
    sizes.set_title("The error against the size")
    sizes.legend(loc="upper right")
    return figure
