"""Stacks of networks: one pytree whose arrays all have a leading axis."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from jaxdepth.networks._affine import listed


class Stack(NamedTuple):
    """What a pytree stacks: so many networks, listed in so many layers each, padding included."""

    size: int
    num_layers: int


def stack_of(net: Any) -> Stack | None:
    """Return what a concrete pytree stacks, None where it is one network.

    A stack is what does not list as one network, and does under vmap.
    """
    leaves, structure = jax.tree.flatten(net)
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves if eqx.is_array(leaf)}
    if len(lengths) != 1 or 0 in lengths:
        return None
    shapes = tuple(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf
        for leaf in leaves
    )
    num_layers = _layers_of_each(shapes, structure)
    return Stack(lengths.pop(), num_layers) if num_layers else None


def member(net: Any, index: Any) -> Any:
    """Return one network of a stack."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index] if eqx.is_array(leaf) else leaf, net)


@functools.lru_cache(maxsize=256)  # listing under an abstract vmap takes milliseconds
def _layers_of_each(shapes: tuple[Any, ...], structure: Any) -> int:
    """Return how many layers each network of a stack has, 0 where it is none."""
    net = jax.tree.unflatten(structure, shapes)

    def listing(net: Any) -> list[Any]:
        return [layer.weight for layer in listed(net, "net")]

    def dimensions(listing: Any) -> list[int]:
        try:
            with jax.enable_x64(True):  # the weights of some are, whatever the caller's setting
                return [weight.ndim for weight in eqx.filter_eval_shape(listing, net)]
        except (TypeError, ValueError, IndexError):
            return []  # told as one network, with the reason

    if set(dimensions(listing)) == {2}:
        return 0
    each = dimensions(eqx.filter_vmap(listing))
    return len(each) if set(each) == {3} else 0
