"""The layers of one network R → R, checked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from jaxdepth._misc import is_real, refuse
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._affine import Layer, listed, refuse_stack


def list_scalar(net: Any, argument: str) -> tuple[AffineLayer, ...]:
    """List the layers of the network that the caller knows as `argument`; refuse all but R → R."""
    layers = listed(net, argument)
    check_scalar(layers, argument)
    return layers


def check_scalar(layers: Sequence[AffineLayer | Layer], argument: str) -> None:
    """Refuse layers that are not a network R → R of real weights."""
    dtypes = {array.dtype for layer in layers for array in (layer.weight, layer.bias)}
    if not all(map(is_real, dtypes)):
        refuse(argument, "a network of real weights", sorted(map(str, dtypes)))
    shapes = [layer.weight.shape[::-1] for layer in layers]
    if any(len(shape) != 2 for shape in shapes):
        refuse_stack(argument)
    if any(one[1] != two[0] for one, two in itertools.pairwise(shapes)):
        refuse(argument, "layers whose shapes fit each other", shapes)
    if not shapes or (shapes[0][0], shapes[-1][1]) != (1, 1):
        ends = (shapes[0][0], shapes[-1][1]) if shapes else ()
        cure = "`piecewise.on_line` restricts a network of many inputs to a segment."
        refuse(argument, "a network of one input and one output", ends, cure)
