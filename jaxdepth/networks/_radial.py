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
from jaxdepth.networks._affine import AffineLayer, affine_layer


class RadialNetwork(eqx.Module):
    """A 3-layer ReLU network that computes a function of ‖x‖ as the theorem's upper bound does.

    Layer 1 approximates every x_i² by a piecewise linear q(x_i), layer 2 a profile as a function of
    Σ q(x_i), layer 3 is linear. A network of weights like any other; `from_profile` builds it.

    Attributes:
        weight_1: shape (neurons 1, dim).
        bias_1: shape (neurons 1,).
        weight_2: shape (neurons 2, neurons 1).
        bias_2: shape (neurons 2,).
        weight_3: shape (neurons 2,).
        bias_3: a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> ball = RadialNetwork.from_profile([0.9, 1.1], [1.0, 0.0], 3, radius=1.5, units=8)
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

    @classmethod
    def from_profile(
        cls,
        knots: Sequence[float] | Float[np.ndarray, " knots"] | Float[Array, " knots"],
        values: Sequence[float] | Float[np.ndarray, " knots"] | Float[Array, " knots"],
        dim: int,
        *,
        radius: float | int,
        units: int,
        dtype: Any = None,
    ) -> RadialNetwork:
        """Build the network of the profile through (knots, values), linear in ‖x‖² between them.

        Before the first knot and after the last the profile is constant. With h = radius/(units +
        ½) each coordinate has 2(units + 1) neurons, for

            q(t) = h²/8 + 2h Σ_{j≤units} relu(|t| − (j − ½)h) − 2h·units·relu(|t| − radius),

        which is t² − h²/8 at every kink: |q(t) − t²| ≤ h²/8 for |t| ≤ radius, and q is constant
        beyond. So |Σ q(x_i) − ‖x‖²| ≤ dim·h²/8 (`squares_error`) where all |x_i| ≤ radius, and
        elsewhere the output is the last value.

        Args:
            knots: Euclidean radii, increasing and non-negative.
            values: of the profile there.
            dim: the dimension of x, static.
            radius: where every q saturates; radius² − h²/8 must reach the last knot's square.
            units: kinks of q on each side before it saturates.
            dtype: of the weights; the default float where None.

        Returns:
            A network with 2·dim·(units + 1) + knots neurons.

        Raises:
            ValueError: knots negative, not as many as values, or with squares that do not increase;
                a `radius` not positive and finite, or too small; `dim` or `units` not a positive
                integer; a `dtype` that is no float.
        """
        dim, units = check_integer("dim", dim, 1), check_integer("units", units, 1)
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
        spacing = radius / (units + 0.5)
        if not radius**2 - spacing**2 / 8 >= knots[-1] ** 2:
            refuse("radius", f"so large that q reaches the last knot {knots[-1]}", radius)

        kinks = (np.arange(units + 1) + 0.5) * spacing  # the last is `radius`
        jumps = np.append(np.full(units, 2 * spacing), -2 * spacing * units)
        thresholds = knots**2
        slopes = np.diff(values) / np.diff(thresholds)
        sides = np.kron(np.eye(dim), np.repeat([1.0, -1.0], units + 1)[:, None])
        dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            refuse("dtype", "a float dtype", dtype)
        shared = np.tile(jumps, 2 * dim)
        fields = (
            sides,
            np.tile(-kinks, 2 * dim),
            np.broadcast_to(shared, (knots.size, shared.size)),
            dim * spacing**2 / 8 - thresholds,
            np.diff(slopes, prepend=0.0, append=0.0),
            values[0],
        )
        return cls(*(jnp.asarray(field, dtype) for field in fields))

    @property
    def num_neurons(self) -> int:
        """How many neurons, both hidden layers together."""
        return self.bias_1.shape[-1] + self.bias_2.shape[-1]

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, ""]:
        """Evaluate on one point, with matrix products in full precision (layer 1 cancels)."""
        highest = jax.lax.Precision.HIGHEST
        squares = jax.nn.relu(jnp.matmul(self.weight_1, x, precision=highest) + self.bias_1)
        bends = jax.nn.relu(jnp.matmul(self.weight_2, squares, precision=highest) + self.bias_2)
        return jnp.matmul(self.weight_3, bends, precision=highest) + self.bias_3

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the three affine layers."""
        return (
            affine_layer(self.weight_1, self.bias_1, 0.0),
            affine_layer(self.weight_2, self.bias_2, 0.0),
            affine_layer(self.weight_3[None], self.bias_3[None], 1.0),
        )


def squares_error(dim: int, radius: float | int, units: int) -> float:
    """Bound |Σ q(x_i) − ‖x‖²| of `RadialNetwork.from_profile` where all |x_i| ≤ radius."""
    return dim * (radius / (units + 0.5)) ** 2 / 8
