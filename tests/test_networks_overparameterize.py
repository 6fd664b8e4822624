"""Overparameterize, train, collapse: the same function, another descent."""

import functools
import io

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.dynamics import descend, end_to_end
from jaxdepth.networks import Factored, affine_layers, collapse, overparameterize

KEY = jax.random.key(0)
Linear = functools.partial(eqx.nn.Linear, key=KEY)


def eps():
    return float(jnp.finfo(jnp.result_type(float)).eps)


def numbers(*shape, dtype=None):
    """Fixed numbers of order 1, with no draw to compile."""
    values = np.sin(np.arange(1, 1 + np.prod(shape, dtype=int)) ** 1.5).reshape(shape)
    return jnp.asarray(values, dtype or jnp.result_type(float))


def made(build):
    """A model as `build()` makes it, its arrays replaced by fixed numbers."""

    def fill(leaf):
        shaped = isinstance(leaf, jax.ShapeDtypeStruct)
        return numbers(*leaf.shape, dtype=leaf.dtype) if shaped else leaf

    return jax.tree.map(fill, eqx.filter_eval_shape(build))


def zoo():
    """Every kind of layer, nested; all weights but the scalars' are matrices (4, 8)."""
    conv2d = functools.partial(eqx.nn.Conv2d, 2, 4, 2, key=KEY)
    return {
        "plain": (Linear(8, 4),),
        "no bias": [Linear(8, 4, use_bias=False)],
        "from scalar": Linear("scalar", 4),
        "to scalar": Linear(4, "scalar"),
        "conv1d": eqx.nn.Conv1d(4, 4, 2, padding=1, stride=2, key=KEY),
        "conv2d": eqx.nn.Sequential([conv2d(padding="SAME", dilation=2), eqx.nn.Lambda(jnp.tanh)]),
        "wrapped": conv2d(padding=1, padding_mode="CIRCULAR", use_bias=False),
        "conv3d": eqx.nn.Conv3d(1, 4, 2, key=KEY),
        "transposed": eqx.nn.ConvTranspose2d(2, 4, 2, stride=2, output_padding=1, key=KEY),
    }


INPUTS = {
    "plain": (8,),
    "no bias": (8,),
    "from scalar": (),
    "to scalar": (4,),
    "conv1d": (4, 5),
    "conv2d": (2, 3, 3),
    "wrapped": (2, 3, 3),
    "conv3d": (1, 3, 3, 3),
    "transposed": (2, 3, 3),
}


@eqx.filter_jit
def evaluated(model):
    """What every layer of a zoo makes of one input."""

    def call(name):
        layer = model[name][0] if isinstance(model[name], (tuple, list)) else model[name]
        return layer(numbers(*INPUTS[name]), key=KEY)

    return {name: call(name) for name in INPUTS}


def mlp(dtype=None):
    return made(lambda: eqx.nn.MLP(3, 2, width_size=4, depth=1, dtype=dtype, key=KEY))


def loss(model):
    x = numbers(5, 3)
    return (jax.vmap(model)(x) ** 2).sum() / 2


gradient = eqx.filter_jit(eqx.filter_grad(loss))


def arrays(tree):
    return eqx.filter(tree, eqx.is_array)


def test_every_layer_computes_the_same_and_the_tree_comes_back():
    model = made(zoo)
    deep = overparameterize(model, 3)
    back = collapse(deep)
    # 1e-12 in float64: sums of 8 products, each weight off by 16ε of the largest at most.
    atol = 1e-12 if eps() < 1e-15 else 64 * eps()
    before, after = evaluated(model), evaluated(deep)
    chex.assert_trees_all_close(after, before, atol=atol)
    chex.assert_trees_all_equal(evaluated(back), after)
    assert jax.tree.structure(back) == jax.tree.structure(model)
    chex.assert_trees_all_equal_shapes_and_dtypes(arrays(back), arrays(model))
    chex.assert_trees_all_close(arrays(back), arrays(model), atol=32 * eps())


