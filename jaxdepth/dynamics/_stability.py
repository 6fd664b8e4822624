"""Stability: how near a step of descent is to the curvature it can bear."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxdepth._descent import AbstractMonitor, parameters_of
from jaxdepth._misc import (
    RealLike,
    check_integer,
    check_key,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.dynamics._end_to_end import Depth, check_depth, end_to_end, root_of_preconditioner
from jaxdepth.dynamics._optax import is_matrix

# A matrix-free symmetric operator on flat vectors.
Operator = Callable[[Array], Array]


class SharpnessResult(eqx.Enumeration):
    """What is known of a largest eigenvalue."""

    exact: Any = "all eigenvalues were computed: right to rounding"
    lower_bound: Any = (
        "Lanczos: the truth is at least `value`, and at most `upper` with probability .999 over "
        "the key"
    )
    not_finite: Any = "the Hessian is not finite here"


class Sharpness(eqx.Module):
    """The sharpness, and how far to trust it.

    Attributes:
        value: η·λ_max, or a lower bound of it; its gradient is the eigenvalue's where that is
            simple.
        upper: η·λ_max is at most this, if `exact`, or else with probability .999 over the key.
        trusted: whether `value` is the eigenvalue, to rounding.
        result: a `SharpnessResult`.
    """

    value: Float[Array, ""]
    upper: Float[Array, ""]
    trusted: Bool[Array, ""]
    result: Any


class AbstractEigenmethod(eqx.Module):
    """How to find the largest eigenvalue of a symmetric operator."""

    @abc.abstractmethod
    def largest(
        self, operator: Operator, size: int, dtype: Any
    ) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]:
        """Return the eigenvalue, its unit vector, and how much larger the truth may be."""


class Dense(AbstractEigenmethod):
    """All eigenvalues, from the whole matrix: n products with it, and its n² entries."""

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


DENSE_UP_TO = 256


def sharpness(
    model: PyTree,
    loss: Callable[[Any], Any],
    learning_rate: RealLike = 1.0,
    *,
    depth: Depth = 1,
    method: AbstractEigenmethod | None = None,
) -> Sharpness:
    r"""Return η·λ_max(P^{1/2} H P^{1/2}): descent is stable at a minimum where it is below 2.

    H is the Hessian of the loss and P the preconditioner of the end-to-end rule: P_W on each matrix
    W, the identity on other leaves and at depth 1. Near a critical point one step multiplies the
    distance by I − ηPH, whose eigenvalues are those of I − ηP^{1/2}HP^{1/2}; one of them is below
    −1 as soon as η·λ_max > 2. Away from it this is the local criterion: progress at such a rate is
    possible, but not monotone.

    The layers' own Hessian is `sharpness(layers, loss, η)`. With J the derivative of the product of
    layers, balanced, JJᵀ = P_W, so that the Gauss-Newton part JᵀHJ of that Hessian has exactly the
    eigenvalues of P^{1/2}HP^{1/2}, and zeros. The rest of it is linear in ∇L(W): the two
    sharpnesses agree where ∇L(W) = 0 and differ by O(‖∇L(W)‖).

    Works under `jit` and `vmap`. The gradient of the value is that of the eigenvalue where it is
    simple and not 0, at any W, for it goes by λ = ⟨z, P_W[Hu]⟩ with the eigenvectors z and u of HP
    and PH held fixed; derivatives beyond the first are not those of the eigenvalue.

    Args:
        model: a matrix, or any pytree; its inexact arrays are the n parameters. At a depth other
            than 1, or a traced one, it holds a matrix: one output is one row, `w[None]`.
        loss: `loss(model)`, a real scalar.
        learning_rate: η.
        depth: N ≥ 1, an integer or real number, static or traced.
        method: `Dense()`, the default up to 256 parameters, or `Lanczos(…)`, 32 products from a
            fixed key above.

    Returns:
        A `Sharpness`; its `result` says whether `value` is the eigenvalue or a lower bound.

    Raises:
        ValueError: depth below 1, a negative or non-finite η, a model without parameters, with
            complex or non-finite ones, or without a matrix at depth other than 1.

    Example:
        >>> import jax.numpy as jnp
        >>> def bowl(w): return (jnp.array([[1.0, 4.0]]) * w**2).sum() / 2
        >>> round(float(sharpness(jnp.array([[3.0, 0.0]]), bowl, 0.1).value), 4)
        0.4
        >>> round(float(sharpness(jnp.array([[3.0, 0.0]]), bowl, 0.1, depth=2).value), 4)
        1.2

    Reference: Arora, Cohen & Hazan (2018), Claim 1, for P; Cohen, Kaur, Li, Kolter & Talwalkar,
    *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability* (2021).
    """
    parameters, static = parameters_of(model)
    check_depth(depth)
    rate = check_real("learning_rate", learning_rate)
    if not is_traced(rate) and rate < 0:
        refuse("learning_rate", "at least 0", learning_rate)
    plain = not is_traced(depth) and float(depth) == 1
    if not plain:
        check_matrix(parameters)
    return _sharpness(
        parameters,
        static,
        loss,
        jnp.asarray(rate),
        None if plain else jnp.asarray(depth),
        method,
    )


def check_matrix(parameters: PyTree) -> None:
    """Refuse parameters among which the rule would act on none."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(parameters)
    if not any(is_matrix(path, leaf) for path, leaf in leaves):
        cure = "One output is a matrix of one row: `w[None]`."
        refuse("model", "one with a matrix, at depth other than 1", type(parameters).__name__, cure)


