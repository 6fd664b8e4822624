"""The one interface that carries the theory: a network lists its layers.

`affine_layers` is the list of a piecewise linear network, `layers_of` that of any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdepth._misc import is_traced, refuse
from jaxdepth.networks._activations import is_identity, negative_slope


class AffineLayer(eqx.Module):
    """One layer h ↦ σ(weight·h + bias), with σ(z) = max(z, 0) + negative_slope·min(z, 0).

    A negative slope of 0 is a ReLU, 1 no activation at all, −1 the absolute value.

    Attributes:
        weight: shape (out, in).
        bias: shape (out,).
        negative_slope: a scalar, in the precision of the weights.

    Example:
        >>> import numpy as np
        >>> from jaxdepth.crossings import Rational, count
        >>> layer = AffineLayer(np.ones((1, 1)), np.array([-0.5]), negative_slope=-1.0)
        >>> count([layer], Rational(), level=0.25).value  # |x − ½|
        3
    """

    weight: Float[Array | np.ndarray, "out in"]
    bias: Float[Array | np.ndarray, " out"]
    negative_slope: Any


@dataclass(frozen=True)
class Layer:
    """One layer h ↦ σ(weight·h + bias), whatever σ.

    Attributes:
        weight: shape (out, in).
        bias: shape (out,).
        activation: σ, a name or a callable.
        live: the units that are not padding, which outputs 0; None for all.
        active: False where the whole layer is padding and passes h on, its weight the identity.
    """

    weight: Float[Array | np.ndarray, "out in"]
    bias: Float[Array | np.ndarray, " out"]
    activation: str | Callable[[Any], Any]
    live: Bool[Array, " out"] | None = None
    active: Bool[Array, ""] | None = None


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
    return tuple(map(_piecewise_linear, layers_of(net, argument)))


def layers_of(net: Any, argument: str) -> tuple[AffineLayer | Layer, ...]:
    """List the layers of the network that the caller knows as `argument`, whatever they are.

    Its own are what it returns by the method `listing(argument)`, whose errors name `argument`, or
    by `affine_layers()`.
    """
    if isinstance(net, (list, tuple)) and net and all(isinstance(i, AffineLayer) for i in net):
        return tuple(net)
    if hasattr(net, "listing"):
        return tuple(net.listing(argument))
    if hasattr(net, "affine_layers"):
        return tuple(net.affine_layers())
    if isinstance(net, eqx.nn.Linear):
        bias = net.bias if net.bias is not None else jnp.zeros_like(net.weight[:, 0])
        return (affine_layer(net.weight, bias, 1.0),)
    if isinstance(net, eqx.nn.MLP):
        hidden = [part for layer in net.layers[:-1] for part in (layer, net.activation)]
        return _chain([*hidden, net.layers[-1], net.final_activation], argument)
    if isinstance(net, eqx.nn.Sequential):
        return _chain(net.layers, argument)
    return refuse(
        argument,
        "a network that lists its layers: one of this library's, an eqx.nn.MLP, eqx.nn.Linear or "
        "eqx.nn.Sequential of such, or a list of AffineLayer",
        type(net).__name__,
        "Count any other function by `Grid`.",
    )


def refuse_stack(argument: str) -> NoReturn:
    """Refuse a stack of networks where one was asked for."""
    cure = "Index it, use `jax.vmap`, or count a stack by `Exact`."
    refuse(argument, "one network", "a stack of several", cure)


def is_linear(layer: AffineLayer | Layer) -> bool:
    """Say whether a layer is known to have no activation."""
    slope = layer.negative_slope if isinstance(layer, AffineLayer) else None
    return slope is not None and not is_traced(slope) and float(slope) == 1.0


def _chain(parts: Iterable[Any], argument: str) -> tuple[AffineLayer | Layer, ...]:
    """Compose listable networks and bare activations; an activation joins the layer before it."""
    layers: list[AffineLayer | Layer] = []
    for part in parts:
        part = part.fn if isinstance(part, eqx.nn.Lambda) else part
        if isinstance(part, eqx.nn.Identity):
            continue
        if isinstance(part, eqx.Module):
            layers.extend(layers_of(part, argument))
            continue
        if is_identity(part):
            continue
        if not layers:
            refuse(argument, "a network whose first step is a linear layer", part)
        last = layers[-1]
        if is_linear(last):
            layers[-1] = Layer(last.weight, last.bias, part)
        else:
            identity = jnp.eye(last.weight.shape[0], dtype=last.weight.dtype)
            layers.append(Layer(identity, jnp.zeros_like(last.bias), part))
    return tuple(layers)


def _piecewise_linear(layer: AffineLayer | Layer) -> AffineLayer:
    if isinstance(layer, AffineLayer):
        return layer
    slope: Any = negative_slope(layer.activation)
    if layer.active is not None:
        slope = jnp.where(layer.active, slope, 1.0)
    return affine_layer(layer.weight, layer.bias, slope)
