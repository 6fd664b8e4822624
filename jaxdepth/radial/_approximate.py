"""Three layers suffice: a network for a radial target, with a bound on its L2(μ) error."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import check_finite, check_integer, in_float64, is_traced, refuse
from jaxdepth.networks._radial import RadialNetwork, squares_error
from jaxdepth.radial._measure import Measure
from jaxdepth.radial._targets import AbstractTarget

_PANELS = 8192
_MOST_UNITS = 4096


class Approximation(eqx.Module):
    """A 3-layer network and how near it is.

    Attributes:
        network: a `RadialNetwork`.
        error: an upper bound on E_μ(network − target)², for the network before its weights are
            rounded to their dtype, evaluated in exact arithmetic.
    """

    network: RadialNetwork
    error: float


class _Design(NamedTuple):
    """Everything about a network but its dimension, in z units."""

    knots: np.ndarray
    values: np.ndarray
    radius: float
    units: int


def approximate(
    target: AbstractTarget, dim: int, error: float | int, *, dtype: Any = None
) -> Approximation:
    """Build a 3-layer ReLU network within a given L2(μ) error of a radial target.

    The network sees ‖x‖² up to ±δ (`squares_error`), so with φ its profile as a function of z²

        E_μ(f − g)² ≤ ∫ sup_{|t| ≤ δ} |φ(z² + t) − g(z)|² p(z) dz,

    bounded on 8,192 panels by the extremes of φ and g on each (g is `growth`-Lipschitz up to its
    radius) times the measure's exact increments. The first design that the bound admits is taken,
    in order of kinks in the squares; host arithmetic, in float64.

    Args:
        target: the radial function g, concrete.
        dim: the dimension d.
        error: what E_μ(f − g)² must not exceed, positive.
        dtype: of the network's weights; the default float where None.

    Returns:
        An `Approximation`, on points of R^d in the measure's units.

    Raises:
        ValueError: a traced target, `error` not positive, or so small that 4,096 kinks do not do.

    Example:
        >>> from jaxdepth.radial import Ball
        >>> three = approximate(Ball(2.0), 3, 0.015)
        >>> three.network.num_neurons, three.error < 0.015
        (26, True)

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, lemma 10,
        with the measure's own error in place of the uniform one.
    """
    dim = check_integer("dim", dim, 1)
    if not isinstance(target, AbstractTarget) or is_traced(target):
        refuse("target", "a concrete radial target such as `Ball`", type(target).__name__)
    check_finite("error", error)
    _check_positive("error", error)
    units = 1
    while units <= _MOST_UNITS:
        designs = list(_designs(target, dim, units))
        bounds = [error_bound(target, dim, design) for design in designs]
        admitted = [
            (design.knots.size, bound, design)
            for bound, design in zip(bounds, designs, strict=True)
            if bound <= error
        ]
        if admitted:
            _, bound, design = min(admitted, key=lambda entry: entry[:2])
            unit = Measure(dim).radius_unit
            network = RadialNetwork.from_profile(
                design.knots / unit,
                design.values,
                dim,
                radius=design.radius / unit,
                units=design.units,
                dtype=dtype,
            )
            return Approximation(network, bound)
        units += max(1, units // 8)
    return refuse("error", f"reachable with {_MOST_UNITS} kinks", error, "Ask for a larger one.")


def _check_positive(argument: str, value: Any) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number:
        refuse(argument, "a positive number", value)
    if not value > 0:
        refuse(argument, "positive", value)


def _designs(target: AbstractTarget, dim: int, units: int) -> Iterator[_Design]:
    """Propose profiles: g through knots up to its radius Z, then a ramp to 0 across it.

    The ramp spans Z² ± r in z², r in proportion to δ: far steeper it would be lost on δ, far
    flatter it costs by itself. A target that does not grow needs no other knot.
    """
    edge, growth = float(target.radius), float(target.growth)
    for steepness in (0.5, 1.0, 1.5):
        # q must reach the ramp's end: radius² − h²/8 = Z² + steepness·δ, both h² and δ ~ radius².
        left = 1 - (steepness * dim + 1) / (8 * (units + 0.5) ** 2)
        if left <= 0.1:
            continue
        end = edge / math.sqrt(left) * (1 + 1e-9)
        spread = squares_error(dim, end, units)
        start = edge**2 - steepness * spread
        if start <= 0:
            continue
        ramp = np.sqrt([start, edge**2 + steepness * spread])
        for density in (0.25, 0.5, 1.0, 2.0) if growth else (0.0,):
            inner = np.linspace(0, ramp[0], max(1, math.ceil(density * growth * edge)) + 1)[1:-1]
            knots = np.concatenate([inner if growth else [], ramp])
            values = np.append(_profile(target, knots[:-1]), 0.0)
            yield _Design(knots, values, end, units)


def _profile(target: AbstractTarget, z: np.ndarray) -> np.ndarray:
    """Evaluate g's analytic piece on the host."""
    inside = in_float64("approximate", lambda g, z: g.inside(jnp.asarray(z)), target, z)
    return np.asarray(inside)


def error_bound(target: AbstractTarget, dim: int, design: _Design) -> float:
    """Bound E_μ(f − g)² for the network of `design`."""
    edge, growth = float(target.radius), float(target.growth)
    spread = squares_error(dim, design.radius, design.units)
    end = math.sqrt(design.knots[-1] ** 2 + spread)
    if end <= edge:
        return math.inf
    z = np.unique(np.append(np.linspace(0, end, _PANELS), edge))
    low, high = _extremes(design, z[:-1] ** 2 - spread, z[1:] ** 2 + spread)
    middle, half = (z[1:] + z[:-1]) / 2, np.diff(z) / 2
    inside = middle < edge
    g = np.where(inside, _profile(target, middle), 0.0)
    reach = np.where(inside, growth * half, 0.0)
    worst = np.maximum(high - (g - reach), (g + reach) - low)
    increments = np.diff(np.asarray(Measure(dim).cdf(z))) + 2.0**-48  # what rounding may hide
    return float(np.sum(worst**2 * np.abs(increments)))


def _extremes(design: _Design, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and greatest value of the profile on intervals of z²."""
    kinks, values = design.knots**2, design.values
    at_low, at_high = np.interp(low, kinks, values), np.interp(high, kinks, values)
    least, most = np.minimum(at_low, at_high), np.maximum(at_low, at_high)
    first, last = np.searchsorted(kinks, low), np.searchsorted(kinks, high)
    for offset in range(int(np.max(last - first))):
        index = np.minimum(first + offset, kinks.size - 1)
        here = np.where(first + offset < last, values[index], at_low)
        least, most = np.minimum(least, here), np.maximum(most, here)
    return least, most