@eqx.filter_jit
def _sharpness(
    parameters: PyTree,
    static: PyTree,
    loss: Callable[[Any], Any],
    rate: Array,
    depth: Array | None,
    method: AbstractEigenmethod | None,
) -> Sharpness:
    flat, unflatten = _flattened(parameters)
    n = flat.size
    if method is None:
        method = Dense() if n <= DENSE_UP_TO else Lanczos(key=jax.random.key(0))

    def evaluate(flat: Array) -> Array:
        narrow = jax.tree.map(lambda x, w: x.astype(w.dtype), unflatten(flat), parameters)
        return loss(eqx.combine(narrow, static))

    def hessian(u: Array) -> Array:
        return jax.jvp(jax.grad(evaluate), (flat,), (u,))[1]

    def each(rule: Callable[[Array, Array, Array], Array]) -> Operator:
        """Act on the matrices of a flat vector, beside those of the parameters."""

        def moved(u: Array) -> Array:
            if depth is None:
                return u
            acted = jax.tree_util.tree_map_with_path(
                lambda path, W, X: rule(W, X, depth) if is_matrix(path, W) else X,
                unflatten(flat),
                unflatten(u),
            )
            return _flattened(acted)[0]

        return moved

    root = each(lambda W, X, N: root_of_preconditioner(W, N)(X))
    rule = each(end_to_end)
    fixed = jax.lax.stop_gradient
    value, v, short = jax.tree.map(
        fixed, method.largest(lambda v: root(hessian(root(v))), n, flat.dtype)
    )
    # For a unit v with P^{1/2}HP^{1/2}v = λv, u = P^{1/2}v and z = Hu/λ are the right and the left
    # eigenvector of PH, and ⟨z, u⟩ = 1: so dλ = ⟨z, d(PH)u⟩, which asks nothing of the root, and no
    # derivative of singular vectors. The value keeps that of the method.
    u = fixed(root(v))
    z = fixed(hessian(u)) / jnp.where(value == 0, 1, value)
    quotient = jnp.vdot(z, rule(hessian(u)))
    value = value + quotient - fixed(quotient)
    eta = rate.astype(flat.dtype)
    finite = jnp.isfinite(value)
    exact = finite & (short == 0)
    result = SharpnessResult.where(exact, SharpnessResult.exact, SharpnessResult.lower_bound)
    return Sharpness(
        value=eta * value,
        upper=jnp.where(finite, eta * fixed(value + short), jnp.nan),
        trusted=exact,
        result=SharpnessResult.where(finite, result, SharpnessResult.not_finite),
    )


