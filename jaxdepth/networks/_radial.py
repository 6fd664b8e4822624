"""The constructive 3-layer network for radial functions: squares, then the profile, then a sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, check_integer, is_traced, refuse
from jaxdepth.networks._activations import activation as activation_named
from jaxdepth.networks._affine import AffineLayer, Layer, affine_layer, listed
from jaxdepth.networks._units import PROFILING, SQUARING, check_activation, profile_units, squares

_MOST_WEIGHTS = 2**28  # of layer 2, a matrix of 2 GiB in float64


class RadialNetwork(eqx.Module):
    """A 3-layer network that computes a function of ‖x‖ as the theorem's upper bound does.

    Layer 1 approximates every x_i² by a sum q(x_i) of ReLUs, steps or sigmoids, layer 2 a profile
    as a function of s = Σ q(x_i), by units of the same kind or by Gaussians of s, and layer 3 is
    linear. A network of weights like any other; `from_profile` builds it.

    Attributes:
        weight_1: shape (neurons 1, dim).
        bias_1: shape (neurons 1,).
        weight_2: shape (neurons 2, neurons 1).
        bias_2: shape (neurons 2,).
        weight_3: shape (neurons 2,).
        bias_3: a scalar.
        activation: of layer 1, a name.
        profile: of layer 2, a name; "rbf" is e^{−a²} of the affine a.

    Example:
        >>> import jax.numpy as jnp
        >>> ball = RadialNetwork.from_profile([0.9, 1.1], [1.0, 0.0], 3, radius=1.5, units=18)
        >>> float(ball(jnp.zeros(3))), abs(float(ball(jnp.array([1.0, 1.0, 1.0])))) < 1e-5
        (1.0, True)
        >>> ball.num_neurons
        56

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, lemma 10.
    """

    weight_1: Float[Array, "neurons1 dim"]
    bias_1: Float[Array, " neurons1"]
    weight_2: Float[Array, "neurons2 neurons1"]
    bias_2: Float[Array, " neurons2"]
    weight_3: Float[Array, " neurons2"]
    bias_3: Float[Array, ""]
    activation: str = eqx.field(static=True, default="relu")
    profile: str = eqx.field(static=True, default="relu")

    @classmethod
    def from_profile(
        cls,
        knots: Sequence[float] | Float[np.ndarray, " knots"] | Float[Array, " knots"],
        values: Sequence[float] | Float[np.ndarray, " knots"] | Float[Array, " knots"],
        dim: int,
        *,
        radius: float | int,
        units: int,
        activation: str = "relu",
        profile: str | None = None,
        dtype: Any = None,
    ) -> RadialNetwork:
        """Build the network of a profile through (knots, values), constant before and after them.

        In layer 1, q is even, does not decrease with |t|, and for |t| ≤ radius

            relu:     interpolates t² − h²/8 at `units` kinks h apart, so that |q − t²| ≤ h²/8;
            step:     rounds t² by `units` steps on either side, so that
                      |q − t²| ≤ radius²/(2·units + 2);
            sigmoid:  is a pair of sigmoids of width τ = units·radius, t² up to O(t⁶/τ⁴): two
                      neurons a coordinate, whose weights of 15τ² pay for the precision;
                      |q − t²| ≤ 1.3e-4·radius²/units⁴.

        `squares_error` is dim times this, δ. So |s − ‖x‖²| ≤ δ where all |x_i| ≤ radius, and
        s ≥ radius² − δ elsewhere. As a function of s, the profile is in layer 2

            relu:     linear between the knots;
            step:     the nearest knot's value, a step in the middle of every gap;
            sigmoid:  a sigmoid in the middle of every gap, through the values at the inner knots,
                      with the outer values as limits;
            rbf:      a Gaussian at every knot, through all values; the last value is its limit on
                      both sides, so that the knots must be dense wherever it differs.

        A step is 1 at its threshold.

        Args:
            knots: Euclidean radii, increasing and non-negative.
            values: of the profile there.
            dim: the dimension of x, static.
            radius: where q need be near t² no more; radius² − δ must reach the last knot's square.
            units: how finely layer 1 resolves the squares, as above; at least 2 for ReLUs.
            activation: of layer 1, "relu", "step" or "sigmoid".
            profile: of layer 2, one of these or "rbf"; as `activation` where None.
            dtype: of the weights; the default float where None.

        Returns:
            A network with dim·units (relu), 2·dim·units (step) or 2·dim (sigmoid) neurons in layer
            1, and in layer 2 as many as knots (relu, rbf) or one fewer (step, sigmoid).

        Raises:
            ValueError: knots negative, not as many as values, or with squares that do not increase;
                a `radius` not positive and finite, or too small; `dim` or `units` not a positive
                integer; an unknown activation; a `dtype` that is no float.

        Example:
            >>> import jax.numpy as jnp
            >>> ball = RadialNetwork.from_profile(
            ...     [0.9, 1.1], [1.0, 0.0], 3, radius=1.5, units=2, activation="sigmoid")
            >>> ball.num_neurons, round(float(ball(jnp.zeros(3))), 2)
            (7, 1.0)
        """
        dim = check_integer("dim", dim, 1)
        check_activation("activation", activation, SQUARING)
        if profile is not None:
            check_activation("profile", profile, PROFILING)
        units = check_integer("units", units, 2 if activation == "relu" else 1)
        if is_traced(knots, values, radius):
            refuse("knots", "concrete, like `values` and `radius`", "a tracer")
        knots, values = np.asarray(knots, np.float64), np.asarray(values, np.float64)
        check_finite("knots", knots)
        check_finite("values", values)
        if knots.ndim != 1 or knots.size < 2 or knots[0] < 0 or not (np.diff(knots) > 0).all():
            refuse("knots", "at least two increasing, non-negative radii", knots)
        if not (np.diff(knots**2) > 0).all():
            refuse("knots", "so far apart that their squares differ in float64", knots)
        if values.shape != knots.shape:
            refuse("values", f"of the shape of `knots`, {knots.shape}", values)
        if not (radius > 0 and math.isfinite(radius)):
            refuse("radius", "positive and finite", radius)
        if not radius**2 - squares_error(dim, radius, units, activation) >= knots[-1] ** 2:
            refuse("radius", f"so large that q reaches the last knot {knots[-1]}", radius)
        dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            refuse("dtype", "a float dtype", dtype)

        q, _ = squares(activation, radius, units)
        psi = profile_units(profile or activation, knots**2, values)
        if dim * q.bias.size * psi.bias.size > _MOST_WEIGHTS:
            cure = 'Two sigmoids a coordinate resolve any square: `activation="sigmoid"`.'
            refuse("units", f"of at most {_MOST_WEIGHTS} weights in layer 2", units, cure)
        weight_2 = np.multiply.outer(psi.slope, np.tile(q.coefficient, dim))
        fields = (
            np.kron(np.eye(dim), q.slope[:, None]),
            np.tile(q.bias, dim),
            weight_2,
            psi.bias + psi.slope * dim * q.constant,
            psi.coefficient,
            psi.constant,
        )
        largest = max(float(np.max(np.abs(field))) for field in fields)
        if not largest <= float(jnp.finfo(dtype).max):
            refuse("dtype", f"one that holds the largest weight, {largest:.3g}", dtype)
        one, bias_1, two, bias_2, three, bias_3 = (jnp.asarray(field, dtype) for field in fields)
        return cls(one, bias_1, two, bias_2, three, bias_3, q.activation, psi.activation)

    @property
    def num_neurons(self) -> int:
        """How many neurons, both hidden layers together."""
        return self.bias_1.shape[-1] + self.bias_2.shape[-1]

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Evaluate on one point, with matrix products in full precision (layer 1 cancels)."""
        highest = jax.lax.Precision.HIGHEST
        sigma, rho = activation_named(self.activation), activation_named(self.profile)
        units = sigma(jnp.matmul(self.weight_1, x, precision=highest) + self.bias_1)
        nodes = rho(jnp.matmul(self.weight_2, units, precision=highest) + self.bias_2)
        return jnp.matmul(self.weight_3, nodes, precision=highest) + self.bias_3

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the three affine layers; both activations must be ReLUs."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the three layers, whatever the activations."""
        del argument
        return (
            Layer(self.weight_1, self.bias_1, self.activation),
            Layer(self.weight_2, self.bias_2, self.profile),
            affine_layer(self.weight_3[None], self.bias_3[None], 1.0),
        )


def squares_error(dim: int, radius: float | int, units: int, activation: str = "relu") -> float:
    """Bound |Σ q(x_i) − ‖x‖²| of `RadialNetwork.from_profile` where all |x_i| ≤ radius."""
    return dim * squares(activation, radius, units)[1]
