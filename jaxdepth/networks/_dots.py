"""Maps through given rational points: the piecewise linear maps of combinatorial dynamics."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import RealLike, check_integer, check_real, is_traced, refuse
from jaxdepth.networks._affine import AffineLayer, affine_layer
from jaxdepth.networks._scalar import as_float


class ConnectTheDots(eqx.Module):
    """The continuous map R → R that is linear between given points, and constant outside them.

    The points are kept as Fractions, so that breakpoints such as 1/3, which no float holds, are
    counted exactly by `crossings.Symbolic`. As a network it is one hidden layer of ReLUs,

        f(x) = y_0 + Σ_j t_j relu(x − x_j),    t_j the turn of the slope at x_j,

    whose weights are rounded where it is evaluated and where it lists its affine layers.

    Attributes:
        nodes: x_0 < x_1 < …
        values: y_0, y_1, …

    Args:
        nodes: at least two real numbers in ascending order (ints, floats, Fractions). A node may be
            repeated together with its value.
        values: as many.

    Raises:
        ValueError: fewer than two distinct nodes, nodes that do not ascend, as many values as nodes
            missing, entries that are not finite real numbers, one node with two values.

    Example:
        >>> tent = ConnectTheDots([0, Fraction(1, 3), 1], [0, 1, 0])
        >>> round(float(tent(0.5)), 6), tent.nodes[1]
        (0.75, Fraction(1, 3))
    """

    nodes: tuple[Fraction, ...] = eqx.field(static=True)
    values: tuple[Fraction, ...] = eqx.field(static=True)

    def __init__(
        self, nodes: Sequence[Any] | np.ndarray, values: Sequence[Any] | np.ndarray
    ) -> None:
        x, y = _rationals("nodes", nodes), _rationals("values", values)
        if len(x) != len(y):
            refuse("values", f"as many as the {len(x)} nodes", len(y))
        if any(left > right for left, right in itertools.pairwise(x)):
            refuse("nodes", "in ascending order", nodes)
        dots = list(dict.fromkeys(zip(x, y, strict=True)))
        if any(left[0] == right[0] for left, right in itertools.pairwise(dots)):
            refuse("values", "one for each distinct node", values, "A jump is not continuous.")
        if len(dots) < 2:
            refuse("nodes", "at least two distinct numbers", nodes)
        self.nodes = tuple(node for node, _ in dots)
        self.values = tuple(value for _, value in dots)

    @classmethod
    def from_permutation(cls, images: Sequence[int]) -> ConnectTheDots:
        """Connect the dots (i/(p − 1), σ(i)/(p − 1)) of a permutation σ of 0, …, p − 1.

        Args:
            images: σ(0), …, σ(p − 1), p ≥ 2.

        Returns:
            The map on [0, 1], of p nodes.

        Raises:
            ValueError: not a permutation of 0, …, p − 1.

        Example:
            >>> ConnectTheDots.from_permutation([1, 2, 0]).values
            (Fraction(1, 2), Fraction(1, 1), Fraction(0, 1))
        """
        order = [check_integer("images", image, 0) for image in _entries("images", images)]
        last = len(order) - 1
        if last < 1 or sorted(order) != list(range(last + 1)):
            refuse("images", "a permutation of 0, …, p − 1 with p ≥ 2", images)
        nodes = [Fraction(i, last) for i in range(last + 1)]
        return cls(nodes, [Fraction(image, last) for image in order])

    @classmethod
    def stefan(cls, period: int) -> ConnectTheDots:
        """Connect the dots of Štefan's cycle c → c+1 → c−1 → c+2 → … → p−1 → 0 → c, c = (p−1)/2.

        Of all maps with a cycle of this odd period it oscillates least: its crossings grow at
        `bounds.periodic_growth(period)`.

        Args:
            period: p, odd, at least 3.

        Returns:
            The map on [0, 1], of `period` nodes.

        Raises:
            ValueError: a period that is even or below 3.

        Example:
            >>> ConnectTheDots.stefan(5).values == tuple(Fraction(i, 4) for i in (2, 4, 3, 1, 0))
            True

        Reference:
            Štefan, A theorem of Šarkovskii on the existence of periodic orbits of continuous
            endomorphisms of the real line, Communications in Mathematical Physics 54 (1977).
        """
        period = check_integer("period", period, 3)
        if period % 2 == 0:
            refuse("period", "odd", period)
        centre = period // 2
        orbit = [centre]
        for step in range(1, centre + 1):
            orbit += [centre + step, centre - step]
        follows = dict(zip(orbit, [*orbit[1:], centre], strict=True))
        return cls.from_permutation([follows[i] for i in range(period)])

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number; the dtype follows `x`."""
        x = as_float(x)
        offsets, turns = (jnp.asarray(weights, x.dtype) for weights in self._weights())
        return jnp.asarray(float(self.values[0]), x.dtype) + jnp.sum(
            turns * jax.nn.relu(x - offsets)
        )

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the ReLU layer and the linear one, in float64: rounded, unlike `dots`."""
        offsets, turns = self._weights()
        start = np.array([float(self.values[0])])
        return (
            affine_layer(np.ones((len(offsets), 1)), -offsets, 0.0),
            affine_layer(turns[None, :], start, 1.0),
        )

    def dots(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """Return nodes and values, all that exact arithmetic needs to know of the map."""
        return self.nodes, self.values

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        dots = list(zip(self.nodes, self.values, strict=True))
        slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(dots)]
        flat = Fraction(0)
        turns = [after - before for before, after in itertools.pairwise([flat, *slopes, flat])]
        try:
            return np.array(self.nodes, np.float64), np.array(turns, np.float64)
        except OverflowError:
            refuse(
                "values",
                "of slopes within the range of float64, to be evaluated and listed",
                "steeper ones",
                "Rescale the map, or count it by `Symbolic`, which does not round.",
            )


def _rationals(argument: str, numbers: Any) -> list[Fraction]:
    if is_traced(numbers):
        refuse(argument, "concrete", numbers, "Build the map outside jit, vmap and grad.")
    return [Fraction(check_real(argument, entry)) for entry in _entries(argument, numbers)]


def _entries(argument: str, numbers: Any) -> list[Any]:
    try:
        return list(numbers)
    except TypeError:
        refuse(argument, "a sequence of real numbers", numbers)