def test_the_factors_are_balanced_between_the_input_and_the_bias():
    layer = made(zoo)["wrapped"]
    deep = overparameterize(layer, 3)
    assert isinstance(deep, Factored)
    assert [W.shape for W in deep.factors.layers] == [(4, 8), (4, 4), (4, 4)]
    for D in deep.factors.imbalance():
        chex.assert_trees_all_close(D, jnp.zeros((4, 4)), atol=64 * eps())
    assert deep.bias is None
    linear = made(zoo)["plain"][0]
    chex.assert_trees_all_equal(overparameterize(linear, 2).bias, linear.bias)


@pytest.mark.once
def test_one_factor_is_the_weight_untouched():
    model = mlp()
    deep = overparameterize(model, 1)
    assert all(isinstance(layer, Factored) for layer in deep.layers)
    assert eqx.tree_equal(collapse(deep), model)


@pytest.mark.once
@pytest.mark.parametrize(
    ("dtype", "size", "depth"),
    [
        (jnp.float32, 64, 2),
        (jnp.float32, 64, 16),
        (jnp.float32, 8, 256),
        (jnp.bfloat16, 64, 2),
        (jnp.bfloat16, 64, 16),
    ],
)
def test_the_rounding_is_that_of_the_svd_or_of_the_factors(dtype, size, depth):
    """16ε of the norm for the SVD of 64 × 64; N factors round by ε/2 each, and twice: N·ε."""
    W = numbers(size, size, dtype=dtype) / 8
    layer = eqx.tree_at(lambda layer: layer.weight, Linear(size, size), W)
    product = overparameterize(layer, depth).weight
    chex.assert_type(product, dtype)
    exact, got = (np.asarray(each, np.float64) for each in (W, product))
    allowed = max(16 if dtype == jnp.float32 else 0, depth) * float(jnp.finfo(dtype).eps)
    assert np.linalg.norm(got - exact) < allowed * np.linalg.norm(exact)


@pytest.mark.parametrize("depth", [2, 3])
def test_one_step_on_the_factors_is_the_end_to_end_rule_to_second_order(x64, depth):
    """W⁺ = W − η·P_W[G] + O(η²) in every layer of a network with activations (Theorem 1)."""
    model, deep = mlp(), overparameterize(mlp(), depth)
    slopes, deep_slopes = gradient(model), gradient(deep)

    def misses(rate):
        after = collapse(eqx.apply_updates(deep, jax.tree.map(lambda g: -rate * g, deep_slopes)))
        return [
            jnp.linalg.norm(
                (new.weight - old.weight) / rate + end_to_end(old.weight, slope.weight, depth)
            )
            for new, old, slope in zip(after.layers, model.layers, slopes.layers, strict=True)
        ]

    coarse, fine = np.array(misses(1e-4)), np.array(misses(5e-5))
    np.testing.assert_allclose(coarse / fine, 2, atol=0.02)


def test_descent_keeps_the_balance_to_second_order(x64):
    """D⁺ = D + η²(∇_{j+1}ᵀ∇_{j+1} − ∇_j∇_jᵀ): the discrete law, in a network."""
    deep = overparameterize(mlp(), 3)
    slopes, rate = gradient(deep), 1e-2
    after = eqx.apply_updates(deep, jax.tree.map(lambda g: -rate * g, slopes))
    for layer, slope in zip(after.layers, slopes.layers, strict=True):
        g = slope.factors.layers
        moved = [rate**2 * (g[j + 1].T @ g[j + 1] - g[j] @ g[j].T) for j in range(2)]
        chex.assert_trees_all_close(list(layer.factors.imbalance()), moved, atol=1e-12)


@pytest.mark.once
def test_where_selects_one_of_several_uses_of_the_same_object():
    layer = mlp().layers[0]
    pair = overparameterize([layer, (layer, layer)], 2, where=lambda model: model[1][0])
    assert [isinstance(each, Factored) for each in (pair[0], *pair[1])] == [False, True, False]
    both = overparameterize(mlp(), 2, where=lambda model: model.layers)
    assert all(isinstance(each, Factored) for each in both.layers)


