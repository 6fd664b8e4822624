"""A network of many inputs along a line, as a network R → R."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxdepth._misc import (
    RealLike,
    check_finite,
    check_integer,
    is_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._affine import Layer, affine_layer, layers_of, listed


class Restriction(eqx.Module):
    """A network restricted to a line: t ↦ net(t·end + (1 − t)·start), made by `on_line`.

    Attributes:
        net: the network.
        start: the point at t = 0, shape (in,), in the precision of the network.
        end: the point at t = 1, likewise.
        output: which output, None where there is only one.

    Example:
        >>> import numpy as np
        >>> diagonal = on_line(lambda x: x.sum(), np.zeros(2), np.ones(2))
        >>> float(diagonal(0.5)), diagonal.output
        (1.0, None)
    """

    net: Any
    start: Float[Array | np.ndarray, " in"]
    end: Float[Array | np.ndarray, " in"]
    output: int | None = eqx.field(static=True)

    def __call__(self, t: RealLike) -> Float[Array, ""]:
        """Evaluate at one t, in the precision of the network; both ends are hit exactly."""
        t = jnp.asarray(t).astype(self.start.dtype)
        if t.ndim:
            refuse("t", "a scalar", t.shape, "Batch by `jax.vmap`.")
        value = self.net(t * jnp.asarray(self.end) + (1 - t) * jnp.asarray(self.start))
        return jnp.reshape(value if self.output is None else value[self.output], ())

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the affine layers; those of the network must be."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List two linear layers, t ↦ (t, 1 − t) ↦ t·end + (1 − t)·start, before the network's own.

        These weights are the stored points themselves, with no rounded difference end − start.
        """
        dtype = self.start.dtype
        coordinates = affine_layer(
            np.array([[1], [-1]], dtype), np.array([0, 1], dtype), np.array(1, dtype)
        )
        xp: Any = jnp if is_traced(self.start, self.end) else np  # NumPy rounds no stored float64
        corners = xp.stack([xp.asarray(self.end), xp.asarray(self.start)], axis=-1)
        point = affine_layer(corners, xp.zeros_like(corners[..., 0]), 1.0)
        *inner, last = layers_of(self.net, argument)
        if self.output is not None:
            row = slice(self.output, self.output + 1)
            weight, bias = last.weight[..., row, :], last.bias[..., row]
            last = replace(last, weight=weight, bias=bias)
        return (coordinates, point, *inner, last)


def on_line(
    net: Any,
    start: Real[Array | np.ndarray, " in"],
    end: Real[Array | np.ndarray, " in"],
    *,
    output: int | None = None,
) -> Restriction:
    """Restrict a network of any input size to the line through two points.

    The result is the network R → R t ↦ net(t·end + (1 − t)·start), the segment being t in [0, 1].
    It lists its affine layers where `net` does, so that every way of counting and `pieces` work
    along any line of any input space, exactly for the stored points: barycentric coordinates round
    no difference. Works under `vmap` over segments.

    Args:
        net: any callable of shape (in,) → (out,) or (in,) → (); exact methods need one that lists
            its affine layers (`networks.affine_layers`).
        start: the point at t = 0, shape (in,), finite; rounded to the precision of the network.
        end: the point at t = 1. Equal points give a constant.
        output: which output to follow, where the network has several.

    Returns:
        A `Restriction`, an Equinox module of shape () → ().

    Raises:
        ValueError: points of different shape or of another than the network's, NaN or infinite, a
            network of several outputs and none named, an output out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxdepth.networks import MLP
        >>> from jaxdepth.piecewise import pieces
        >>> net = MLP((64, 16, 16, 10), key=jax.random.key(0))
        >>> path = on_line(net, jnp.zeros(64), jnp.ones(64), output=3)
        >>> pieces(path).num > 1, bool(path(1.0) == net(jnp.ones(64))[3])
        (True, True)
    """
    dtype = working_dtype(net)
    start, end = _point("start", start, dtype), _point("end", end, dtype)
    if start.shape != end.shape:
        refuse("end", f"of the shape of `start`, {start.shape}", end.shape)
    if not callable(net):
        refuse("net", "a network that can be called on a point", type(net).__name__)
    try:
        value = jax.eval_shape(net, jax.ShapeDtypeStruct(start.shape, dtype))
    except (TypeError, ValueError, IndexError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        refuse("start", "a point of the network's input space", start.shape, reason)
    if not hasattr(value, "shape") or len(value.shape) > 1 or not is_real(value.dtype):
        refuse("net", "a network with outputs of shape (out,) or ()", value)
    if output is not None:
        if not value.shape:
            refuse("output", "None for a network of one output", output)
        output = check_integer("output", output, 0, value.shape[0] - 1)
    elif value.size != 1:
        refuse(
            "net", "a network of one output", value.shape, "Name the one to follow by `output=`."
        )
    return Restriction(net, start, end, output)


def _point(argument: str, value: Any, dtype: Any) -> Any:
    if not isinstance(value, (np.ndarray, np.generic, jax.Array)):
        refuse(argument, "an array, a point of the network's input space", value)
    if value.ndim != 1 or not is_real(value.dtype):
        refuse(argument, "a real point of shape (in,)", (value.shape, str(value.dtype)))
    check_finite(argument, value)
    with np.errstate(over="ignore"):  # refused below
        rounded = value.astype(dtype)
    check_finite(argument, rounded)
    return rounded
