"""Activations by name, and what exact counting needs to know of the piecewise linear ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import refuse

Activation = Callable[[Any], Any]


def step(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Heaviside's function, 1 for x ≥ 0."""
    return (x >= 0).astype(x.dtype)


_NAMED: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "abs": jnp.abs,
    "identity": lambda x: x,
    "step": step,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "rbf": lambda x: jnp.exp(-jnp.square(x)),
}

# σ(x) = max(x, 0) + negative_slope · min(x, 0): the activations that exact counting reads.
_NEGATIVE_SLOPE = {"relu": 0.0, "leaky_relu": 0.01, "abs": -1.0, "identity": 1.0}


def activation(name: str | Activation) -> Activation:
    """Return the activation of that name; a callable is returned as it came."""
    if isinstance(name, str) and name in _NAMED:
        return _NAMED[name]
    if isinstance(name, str) or not callable(name):
        refuse("activation", f"one of {', '.join(sorted(_NAMED))}, or a callable", name)
    return name


def negative_slope(name: str | Activation) -> float:
    """Return the slope on x < 0 of a two-piece linear activation with slope 1 on x > 0.

    Callables are recognised by identity with JAX's own (`jax.nn.relu`) or by their name.
    """
    if not isinstance(name, str):
        own = [key for key, value in _NAMED.items() if value is name]
        name = own[0] if own else getattr(name, "__name__", repr(name))
    if name not in _NEGATIVE_SLOPE:
        refuse(
            "activation",
            f"piecewise linear ({', '.join(sorted(_NEGATIVE_SLOPE))}) to list affine layers",
            name,
            "Count a network with any other activation by `Grid`.",
        )
    return _NEGATIVE_SLOPE[name]
