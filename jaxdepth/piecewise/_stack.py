"""Stacks of networks: one pytree whose arrays all have a leading axis."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from jaxdepth._misc import check_finite
from jaxdepth.networks._affine import listed


def stack_size(net: Any, argument: str) -> int | None:
    """Return how many networks a concrete pytree stacks; None where it is one network.

    A stack is what fails as one network and lists well under vmap. NaN or infinite weights are
    refused.
    """
    arrays = [leaf for leaf in jax.tree.leaves(net) if eqx.is_array(leaf)]
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in arrays}
    if len(lengths) != 1 or 0 in lengths or _lists_as_one(net, argument):
        return None
    try:
        shapes = eqx.filter_eval_shape(eqx.filter_vmap(lambda one: _weights(one, argument)), net)
    except ValueError:
        return None  # told as one network, with the reason
    if any(shape.ndim != 3 for shape in shapes):
        return None
    check_finite(argument, arrays)
    return lengths.pop()


def member(net: Any, index: int) -> Any:
    """Return one network of a stack."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index] if eqx.is_array(leaf) else leaf, net)


def _weights(net: Any, argument: str) -> list[Any]:
    return [layer.weight for layer in listed(net, argument)]


def _lists_as_one(net: Any, argument: str) -> bool:
    try:
        return all(np.ndim(weight) == 2 for weight in _weights(net, argument))
    except (TypeError, ValueError, IndexError):
        return False
