"""The end-to-end rule as an optax transformation: depth without the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, is_traced, refuse
from jaxdepth.dynamics._end_to_end import Depth, check_depth, check_rank_tol, precondition


def is_matrix(path: tuple[Any, ...], leaf: Any) -> bool:
    """Whether a leaf is a linear map: two axes, and not named `bias` as Conv1d's, (out, 1), is."""
    name = getattr(path[-1], "name", getattr(path[-1], "key", None)) if path else None
    return jnp.ndim(leaf) == 2 and name != "bias"


def check_matrix(parameters: Any) -> None:
    """Refuse parameters among which the rule would act on none."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(parameters)
    if not any(is_matrix(path, leaf) for path, leaf in leaves):
        cure = "One output is a matrix of one row: `w[None]`."
        refuse("model", "one with a matrix, at depth other than 1", type(parameters).__name__, cure)


def _each(rule: Callable[[bool, Array, Array], Array], updates: Any, params: Any) -> Any:
    """Map over updates and parameters; None, Equinox's mark of what is not trained, stays None."""
    if params is None:
        refuse("params", "given to `update`", None, "Call `update(grads, state, params)`.")
    return jax.tree_util.tree_map_with_path(
        lambda path, G, W: None if G is None else rule(is_matrix(path, W), G, W),
        updates,
        params,
        is_leaf=lambda leaf: leaf is None,
    )


def scale_by_end_to_end(
    depth: Depth, *, rank_tol: float | None = None
) -> optax.GradientTransformation:
    """Replace each matrix's gradient G at W by P_W[G], as `depth` balanced layers would.

    Leaves that are not two-dimensional pass unchanged, and so does what is named `bias`. A matrix
    at 0 stays there for depth above 1: start near 0, not at it. Where two axes are no linear map
    (an embedding, a normalisation's weight over two axes), leave the leaf out by `optax.masked`.

    Args:
        depth: N ≥ 1, an integer or real number, static or traced.
        rank_tol: as in `end_to_end`.

    Returns:
        An optax transformation whose `update` needs `params`.

    Raises:
        ValueError: depth below 1; in `update`, no `params`.

    Example:
        >>> import jax.numpy as jnp
        >>> rule = scale_by_end_to_end(2)
        >>> W, G = jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 1.0]])
        >>> updates, _ = rule.update(G, rule.init(W), W)
        >>> updates.round(3).tolist()  # ‖w‖(g + Pr_w g)
        [[4.0, 2.0]]

    Reference: Arora, Cohen & Hazan (2018), Theorem 1.
    """
    check_depth(depth)
    check_rank_tol(rank_tol)

    def update(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:

        def rule(matrix: bool, G: Array, W: Array) -> Array:
            return precondition(W, G, depth, rank_tol) if matrix else G

        return _each(rule, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def end_to_end_sgd(
    learning_rate: optax.ScalarOrSchedule,
    depth: Depth,
    weight_decay: float | Float[Array, ""] = 0.0,
    *,
    rank_tol: float | None = None,
) -> optax.GradientTransformation:
    """Descend on W as gradient descent on `depth` balanced layers would: W ← (1−ηλN)W − η·P_W[G].

    Args:
        learning_rate: η, a number or an optax schedule.
        depth: N ≥ 1, an integer or real number, static or traced.
        weight_decay: λ of each layer; a matrix decays by ηλN, any other leaf, which stands for
            itself alone, by ηλ.
        rank_tol: as in `end_to_end`.

    Returns:
        An optax transformation, within O(η) of descent on balanced layers at fixed time.

    Raises:
        ValueError: depth below 1, a decay that is negative or not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxdepth.dynamics import descend
        >>> start, settings = jnp.array([[0.1, 0.0]]), {"learning_rate": 0.05, "depth": 2}
        >>> run = descend(start, lambda W: ((W - 1.0) ** 2).sum(), end_to_end_sgd, 300,
        ...               hyperparameters=settings, record_every=300)
        >>> run.model.round(3).tolist()
        [[1.0, 1.0]]

    Reference: Arora, Cohen & Hazan (2018), Theorem 1 and equation 10.
    """
    check_depth(depth)
    check_finite("weight_decay", weight_decay)
    if not is_traced(weight_decay) and weight_decay < 0:
        refuse("weight_decay", "at least 0", weight_decay)

    def decay(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        def rule(matrix: bool, G: Array, W: Array) -> Array:
            # λN may be beyond half precision.
            wide = G.dtype if jnp.finfo(G.dtype).bits >= 32 else jnp.dtype(jnp.float32)
            of_layer, layers = (jnp.asarray(x).astype(wide) for x in (weight_decay, depth))
            decayed = (of_layer * layers if matrix else of_layer) * W.astype(wide)
            return (G.astype(wide) + decayed).astype(G.dtype)

        return _each(rule, updates, params), state

    return optax.chain(
        scale_by_end_to_end(depth, rank_tol=rank_tol),
        optax.GradientTransformation(lambda params: optax.EmptyState(), decay),
        optax.scale_by_learning_rate(learning_rate),
    )
