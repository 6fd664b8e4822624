"""ReLU networks whose layers may be products: evaluated in float64 on the host, and counted."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from jaxdepth.networks import Factored


def as_layers(net: Any) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """List each layer's factors, W_1 first, and its bias, in float64 on the host."""

    def host(array: Array) -> np.ndarray:
        return np.asarray(array).astype(np.float64)

    def factors(layer: Any) -> Any:
        return layer.factors.layers if isinstance(layer, Factored) else (layer.weight,)

    return [([host(W) for W in factors(layer)], host(layer.bias)) for layer in net.layers]


def outputs(layers: list[tuple[list[np.ndarray], np.ndarray]], x: np.ndarray) -> np.ndarray:
    """Evaluate a ReLU network, factor by factor."""
    for place, (factors, bias) in enumerate(layers):
        x = functools.reduce(lambda h, W: h @ W.T, factors, x) + bias
        x = np.maximum(x, 0) if place < len(layers) - 1 else x
    return x


def away(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference over the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def step_operations(model: Any, train: Any) -> float:
    """Count the operations of `train.loss` and its gradient, as XLA's cost analysis does."""
    parameters, static = eqx.partition(model, eqx.is_array)

    def loss(parameters: Any, train: Any) -> Array:
        return train.loss(eqx.combine(parameters, static))

    cost: Any = jax.jit(jax.value_and_grad(loss)).lower(parameters, train).cost_analysis()
    return float(cost["flops"])


def product_operations(model: Any) -> int:
    """Count the operations of multiplying the factors, and of the gradient of that.

    A layer (m, n) of N factors has hidden width k = min(m, n): from the smaller end N − 2 products
    of k³ multiplications and one of kmn, an addition to each, and twice as many for the gradient,
    which multiplies by either side.
    """
    count = 0
    for factors, _ in as_layers(model):
        (m, k), n = factors[-1].shape, factors[0].shape[1]
        if len(factors) > 1:
            count += 3 * 2 * ((len(factors) - 2) * k**3 + k * m * n)
    return count
