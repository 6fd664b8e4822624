from functools import partial

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.crossings import Certified, count
from jaxdepth.networks import MLP, AffineLayer, DeepLinear, ThreeLayer, TwoLayer, affine_layers

MAX_SIZES = (2, 6, 6, 6, 3)


def evaluate(layers, x):
    for layer in layers:
        z = layer.weight @ x + layer.bias
        x = jnp.where(z > 0, z, layer.negative_slope * z)
    return x


@pytest.mark.once
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "cos"])
@pytest.mark.parametrize(("width", "depth"), [(1, 1), (4, 2), (6, 3)])
def test_padding_leaks_exactly_nothing(width, depth, activation, getkey):
    key = getkey()
    padded = MLP.padded(MAX_SIZES, width=width, depth=depth, activation=activation, key=key)
    plain = MLP((2, *[width] * depth, 3), activation=activation, key=key)
    x = jnp.array([0.3, -0.7])
    # The sums have the same terms; XLA may add the padding's zeros in another order.
    chex.assert_trees_all_close(padded(x), plain(x), rtol=1e-6)

    dense, small = (
        eqx.filter_grad(lambda net: jnp.sum(net(x) ** 2))(net) for net in (padded, plain)
    )
    live = jnp.arange(6) < width
    layers = jnp.arange(3) < depth
    chex.assert_trees_all_equal(dense.weight_in[~live], jnp.zeros_like(dense.weight_in[~live]))
    chex.assert_trees_all_equal(
        dense.weight_out[:, ~live], jnp.zeros_like(dense.weight_out[:, ~live])
    )
    chex.assert_trees_all_equal(dense.biases[~layers], jnp.zeros_like(dense.biases[~layers]))
    chex.assert_trees_all_equal(
        dense.weights[~layers[1:]], jnp.zeros_like(dense.weights[~layers[1:]])
    )
    chex.assert_trees_all_close(dense.weight_out[:, :width], small.weight_out, rtol=1e-5, atol=1e-6)


def test_padding_never_changes_a_weight(getkey):
    key = getkey()
    padded = MLP.padded(MAX_SIZES, width=4, depth=2, key=key)
    plain = MLP((2, 4, 4, 3), key=key)
    chex.assert_trees_all_equal(padded.affine_layers(), plain.affine_layers())


@pytest.mark.once(x64=True)
def test_traced_width_and_depth_compile_once_and_equal_the_concrete_ones(getkey):
    key = getkey()
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def value(width, depth):
        return MLP.padded(MAX_SIZES, width=width, depth=depth, key=key)(jnp.array([0.3, -0.7]))

    for width, depth in ((1, 3), (5, 1), (6, 3)):
        plain = MLP((2, *[width] * depth, 3), key=key)(jnp.array([0.3, -0.7]))
        chex.assert_trees_all_close(value(width, depth), plain, rtol=1e-6)


@pytest.mark.once(x64=True)
def test_a_traced_size_out_of_range_gives_nan_and_not_a_smaller_network(getkey):
    key = getkey()

    @jax.vmap
    def value(width, depth):
        return MLP.padded(MAX_SIZES, width=width, depth=depth, key=key)(jnp.ones(2))

    bad = value(jnp.array([0, 7, 3, 3, 3]), jnp.array([1, 1, 0, 4, 2]))
    assert np.isnan(bad).all(axis=1).tolist() == [True, True, True, True, False]


@pytest.mark.once(x64=True)
def test_no_method_takes_a_network_of_nan_for_a_constant():
    make = jax.jit(partial(MLP.padded, (1, 6, 6, 1), key=jax.random.key(0)))
    for width, depth in ((7, 2), (3, 9)):
        net = make(width=width, depth=depth)
        with pytest.raises(ValueError, match="`net` must be one within its sizes"):
            net.affine_layers()
        with pytest.raises(ValueError, match="`fn` must be one within its sizes"):
            count(net, Certified())


@pytest.mark.once(x64=True)
def test_weights_have_the_variance_of_he(getkey):
    net = MLP((1, 64, 64, 1), bias_std=0.5, key=getkey())
    # 4,096 and 128 draws: standard errors of a variance are √(2/n) of it.
    assert abs(float(jnp.var(net.weights) * 64 / 2) - 1) < 5 * (2 / 4096) ** 0.5
    assert abs(float(jnp.var(net.biases) / 0.25) - 1) < 5 * (2 / 128) ** 0.5


@pytest.mark.once(x64=True)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "identity"])
def test_affine_layers_compose_to_the_network(activation, getkey):
    net = MLP((2, 4, 5, 3, 2), activation=activation, key=getkey())
    x = jnp.array([0.4, -1.3])
    chex.assert_trees_all_close(evaluate(net.affine_layers(), x), net(x), rtol=1e-5, atol=1e-6)
    traced = eqx.filter_jit(lambda net, x: evaluate(net.affine_layers(), x))
    chex.assert_trees_all_close(traced(net, x), net(x), rtol=1e-5, atol=1e-6)


@pytest.mark.once(x64=True)
def test_padded_layers_under_a_trace_compose_to_the_network(getkey):
    key = getkey()

    @jax.jit
    def both(width, depth, x):
        net = MLP.padded(MAX_SIZES, width=width, depth=depth, activation="leaky_relu", key=key)
        return evaluate(net.affine_layers(), x), net(x)

    listed, direct = both(4, 2, jnp.array([0.4, -1.3]))
    chex.assert_trees_all_close(listed, direct, rtol=1e-5, atol=1e-6)


