"""Stability: how near a step of descent is to the curvature it can bear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdepth._descent import AbstractMonitor, parameters_of
from jaxdepth._misc import (
    RealLike,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.dynamics._eigenvalue import AbstractEigenmethod, Dense, Lanczos, Operator
from jaxdepth.dynamics._end_to_end import Depth, check_depth, end_to_end, root_of_preconditioner
from jaxdepth.dynamics._optax import check_matrix, is_matrix


class SharpnessResult(eqx.Enumeration):
    """What is known of a largest eigenvalue.

    Example:
        >>> SharpnessResult[SharpnessResult.exact]
        'all eigenvalues were computed: right to rounding'
    """

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

    Example:
        >>> import jax.numpy as jnp
        >>> answer = sharpness(jnp.array([1.0, 2.0]), lambda w: w @ w, 0.5)
        >>> round(float(answer.value), 4), answer.result == SharpnessResult.exact
        (1.0, Array(True, dtype=bool))
    """

    value: Float[Array, ""]
    upper: Float[Array, ""]
    trusted: Bool[Array, ""]
    result: Any


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
