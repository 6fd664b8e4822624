"""Polynomials as deep ReLU networks: powers by products, and a sum that travels along."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import RealLike, check_finite, check_real, is_traced, refuse
from jaxdepth.networks._affine import AffineLayer, affine_layer
from jaxdepth.networks._scalar import as_float
from jaxdepth.networks._square import (
    HALVES,
    SUM_AND_DIFFERENCE,
    bending,
    check_depth,
    interpolate_product,
    reading,
)


def polynomial(
    coefficients: Sequence[float] | Float[Array, " terms"] | Float[np.ndarray, " terms"], m: int
) -> Polynomial:
    """Build the deep ReLU network that is Σ_j c_j x^j on [0, 1], within a proven error.

    Powers are chained, P_1 = x and P_{j+1} = P(x, P_j) with the network P of `product(m)`, ε =
    4^−(m+1) from a product on [0, 1]². From P_{j+1} − x^{j+1} = (P(x, P_j) − x·P_j) + x(P_j − x^j)
    and P_j ∈ [0, 1] follows |P_j − x^j| ≤ (j − 1)ε, hence a sup error of at most ε·Σ_{j≥2} (j −
    1)|c_j| (`.error`). A degree n ≥ 2 takes (n − 1)(m + 1) hidden layers of at most 9 ReLUs.

    Args:
        coefficients: c_0, …, c_n, shape (n + 1,), finite. An array of the network, and the only
            one: differentiable, trainable.
        m: sawtooths of each square, from 1 to 256, static.

    Returns:
        A network R → R: `(x)`, `.affine_layers()`, `.error`, `.num_neurons`, `.num_layers`.

    Raises:
        ValueError: `coefficients` not a vector of at least one finite real number, `m` out
            of range.

    Example:
        >>> net = polynomial([1.0, 0.0, -2.0, 1.0], 10)
        >>> abs(float(net(0.5)) - 0.625) <= net.error <= 4 / 4**11
        True
    """
    if isinstance(coefficients, (list, tuple)):
        if is_traced(coefficients):
            refuse("coefficients", "one array where it is traced", coefficients, "Use `jnp.stack`.")
        numbers = np.array([float(check_real("coefficients", c)) for c in coefficients])
        with np.errstate(over="ignore"):  # refused below
            coefficients = numbers.astype(jnp.result_type(float))
    if not isinstance(coefficients, (np.ndarray, jax.Array)):
        refuse("coefficients", "a sequence of real numbers or an array", coefficients)
    c = jnp.asarray(coefficients)
    if c.ndim != 1 or c.size == 0 or not jnp.issubdtype(c.dtype, jnp.floating):
        refuse("coefficients", "a vector of at least one float", f"{c.dtype}{list(c.shape)}")
    check_finite("coefficients", c)
    return Polynomial(c, check_depth(m))


class Polynomial(eqx.Module):
    """The network of `polynomial(coefficients, m)`.

    Attributes:
        coefficients: c_0, …, c_n.
        m: sawtooths of each square.
    """

    coefficients: Float[Array, " terms"]
    m: int = eqx.field(static=True)

    @property
    def error(self) -> Fraction:
        """Return a bound on the sup error on [0, 1], exactly; the coefficients must be concrete."""
        c = [Fraction(value) for value in self._concrete().tolist()]
        return sum((max(j - 1, 0) * abs(value) for j, value in enumerate(c)), Fraction(0)) / 4 ** (
            self.m + 1
        )

    @property
    def num_neurons(self) -> int:
        """How many ReLUs: 6 before each product and 9 in each layer of it."""
        return self._products * (6 + 9 * self.m)

    @property
    def num_layers(self) -> int:
        """How many layers, the output's included."""
        return self._products * (1 + self.m) + 1

    @property
    def _products(self) -> int:
        return max(self.coefficients.shape[0] - 2, 0)

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number, in the dtype of the coefficients."""
        c = self.coefficients
        x = as_float(x).astype(c.dtype)
        total = c[0] + c[1] * x if c.shape[0] > 1 else c[0] + 0 * x
        x = jax.nn.relu(x)

        def term(carry: tuple[Array, Array], c_j: Array) -> tuple[tuple[Array, Array], None]:
            power, total = carry
            power = interpolate_product(x, power, self.m)
            return (power, total + c_j * power), None

        (_, total), _ = jax.lax.scan(term, (x, total), c[2:])
        return total

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the layers, in float64, without rounding; the coefficients must be concrete.

        Between two products an affine readout gives (x, P_j, Σ_{i≤j} c_i P_i). One layer of 6 ReLUs
        then holds the sum and difference of x and P_j, x itself, and the signed sum in two halves;
        m layers of 9 hold the two squares and pass these three on.
        """
        c = np.append(self._concrete(), 0.0)  # a constant has c_1 = 0
        passed = np.eye(3)
        weights, biases = bending(self.m)
        first = _blocks(np.kron(np.eye(2), weights[0]) @ HALVES, passed)
        bends = [first, *(_blocks(np.kron(np.eye(2), W), passed) for W in weights[1:])]
        after = np.concatenate([np.tile(biases[0], 2), np.zeros(3)])
        split = np.concatenate(
            [
                np.pad(SUM_AND_DIFFERENCE, ((0, 0), (0, 1))),
                [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]],
            ]
        )
        power = np.concatenate([reading(self.m), -reading(self.m), np.zeros(3)])
        x, total = np.eye(9)[6], np.eye(9)[7] - np.eye(9)[8]

        read, offset = np.array([[1.0], [1.0], [c[1]]]), np.array([0.0, 0.0, c[0]])
        layers: list[AffineLayer] = []
        for c_j in c[2:-1]:
            layers.append(affine_layer(split @ read, split @ offset, 0.0))
            layers.extend(affine_layer(W, after, 0.0) for W in bends)
            read, offset = np.stack([x, power, total + c_j * power]), np.zeros(3)
        return (*layers, affine_layer(read[2:], offset[2:], 1.0))

    def _concrete(self) -> np.ndarray:
        if is_traced(self.coefficients):
            refuse("coefficients", "concrete here", "a tracer", "Call outside jit, vmap and grad.")
        return np.asarray(self.coefficients, np.float64)


def _blocks(*diagonal: np.ndarray) -> np.ndarray:
    """Set matrices along the diagonal."""
    return np.block(
        [
            [one if one is two else np.zeros((one.shape[0], two.shape[1])) for two in diagonal]
            for one in diagonal
        ]
    )
