"""256 settings of depth-3 gradient descent at once, against PyTorch, in one process.

    python -m experiments.benchmarks.sweeps_of_descent_outrun_pytorch

Settings are learning rates times random starts; all run the same steps, full batch, float64. Ours
is the library's own `descend`, vmapped, with the rates traced: one compile. The rivals keep the 256
settings on the first axis: gradients written by hand and stepped in place, the same compiled by
`torch.compile` (which needs a C++ compiler), and autograd. Beside them the loop that people write
first: autograd, one setting at a time (on 4 settings, scaled). All start from the same weights, and
all end at the same losses, which is checked.

The floor is arithmetic where the rows are many, and the launching of some 15 operations a step,
2–5 µs each in PyTorch, where the matrices are small: there one compiled loop must win.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import jaxdepth as jd
from experiments.benchmarks._timing import least, machine

try:
    import torch
except ImportError:
    torch = None

SEEDS, RATES = 16, np.logspace(-3, -2, 16)
SETTINGS = SEEDS * len(RATES)
ROW = "{:<34} {:>11} {:>16} {:>16} {:>16} {:>16}"


class Task(eqx.Module):
    """Regression of all outputs in l_p: mean over rows of Σ(Wx − y)^p/p."""

    X: Float[Array, "n d"]
    Y: Float[Array, "n k"]
    p: int = eqx.field(static=True)

    def loss(self, net: jd.networks.DeepLinear) -> Float[Array, ""]:
        """Return the loss of the product of the layers."""
        residual = self.X @ net.end_to_end().T - self.Y
        return (residual**self.p).sum() / (self.p * len(self.X))


class Size(NamedTuple):
    """One row of the table."""

    label: str
    rows: int
    inputs: int
    hidden: int
    outputs: int
    p: int
    steps: int


SIZES = (
    Size("8 -> 1, 64 rows, l4", 64, 8, 8, 1, 4, 1_000),
    Size("8 -> 1, 64 rows, l2", 8, 8, 8, 1, 2, 1_000),  # 64 rows are 8 after a QR
    Size("10 -> 10, whitened, l2", 10, 10, 10, 10, 2, 500),
    Size("32 -> 32, whitened, l2", 32, 32, 32, 32, 2, 100),
    Size("128 -> 1, hidden 1, l2", 128, 128, 1, 1, 2, 200),
    Size("128 -> 1, 1,316 rows, l4", 1316, 128, 1, 1, 4, 50),
)


def problem(size: Size) -> tuple[Task, list[np.ndarray], np.ndarray]:
    """Draw the data, the 256 starts (settings, n_j, n_{j-1}) and their rates."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(size.rows, size.inputs))
    Y = X @ rng.normal(size=(size.inputs, size.outputs)) / np.sqrt(size.inputs)
    widths = (size.inputs, size.hidden, size.hidden, size.outputs)
    starts = [
        np.repeat(rng.normal(size=(SEEDS, m, n)) * 0.5 / np.sqrt(n), len(RATES), axis=0)
        for n, m in itertools.pairwise(widths)
    ]
    return Task(jnp.asarray(X), jnp.asarray(Y), size.p), starts, np.tile(RATES, SEEDS)


def ours(
    task: Task, starts: list[np.ndarray], rates: np.ndarray, steps: int
) -> Callable[[], np.ndarray]:
    """Descend on every setting at once; return the final losses."""
    skeleton = jd.networks.DeepLinear.balanced_from(jnp.ones((1, 1)), len(starts))
    nets = eqx.tree_at(lambda net: net.layers, skeleton, tuple(map(jnp.asarray, starts)))

    @eqx.filter_jit
    def sweep(task: Task, nets: jd.networks.DeepLinear, rates: Array) -> Array:
        def one(net: jd.networks.DeepLinear, rate: Array) -> Array:
            settings = {"learning_rate": rate}
            return jd.dynamics.descend(
                net,
                task.loss,
                optax.sgd,
                steps,
                hyperparameters=settings,
                record_every=steps,
            ).losses[-1]

        return jax.vmap(one)(nets, rates)

    return lambda: np.asarray(sweep(task, nets, jnp.asarray(rates)))


