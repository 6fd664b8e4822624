"""Targets in several pieces: signs, signed shells, and free profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdepth._misc import check_finite, check_integer, check_key, in_float64, is_traced, refuse
from jaxdepth.radial._bessel import bessel_pair
from jaxdepth.radial._measure import Measure
from jaxdepth.radial._targets import (
    AbstractTarget,
    Scalar,
    Segments,
    parameter,
    stacked,
)

_MOST_PIECES = 2**14
_SAMPLES = 256  # of a shell, where it is decided whether to keep it

Row = Float[Array | np.ndarray, " _"] | Sequence[float]


class SignCosine(AbstractTarget):
    """The square wave g(z) = sign(cos(frequency·z)) for z ≤ radius, and 0 beyond.

    Args:
        frequency: at least 0, in reciprocal z units.
        radius: positive, in z units.
        pieces: how many intervals of one sign there can be, static; needed only where a tracer
            hides the numbers, and then no fewer than frequency·radius/π + ½ (with fewer, every
            floor is 0 and `unresolved`).

    Raises:
        ValueError: a concrete argument out of range, `pieces` missing or too few.

    Example:
        >>> import jax.numpy as jnp
        >>> SignCosine(4.0, 63.5).profile(jnp.array([0.0, 0.5, 1.3])).tolist()
        [1.0, -1.0, 1.0]
    """

    frequency: Scalar
    radius: Scalar
    pieces: int = eqx.field(static=True)

    def __init__(self, frequency: Any, radius: Any, *, pieces: int | None = None) -> None:
        self.frequency = parameter("frequency", frequency, positive=False)
        self.radius = parameter("radius", radius)
        if is_traced(frequency, radius):
            if pieces is None:
                refuse(
                    "pieces",
                    "given where `frequency` or `radius` is traced",
                    None,
                    "frequency·radius/π + 1 are enough.",
                )
            self.pieces = check_integer("pieces", pieces, 1)
            return
        needed = float(np.max(self.frequency)) * float(np.max(self.radius)) / math.pi + 0.5
        if not needed < _MOST_PIECES:
            refuse("frequency", f"such that there are at most {_MOST_PIECES} signs", frequency)
        # One more than it takes, lest rounding of (j − ½)π/s leave a gap before the radius.
        self.pieces = check_integer("pieces", pieces or math.floor(needed) + 1, math.ceil(needed))

    @property
    def segments(self) -> Segments:
        """±1 between the zeros (j − ½)π/frequency."""
        xp = jnp if is_traced(self.frequency, self.radius) else np
        half_waves = (np.arange(1, self.pieces + 1) - 0.5) * math.pi
        zeros = xp.minimum(half_waves / xp.maximum(self.frequency, 1e-300), self.radius)
        last = xp.where(zeros[-1] == self.radius, self.radius, math.nan)
        signs = 1.0 - 2.0 * (np.arange(self.pieces) % 2)
        return Segments(
            stacked(0.0, zeros[:-1], last),
            signs,
            signs,
            reach=3 * self.frequency,  # the second of its waves
            break_error=2.0**-50,
        )


class Shells(AbstractTarget):
    """Signed shells: g = values[i] for edges[i] < z ≤ edges[i+1], and 0 outside the outer edges.

    Args:
        edges: radii in z units, non-negative, increasing, shape (shells + 1,).
        values: of g on the shells, shape (shells,).

    Raises:
        ValueError: edges that do not increase, values not one fewer, entries not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> Shells([1.0, 2.0, 3.0], [1.0, -1.0]).profile(jnp.array([0.5, 1.5, 2.5])).tolist()
        [0.0, 1.0, -1.0]
    """

    edges: Float[Array | np.ndarray, " edges"]
    values: Float[Array | np.ndarray, " shells"]

    def __init__(self, edges: Row, values: Row) -> None:
        self.edges, self.values = _row("edges", edges), _row("values", values)
        if self.values.size != self.edges.size - 1 or not self.values.size:
            refuse("values", "one fewer than `edges`, and at least one", self.values.shape)
        _check_increasing("edges", self.edges)

    @classmethod
    def eldan_shamir16(
        cls,
        dim: int,
        *,
        alpha: float | int = 1.0,
        num_shells: int | None = None,
        key: PRNGKeyArray,
    ) -> Shells:
        """Draw the target of the paper's proof, g̃ = Σ ε_i g_i.

        The interval α√d ≤ ‖x‖ ≤ 2α√d is cut into N equal shells; g_i is the indicator of the i-th,
        kept where J_{d/2}(2πR_d‖x‖)² ≥ 1/(80πR_d‖x‖) on all of it, that is J_ν(z)² ≥ 1/(40z), and 0
        otherwise; ε_i = ±1 are fair coins. (The paper shows that some choice of them serves.)

        Args:
            dim: the dimension d.
            alpha: α, at least 1 in the paper.
            num_shells: N; d² where None, as the paper's γd² with γ = 1.
            key: random key of the signs.

        Returns:
            The shells in z units, those not kept with value 0.

        Raises:
            ValueError: `dim`, `alpha` or `num_shells` not positive.

        Example:
            >>> import jax
            >>> shells = Shells.eldan_shamir16(4, key=jax.random.key(0))
            >>> shells.values.shape, float(abs(shells.values).max())
            ((16,), 1.0)

        Reference:
            Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, proof of
            Theorem 1.
        """
        dim = check_integer("dim", dim, 1)
        num = check_integer("num_shells", dim**2 if num_shells is None else num_shells, 1)
        if num > _MOST_PIECES:
            refuse("num_shells", f"at most {_MOST_PIECES}", num)
        check_key(key)
        first = float(parameter("alpha", alpha)) * math.sqrt(dim) * Measure(dim).radius_unit
        edges = first * (1 + np.arange(num + 1) / num)
        kept = in_float64("Shells.eldan_shamir16", eqx.Partial(_kept, dim), edges)
        coins = np.asarray(jax.random.bits(key, (num,), jnp.uint32)) >> 31
        signs = 1.0 - 2.0 * coins
        return cls(edges, np.where(kept, signs, 0.0))

    @property
    def radius(self) -> Scalar:
        """The outermost edge."""
        return self.edges[-1]

    @property
    def segments(self) -> Segments:
        """Constant between the edges."""
        reach = math.pi * self.values.shape[0] / (self.edges[-1] - self.edges[0])
        return Segments(self.edges, self.values, self.values, reach=reach)


class Profile(AbstractTarget):
    """A free profile: linear in z between knots, constant before the first, 0 beyond the last.

    Knots and values may be traced and trained: certificates are differentiable in both.

    Args:
        knots: radii in z units, non-negative and increasing, shape (knots,).
        values: of g there, shape (knots,).

    Raises:
        ValueError: knots that do not increase, fewer than two, values not as many, entries not
            finite.

    Example:
        >>> import jax.numpy as jnp
        >>> Profile([1.0, 3.0], [1.0, 0.0]).profile(jnp.array([0.5, 2.0, 4.0])).tolist()
        [1.0, 0.5, 0.0]
    """

    knots: Float[Array | np.ndarray, " knots"]
    values: Float[Array | np.ndarray, " knots"]

    def __init__(self, knots: Row, values: Row) -> None:
        self.knots, self.values = _row("knots", knots), _row("values", values)
        if self.values.size != self.knots.size or self.knots.size < 2:
            refuse("values", "as many as `knots`, and at least two", self.values.shape)
        _check_increasing("knots", self.knots)

    @property
    def radius(self) -> Scalar:
        """The last knot."""
        return self.knots[-1]

    @property
    def segments(self) -> Segments:
        """Lines between the knots, and the first value up to the first of them.

        The reach is the root mean square frequency, (∫ g'²/∫ g²)^½.
        """
        xp = jnp if is_traced(self.knots, self.values) else np
        rises, runs = xp.diff(self.values), xp.diff(self.knots)
        largest = xp.maximum(xp.max(xp.abs(self.values)), 1e-300)
        rises, sizes = rises / largest, self.values / largest
        energy = xp.sum((sizes[1:] ** 2 + sizes[:-1] ** 2) * runs) / 2
        return Segments(
            stacked(0.0, self.knots),
            stacked(self.values[0], self.values[:-1]),
            self.values,
            reach=xp.sqrt(xp.sum(rises**2 / runs) / xp.maximum(energy, 1e-30)),
        )


def _row(argument: str, numbers: Any) -> Any:
    """Keep JAX arrays as they are and hold Python's numbers in full precision."""
    if not isinstance(numbers, jax.Array):
        try:
            numbers = np.asarray(numbers, np.float64)
        except (TypeError, ValueError):
            refuse(argument, "a sequence of real numbers", numbers)
    if numbers.ndim != 1 or not jnp.issubdtype(numbers.dtype, jnp.floating):
        refuse(argument, "one row of real numbers", numbers, "Stack targets by `jax.vmap`.")
    check_finite(argument, numbers)
    return numbers


def _check_increasing(argument: str, radii: Any) -> None:
    if is_traced(radii):
        return
    radii = np.asarray(radii)
    if not (radii[0] >= 0 and (np.diff(radii) > 0).all()):
        refuse(argument, "non-negative and increasing", radii)


@eqx.filter_jit
def _kept(dim: int, edges: Array) -> Array:
    """Decide which shells have J_ν(z)² ≥ 1/(40z) throughout, from samples and |J_ν'| ≤ 1.

    Between samples η apart J² falls by at most η·(|J| + η/2), and 1/z by nothing towards z smaller
    if it is taken at the shell's inner edge. A shell on the verge is not kept.
    """
    share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    width = edges[1] - edges[0]
    z = edges[:-1, None] + width * share[None, :]
    order = jnp.abs(bessel_pair(dim / 2, z)[0])
    step = width / _SAMPLES
    low = order**2 - step * (order + step / 2)
    return jnp.all(low >= 1 / (40 * edges[:-1, None]), axis=1)
