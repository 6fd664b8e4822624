"""Surgery on any Equinox model: layers become products of layers, and products become layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from jaxdepth._misc import check_integer, refuse
from jaxdepth.networks._factored import Factored, factored
from jaxdepth.networks._selection import is_layer, named, select


def overparameterize(
    model: PyTree, depth: int, *, where: Callable[[PyTree], Any] | None = None
) -> PyTree:
    """Make each linear layer of `model` a balanced product of `depth` layers: the same function.

    Descent on the factors moves their product by −η·P_W[G] + O(η²) instead of −η·G
    (`jaxdepth.dynamics.end_to_end`), which is all that changes. `eqx.nn.Linear`, `eqx.nn.Conv` and
    `eqx.nn.ConvTranspose` are found anywhere in the tree, and stacks of them made by
    `eqx.filter_vmap`; each becomes a `Factored`. `collapse` brings them back after training.

    What `eqx.nn.Shared` ties is replaced once, where it is held. A layer that merely appears twice
    is two layers in Equinox, and becomes two products. A layer whose weight a filter has taken out
    is left alone.

    The product is the weight to rounding. In float64 and float32 that is the SVD's, 3e-15 and
    1.5e-6 of the norm (13ε) at 512 × 512 and growing with the size, or up to N·ε, of N roots that
    round alike, where that is more: 71ε at N = 256, 64 × 64. Half precision rounds every factor,
    N·ε at most: bfloat16 2.4e-3, 5.3e-3 and .03 at N = 2, 4 and 16, 512 × 512. One factor is the
    weight itself. Singular values that are 0, to rounding (`DeepLinear.balanced_from` has the
    cut-off), stay 0: what lies outside both the row and the column space of a weight, two or more
    factors do not learn.

    An optimiser's state belongs to the parameters it was made for: start it anew, by
    `optimiser.init(eqx.filter(model, eqx.is_inexact_array))`. The old one's moments are a tree of
    other nodes, at which `optimiser.update` raises a ValueError ("… different types … Factored").

    Args:
        model: any pytree with linear layers; no optimiser's state in it.
        depth: N, at least 1.
        where: as in `eqx.tree_at`: returns of the model the layer, or a sequence of the layers, to
            replace; all of them by default.

    Returns:
        The model with those layers factored. Works under jit and vmap.

    Raises:
        ValueError: nothing to overparameterize; `where` selects what is no linear layer; a weight
            that is zero (which descent on two factors cannot leave), not finite, complex, of
            integers, stacked along other axes than the leading, or behind `eqx.nn.WeightNorm` or
            `eqx.nn.SpectralNorm`; a grouped convolution; a layer factored already; an optimiser's
            state; depth below 1. What is refused is named by its path in the tree.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp
        >>> net = eqx.nn.MLP(3, 1, width_size=8, depth=2, key=jax.random.key(0))
        >>> deep = overparameterize(net, 3, where=lambda net: net.layers[:2])
        >>> [type(layer).__name__ for layer in deep.layers]
        ['Factored', 'Factored', 'Linear']
        >>> x = jnp.array([1.0, -2.0, 0.5])
        >>> bool(jnp.allclose(net(x), deep(x), atol=1e-5))
        True

    Reference: Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
    Overparameterization* (2018), Theorem 1; section 8 for a network with activations.
    """
    depth = check_integer("depth", depth, 1)
    _refuse_optimiser_state(model)
    found, structure = jax.tree.flatten_with_path(model, is_leaf=is_layer)
    # A repeated object is as many untied copies: only as different objects can `where` tell them.
    layers = [(path, _copied(node) if is_layer(node) else node) for path, node in found]
    chosen = select(jax.tree.unflatten(structure, [node for _, node in layers]), where)
    return jax.tree.unflatten(
        structure,
        [
            factored(node, depth, named(path)) if id(node) in chosen else node
            for path, node in layers
        ],
    )


def collapse(model: PyTree) -> PyTree:
    """Multiply the factors of an overparameterized model back into layers: the same function.

    A `Factored` layer multiplies its factors whenever it is called, so that nothing is lost here.

    Args:
        model: what `overparameterize` returned, trained or not.

    Returns:
        The tree that `overparameterize` was given, with every static field and dtype, and the
        products of the factors for weights. Works under jit, vmap and grad.

    Raises:
        ValueError: nothing in the model is overparameterized, a filter has taken the factors of a
            layer out, or an optimiser's state is in the model.

    Example:
        >>> import equinox as eqx, jax
        >>> layer = eqx.nn.Linear(3, 2, key=jax.random.key(0))
        >>> back = collapse(overparameterize(layer, 3))
        >>> jax.tree.structure(back) == jax.tree.structure(layer)
        True
    """
    _refuse_optimiser_state(model)
    nodes, structure = jax.tree.flatten_with_path(model, is_leaf=_is_factored)
    if not any(_is_factored(node) for _, node in nodes):
        cure = "None of its layers is a product: give what `overparameterize` returned."
        refuse("model", "overparameterized", type(model).__name__, cure)
    return jax.tree.unflatten(
        structure,
        [node.collapsed(named(path)) if _is_factored(node) else node for path, node in nodes],
    )


def _is_factored(node: Any) -> bool:
    return isinstance(node, Factored)


def _copied(node: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf, node)


def _refuse_optimiser_state(model: Any) -> None:
    """Refuse a tree with a state of optax in it.

    Adam's moments are trees of the model's own nodes: they would be factored like weights. The
    optimiser itself, two functions, is no state.
    """

    def is_state(node: Any) -> bool:
        optax_tuple = isinstance(node, tuple) and type(node).__module__.split(".")[0] == "optax"
        return optax_tuple and not isinstance(node, optax.GradientTransformation)

    for path, node in jax.tree.leaves_with_path(model, is_leaf=is_state):
        if is_state(node):
            refuse(
                named(path),
                "part of a model",
                f"optax's {type(node).__name__}",
                "An optimiser's state belongs to coordinates that are replaced: initialise anew, "
                "`optimiser.init(eqx.filter(model, eqx.is_inexact_array))`.",
            )
