"""Theorem 2 as a number: the integral of depth's field along a closed curve."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdepth._misc import (
    check_finite,
    check_integer,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.dynamics._end_to_end import Depth, check_depth
from jaxdepth.dynamics._field import check_loss, field_of

_dot = functools.partial(jnp.matmul, precision="highest")

Loss = Callable[[Any], Any]
Piece = Callable[[Any], Any]


class ContourResult(eqx.Enumeration):
    """What a closed curve says of the field.

    Example:
        >>> ContourResult[ContourResult.not_a_gradient]
        'the integral exceeds its error: the field is the gradient of no function'
    """

    not_a_gradient: Any = "the integral exceeds its error: the field is the gradient of no function"
    undecided: Any = (
        "zero within its error: this curve does not tell the field from a gradient, which it is at "
        "N = 1, and at N = 2 for linear and isotropic quadratic losses of one output"
    )
    not_finite: Any = "a NaN or an infinity along the curve"


class Contour(eqx.Module):
    """The integral of F along a closed curve.

    Attributes:
        value: ∮ F·dW.
        error: estimate of its error: how far a rule of half the order is away, and rounding.
        pieces: the integral along each piece.
        trusted: whether `value` is finite and within 1e-3 of the sum of |pieces|, by `error`.
        result: a `ContourResult`; the estimate decides, so that this is evidence and not proof.

    Example:
        >>> import jax.numpy as jnp
        >>> answer = contour_integral(lambda w: w[0], 1, 0.5, 1.0, shape=2)
        >>> round(abs(float(answer.value)), 4), answer.pieces.shape
        (0.0, (4,))
    """

    value: Float[Array, ""]
    error: Float[Array, ""]
    pieces: Float[Array, " pieces"]
    trusted: Bool[Array, ""]
    result: Any


class Straight(eqx.Module):
    """The straight line from one multiple of `along` to another, of one sign, each octave alike."""

    start: Float[Array, ""]
    end: Float[Array, ""]
    along: Float[Array, "..."]

    def __call__(self, t: Float[Array, ""]) -> Float[Array, "..."]:
        """Return the point at t of [0, 1]: multiples in geometric progression."""
        t = jnp.asarray(t).astype(self.along.dtype)
        return self.start * (self.end / self.start) ** t * self.along


class HalfCircle(eqx.Module):
    """The half circle about 0 from `start` through `through` to −`start`."""

    start: Float[Array, "..."]
    through: Float[Array, "..."]

    def __call__(self, t: Float[Array, ""]) -> Float[Array, "..."]:
        """Return the point at t of [0, 1], at a constant speed."""
        t = jnp.asarray(t).astype(self.start.dtype)
        return jnp.cos(jnp.pi * t) * self.start + jnp.sin(jnp.pi * t) * self.through


def paper_curve(
    e: Float[Array, "*shape"],
    toward: Float[Array, "*shape"],
    r: float | Float[Array, ""],
    R: float | Float[Array, ""],
) -> tuple[Straight, HalfCircle, Straight, HalfCircle]:
    """Return Theorem 2's closed curve: −Re → −re, half circle r, re → Re, half circle R back.

    Args:
        e: a unit vector or matrix.
        toward: a unit one orthogonal to e: both half circles pass through its multiples.
        r: the small radius, positive.
        R: the large radius.

    Returns:
        Four callables of t in [0, 1], for `circulation`; their points have the wider dtype of e and
        `toward`.

    Raises:
        ValueError: r not below R or not positive, shapes that differ, vectors that are not unit or
            not orthogonal, to the square root of their rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> curve = paper_curve(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 1.0, 2.0)
        >>> [float(piece(jnp.array(0.0))[0]) for piece in curve]
        [-2.0, -1.0, 1.0, 2.0]

    Reference: Arora, Cohen & Hazan (2018), proof of Theorem 2.
    """
    r, R = _check_radii(r, R)
    e, toward = jnp.asarray(e), jnp.asarray(toward)
    dtype = working_dtype(e, toward)
    e, toward, r, R = (jnp.asarray(each).astype(dtype) for each in (e, toward, r, R))
    if toward.shape != e.shape:
        refuse("toward", f"of e's shape {e.shape}", toward.shape)
    if not is_traced(e, toward):
        tolerance = float(jnp.finfo(dtype).eps) ** 0.5
        if not abs(float((e**2).sum()) - 1) <= tolerance:
            refuse("e", "of norm 1", e)
        if not max(abs(float((toward**2).sum()) - 1), abs(float((e * toward).sum()))) <= tolerance:
            refuse("toward", "of norm 1 and orthogonal to e", toward)
    return (
        Straight(-R, -r, e),
        HalfCircle(-r * e, r * toward),
        Straight(r, R, e),
        HalfCircle(R * e, R * toward),
    )


def circulation(loss: Loss, depth: Depth, curve: Sequence[Piece], *, order: int = 48) -> Contour:
    """Integrate F(W) = P_W[∇L(W)] along a closed curve of smooth pieces.

    By Gauss-Legendre on each piece, geometrically convergent where the piece and the field along
    it are analytic. Where the rank of W drops (at 0, for one output) the field has a kink, and
    convergence is slow: let a piece end there.

    Args:
        loss: as in `field`.
        depth: N ≥ 1, an integer or real number, static or traced.
        curve: callables of t in [0, 1] to points of W's shape, each beginning where the one before
            it ends, and the first where the last does. Modules share one compilation.
        order: nodes on each piece, at least 4.

    Returns:
        A `Contour`, differentiable in the arrays of `loss` and `curve` and in `depth`.

    Raises:
        ValueError: no piece, a curve that is not closed, an order below 4, otherwise as `field`.

    Example:
        >>> import jax.numpy as jnp
        >>> def circle(t):
        ...     return jnp.array([jnp.cos(2 * jnp.pi * t), jnp.sin(2 * jnp.pi * t) + 2.0])
        >>> answers = [circulation(lambda w: w[0], N, [circle]) for N in (1, 2, 4)]
        >>> [round(abs(float(answer.value)), 3) for answer in answers]
        [0.0, 0.0, 6.506]

    Reference: Arora, Cohen & Hazan (2018), Theorem 2.
    """
    order = check_integer("order", order, 4)
    check_depth(depth)
    curve = tuple(curve)
    if not curve or not all(map(callable, curve)):
        refuse("curve", "callables of t, one at least", curve)
    _check_closed(curve)
    start = curve[0](jnp.zeros(()))
    check_loss(loss, start)
    return _integrate(loss, curve, jnp.asarray(depth).astype(start.dtype), order)


def contour_integral(
    loss: Loss,
    depth: Depth,
    r: float | Float[Array, ""],
    R: float | Float[Array, ""],
    *,
    shape: int | tuple[int, ...],
    toward: Float[Array, "..."] | None = None,
    order: int = 48,
) -> Contour:
    r"""Integrate F along Theorem 2's curve: not 0, therefore no regulariser gives the acceleration.

    With e = ∇L(0)/‖∇L(0)‖ the curve runs −Re → −re, a half circle of radius r, re → Re, and a half
    circle of radius R back. The theorem is of one output (or one input): for N > 2 and small enough
    R the integral is not 0, be the second direction what it may; `constant_gradient_integral` is
    its leading term, of order R^{3−2/N}, and all of it where the loss is quadratic: the Hessian's
    share of the curl turns twice on a half circle and cancels. Outside the hypothesis: at N = 1 the
    integral is 0 for every loss; between 1 and 2 it is negative for small R; at N = 2 it is 0 for
    every quadratic loss, though F is a gradient for isotropic ones alone, as `curl` and other
    curves show. What has come out is told by `result`.

    Several inputs and outputs are integrated just so, but only N = 1 is as above: at any N > 2 a
    direction may give 0 exactly (L = tr W toward diag(1, −1)), and at N = 2 F is no gradient of the
    linear losses, though this curve may give 0. An integral that is not 0 decides in any case.

    Args:
        loss: as in `field`, with ∇L(0) ≠ 0.
        depth: N ≥ 1, an integer or real number, static or traced.
        r: the small radius, positive; may be traced.
        R: the large radius; may be traced.
        shape: of W: d or (d,) for one output, or (m, n); two entries at least.
        toward: the second direction, of that shape; its part orthogonal to e is taken. By default
            the axis furthest from e.
        order: as in `circulation`.

    Returns:
        A `Contour`, differentiable in `loss`, depth and radii.

    Raises:
        ValueError: r not below R or not positive, ∇L(0) = 0, `toward` parallel to it, fewer than
            two entries (on a line every field is a gradient), otherwise as `circulation`.

    Example:
        >>> import jax.numpy as jnp
        >>> answer = contour_integral(lambda w: w[0], 4, 0.5, 1.0, shape=2)
        >>> round(float(answer.value), 4), round(constant_gradient_integral(1.0, 4, 0.5, 1.0), 4)
        (0.9879, 0.9879)
        >>> answer.result == ContourResult.not_a_gradient
        Array(True, dtype=bool)

    Reference: Arora, Cohen & Hazan (2018), Theorem 2.
    """
    check_depth(depth)
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    shape = tuple(check_integer("shape", size, 1) for size in sizes)
    if len(shape) not in (1, 2) or np.prod(shape) < 2:
        refuse("shape", "d or (m, n), two entries at least", shape, "A line has no closed curve.")
    zero = jnp.zeros(shape, working_dtype() if toward is None else working_dtype(toward))
    check_loss(loss, zero)
    e, second = _plane(jax.grad(loss)(zero), toward)
    return circulation(loss, depth, paper_curve(e, second, r, R), order=order)


def constant_gradient_integral(
    gradient_norm: float | Float[Array, ""],
    depth: Depth,
    r: float | Float[Array, ""],
    R: float | Float[Array, ""],
) -> Any:
    r"""Return ∮F along Theorem 2's curve for one output and a constant gradient G, in closed form.

    On the axis F = N|x|^{2−2/N}G; on a half circle Claim 2's projection is orthogonal to the
    curve, and only ‖w‖^{2−2/N}G counts. Together

        2‖G‖(R^{3−2/N} − r^{3−2/N})(N−1)(N−2)/(3N−2):

    0 at N = 1 and 2, negative between, positive beyond, and 2‖G‖(R³ − r³)·N/3 for large N.

    Args:
        gradient_norm: ‖G‖, at least 0.
        depth: N ≥ 1, an integer or real number, static or traced.
        r: the small radius, positive.
        R: the large radius.

    Returns:
        The integral: a Python float, exact to rounding, or an array where an argument is one.

    Raises:
        ValueError: r not below R or not positive, a negative or non-finite norm, depth below 1.

    Example:
        >>> [round(constant_gradient_integral(1.0, N, 0.5, 1.0), 4) for N in (1, 1.5, 2, 3)]
        [0.0, -0.137, 0.0, 0.458]

    Reference: derived from Arora, Cohen & Hazan (2018), proof of Theorem 2.
    """
    check_depth(depth)
    r, R = _check_radii(r, R)
    gradient_norm = check_real("gradient_norm", gradient_norm)
    if not is_traced(gradient_norm) and gradient_norm < 0:
        refuse("gradient_norm", "at least 0", gradient_norm)
    power = 3 - 2 / depth
    bend = (depth - 1) * (depth - 2) / (3 * depth - 2)
    return 2 * gradient_norm * (R**power - r**power) * bend


def _check_radii(r: Any, R: Any) -> tuple[Any, Any]:
    r, R = check_real("r", r), check_real("R", R)
    if not is_traced(r) and not r > 0:
        refuse("r", "positive", r, "The curve goes around 0, where the field has a kink.")
    if not is_traced(r, R) and not r < R:
        refuse("R", f"larger than r={r}", R)
    return r, R


def _check_closed(curve: tuple[Piece, ...]) -> None:
    ends = [(piece(jnp.zeros(())), piece(jnp.ones(()))) for piece in curve]
    shape = jnp.shape(ends[0][0])
    if len(shape) not in (1, 2) or any(
        jnp.shape(point) != shape for pair in ends for point in pair
    ):
        refuse("curve", "of points of one shape (d,) or (m, n)", [jnp.shape(a) for a, _ in ends])
    if is_traced(ends):
        return
    check_finite("curve", ends)
    size = max(float(jnp.abs(point).max()) for pair in ends for point in pair)
    slack = 1e3 * float(jnp.finfo(ends[0][0].dtype).eps) * size
    for (_, end), (start, _) in zip(ends, [*ends[1:], ends[0]], strict=True):
        if float(jnp.abs(end - start).max()) > slack:
            refuse("curve", "closed", f"a jump from {end} to {start}")


def _plane(G: Array, toward: Any) -> tuple[Array, Array]:
    """Return e = G/‖G‖ and the unit vector orthogonal to it in the plane that they span."""
    largest = jnp.abs(G).max()  # by which G, however large or small, has a square
    if not is_traced(largest) and not largest > 0:
        refuse("loss", "of gradient different from 0 at W = 0", 0.0, "It is the theorem's premise.")
    e = _unit(G / largest)
    if toward is None:
        axis = jnp.argmin(jnp.abs(e.ravel()))
        second = (jnp.arange(e.size) == axis).astype(e.dtype).reshape(e.shape)
    else:
        second = jnp.asarray(toward).astype(e.dtype)
        if second.shape != e.shape:
            refuse("toward", f"of W's shape {e.shape}", second.shape)
        check_finite("toward", second)
    beside = second - (e * second).sum() * e
    width, whole = jnp.abs(beside).max(), jnp.abs(second).max()
    if not is_traced(width) and not width > 64 * jnp.finfo(e.dtype).eps * whole:
        refuse("toward", "not parallel to the gradient at 0", toward)
    beside = _unit(beside / width)
    return e, _unit(beside - (e * beside).sum() * e)  # what rounding left along e is as 1 to width


def _unit(vector: Array) -> Array:
    return vector / jnp.sqrt((vector**2).sum())


@eqx.filter_jit
def _integrate(loss: Loss, curve: tuple[Piece, ...], N: Array, order: int) -> Contour:
    rules = [np.polynomial.legendre.leggauss(nodes) for nodes in (order, order // 2)]
    t = jnp.asarray(np.concatenate([(1 + x) / 2 for x, _ in rules])).astype(N.dtype)
    fine, coarse = (jnp.asarray(w / 2).astype(N.dtype) for _, w in rules)

    def along(piece: Piece) -> tuple[Array, Array]:
        return jax.vmap(lambda t: jax.jvp(piece, (t,), (jnp.ones_like(t),)))(t)

    W, dW = (jnp.stack(each) for each in zip(*map(along, curve), strict=True))
    F = jax.vmap(jax.vmap(lambda W: field_of(loss, W, N)))(W)
    work = (F * dW).reshape(*F.shape[:2], -1)
    integrand, size = work.sum(-1), jnp.abs(work).sum(-1)
    pieces = _dot(integrand[:, :order], fine)
    value, rival = pieces.sum(), _dot(integrand[:, order:], coarse).sum()
    rounding = 32 * jnp.finfo(N.dtype).eps * _dot(size[:, :order], fine).sum()
    error = jnp.abs(value - rival) + rounding
    finite = jnp.isfinite(value) & jnp.isfinite(error)
    decided = ContourResult.where(
        jnp.abs(value) > error, ContourResult.not_a_gradient, ContourResult.undecided
    )
    return Contour(
        value=value,
        error=error,
        pieces=pieces,
        trusted=finite & (error <= 1e-3 * jnp.abs(pieces).sum()),
        result=ContourResult.where(finite, decided, ContourResult.not_finite),
    )
