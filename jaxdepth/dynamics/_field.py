"""The field that depth descends along, and its curl: is there a regulariser behind it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, refuse, working_dtype
from jaxdepth.dynamics._end_to_end import Depth, check_depth, end_to_end


def field(
    W: Float[Array, "*shape"], loss: Callable[[Any], Any], depth: Depth
) -> Float[Array, "*shape"]:
    """Return F(W) = P_W[∇L(W)], along whose negative N balanced layers descend.

    Were F the gradient of a function, depth would be descent on a regularised loss. Theorem 2, of
    one output (or one input): for N > 2 and ∇L(0) ≠ 0 it is the gradient of none. At N = 1 it is
    ∇L; at N = 2 it is, for one output, a gradient for linear and for isotropic quadratic losses,
    and not in general. With several inputs and outputs it is none for linear losses even at N = 2.

    Args:
        W: the end-to-end matrix, shape (m, n), or a vector (d,) for one output.
        loss: `loss(W)`, a real scalar; a module's bound method, such as `LpRegression.loss`, passes
            its data along.
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        F(W), of W's shape.

    Raises:
        ValueError: W neither vector nor matrix, complex or non-finite, a loss that is no real
            scalar, depth below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> field(jnp.array([2.0, 0.0]), lambda w: w.sum(), 2).tolist()  # ‖w‖(g + Pr_w g)
        [4.0, 2.0]

    Reference: Arora, Cohen & Hazan (2018), Theorem 2.
    """
    W = _check(W, loss, depth)
    return field_of(loss, W, jnp.asarray(depth).astype(W.dtype))


def curl(W: Float[Array, "..."], loss: Callable[[Any], Any], depth: Depth) -> Float[Array, "d d"]:
    """Return ∂F_j/∂w_i − ∂F_i/∂w_j at row i and column j: zero wherever F is a gradient nearby.

    By automatic differentiation of `field`; for one output, `curl_one_output` is its closed form.

    Args:
        W: the end-to-end matrix, shape (m, n), or a vector (d,) for one output.
        loss: as in `field`, differentiable twice.
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        An antisymmetric matrix over the d = mn entries of W, in the order of `W.ravel()`: row by
        row. At a rank-deficient W, where the field is only Hölder of exponent 2/N, derivatives are
        those along matrices of this rank, as in `end_to_end`; W = 0 gives 0.

    Raises:
        ValueError: as `field`.

    Example:
        >>> import jax.numpy as jnp
        >>> curl(jnp.array([1.0, 0.0]), lambda w: w[1], 4).round(4).tolist()
        [[0.0, -1.5], [1.5, 0.0]]

    Reference: Arora, Cohen & Hazan (2018), Theorem 2 and its proof.
    """
    W = _check(W, loss, depth)
    return _curl(loss, W, jnp.asarray(depth).astype(W.dtype))


def curl_one_output(
    w: Float[Array, "..."], loss: Callable[[Any], Any], depth: Depth
) -> Float[Array, "d d"]:
    r"""Return `curl` for one output (or one input) in closed form.

    With g = ∇L(w), H = ∇²L(w) and (a∧b)_ij = a_i b_j − a_j b_i,

        curl F = −((N−1)(N−2)/N)‖w‖^{−2/N}(w∧g) + (N−1)‖w‖^{−2/N}((Hw)∧w).

    The first term is Theorem 2's, and gone at N = 2; the second is there unless w is an eigenvector
    of H, as it always is of an isotropic one.

    Args:
        w: shape (d,), (1, d) or (d, 1).
        loss: as in `field`, differentiable twice; the Hessian is never formed.
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        The antisymmetric matrix (d, d). At w = 0, where for 1 < N ≤ 2 the field has no derivative,
        it is 0.

    Raises:
        ValueError: as `field`; several inputs and outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> curl_one_output(jnp.array([1.0, 0.0]), lambda w: w[1], 4).tolist()
        [[0.0, -1.5], [1.5, 0.0]]

    Reference: derived from Claim 2 of Arora, Cohen & Hazan (2018).
    """
    W = _check(w, loss, depth)
    if W.size > max(W.shape):
        refuse("w", "a vector, one row or one column", W.shape, "`curl` takes any matrix.")
    return _closed_form(loss, W, jnp.asarray(depth).astype(W.dtype))


def _check(W: Any, loss: Any, depth: Any) -> Array:
    W = jnp.asarray(W)
    if W.ndim not in (1, 2) or 0 in W.shape:
        refuse("W", "a non-empty vector or matrix", W.shape)
    if jnp.iscomplexobj(W):
        refuse("W", "real", W.dtype)
    check_finite("W", W)
    check_depth(depth)
    W = W.astype(working_dtype(W))
    check_loss(loss, W)
    return W


def check_loss(loss: Any, W: Array) -> None:
    """Refuse what is no real scalar function of arrays like W."""
    if not callable(loss):
        refuse("loss", "a callable of W", loss)
    value = jax.eval_shape(loss, W)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        refuse("loss", "a function of W to a real scalar", value)


def field_of(loss: Callable[[Any], Any], W: Array, depth: Any) -> Array:
    """Return F(W) for what has been checked."""
    matrix = (1, -1) if W.ndim == 1 else W.shape
    G = jax.grad(loss)(W)
    return end_to_end(W.reshape(matrix), G.reshape(matrix), depth).reshape(W.shape)


@eqx.filter_jit
def _curl(loss: Callable[[Any], Any], W: Array, N: Array) -> Array:
    def flat(w: Array) -> Array:
        return field_of(loss, w.reshape(W.shape), N).ravel()

    columns = jax.jacfwd(flat)(W.ravel())  # ∂F_i/∂w_j at row i
    return columns.T - columns


# F = ρ(g + (N−1)⟨w, g⟩w/‖w‖²) with ρ = ‖w‖^{2−2/N}, whose gradient is (2−2/N)ρw/‖w‖². Symmetric
# parts drop out of ∂_iF_j − ∂_jF_i, H itself and w_i w_j among them. From ρ's slope there remains
# (2 − 2/N)(w∧g); from that of ⟨w, g⟩, which is g + Hw, (N−1)((g + Hw)∧w); all times ρ/‖w‖². And
# 2 − 2/N − (N−1) = −(N−1)(N−2)/N.


@eqx.filter_jit
def _closed_form(loss: Callable[[Any], Any], W: Array, N: Array) -> Array:
    g, Hw = jax.jvp(jax.grad(loss), (W,), (W,))
    w, g, Hw = W.ravel(), g.ravel(), Hw.ravel()
    largest = jnp.abs(w).max()
    alive = largest > 0
    largest = jnp.where(alive, largest, 1)
    along = jnp.where(alive, w / largest, 1)
    over = jnp.sqrt((along**2).sum())
    # One factor w goes as ‖w‖ into the power, which does not overflow where w is small.
    turning = jnp.outer(Hw + (1 - 2 / N) * g, along / over)
    factor = (N - 1) * (largest * over) ** (1 - 2 / N)
    return jnp.where(alive, factor * (turning - turning.T), 0)
