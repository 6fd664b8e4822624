"""Which layers of a tree the surgery is for, each named by its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import equinox as eqx
import jax

from jaxdepth._misc import refuse
from jaxdepth.networks._factored import LINEAR, Factored, has_weight

_NORMALISING = (eqx.nn.WeightNorm, eqx.nn.SpectralNorm)

# What users select and what is not linear in it, by class.
_BENDS = {
    "BatchNorm": "it divides by a standard deviation of its inputs",
    "GroupNorm": "it divides by the standard deviation of its input",
    "LayerNorm": "it divides by the standard deviation of its input",
    "RMSNorm": "it divides by the length of its input",
    "SpectralNorm": "it divides the weight by its largest singular value",
    "WeightNorm": "it divides the weight by its lengths",
    "GRUCell": "its gates squash and multiply",
    "LSTMCell": "its gates squash and multiply",
    "MultiheadAttention": "its attention is a softmax; its four projections are linear",
    "MLP": "it has activations between its layers",
    "Sequential": "it is a chain of layers, which are selected one by one",
    "Lambda": "it is any function",
    "PReLU": "its slope depends on the sign of its input",
    "Dropout": "it has no weight",
    "Identity": "it has no weight",
    "Embedding": "it looks its rows up, and multiplies by no matrix",
}


def is_layer(node: Any) -> bool:
    """Whether a node is a linear layer, factored or not."""
    return isinstance(node, (Factored, *LINEAR))


def named(path: Any) -> str:
    """Write the way from the model to a node, as the user would."""
    return f"model{jax.tree_util.keystr(path)}"


def select(model: Any, where: Callable[[Any], Any] | None) -> set[int]:
    """Return the ids of the layers that `where` selects, or of all that hold a weight.

    The layers of `model` are different objects.
    """
    paths = {id(node): path for path, node in _layers(model)}
    if where is None:
        chosen = {id(n) for _, n in _layers(model) if isinstance(n, Factored) or has_weight(n)}
        if not chosen:
            cure = (
                "There is nothing to overparameterize: arrays outside such layers are left alone."
            )
            expected = "a pytree with an eqx.nn.Linear, Conv or ConvTranspose in it"
            refuse("model", expected, type(model).__name__, cure)
    else:
        nodes = jax.tree.leaves(where(model), is_leaf=lambda node: isinstance(node, eqx.Module))
        for node in nodes:
            if id(node) not in paths:
                _refuse_node(model, node)
        chosen = {id(node) for node in nodes}
        if not chosen:
            refuse("where", "a function to a layer of the model, or to several", "none")
    for above, norm in _find(model, lambda node: isinstance(node, _NORMALISING)):
        for node in chosen:
            if paths[node][: len(above)] == above:
                cure = "Choose other layers by `where`, or unwrap this one."
                got = f"a layer within {type(norm).__name__}, which rewrites its weight"
                refuse(named(paths[node]), "a layer that is called as it is", got, cure)
    return chosen


def _layers(model: Any) -> Iterator[tuple[Any, Any]]:
    return _find(model, is_layer)


def _find(model: Any, sought: Callable[[Any], bool]) -> Iterator[tuple[Any, Any]]:
    """Walk over the outermost nodes that are `sought`, and their paths."""
    for path, node in jax.tree.leaves_with_path(model, is_leaf=sought):
        if sought(node):
            yield path, node


def _refuse_node(model: Any, node: Any) -> NoReturn:
    path = next((path for path, _ in _find(model, lambda each: each is node)), None)
    if path is None:
        cure = "Return nodes of the model, and not what is computed of them."
        refuse("where(model)", "in the model", type(node).__name__, cure)
    kind = type(node).__name__
    if not isinstance(node, eqx.Module):
        refuse(named(path), "a layer", kind, "Select the layer, and not what it holds.")
    why = _BENDS.get(kind, "only eqx.nn.Linear, Conv and ConvTranspose are known to be")
    cure = "Select the linear layers within it." if any(_layers(node)) else "Leave it out."
    refuse(named(path), "a linear layer", kind, f"It is not linear: {why}. {cure}")
