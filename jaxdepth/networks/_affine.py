"""The one interface that carries the theory: a piecewise linear network lists its affine layers."""

from __future__ import annotations

from typing import Any, NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import is_traced, refuse
from jaxdepth.networks._activations import negative_slope


class AffineLayer(eqx.Module):
    """One layer h ↦ σ(weight·h + bias), with σ(z) = max(z, 0) + negative_slope·min(z, 0).

    A negative slope of 0 is a ReLU, 1 no activation at all, −1 the absolute value.

    Attributes:
        weight: shape (out, in).
        bias: shape (out,).
        negative_slope: a scalar, in the precision of the weights.
    """

    weight: Float[Array | np.ndarray, "out in"]
    bias: Float[Array | np.ndarray, " out"]
    negative_slope: Any


def affine_layer(weight: Any, bias: Any, slope: Any) -> AffineLayer:
    """Build an `AffineLayer` whose slope is rounded as the network itself rounds it."""
    slope = slope if is_traced(slope) else np.asarray(slope)
    rounds = jnp.issubdtype(weight.dtype, jnp.floating)
    return AffineLayer(weight, bias, slope.astype(weight.dtype) if rounds else slope)


def affine_layers(net: Any) -> tuple[AffineLayer, ...]:
    """List the affine layers of a piecewise linear network, in order of evaluation.

    Args:
        net: a network of this library (anything with a method `affine_layers()`), an `eqx.nn.MLP`,
            `eqx.nn.Linear`, or an `eqx.nn.Sequential` of these and of `eqx.nn.Lambda` activations;
            or a list of `AffineLayer` as it is.

    Returns:
        A tuple of `AffineLayer`; the network is their composition.

    Raises:
        ValueError: a network that cannot be listed so, or an activation that is not piecewise
            linear.

    Example:
        >>> import equinox as eqx, jax
        >>> net = eqx.nn.MLP(1, 1, width_size=4, depth=2, key=jax.random.key(0))
        >>> [layer.weight.shape for layer in affine_layers(net)]
        [(4, 1), (4, 4), (1, 4)]
    """
    return listed(net, "net")


def listed(net: Any, argument: str) -> tuple[AffineLayer, ...]:
    """List the affine layers of the network that the caller knows as `argument`."""
    if isinstance(net, (list, tuple)) and net and all(isinstance(i, AffineLayer) for i in net):
        return tuple(net)
    if hasattr(net, "affine_layers"):
        return tuple(net.affine_layers())
    if isinstance(net, eqx.nn.Linear):
        bias = net.bias if net.bias is not None else jnp.zeros_like(net.weight[:, 0])
        return (affine_layer(net.weight, bias, 1.0),)
    if isinstance(net, eqx.nn.MLP):
        hidden = [(layer, net.activation) for layer in net.layers[:-1]]
        chain = [step for pair in hidden for step in pair]
        return _chain([*chain, net.layers[-1], net.final_activation], argument)
    if isinstance(net, eqx.nn.Sequential):
        steps = [step.fn if isinstance(step, eqx.nn.Lambda) else step for step in net.layers]
        return _chain(steps, argument)
    return refuse(
        argument,
        "a piecewise linear network: one of this library's, an eqx.nn.MLP, eqx.nn.Linear or "
        "eqx.nn.Sequential of such, or a list of AffineLayer",
        type(net).__name__,
        "Count any other function by `Grid`.",
    )


def refuse_stack(argument: str) -> NoReturn:
    """Refuse a stack of networks where one was asked for."""
    cure = "Index it, use `jax.vmap`, or count a stack by `Exact`."
    refuse(argument, "one network", "a stack of several", cure)


def _chain(steps: list[Any], argument: str) -> tuple[AffineLayer, ...]:
    """Compose listable networks and bare activations; an activation joins the layer before it."""
    layers: list[AffineLayer] = []
    for step in steps:
        if isinstance(step, eqx.nn.Identity):
            continue
        if isinstance(step, eqx.Module):
            layers.extend(listed(step, argument))
            continue
        slope = negative_slope(step)
        if slope == 1.0:
            continue
        if not layers:
            refuse(argument, "a network whose first step is a linear layer", step)
        last = layers[-1]
        if float(last.negative_slope) == 1.0:
            layers[-1] = affine_layer(last.weight, last.bias, slope)
        else:
            identity = jnp.eye(last.weight.shape[0], dtype=last.weight.dtype)
            layers.append(affine_layer(identity, jnp.zeros_like(last.bias), slope))
    return tuple(layers)
