"""A network R → R in float64, its activations told by what interval arithmetic knows of them."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Shaped

from jaxdepth._misc import check_finite, is_traced, refuse
from jaxdepth.crossings._enclosures import ENCLOSURES
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._activations import activation as activation_named, negative_slope, program
from jaxdepth.networks._affine import Layer, is_linear, layers_of
from jaxdepth.piecewise._listing import check_scalar

_LINEAR = {name: activation_named(name) for name in ("relu", "leaky_relu", "abs", "identity")}
_SMOOTH = {
    name: functools.partial(jax.nn.gelu, approximate=False)
    if name == "gelu_erf"
    else activation_named(name)
    for name in ENCLOSURES
}
_KNOWN = _LINEAR | _SMOOTH


class Step(eqx.Module):
    """The step h ↦ σ(weight·h + bias).

    Attributes:
        weight: shape (out, in).
        bias: shape (out,).
        smooth: the name of σ among the enclosures; None for another σ or none.
        slope: σ(z) = max(z, 0) + slope·min(z, 0); None for another σ or none.
        live: the units that are not padding, which outputs 0; None for all.
        active: False where the whole layer is padding and passes h on.
    """

    weight: Shaped[Array | np.ndarray, "out in"]
    bias: Shaped[Array | np.ndarray, " out"]
    smooth: str | None = eqx.field(static=True, default=None)
    slope: Any = None
    live: Bool[Array | np.ndarray, " out"] | None = None
    active: Any = None


def steps(net: Any, argument: str) -> tuple[Step, ...]:
    """List the steps of a network of one input and one output, in order of evaluation, in float64.

    Nothing stored is rounded but integers of more than 53 bits.

    Args:
        net: what `affine_layers` takes, with any activation of this library but the step function.
        argument: the name by which the caller knows it, for errors.

    Raises:
        ValueError: a network that cannot be listed so, shapes that do not fit, concrete weights
            that are not finite, or not real.
    """
    layers = layers_of(net, argument)
    check_scalar(layers, argument)
    found = tuple(_step(layer, argument) for layer in layers)
    check_finite(argument, found)
    return found


def _step(layer: AffineLayer | Layer, argument: str) -> Step:
    weight, bias = _cast(layer.weight), _cast(layer.bias)
    if is_linear(layer):
        return Step(weight, bias)
    if isinstance(layer, AffineLayer):
        return Step(weight, bias, None, _cast(layer.negative_slope))
    name = _named(layer.activation, argument)
    if name in _SMOOTH:
        return Step(weight, bias, name, None, layer.live, layer.active)
    slope = np.asarray(negative_slope(name))
    if jnp.issubdtype(layer.weight.dtype, jnp.floating):
        slope = slope.astype(layer.weight.dtype)  # as the network itself rounds it
    return Step(weight, bias, None, _cast(slope), layer.live, layer.active)


def _cast(numbers: Any) -> Any:
    return (numbers if is_traced(numbers) else np.asarray(numbers)).astype(np.float64)


@functools.cache
def _programs() -> dict[str, tuple | None]:
    return {name: program(function, jnp.float64) for name, function in _KNOWN.items()}


def _named(activation: Any, argument: str) -> str:
    """Recognise an activation by name, identity, or the program that it traces to in float64."""
    if isinstance(activation, str):
        same = [name for name in _KNOWN if name == activation and name != "gelu_erf"]
    else:
        same = [name for name in _KNOWN if _KNOWN[name] is activation]
        own = None if same else program(activation, jnp.float64)
        same = same or [name for name in _KNOWN if _programs()[name] == own]
    if not same:
        refuse(
            argument,
            f"a network of activations {', '.join(sorted(_KNOWN))}",
            activation,
            "Count a network with any other activation by `Grid`.",
        )
    return same[0]
