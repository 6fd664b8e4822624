"""Compositions of maps R → R, which say so: deep networks that are never written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxdepth._misc import RealLike, check_integer, refuse
from jaxdepth.networks._affine import AffineLayer, Layer, layers_of, listed
from jaxdepth.networks._scalar import as_float, scalar_function


class Composition(eqx.Module):
    """The composition x ↦ f_n(… f_2(f_1(x))) of several maps R → R.

    Attributes:
        maps: f_1, …, f_n, in order of evaluation.

    Args:
        maps: at least one network of shape () → () or (1,) → (1,), compositions included.

    Raises:
        ValueError: no maps.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> float(Composition([Sawtooth(1), Sawtooth(1, teeth=2)])(0.0625))
        0.5
    """

    maps: tuple[Any, ...]

    def __init__(self, maps: Sequence[Any]) -> None:
        if not isinstance(maps, (tuple, list)) or not maps:
            refuse("maps", "a non-empty sequence of maps R → R", maps)
        self.maps = tuple(maps)

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number; the dtype follows `x`."""
        z = as_float(x)
        for each in self.maps:
            z = scalar_function(each, z.dtype)(z)
        return z

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the affine layers of all maps, in order of evaluation."""
        return listed(self, "maps")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the layers of all maps, whatever their activations."""
        return tuple(layer for each in self.maps for layer in layers_of(each, argument))

    def factors(self) -> tuple[tuple[Any, int], ...]:
        """List the factors of all maps: see `factors`."""
        return tuple(pair for each in self.maps for pair in factors(each))


class Iterated(eqx.Module):
    """The map R → R composed with itself: net^times.

    The loop is not unrolled: compile time does not grow with `times`.

    Attributes:
        net: the map.
        times: how often it is applied.

    Args:
        net: a network of shape () → () or (1,) → (1,), compositions included.
        times: a Python int ≥ 1. (`Sawtooth` takes a traced depth.)

    Raises:
        ValueError: `times` not a positive integer.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> float(Iterated(Sawtooth(1), 3)(0.0625)), float(Sawtooth(3)(0.0625))
        (0.5, 0.5)
    """

    net: Any
    times: int = eqx.field(static=True)

    def __init__(self, net: Any, times: int) -> None:
        self.net = net
        self.times = check_integer("times", times, 1)

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Evaluate at one real number; the dtype follows `x`."""
        x = as_float(x)
        once = scalar_function(self.net, x.dtype)
        return jax.lax.fori_loop(0, self.times, lambda _, z: once(z), x)

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the affine layers of `net`, `times` times over."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the layers of `net`, `times` times over, whatever their activations."""
        return layers_of(self.net, argument) * self.times

    def factors(self) -> tuple[tuple[Any, int], ...]:
        """List the factors of `net`, `times` times over: see `factors`."""
        inner = factors(self.net)
        if len(inner) > 1:
            return inner * self.times
        ((net, times),) = inner
        return ((net, times * self.times),)


def factors(net: Any) -> tuple[tuple[Any, int], ...]:
    """List the maps R → R that a network says it is composed of, in order of evaluation.

    The interface of symbolic counting: a network with a method `factors()` is the composition of
    what that returns, `Sawtooth` among them; any other network is its own only factor.

    Args:
        net: a network R → R.

    Returns:
        Pairs (map, times): first map applied `times` times over, then the next.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> [times for _, times in factors(Iterated(Sawtooth(3), 5))]
        [15]
    """
    return tuple(net.factors()) if hasattr(net, "factors") else ((net, 1),)
