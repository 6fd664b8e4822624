"""Gradient flow: descent with infinitely small steps, by an adaptive solver of diffrax."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdepth._descent import parameters_of
from jaxdepth._misc import (
    RealLike,
    check_integer,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.dynamics._end_to_end import Depth, check_depth
from jaxdepth.dynamics._optax import check_matrix, end_to_end_sgd


class FlowResult(eqx.Enumeration):
    """How a flow ended.

    Example:
        >>> FlowResult[FlowResult.successful]
        'the flow reached its time'
    """

    successful: Any = "the flow reached its time"
    exhausted: Any = (
        "`max_steps` steps did not reach the time: raise it, loosen `rtol` and `atol`, or give a "
        "`solver` for stiff problems"
    )
    escaped: Any = (
        "the flow left every bound before its time: the steps of its last moments are shorter than "
        "rounding of the time"
    )
    not_finite: Any = "a loss or a parameter became NaN or infinite"


class Flow(eqx.Module):
    """What `flow` saw.

    Attributes:
        times: the moments of the records, 0 to `time`, evenly spaced.
        losses: the loss at those moments; NaN at those that were not reached.
        recorded: what `record(model)` returned at those moments, stacked on the first axis; at
            those that were not reached floats are NaN, integers 0 and booleans False. None where no
            `record` was asked for.
        model: the model at `reached`.
        reached: how far the flow came.
        steps: steps of the solver, rejected ones included.
        trusted: whether `result` is successful.
        result: a `FlowResult`.

    Example:
        >>> import jax.numpy as jnp
        >>> path = flow(jnp.array([2.0]), lambda w: (w**2).sum() / 2, 3.0, num_records=2)
        >>> path.times.tolist(), float(path.reached), bool(path.trusted)
        ([0.0, 3.0], 3.0, True)
    """

    times: Float[Array, " records"]
    losses: Float[Array, " records"]
    recorded: PyTree
    model: PyTree
    reached: Float[Array, ""]
    steps: Int[Array, ""]
    trusted: Bool[Array, ""]
    result: Any


def flow(
    model: PyTree,
    loss: Callable[[Any], Any],
    time: RealLike,
    *,
    depth: Depth = 1,
    weight_decay: RealLike = 0.0,
    num_records: int = 101,
    record: Callable[[Any], Any] | None = None,
    rtol: RealLike | None = None,
    atol: RealLike | None = None,
    max_steps: int = 16_384,
    solver: Any = None,
    adjoint: Any = None,
) -> Flow:
    r"""Integrate the gradient flow of a model, or of the end-to-end matrix of `depth` layers.

    With depth N = 1 every inexact array w of `model` follows ẇ = −λw − ∇L(w). With N above 1 every
    matrix W stands for a balanced product of N layers (Theorem 1):

        Ẇ = −λN·W − P_W[∇L(W)],

    and the other leaves flow as before. `descend` with `optax.sgd` and with `end_to_end_sgd` are
    Euler's method for the two, η the step: both approach them to first order in η.

    Works under `jit` and `vmap`, and is differentiable in reverse mode; in forward mode with
    `adjoint=diffrax.ForwardMode()`.

    Args:
        model: any pytree, usually an Equinox module; at a depth other than 1, or a traced one, with
            a matrix: one output is one row, `w[None]`. Its flow is computed in the widest of its
            dtypes, float32 at least, in which `loss` meets it; answers have its own.
        loss: `loss(model)`, a real scalar.
        time: how long, positive; may be traced. One step of descent takes the time η.
        depth: N ≥ 1, an integer or real number, static or traced.
        weight_decay: λ of each layer, at least 0.
        num_records: moments recorded, both ends included.
        record: what else to record of the model, any function of it to a pytree of arrays.
        rtol: relative tolerance of a step; 1e-9 in float64 and 1e-5 below by default.
        atol: absolute tolerance of a step; by default that of `rtol` as well.
        max_steps: the most steps of the solver.
        solver: a diffrax solver; Dormand and Prince's of order 5 by default. Stiff flows want
            `diffrax.Kvaerno5()`.
        adjoint: how diffrax differentiates; its default checkpoints in reverse mode.

    Returns:
        A `Flow`. A flow that does not reach its time is told by `result` and never raised.

    Raises:
        ImportError: diffrax is missing.
        ValueError: a time, tolerance, decay or count out of range, depth below 1, a model without
            parameters, with complex or with non-finite ones, or without a matrix at depth other
            than 1.

    Example:
        >>> import jax.numpy as jnp
        >>> path = flow(jnp.array([2.0]), lambda w: (w**2).sum() / 2, 3.0, num_records=4)
        >>> [round(loss, 4) for loss in path.losses.tolist()]  # 2·exp(−2t)
        [2.0, 0.2707, 0.0366, 0.005]

    Reference: Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
    Overparameterization* (2018), Theorem 1; diffrax: Kidger, *On Neural Differential Equations*
    (2021).
    """
    if importlib.util.find_spec("diffrax") is None:
        raise ImportError('`flow` needs diffrax: pip install "jaxdepth[flow]"')
    parameters, static = parameters_of(model)
    dtype = working_dtype(parameters)
    check_depth(depth)
    eps = 1e-9 if jnp.finfo(dtype).bits == 64 else 1e-5
    numbers = {
        "time": _checked("time", time, "positive"),
        "rtol": _checked("rtol", eps if rtol is None else rtol, "positive"),
        "atol": _checked("atol", eps if atol is None else atol, "positive"),
        "weight_decay": _checked("weight_decay", weight_decay, "at least 0"),
    }
    # Half precision has no room for time: its numbers are kept in float32 at least.
    real = dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)
    traced = {name: jnp.asarray(number).astype(real) for name, number in numbers.items()}
    plain = not is_traced(depth) and float(depth) == 1
    if not plain:
        check_matrix(parameters)
    return _integrate(
        parameters,
        static,
        loss,
        traced,
        None if plain else jnp.asarray(depth).astype(real),
        check_integer("num_records", num_records, 2),
        record,
        check_integer("max_steps", max_steps, 1),
        solver,
        adjoint,
    )


def _checked(name: str, number: Any, sign: str) -> Any:
    number = check_real(name, number)
    if not is_traced(number) and (number < 0 or (number == 0 and sign == "positive")):
        refuse(name, sign, number)
    return number


@eqx.filter_jit
def _integrate(
    parameters: PyTree,
    static: PyTree,
    loss: Callable[[Any], Any],
    numbers: dict[str, Array],
    depth: Array | None,
    num_records: int,
    record: Callable[[Any], Any] | None,
    max_steps: int,
    solver: Any,
    adjoint: Any,
) -> Flow:
    import diffrax
    import optimistix

    time, decay = numbers["time"], numbers["weight_decay"]
    given, wide = parameters, jnp.promote_types(working_dtype(parameters), time.dtype)
    parameters = jax.tree.map(lambda leaf: leaf.astype(wide), given)

    def evaluate(parameters: PyTree) -> Array:
        return loss(eqx.combine(parameters, static))

    # Both are linear in the rate, and have no memory: one update at rate 1 is the velocity.
    transform = (
        optax.chain(optax.add_decayed_weights(decay), optax.scale(-1.0))
        if depth is None
        else end_to_end_sgd(1.0, depth, decay)
    )

    def velocity(t: Any, parameters: PyTree, args: Any) -> PyTree:
        del t, args
        gradient = jax.grad(evaluate)(parameters)
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = transform.update(gradient, transform.init(parameters), parameters)
        return jax.tree.map(lambda update, w: update.astype(w.dtype), updates, parameters)

    def own(parameters: PyTree) -> PyTree:
        narrow = jax.tree.map(lambda x, like: x.astype(like.dtype), parameters, given)
        return eqx.combine(narrow, static)

    def norm(tree: PyTree) -> Array:
        size = optimistix.rms_norm(tree)  # NaN where a trial step has overflown: to be refused
        return jnp.where(jnp.isnan(size), jnp.inf, size)

    def observe(t: Any, parameters: PyTree, args: Any) -> tuple[Array, PyTree]:
        del t, args
        seen = None if record is None else record(own(parameters))
        return evaluate(parameters), jax.tree.map(jnp.asarray, seen)

    times = time * jnp.linspace(0, 1, num_records, dtype=time.dtype)
    # diffrax fills what it has not reached with infinities, whatever the dtype.
    with np.errstate(invalid="ignore"):
        path = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Dopri5() if solver is None else solver,
            jnp.zeros_like(time),
            times[-1],
            None,
            parameters,
            saveat=diffrax.SaveAt(
                subs=[
                    diffrax.SubSaveAt(t0=True, ts=times[1:], fn=observe),
                    diffrax.SubSaveAt(t1=True),
                ]
            ),
            stepsize_controller=diffrax.PIDController(
                rtol=numbers["rtol"], atol=numbers["atol"], norm=norm
            ),
            max_steps=max_steps,
            throw=False,
            **({} if adjoint is None else {"adjoint": adjoint}),
        )
    (losses, seen), last = path.ys
    last = jax.tree.map(lambda rows: rows[0], last)
    passed = jnp.isfinite(path.ts[0])

    def blank(rows: Array) -> Array:
        inexact = jnp.issubdtype(rows.dtype, jnp.inexact)
        empty = jnp.asarray(jnp.nan if inexact else 0).astype(rows.dtype)
        return jnp.where(passed.reshape(-1, *[1] * (rows.ndim - 1)), rows, empty)

    finite = jnp.isfinite(jnp.where(passed, losses, 0)).all()
    finite &= jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(last)]).all()
    arrived = path.result == diffrax.RESULTS.successful
    reached = path.ts[1][0]
    escaped = _outruns_time(last, velocity(None, last, None), reached)
    ended = FlowResult.where(escaped, FlowResult.escaped, FlowResult.exhausted)
    ended = FlowResult.where(arrived, FlowResult.successful, ended)
    return Flow(
        times=times,
        losses=blank(losses),
        recorded=jax.tree.map(blank, seen),
        model=own(last),
        reached=reached,
        steps=jnp.asarray(path.stats["num_steps"]).astype(jnp.int32),
        trusted=finite & arrived,
        result=FlowResult.where(finite, ended, FlowResult.not_finite),
    )


def _outruns_time(parameters: PyTree, velocity: PyTree, t: Array) -> Array:
    """Whether the shortest step that the clock can tell grows the model by its own thousandth."""
    size = optax.tree.norm(parameters)
    outward = optax.tree.vdot(jax.tree.map(lambda leaf: leaf / size, parameters), velocity)
    return outward * t * jnp.finfo(t.dtype).eps > 1e-3 * size
