"""The compiled training loop, against closed forms of gradient descent."""

import functools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.dynamics import DescentResult, descend

CURVATURE = (1.0, 0.25)


class Bowl(eqx.Module):
    """L(w) = Σ λ_i w_i²/2, on which descent multiplies w_i by 1 − ηλ_i."""

    curvature: jax.Array

    def loss(self, w):
        return (self.curvature * w**2).sum() / 2


def bowl():
    return Bowl(jnp.array(CURVATURE))


def closed_losses(rate, steps, start=(1.0, -2.0)):
    """The loss after each number of steps, in float64."""
    λ, w = np.array(CURVATURE), np.array(start)
    powers = (1 - rate * λ) ** np.asarray(steps)[:, None]
    return (λ * (powers * w) ** 2).sum(axis=1) / 2


def start():
    return jnp.array([1.0, -2.0])


def rounding():
    """A run of tens of steps loses some tens of roundings."""
    return 64 * float(jnp.finfo(jnp.result_type(float)).eps)


def test_descent_on_a_quadratic_follows_its_closed_form():
    run = descend(start(), bowl().loss, optax.sgd(0.5), 20)
    np.testing.assert_array_equal(run.steps, np.arange(21))
    np.testing.assert_allclose(run.losses, closed_losses(0.5, range(21)), rtol=rounding())
    np.testing.assert_allclose(run.model, [0.5**20, -2 * 0.875**20], rtol=rounding())


@pytest.mark.once(x64=True)
def test_sparse_records_are_those_of_the_dense_run():
    dense = descend(start(), bowl().loss, optax.sgd(0.3), 12, record=jnp.abs)
    sparse = descend(start(), bowl().loss, optax.sgd(0.3), 12, record_every=4, record=jnp.abs)
    np.testing.assert_array_equal(sparse.steps, [0, 4, 8, 12])
    chex.assert_trees_all_close(
        (sparse.losses, sparse.recorded, sparse.model),
        (dense.losses[::4], dense.recorded[::4], dense.model),
        rtol=rounding(),
    )
    chex.assert_trees_all_equal(sparse.recorded[-1], jnp.abs(sparse.model))


@pytest.mark.once
def test_memory_does_not_grow_with_the_steps_between_two_records():
    def scratch(steps):
        @jax.jit
        def last(w):
            return descend(w, bowl().loss, optax.sgd(0.1), steps, record_every=steps).losses

        return last.lower(start()).compile().memory_analysis().temp_size_in_bytes

    assert scratch(10**6) == scratch(10)


@pytest.mark.once(x64=True)
def test_vmap_over_rates_equals_a_loop_over_them():
    rates = jnp.array([0.1, 0.5, 1.0])

    def last(rate):
        return descend(
            start(), bowl().loss, optax.sgd, 10, hyperparameters={"learning_rate": rate}
        ).losses

    chex.assert_trees_all_close(
        jax.vmap(last)(rates), jnp.stack([last(rate) for rate in rates]), rtol=rounding()
    )


def test_jit_equals_eager():
    def last(w):
        return descend(w, bowl().loss, optax.adam(0.1), 10).model

    chex.assert_trees_all_close(jax.jit(last)(start()), last(start()), rtol=rounding())


def test_every_learning_rate_shares_one_compilation():
    chex.clear_trace_counter()
    problem = bowl()

    # Three times within one compile: for its shape, in the scan with its gradient, and once after
    # the last step.
    @chex.assert_max_traces(n=3)
    def loss(w):
        return problem.loss(w)

    for rate in (0.1, 0.2, 0.4):
        run = descend(start(), loss, optax.sgd, 3, hyperparameters={"learning_rate": rate})
        np.testing.assert_allclose(run.losses, closed_losses(rate, range(4)), rtol=rounding())


@pytest.mark.parametrize("derivative", [jax.jacfwd, jax.jacrev])
def test_the_final_loss_is_differentiable_in_the_rate(derivative):
    steps = 6

    def last(rate):
        return descend(
            start(), bowl().loss, optax.sgd, steps, hyperparameters={"learning_rate": rate}
        ).losses[-1]

    λ, w, rate = np.array(CURVATURE), np.array([1.0, -2.0]), 0.5
    expected = -(steps * λ**2 * (1 - rate * λ) ** (2 * steps - 1) * w**2).sum()
    np.testing.assert_allclose(derivative(last)(jnp.array(rate)), expected, rtol=rounding())


def test_a_divergence_is_told_and_not_raised():
    run = descend(start(), bowl().loss, optax.sgd(1e30), 30)
    assert not run.trusted
    assert run.result == DescentResult.diverged
    converged = descend(start(), bowl().loss, optax.sgd(0.1), 30)
    assert converged.trusted
    assert converged.result == DescentResult.successful


