"""How large the output of a network can be anywhere: what an interval for its risk needs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdepth._misc import in_float64, refuse
from jaxdepth.networks._activations import activation as activation_named, program
from jaxdepth.networks._affine import AffineLayer, Layer, layers_of

_WITHIN_ONE = ("tanh", "sigmoid", "step", "sin", "cos", "rbf")  # |σ| ≤ 1, attained or approached
_WITHIN_INPUT = ("relu", "leaky_relu", "abs", "identity", "gelu", "silu")  # |σ(y)| ≤ |y|


def reach(network: PyTree) -> Float[Array | np.ndarray | np.generic, ""]:
    """Bound |f| on all of R^n for a network whose final or last hidden activation is bounded.

    1 where the output layer has itself an activation |σ| ≤ 1 (tanh, sigmoid, step, sin, cos, rbf),
    whatever the layers before it. Σ|v_i| + |b| for f = τ(Σ v_i σ(…) + b) with such a σ in the last
    hidden layer and |τ(y)| ≤ |y| (no activation, ReLU, leaky ReLU, abs, GELU, SiLU). In float64,
    rounded up; under `jit` or `vmap` it needs the caller's x64.

    Networks whose last activation grows, as ReLU's do, are refused: their L2(μ) risk is infinite as
    a rule, for μ has not even a mean (P(‖x‖ > r) ~ 1/r). Neither way out is one. Clipping the
    output leaves the class of 2-layer networks, which the floors are about; a test set within a
    ball voids them, as they hold over all of R^n.

    Args:
        network: one that lists its layers: `TwoLayer`, `ThreeLayer`, `MLP`, `RadialNetwork`, or an
            `eqx.nn.MLP`, with one output.

    Returns:
        A bound on sup|f|.

    Raises:
        ValueError: an activation not known to be bounded, more than one output.

    Example:
        >>> import jax
        >>> from jaxdepth.networks import TwoLayer
        >>> net = TwoLayer(3, 16, activation="tanh", key=jax.random.key(0))
        >>> bool(abs(net(1e6 * jax.numpy.ones(3))) <= reach(net))
        True

    Reference:
        Derived here.
    """
    *hidden, last = layers_of(network, "network")
    if last.weight.shape[-2] != 1:
        refuse("network", "one with a single output", last.weight.shape[-2])
    if _is_among(_WITHIN_ONE, last):
        return in_float64("reach", _one, last.weight)
    slope = last.negative_slope if isinstance(last, AffineLayer) else 0.0
    if not (isinstance(last, AffineLayer) or _is_among(_WITHIN_INPUT, last)):
        refuse(
            "network",
            f"bounded, by a final activation among {', '.join(_WITHIN_ONE)}, or by a last hidden "
            f"one under a final one among {', '.join(_WITHIN_INPUT)}",
            f"the final activation {_name(last)}",
            "Pass `reach` where a bound on |f| is known otherwise.",
        )
    if not (hidden and _is_among(_WITHIN_ONE, hidden[-1])):
        refuse(
            "network",
            f"bounded, by a last activation among {', '.join(_WITHIN_ONE)}",
            f"the activation {_name(hidden[-1]) if hidden else 'none'}",
            "One that grows has infinite risk under the measure's heavy tail; clipping it would "
            "leave the networks of 2 layers, and a test set in a ball would void the floors. Use a "
            "bounded activation, or pass `reach` where a bound on |f| is known otherwise.",
        )
    return in_float64("reach", _sum, last.weight, last.bias, slope)


def _is_among(names: tuple[str, ...], layer: AffineLayer | Layer) -> bool:
    """Whether a layer's activation is one of these, by name or by what it traces to."""
    if isinstance(layer, AffineLayer):
        return False
    if isinstance(layer.activation, str):
        return layer.activation in names
    traced = program(layer.activation)
    return any(traced == program(activation_named(known)) for known in names)


def _name(layer: AffineLayer | Layer) -> str:
    sigma = "piecewise linear" if isinstance(layer, AffineLayer) else layer.activation
    return str(getattr(sigma, "__name__", sigma))


@jax.jit
def _one(weight: Array) -> Array:
    return jnp.ones((), weight.dtype)


@jax.jit
def _sum(weight: Array, bias: Array, slope: Any) -> Array:
    terms = jnp.append(weight, bias)
    gain = jnp.maximum(jnp.abs(slope), 1)  # of the final activation, where that is piecewise linear
    return gain * jnp.sum(jnp.abs(terms)) * (1 + 2.0**-52 * (terms.size + 2))
