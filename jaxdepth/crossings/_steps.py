"""A network R → R as the affine maps and activations that it composes, whatever these are.

`affine_layers` is the list of a piecewise linear network; this is the list of any.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Shaped

from jaxdepth._misc import check_finite, is_real, is_traced, refuse
from jaxdepth.crossings._enclosures import ENCLOSURES
from jaxdepth.networks import MLP, ThreeLayer, TwoLayer
from jaxdepth.networks._activations import _program, activation as activation_named, negative_slope
from jaxdepth.networks._affine import listed, refuse_stack
from jaxdepth.networks._composition import Composition, Iterated
from jaxdepth.piecewise._on_line import Restriction

_LINEAR = {name: activation_named(name) for name in ("relu", "leaky_relu", "abs", "identity")}
_SMOOTH = {
    name: functools.partial(jax.nn.gelu, approximate=False)
    if name == "gelu_erf"
    else activation_named(name)
    for name in ENCLOSURES
}
_KNOWN = _LINEAR | _SMOOTH


class Affine(eqx.Module):
    """The step h ↦ weight·h + bias, of whatever dtype until `steps` has cast it."""

    weight: Shaped[Array | np.ndarray, "out in"]
    bias: Shaped[Array | np.ndarray, " out"]


class Activate(eqx.Module):
    """The step h ↦ σ(h), unit by unit.

    Attributes:
        name: of σ; "piecewise_linear" for max(h, 0) + slope·min(h, 0).
        slope: a scalar, None for every other σ.
        live: the units that are not padding, which outputs 0; None for all.
        active: False where the whole layer is padding and passes h on.
    """

    name: str = eqx.field(static=True)
    slope: Any = None
    live: Bool[Array | np.ndarray, " out"] | None = None
    active: Any = None


Step = Affine | Activate


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
    found = tuple(_in_float64(step, argument) for step in _steps(net, argument))
    affine = [step for step in found if isinstance(step, Affine)]
    shapes = [step.weight.shape[::-1] for step in affine]
    if any(len(shape) != 2 for shape in shapes):
        refuse_stack(argument)
    if any(one[1] != two[0] for one, two in itertools.pairwise(shapes)):
        refuse(argument, "layers whose shapes fit each other", shapes)
    if not shapes or (shapes[0][0], shapes[-1][1]) != (1, 1):
        ends = (shapes[0][0], shapes[-1][1]) if shapes else ()
        cure = "`piecewise.on_line` restricts a network of many inputs to a segment."
        refuse(argument, "a network of one input and one output", ends, cure)
    check_finite(argument, found)
    return found


def _in_float64(step: Step, argument: str) -> Step:
    def cast(numbers: Any) -> Any:
        numbers = numbers if is_traced(numbers) else np.asarray(numbers)
        if not is_real(numbers.dtype):
            refuse(argument, "a network of real weights", str(numbers.dtype))
        return numbers.astype(np.float64)

    if isinstance(step, Affine):
        return Affine(cast(step.weight), cast(step.bias))
    slope = None if step.slope is None else cast(step.slope)
    return Activate(step.name, slope, step.live, step.active)


def _steps(net: Any, argument: str) -> list[Step]:
    if isinstance(net, MLP):
        return _multilayer(net, argument)
    if isinstance(net, Restriction):
        return _restricted(net, argument)
    if isinstance(net, Composition):
        return [step for each in net.maps for step in _steps(each, argument)]
    if isinstance(net, Iterated):
        return _steps(net.net, argument) * net.times
    if isinstance(net, TwoLayer):
        out = Affine(net.out[None], np.zeros(1))
        sigma = _named(net.activation, argument, net.weight.dtype)
        return [Affine(net.weight, net.bias), sigma, out]
    if isinstance(net, ThreeLayer):
        sigma = _named(net.activation, argument, net.weight.dtype)
        out = Affine(net.out[None], np.zeros(1))
        first: list[Step] = [
            Affine(net.weight_in, net.bias_in),
            sigma,
            Affine(net.weight, net.bias),
            sigma,
        ]
        return [*first, out]
    if isinstance(net, eqx.nn.Linear):
        return [Affine(net.weight, np.zeros(len(net.weight)) if net.bias is None else net.bias)]
    if isinstance(net, eqx.nn.MLP):
        layers = [part for layer in net.layers[:-1] for part in (layer, net.activation)]
        return _chain([*layers, net.layers[-1], net.final_activation], argument)
    if isinstance(net, eqx.nn.Sequential):
        return _chain(net.layers, argument)
    if not (isinstance(net, (list, tuple)) or hasattr(net, "affine_layers")):
        refuse(
            argument,
            "a network of this library, an eqx.nn.MLP, eqx.nn.Linear or eqx.nn.Sequential of such, "
            "or a list of AffineLayer",
            type(net).__name__,
            "Count any other function by `Grid`.",
        )
    found: list[Step] = []
    for layer in listed(net, argument):
        found.append(Affine(layer.weight, layer.bias))
        if is_traced(layer.negative_slope) or float(layer.negative_slope) != 1.0:
            found.append(Activate("piecewise_linear", layer.negative_slope))
    return found


def _restricted(net: Restriction, argument: str) -> list[Step]:
    """List t ↦ (t, 1 − t) ↦ t·end + (1 − t)·start before the network's own steps."""
    xp: Any = jnp if is_traced(net.start, net.end) else np
    corners = xp.stack([xp.asarray(net.end), xp.asarray(net.start)], axis=-1)
    inner = _steps(net.net, argument)
    if net.output is not None:
        # What comes after the last linear step acts unit by unit.
        place, last = [(i, step) for i, step in enumerate(inner) if isinstance(step, Affine)][-1]
        row = slice(net.output, net.output + 1)
        inner[place] = Affine(last.weight[row], last.bias[row])
    line = Affine(np.array([[1.0], [-1.0]]), np.array([0.0, 1.0]))
    return [line, Affine(corners, np.zeros(len(corners))), *inner]


