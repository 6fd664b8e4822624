"""Deep linear networks: balance, the product, and the law by which imbalance moves."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.dynamics import imbalance, imbalance_step
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


def test_the_network_is_its_end_to_end_matrix(getkey):
    for sizes in SIZES:
        net = DeepLinear(sizes, init="gaussian", scale=1.0, key=getkey())
        x = jnp.arange(1.0, sizes[0] + 1)
        W = np.linalg.multi_dot([np.eye(sizes[-1]), *map(np.asarray, net.layers[::-1])])
        np.testing.assert_allclose(net.end_to_end(), W, atol=rounding(32))
        np.testing.assert_allclose(net(x), W @ np.asarray(x), atol=rounding(256))


@pytest.mark.parametrize("init", ["balanced", "gaussian"])
def test_the_scale_is_the_standard_deviation_it_says(init):
    """4,096 entries (64 x 64): the standard error of the deviation is 1/√8192 = 1.1%."""
    net = DeepLinear((64, 64, 64), init=init, scale=0.3, key=jax.random.key(0))
    drawn = net.end_to_end() if init == "balanced" else net.layers[0]
    assert abs(float(drawn.std()) / 0.3 - 1) < 0.05


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
    ],
)
def test_bad_arguments_are_refused(untyped, arguments, match):
    with pytest.raises(ValueError, match=match):
        DeepLinear(**{"sizes": (3, 2), "key": jax.random.key(0), **arguments})


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


def test_layers_that_do_not_multiply_are_refused(untyped):
    with pytest.raises(ValueError, match="`layers` must be matrices"):
        imbalance((jnp.ones((2, 3)), jnp.ones((2, 3))))


def test_sixteen_bit_matrices_are_factorised_to_their_own_rounding():
    W = jnp.array([[1.0, 2.0, 0.5], [0.25, 1.0, 3.0]], jnp.bfloat16)
    net = DeepLinear.balanced_from(W, 3)
    chex.assert_type(list(net.layers), jnp.bfloat16)
    # Each factor is rounded once and three are multiplied, at 2^-8 a rounding.
    chex.assert_trees_all_close(
        net.end_to_end().astype(jnp.float32), W.astype(jnp.float32), atol=0.1
    )
