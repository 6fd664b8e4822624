"""Squares and products as deep ReLU networks, built from sawtooths.

With m the mirror map and m^s its s-fold composition, f_m(x) = x − Σ_{s≤m} m^s(x)/4^s interpolates
x² at the dyadic points i/2^m of [0, 1] and is affine between them. For let f interpolate at points
h = 2^(1−s) apart. At their middles it is h²/4 = 4^−s too high, and m^s is 1 at exactly these and 0
at the points themselves: subtracting m^s/4^s puts every middle right. A chord of x² of length 2^−m
is at most 4^−(m+1) too high and nowhere too low, so 0 ≤ f_m − x² ≤ 4^−(m+1), with equality at every
middle.

Reference:
    @article{yarotsky2017error,
      title={Error bounds for approximations with deep {ReLU} networks}, author={Yarotsky, Dmitry},
      journal={Neural Networks}, volume={94}, pages={103--114}, year={2017}}
"""

from __future__ import annotations

from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import RealLike, check_integer, refuse
from jaxdepth.networks._affine import AffineLayer, affine_layer
from jaxdepth.networks._scalar import as_float


def square(m: int) -> Square:
    """Build the network of m hidden layers of 3 ReLUs that is x² on [0, 1] within 4^−(m+1).

    Sup norm, attained (Yarotsky 2017, Proposition 2). It has 2^m affine pieces; with so many ReLUs
    in one hidden layer no network does better than `bounds.square_error_lower(3m + 1)`.

    Args:
        m: how many sawtooths are summed, from 1 to 256, static.

    Returns:
        A network R → R: `(x)`, `.affine_layers()`, `.error`, `.num_neurons`, `.num_layers`. Outside
        [0, 1] it is 0 on the left and affine on the right.

    Raises:
        ValueError: `m` out of range.

    Example:
        >>> net = square(6)
        >>> float(net(0.375)), net.error, net.num_neurons
        (0.140625, Fraction(1, 16384), 18)
    """
    return Square(check_depth(m))


def product(m: int) -> Product:
    """Build the network that is x·y on [0, 1]² within ±4^−(m+1), with m + 1 hidden layers.

    Yarotsky 2017, Proposition 3, in the form xy = ((x + y)/2)² − (|x − y|/2)²: both arguments lie
    in [0, 1], and two errors in [0, 4^−(m+1)] are subtracted. Attained at x = y = 2^−(m+1).

    Args:
        m: sawtooths of each square, from 1 to 256, static.

    Returns:
        A network R² → R: `(x)` with x of shape (2,), `.affine_layers()`, `.error`, `.num_neurons`,
        `.num_layers`.

    Raises:
        ValueError: `m` out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> net = product(8)
        >>> abs(float(net(jnp.array([0.3, 0.7]))) - 0.21) <= net.error
        True
    """
    return Product(check_depth(m))


class Square(eqx.Module):
    """The network of `square(m)`.

    Attributes:
        m: how many sawtooths are summed, and how many hidden layers there are.
    """

    m: int = eqx.field(static=True)

    @property
    def error(self) -> Fraction:
        """Return sup |f_m(x) − x²| on [0, 1], exactly."""
        return Fraction(1, 4 ** (self.m + 1))

    @property
    def num_neurons(self) -> int:
        """How many ReLUs."""
        return 3 * self.m

    @property
    def num_layers(self) -> int:
        """How many layers, the output's included."""
        return self.m + 1

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number; the dtype follows `x`."""
        return interpolate_square(as_float(x), self.m)

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the m + 1 layers, in float64; every weight is a dyadic number."""
        bends = [affine_layer(W, b, 0.0) for W, b in zip(*bending(self.m), strict=True)]
        return (*bends, affine_layer(reading(self.m)[None], np.zeros(1), 1.0))


class Product(eqx.Module):
    """The network of `product(m)`.

    Attributes:
        m: sawtooths of each of the two squares.
    """

    m: int = eqx.field(static=True)

    @property
    def error(self) -> Fraction:
        """Return sup |P(x, y) − xy| on [0, 1]², exactly."""
        return Fraction(1, 4 ** (self.m + 1))

    @property
    def num_neurons(self) -> int:
        """How many ReLUs: 3 for (x + y)/2 and |x − y|/2, and two squares."""
        return 3 + 6 * self.m

    @property
    def num_layers(self) -> int:
        """How many layers, the output's included."""
        return self.m + 2

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, ""]:
        """Evaluate on one pair."""
        if jnp.shape(x) != (2,):
            refuse("x", "of shape (2,)", jnp.shape(x), "Batch by `jax.vmap`.")
        return interpolate_product(x[0], x[1], self.m)

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the m + 2 layers, in float64; every weight is a dyadic number."""
        turn = affine_layer(SUM_AND_DIFFERENCE, np.zeros(3), 0.0)
        two = np.eye(2)
        weights, biases = bending(self.m)
        weights = [np.kron(two, weights[0]) @ HALVES, *(np.kron(two, W) for W in weights[1:])]
        bends = [affine_layer(W, np.tile(b, 2), 0.0) for W, b in zip(weights, biases, strict=True)]
        out = np.kron([1.0, -1.0], reading(self.m))
        return (turn, *bends, affine_layer(out[None], np.zeros(1), 1.0))


def check_depth(m: int) -> int:
    """Return m as an int in a range where 4^−m, a weight of the network, is a float64."""
    return check_integer("m", m, 1, 256)


def interpolate_square(x: Float[Array, "*shape"], m: int) -> Float[Array, "*shape"]:
    """Evaluate f_m, entry by entry, as the ReLU network does.

    The s-th hidden layer holds relu(z), relu(z − ½) and relu(f), z = m^(s−1)(x) and f = f_{s−1}(x);
    f ≥ 0, so that the third ReLU only passes it on.
    """

    def layer(s: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        del s
        z, f, scale = carry
        z = 2 * jax.nn.relu(z) - 4 * jax.nn.relu(z - 0.5)
        scale = scale / 4
        return z, jax.nn.relu(f) - scale * z, scale

    return jax.lax.fori_loop(0, m, layer, (x, x, jnp.ones((), x.dtype)))[1]


def interpolate_product(x: Float[Array, ""], y: Float[Array, ""], m: int) -> Float[Array, ""]:
    """Evaluate P(x, y) = f_m((x + y)/2) − f_m(|x − y|/2), which lies in [0, 1] where x and y do.

    For f_m increases from 0 to 1 there, and |x − y| ≤ x + y.
    """
    sum_and_difference = jnp.stack([(x + y) / 2, jnp.abs(x - y) / 2])
    squares = interpolate_square(sum_and_difference, m)
    return squares[0] - squares[1]


# (x, y) ↦ (x + y)/2 and the two halves of |x − y|/2, before their ReLUs; and what collects them.
SUM_AND_DIFFERENCE = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5]])
HALVES = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])


def bending(m: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the weights and biases of the hidden layers of f_m: x, then (relu z, relu(z−½), f)."""
    z = np.array([2.0, -4.0, 0.0])
    weights = [np.ones((3, 1)), *(np.stack([z, z, reading(s)]) for s in range(1, m))]
    return weights, [np.array([0.0, -0.5, 0.0])] * m


def reading(s: int) -> np.ndarray:
    """Return the row that reads f_s = f_{s−1} − m^s/4^s from the s-th hidden layer."""
    return np.array([-2 / 4.0**s, 4 / 4.0**s, 1.0])
