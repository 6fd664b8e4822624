"""Deep factorisation completes a matrix of low rank from a part of its entries.

Arora, Cohen, Hu & Luo, *Implicit Regularization in Deep Matrix Factorization* (2019), sections 2
and 4: descent on the product W_N⋯W_1 of square layers, from near 0 and with nothing that asks for
low rank, on the squared error over the entries seen. A singular value grows like σ^{2−2/N}: the
deeper the product, the longer a small one waits for the large ones, and the lower the rank at which
the seen entries are fitted. One layer moves the seen entries alone.

Descent takes its steps along the gradient, of a length that is set by the root mean square of the
gradient's norm (as the paper's own GroupRMSprop does), so that the plateaus near 0 cost hundreds of
steps and not millions; in the second half the rate falls exponentially.

Where we depart: the layers start balanced, with one product for all depths. The error left falls
with its scale (100 × 100, depth 4, from 1e-7, 1e-8, 1e-9: 4e-5, 4e-6, 5e-7), until the start is too
small for the steps (30 × 30, depth 4, from 1e-7: a fit of too low rank). From Gaussian layers depth
4 reached 2e-5.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim, Part, Results, direct, require

CHAPTER = "acceleration"
ALT = (
    "Left, the error on all entries over the steps: depths 3 and 4 fall by orders of magnitude, "
    "depth 1 stays. Middle and right, singular values at depths 2 and 4: at depth 4 only as many "
    "grow as the matrix has."
)
DEPTHS = (1, 2, 3, 4)
RECORDS = 100


@dataclass(frozen=True)
class Config:
    """Sizes.

    Attributes:
        size: rows and columns.
        rank: of the matrix to complete, whose singular values have mean square 1.
        seen: entries that are seen, drawn without replacement.
        scale: standard deviation of the entries of the product at the start.
        steps: of descent; a multiple of 100.
        rate: length of a step in the first half.
        fall: what the rate falls to by the end, over `rate`.
        seed: of the matrix, the entries and the layers.
    """

    size: int = 30
    rank: int = 2
    seen: int = 350
    scale: float = 1e-6
    steps: int = 2_000
    rate: float = 0.01
    fall: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run, and what is not low rank or not seen in part."""
        if self.size < 2 or not 1 <= self.rank < self.size:
            raise ValueError(f"`rank` must be at least 1 and below `size`; got {self.rank}.")
        if not self.size <= self.seen < self.size**2:
            raise ValueError(f"`seen` must be from `size` to below `size`²; got {self.seen}.")
        if not self.scale > 0:
            raise ValueError(f"`scale` must be positive; got {self.scale}.")
        if self.steps < RECORDS or self.steps % RECORDS:
            raise ValueError(f"`steps` must be a multiple of {RECORDS}; got {self.steps}.")
        if not (self.rate > 0 and 0 < self.fall <= 1):
            raise ValueError(f"`rate` and `fall` must be positive; got {self.rate}, {self.fall}.")


QUICK = Config()
FULL = Config(
    size=100,
    rank=5,
    seen=2_000,
    scale=1e-9,
    steps=40_000,
    rate=0.005,
)


class Completion(eqx.Module):
    """Half the sum of squared errors over the entries seen."""

    M: Float[Array, "n n"]
    mask: Float[Array, "n n"]

    def loss(self, net: jd.networks.DeepLinear) -> Float[Array, ""]:
        """Evaluate it on the product of the layers."""
        return (self.mask * (net.end_to_end() - self.M) ** 2).sum() / 2


class _GroupState(NamedTuple):
    mean_square: Float[Array, ""]
    step: Float[Array, ""]


def group_rmsprop(
    rate: Float[Array, ""], fall: Float[Array, ""], steps: int, memory: float = 0.99
) -> optax.GradientTransformation:
    """Step along the gradient, over the running root mean square of its norm."""

    def init(params: optax.Params) -> _GroupState:
        zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype)
        return _GroupState(zero, zero)

    def update(
        updates: optax.Updates, state: _GroupState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, _GroupState]:
        del params
        square = memory * state.mean_square + (1 - memory) * optax.tree.norm(updates) ** 2
        step = state.step + 1
        falling = fall ** jnp.maximum(0.0, 2 * step / steps - 1)
        length = rate * falling / (jnp.sqrt(square / (1 - memory**step)) + 1e-30)
        return jax.tree.map(lambda G: -length * G, updates), _GroupState(square, step)

    return optax.GradientTransformation(init, update)


def run(config: Config, part: Part = direct) -> Results:
    # float64 around the whole computation: deep factors recover more digits than float32 keeps.
    with jax.enable_x64(True):
        M, mask = _problem(config)
        results: Results = {
            "steps": np.linspace(0, config.steps, RECORDS + 1).astype(int),
            "sizes": np.array([config.size, config.rank, config.seen]),
            "singular": np.linalg.svd(M, compute_uv=False)[: 2 * config.rank],
            "unseen": np.asarray(np.linalg.norm((1 - mask) * M) / np.linalg.norm(M)),
        }
        for depth in DEPTHS:
            complete = functools.partial(_complete, config, M, mask, depth)
            results |= part(f"depth{depth}", complete)
    return results


