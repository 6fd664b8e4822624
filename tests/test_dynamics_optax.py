"""The rule as an optimiser: Theorem 1 by running both sides."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matrices import Target, problem

from jaxdepth.dynamics import descend, end_to_end, end_to_end_sgd, scale_by_end_to_end
from jaxdepth.networks import DeepLinear

DECAY = 0.2


def layered(learning_rate):
    return optax.chain(optax.add_decayed_weights(DECAY), optax.sgd(learning_rate))


def product(model):
    return model.end_to_end() if isinstance(model, DeepLinear) else model


@pytest.mark.parametrize("N", [2, 3])
@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
def test_layers_approach_the_rule_to_first_order_in_the_rate(x64, shape, N):
    """Theorem 1, with weight decay: at time 1 the gap halves with η (order .95 to 1.05)."""
    target, W = problem(shape)
    layers = DeepLinear.balanced_from(W, N)

    def gap(steps):
        rate = {"learning_rate": 1 / steps}
        settings = {**rate, "depth": float(N), "weight_decay": DECAY}
        # Every rate by one program: as many steps, read where the time is 1.
        both = [
            descend(*args, 512, hyperparameters=traced, record=product, record_every=128)
            for *args, traced in (
                (W, target.loss, end_to_end_sgd, settings),
                (layers, target.loss, layered, rate),
            )
        ]
        rule, product_of_layers = (run.recorded[steps // 128] for run in both)
        return float(jnp.linalg.norm(product_of_layers - rule))

    assert 2 * 0.95 < np.log2(gap(128) / gap(512)) < 2 * 1.05


@pytest.mark.once(x64=True)
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


@pytest.mark.once(x64=True)
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


@pytest.mark.once(x64=True)
def test_depths_share_one_compilation_and_equal_a_loop():
    chex.clear_trace_counter()
    target = Target(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    start = jnp.array([[0.5, 0.0], [0.0, 0.25]])

    @chex.assert_max_traces(n=3)  # its shape, the gradient and the last loss, for all depths
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


# ---- Composition: every chain against the updates written out by hand ----

PARAMS = {"W": np.array([[1.0, -2.0, 0.5], [0.0, 1.5, 1.0]]), "b": np.array([0.5, -1.0])}
GRADS = [  # of three steps, the same whatever the parameters
    {
        "W": np.array([[0.5, 1.0, -1.0], [2.0, 0.0, 0.25]]) * (1 - 2 * (t % 2)) / (1 + t),
        "b": np.array([1.0, -0.5]) * (1 + t),
    }
    for t in range(3)
]
N, RATE = 3, 0.1


def rule(W, G):
    """P_W[G] in float64, from the singular values as Claim 1 has it."""
    U, s, Vt = np.linalg.svd(W)
    left, right = np.zeros(len(U)), np.zeros(len(Vt))
    left[: len(s)] = right[: len(s)] = s
    K = sum(
        np.outer(left ** (2 * (N - j) / N), right ** (2 * (j - 1) / N)) for j in range(1, N + 1)
    )
    return U @ (K * (U.T @ G @ Vt.T)) @ Vt


def preconditioned(grads, params):
    return {"W": rule(params["W"], grads["W"]), "b": grads["b"]}


def each(function, *trees):
    return {name: function(*(tree[name] for tree in trees)) for name in PARAMS}


def by_schedule(t, grads, params, memory):
    rate = RATE * (0.5 if t >= 2 else 1.0)
    return each(lambda G: -rate * G, preconditioned(grads, params)), memory


def by_clipping(t, grads, params, memory):
    moved = preconditioned(grads, params)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in moved.values()))
    return each(lambda G: -RATE * G * min(1, 2.0 / norm), moved), memory


def by_momentum(t, grads, params, memory):
    moved = preconditioned(grads, params)
    memory = moved if memory is None else each(lambda G, m: G + 0.9 * m, moved, memory)
    return each(lambda m: -RATE * m, memory), memory


def by_momentum_below(t, grads, params, memory):
    memory = grads if memory is None else each(lambda G, m: G + 0.9 * m, grads, memory)
    return each(lambda G: -RATE * G, preconditioned(memory, params)), memory


def by_decay(t, grads, params, memory):
    moved = preconditioned(grads, params)
    return each(lambda G, w: -RATE * (G + 0.2 * w), moved, params), memory


def by_adam(t, grads, params, memory):
    zero = each(np.zeros_like, params)
    m, v = (zero, zero) if memory is None else memory
    m = each(lambda m, G: 0.9 * m + 0.1 * G, m, grads)
    v = each(lambda v, G: 0.99 * v + 0.01 * G**2, v, grads)
    step = t + 1
    scaled = each(lambda m, v: m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-3), m, v)
    return each(lambda G: -RATE * G, preconditioned(scaled, params)), (m, v)


def plainly(t, grads, params, memory):
    return each(lambda G: -RATE * G, preconditioned(grads, params)), memory


def with_layers_decay(t, grads, params, memory):
    moved = preconditioned(grads, params)
    decay = {"W": 0.2 * N, "b": 0.2}
    return each(lambda G, w, d: -RATE * (G + d * w), moved, params, decay), memory


def every_second(t, grads, params, memory):
    if memory is None:
        return each(np.zeros_like, grads), grads
    mean = each(lambda a, b: (a + b) / 2, grads, memory)
    return plainly(t, mean, params, memory)[0], None


def matrices_only(tree):
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) == 2, tree)


def in_names(tree):
    return jax.tree.map(lambda leaf: "matrix" if jnp.ndim(leaf) == 2 else "other", tree)


P = scale_by_end_to_end(N)
HALVED = optax.piecewise_constant_schedule(RATE, {2: 0.5})
CHAINS = {
    "a schedule": (
        optax.chain(P, optax.scale_by_schedule(lambda t: -HALVED(t))),
        by_schedule,
    ),
    "clipping": (
        optax.chain(P, optax.clip_by_global_norm(2.0), optax.scale(-RATE)),
        by_clipping,
    ),
    "momentum": (optax.chain(P, optax.trace(0.9), optax.scale(-RATE)), by_momentum),
    "momentum below": (optax.chain(optax.trace(0.9), P, optax.scale(-RATE)), by_momentum_below),
    "decay": (optax.chain(P, optax.add_decayed_weights(0.2), optax.scale(-RATE)), by_decay),
    "adam": (
        optax.chain(optax.scale_by_adam(0.9, 0.99, 1e-3), P, optax.scale(-RATE)),
        by_adam,
    ),
    "a mask": (optax.chain(optax.masked(P, matrices_only), optax.scale(-RATE)), plainly),
    "a transformation for each leaf": (
        optax.multi_transform(
            {"matrix": end_to_end_sgd(RATE, N), "other": optax.sgd(RATE)}, in_names
        ),
        plainly,
    ),
    "injected hyperparameters": (
        optax.inject_hyperparams(end_to_end_sgd)(RATE, depth=N, weight_decay=0.2),
        with_layers_decay,
    ),
    "an injected schedule": (
        optax.inject_hyperparams(end_to_end_sgd)(HALVED, depth=N),
        by_schedule,
    ),
    "accumulation": (optax.MultiSteps(end_to_end_sgd(RATE, N), 2), every_second),
}


@pytest.mark.once(x64=True)
@pytest.mark.parametrize("name", CHAINS)
def test_the_rule_composes_with(name):
    """Three steps in the suite's precision, against NumPy's float64."""
    transform, by_hand = CHAINS[name]
    dtype = jnp.result_type(float)
    params, expected = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), PARAMS), PARAMS
    memory = None
    with jax.numpy_dtype_promotion("standard"):
        state = transform.init(params)
        for t, grads in enumerate(GRADS):
            updates, state = transform.update(
                jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), grads), state, params
            )
            chex.assert_trees_all_equal_dtypes(updates, params)
            params = optax.apply_updates(params, updates)
            updates, memory = by_hand(t, grads, expected, memory)
            expected = each(np.add, expected, updates)
    # float32's rounding of the rule is 5e-6, and three steps of size 1 add up
    tolerance = 1e-12 if dtype == jnp.float64 else 3e-5
    for leaf in PARAMS:
        np.testing.assert_allclose(params[leaf], expected[leaf], atol=tolerance)


class Halves(eqx.Module):
    """A network with a convolution, whose bias has two axes, nonlinear layers and biases."""

    conv: eqx.nn.Conv1d
    net: eqx.nn.MLP

    def __call__(self, x):
        return self.net(jnp.tanh(self.conv(x[None])).ravel())


def halves(key):
    return Halves(eqx.nn.Conv1d(1, 2, 2, key=key), eqx.nn.MLP(4, 2, 3, 1, key=key))


@pytest.mark.once
def test_within_a_network_matrices_are_preconditioned_and_the_rest_is_left_alone(getkey):
    model = halves(getkey())
    grads = jax.tree.map(lambda leaf: 1 + leaf**2, eqx.filter(model, eqx.is_inexact_array))
    transform = scale_by_end_to_end(2)
    moved, _ = transform.update(grads, transform.init(grads), model)
    for layer in (0, 1):
        W, G = model.net.layers[layer].weight, grads.net.layers[layer].weight
        np.testing.assert_allclose(
            moved.net.layers[layer].weight, end_to_end(W, G, 2), rtol=1e-4, atol=1e-6
        )
        chex.assert_trees_all_equal(moved.net.layers[layer].bias, grads.net.layers[layer].bias)
    chex.assert_trees_all_equal(moved.conv, grads.conv)


@pytest.mark.slow
def test_gradients_pass_through_a_run_of_the_rule_in_a_network(getkey):
    model = halves(getkey())

    def last(log_rate, depth):
        settings = {"learning_rate": jnp.exp(log_rate), "depth": depth}
        run = descend(
            model,
            lambda m: (m(jnp.ones(3)) ** 2).sum(),
            end_to_end_sgd,
            3,
            hyperparameters=settings,
            record_every=3,
        )
        return run.losses[-1]

    value, slopes = jax.value_and_grad(last, (0, 1))(jnp.array(-3.0), jnp.array(2.0))
    chex.assert_tree_all_finite((value, slopes))
    assert float(slopes[0]) < 0  # so short a run wants a longer step
    assert float(slopes[1]) != 0


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


def test_a_gradient_that_is_not_finite_is_left_to_optax():
    W = jnp.ones((2, 2))
    rule = optax.apply_if_finite(end_to_end_sgd(0.1, 2), 5)
    updates, _ = rule.update(jnp.nan * W, rule.init(W), W)
    chex.assert_trees_all_equal(updates, 0 * W)


@pytest.mark.parametrize(
    ("of_gradients", "of_weights"), [("bfloat16", "float32"), ("float32", "bfloat16")]
)
def test_gradients_and_weights_may_differ_in_precision(of_gradients, of_weights):
    params = {"w": jnp.ones((2, 2), of_weights), "b": jnp.ones(2, of_weights)}
    gradients = jax.tree.map(lambda leaf: leaf.astype(of_gradients), params)
    rule = end_to_end_sgd(0.5, 2, weight_decay=0.25)
    updates, _ = rule.update(gradients, rule.init(params), params)
    # K = σ_r + σ_s = 4 on the one singular direction of ones, and λN = ½
    np.testing.assert_allclose(np.asarray(updates["w"], float), -0.5 * (4 + 0.5), rtol=1e-2)
    np.testing.assert_allclose(np.asarray(updates["b"], float), -0.5 * (1 + 0.25), rtol=1e-2)


def test_a_traced_cut_off_is_refused_with_its_cure(untyped):
    W = jnp.ones((2, 2))
    rule = optax.inject_hyperparams(scale_by_end_to_end)(depth=2.0, rank_tol=1e-6)
    with pytest.raises(ValueError, match=r"`rank_tol` must be static.*static_args"):
        jax.jit(rule.update)(W, rule.init(W), W)
    with pytest.raises(ValueError, match=r"`rank_tol` must be in \[0, 1\)"):
        scale_by_end_to_end(2, rank_tol=5)
