"""The largest eigenvalue of a symmetric operator, and how much larger it may be."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdepth._misc import check_integer, check_key

# A matrix-free symmetric operator on flat vectors.
Operator = Callable[[Array], Array]


class AbstractEigenmethod(eqx.Module):
    """How to find the largest eigenvalue of a symmetric operator."""

    @abc.abstractmethod
    def largest(
        self, operator: Operator, size: int, dtype: Any
    ) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]:
        """Return the eigenvalue, its unit vector, and how much larger the truth may be."""


class Dense(AbstractEigenmethod):
    """All eigenvalues, from the whole matrix: n products with it, and its n² entries.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxdepth.dynamics import sharpness
        >>> answer = sharpness(jnp.array([1.0, 2.0]), lambda w: w @ w, 0.5, method=Dense())
        >>> round(float(answer.value), 4), bool(answer.trusted)
        (1.0, True)
    """

    def largest(
        self, operator: Operator, size: int, dtype: Any
    ) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]:
        """See `AbstractEigenmethod`; the truth is no larger."""
        values, vectors = jnp.linalg.eigh(jax.vmap(operator)(jnp.eye(size, dtype=dtype)))
        return values[-1], vectors[:, -1], jnp.zeros((), dtype)


class Lanczos(AbstractEigenmethod):
    """A Krylov space from a random start, in which the eigenvalue is found from below.

    After k products the largest Ritz value θ is short of λ_max by more than ε·(λ_max − λ_min) with
    probability at most 1.648·√n·exp(−√ε(2k−1)) over the start, whatever the spectrum; so for the
    smallest one from the other side. Hence with δ = 1/3000 and ε = (log(1.648√n/δ)/(2k−1))² both
    hold with probability 1 − 2δ, and λ_max ≤ θ_max + ε/(1−2ε)·(θ_max − θ_min).

    Rounding, and a space that is used up but for it, cost more, for the start has little of any one
    eigenvector v. If the space is invariant up to β, ‖(T − λ)Qᵀv‖ ≤ β, where ‖Qᵀv‖ ≥ |⟨v, start⟩|
    is at least δ√(π/2n) with probability 1 − δ: some Ritz value is within β√(2n/π)/δ of λ, and that
    is added, β being four roundings of the largest |θ|. Only k ≥ n products leave nothing to find:
    then the whole matrix is formed, as by `Dense`.

    Attributes:
        num_products: k, products with the Hessian; the answer's `upper` is infinite where they are
            too few to bound it (2ε ≥ 1) and the space is not used up.
        key: of the start.

    Args:
        num_products: k, at least 1.
        key: random key.

    Raises:
        ValueError: fewer than one product, or no key.

    Example:
        >>> import jax
        >>> Lanczos(20, key=jax.random.key(0)).num_products
        20

    Reference: Kuczyński & Woźniakowski, *Estimating the largest eigenvalue by the power and Lanczos
    algorithms with a random start* (1992), Theorem 4.2; the second part is derived here.
    """

    num_products: int = eqx.field(static=True)
    key: PRNGKeyArray

    def __init__(self, num_products: int = 32, *, key: PRNGKeyArray) -> None:
        check_key(key)
        self.num_products, self.key = check_integer("num_products", num_products, 1), key

    def largest(
        self, operator: Operator, size: int, dtype: Any
    ) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]:
        """See `AbstractEigenmethod`."""
        if self.num_products >= size:
            return Dense().largest(operator, size, dtype)
        k = self.num_products
        start = jax.random.normal(self.key, (size,), dtype)
        Q, diagonal, beside, used_up = _tridiagonal(operator, start / jnp.linalg.norm(start), k)
        T = jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)
        values, vectors = jnp.linalg.eigh(T)
        vector = _dot(vectors[:, -1], Q)
        epsilon = (math.log(1.648 * math.sqrt(size) / _DELTA) / (2 * k - 1)) ** 2
        bounded = 2 * epsilon < 1
        missed = epsilon / (1 - 2 * epsilon) * (values[-1] - values[0]) if bounded else jnp.inf
        rounding = _ROUNDINGS * float(jnp.finfo(dtype).eps) * jnp.abs(diagonal).max()
        hidden = math.sqrt(2 * size / math.pi) / _DELTA * rounding
        short = jnp.where(used_up, 0, missed) + hidden + jnp.finfo(dtype).tiny
        return values[-1], vector / jnp.linalg.norm(vector), short


_DELTA = 1 / 3000
_ROUNDINGS = 4
_dot = functools.partial(jnp.matmul, precision="highest")


def _tridiagonal(
    operator: Operator, start: Float[Array, " n"], k: int
) -> tuple[Array, Array, Array, Array]:
    """Return the Krylov basis (k, n), the entries of QᵀAQ, and whether the space was used up.

    Every new vector is made orthogonal to all before it, twice: without that rounding brings back
    eigenvectors found already. Once the space is used up the rows of Q are 0, and the diagonal goes
    on below the whole spectrum.
    """
    n = start.size
    tiny = float(jnp.finfo(start.dtype).eps)

    def step(carry: tuple, i: Array) -> tuple[tuple, tuple]:
        Q, q, size, alive = carry
        Q = Q.at[i].set(q)
        w = operator(q)
        alpha = jnp.where(alive, jnp.vdot(q, w), jnp.where(size > 0, -2 * size, -1))
        for _ in range(2):
            w = w - _dot(_dot(Q, w), Q)
        beta = jnp.linalg.norm(w)
        size = jnp.where(alive, jnp.maximum(size, jnp.abs(alpha) + beta), size)
        alive = alive & (beta > tiny * size)
        beta = jnp.where(alive, beta, 0)
        q = jnp.where(alive, w / jnp.where(alive, beta, 1), 0)
        return (Q, q, size, alive), (alpha, beta)

    zero = jnp.zeros((), start.dtype)
    carry = (jnp.zeros((k, n), start.dtype), start, zero, jnp.array(True))
    (Q, _, _, alive), (alphas, betas) = jax.lax.scan(step, carry, jnp.arange(k))
    return Q, alphas, betas, ~alive