def _problem(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Draw the matrix, of Gaussian factors, and a mask that is 1 where it is seen."""
    rng = np.random.default_rng(config.seed)
    n, r = config.size, config.rank
    M = rng.normal(size=(n, r)) @ rng.normal(size=(r, n))
    mask = np.zeros(n * n)
    mask[rng.choice(n * n, config.seen, replace=False)] = 1
    return M * np.sqrt(r) / np.linalg.norm(M), mask.reshape(n, n)


def _complete(config: Config, M: np.ndarray, mask: np.ndarray, depth: int) -> Results:
    """Descend at one depth; record the error over all entries, and the singular values."""
    sizes = (config.size,) * (depth + 1)
    key = jax.random.key(config.seed)
    net = jd.networks.DeepLinear(sizes, init="balanced", scale=config.scale, key=key)
    path = jd.dynamics.descend(
        net,
        Completion(jnp.asarray(M), jnp.asarray(mask)).loss,
        functools.partial(group_rmsprop, steps=config.steps),
        config.steps,
        hyperparameters={"rate": config.rate, "fall": config.fall},
        record_every=config.steps // RECORDS,
        record=lambda net: net.end_to_end(),
    )
    W = np.asarray(path.recorded)
    return {
        f"error{depth}": np.linalg.norm(W - M, axis=(1, 2)) / np.linalg.norm(M),
        f"loss{depth}": np.asarray(path.losses),
        f"sigma{depth}": np.linalg.svd(W, compute_uv=False)[:, : 2 * config.rank],
    }


def claims(results: Results) -> list[Claim]:
    size, rank, seen = results["sizes"]
    error = {N: float(results[f"error{N}"][-1]) for N in DEPTHS}
    beyond = {N: float(results[f"sigma{N}"][-1, rank]) for N in DEPTHS[1:]}
    full = size >= 100
    told = f"{size} × {size} of rank {rank} from {seen:,} entries"
    source = "Arora, Cohen, Hu & Luo 2019, Figure 1"
    bounds = {2: 0.15, 3: 2e-5, 4: 2e-6} if full else {2: 0.1, 3: 1e-3, 4: 5e-4}
    return [
        Claim(
            f"Deep factorisation recovers what it has not seen: {told}, error over the matrix",
            source,
            "below " + " / ".join(f"{bound:.2g}" for bound in bounds.values()),
            " / ".join(f"{error[N]:.2g}" for N in DEPTHS[1:]),
            "estimate",
            all(error[N] < bounds[N] for N in bounds),
        ),
        Claim(
            "the deeper the better",
            source,
            "depth 4 < depth 3 < depth 2, and 3 under a tenth of 2",
            " < ".join(f"{error[N]:.2g}" for N in DEPTHS[:0:-1]),
            "estimate",
            error[4] < error[3] < 0.1 * error[2],
        ),
        Claim(
            "One layer fits what it sees, and recovers nothing else",
            "derived here: the gradient vanishes off the entries seen",
            f"error {float(results['unseen']):.3f}, the share of the unseen",
            f"{error[1]:.3f}, loss {float(results['loss1'][-1]):.0e}",
            "estimate",
            bool(abs(error[1] / results["unseen"] - 1) < 0.01 and results["loss1"][-1] < 1e-9),
        ),
        Claim(
            f"What is left beyond rank {rank} shrinks with depth (singular value {rank + 1})",
            "Arora, Cohen, Hu & Luo 2019, Theorem 3: σ̇ ∝ σ^(2−2/N)",
            "falling",
            " / ".join(f"{beyond[N]:.2g}" for N in beyond),
            "estimate",
            beyond[4] < beyond[3] < beyond[2],
        ),
    ]


def check(results: Results) -> None:
    require(claims(results))


@_figures.styled
def plot(results: Results) -> Figure:
    figure, (errors, two, deep) = _figures.panels(1, 3)
    steps = results["steps"]
    for N, color, marker in zip(DEPTHS, _figures.PALETTE, _figures.MARKERS, strict=False):
        errors.semilogy(
            steps,
            results[f"error{N}"],
            marker=marker,
            markevery=len(steps) // 8,
            color=color,
            label=f"depth {N}",
        )
    size, rank, seen = results["sizes"]
    errors.set(
        title=f"{size} × {size}, rank {rank}, {seen:,} seen",
        xlabel="step",
        ylabel="relative error, all entries",
    )
    errors.legend(loc="best")
    for axis in (errors, two, deep):
        axis.locator_params(axis="x", nbins=5)
    _plot_modes(two, results, 2)
    _plot_modes(deep, results, 4)
    return figure


def _plot_modes(axis: Any, results: Results, depth: int) -> None:
    rank, sigma = int(results["sizes"][1]), results[f"sigma{depth}"]
    for r, values in enumerate(sigma.T):
        color = _figures.BLUE if r < rank else _figures.ORANGE
        label = {0: f"first {rank}", rank: "the next"}.get(r)
        axis.semilogy(results["steps"], values, color=color, linewidth=1.2, label=label)
    for r, value in enumerate(results["singular"][:rank]):
        axis.axhline(
            value,
            color=_figures.INK,
            linestyle=(0, (4, 2)),
            linewidth=0.8,
            label="of the matrix" if r == 0 else None,
        )
    axis.set(title=f"Depth {depth}", xlabel="step", ylabel="singular values", ylim=(1e-8, 4))
    axis.legend(loc="lower right" if depth == 2 else "best")
