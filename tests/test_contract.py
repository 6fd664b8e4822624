"""What every network and every way of counting must do, whichever it is."""

import functools
import io

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.crossings import Certified, Exact, Grid, Rational, Symbolic, count
from jaxdepth.networks import (
    MLP,
    DeepLinear,
    Iterated,
    RadialNetwork,
    Sawtooth,
    ThreeLayer,
    TwoLayer,
    polynomial,
    product,
    square,
)
from jaxdepth.piecewise import on_line
from jaxdepth.radial import Ball, Cosine, Profile, Shells, SignCosine


def radial(key):
    del key  # a construction from theory takes no key
    return RadialNetwork.from_profile([0.5, 1.0], [1.0, 0.0], 3, radius=1.5, units=4)


def sigmoid_radial(key):
    del key
    knots, values = [0.5, 1.0, 1.2], [1.0, 0.5, 0.0]
    return RadialNetwork.from_profile(
        knots, values, 3, radius=1.5, units=1, activation="sigmoid", profile="rbf"
    )


# name: how to make one, the shape of its input
NETWORKS = {
    "Sawtooth": (lambda key: Sawtooth(3, teeth=2, max_depth=4), ()),
    "MLP": (lambda key: MLP((3, 4, 5, 2), key=key), (3,)),
    "MLP.padded": (lambda key: MLP.padded((3, 6, 6, 2), width=4, depth=1, key=key), (3,)),
    "TwoLayer": (lambda key: TwoLayer(3, 4, activation="tanh", key=key), (3,)),
    "ThreeLayer": (lambda key: ThreeLayer(3, (4, 2), activation="sigmoid", key=key), (3,)),
    "RadialNetwork": (radial, (3,)),
    "RadialNetwork, sigmoid and rbf": (sigmoid_radial, (3,)),
    "DeepLinear": (lambda key: DeepLinear((3, 4, 2), scale=1.0, key=key), (3,)),
    "square": (lambda key: square(3), ()),
    "product": (lambda key: product(3), (2,)),
    "polynomial": (lambda key: polynomial([0.5, -1.0, 2.0], 3), ()),
    "Iterated": (lambda key: Iterated(MLP((1, 3, 1), key=key), 2), ()),
    "on_line": (lambda key: on_line(MLP((2, 3, 1), key=key), jnp.zeros(2), jnp.ones(2)), ()),
    "Cosine": (lambda key: Cosine(4.0, 6.5), (3,)),
    "Ball": (lambda key: Ball(2.0), (3,)),
    "SignCosine": (lambda key: SignCosine(4.0, 6.5), (3,)),
    "Shells": (lambda key: Shells([0.5, 1.0, 3.0], [1.0, -1.0]), (3,)),
    "Profile": (lambda key: Profile([0.0, 2.0, 6.0], [1.0, -1.0, 0.0]), (3,)),
}


def points(shape, count=4):
    size = count * int(np.prod(shape))
    return jnp.linspace(0.07, 0.61, size).reshape(count, *shape)


@functools.cache
def maker(name):
    """The constructor, compiled."""
    return eqx.filter_jit(NETWORKS[name][0])


@functools.cache
def behaviour(name):
    """What one compiled program shows of a network, and how often it was traced for two of them."""
    traced = []

    @eqx.filter_jit
    def program(net, x):
        traced.append(True)

        def loss(net_and_x):
            net, x = net_and_x
            return jnp.sum(net(x))

        return (
            jax.vmap(net)(x),
            jax.lax.map(net, x),
            eqx.filter_grad(loss)((net, x[0])),
        )

    x = points(NETWORKS[name][1])
    program(maker(name)(jax.random.key(1)), x)
    return x, program(maker(name)(jax.random.key(0)), x), len(traced)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_the_dtype_of_its_input(name):
    x, net = points(NETWORKS[name][1])[0], maker(name)(jax.random.key(0))
    chex.assert_type(eqx.filter_eval_shape(lambda net: net(x), net), x.dtype)


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_vmap_equals_the_loop(name):
    _, (batched, loop, _), _ = behaviour(name)
    # Batched sums may add in another order.
    chex.assert_trees_all_close(batched, loop, rtol=1e-5, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_finite(name):
    _, (_, _, gradient), _ = behaviour(name)
    assert jax.tree.leaves(gradient)
    chex.assert_tree_all_finite(eqx.filter(gradient, eqx.is_inexact_array))


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_one_shape_are_traced_once(name):
    *_, traces = behaviour(name)
    assert traces == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_serialises(name):
    net, other = (maker(name)(jax.random.key(seed)) for seed in (0, 1))
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, net)
    buffer.seek(0)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(buffer, other), net)


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_equals_eager(name):
    x, (_, loop, _), _ = behaviour(name)
    eager = NETWORKS[name][0](jax.random.key(0))
    chex.assert_trees_all_close(eager(x[0]), loop[0], rtol=1e-5, atol=1e-6)


METHODS = [Grid(2**9 + 1), Exact(), Rational(), Symbolic(), Certified()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_every_method_counts_the_sawtooth_and_brackets_its_value(method):
    for depth in (1, 5, 8):
        answer = count(Sawtooth(depth), method)
        assert int(answer.lower) <= int(answer.value) == 2**depth + 1 <= int(answer.upper)
        assert bool(answer.trusted)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_an_answer_is_a_pytree_that_passes_through_jit(method):
    answer = jax.jit(lambda answer: answer)(count(Sawtooth(2), method))
    assert int(answer.value) == 5
    proven = "certified" if isinstance(method, Certified) else "exact"
    assert proven in repr(answer.result)