@pytest.mark.once
def test_other_layers_may_have_other_depths():
    once = overparameterize(mlp(), 2, where=lambda model: model.layers[0])
    twice = overparameterize(once, 3, where=lambda model: [model.layers[1]])
    assert [len(layer.factors.layers) for layer in twice.layers] == [2, 3]


@pytest.mark.once
def test_a_tied_weight_is_replaced_once_and_stays_tied():
    first, second = made(lambda: (Linear(4, 4), Linear(4, 4)))
    ties = {
        "weight": (lambda pair: pair[1].weight, lambda pair: pair[0].weight),
        "transposed": (lambda pair: pair[1].weight, lambda pair: pair[0].weight.T),
        "bias": (lambda pair: pair[1].bias, lambda pair: pair[0].bias),
        "layer": (lambda pair: pair[1], lambda pair: pair[0]),
    }
    x = numbers(4)
    for name, (where, get) in ties.items():
        shared = eqx.nn.Shared((first, second), where, get)
        deep = overparameterize(shared, 2)
        factored = [isinstance(each, Factored) for each in deep.pytree]
        assert factored == [True, name == "bias"]

        def applied(shared):
            below, above = shared()
            return above(below(x))

        chex.assert_trees_all_close(applied(deep), applied(shared), atol=64 * eps())
        assert jax.tree.structure(collapse(deep)) == jax.tree.structure(shared)


@pytest.mark.once
def test_a_filtered_tree_keeps_its_holes():
    model = mlp()
    parameters, static = eqx.partition(model, eqx.is_array)
    assert jax.tree.structure(collapse(overparameterize(parameters, 2))) == jax.tree.structure(
        parameters
    )
    with pytest.raises(ValueError, match=r"`model` must be a pytree with an eqx\.nn\.Linear"):
        overparameterize(static, 2)
    frozen = eqx.tree_at(lambda model: model.layers[0].weight, model, None)
    deep = overparameterize(frozen, 2)
    assert [isinstance(each, Factored) for each in deep.layers] == [False, True]
    with pytest.raises(ValueError, match=r"`model.layers\[0\].weight` must be an array; got 'None"):
        overparameterize(frozen, 2, where=lambda model: model.layers[0])


@pytest.mark.once
def test_products_whose_factors_a_filter_took_are_refused_by_name():
    deep = overparameterize(mlp(), 2)
    static = eqx.filter(deep, eqx.is_array, inverse=True)
    without = eqx.tree_at(lambda model: model.layers[1].factors, deep, None)
    tied = eqx.nn.Shared(
        [deep.layers[0]] * 2, lambda pair: pair[1].factors, lambda pair: pair[0].factors
    )
    cure = "A filter has taken the factors out: `eqx.combine` first"
    for model, place in (
        (static, r"model\.layers\[0\]"),
        (without, r"model\.layers\[1\]"),
        (tied, r"model\.pytree\[1\]"),
    ):
        with pytest.raises(ValueError, match=rf"`{place}\.factors` must be .*{cure}"):
            collapse(model)
    for read in (lambda layer: layer.weight, lambda layer: layer.collapsed()):
        with pytest.raises(ValueError, match=f"`factors` must be .*{cure}"):
            read(static.layers[0])
    with pytest.raises(ValueError, match=r"`model.layers\[0\]` must be a layer that is no product"):
        overparameterize(static, 2)


@pytest.mark.once
def test_an_optimiser_beside_a_model_is_no_state_of_one():
    model = {"net": mlp(), "optimiser": optax.adam(0.1)}
    deep = overparameterize(model, 2)
    assert isinstance(deep["net"].layers[0], Factored)
    assert deep["optimiser"] == model["optimiser"]
    assert jax.tree.structure(collapse(deep)) == jax.tree.structure(model)