def _tensors(
    task: Task, starts: list[np.ndarray], rates: np.ndarray
) -> tuple[Any, Any, list[Any], Any]:
    return (
        torch.tensor(np.asarray(task.X)),
        torch.tensor(np.asarray(task.Y)),
        [torch.tensor(W) for W in starts],
        torch.tensor(rates)[:, None, None],
    )


def _torch_loss(task: Task, X: Any, Y: Any, W: Any) -> Any:
    residual = torch.matmul(X, W.transpose(-1, -2)) - Y
    return (residual**task.p).sum(dim=(-1, -2)) / (task.p * len(X))


def by_hand(
    task: Task, starts: list[np.ndarray], rates: np.ndarray, steps: int, *, compiled: bool
) -> Callable[[], np.ndarray]:
    """Step all settings with gradients written out, in place."""
    X, Y, first, eta = _tensors(task, starts, rates)
    scaled = eta / len(X)

    def step(W1: Any, W2: Any, W3: Any) -> None:
        below, above = torch.bmm(W2, W1), torch.bmm(W3, W2)
        residual = torch.matmul(X, torch.bmm(W3, below).transpose(1, 2)) - Y
        G = torch.matmul((residual ** (task.p - 1)).transpose(1, 2), X) * scaled
        d1 = torch.bmm(above.transpose(1, 2), G)
        d2 = torch.bmm(torch.bmm(W3.transpose(1, 2), G), W1.transpose(1, 2))
        W3 -= torch.bmm(G, below.transpose(1, 2))
        W2 -= d2
        W1 -= d1

    stepped = torch.compile(step) if compiled else step

    def descend() -> np.ndarray:
        with torch.no_grad():
            W1, W2, W3 = (W.clone() for W in first)
            for _ in range(steps):
                stepped(W1, W2, W3)
            return _torch_loss(task, X, Y, W3 @ W2 @ W1).numpy()

    return descend


def by_autograd(
    task: Task, starts: list[np.ndarray], rates: np.ndarray, steps: int
) -> Callable[[], np.ndarray]:
    """Step all settings, or one, with PyTorch's own gradients."""
    X, Y, first, eta = _tensors(task, starts, rates)

    def descend() -> np.ndarray:
        layers = [W.clone().requires_grad_() for W in first]
        for _ in range(steps):
            W1, W2, W3 = layers
            gradients = torch.autograd.grad(_torch_loss(task, X, Y, W3 @ W2 @ W1).sum(), layers)
            with torch.no_grad():
                for W, gradient in zip(layers, gradients, strict=True):
                    W -= eta * gradient
        W1, W2, W3 = layers
        return _torch_loss(task, X, Y, W3 @ W2 @ W1).detach().numpy()

    return descend


def one_at_a_time(
    task: Task, starts: list[np.ndarray], rates: np.ndarray, steps: int, few: int
) -> Callable[[], np.ndarray]:
    """Loop over the first few settings."""
    runs = [
        by_autograd(task, [W[i : i + 1] for W in starts], rates[i : i + 1], steps)
        for i in range(few)
    ]
    return lambda: np.concatenate([run() for run in runs])


def main() -> None:
    """Measure and print the table."""
    if torch is None:
        raise SystemExit("The rival is missing: pip install torch")
    print(f"{machine()}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    print(ROW.format("256 settings", "ours", "by hand", "compiled", "autograd", "one by one"))
    few = 4
    with jax.enable_x64(True):
        for size in SIZES:
            task, starts, rates = problem(size)
            given = task, starts, rates, size.steps
            calls = {
                "ours": ours(*given),
                "by hand": by_hand(*given, compiled=False),
                "compiled": by_hand(*given, compiled=True),
                "autograd": by_autograd(*given),
                "one by one": one_at_a_time(*given, few),
            }
            losses = {name: call() for name, call in calls.items()}
            for name, loss in losses.items():  # the same steps, in another order of summation
                np.testing.assert_allclose(
                    loss, losses["ours"][: len(loss)], rtol=1e-6, err_msg=name
                )
            spent = least(calls, 20.0)
            spent["one by one"] *= SETTINGS / few
            each = {name: time / size.steps for name, time in spent.items()}
            ratios = [
                f"{time * 1e6:,.0f} µs ({time / each['ours']:.1f}x)"
                for name, time in each.items()
                if name != "ours"
            ]
            print(ROW.format(size.label, f"{each['ours'] * 1e6:,.0f} µs", *ratios), flush=True)


if __name__ == "__main__":
    main()
