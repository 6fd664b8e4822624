"""Sizes that share a compilation, and the training of networks that are padded to them."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.dynamics import descend
from jaxdepth.networks import MLP, Sawtooth, keep_padding
from jaxdepth.networks._activations import _NAMED
from jaxdepth.networks._size import Size

STEPS = 3


def rounding():
    """Some steps of sums whose terms XLA may take in another order; for numbers of order 1."""
    return 256 * float(jnp.finfo(jnp.result_type(float)).eps)


def padded(size, activation="tanh"):
    """A network inside 3 layers of 5 units."""
    width, depth = Size(size[0], max=5), Size(size[1], max=3)
    sizes = (1, *[width] * depth.max, 1)
    key = jax.random.key(2)
    return MLP.padded(sizes, width=width, depth=depth, activation=activation, key=key)


def loss(net):
    x = jnp.array([[-0.8], [0.3], [0.9]])
    return jnp.mean((jax.vmap(net)(x)[:, 0] - jnp.sin(3 * x[:, 0])) ** 2)


def without_padding(net, width, depth):
    """The parameters of the network that is inside."""
    return (
        net.weight_in[:width],
        net.weights[: depth - 1, :width, :width],
        net.weight_out[:, :width],
        net.biases[:depth, :width],
        net.bias_out,
    )


def padding(net, live):
    parameters = jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array))
    masks = jax.tree.leaves(live)
    return np.concatenate([np.asarray(p)[~m] for p, m in zip(parameters, masks, strict=True)])


# ---- Size ----


def test_a_size_that_is_its_max_pads_nothing():
    width, depth = Size(5, max=5), Size(np.array(3), max=3)
    net = MLP.padded((1, *[width] * depth.max, 1), width=width, depth=depth, key=jax.random.key(2))
    chex.assert_trees_all_equal(net, MLP((1, 5, 5, 5, 1), key=jax.random.key(2)))


def test_sizes_travel_through_vmap_and_beyond_their_max_give_nan():
    @jax.jit
    @jax.vmap
    def output(units, layers):
        width, depth = Size(units, max=4), Size(layers, max=3)
        net = MLP.padded((1, 5, 5, 5, 1), width=width, depth=depth, key=jax.random.key(2))
        return net(jnp.ones(1))[0], Sawtooth(depth)(0.0625)

    values, teeth = output(jnp.array([5, 4, 4]), jnp.array([3, 3, 4]))
    assert np.isnan(values).tolist() == [True, False, True]
    assert np.isnan(teeth).tolist() == [False, False, True]
    assert teeth[0] == 0.5


@jax.jit
def folded(folds):
    return Sawtooth(Size(folds, max=3), max_depth=7)(0.0625)


def test_a_size_bounds_what_a_sawtooth_may_be():
    assert Sawtooth(Size(2, max=3)).max_depth == 3
    assert Sawtooth(Size(2, max=3), max_depth=7).max_depth == 7
    assert np.isnan([folded(0), folded(3), folded(5)]).tolist() == [True, False, True]


@pytest.mark.once
@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int16])
def test_a_size_of_few_bits_is_as_good(dtype):
    depth = jax.jit(lambda folds: Sawtooth(folds).depth)
    assert [int(depth(dtype(folds))) for folds in (0, 3, 127)] == [0, 3, 127]


@pytest.mark.once
def test_bad_sizes_are_refused(untyped):
    for bad in (0, 4, 1.0, True, jnp.array(4), jnp.array([1])):
        with pytest.raises(
            ValueError, match="`value` must be an integer, at least 1 and at most 3"
        ):
            Size(bad, max=3)
    with pytest.raises(ValueError, match="`value` must be an integer scalar"):
        jax.jit(lambda value: Size(value, max=3))(2.0)
    for bad in (0, 3.0, jnp.array(3)):
        with pytest.raises(ValueError, match="`max` must be an integer, at least 1"):
            Size(1, max=bad)
    with pytest.raises(ValueError, match="`width` must be an integer, at least 1 and at most 4"):
        MLP.padded((1, 4, 1), width=Size(5, max=5), depth=1, key=jax.random.key(0))


# ---- Training ----

RATE = 0.01
SAME = {  # with or without padding
    "sgd": optax.sgd(RATE),
    "momentum": optax.sgd(RATE, momentum=0.9),
    "adam": optax.adam(RATE),
    "adamw": optax.adamw(RATE, weight_decay=0.1),
    "lion": optax.lion(RATE),
}
SEEING = {"centralize": optax.chain(optax.centralize(), optax.sgd(RATE))}
SIZES = ((3, 2), (5, 3))


def train(net, optimisers):
    """Take some steps by each optimiser; one evaluation of gradients serves them all."""
    start, static = eqx.partition(net, eqx.is_inexact_array)

    def pick(tree, i):
        return jax.tree.map(lambda leaf: leaf[i], tree)

    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def step(carry, _):
        parameters, states = carry
        gradients = jax.vmap(jax.grad(lambda p: loss(eqx.combine(p, static))))(parameters)
        moved = []
        for i, (optimiser, state) in enumerate(zip(optimisers, states, strict=True)):
            before = pick(parameters, i)
            updates, state = optimiser.update(pick(gradients, i), state, before)
            moved.append((optax.apply_updates(before, updates), state))
        return (stack([after for after, _ in moved]), [state for _, state in moved]), None

    with jax.numpy_dtype_promotion("standard"):
        states = [optimiser.init(start) for optimiser in optimisers]
        carry = (stack([start] * len(optimisers)), states)
        (parameters, _), _ = jax.lax.scan(step, carry, None, length=STEPS)
    return parameters


@pytest.fixture(scope="module")
def trained():
    """The networks of all sizes, trained in one program with padding and each alone without."""
    everyone = [*SAME.values(), *SEEING.values()]

    @eqx.filter_jit
    @eqx.filter_vmap
    def together(net):
        return train(net, [keep_padding(each, net) for each in everyone]), net.live()

    nets, live = together(jax.tree.map(lambda *each: jnp.stack(each), *map(padded, SIZES)))
    alone = MLP((1, 3, 3, 1), activation="tanh", key=jax.random.key(2))
    reference = eqx.filter_jit(train)(alone, everyone)
    return nets, live, reference


def of(nets, name, size=None):
    """One optimiser's network, of one size where there are several."""
    i = [*SAME, *SEEING].index(name)
    return jax.tree.map(lambda leaf: leaf[i] if size is None else leaf[size, i], nets)


