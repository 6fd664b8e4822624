"""Three layers suffice: a network for a radial target, with a bound on its L2(μ) error."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx

from jaxdepth._misc import check_finite, check_integer, is_traced, refuse
from jaxdepth.networks._radial import RadialNetwork
from jaxdepth.networks._units import PROFILING, SQUARING, check_activation
from jaxdepth.radial._design import Design, Layout, Pieces, design, pieces
from jaxdepth.radial._error_bound import error_bound, panels
from jaxdepth.radial._measure import Measure
from jaxdepth.radial._targets import AbstractTarget

# What is tried. Two sigmoids a coordinate do whatever their width, which only costs weights.
_MOST_UNITS = {"relu": 4096, "step": 8192, "sigmoid": 16}
_DENSITIES = tuple(0.35 * 1.3**i for i in range(24))
_RAMPS = {
    "relu": tuple((ramp, 1) for ramp in (0.5, 0.7, 1.0, 1.3, 1.6, 2.0)),
    "step": ((0.01, 1), (0.7, 2), (1.0, 3), (1.1, 4), (1.3, 6), (1.4, 9)),
    "sigmoid": tuple((0.5 * 8**i, 1) for i in range(4)),
    "rbf": tuple((0.8 * 3**i, 1) for i in range(5)),
}


class Approximation(eqx.Module):
    """A 3-layer network and how near it is.

    Attributes:
        network: a `RadialNetwork`.
        error: an upper bound on E_μ(network − target)², for the network before its weights are
            rounded to their dtype, evaluated in exact arithmetic.

    Example:
        >>> from jaxdepth.radial import Ball
        >>> three = approximate(Ball(2.0), 3, 0.1)
        >>> three.error <= 0.1, three.network.num_neurons
        (True, 17)
    """

    network: RadialNetwork
    error: float


def approximate(
    target: AbstractTarget,
    dim: int,
    error: float | int,
    *,
    activation: str = "relu",
    profile: str | None = None,
    dtype: Any = None,
) -> Approximation:
    """Build a small 3-layer network within a given L2(μ) error of a radial target.

    The network's s = Σ q(x_i) is ‖x‖² up to ±δ, so that with ψ its profile

        E_μ(f − g)² ≤ ∫ sup_{|t| ≤ δ} |ψ(z² + t) − g(z)|² p(z) dz + the far tail,

    which is bounded on panels of z, by the extremes of ψ and g (Lipschitz between its jumps) times
    the measure's exact increments, over all of R^d. Knots, ramps across g's jumps and the units of
    the squares are searched for the fewest neurons whose bound is at most `error`. Host arithmetic,
    in float64; what its rounding can hide is added.

    ReLUs need of the order of d·√(d/error) neurons, steps of d²/error. Sigmoids need two a
    coordinate whatever the error, for t² is a derivative of theirs, as precise as their weights are
    large; these are what float32 then limits.

    Args:
        target: the radial function g, concrete.
        dim: the dimension d.
        error: what E_μ(f − g)² must not exceed, positive.
        activation: of layer 1, "relu", "step" or "sigmoid".
        profile: of layer 2, one of these or "rbf" (Gaussians of ‖x‖²); as `activation` where None.
        dtype: of the network's weights; the default float where None.

    Returns:
        An `Approximation`, on points of R^d in the measure's units.

    Raises:
        ValueError: a traced target, `error` not positive, or smaller than any design tried reaches;
            an unknown activation.

    Example:
        >>> from jaxdepth.radial import Ball
        >>> three = approximate(Ball(2.0), 3, 0.015)
        >>> three.network.num_neurons, three.error < 0.015
        (26, True)
        >>> approximate(Ball(2.0), 3, 0.001, activation="sigmoid").network.num_neurons
        7

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, lemma 10,
        with the measure's own error in place of the uniform one.
    """
    dim = check_integer("dim", dim, 1)
    if not isinstance(target, AbstractTarget) or is_traced(target):
        refuse("target", "a concrete radial target such as `Ball`", type(target).__name__)
    check_finite("error", error)
    _check_positive("error", error)
    check_activation("activation", activation, SQUARING)
    profile = activation if profile is None else check_activation("profile", profile, PROFILING)

    bound = float(target.regularity.bound)
    if not bound > 0:
        refuse("target", "not zero everywhere", target)
    g = pieces(target)
    found = _search(g, dim, float(error) / g.scale / g.scale, activation, profile)
    chosen = found.design
    unit = Measure(dim).radius_unit
    network = RadialNetwork.from_profile(
        chosen.knots / unit,
        chosen.values * g.scale,
        dim,
        radius=chosen.radius / unit,
        units=chosen.units,
        activation=activation,
        profile=profile,
        dtype=dtype,
    )
    return Approximation(network, found.bound * (1 + 2.0**-50) * g.scale * g.scale)


def _check_positive(argument: str, value: Any) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number:
        refuse(argument, "a positive number", value)
    if not value > 0:
        refuse(argument, "positive", value)


class _Found(NamedTuple):
    """An admitted design; they compare by neurons, then by what makes weights large."""

    neurons: int
    units: int
    steepness: float
    bound: float
    design: Design


def _search(g: Pieces, dim: int, error: float, activation: str, profile: str) -> _Found:
    """Find a design of few neurons whose bound is at most `error`."""
    cut, most = panels(g, dim), _MOST_UNITS[activation]

    def attempt(layout: Layout) -> _Found | None:
        made = design(g, dim, activation, profile, layout)
        bound = math.inf if made is None else error_bound(made, dim, cut)
        if made is None or not bound <= error:
            return None
        return _Found(made.num_neurons(dim), layout.units, 1 / layout.ramp, bound, made)

    best: _Found | None = None
    plateaus = _DENSITIES[:9] if profile == "rbf" else _DENSITIES[:1]
    for density in _DENSITIES if g.lipschitz.any() else plateaus:
        before = best
        for ramp, treads in _RAMPS[profile]:
            units = min(most, best.units + 2) if best else most  # more would hardly pay
            found = _coarsest(attempt, Layout(units, density, ramp, treads))
            if found and (best is None or found[:3] < best[:3]):
                best = found
        if before and best is before:  # denser knots still cost more
            break
    if best is None:
        wanted = f"within reach of the designs tried, of up to {most} units in a square"
        refuse("error", wanted, error, "Ask for a larger one, or for another `activation`.")
    return best


def _coarsest(attempt: Callable[[Layout], _Found | None], layout: Layout) -> _Found | None:
    """Bisect for the fewest units of the squares that are admitted, no more than the layout's."""
    found, low = attempt(layout), 0
    while found and found.units - low > 1:
        half = layout._replace(units=(found.units + low) // 2)
        less = attempt(half)
        found, low = (less, low) if less else (found, half.units)
    return found
