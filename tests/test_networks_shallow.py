"""The seeds' f₂ and f₃, term by term."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd


def test_two_layers_are_the_sum_in_the_definition(x64, getkey):
    net, x = jd.networks.TwoLayer(3, 5, activation="tanh", key=getkey()), jnp.arange(3.0)
    terms = [net.out[i] * np.tanh(net.weight[i] @ x + net.bias[i]) for i in range(5)]
    assert float(net(x)) == pytest.approx(float(sum(terms)), rel=1e-14)


def test_three_layers_are_the_sum_in_the_definition(x64, getkey):
    net, x = jd.networks.ThreeLayer(3, (4, 2), activation=jnp.sin, key=getkey()), jnp.arange(3.0)
    inner = [np.sin(net.weight_in[j] @ x + net.bias_in[j]) for j in range(4)]
    terms = [
        net.out[i] * np.sin(sum(net.weight[i, j] * inner[j] for j in range(4)) + net.bias[i])
        for i in range(2)
    ]
    assert float(net(x)) == pytest.approx(float(sum(terms)), rel=1e-13)


@pytest.mark.parametrize("activation", ["sigmoid", "step"])
def test_any_activation_gives_a_scalar_of_the_inputs_dtype(activation, getkey):
    x = jnp.ones((7, 3), jnp.float32)
    for net in (
        jd.networks.TwoLayer(3, 5, activation=activation, dtype=jnp.float32, key=getkey()),
        jd.networks.ThreeLayer(3, (5, 4), activation=activation, dtype=jnp.float32, key=getkey()),
    ):
        out = jax.jit(jax.vmap(net))(x)
        chex.assert_shape(out, (7,))
        chex.assert_type(out, jnp.float32)
        chex.assert_tree_all_finite(jax.grad(lambda net, x=x: jax.vmap(net)(x).sum())(net))


def test_the_same_key_gives_the_same_network_and_keys_differ(getkey):
    key, other = getkey(), getkey()
    first, again = (jd.networks.TwoLayer(2, 3, key=key) for _ in range(2))
    chex.assert_trees_all_equal(first, again)
    assert not np.array_equal(first.weight, jd.networks.TwoLayer(2, 3, key=other).weight)


@pytest.mark.once(x64=True)
def test_networks_batch_over_keys(getkey):
    nets = jax.vmap(lambda key: jd.networks.TwoLayer(2, 3, key=key))(jax.random.split(getkey(), 4))
    out = jax.vmap(lambda net: net(jnp.ones(2)))(nets)
    chex.assert_shape(out, (4,))


def test_sizes_and_activations_out_of_range_are_refused(untyped, getkey):
    with pytest.raises(ValueError, match="`width` must be an integer, at least 1"):
        jd.networks.TwoLayer(2, 0, key=getkey())
    with pytest.raises(ValueError, match=r"`widths` must be a pair"):
        jd.networks.ThreeLayer(2, (3, 3, 3), key=getkey())
    with pytest.raises(ValueError, match="`activation` must be one of"):
        jd.networks.TwoLayer(2, 3, activation="rleu", key=getkey())
    with pytest.raises(ValueError, match="`dtype` must be a float dtype"):
        jd.networks.TwoLayer(2, 3, dtype=jnp.int32, key=getkey())
