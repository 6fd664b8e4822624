"""Deep linear networks: balance, the product, and the law by which imbalance moves."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.dynamics import end_to_end, imbalance, imbalance_step
from jaxdepth.networks import DeepLinear

SIZES = [(3, 2), (2, 5, 3, 4), (3, 1, 1, 1), (4, 2, 3, 3)]


def rounding(scale=1.0):
    return 64 * scale * float(jnp.finfo(jnp.result_type(float)).eps)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_balanced_draw_is_balanced_to_rounding(sizes, getkey):
    net = DeepLinear(sizes, scale=0.5, key=getkey())
    assert [W.shape for W in net.layers] == list(zip(sizes[1:], sizes[:-1], strict=True))
    for D, width in zip(net.imbalance(), sizes[1:-1], strict=True):
        chex.assert_shape(D, (width, width))
        np.testing.assert_allclose(D, np.zeros((width, width)), atol=rounding())


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize(("m", "n"), [(3, 4), (4, 3), (1, 4)])
def test_a_balanced_factorisation_multiplies_back(m, n, depth):
    W = jnp.asarray(np.random.default_rng(0).normal(size=(m, n)), jnp.result_type(float))
    net = DeepLinear.balanced_from(W, depth)
    assert len(net.layers) == depth
    chex.assert_trees_all_close(net.end_to_end(), W, atol=rounding(4))
    chex.assert_type(list(net.layers), W.dtype)
    for D in net.imbalance():
        assert float(jnp.abs(D).max()) <= rounding(4)


def test_factors_of_a_matrix_of_low_rank_move_by_the_rule(x64):
    """Singular values at rounding are 0: their 16th roots, .1, would move it by 1.2e-3."""
    depth, rng = 16, np.random.default_rng(0)
    W = jnp.asarray(rng.normal(size=(6, 2)) @ rng.normal(size=(2, 6)))
    G = jnp.asarray(rng.normal(size=(6, 6)))
    net = DeepLinear.balanced_from(W, depth)
    slopes = jax.grad(lambda net: (net.end_to_end() * G).sum())(net)
    _, motion = jax.jvp(DeepLinear.end_to_end, (net,), (slopes,))
    expected = end_to_end(W, G, depth)
    gap = jnp.linalg.norm(motion - expected) / jnp.linalg.norm(expected)
    assert float(gap) < 1e-12


def test_one_factor_is_the_matrix_itself():
    W = jnp.array([[0.1, 0.2], [0.3, 0.4]])
    chex.assert_trees_all_equal(DeepLinear.balanced_from(W, 1).layers, (W,))


def test_a_narrow_layer_keeps_the_best_of_its_rank():
    """Eckart and Young: rank 2 through width 2, and the same draw in full through width 3."""
    key = jax.random.key(3)
    full = DeepLinear((4, 3, 3), scale=1.0, key=key).end_to_end()
    narrow = DeepLinear((4, 2, 3), scale=1.0, key=key).end_to_end()
    U, s, Vt = np.linalg.svd(np.asarray(full))
    assert s[2] > 0.01
    np.testing.assert_allclose(narrow, (U[:, :2] * s[:2]) @ Vt[:2], atol=rounding(8))


@pytest.mark.once(x64=True)
def test_the_network_is_its_end_to_end_matrix(getkey):
    for sizes in SIZES:
        net = DeepLinear(sizes, init="gaussian", scale=1.0, key=getkey())
        x = jnp.arange(1.0, sizes[0] + 1)
        W = np.linalg.multi_dot([np.eye(sizes[-1]), *map(np.asarray, net.layers[::-1])])
        np.testing.assert_allclose(net.end_to_end(), W, atol=rounding(32))
        np.testing.assert_allclose(net(x), W @ np.asarray(x), atol=rounding(256))


@pytest.mark.once(x64=True)
@pytest.mark.parametrize("init", ["balanced", "gaussian"])
def test_the_scale_is_the_standard_deviation_it_says(init):
    """4,096 entries (64 x 64): the standard error of the deviation is 1/√8192 = 1.1%."""
    net = DeepLinear((64, 64, 64), init=init, scale=0.3, key=jax.random.key(0))
    drawn = net.end_to_end() if init == "balanced" else net.layers[0]
    assert abs(float(drawn.std()) / 0.3 - 1) < 0.05


@pytest.mark.once(x64=True)
def test_vmap_over_keys_equals_a_loop_and_the_scale_may_be_traced():
    keys = jax.random.split(jax.random.key(0), 3)

    def drawn(key, scale):
        return DeepLinear((3, 3, 2), scale=scale, key=key).end_to_end()

    scales = jnp.array([0.1, 1.0, 2.0])
    loop = jnp.stack([drawn(key, scale) for key, scale in zip(keys, scales, strict=True)])
    chex.assert_trees_all_close(jax.vmap(drawn)(keys, scales), loop, rtol=rounding())


def test_imbalance_moves_by_the_exact_discrete_law(x64, getkey):
    """D⁺ = (1−ηλ)²D + η²(∇_{j+1}ᵀ∇_{j+1} − ∇_j∇_jᵀ): nothing of first order in η."""
    net = DeepLinear((3, 4, 2, 3), init="gaussian", scale=1.0, key=getkey())
    target = jax.random.normal(getkey(), (3, 3))
    slopes = jax.grad(lambda net: ((net.end_to_end() - target) ** 2).sum())(net).layers
    eta, decay = 0.1, 0.3
    after = [(1 - eta * decay) * W - eta * g for W, g in zip(net.layers, slopes, strict=True)]
    moved = imbalance_step(net.imbalance(), slopes, eta, decay)
    chex.assert_trees_all_close(imbalance(after), moved, rtol=0, atol=1e-12)
    balanced = imbalance_step([0 * D for D in moved], slopes, eta)
    expected = tuple(eta**2 * D for D in imbalance(slopes))
    chex.assert_trees_all_close(balanced, expected, rtol=1e-14)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([], [jnp.ones((2, 3)), jnp.ones((1, 2))], 0.1), "`imbalances` must be of shapes"),
        (([], [jnp.ones((2, 3)), jnp.ones((1, 3))], 0.1), "`gradients` must be matrices"),
        (([], [[[1.0]]], 0.1), r"`gradients\[0\]` must be an array, a real matrix; got 'list'"),
        (([[[1.0]]], [jnp.ones((1, 1))] * 2, 0.1), r"`imbalances\[0\]` must be an array"),
        (
            ([], [jnp.ones((2, 3))], -0.1),
            "`learning_rate` must be at least 0 and finite in float32; got -0.1",
        ),
        (([], [jnp.ones((2, 3))], jnp.ones(2)), "`learning_rate` must be a real scalar"),
        (([], [jnp.ones((2, 3))], float("nan")), "`learning_rate` must be finite"),
        (([], [jnp.ones((2, 3))], 0.1, -1.0), "`weight_decay` must be at least 0"),
    ],
)
def test_imbalances_without_a_step_are_refused(untyped, arguments, match):
    with pytest.raises(ValueError, match=match):
        imbalance_step(*arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sizes": (3,)}, "`sizes` must be .input, …, output."),
        ({"sizes": (3, 0, 2)}, r"`sizes\[1\]` must be an integer, at least 1"),
        ({"init": "orthogonal"}, "`init` must be 'balanced' or 'gaussian'; got 'orthogonal'"),
        ({"scale": 0.0}, "`scale` must be positive"),
        ({"scale": float("nan")}, "`scale` must be finite"),
        ({"scale": jnp.ones(2)}, "`scale` must be a real scalar"),
        ({"scale": "1"}, "`scale` must be a real scalar; got '1'"),
        ({"scale": 1j}, "`scale` must be a real scalar; got 1j"),
    ],
)
def test_bad_arguments_are_refused(untyped, arguments, match):
    with pytest.raises(ValueError, match=match):
        DeepLinear(**{"sizes": (3, 2), "key": jax.random.key(0), **arguments})


@pytest.mark.parametrize("scale", [1e-46, 1e-39, 1e38, 1e39])
def test_a_scale_that_the_dtype_does_not_hold_is_refused(x32, scale):
    with pytest.raises(ValueError, match="`scale` must be positive and finite in float32"):
        DeepLinear((3, 2), scale=scale, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("W", "depth", "match"),
    [
        (jnp.ones((2, 2)), 0, "`depth` must be an integer, at least 1"),
        (jnp.ones(2), 2, "`W` must be a non-empty float matrix"),
        (jnp.ones((2, 2), int), 2, "`W` must be a non-empty float matrix"),
        (jnp.array([[jnp.inf]]), 2, "`W` must be finite"),
    ],
)
def test_bad_factorisations_are_refused(untyped, W, depth, match):
    with pytest.raises(ValueError, match=match):
        DeepLinear.balanced_from(W, depth)


@pytest.mark.once
@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ((jnp.ones((2, 3)), jnp.ones((2, 3))), "`layers` must be matrices"),
        ((), "`layers` must be matrices"),
        ([[[1.0]], [[2.0]]], r"`layers\[0\]` must be an array, a real matrix; got 'list'"),
        ((jnp.ones((3, 2, 2)),), r"`layers\[0\]` must be .*; got 'float32\(3, 2, 2\)'"),
        ((jnp.ones((2, 2), complex),), r"`layers\[0\]` must be .*; got 'complex64"),
    ],
)
def test_layers_that_do_not_multiply_are_refused(untyped, layers, match):
    with pytest.raises(ValueError, match=match):
        imbalance(layers)


def test_matrices_of_several_dtypes_are_taken_in_the_widest(x64):
    narrow, wide = jnp.array([[3.0]], jnp.float32), jnp.array([[0.1]])
    before = imbalance((narrow, wide))
    chex.assert_trees_all_close(before, (jnp.array([[0.01 - 9.0]]),), rtol=1e-15)
    after = imbalance_step([D.astype(jnp.float32) for D in before], (wide, narrow), 0.5)
    expected = np.float64(np.float32(0.01 - 9.0)) + (9 - 0.01) / 4
    chex.assert_trees_all_close(after, (jnp.array([[expected]]),), rtol=1e-14)


@pytest.mark.once
def test_half_precision_does_not_overflow_where_the_factors_fit():
    """σ = 128,000 is beyond float16's 65,504, and its root is 358."""
    W = jnp.full((128, 128), 1000, jnp.float16)
    net = DeepLinear.balanced_from(W, 2)
    chex.assert_type(list(net.layers), jnp.float16)
    np.testing.assert_allclose(net.end_to_end(), W, rtol=2e-3)  # two factors, ε = 9.8e-4


def test_sixteen_bit_matrices_are_factorised_to_their_own_rounding():
    W = jnp.array([[1.0, 2.0, 0.5], [0.25, 1.0, 3.0]], jnp.bfloat16)
    net = DeepLinear.balanced_from(W, 3)
    chex.assert_type(list(net.layers), jnp.bfloat16)
    # Each factor is rounded once and three are multiplied, at 2^-8 a rounding.
    chex.assert_trees_all_close(
        net.end_to_end().astype(jnp.float32), W.astype(jnp.float32), atol=0.1
    )
