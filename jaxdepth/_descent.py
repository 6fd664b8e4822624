"""One compiled training loop, for whoever trains (public as `jaxdepth.dynamics.descend`)."""

from __future__ import annotations

import abc
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxdepth._misc import check_finite, check_integer, check_key, is_real, is_traced, refuse


class DescentResult(eqx.Enumeration):
    """How a run ended.

    Example:
        >>> DescentResult[DescentResult.diverged]
        'a loss became NaN or infinite: lower the learning rate'
    """

    successful: Any = "every recorded loss is finite"
    unstable: Any = (
        "every recorded loss is finite, but from `unstable_from` on the monitor was at its limit: "
        "lower the learning rate"
    )
    diverged: Any = "a loss became NaN or infinite: lower the learning rate"


class InstabilityWarning(UserWarning):
    """A monitor of `descend` was at its limit: the step is too long for the curvature met.

    Example:
        >>> with warnings.catch_warnings():  # around a descent that is meant to be unstable
        ...     warnings.simplefilter("ignore", InstabilityWarning)
    """


class AbstractMonitor(eqx.Module):
    """What `descend` asks at every record, to tell of an instability before it is a divergence.

    Attributes:
        limit: readings below it are stable.

    Example:
        >>> import optax
        >>> class Reading(eqx.Module):
        ...     value: jax.Array
        >>> class Largest(AbstractMonitor):
        ...     limit: jax.Array
        ...     def __call__(self, model, loss, step, hyperparameters):
        ...         return Reading(jnp.abs(model).max())
        ...     def told(self, value):
        ...         return f"a weight has grown to {value}"
        >>> run = descend(jnp.array([1.0]), lambda w: -w[0], optax.sgd(1.0), 3,
        ...               monitor=Largest(jnp.array(9.0)))
        >>> run.readings.value.tolist()
        [1.0, 2.0, 3.0, 4.0]
    """

    limit: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def __call__(
        self,
        model: PyTree,
        loss: Callable[[Any], Any],
        step: Int[Array, ""],
        hyperparameters: Mapping[str, Any],
    ) -> Any:
        """Return a reading, a module whose `value` is to stay below `limit`.

        Args:
            model: the model before the update.
            loss: the loss of that update, a function of the model.
            step: updates made so far.
            hyperparameters: those of `descend`, traced.
        """

    @abc.abstractmethod
    def told(self, value: float) -> str:
        """Say what a reading at the limit, or NaN, means: the end of the warning's sentence.

        Args:
            value: the reading.

        Returns:
            The clause.
        """


class Trajectory(eqx.Module):
    """What `descend` saw.

    Attributes:
        steps: the numbers of updates made when each record was taken, `0, r, 2r, …, steps`.
        losses: the loss at those moments, before the next update.
        recorded: what `record(model)` returned at those moments, stacked on the first axis; None
            where no `record` was asked for.
        model: the model after the last update.
        readings: of the monitor at those moments, stacked on the first axis; None without one.
        unstable_from: the first of those moments at which the monitor was at its limit, -1 where
            there is none.
        trusted: whether every recorded loss is finite.
        result: a `DescentResult`.

    Example:
        >>> import optax
        >>> run = descend(jnp.array([1.0]), lambda w: (w**2).sum(), optax.sgd(0.25), 2)
        >>> run.losses.tolist(), run.model.tolist(), bool(run.trusted)
        ([1.0, 0.25, 0.0625], [0.25], True)
    """

    steps: Int[Array, " records"]
    losses: Float[Array, " records"]
    recorded: PyTree
    model: PyTree
    readings: Any
    unstable_from: Int[Array, ""]
    trusted: Bool[Array, ""]
    result: Any