@pytest.mark.once(x64=True)
def test_networks_of_every_kind_list_their_layers(getkey):
    mlp = eqx.nn.MLP(2, 2, width_size=4, depth=2, key=getkey())
    leaky = eqx.nn.MLP(2, 2, 3, 1, activation=jax.nn.leaky_relu, use_bias=False, key=getkey())
    chain = eqx.nn.Sequential(
        [eqx.nn.Linear(2, 3, key=getkey()), eqx.nn.Lambda(jax.nn.relu), eqx.nn.Lambda(jnp.abs)]
    )
    ours = (
        DeepLinear((2, 3, 2), scale=1.0, key=getkey()),
        TwoLayer(2, 4, key=getkey()),
        ThreeLayer(2, (4, 3), activation="abs", key=getkey()),
    )
    for net in (mlp, leaky, eqx.nn.Linear(2, 2, key=getkey()), chain, *ours):
        x = jnp.array([0.4, -1.3])
        value = jnp.atleast_1d(net(x))
        chex.assert_trees_all_close(evaluate(affine_layers(net), x), value, rtol=1e-5, atol=1e-6)


def test_an_activation_is_recognised_by_what_it_does_and_not_by_its_name(getkey):
    def relu(x):
        return jnp.maximum(x, 0.0) ** 2

    with pytest.raises(ValueError, match="`activation` must be piecewise linear"):
        affine_layers(eqx.nn.MLP(1, 1, 4, 1, activation=relu, key=getkey()))
    own = MLP((1, 4, 1), activation=lambda x: jnp.abs(x), key=getkey())
    assert float(own.affine_layers()[0].negative_slope) == -1.0


@pytest.mark.parametrize("sizes", [(1, 1), (1, 0, 1), (1, 2.0, 1), "121", (1,), None])
def test_bad_sizes_are_refused(sizes, getkey, untyped):
    with pytest.raises(ValueError, match="`sizes` must be"):
        MLP(sizes, key=getkey())


def test_other_bad_arguments_are_refused(getkey, untyped):
    with pytest.raises(ValueError, match="`activation` must be one of"):
        MLP((1, 2, 1), activation="rleu", key=getkey())
    with pytest.raises(ValueError, match="`width` must be an integer, at least 1 and at most 6"):
        MLP.padded(MAX_SIZES, width=7, depth=1, key=getkey())
    with pytest.raises(ValueError, match="`depth` must be an integer, at least 1 and at most 3"):
        MLP.padded(MAX_SIZES, width=2, depth=4, key=getkey())
    with pytest.raises(ValueError, match="`width` must be an integer scalar"):
        jax.jit(lambda w: MLP.padded(MAX_SIZES, width=w, depth=1, key=jax.random.key(0)))(2.5)
    with pytest.raises(ValueError, match="`net` must be a network that lists its layers"):
        affine_layers(jnp.sin)
    with pytest.raises(ValueError, match="`net` must be a network that lists its layers"):
        affine_layers(eqx.nn.Sequential([eqx.nn.Linear(1, 1, key=getkey()), eqx.nn.LayerNorm(1)]))
    with pytest.raises(ValueError, match="`key` must be one random key"):
        MLP((1, 2, 1), key=0)
    with pytest.raises(ValueError, match="`weight_gain` must be non-negative"):
        MLP((1, 2, 1), weight_gain=-1.0, key=getkey())
    with jax.enable_x64(False), pytest.raises(ValueError, match="`dtype` must be at most 32 bits"):
        MLP((1, 2, 1), dtype=jnp.float64, key=getkey())
    with pytest.raises(ValueError, match="`activation` must be piecewise linear"):
        MLP((1, 2, 1), activation="tanh", key=getkey()).affine_layers()


@pytest.mark.once(x64=True)
def test_padding_is_silent_even_where_the_activation_has_an_infinite_slope(getkey):
    def root(x):
        return jnp.sqrt(jnp.abs(x))

    net = MLP.padded((1, 4, 4, 1), width=2, depth=1, activation=root, key=getkey())
    gradient = eqx.filter_grad(lambda net: net(jnp.ones(1))[0])(net)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_an_activation_that_repeats_another_is_not_taken_for_it(getkey):
    def twice(x):
        return jax.lax.scan(lambda z, _: (jax.nn.leaky_relu(z), None), x, None, length=2)[0]

    with pytest.raises(ValueError, match="`activation` must be piecewise linear"):
        MLP((1, 3, 1), activation=twice, key=getkey()).affine_layers()


def test_a_traced_width_that_would_wrap_gives_nan(x64):
    wide = jnp.array(2**32 + 3)
    net = jax.jit(lambda w: MLP.padded(MAX_SIZES, width=w, depth=1, key=jax.random.key(0)))(wide)
    assert np.isnan(net(jnp.ones(2, net.bias_out.dtype))).all()


def test_layers_are_what_they_say():
    layer = AffineLayer(np.ones((2, 1)), np.zeros(2), np.zeros(()))
    assert affine_layers([layer]) == (layer,)
