"""Telgarsky's sawtooth: the deep network that oscillates exponentially often."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdepth._misc import RealLike, check_integer, is_traced, refuse
from jaxdepth.networks._affine import AffineLayer, affine_layer, refuse_stack
from jaxdepth.networks._dots import ConnectTheDots
from jaxdepth.networks._scalar import as_float
from jaxdepth.networks._size import Size, check_size, or_zero

_FOLDS = 4  # in one pass over the points: a pass costs as much as a few folds


def _triangle(z: Float[Array, ""], teeth: int) -> Float[Array, ""]:
    """Evaluate the (teeth, [0, 1])-triangle, 0 outside [0, 1].

    With s teeth there are 2s pieces of slope ±2s; each ReLU turns the slope round:
        relu(2s·relu(z) + Σ_{1≤j<2s} (−1)^j · 4s·relu(z − j/(2s))).
    One tooth is the mirror map m(z) = relu(2relu(z) − 4relu(z − ½)).
    """
    total = 2 * teeth * jax.nn.relu(z)
    for j in range(1, 2 * teeth):
        total = total + (-1) ** j * 4 * teeth * jax.nn.relu(z - j / (2 * teeth))
    return jax.nn.relu(total)


class Sawtooth(eqx.Module):
    """The `depth`-fold composition of the (teeth, [0, 1])-triangle, as a ReLU network.

    It crosses ½ exactly (2·teeth)^depth times on [0, 1], so Cr = (2·teeth)^depth + 1: Telgarsky
    2016, Corollary 3.14 (`bounds.triangle_count`). As a network it has 2·depth layers of 2·teeth
    and 1 ReLUs in turn. The loop over depth is not unrolled: compile time does not grow with depth.

    Attributes:
        depth: how many triangles are composed; 0 marks a traced depth out of range.
        teeth: how many teeth one triangle has.
        max_depth: None, or the static length of the loop.

    Args:
        depth: an integer ≥ 1. It may be traced: `jax.vmap` over thousands of depths compiles once.
            A traced depth (also of a sawtooth that is an argument of a jitted function) allows
            forward-mode derivatives only, unless `max_depth` is given; out of range it gives NaN.
            A `Size` gives its `max` as `max_depth`, where that is None.
        teeth: a Python int ≥ 1.
        max_depth: a Python int that no depth exceeds: the loop becomes a masked scan of this
            length, safe for reverse mode.

    Raises:
        ValueError: a depth that is no integer or a concrete one out of range, `teeth` or
            `max_depth` no positive integer.

    Example:
        >>> float(Sawtooth(2)(0.125))
        0.5
    """

    depth: Int[Array | np.ndarray, ""]
    teeth: int = eqx.field(static=True)
    max_depth: int | None = eqx.field(static=True)

    def __init__(
        self,
        depth: int | Int[Array, ""] | Size,
        *,
        teeth: int = 1,
        max_depth: int | None = None,
    ) -> None:
        self.teeth = check_integer("teeth", teeth, 1)
        if isinstance(depth, Size) and max_depth is None:
            max_depth = depth.max
        self.max_depth = None if max_depth is None else check_integer("max_depth", max_depth, 1)
        most = self.max_depth or int(np.iinfo(np.int32).max)
        given = depth.value if isinstance(depth, Size) else depth
        most = min(depth.max, most) if isinstance(depth, Size) else most
        folds = check_size("depth", given, most)
        self.depth = or_zero(folds, most) if is_traced(folds) else np.asarray(folds, np.int32)

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number; the dtype follows `x`."""
        x = as_float(x)
        if self.max_depth is None:
            # A concrete depth makes a loop of known length, which reverse mode can walk back.
            depth = self.depth if is_traced(self.depth) else int(self.depth)
            z = jax.lax.fori_loop(0, depth, lambda _, z: _triangle(z, self.teeth), x)
            return jnp.where(self.depth >= 1, z, jnp.nan)

        def layer(z: Array, index: Array) -> tuple[Array, None]:
            return jnp.where(index < self.depth, _triangle(z, self.teeth), z), None

        z, _ = jax.lax.scan(layer, x, jnp.arange(self.max_depth, dtype=jnp.int32))
        return jnp.where(self.depth >= 1, z, jnp.nan)

    def on_points(self) -> Callable[[Float[Array, " points"]], Float[Array, " points"]]:
        """Return this network as a map of many points at once: the same values bit for bit.

        One tooth is folded in two operations. On [0, 1], m(z) = min(2z, 2 − 2z) without rounding:
        2 − 2z is exact for z ≥ ½ (Sterbenz), and below it is no less than 1, rounded or not. Over
        g folds the doubling is done beforehand, u_0 = 2^g·z:
            u_{j+1} = min(u_j, 2^(g−j) − u_j)   gives   u_j = 2^(g−j)·m^j(z).
        With ∞ in place of 2^(g−j) a fold does nothing, so that g may be less than the number of
        folds written out. What leaves [0, 1] is negative from then on, and 0 in the end.

        Returns:
            The network on points of shape (points,). Forward-mode derivatives only.

        Example:
            >>> import jax.numpy as jnp
            >>> Sawtooth(2).on_points()(jnp.array([0.0, 0.125, 0.25, 2.0])).tolist()
            [0.0, 0.5, 1.0, 0.0]
        """
        if self.teeth > 1:
            return lambda x: jax.vmap(self)(x)
        depth = jnp.asarray(self.depth)

        def trip(index: Array, z: Array) -> Array:
            folds = jnp.minimum(depth - index * _FOLDS, _FOLDS)
            power = jnp.asarray(2.0 ** np.arange(_FOLDS + 1), z.dtype)[folds]
            u = power * z
            for j in range(_FOLDS):
                reflected = jnp.where(j < folds, power / 2**j, jnp.inf) - u
                u = jnp.where(u < reflected, u, reflected)  # a NaN stays one
            return u

        def evaluate(x: Array) -> Array:
            z = jax.lax.fori_loop(0, -(-depth // _FOLDS), trip, x)
            return jnp.where(depth >= 1, jnp.where(z < 0, 0, z), jnp.nan)

        return evaluate

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the 2·depth ReLU layers, in float64; a traced depth needs `max_depth`.

        They are 2·max_depth then, the triangles past the depth replaced by the identity, which a
        ReLU is on [0, 1].
        """
        if np.ndim(self.depth):
            refuse_stack("net")
        pieces = 2 * self.teeth
        offsets = np.arange(pieces) / pieces
        turns = 2.0 * pieces * (-1.0) ** np.arange(pieces)
        turns[0] = pieces
        first = affine_layer(np.ones((pieces, 1)), -offsets, 0.0)
        second = affine_layer(turns[None, :], np.zeros(1), 0.0)
        if not is_traced(self.depth) or self.max_depth is None:
            return (first, second) * self._concrete_depth("or `max_depth` given, to list layers")
        dtype = jnp.result_type(float)
        identity = (np.arange(pieces) == 0).astype(float)
        out_of_range = jnp.where(self.depth >= 1, 0, jnp.nan).astype(dtype)
        layers = []
        for fold in range(self.max_depth):
            weight = jnp.where(fold < self.depth, turns, identity).astype(dtype) + out_of_range
            layers += [first, affine_layer(weight[None, :], np.zeros(1), 0.0)]
        return tuple(layers)

    def factors(self) -> tuple[tuple[ConnectTheDots, int], ...]:
        """Return the triangle, its breakpoints j/(2s) unrounded, and the depth, concrete."""
        pieces = 2 * self.teeth
        nodes = [Fraction(j, pieces) for j in range(pieces + 1)]
        triangle = ConnectTheDots(nodes, [j % 2 for j in range(pieces + 1)])
        return ((triangle, self._concrete_depth("to list factors")),)

    def _concrete_depth(self, purpose: str) -> int:
        if is_traced(self.depth):
            refuse("depth", f"concrete {purpose}", self.depth, "Call outside jit and vmap.")
        if np.ndim(self.depth):
            refuse_stack("net")
        if self.depth < 1:
            refuse("depth", "at least 1", "a traced depth that was out of range")
        return int(self.depth)

    def resolves(
        self,
        num_points: int,
        interval: tuple[Float[Array, ""], Float[Array, ""]],
        level: Float[Array, ""],
    ) -> Bool[Array, ""]:
        """Say whether a uniform grid provably shows every label interval of 1[f ≥ level].

        Let ε be the rounding unit of the dtype, slope = (2s)^depth, and r bound how far in x a
        label may be from that of the ideal grid point:
          - u = ε(4|end − start| + max(|start|, |end|)): an end rounded to the dtype, a point
            computed;
          - δ = 16(s+1)³ε/(2s − 1): one triangle is computed to within 16(s+1)³ε, and the errors of
            later layers are worth geometrically less in x. One tooth is computed without rounding;
          - ε·level/slope: the level rounded to the dtype.
        With r their sum, and interior label intervals at least w = 2·min(level, 1 − level)/slope
        wide, the count is right where
          - h + 2r < w, so that every interval holds a rightly labelled point;
          - h > 2r, so that at most one point is doubtful at a crossing, which it can only move;
          - neither end is doubtful: there |f − level| > 2r·slope.
        On [0, 1], at level ½ and with 2^p spacings, p ≥ depth, the points of m^depth include every
        foot and every peak, computed exactly: right also where w = h.

        Args:
            num_points: how many points, ends included.
            interval: (start, end).
            level: the level of the classifier.

        Returns:
            A boolean; False where nothing is proven.
        """
        start, end = interval
        dtype = jnp.result_type(level)
        eps = float(jnp.finfo(dtype).eps)
        folds = jnp.asarray(self.depth)
        slope = jnp.asarray(2.0 * self.teeth, dtype) ** folds.astype(dtype)
        spacing = (end - start) / (num_points - 1)
        rounding = eps * (4 * (end - start) + jnp.maximum(jnp.abs(start), jnp.abs(end)))
        layers = 0.0 if self.teeth == 1 else 16 * (self.teeth + 1) ** 3 / (2 * self.teeth - 1)
        doubt = 2 * (rounding + eps * layers + eps * jnp.abs(level) / slope)
        width = 2 * jnp.minimum(level, 1 - level) / slope
        slack = 1 - 64 * eps  # for the rounding of these very lines
        ends = jnp.minimum(jnp.abs(self(start) - level), jnp.abs(self(end) - level))
        generic = (
            (spacing + doubt < width * slack)
            & (spacing * slack > doubt)
            & (ends * slack > doubt * slope)
            & (folds >= 1)
        )
        exponent = (num_points - 1).bit_length() - 1
        if self.teeth > 1 or num_points - 1 != 2**exponent or exponent > jnp.finfo(dtype).nmant:
            return generic
        whole = (start == 0) & (end == 1) & (level == 0.5)
        return generic | whole & (folds >= 1) & (folds <= exponent)