def descend(
    model: PyTree,
    loss: Callable[..., Any],
    optimiser: optax.GradientTransformation
    | optax.MultiSteps
    | Callable[..., optax.GradientTransformation],
    steps: int,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    record_every: int = 1,
    record: Callable[[Any], Any] | None = None,
    monitor: AbstractMonitor | None = None,
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
        hyperparameters: the factory's arguments, real numbers or arrays of them, traced. What is no
            number goes into the factory: `functools.partial(optax.sgd, nesterov=True)`.
        record_every: updates between two records; it must divide `steps`.
        record: what else to record of the model, any function of it to a pytree of arrays.
        monitor: such as `Stability()`, read at every record. Where it is at its limit an
            `InstabilityWarning` names step, value and cure, if the call is no part of a caller's
            transformation; `result` and `unstable_from` tell of it in any case.
        key: random key, handed to `loss` split afresh at every step.

    Returns:
        A `Trajectory`; a divergence is told by its `result` and never raised.

    Raises:
        ValueError: `steps` or `record_every` out of range, a model without parameters, complex or
            non-finite parameters, a loss that is no real scalar, hyperparameters without a factory
            or that are no numbers, no random key.

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
    parameters, static = parameters_of(model)
    if isinstance(optimiser, optax.MultiSteps):  # optax's one optimiser that is no transformation
        optimiser = optimiser.gradient_transformation()
    made = isinstance(optimiser, optax.GradientTransformation)
    if made and hyperparameters:
        refuse(
            "optimiser", "a factory such as `optax.sgd`, for it has `hyperparameters`", optimiser
        )
    if not made and not callable(optimiser):
        refuse("optimiser", "an optax transformation or a factory of one", optimiser)
    if key is not None:
        check_key(key)
    traced = {name: _number(name, value) for name, value in (hyperparameters or {}).items()}
    trajectory = _scan(
        parameters,
        static,
        loss,
        optimiser,
        traced,
        key,
        steps // record_every,
        record_every,
        record,
        monitor,
    )
    if monitor is not None and not is_traced(trajectory.unstable_from):
        _warn(trajectory, monitor)
    return trajectory


def _number(name: str, value: Any) -> Array:
    """Return a hyperparameter as an array to be traced, or refuse what cannot be."""
    array = isinstance(value, (np.ndarray, np.generic, jax.Array)) and is_real(value.dtype)
    if isinstance(value, bool) or not (array or isinstance(value, (int, float))):
        cure = f"Fix it in the factory: `functools.partial(optimiser, {name}=…)`."
        refuse(name, "a real number, to be a hyperparameter", value, cure)
    return jnp.asarray(value)


def parameters_of(model: PyTree) -> tuple[PyTree, PyTree]:
    """Split a model into what is trained and the rest; refuse what cannot be trained."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    if not jax.tree.leaves(parameters):
        refuse("model", "a pytree with at least one float JAX array", type(model).__name__)
    if any(map(jnp.iscomplexobj, jax.tree.leaves(parameters))):
        refuse("model", "real", "complex parameters", "Train real and imaginary parts.")
    check_finite("model", parameters)
    return parameters, static


def _warn(trajectory: Trajectory, monitor: AbstractMonitor) -> None:
    """Tell where the monitor reached its limit, and how the loss stood there."""
    first = int(trajectory.unstable_from)
    if first < 0:
        return
    row = int(jnp.argmax(trajectory.steps == first))
    value, loss = float(trajectory.readings.value[row]), float(trajectory.losses[row])
    warnings.warn(
        f"descent is unstable from step {first} on, where the loss is {loss:.4g}: "
        f"{monitor.told(value)}.",
        InstabilityWarning,
        stacklevel=3,
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
    monitor: AbstractMonitor | None,
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
        return loss(whole) if key is None else _keyed(loss, key, step, whole)

    def update(carry: tuple) -> tuple[tuple, Array]:
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

    def observe(parameters: PyTree, step: Array) -> tuple[PyTree, PyTree]:
        whole = eqx.combine(parameters, static)
        at_step = loss if key is None else functools.partial(_keyed, loss, key, step)
        return (
            None if record is None else record(whole),
            None if monitor is None else monitor(whole, at_step, step, hyperparameters),
        )

    start = (parameters, state, jnp.zeros((), jnp.int32))
    shape = jax.eval_shape(evaluate, parameters, start[2])
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        refuse("loss", "a function of the model to a real scalar", shape)

    def segment(carry: tuple, _: None) -> tuple[tuple, tuple[Array, PyTree]]:
        seen, began = observe(carry[0], carry[2]), carry[2]

        # The first loss is carried and not one of a stack, which would grow with `record_every`.
        def step(both: tuple, _: None) -> tuple[tuple, None]:
            carry, first = both
            after, value = update(carry)
            return (after, jnp.where(carry[2] == began, value, first)), None

        zero = jnp.zeros(shape.shape, shape.dtype)
        (carry, first), _ = jax.lax.scan(step, (carry, zero), None, length=record_every)
        return carry, (first, seen)

    (parameters, _, step), (losses, seen) = jax.lax.scan(segment, start, None, length=records)
    losses = jnp.append(losses, evaluate(parameters, step))
    seen = jax.tree.map(
        lambda rows, last: jnp.append(rows, jnp.asarray(last)[None], axis=0),
        seen,
        observe(parameters, step),
    )
    recorded, readings = seen
    steps = jnp.arange(records + 1, dtype=jnp.int32) * record_every
    finite = jnp.isfinite(losses).all()
    unstable = jnp.zeros(steps.shape, bool)
    if monitor is not None:
        unstable = ~(readings.value < monitor.limit)  # NaN is as bad
    ended = DescentResult.where(unstable.any(), DescentResult.unstable, DescentResult.successful)
    return Trajectory(
        steps=steps,
        losses=losses,
        recorded=recorded,
        model=eqx.combine(parameters, static),
        readings=readings,
        unstable_from=jnp.where(unstable.any(), steps[unstable.argmax()], -1),
        trusted=finite,
        result=DescentResult.where(finite, ended, DescentResult.diverged),
    )


def _keyed(loss: Callable[..., Any], key: PRNGKeyArray, step: Array, model: PyTree) -> Any:
    return loss(model, jax.random.fold_in(key, step))
