"""The rule as an optimiser: Theorem 1 by running both sides."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.dynamics import descend, end_to_end, end_to_end_sgd, scale_by_end_to_end
from jaxdepth.networks import DeepLinear


class Target(eqx.Module):
    """L(W) = ‖W − M‖²/2, for a matrix or for layers of it."""

    M: jax.Array

    def loss(self, W):
        W = W.end_to_end() if isinstance(W, DeepLinear) else W
        return ((W - self.M) ** 2).sum() / 2


def problem(shape):
    rng = np.random.default_rng(0)
    return Target(jnp.asarray(rng.normal(size=shape))), jnp.asarray(0.5 * rng.normal(size=shape))


@pytest.mark.parametrize("N", [2, 3])
@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
def test_layers_approach_the_rule_to_first_order_in_the_rate(x64, shape, N):
    """Theorem 1, with weight decay: at fixed time the gap halves with η (order .95 to 1.05)."""
    target, W = problem(shape)
    decay, T, halvings = 0.2, 1.0, [7, 9]
    gaps = []
    for k in halvings:
        eta = T / 2**k
        rule = descend(W, target.loss, end_to_end_sgd(eta, N, decay), 2**k, record_every=2**k)
        layered = optax.chain(optax.add_decayed_weights(decay), optax.sgd(eta))
        layers = descend(
            DeepLinear.balanced_from(W, N), target.loss, layered, 2**k, record_every=2**k
        )
        gaps.append(float(jnp.linalg.norm(layers.model.end_to_end() - rule.model)))
    order = -np.polyfit(halvings, np.log2(gaps), 1)[0]
    assert 0.95 < order < 1.05


def test_only_matrices_are_preconditioned():
    rule = scale_by_end_to_end(3)
    params = {"W": jnp.array([[1.0, 2.0]]), "b": jnp.array([1.0, 2.0]), "c": jnp.array(3.0)}
    grads = jax.tree.map(lambda leaf: leaf + 1, params)
    state = rule.init(params)
    updates, after = rule.update(grads, state, params)
    assert isinstance(state, tuple)
    assert hasattr(state, "_fields")  # a NamedTuple, as optax's states are
    assert after == state
    chex.assert_trees_all_equal(updates, {**grads, "W": end_to_end(params["W"], grads["W"], 3)})


def test_what_is_not_trained_has_no_update(getkey):
    """Equinox marks it by None; the parameters given may be the whole model, functions too."""
    model = eqx.nn.MLP(2, 1, 3, 1, key=getkey())
    grads = eqx.filter_grad(lambda model: model(jnp.ones(2)).sum())(model)
    trained = eqx.filter(model, eqx.is_inexact_array)
    for rule in (scale_by_end_to_end(2), end_to_end_sgd(0.1, 2, 0.01)):
        whole, _ = rule.update(grads, rule.init(trained), model)
        part, _ = rule.update(grads, rule.init(trained), trained)
        chex.assert_trees_all_equal(whole, part)
        assert whole.activation is None


def test_depth_one_is_plain_descent_with_weight_decay():
    params = jnp.array([[1.0, -2.0], [0.5, 4.0]])
    rule = end_to_end_sgd(0.1, 1, 0.25)
    plain = optax.chain(optax.add_decayed_weights(0.25), optax.sgd(0.1))
    updates = [t.update(params + 1, t.init(params), params)[0] for t in (rule, plain)]
    chex.assert_trees_all_close(*updates, rtol=1e-6)


def test_decay_shrinks_a_matrix_by_every_layer_and_the_rest_once():
    params = {"W": jnp.array([[2.0, -4.0]]), "b": jnp.array([2.0])}
    rule = end_to_end_sgd(0.5, 3, 0.125)
    updates, _ = rule.update(jax.tree.map(jnp.zeros_like, params), rule.init(params), params)
    after = optax.apply_updates(params, updates)
    expected = {"W": params["W"] * (1 - 0.5 * 0.125 * 3), "b": params["b"] * (1 - 0.5 * 0.125)}
    chex.assert_trees_all_close(after, expected, rtol=1e-6)


def test_the_rate_may_be_a_schedule():
    rule = end_to_end_sgd(optax.piecewise_constant_schedule(1.0, {1: 0.5}), 2)
    W, G = jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 0.0]])
    state = rule.init(W)
    with jax.numpy_dtype_promotion("standard"):  # optax's schedules mix int32 and Python floats
        first, state = rule.update(G, state, W)
        second, _ = rule.update(G, state, W)
    np.testing.assert_allclose(first, [[-4.0, 0.0]], rtol=1e-6)  # ‖w‖(g + Pr_w g)
    np.testing.assert_allclose(second, [[-2.0, 0.0]], rtol=1e-6)


def test_depths_share_one_compilation_and_equal_a_loop():
    chex.clear_trace_counter()
    target = Target(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    start = jnp.array([[0.5, 0.0], [0.0, 0.25]])

    @chex.assert_max_traces(n=2)  # the scan's gradient and the last loss, once for all depths
    def loss(W):
        return target.loss(W)

    def final(depth):
        settings = {"learning_rate": 0.05, "depth": depth}
        return descend(start, loss, end_to_end_sgd, 4, hyperparameters=settings).model

    loop = jnp.stack([final(depth) for depth in (1.0, 2.0, 3.0)])
    chex.clear_trace_counter()
    batched = jax.vmap(final)(jnp.array([1.0, 2.0, 3.0]))
    chex.assert_trees_all_close(batched, loop, rtol=1e-5)


def test_the_state_and_updates_keep_the_dtype(x64):
    for dtype in (jnp.float32, jnp.float64):
        W = jnp.ones((2, 3), dtype)
        rule = scale_by_end_to_end(2)
        updates, _ = rule.update(W, rule.init(W), W)
        chex.assert_type(updates, dtype)


def test_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match="`depth` must be a number, at least 1"):
        scale_by_end_to_end(0)
    with pytest.raises(ValueError, match="`depth` must be a number"):
        end_to_end_sgd(0.1, jnp.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="`weight_decay` must be at least 0"):
        end_to_end_sgd(0.1, 2, -0.1)
    with pytest.raises(ValueError, match="`weight_decay` must be finite"):
        end_to_end_sgd(0.1, 2, float("nan"))
    rule = scale_by_end_to_end(2)
    W = jnp.ones((2, 2))
    with pytest.raises(ValueError, match="`params` must be given to `update`"):
        rule.update(W, rule.init(W))