def _chain(parts: Any, argument: str) -> list[Step]:
    found: list[Step] = []
    for part in parts:
        part = part.fn if isinstance(part, eqx.nn.Lambda) else part
        if isinstance(part, eqx.nn.Identity):
            continue
        if isinstance(part, eqx.Module):
            found += _steps(part, argument)
            continue
        if not found:
            refuse(argument, "a network whose first step is a linear layer", part)
        dtype = next(step.weight.dtype for step in reversed(found) if isinstance(step, Affine))
        step = _named(part, argument, dtype)
        if step.slope is None or step.slope != 1.0:
            found.append(step)
    return found


@functools.cache
def _programs() -> dict[str, tuple]:
    return {name: _program(function, jnp.float64) for name, function in _KNOWN.items()}


def _multilayer(net: MLP, argument: str) -> list[Step]:
    """List an MLP: its active part alone, or all of it masked where the sizes are traced."""
    if net.weight_in.ndim != 2:
        refuse_stack(argument)
    sigma = _named(net.activation, argument, net.weight_in.dtype)
    weights = [net.weight_in, *net.weights]
    found: list[Step] = []
    if not is_traced(net.widths, net.depth):
        columns = net.sizes[0]
        for layer in range(int(net.depth)):
            rows = int(net.widths[layer])
            found += [Affine(weights[layer][:rows, :columns], net.biases[layer, :rows]), sigma]
            columns = rows
        return [*found, Affine(net.weight_out[:, :columns], net.bias_out)]
    identity = jnp.eye(net.biases.shape[1], dtype=net.biases.dtype)
    units = jnp.arange(net.biases.shape[1], dtype=jnp.int32)
    for layer, weight in enumerate(weights):
        active = layer < net.depth
        bias = jnp.where(active, net.biases[layer], 0)
        found += [
            Affine(jnp.where(active, weight, identity) if layer else weight, bias),
            Activate(sigma.name, sigma.slope, units < net.widths[layer], active),
        ]
    return [*found, Affine(net.weight_out, net.bias_out)]


def _named(activation: Any, argument: str, dtype: Any) -> Activate:
    """Recognise an activation by name, identity, or the program that it traces to in float64.

    A slope is rounded to `dtype`, that of the weights, as the network itself rounds it.
    """
    if isinstance(activation, str):
        same = [name for name in _KNOWN if name == activation and name != "gelu_erf"]
    else:
        same = [name for name in _KNOWN if _KNOWN[name] is activation]
        program = None if same else _program_if_any(activation)
        same = same or [name for name in _KNOWN if _programs()[name] == program]
    if not same:
        refuse(
            argument,
            f"a network of activations {', '.join(sorted(_KNOWN))}",
            activation,
            "Count a network with any other activation by `Grid`.",
        )
    if same[0] in _SMOOTH:
        return Activate(same[0])
    slope = np.asarray(negative_slope(same[0]))
    return Activate(
        "piecewise_linear", slope.astype(dtype) if jnp.issubdtype(dtype, jnp.floating) else slope
    )


def _program_if_any(activation: Any) -> tuple | None:
    try:
        return _program(activation, jnp.float64)
    except (TypeError, ValueError, IndexError, AttributeError):
        return None  # no function of a JAX scalar, or none at all