@pytest.mark.once(x64=True)
def test_minibatch_keys_differ_by_step_and_repeat_by_run(getkey):
    def noise(w, key):
        return (w * jax.random.normal(key, (2,), w.dtype)).sum()

    run = functools.partial(descend, start(), noise, optax.sgd(1.0), 4, record=lambda w: w)
    first, again, other = (run(key=key) for key in (jax.random.key(7), jax.random.key(7), getkey()))
    chex.assert_trees_all_equal(first.recorded, again.recorded)
    moves = np.diff(np.asarray(first.recorded), axis=0)
    assert len(np.unique(moves)) == moves.size
    assert not np.allclose(first.model, other.model)


@pytest.mark.parametrize("optimiser", [optax.adam, optax.adagrad, optax.adadelta])
def test_optimisers_keep_the_dtype_under_strict_promotion(x64, optimiser):
    for dtype in (jnp.float32, jnp.float64):
        w = jnp.array([1.0, -2.0], dtype)
        curvature = Bowl(jnp.array(CURVATURE, dtype))
        run = descend(w, curvature.loss, optimiser, 3, hyperparameters={"learning_rate": 0.1})
        chex.assert_type([run.model, run.losses], dtype)


@pytest.mark.once(x64=True)
@pytest.mark.parametrize(
    "optimiser",
    [
        optax.lbfgs(),
        optax.polyak_sgd(),
        optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(9)),
    ],
    ids=["lbfgs", "polyak", "backtracking"],
)
def test_optimisers_that_ask_for_the_loss_are_given_it(optimiser):
    run = descend(start(), bowl().loss, optimiser, 20, record_every=20)
    assert float(run.losses[-1]) < 1e-3 * float(run.losses[0])


def test_an_optimiser_that_knows_no_extra_arguments_is_given_none():
    run = descend(start(), bowl().loss, optax.contrib.sam(optax.sgd(0.5), optax.sgd(0.1)), 20)
    assert float(run.losses[-1]) < 0.1 * float(run.losses[0])


def test_gradients_may_be_accumulated_over_steps():
    """Two steps of `MultiSteps` are one of descent, for the gradient does not change between."""
    accumulated = descend(start(), bowl().loss, optax.MultiSteps(optax.sgd(0.5), 2), 8)
    plain = descend(start(), bowl().loss, optax.sgd(0.5), 4)
    np.testing.assert_allclose(accumulated.losses[::2], plain.losses, rtol=rounding())


def test_a_recorded_number_is_stacked_as_an_array_is():
    run = descend(
        start(), bowl().loss, optax.sgd(0.5), 2, record=lambda w: {"one": 1.0, "no": None}
    )
    np.testing.assert_array_equal(run.recorded["one"], [1, 1, 1])


def test_only_float_arrays_are_trained():
    model = {"w": start(), "count": jnp.array(3), "name": "fixed"}
    run = descend(model, lambda m: bowl().loss(m["w"]), optax.sgd(0.5), 2)
    assert int(run.model["count"]) == 3
    assert run.model["name"] == "fixed"
    np.testing.assert_allclose(run.model["w"], [0.25, -2 * 0.875**2], rtol=rounding())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": 0}, "`steps` must be an integer, at least 1"),
        ({"steps": 2.0}, "`steps` must be an integer"),
        ({"record_every": 3}, "`record_every` must be a divisor of steps=10"),
        ({"model": "none"}, "`model` must be a pytree with at least one float"),
        ({"optimiser": 3}, "`optimiser` must be an optax transformation or a factory"),
        ({"hyperparameters": {"learning_rate": 0.1}}, "`optimiser` must be a factory"),
        ({"loss": lambda w: w**2}, "`loss` must be a function of the model to a real scalar"),
        ({"key": 3}, "`key` must be one random key"),
        (
            {"optimiser": optax.sgd, "hyperparameters": {"learning_rate": lambda step: 0.1}},
            "`learning_rate` must be a real number, to be a hyperparameter",
        ),
        (
            {"optimiser": optax.sgd, "hyperparameters": {"learning_rate": 0.1, "nesterov": True}},
            r"`nesterov` must be a real number.*functools.partial\(optimiser, nesterov=",
        ),
    ],
)
def test_bad_arguments_are_refused(untyped, change, match):
    arguments = {"model": start(), "loss": bowl().loss, "optimiser": optax.sgd(0.1), "steps": 10}
    with pytest.raises(ValueError, match=match):
        descend(**{**arguments, **change})


def test_complex_parameters_are_refused():
    """JAX's gradient of a real loss is the conjugate of the way up: descent would climb."""
    with pytest.raises(ValueError, match="`model` must be real; got 'complex parameters'"):
        descend(jnp.array([1.0 + 1.0j]), lambda w: (jnp.abs(w) ** 2).sum(), optax.sgd(0.1), 1)


def test_a_model_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="`model` must be finite"):
        descend(jnp.array([jnp.nan]), lambda w: w.sum(), optax.sgd(0.1), 1)
