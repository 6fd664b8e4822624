"""The 2-layer and 3-layer networks of the separation theorems, for any activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdepth._misc import check_integer, check_key, refuse
from jaxdepth.networks._activations import activation as activation_named
from jaxdepth.networks._affine import AffineLayer, Layer, affine_layer, listed
from jaxdepth.networks._parameters import normal


class TwoLayer(eqx.Module):
    """A 2-layer network f₂(x) = Σ_{i≤w} v_i σ(⟨w_i, x⟩ + b_i), without an output bias.

    Weights, biases and v are N(0, 1/fan-in), fan-in n for the first layer and w for v.

    Under a heavy-tailed measure such as `radial.Measure` the risk of f₂ is infinite when σ grows,
    as the ReLU does: use a bounded σ there.

    Attributes:
        weight: the w_i, shape (width, in).
        bias: the b_i.
        out: the v_i.
        activation: a name or a callable.

    Args:
        in_size: n.
        width: w.
        activation: σ, a name or a callable on arrays.
        dtype: of the parameters; the default float where None.
        key: random key.

    Raises:
        ValueError: a size that is not a positive integer, an unknown activation.

    Example:
        >>> import jax
        >>> net = TwoLayer(3, 16, activation="tanh", key=jax.random.key(0))
        >>> net(jax.numpy.ones(3)).shape
        ()

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, equation (1).
    """

    weight: Float[Array, "width in"]
    bias: Float[Array, " width"]
    out: Float[Array, " width"]
    activation: str | Callable[[Any], Any] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        width: int,
        *,
        activation: str | Callable[[Any], Any] = "relu",
        dtype: Any = None,
        key: PRNGKeyArray,
    ) -> None:
        in_size, width = check_integer("in_size", in_size, 1), check_integer("width", width, 1)
        activation_named(activation)
        check_key(key)
        keys = jax.random.split(key, 3)
        self.weight = normal(keys[0], (width, in_size), dtype) / in_size**0.5
        self.bias = normal(keys[1], (width,), dtype) / in_size**0.5
        self.out = normal(keys[2], (width,), dtype) / width**0.5
        self.activation = activation

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, ""]:
        """Evaluate on one example."""
        return self.out @ activation_named(self.activation)(self.weight @ x + self.bias)

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the two affine layers; σ must be piecewise linear."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the two layers, whatever σ."""
        del argument
        out = affine_layer(self.out[None], jnp.zeros_like(self.out[:1]), 1.0)
        return (Layer(self.weight, self.bias, self.activation), out)


class ThreeLayer(eqx.Module):
    """A 3-layer network f₃(x) = Σ_i u_i σ(Σ_j V_ij σ(⟨w_j, x⟩ + b_j) + c_i).

    The neurons of the first hidden layer are shared by those of the second; the form with weights
    w_ij of its own for each i is the special case of a block matrix V. Parameters are N(0,
    1/fan-in).

    Attributes:
        weight_in: the w_j, shape (w1, in).
        bias_in: the b_j.
        weight: V, shape (w2, w1).
        bias: the c_i.
        out: the u_i.
        activation: a name or a callable.

    Args:
        in_size: the input's size.
        widths: (w1, w2), the sizes of the two hidden layers.
        activation: σ, a name or a callable on arrays.
        dtype: of the parameters; the default float where None.
        key: random key.

    Raises:
        ValueError: sizes that are not positive integers, an unknown activation.

    Example:
        >>> import jax
        >>> net = ThreeLayer(3, (16, 4), activation="sigmoid", key=jax.random.key(0))
        >>> net(jax.numpy.ones(3)).shape
        ()

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, equation (2).
    """

    weight_in: Float[Array, "w1 in"]
    bias_in: Float[Array, " w1"]
    weight: Float[Array, "w2 w1"]
    bias: Float[Array, " w2"]
    out: Float[Array, " w2"]
    activation: str | Callable[[Any], Any] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        widths: tuple[int, int],
        *,
        activation: str | Callable[[Any], Any] = "relu",
        dtype: Any = None,
        key: PRNGKeyArray,
    ) -> None:
        in_size = check_integer("in_size", in_size, 1)
        if not isinstance(widths, (tuple, list)) or len(widths) != 2:
            refuse("widths", "a pair (w1, w2)", widths)
        w1, w2 = (check_integer("widths", width, 1) for width in widths)
        activation_named(activation)
        check_key(key)
        keys = jax.random.split(key, 5)
        self.weight_in = normal(keys[0], (w1, in_size), dtype) / in_size**0.5
        self.bias_in = normal(keys[1], (w1,), dtype) / in_size**0.5
        self.weight = normal(keys[2], (w2, w1), dtype) / w1**0.5
        self.bias = normal(keys[3], (w2,), dtype) / w1**0.5
        self.out = normal(keys[4], (w2,), dtype) / w2**0.5
        self.activation = activation

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, ""]:
        """Evaluate on one example."""
        sigma = activation_named(self.activation)
        return self.out @ sigma(self.weight @ sigma(self.weight_in @ x + self.bias_in) + self.bias)

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the three affine layers; σ must be piecewise linear."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the three layers, whatever σ."""
        del argument
        return (
            Layer(self.weight_in, self.bias_in, self.activation),
            Layer(self.weight, self.bias, self.activation),
            affine_layer(self.out[None], jnp.zeros_like(self.out[:1]), 1.0),
        )