def _flattened(tree: PyTree) -> tuple[Float[Array, " n"], Callable[[Array], PyTree]]:
    """Flatten to one vector of the widest dtype, float32 at least (there is no eigh below)."""
    widest = working_dtype(tree)
    wide = widest if jnp.finfo(widest).bits >= 32 else jnp.dtype(jnp.float32)
    return ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(wide), tree))


class Stability(AbstractMonitor):
    """A monitor for `descend`: η·λ_max of the preconditioned Hessian against its limit.

    It is read at the records alone, so that the cost is one `sharpness` a record. By `Lanczos` it
    reads a lower bound, which raises no false alarm; the trajectory's `readings.upper` says how
    much it may have missed.

    Attributes:
        learning_rate: η, a number or an optax schedule; None is `descend`'s hyperparameter
            `learning_rate`, a number.
        depth: N of the rule descended by; 1 for plain descent, on layers too.
        method: as in `sharpness`.
        limit: 2 for plain descent and the rule; 2 + 2β with heavy-ball momentum β.

    Args:
        learning_rate: as above.
        depth: as above.
        method: as above.
        limit: as above, positive.

    Raises:
        ValueError: a depth below 1, a negative rate, a limit that is not positive; in `descend`, no
            learning rate.

    Example:
        >>> import jax.numpy as jnp, optax, warnings
        >>> from jaxdepth.dynamics import descend
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     run = descend(jnp.array([1.0]), lambda w: (w**2).sum() / 2, optax.sgd(2.5), 4,
        ...                   monitor=Stability(2.5))
        >>> told[0].category.__name__, int(run.unstable_from), bool(run.trusted)
        ('InstabilityWarning', 0, True)

    Reference: as `sharpness`.
    """

    learning_rate: Any
    depth: Any
    method: AbstractEigenmethod | None
    limit: Float[Array, ""]

    def __init__(
        self,
        learning_rate: RealLike | Callable[[Any], Any] | None = None,
        *,
        depth: Depth = 1,
        method: AbstractEigenmethod | None = None,
        limit: RealLike = 2.0,
    ) -> None:
        check_depth(depth)
        if not (learning_rate is None or callable(learning_rate)):
            rate = check_real("learning_rate", learning_rate)
            if not is_traced(rate) and rate < 0:
                refuse("learning_rate", "at least 0", learning_rate)
            learning_rate = jnp.asarray(rate)  # traced by `descend`
        if not is_traced(limit) and not check_real("limit", limit) > 0:
            refuse("limit", "positive", limit)
        self.learning_rate, self.depth, self.method = learning_rate, depth, method
        self.limit = jnp.asarray(limit)

    def __call__(
        self,
        model: PyTree,
        loss: Callable[[Any], Any],
        step: Int[Array, ""],
        hyperparameters: Mapping[str, Any],
    ) -> Sharpness:
        """Return the sharpness of the step about to be taken."""
        rate = self.learning_rate
        if rate is None:
            rate = hyperparameters.get("learning_rate")
            if rate is None:
                refuse("learning_rate", "given to `Stability` or among `hyperparameters`", None)
        if callable(rate):
            with jax.numpy_dtype_promotion("standard"):
                rate = rate(step)
        return sharpness(model, loss, rate, depth=self.depth, method=self.method)

    def told(self, value: float) -> str:
        """See `AbstractMonitor`."""
        quantity, limit = "η·λ_max of the preconditioned Hessian", float(self.limit)
        if math.isnan(value):
            return f"{quantity} is not a number: the loss has no finite curvature there"
        return (
            f"{quantity} is {value:.4g}, {limit:.4g} or more; a learning rate below "
            f"{limit / value:.3g} of this one is stable there"
        )
