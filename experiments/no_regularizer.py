"""No regulariser acts as depth does: the field that N layers descend along is no gradient.

Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
Overparameterization* (2018), Theorem 2, with real depths and three facts beside it. For quadratic
losses the integral along the paper's curve is that of their linear part alone, exactly: what the
Hessian adds to the curl turns twice on a half circle and cancels. So at N = 2, where the theorem is
silent, the paper's curve sees nothing of an l2 loss, whose field is no gradient all the same, as a
quarter turn shows. And between N = 1 and 2 the integral is negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require
from experiments._table import at_least, at_most

CHAPTER = "acceleration"
ALT = (
    "Left and right, the curl of the field as colour, descent as arrows, and the paper's curve "
    "of two half circles. Middle, the integral around it by depth: 0 at depth 1, positive beyond "
    "2 for every loss; all but the l4 loss lie on the closed form, which is negative between."
)
LOSSES = ("linear", "isotropic", "l2 regression", "l4 regression")
SCALING = (1.5, 3.0, 4.0)  # depths at which the integral is followed as the curve shrinks
HALVINGS = np.arange(4, 8)
ROUNDING = 1e-10  # relative; sums of a few hundred terms, some of them cancelling


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        depths: real numbers from 1 on; 1 and 2 are always added.
        dim: features, at least 2.
        samples: of the regressions.
        inner: r.
        outer: R.
        points: random points at which the two routes to the curl are compared.
        grid: points of the map along each side.
        seed: of all that is drawn.
    """

    depths: tuple[float, ...] = (1.25, 1.5, 1.75, 2.5, 3.0, 4.0, 6.0, 10.0)
    dim: int = 3
    samples: int = 9
    inner: float = 0.1
    outer: float = 1.0
    points: int = 4
    grid: int = 33
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no curve, no depth or too little to judge."""
        if not self.depths or min(self.depths) < 1 or max(self.depths) <= 2:
            raise ValueError(f"`depths` must be from 1 on, some above 2; got {self.depths}.")
        if not 0 < self.inner < self.outer:
            raise ValueError(
                f"`inner` must be positive, below `outer`={self.outer}; got {self.inner}."
            )
        least = {"dim": 2, "samples": 1, "points": 1, "grid": 3, "seed": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name}` must be at least {minimum}; got {getattr(self, name)}.")


QUICK = Config()
FULL = Config(
    depths=tuple(np.linspace(1, 12, 45).tolist()), dim=16, samples=64, points=64, grid=101
)


Coefficients = tuple[Array, ...]  # g, H and share


class Loss(eqx.Module):
    """⟨g, w⟩ + wᵀHw/2 + share·(the l4 loss): all four losses in one, to be mapped over."""

    quartic: jd.dynamics.LpRegression
    g: Float[Array, " d"]
    H: Float[Array, "d d"]
    share: Float[Array, ""]

    def __call__(self, w: Float[Array, " d"]) -> Float[Array, ""]:
        """Return the loss at w."""
        quadratic = jnp.vdot(self.g, w) + jnp.vdot(w, self.H @ w) / 2
        return quadratic + self.share * self.quartic.loss(w)


class Family(NamedTuple):
    """The losses of `LOSSES`, by coefficient, and the second direction of the paper's curve."""

    g: np.ndarray
    H: np.ndarray
    share: np.ndarray
    quartic: jd.dynamics.LpRegression
    toward: np.ndarray

    def at(self, which: Any) -> Coefficients:
        """Return g, H and share of some losses, stacked."""
        return tuple(jnp.asarray(each[which]) for each in (self.g, self.H, self.share))


def run(config: Config, part: Part = direct) -> Results:
    """Integrate, differentiate and map the field, in float64."""
    with jax.enable_x64(True):
        family = _family(config)
        return {
            **part("integrals", lambda: _integrals(config, family)),
            **part("curls", lambda: _curls(config, family)),
            **part("map", lambda: _map(config, family)),
        }


def _depths(config: Config) -> np.ndarray:
    return np.unique([1.0, 2.0, *config.depths])


def _family(config: Config) -> Family:
    rng = np.random.default_rng(config.seed)
    X = rng.normal(size=(config.samples, config.dim))
    y, toward = rng.normal(size=config.samples), rng.normal(size=config.dim)
    g, H, no = -X.T @ y / len(y), X.T @ X / len(y), np.zeros((config.dim, config.dim))
    return Family(
        np.stack([g, g, g, 0 * g]),
        np.stack([no, np.eye(config.dim), H, no]),
        np.array([0.0, 0.0, 0.0, 1.0]),
        jd.dynamics.LpRegression(jnp.asarray(X), jnp.asarray(y), 4),
        toward,
    )