@pytest.mark.once
@pytest.mark.parametrize("name", SAME)
def test_a_padded_network_trains_as_the_one_inside(name, trained):
    nets, _, alone = trained
    padded_one = without_padding(of(nets, name, size=0), 3, 2)
    chex.assert_trees_all_close(
        padded_one, without_padding(of(alone, name), 3, 2), rtol=0, atol=rounding()
    )


@pytest.mark.once
@pytest.mark.parametrize("name", [*SAME, *SEEING])
def test_training_leaves_padding_exactly_zero(name, trained):
    nets, live, _ = trained
    for size in range(len(SIZES)):
        masks = jax.tree.map(lambda mask, size=size: mask[size], live)
        assert not padding(of(nets, name, size), masks).any()


@pytest.mark.once
@pytest.mark.parametrize("name", SEEING)
def test_an_optimiser_that_averages_over_an_array_sees_its_padding(name, trained):
    nets, _, alone = trained
    ours = without_padding(of(nets, name, size=0), 3, 2)
    apart = jax.tree.map(
        lambda a, b: abs(a - b).max(), ours, without_padding(of(alone, name), 3, 2)
    )
    assert max(jax.tree.leaves(apart)) > 1e-4


@pytest.mark.once
def test_noise_reaches_parameters_alone_in_networks_of_all_sizes_at_once():
    def noisy(net, rate):
        def kept(learning_rate):
            return keep_padding(optax.noisy_sgd(learning_rate, key=0), net)

        return descend(net, loss, kept, 1, hyperparameters={"learning_rate": rate}).model

    def bare(net):
        parameters = eqx.filter(net, eqx.is_inexact_array)
        optimiser = optax.noisy_sgd(RATE, key=0)
        gradients = eqx.filter_grad(loss)(net)
        with jax.numpy_dtype_promotion("standard"):
            return optimiser.update(gradients, optimiser.init(parameters))[0]

    nets = [padded(size) for size in SIZES]
    stack = jax.tree.map(lambda *each: jnp.stack(each), *nets)
    moved = eqx.filter_vmap(noisy, in_axes=(0, None))(stack, jnp.asarray(RATE))
    moved = jax.tree.map(lambda leaf: leaf[0], moved)
    assert not padding(moved, nets[0].live()).any()
    updates = eqx.filter_jit(bare)(nets[0])
    assert padding(updates, nets[0].live()).all()
    expected = eqx.apply_updates(nets[0], updates)
    chex.assert_trees_all_close(
        without_padding(moved, 3, 2), without_padding(expected, 3, 2), rtol=0, atol=rounding()
    )


@pytest.mark.once
def test_gradients_of_padding_are_exactly_zero_for_every_activation():
    net = padded((3, 2), lambda x: sum(each(x) for each in _NAMED.values()))
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(net)
    assert not padding(gradient, net.live()).any()


@pytest.mark.once
def test_what_is_no_parameter_passes_unchanged():
    net = padded((3, 2))
    optimiser = keep_padding(optax.identity(), (net, jnp.arange(2)))
    updates = (jax.tree.map(jnp.ones_like, net), jnp.array([3, 4]))
    moved, _ = optimiser.update(updates, optimiser.init(updates))
    chex.assert_trees_all_equal(moved[1], updates[1])
    assert not padding(moved[0], net.live()).any()
    assert moved[0].bias_out.tolist() == [1.0]


@pytest.mark.once
def test_lookahead_moves_both_copies_as_the_optimiser_within():
    net = padded((3, 2))
    optimiser = optax.lookahead(
        keep_padding(optax.sgd(1.0), net), sync_period=2, slow_step_size=0.5
    )
    both = optax.LookaheadParams.init_synced(eqx.filter(net, eqx.is_inexact_array))
    ones, state = jax.tree.map(jnp.ones_like, both.fast), optimiser.init(both)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(2):
            updates, state = optimiser.update(ones, state, both)
            both = optax.apply_updates(both, updates)
    for copy in both:
        assert not padding(copy, net.live()).any()
    chex.assert_trees_all_close(both.slow.bias_out, net.bias_out - 1, atol=rounding())


@pytest.mark.once
def test_what_cannot_be_kept_is_refused(untyped):
    net = padded((3, 2))
    with pytest.raises(ValueError, match="`optimiser` must be an optax transformation"):
        keep_padding(optax.sgd, net)
    with pytest.raises(ValueError, match="`net` must be an `MLP`, or a pytree that holds one"):
        keep_padding(optax.sgd(0.1), jnp.ones(2))
    parameters = eqx.filter(net, eqx.is_inexact_array)
    twice = keep_padding(optax.lookahead(optax.sgd(0.1), 2, 0.5), net)
    both = optax.LookaheadParams.init_synced(parameters)
    with pytest.raises(ValueError, match=r"`params` must be one copy .* Give `lookahead` the"):
        twice.update(parameters, twice.init(both), both)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), net)
    with pytest.raises(ValueError, match="`net` must be one network"):
        keep_padding(optax.sgd(0.1), stacked)
