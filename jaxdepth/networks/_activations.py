"""Activations by name, and what exact counting needs to know of the piecewise linear ones."""

from __future__ import annotations

import functools
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

# Primitives that only call what they hold. (A scan holds a function too, and calls it often.)
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}

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

    A callable counts as one of the named activations only where it traces to the same primitive
    operations on a scalar, which is a proof and not a guess from its name.
    """
    for known, slope in _NEGATIVE_SLOPE.items():
        if _is(name, known):
            return slope
    return refuse(
        "activation",
        f"piecewise linear ({', '.join(sorted(_NEGATIVE_SLOPE))}) to list affine layers",
        name,
        "Count a network with any other activation by `Grid`.",
    )


def is_identity(activation: str | Activation) -> bool:
    """Say whether an activation is the identity, by name or by what it traces to."""
    return _is(activation, "identity")


def _is(activation: str | Activation, known: str) -> bool:
    """Whether an activation is the same operations; what cannot be traced is like no other."""
    if isinstance(activation, str):
        return activation == known
    return program(activation) == _known_program(known)


@functools.cache
def _known_program(name: str) -> tuple | None:
    return program(_NAMED[name])


def program(fn: Activation, dtype: Any = jnp.float32) -> tuple | None:
    """List the primitive operations of a scalar function, plain calls written out.

    Constants are told apart as far as `dtype` does. None for what is no function of a JAX scalar.
    """
    try:
        traced = jax.make_jaxpr(fn)(jnp.zeros((), dtype)).jaxpr
    except (TypeError, ValueError, IndexError, AttributeError):
        return None
    steps: list[tuple] = []

    def walk(jaxpr: Any, inputs: list) -> list:
        env = dict(zip(jaxpr.invars, inputs, strict=True))
        env |= {variable: ("constant", str(variable)) for variable in jaxpr.constvars}

        def read(atom: Any) -> Any:
            return ("literal", float(atom.val)) if hasattr(atom, "val") else env[atom]

        for equation in jaxpr.eqns:
            operands = [read(atom) for atom in equation.invars]
            name, params = equation.primitive.name, equation.params
            inner = params.get("jaxpr", params.get("call_jaxpr")) if name in _CALLS else None
            if inner is None:
                steps.append((name, str(sorted(params.items())), *operands))
                outputs: list = [("step", len(steps), i) for i in range(len(equation.outvars))]
            else:
                outputs = walk(getattr(inner, "jaxpr", inner), operands)
            env |= dict(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    out = walk(traced, ["input"])
    return (*steps, *out)
