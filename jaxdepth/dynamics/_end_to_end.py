"""The end-to-end rule: what gradient descent on N layers does to their product."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdepth._misc import (
    check_finite,
    check_real,
    is_real,
    is_traced,
    refuse,
    working_dtype,
)

_dot = functools.partial(jnp.matmul, precision="highest")
_contract = functools.partial(jnp.einsum, precision="highest")

Depth = int | float | Float[Array, ""] | Int[Array, ""]


def end_to_end(
    W: Float[Array, "m n"],
    G: Float[Array, "m n"],
    depth: Depth,
    *,
    rank_tol: float | None = None,
) -> Float[Array, "m n"]:
    r"""Precondition a gradient as a depth-N linear network does.

    Gradient flow on balanced layers moves their product W by −P_W[G], where G = ∇L(W) and

        P_W[G] = Σ_{j=1}^N [WWᵀ]^{(j-1)/N} G [WᵀW]^{(N-j)/N}.

    With W = UΣVᵀ this is U(K∘UᵀGV)Vᵀ (Claim 1), one SVD at any depth; K is `spectrum`. For one
    output or one input it is ‖w‖^{2−2/N}(g + (N−1)·Pr_w g) (Claim 2), without the SVD. W = 0 is a
    fixed point of every depth above 1.

    P is only Hölder of exponent 2/N where a singular value vanishes, so that rounding there is
    amplified to ε^{2/N}: singular values up to `rank_tol`·σ_max are taken to be 0. First
    derivatives in W, G and depth are finite everywhere; where the rank is not full that in W is
    along matrices of this rank (the null-to-null part, infinite or one-sided, counts as 0). Second
    derivatives need singular values that are positive and distinct. Derivatives in W and depth take
    temporaries of min(m, n)³ numbers.

    Args:
        W: the end-to-end matrix, of any shape (m, n) and rank.
        G: the gradient at W, of the same shape.
        depth: N ≥ 1, an integer or real number, static or traced.
        rank_tol: relative cut-off; max(m, n)·ε by default, half precision being computed in
            float32. Claim 2 has no use for it.

    Returns:
        P_W[G], of shape (m, n) and the wider dtype of W and G. To 1e-12 (float64) and 5e-6
        (float32) of the sum over balanced layers, relative to its norm, where the singular values
        above the cut-off span a factor κ ≤ 1e3; beyond, the SVD's rounding of the smallest costs
        about (2/N)·κ^{1−2/N}·ε.

    Raises:
        ValueError: shapes differ or are not two-dimensional, complex or non-finite entries, depth
            below 1, a cut-off outside [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> W, G = jnp.diag(jnp.array([4.0, 1.0])), jnp.ones((2, 2))
        >>> end_to_end(W, G, 2).round(4).tolist()  # K_rs = σ_r + σ_s at N = 2
        [[8.0, 5.0], [5.0, 2.0]]

    Reference: Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
    Overparameterization* (2018), Theorem 1, Claims 1 and 2.
    """
    W, G = jnp.asarray(W), jnp.asarray(G)
    check_finite("W", W)
    check_finite("G", G)
    return precondition(W, G, depth, rank_tol)


def precondition(W: Any, G: Any, depth: Any, rank_tol: Any) -> Array:
    """Return P_W[G] as `end_to_end` does, NaN where an entry is not finite."""
    W, G, depth, rank_tol, dtype = _check(W, G, depth, rank_tol)
    m, n = W.shape
    if min(m, n) == 1:
        return _one_output(W, G, depth).astype(dtype)
    # P_{cW} = c^{2−2/N}·P_W for any constant c. By the power of 2 above its largest entry, exactly,
    # W is brought to where no power of a singular value over- or underflows.
    exponent = jnp.frexp(jax.lax.stop_gradient(jnp.abs(W).max()))[1]
    scale = jnp.ldexp(jnp.ones((), W.dtype), exponent)
    if m > n:  # P_{Wᵀ}[Gᵀ] = P_W[G]ᵀ: the two exponents of the sum exchange
        moved = _wide(rank_tol, W.T / scale, G.T, depth).T
    else:
        moved = _wide(rank_tol, W / scale, G, depth)
    return (scale ** (2 - 2 / depth) * moved).astype(dtype)


def spectrum(W: Float[Array, "m n"], depth: Depth) -> Float[Array, "m n"]:
    """Return the eigenvalues K of the end-to-end preconditioner; K_{rs} belongs to u_r v_sᵀ.

    K_{rs} = Σ_{j=1}^N σ_r^{2(N−j)/N} σ_s^{2(j−1)/N}, with σ = 0 past the rank and 0⁰ = 1.

    Args:
        W: the end-to-end matrix, shape (m, n).
        depth: N ≥ 1, an integer or real number, static or traced.

    Returns:
        K, of shape (m, n), for singular values in descending order.

    Raises:
        ValueError: as `end_to_end`.

    Example:
        >>> import jax.numpy as jnp
        >>> spectrum(jnp.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), 2).round(4).tolist()
        [[6.0, 5.0, 3.0], [5.0, 4.0, 2.0]]

    Reference: Arora, Cohen & Hazan (2018), Claim 1.
    """
    check_finite("W", W)
    W, _, depth, rank_tol, dtype = _check(W, W, depth, None)
    m, n = W.shape
    sigma = _cut(rank_tol, jnp.linalg.svd(W, compute_uv=False))
    left = jnp.zeros(m, W.dtype).at[: min(m, n)].set(sigma)
    right = jnp.zeros(n, W.dtype).at[: min(m, n)].set(sigma)
    return _kernel(left[:, None], right[None, :], depth).astype(dtype)


def check_depth(depth: Any) -> None:
    """Refuse what is no depth: a real number, at least 1 and finite; tracers pass."""
    number = isinstance(depth, (int, float)) and not isinstance(depth, bool)
    array = isinstance(depth, (np.number, np.ndarray, jax.Array)) and is_real(depth.dtype)
    if not (number or array) or jnp.ndim(depth) != 0:
        refuse("depth", "a number, at least 1 and finite", depth, "`jax.vmap` maps over several.")
    if not is_traced(depth) and not 1 <= np.asarray(depth).item() < float("inf"):
        refuse("depth", "a number, at least 1 and finite", depth)


def check_rank_tol(rank_tol: Any) -> None:
    """Refuse what is no relative cut-off: None, or a number in [0, 1) that no tracer hides."""
    if rank_tol is None:
        return
    if is_traced(rank_tol):
        cure = 'With `optax.inject_hyperparams`, name it in `static_args=("rank_tol",)`.'
        refuse("rank_tol", "static", "a tracer", cure)
    if not 0 <= check_real("rank_tol", rank_tol) < 1:
        refuse("rank_tol", "in [0, 1)", rank_tol)


def _check(
    W: Any, G: Any, depth: Any, rank_tol: Any
) -> tuple[Array, Array, Array, float, jnp.dtype]:
    """Return the arguments in the dtype to compute in, and the dtype of the answer."""
    W, G = jnp.asarray(W), jnp.asarray(G)
    for name, matrix in (("W", W), ("G", G)):
        if jnp.iscomplexobj(matrix):
            refuse(name, "real", matrix.dtype)
    answer = working_dtype(W, G)
    # There is no SVD in half precision.
    dtype = jnp.dtype(jnp.float32) if jnp.finfo(answer).bits < 32 else answer
    W, G = W.astype(dtype), G.astype(dtype)
    if W.ndim != 2 or 0 in W.shape:
        refuse("W", "a non-empty matrix (m, n)", W.shape, "Reshape a vector to one row.")
    if G.shape != W.shape:
        refuse("G", f"of W's shape {W.shape}", G.shape)
    check_depth(depth)
    if not is_traced(depth) and np.asarray(depth).item() > float(jnp.finfo(dtype).max):
        refuse("depth", f"finite in {dtype}", depth)
    check_rank_tol(rank_tol)
    tolerance = max(W.shape) * float(jnp.finfo(dtype).eps) if rank_tol is None else rank_tol
    return W, G, jnp.asarray(depth).astype(dtype), float(tolerance), answer


# ---- One output (Claim 2) ----


def _one_output(
    w: Float[Array, "m n"], g: Float[Array, "m n"], N: Float[Array, ""]
) -> Float[Array, "m n"]:
    # Scaled by its largest entry, w neither overflows nor underflows when squared; the double
    # `where` keeps the dead branch's 0/0 out of the derivatives at w = 0. The scale cancels, and so
    # is a constant to them.
    largest = jax.lax.stop_gradient(jnp.abs(w).max())
    alive = largest > 0
    largest = jnp.where(alive, largest, 1)
    u = jnp.where(alive, w / largest, 1)
    squared = (u * u).sum()
    along = (N - 1) * (u * g).sum() / squared  # (N−1)·Pr_w g = along·u
    moved = (largest * jnp.sqrt(squared)) ** (2 - 2 / N) * (g + along * u)
    return jnp.where(alive, moved, jnp.where(N == 1, g, 0))


# ---- Any shape (Claim 1) ----


def _cut(rank_tol: float, sigma: Float[Array, " k"]) -> Float[Array, " k"]:
    return jnp.where(sigma > rank_tol * sigma[0], sigma, 0)


def _kernel(
    s: Float[Array, "*left"], t: Float[Array, "*right"], N: Float[Array, ""]
) -> Float[Array, "*both"]:
    """Return K(s, t) = (s² − t²)/(s^{2/N} − t^{2/N}) for broadcast singular values.

    With u = 2 log(lo/hi) it is hi^{2−2/N}·expm1(u)/expm1(u/N), which loses nothing where s ≈ t.
    """
    high, low = jnp.maximum(s, t), jnp.minimum(s, t)
    safe = jnp.where(high > 0, high, 1)
    smallest = jnp.finfo(high.dtype).tiny  # a quotient that underflows would make log's slope NaN
    u = 2 * jnp.log(jnp.where(low > 0, jnp.maximum(low / safe, smallest), 1))
    distinct = u < 0
    u = jnp.where(distinct, u, -1)
    ratio = jnp.where(distinct, jnp.expm1(u) / jnp.expm1(u / N), jnp.where(low > 0, N, 1))
    return jnp.where(high > 0, safe ** (2 - 2 / N) * ratio, jnp.where(N == 1, 1.0, 0.0))


class _Split(NamedTuple):
    """W = U·diag(sigma)·Vᵀ for m ≤ n: U is square, V an (n, m) frame with a complement."""

    U: Float[Array, "m m"]
    sigma: Float[Array, " m"]
    Vt: Float[Array, "m n"]

    def into(self, X: Float[Array, "m n"]) -> tuple[Float[Array, "m m"], Float[Array, "m n"]]:
        """Return UᵀXV, and UᵀX on the complement of V (in coordinates of R^n)."""
        turned = _dot(self.U.T, X)
        inside = _dot(turned, self.Vt.T)
        return inside, turned - _dot(inside, self.Vt)

    def out(self, inside: Float[Array, "m m"], beyond: Float[Array, "m n"]) -> Float[Array, "m n"]:
        return _dot(self.U, _dot(inside, self.Vt) + beyond)


def _split(rank_tol: float, W: Float[Array, "m n"]) -> _Split:
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=False)
    return _Split(U, _cut(rank_tol, sigma), Vt)


def root_of_preconditioner(W: Any, depth: Any) -> Callable[[Array], Array]:
    """Return X ↦ P_W^{1/2}[X] = U(√K∘UᵀXV)Vᵀ, symmetric and positive as P_W is."""
    W, _, N, rank_tol, _ = _check(W, W, depth, None)
    tall = W.shape[0] > W.shape[1]
    split = _split(rank_tol, W.T if tall else W)
    s = split.sigma
    K, c = _kernel(s[:, None], s[None], N), _kernel(s, jnp.zeros_like(s), N)

    def root(X: Array) -> Array:
        inside, beyond = split.into(X.T if tall else X)
        moved = split.out(jnp.sqrt(K) * inside, jnp.sqrt(c)[:, None] * beyond)
        return moved.T if tall else moved

    return root


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _rule(
    rank_tol: float, W: Float[Array, "m n"], G: Float[Array, "m n"], N: Float[Array, ""]
) -> Float[Array, "m n"]:
    split = _split(rank_tol, W)
    return _apply(split, *split.into(G), N)


def _apply(split: _Split, M: Array, beyond: Array, N: Array) -> Float[Array, "m n"]:
    s = split.sigma
    K, c = _kernel(s[:, None], s[None], N), _kernel(s, jnp.zeros_like(s), N)
    return split.out(K * M, c[:, None] * beyond)


# The derivative in W (Daleckii-Krein). As a function of A = WWᵀ and B = WᵀW, with x = σ^{2/N},
# P is the double operator function of K(x, z) = (x^N − z^N)/(x − z) = [x, z], the first divided
# difference of t^N; and λ = x^N. Its divided difference in λ is therefore
#
#     (K(x, z) − K(y, z))/(x^N − y^N) = [x, y, z]/[x, y],
#
# a ratio of positive sums for integer N (the complete homogeneous polynomials of degree N−2 and
# N−1), finite at every coincidence. Hence, in the frames of W, with dA and dB likewise,
#
#     dP_rs = Σ_q [r,q,s] (dA_rq/[r,q]) M_qs + Σ_q [r,q,s] M_rq (dB_qs/[q,s]).
#
# The complement of V has σ = 0: all its indices share one coefficient, so that projections do for
# them what a full V would. dA and dB vanish where both σ do, and so does 1/[·,·] there, by fiat.


@_rule.defjvp
def _rule_jvp(rank_tol: float, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (W, G, N), (dW, dG, dN) = primals, tangents
    split = _split(rank_tol, W)
    s = split.sigma
    M, M_beyond = split.into(G)
    D, D_beyond = split.into(dW)
    K, dK = jax.jvp(lambda N: _kernel(s[:, None], s[None], N), (N,), (dN,))
    c, dc = jax.jvp(lambda N: _kernel(s, jnp.zeros_like(s), N), (N,), (dN,))
    T = _second_difference(s[:, None, None], s[None, :, None], s[None, None, :], N)
    T0 = _second_difference(s[:, None], s[None, :], jnp.zeros((1, 1), s.dtype), N)
    dA = _divide(D * s[None] + s[:, None] * D.T, K)
    dB = _divide(s[:, None] * D + D.T * s[None], K)
    to_complement = _divide(s, c)[None] * T0  # of M_rq and q, s beyond: [r,q,0]·σ_q/[q,0]
    inside = (
        _contract("rqs,rq,qs->rs", T, dA, M)
        + _contract("rqs,rq,qs->rs", T, M, dB)
        + to_complement * _dot(M_beyond, D_beyond.T)
        + dK * M
    )
    beyond = _dot(T0 * dA, M_beyond) + _dot(to_complement * M, D_beyond) + dc[:, None] * M_beyond
    value = _apply(split, M, M_beyond, N)
    return value, split.out(inside, beyond) + _apply(split, *split.into(dG), N)


def _divide(numerator: Array, denominator: Array) -> Array:
    alive = denominator > 0
    return jnp.where(alive, numerator / jnp.where(alive, denominator, 1), 0)


def _second_difference(r: Array, q: Array, s: Array, N: Array) -> Array:
    """Return [x, y, z] of t^N at x, y, z = r^{2/N}, q^{2/N}, s^{2/N}, singular values given.

    Apart, for x ≥ y ≥ z, ([x,y] − [y,z])/(x − z): safe once z^N ≤ x^N/√e, where the difference
    is of the size of its terms. Close together, around their mean m with x = m(1+a) and so on,
    m^{N−2} Σ_k binom(N, k+2) h_k(a, b, c): the second difference of t^{k+2} is the complete
    homogeneous polynomial h_k, which obeys h_k = e₁h_{k−1} − e₂h_{k−2} + e₃h_{k−3}. Here
    N|a| < ½ and |a| < 1/8: the terms fall like 2^{-k}/k! for large N, like 8^{-k} for small ones.
    """
    r, q, s = jnp.broadcast_arrays(r, q, s)
    high, low = jnp.maximum(jnp.maximum(r, q), s), jnp.minimum(jnp.minimum(r, q), s)
    middle = jnp.maximum(jnp.minimum(r, q), jnp.minimum(jnp.maximum(r, q), s))
    # `where` twice: the slope of a power at 0 is infinite, and would make second derivatives NaN.
    x, y, z = (jnp.where(v > 0, jnp.where(v > 0, v, 1) ** (2 / N), 0) for v in (high, middle, low))
    ratio = 2 * jnp.log(high / jnp.where(low > 0, low, 1))
    close = (low > 0) & (ratio < jnp.minimum(0.5, N / 8))
    apart = _divide(_kernel(high, middle, N) - _kernel(middle, low, N), jnp.where(close, 0, x - z))
    mean = jnp.where(close, (x + y + z) / 3, 1)
    a, b, c = (jnp.where(close, (v - mean) / mean, 0) for v in (x, y, z))
    e1, e2, e3 = a + b + c, a * b + b * c + c * a, a * b * c
    binomial = N * (N - 1) / 2
    h = [jnp.ones_like(a), jnp.zeros_like(a), jnp.zeros_like(a)]
    total = binomial * h[0]
    for k in range(1, 13):
        h = [e1 * h[0] - e2 * h[1] + e3 * h[2], h[0], h[1]]
        binomial = binomial * (N - k - 1) / (k + 2)
        total = total + binomial * h[0]
    return jnp.where(close, mean ** (N - 2) * total, apart)


_wide = jax.jit(_rule, static_argnums=0)