@pytest.mark.once
def test_a_stack_of_layers_is_a_stack_of_products():
    stack = made(lambda: eqx.filter_vmap(lambda key: eqx.nn.Linear(4, 4, key=key))(stack_keys()))
    deep = overparameterize(stack, 2)
    assert [W.shape for W in deep.factors.layers] == [(3, 4, 4), (3, 4, 4)]
    chex.assert_shape(deep.weight, (3, 4, 4))
    x = numbers(4)

    def chained(stack):
        dynamic, static = eqx.partition(stack, eqx.is_array)
        return jax.lax.scan(lambda x, one: (eqx.combine(one, static)(x), None), x, dynamic)[0]

    chex.assert_trees_all_close(chained(deep), chained(stack), atol=64 * eps())
    assert jax.tree.structure(collapse(deep)) == jax.tree.structure(stack)
    one = jax.tree.map(lambda leaf: leaf[1], deep)
    chex.assert_trees_all_close(collapse(one).weight, stack.weight[1], atol=32 * eps())


def stack_keys():
    return jax.random.split(KEY, 3)


@pytest.mark.once(x64=True)
def test_the_surgery_is_traced_mapped_and_differentiated():
    model = mlp()
    deep = overparameterize(model, 2)
    jitted = eqx.filter_jit(lambda model: arrays(overparameterize(model, 2)))(model)
    chex.assert_trees_all_close(jitted, arrays(deep), atol=64 * eps())
    # A factor's slope is the weight's, times the others (the chain rule by hand).
    slope = gradient(collapse(deep)).layers[0].weight
    W1, W2 = deep.layers[0].factors.layers
    through = eqx.filter_grad(lambda deep: loss(collapse(deep)))(deep).layers[0].factors.layers
    chex.assert_trees_all_close(through, (W2.T @ slope, slope @ W1.T), rtol=1e3 * eps())
    scales = jnp.array([0.5, 2.0], jnp.result_type(float))
    mapped = jax.vmap(lambda scale: overparameterize(rescaled(model, scale), 2).layers[0].weight)
    expected = np.array([0.5, 2.0])[:, None, None] * np.asarray(model.layers[0].weight)
    np.testing.assert_allclose(mapped(scales), expected, atol=64 * eps())


def rescaled(model, scale):
    return eqx.tree_at(lambda model: model.layers[0].weight, model, replace_fn=lambda W: scale * W)


def test_training_ends_in_a_collapsed_model_that_computes_the_trained_one(x32):
    run = descend(overparameterize(mlp(), 2), loss, optax.adam(1e-2), 20, record_every=20)
    assert run.trusted
    assert float(run.losses[-1]) < float(run.losses[0])
    back = collapse(run.model)
    assert jax.tree.structure(back) == jax.tree.structure(mlp())
    chex.assert_trees_all_equal(back(numbers(3)), run.model(numbers(3)))


@pytest.mark.once
def test_an_overparameterized_model_is_saved_and_read_back():
    deep, file = overparameterize(mlp(), 2), io.BytesIO()
    eqx.tree_serialise_leaves(file, deep)
    file.seek(0)
    skeleton = eqx.filter_eval_shape(lambda: overparameterize(mlp(), 2))
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, skeleton), deep)


@pytest.mark.once
def test_an_overparameterized_network_is_listed_as_its_product():
    deep = overparameterize(mlp(), 2)
    chex.assert_trees_all_equal(affine_layers(deep), affine_layers(collapse(deep)))


@pytest.mark.once
@pytest.mark.parametrize("optimiser", [optax.adam(0.1), optax.sgd(0.1, 0.9), optax.lion(0.1)])
def test_an_old_optimiser_state_is_refused_here_and_raises_in_its_update(optimiser):
    model = mlp()
    deep = overparameterize(model, 2)
    old, new = (optimiser.init(eqx.filter(each, eqx.is_inexact_array)) for each in (model, deep))
    for given, verb in ((old, overparameterize), ((model, {"state": old}), overparameterize)):
        with pytest.raises(ValueError, match=r"got \"optax's .*initialise anew, .optimiser.init"):
            verb(given, 2)
    with pytest.raises(ValueError, match=r"`model\[1\]\[0\]` must be part of a model"):
        collapse((deep, new))
    for slopes, state, parameters in ((deep, old, deep), (model, new, model)):
        slopes, parameters = (
            eqx.filter(each, eqx.is_inexact_array) for each in (slopes, parameters)
        )
        with pytest.raises(ValueError, match=r"(?s)different types.*(Factored|Linear)"):
            optimiser.update(slopes, state, parameters)


