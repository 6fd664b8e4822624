"""One compiled training loop, for whoever trains (public as `jaxdepth.dynamics.descend`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxdepth._misc import check_finite, check_integer, refuse


class DescentResult(eqx.Enumeration):
    """How a run ended."""

    successful: Any = "every recorded loss is finite"
    diverged: Any = "a loss became NaN or infinite: lower the learning rate"


class Trajectory(eqx.Module):
    """What `descend` saw.

    Attributes:
        steps: the numbers of updates made when each record was taken, `0, r, 2r, …, steps`.
        losses: the loss at those moments, before the next update.
        recorded: what `record(model)` returned at those moments, stacked on the first axis; None
            where no `record` was asked for.
        model: the model after the last update.
        trusted: whether every recorded loss is finite.
        result: a `DescentResult`.
    """

    steps: Int[Array, " records"]
    losses: Float[Array, " records"]
    recorded: PyTree
    model: PyTree
    trusted: Bool[Array, ""]
    result: Any


def descend(
    model: PyTree,
    loss: Callable[..., Any],
    optimiser: optax.GradientTransformation | Callable[..., optax.GradientTransformation],
    steps: int,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    record_every: int = 1,
    record: Callable[[Any], Any] | None = None,
    key: PRNGKeyArray | None = None,
) -> Trajectory:
    """Train `model` with any optax optimiser, in one compiled scan.

    Every inexact array of `model` is a parameter. Nothing but the records is stored, so memory
    grows with `steps / record_every`. Works under `jit` and `vmap` (over models, data or rates) and
    is differentiable in both modes.

    Args:
        model: any pytree, usually an Equinox module.
        loss: `loss(model)`, a real scalar; `loss(model, key)` when `key` is given (minibatches).
            Pass data through a module's bound method (`LpRegression.loss`) and not through a
            closure: arrays that a compiled function closes over are folded in as constants.
        optimiser: an optax transformation, line searches included; or a factory such as
            `optax.sgd`, called as `optimiser(**hyperparameters)` inside the compiled program, so
            that every learning rate shares one compilation.
        steps: how many updates to make.
        hyperparameters: the factory's arguments, traced.
        record_every: updates between two records; it must divide `steps`.
        record: what else to record of the model, any function of it to a pytree of arrays.
        key: random key, handed to `loss` split afresh at every step.

    Returns:
        A `Trajectory`; a divergence is told by its `result` and never raised.

    Raises:
        ValueError: `steps` or `record_every` out of range, a model without parameters, complex or
            non-finite parameters, or hyperparameters without a factory.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> run = descend(jnp.array([3.0]), lambda w: (w**2).sum(), optax.sgd, 50,
        ...               hyperparameters={"learning_rate": 0.1}, record_every=10)
        >>> bool(run.losses[-1] < 1e-8), run.steps.tolist()
        (True, [0, 10, 20, 30, 40, 50])
    """
    steps = check_integer("steps", steps, 1)
    record_every = check_integer("record_every", record_every, 1)
    if steps % record_every:
        refuse("record_every", f"a divisor of steps={steps}", record_every)
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    if not jax.tree.leaves(parameters):
        refuse("model", "a pytree with at least one float JAX array", type(model).__name__)
    if any(map(jnp.iscomplexobj, jax.tree.leaves(parameters))):
        refuse("model", "real", "complex parameters", "Train real and imaginary parts.")
    check_finite("model", parameters)
    made = isinstance(optimiser, optax.GradientTransformation)
    if made and hyperparameters:
        refuse(
            "optimiser", "a factory such as `optax.sgd`, for it has `hyperparameters`", optimiser
        )
    if not made and not callable(optimiser):
        refuse("optimiser", "an optax transformation or a factory of one", optimiser)
    traced = {name: jnp.asarray(value) for name, value in (hyperparameters or {}).items()}
    return _scan(
        parameters,
        static,
        loss,
        optimiser,
        traced,
        key,
        steps // record_every,
        record_every,
        record,
    )


@eqx.filter_jit
def _scan(
    parameters: PyTree,
    static: PyTree,
    loss: Callable[..., Any],
    optimiser: Any,
    hyperparameters: dict[str, Array],
    key: PRNGKeyArray | None,
    records: int,
    record_every: int,
    record: Callable[[Any], Any] | None,
) -> Trajectory:
    made = isinstance(optimiser, optax.GradientTransformation)
    # optax mixes Python floats, int32 counters and the parameters' dtype (its adam fails
    # otherwise).
    with jax.numpy_dtype_promotion("standard"):
        transform = optax.with_extra_args_support(
            cast(optax.GradientTransformation, optimiser if made else optimiser(**hyperparameters))
        )
        state = transform.init(parameters)

    asked = inspect.signature(transform.update).parameters
    anything = any(each.kind is each.VAR_KEYWORD for each in asked.values())

    def takes(name: str) -> bool:  # some of optax.contrib refuse what they do not know
        return anything or name in asked

    def evaluate(parameters: PyTree, step: Array) -> Array:
        whole = eqx.combine(parameters, static)
        return loss(whole) if key is None else loss(whole, jax.random.fold_in(key, step))

    def update(carry: tuple, _: None) -> tuple[tuple, Array]:
        parameters, state, step = carry
        value, gradient = jax.value_and_grad(evaluate)(parameters, step)
        with jax.numpy_dtype_promotion("standard"):
            line_search = {
                "value": value,
                "grad": gradient,
                "value_fn": lambda parameters: evaluate(parameters, step),
            }
            extra = {name: line_search[name] for name in line_search if takes(name)}
            change, state = transform.update(gradient, state, parameters, **extra)
            parameters = optax.apply_updates(parameters, change)
        return (parameters, state, step + 1), value

    def observe(parameters: PyTree) -> PyTree:
        return None if record is None else record(eqx.combine(parameters, static))

    def segment(carry: tuple, _: None) -> tuple[tuple, tuple[Array, PyTree]]:
        seen = observe(carry[0])
        carry, values = jax.lax.scan(update, carry, None, length=record_every)
        return carry, (values[0], seen)

    start = (parameters, state, jnp.zeros((), jnp.int32))
    (parameters, _, step), (losses, seen) = jax.lax.scan(segment, start, None, length=records)
    losses = jnp.append(losses, evaluate(parameters, step))
    seen = jax.tree.map(
        lambda rows, last: jnp.append(rows, jnp.asarray(last)[None], axis=0),
        seen,
        observe(parameters),
    )
    finite = jnp.isfinite(losses).all()
    return Trajectory(
        steps=jnp.arange(records + 1, dtype=jnp.int32) * record_every,
        losses=losses,
        recorded=seen,
        model=eqx.combine(parameters, static),
        trusted=finite,
        result=DescentResult.where(finite, DescentResult.successful, DescentResult.diverged),
    )
