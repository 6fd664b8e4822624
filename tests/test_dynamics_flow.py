"""Gradient flow: Theorem 1 as an equation, its conserved quantities, and descent as its Euler."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matrices import Target, problem

from jaxdepth.dynamics import FlowResult, descend, end_to_end_sgd, flow
from jaxdepth.networks import DeepLinear


def itself(W):
    return W


def seen(net):
    return net.end_to_end(), net.imbalance()


@pytest.mark.parametrize(
    ("shape", "N"),
    [
        ((2, 3), 3),
        pytest.param((3, 2), 2, marks=pytest.mark.slow),
        pytest.param((3, 3), 4, marks=pytest.mark.slow),
        pytest.param((1, 4), 5, marks=pytest.mark.slow),
        pytest.param((4, 1), 2, marks=pytest.mark.slow),
    ],
)
def test_the_flow_of_balanced_layers_is_that_of_the_rule(x64, shape, N):
    """Theorem 1 with weight decay, and the conserved imbalance along the way.

    Both sides are right to some tens of the solver's tolerance, 1e-9 a step.
    """
    target, W = problem(shape)
    layers = DeepLinear.balanced_from(W, N)
    # Off balance by ‖D‖ of order 1: D(t) = exp(−2λt)·D(0) whatever the start.
    tilted = eqx.tree_at(lambda net: net.layers[0], layers, 1.5 * layers.layers[0])
    settings = {"weight_decay": 0.2, "num_records": 5}

    path = flow(layers, target.loss, 2.0, record=seen, **settings)
    rule = flow(W, target.loss, 2.0, depth=N, record=itself, **settings)
    np.testing.assert_allclose(path.recorded[0], rule.recorded, atol=1e-7)
    np.testing.assert_allclose(path.losses, rule.losses, atol=1e-7)
    assert max(float(jnp.abs(D).max()) for D in path.recorded[1]) < 1e-8
    _, D = flow(tilted, target.loss, 2.0, record=seen, **settings).recorded
    decayed = np.exp(-2 * 0.2 * np.asarray(path.times))[:, None, None]
    for each in map(np.asarray, D):
        np.testing.assert_allclose(each, decayed * each[0], atol=1e-8)


def test_descent_is_its_method_of_euler(x64):
    """The gap at fixed time halves with the rate."""
    target, W = problem((2, 3))
    settings = {"depth": 3, "weight_decay": 0.2}
    ends = flow(W, target.loss, 2.0, record=itself, num_records=5, **settings).model

    def gap(steps):
        traced = {**settings, "learning_rate": 2 / steps}
        run = descend(
            W,
            target.loss,
            end_to_end_sgd,
            1024,
            hyperparameters=traced,
            record=itself,
            record_every=512,
        )
        return float(jnp.linalg.norm(run.recorded[steps // 512] - ends))

    assert 0.97 < np.log2(gap(512) / gap(1024)) < 1.03


def test_one_mode_follows_the_logistic_curve(x64):
    """N = 2, one entry: ẇ = 2|w|(s − w) is s/(1 + (s/w₀ − 1)e^{−2st})."""
    s, start = 2.0, 0.01
    path = flow(jnp.array([[start]]), Target(jnp.array([[s]])).loss, 3.0, depth=2, record=jnp.sum)
    exact = s / (1 + (s / start - 1) * np.exp(-2 * s * np.linspace(0, 3, 101)))
    np.testing.assert_allclose(path.recorded, exact, rtol=1e-7)
    np.testing.assert_allclose(path.losses, (exact - s) ** 2 / 2, atol=1e-7)
    assert path.trusted
    assert path.result == FlowResult.successful
    assert float(path.reached) == 3.0


def bowl(w):
    return (w**2).sum() / 2


@pytest.mark.once
@pytest.mark.parametrize(
    "transform",
    [lambda f: f, pytest.param(jax.grad, marks=pytest.mark.slow)],
    ids=["value", "gradient"],
)
def test_it_maps_over_times_in_float32_and_differentiates(transform):
    """The loss at t of ẇ = −w is |w(0)|²e^{−2t}/2; its slope in |w(0)| = 1 is e^{−2t}."""

    def last(scale, time):
        path = flow(scale * jnp.array([0.6, -0.8]), bowl, time, num_records=2)
        chex.assert_type([path.losses, path.model], jnp.float32)
        return path.losses[-1]

    times = np.array([0.5, 1.0])
    found = jax.vmap(transform(last), (None, 0))(jnp.array(1.0), jnp.asarray(times))
    expected = np.exp(-2 * times) * (1 if transform is jax.grad else 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # the solver's 1e-5 a step


@pytest.mark.once
def test_a_time_out_of_reach_is_told_and_not_raised():
    path = flow(jnp.array([1.0]), bowl, 10.0, num_records=3, max_steps=4, record=lambda w: w)
    assert path.result == FlowResult.exhausted
    assert not path.trusted
    assert int(path.steps) == 4
    assert 0 < float(path.reached) < 10
    np.testing.assert_array_equal(np.isnan(path.losses), [False, True, True])
    np.testing.assert_array_equal(np.isnan(path.recorded[:, 0]), [False, True, True])


def test_a_flow_that_blows_up_is_told_with_its_time(x64):
    """ẇ = w³ from 1 is 1/√(1 − 2t)."""
    path = flow(jnp.array([1.0]), lambda w: -(w**4).sum() / 4, 1.0, num_records=5)
    assert path.result == FlowResult.escaped
    np.testing.assert_allclose(path.reached, 0.5, atol=1e-8)
    np.testing.assert_allclose(path.losses[1], -1.0, rtol=1e-6)


@pytest.mark.once
def test_a_stiff_flow_is_no_escape_and_its_trial_steps_may_overflow():
    """The logistic s/(1 + (s/w₀ − 1)e^{−2t}), s = 1e-3, from afar; and 10⁴-fold decay to 0."""
    path = flow(jnp.array([[1.0]]), lambda w: 500 * ((w - 1e-3) ** 2).sum(), 1.0, depth=2)
    assert path.trusted
    np.testing.assert_allclose(path.model, 1e-3 / (1 - 0.999 * np.exp(-2)), rtol=1e-2)
    path = flow(jnp.array([1.0]), lambda w: 5e3 * (w**2).sum(), 20.0, num_records=2)
    assert path.result == FlowResult.exhausted


@pytest.mark.once
def test_what_was_not_reached_is_blank_and_dtypes_are_kept():
    """A flow of unlike halves, stopped by its first step."""
    w = {"a": jnp.ones(2), "b": jnp.ones(2, jnp.bfloat16)}

    def loss(w):
        return bowl(w["a"]) + bowl(w["b"].astype(w["a"].dtype))

    def record(w):
        return w["b"], (w["a"] > 0).astype(jnp.int32), w["a"] > 0

    path = flow(w, loss, 1.0, num_records=2, record=record, max_steps=1)
    chex.assert_trees_all_equal_dtypes(path.model, w)
    floats, whole, flags = path.recorded
    assert floats.dtype == jnp.bfloat16
    np.testing.assert_array_equal(jnp.isnan(floats[:, 0]), [False, True])
    np.testing.assert_array_equal(whole[:, 0], [1, 0])
    np.testing.assert_array_equal(flags[:, 0], [True, False])


@pytest.mark.once
def test_only_float_arrays_flow():
    model = {"w": jnp.array([2.0]), "count": jnp.array(3), "name": "fixed"}
    path = flow(model, lambda m: bowl(m["w"]), 1.0, num_records=2, weight_decay=1.0)
    assert path.model["name"] == "fixed"
    assert int(path.model["count"]) == 3
    np.testing.assert_allclose(path.model["w"], 2 * np.exp(-2), rtol=1e-4)


@pytest.mark.slow
def test_forward_mode_and_another_solver_serve_as_well(x64):
    diffrax = pytest.importorskip("diffrax")

    def last(scale):
        path = flow(
            scale * jnp.array([1.0, 2.0]),
            bowl,
            1.0,
            num_records=2,
            solver=diffrax.Kvaerno5(),
            adjoint=diffrax.ForwardMode(),
        )
        return path.losses[-1]

    value, slope = jax.jvp(last, (1.0,), (1.0,))
    np.testing.assert_allclose([value, slope], [2.5 * np.exp(-2), 5 * np.exp(-2)], rtol=1e-7)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"time": 0.0}, "`time` must be positive; got 0"),
        ({"time": float("nan")}, "`time` must be finite"),
        ({"rtol": -1e-3}, "`rtol` must be positive"),
        ({"atol": 0.0}, "`atol` must be positive"),
        ({"weight_decay": -0.1}, "`weight_decay` must be at least 0"),
        ({"depth": 0.5}, "`depth` must be a number, at least 1"),
        ({"num_records": 1}, "`num_records` must be an integer, at least 2"),
        ({"max_steps": 0}, "`max_steps` must be an integer, at least 1"),
        ({"model": "none"}, "`model` must be a pytree with at least one float"),
        ({"depth": 2}, r"`model` must be one with a matrix.*`w\[None\]`"),
    ],
)
def test_bad_arguments_are_refused(untyped, change, match):
    with pytest.raises(ValueError, match=match):
        flow(**{"model": jnp.ones(2), "loss": bowl, "time": 1.0, **change})


@pytest.mark.once
def test_without_diffrax_the_cure_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "jaxdepth\[flow\]"'):
        flow(jnp.ones(2), bowl, 1.0)