def with_weight(change):
    return lambda: eqx.tree_at(lambda model: model.layers[1].weight, mlp(), replace_fn=change)


REFUSED = {
    "no layer": (
        lambda: {"w": jnp.ones((2, 2))},
        None,
        "`model` must be a pytree with .*nothing to overparameterize",
    ),
    "zero": (
        with_weight(jnp.zeros_like),
        None,
        r"`model.layers\[1\].weight` must be other than zero",
    ),
    "nan": (with_weight(lambda W: W * jnp.nan), None, r"`model.layers\[1\].weight` must be finite"),
    "complex": (
        with_weight(lambda W: W.astype(jnp.complex64)),
        None,
        r"layers\[1\].weight` must be real and floating",
    ),
    "integer": (
        with_weight(lambda W: jnp.ones_like(W, int)),
        None,
        r"layers\[1\].weight` must be real and floating; got 'int",
    ),
    "grouped": (
        lambda: {"conv": eqx.nn.Conv1d(4, 4, 2, groups=2, key=KEY)},
        None,
        r"`model\['conv'\]` must be a convolution of one group; got 'groups=2'",
    ),
    "factored": (
        lambda: overparameterize(mlp(), 2),
        None,
        r"`model.layers\[0\]` must be a layer that is no product yet; got 'an over.*`collapse`",
    ),
    "stacked elsewhere": (
        lambda: with_weight(lambda W: jnp.stack([W] * 3, axis=1))(),
        None,
        r"weight` must be of shape \(…, 2, 4\); got \(2, 3, 4\). Stack layers along leading axes",
    ),
    "normalised": (
        lambda: [eqx.nn.WeightNorm(mlp().layers[0])],
        None,
        r"`model\[0\].layer` must be .*WeightNorm, which rewrites its weight",
    ),
    "norm": (lambda: [eqx.nn.LayerNorm(3)], lambda m: m[0], "LayerNorm.*divides by the standard"),
    "gru": (lambda: [made_gru()], lambda m: m[0], r"`model\[0\]` must be a linear.*GRUCell.*gates"),
    "lambda": (lambda: [eqx.nn.Lambda(jnp.sin)], lambda m: m[0], "Lambda.*it is any function"),
    "unknown": (lambda: [eqx.nn.AvgPool1d(2)], lambda m: m[0], "AvgPool1d.*only eqx.nn.Linear"),
    "whole": (mlp, lambda m: m, "`model` must be a linear.*MLP.*Select the linear layers within"),
    "weight": (
        mlp,
        lambda m: m.layers[0].weight,
        r"`model.layers\[0\].weight` must be a layer.*Select the layer",
    ),
    "stranger": (
        mlp,
        lambda m: collapse(overparameterize(m, 2)),
        "`where.model.` must be in the mod",
    ),
    "nothing": (mlp, lambda m: (), "`where` must be a function to a layer of the model"),
}


def made_gru():
    return made(lambda: eqx.nn.GRUCell(2, 2, key=KEY))


@pytest.mark.once
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_product_is_refused_by_its_path(case):
    build, where, match = REFUSED[case]
    with pytest.raises(ValueError, match=match):
        overparameterize(build(), 2, where=where)


@pytest.mark.once
@pytest.mark.parametrize("depth", [0, -1, 2.0, True, jnp.array(2)])
def test_a_depth_that_is_none_is_refused(untyped, depth):
    with pytest.raises(ValueError, match="`depth` must be an integer, at least 1"):
        overparameterize(mlp(), depth)


@pytest.mark.once
def test_a_stack_with_one_zero_layer_is_refused(untyped):
    weight = numbers(3, 4, 4).at[1].set(0)
    stack = eqx.tree_at(lambda layer: layer.weight, Linear(4, 4), weight)
    with pytest.raises(ValueError, match=r"`model\.weight` must be other than zero"):
        overparameterize(stack, 2)


@pytest.mark.once
def test_a_model_without_products_is_refused():
    with pytest.raises(ValueError, match="`model` must be overparameterized; got 'MLP'"):
        collapse(mlp())
