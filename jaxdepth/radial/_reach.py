"""How large the output of a network can be anywhere: what an interval for its risk needs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdepth._misc import in_float64, refuse
from jaxdepth.networks._activations import activation as activation_named, program
from jaxdepth.networks._affine import layers_of

_WITHIN_ONE = ("tanh", "sigmoid", "step", "sin", "cos", "rbf")  # |σ| ≤ 1, attained or approached


def reach(network: PyTree) -> Float[Array | np.ndarray | np.generic, ""]:
    """Bound |f| on all of R^n for a network whose last hidden layer has a bounded activation.

    Σ|v_i| + |b| for f = Σ v_i σ(…) + b with |σ| ≤ 1 (tanh, sigmoid, step, sin, cos, rbf), whatever
    the layers before it. In float64, rounded up; under `jit` or `vmap` it needs the caller's x64.

    Networks whose last activation grows, as ReLU's do, are refused: their L2(μ) risk is infinite as
    a rule, for μ has no moments (P(‖x‖ > r) ~ 1/r). Neither way out is one. Clipping the output
    leaves the class of 2-layer networks, which the floors are about; a test set within a ball voids
    them, as they hold over all of R^n.

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
    sigma = getattr(hidden[-1], "activation", "piecewise linear") if hidden else "none"
    if not _is_within_one(sigma):
        refuse(
            "network",
            f"bounded, by a last activation among {', '.join(_WITHIN_ONE)}",
            f"the activation {sigma}",
            "One that grows has infinite risk under the measure's heavy tail; clipping it would "
            "leave the networks of 2 layers, and a test set in a ball would void the floors. Use a "
            "bounded activation, or pass `reach` where a bound on |f| is known otherwise.",
        )
    if last.weight.shape[-2] != 1:
        refuse("network", "one with a single output", last.weight.shape[-2])
    return in_float64("reach", _sum, last.weight, last.bias)


def _is_within_one(sigma: Any) -> bool:
    """Whether an activation is one of the bounded ones, by name or by what it traces to."""
    if isinstance(sigma, str):
        return sigma in _WITHIN_ONE
    return any(program(sigma) == program(activation_named(known)) for known in _WITHIN_ONE)


@jax.jit
def _sum(weight: Array, bias: Array) -> Array:
    terms = jnp.append(weight, bias)
    return jnp.sum(jnp.abs(terms)) * (1 + 2.0**-52 * (terms.size + 1))