def _slopes(family: Family) -> np.ndarray:
    """Return ∇L(0) of each loss."""
    quartic = np.asarray(jax.grad(family.quartic.loss)(jnp.zeros(family.g.shape[1])))
    return family.g + family.share[:, None] * quartic


# ---- The parts ----


@eqx.filter_jit
def _around(
    coefficients: Coefficients,
    quartic: jd.dynamics.LpRegression,
    N: Float[Array, " cases"],
    r: Float[Array, " cases"],
    R: Float[Array, " cases"],
    toward: Float[Array, " d"],
) -> tuple[jd.dynamics.Contour, jd.dynamics.Contour]:
    """Integrate along the paper's curve, and round a quarter of the annulus between its radii.

    The quarter lies between the eigenvectors of the Hessian that bend most and least.
    """

    def along(coefficients: Coefficients, N: Array, r: Array, R: Array) -> tuple[Any, Any]:
        loss = Loss(quartic, *coefficients)
        frame = jnp.linalg.eigh(loss.H)[1]

        def ray(start: Array, end: Array, k: int) -> Callable[[Array], Array]:
            return lambda t: start * (end / start) ** t * frame[:, k]

        def turn(radius: Array, k: int) -> Callable[[Array], Array]:
            from_, to = radius * frame[:, k], radius * frame[:, -1 - k]
            return lambda t: jnp.cos(jnp.pi / 2 * t) * from_ + jnp.sin(jnp.pi / 2 * t) * to

        quarter = [ray(r, R, -1), turn(R, -1), ray(R, r, 0), turn(r, 0)]
        paper = jd.dynamics.contour_integral(loss, N, r, R, shape=len(toward), toward=toward)
        return paper, jd.dynamics.circulation(loss, N, quarter)

    return jax.vmap(along)(coefficients, N, r, R)


def _integrals(config: Config, family: Family) -> Results:
    """Integrate every loss at every depth; and some as the curve shrinks to a point."""
    depths, steps = _depths(config), len(SCALING) * len(HALVINGS)
    which = np.repeat(np.arange(len(LOSSES)), len(depths))
    shrink = np.concatenate([np.ones(len(which)), np.tile(0.5**HALVINGS, len(SCALING))])
    which = np.append(which, np.full(steps, len(LOSSES) - 1))
    N = np.concatenate([np.tile(depths, len(LOSSES)), np.repeat(SCALING, len(HALVINGS))])
    r, R = config.inner * shrink, config.outer * shrink
    paper, quarter = _around(
        family.at(which), family.quartic, *map(jnp.asarray, (N, r, R, family.toward))
    )
    shape, whole = (len(LOSSES), len(depths)), len(which) - steps
    sizes = np.linalg.norm(_slopes(family), axis=1)
    closed = [
        jd.dynamics.constant_gradient_integral(*case)
        for case in zip(sizes[which], N, r, R, strict=True)
    ]
    small = (len(SCALING), len(HALVINGS))
    return {
        "depths": depths,
        "sizes": sizes,
        "radii": np.array([config.inner, config.outer]),
        "closed": np.reshape(closed[:whole], shape),
        "paper": np.reshape(paper.value[:whole], shape),
        "paper_error": np.reshape(paper.error[:whole], shape),
        "quarter": np.reshape(quarter.value[:whole], shape),
        "quarter_error": np.reshape(quarter.error[:whole], shape),
        "small": np.reshape(paper.value[whole:], small),
        "small_closed": np.reshape(closed[whole:], small),
    }


@eqx.filter_jit
def _two_routes(
    coefficients: Coefficients, quartic: Any, N: Array, w: Array
) -> tuple[Array, Array]:
    def both(coefficients: Coefficients, N: Array, w: Array) -> tuple[Array, Array]:
        loss = Loss(quartic, *coefficients)
        return jd.dynamics.curl(w, loss, N), jd.dynamics.curl_one_output(w, loss, N)

    return jax.vmap(both)(coefficients, N, w)


def _curls(config: Config, family: Family) -> Results:
    """Take the curl at random points by automatic differentiation and in closed form."""
    depths = _depths(config)
    cases = np.indices((len(LOSSES), len(depths), config.points)).reshape(3, -1)
    w = np.random.default_rng(config.seed + 1).normal(size=(cases.shape[1], config.dim))
    found, closed = _two_routes(
        family.at(cases[0]), family.quartic, jnp.asarray(depths[cases[1]]), jnp.asarray(w)
    )
    shape = (len(LOSSES), len(depths), -1)
    return {
        "curl_gap": np.abs(found - closed).reshape(shape).max(-1),
        "curl_size": np.abs(closed).reshape(shape).max(-1),
    }


