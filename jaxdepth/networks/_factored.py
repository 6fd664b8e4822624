"""A linear layer whose weight is a product: deeper to descend on, the same to call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, is_traced, refuse
from jaxdepth.networks._affine import AffineLayer, Layer, layers_of
from jaxdepth.networks._deep_linear import DeepLinear

LINEAR = (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose)


class Factored(eqx.Module):
    """A linear layer whose weight is W_N ⋯ W_1: what `overparameterize` makes of one.

    A convolution's weight is the matrix (out, in·kernel): W_1 is a convolution of its geometry, the
    other factors are linear maps on channels. A call multiplies the factors and calls the layer:
    one product of weights for a whole batch, and no activations between factors to remember. (Where
    the batch, times the positions of a convolution, is smaller than the hidden width, layer by
    layer would cost less.)

    Attributes:
        layer: the layer as it was, its weight taken out and its bias left in.
        factors: W_1, …, W_N, with `imbalance()`; hidden widths min(out, in·kernel). A stack of
            layers has the leading axes of the stack.

    Example:
        >>> import equinox as eqx, jax
        >>> from jaxdepth.networks import overparameterize
        >>> layer = overparameterize(eqx.nn.Linear(3, 2, key=jax.random.key(0)), 3)
        >>> [W.shape for W in layer.factors.layers], layer.weight.shape, layer.bias.shape
        ([(2, 3), (2, 2), (2, 2)], (2, 3), (2,))
    """

    layer: eqx.nn.Linear | eqx.nn.Conv | eqx.nn.ConvTranspose
    factors: DeepLinear

    @property
    def weight(self) -> Float[Array, "..."]:
        """The product of the factors, in the layer's own shape."""
        return self._product("factors")

    @property
    def bias(self) -> Any:
        """The layer's own bias, None where it has none."""
        return self.layer.bias

    def collapsed(self, name: str = "") -> Any:
        """Return the layer with the product of the factors for its weight.

        Args:
            name: what errors call the layer, such as its path in a model.

        Raises:
            ValueError: a filter has taken the factors out.
        """
        product = self._product(f"{name}.factors" if name else "factors")
        return eqx.tree_at(_weight, self.layer, product, is_leaf=lambda leaf: leaf is None)

    def _product(self, name: str) -> Array:
        for W in getattr(self.factors, "layers", (self.factors,)):
            if not isinstance(W, (jax.Array, np.ndarray)):
                cure = (
                    "A filter has taken the factors out: `eqx.combine` first (or, where "
                    "`eqx.nn.Shared` holds them, call it)."
                )
                refuse(name, "a DeepLinear of arrays", f"{type(W).__name__} in it", cure)
        shape = _weight_shape(self.layer)
        stacked = self.factors.layers[0].ndim - 2
        return _mapped(lambda net: net.end_to_end().reshape(shape), stacked)(self.factors)

    def __call__(self, x: Float[Array, "..."], *, key: Any = None) -> Float[Array, "..."]:
        """Call the layer on one example, of the layer's own input shape; it ignores `key`."""
        return self.collapsed()(x, key=key)

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the layer, so that a network of such layers is counted as any other."""
        return layers_of(self.collapsed(), argument)


def factored(layer: Any, depth: int, name: str) -> Factored:
    """Split a layer's weight into `depth` balanced factors; refuse, by `name`, what has none."""
    _check(layer, depth, name)
    out, *fan_in = _weight_shape(layer)

    def split(W: Array) -> DeepLinear:
        return DeepLinear.balanced_from(W.reshape(out, math.prod(fan_in)), depth)

    stacked = layer.weight.ndim - 1 - len(fan_in)
    factors = _mapped(split, stacked)(jnp.asarray(layer.weight))
    return Factored(eqx.tree_at(_weight, layer, None), factors)


def has_weight(layer: Any) -> bool:
    """Whether the weight is there: a filter may have taken it, or `eqx.nn.Shared` put it by."""
    return isinstance(layer.weight, (jax.Array, np.ndarray))


def _check(layer: Any, depth: int, name: str) -> None:
    if isinstance(layer, Factored):
        cure = "`collapse` it first, or choose other layers by `where`."
        refuse(name, "a layer that is no product yet", "an overparameterized one", cure)
    told = f"{name}.weight"
    if not has_weight(layer):
        cure = (
            "A filter has taken it out, or `eqx.nn.Shared` ties it to another place: give the "
            "whole model, and select the layer that holds the weight."
        )
        refuse(told, "an array", type(layer.weight).__name__, cure)
    if getattr(layer, "groups", 1) != 1:
        cure = (
            "Its weight is a matrix for each group, whose outputs a factor would mix. "
            "Choose other layers by `where`."
        )
        refuse(name, "a convolution of one group", f"groups={layer.groups}", cure)
    weight, shape = layer.weight, _weight_shape(layer)
    if not jnp.issubdtype(weight.dtype, jnp.floating):
        refuse(
            told, "real and floating", str(weight.dtype), "Cast it, or choose others by `where`."
        )
    if weight.shape[-len(shape) :] != shape:
        cure = "Stack layers along leading axes, as `eqx.filter_vmap` does."
        refuse(told, f"of shape (…, {', '.join(map(str, shape))})", weight.shape, cure)
    check_finite(told, weight)
    if depth == 1 or is_traced(weight):
        return
    if not np.all(np.any(np.asarray(weight) != 0, axis=tuple(range(-len(shape), 0)))):
        cure = (
            "A product of zero factors has zero gradients: descent could never leave it. Start it "
            "small and not at zero, or choose other layers by `where`."
        )
        refuse(told, "other than zero", "zeros", cure)


def _weight_shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of one layer's weight, output first, as its static fields tell it."""
    if isinstance(layer, eqx.nn.Linear):
        sizes = (layer.out_features, layer.in_features)
        return tuple(1 if size == "scalar" else int(size) for size in sizes)
    return (layer.out_channels, layer.in_channels, *layer.kernel_size)


def _weight(layer: Any) -> Any:
    return layer.weight


def _mapped(function: Callable[[Any], Any], axes: int) -> Callable[[Any], Any]:
    """Map over that many leading axes."""
    for _ in range(axes):
        function = jax.vmap(function)
    return function