@eqx.filter_jit
def _on_plane(
    coefficients: Coefficients, quartic: Any, N: Array, points: Array, planes: Array
) -> tuple[Array, Array]:
    """Return the field at points of each plane, and its curl there, in the plane's frame."""

    def at(coefficients: Coefficients, N: Array, plane: Array, x: Array) -> tuple[Array, Array]:
        loss = Loss(quartic, *coefficients)
        curl = jd.dynamics.curl_one_output(x @ plane, loss, N)
        return plane @ jd.dynamics.field(x @ plane, loss, N), plane[0] @ curl @ plane[1]

    over_points = jax.vmap(at, (None, None, None, 0))
    return jax.vmap(over_points, (0, 0, 0, None))(coefficients, N, planes, points)


def _plane(e: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """Return e and the second direction of the paper's curve, orthonormal, as rows."""
    e = e / np.linalg.norm(e)
    beside = toward - (toward @ e) * e
    return np.stack([e, beside / np.linalg.norm(beside)])


def _map(config: Config, family: Family) -> Results:
    """Map field and curl where the paper's curve runs: l4 at N = 3 and l2 at N = 2."""
    which, N = np.array([3, 2]), np.array([3.0, 2.0])
    planes = np.stack([_plane(e, family.toward) for e in _slopes(family)[which]])
    axis = np.linspace(-1.25, 1.25, config.grid) * config.outer
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    field, curl = _on_plane(
        family.at(which), family.quartic, *map(jnp.asarray, (N, points, planes))
    )
    return {
        "axis": axis,
        "map_field": np.reshape(field, (2, config.grid, config.grid, 2)),
        "map_curl": np.reshape(curl, (2, config.grid, config.grid)),
    }


# ---- What came out ----


def _numbers(values: Any) -> str:
    return ", ".join(f"{value + 0.0:.4g}" for value in np.ravel(values))  # no −0


def claims(results: Results) -> list[Claim]:
    """State what the theorem and the closed forms predict beside what came out."""
    depths, closed, paper = results["depths"], results["closed"], results["paper"]
    error, quarter = results["paper_error"], results["quarter"]
    shown = np.isin(depths, [1, 1.5, 2, 3, 4, 10])
    one, two, deep = depths == 1, depths == 2, depths > 2
    told = f"N = {_numbers(depths[shown])}"
    off = np.abs(paper - closed)[:3] <= error[:3] + ROUNDING * np.abs(closed[:3])
    least = np.abs(paper[:, deep] / results["sizes"][:, None]).min()
    most = max(np.abs(paper[:, one]).max(), np.abs(quarter[:, one]).max())
    gap = float((results["curl_gap"] / (1 + results["curl_size"])).max())
    q = 3 - 2 / np.array(SCALING)
    slopes = np.log2(results["small"][:, :-1] / results["small"][:, 1:])[:, -1]
    return [
        Claim(
            f"∮F for a constant gradient, {told}",
            "Arora, Cohen & Hazan 2018, Theorem 2; closed form derived here",
            _numbers(closed[0, shown]),
            _numbers(np.where(np.abs(paper) > error, paper, 0)[0, shown]),
            "estimate",
            bool(off[0].all()),
        ),
        Claim(
            "and for isotropic and l2 losses the same, at every depth",
            "derived here: the Hessian's share turns twice on a half circle",
            "gap 0",
            f"at most {at_most(np.abs(paper - closed)[1:3].max(), 1, 'e')}",
            "estimate",
            bool(off[1:].all()),
        ),
        Claim(
            f"N > 2: for no loss is the field a gradient, {deep.sum()} depths to {depths[-1]:g}",
            "Arora, Cohen & Hazan 2018, Theorem 2",
            "|∮F| > 0",
            f"at least {at_least(least, 3)}·‖∇L(0)‖; l4: {_numbers(paper[3, shown & deep])}",
            "estimate",
            bool((np.abs(paper) > error)[:, deep].all()),
        ),
        Claim(
            "N = 1: it is one, for all losses and both curves",
            "F = ∇L",
            "0",
            f"at most {at_most(most, 1, 'e')}",
            "estimate",
            bool(
                (np.abs(paper) <= error)[:, one].all()
                and (np.abs(quarter) <= results["quarter_error"])[:, one].all()
            ),
        ),
        Claim(
            "N = 2, a quarter turn: a gradient for linear and isotropic losses, none for l2 and l4",
            "the curl's closed form, derived here",
            "0, 0, not 0, not 0",
            _numbers(np.where(np.abs(quarter) > results["quarter_error"], quarter, 0)[:, two]),
            "estimate",
            (np.abs(quarter) > results["quarter_error"])[:, two].ravel().tolist()
            == [False, False, True, True],
        ),
        Claim(
            "N = 2, the paper's curve: blind to l2 losses, not to l4",
            "derived here",
            "0, not 0",
            _numbers(np.where(np.abs(paper) > error, paper, 0)[2:, two]),
            "estimate",
            (np.abs(paper) > error)[2:, two].ravel().tolist() == [False, True],
        ),
        Claim(
            f"l4: the integral shrinks with the curve as R^(3−2/N), N = {_numbers(SCALING)}",
            "Arora, Cohen & Hazan 2018, proof of Theorem 2",
            _numbers(q),
            _numbers(slopes),
            "estimate",
            bool((np.abs(slopes - q) < 0.02).all()),
        ),
        Claim(
            "The curl by automatic differentiation is its closed form, all losses and depths",
            "derived here from Claim 2",
            "gap 0",
            f"{gap:.1e}",
            "estimate",
            gap < ROUNDING,
        ),
    ]


def check(results: Results) -> None:
    """Raise AssertionError where a claim fails."""
    require(claims(results))


@_figures.styled
def plot(results: Results) -> Figure:
    """Draw the field and the curve, the integral against depth, and what N = 2 hides."""
    figure, (field, integral, curl) = _figures.panels(1, 3, size=(13.2, 3.9))
    _draw_map(figure, field, results, 0, "Descent (arrows) and its curl: $\\ell_4$, N = 3")
    _draw_integrals(integral, results)
    _draw_map(figure, curl, results, 1, "Half turns cancel: $\\ell_2$, N = 2")
    return figure


def _draw_map(figure: Figure, axes: Any, results: Results, k: int, title: str) -> None:
    axis, curl, field = results["axis"], results["map_curl"][k], results["map_field"][k]
    size = np.quantile(np.abs(curl), 0.99)
    image = axes.pcolormesh(
        axis, axis, curl, cmap="PuOr", vmin=-size, vmax=size, shading="gouraud", rasterized=True
    )
    figure.colorbar(image, ax=axes, shrink=0.85, label="curl in this plane")
    every = slice(2, None, max(1, len(axis) // 11))
    arrows = -field[every, every]
    strength = np.linalg.norm(arrows, axis=-1, keepdims=True)
    # Lengths compressed, or the small ones about 0 would be points.
    arrows = arrows / np.maximum(strength, 1e-12) * strength**0.35
    axes.quiver(
        axis[every],
        axis[every],
        arrows[..., 0],
        arrows[..., 1],
        color=_figures.MAP_GREY,
        width=0.005,
    )
    r, R = results["radii"]
    phi = np.linspace(0, np.pi, 99)
    path = np.concatenate(
        [
            [[-R, 0]],
            np.stack([-r * np.cos(phi), r * np.sin(phi)], axis=1),
            np.stack([R * np.cos(phi), R * np.sin(phi)], axis=1),
        ]
    )
    axes.plot(*path.T, color=_figures.MAP_INK, linewidth=2)
    for at, step in (((-0.5 * R, 0), (1, 0)), ((0.6 * R, 0), (1, 0)), ((0, R), (-1, 0))):
        axes.annotate(
            "",
            (at[0] + 0.08 * R * step[0], at[1]),
            at,
            arrowprops={"arrowstyle": "-|>", "color": _figures.MAP_INK, "lw": 2},
        )
    axes.set(title=title, xlabel="along e = ∇L(0)/‖∇L(0)‖", aspect="equal")
    axes.grid(visible=False)


def _draw_integrals(axes: Any, results: Results) -> None:
    depths, sizes = results["depths"], results["sizes"][:, None]
    fine = np.linspace(1, depths[-1], 300)
    closed = [jd.dynamics.constant_gradient_integral(1.0, N, *results["radii"]) for N in fine]
    looks = zip(
        LOSSES,
        results["paper"] / sizes,
        _figures.PALETTE,
        _figures.MARKERS,
        (9, 7, 4, 5),
        strict=False,
    )
    axes.axhline(0, color=_figures.GREY, linewidth=0.8)
    axes.axvspan(1, 2, color=_figures.GREY, alpha=0.1, linewidth=0)
    for name, values, color, marker, size in looks:
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1.4} if size > 5 else {}
        axes.plot(
            depths, values, marker, color=color, markersize=size, label=_typeset(name), **hollow
        )
    _figures.bound(axes, fine, closed, label="closed form, constant ∇L")
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=0.3)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.minorticks_off()
    axes.set(title="The integral, by depth", xlabel="depth N (real)", ylabel="∮F / ‖∇L(0)‖")
    axes.set_ylim(-1.5, 2 * (results["paper"] / sizes).max())
    axes.legend(loc="lower right")


def _typeset(name: str) -> str:
    return name.replace("l2", "$\\ell_2$").replace("l4", "$\\ell_4$")
