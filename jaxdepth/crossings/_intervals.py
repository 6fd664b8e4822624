"""A network and its slope on boxes [a, b], enclosed, by outward-rounded interval arithmetic.

Three enclosures travel through the steps together: of h at a centre c, of h on the box, and of h′
on the box. The mean value theorem ties them: h(x) ∈ h(c) + h′([a, b])·(x − c), so that the second
is cut down by the other two wherever that helps, unit by unit. (At a kink h′ stands for all slopes
between the two sides': h is still the integral of its slope.)

Rounding model: +, −, ×, ÷ in float64 err by at most u = 2^−53 relatively, plus 2^−1022 where
subnormals are flushed; a product of n terms errs by at most γ_n·|a|·|b|, γ_n = nu/(1 − nu), in
whatever order it is summed and wherever multiplications and additions are fused (Higham 2002,
Section 3.1). Every allowance below is some times what the model asks for, which also covers the
rounding of the allowance itself. One code serves NumPy, eagerly, and JAX, under a trace. There a
compiler may compute one number twice, fused and not, for two that use it (seen on CPUs): copies of
an end, a centre or a bound then differ by an ulp or two, which the allowances cover as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxdepth.crossings._enclosures import (
    ENCLOSURES,
    KAPPA,
    LARGEST,
    Enclosure,
    piecewise_linear,
)
from jaxdepth.crossings._steps import Step

_ULPS = 2.0**-50  # 8u
_TINY = 2.0**-1000  # above every underflow


class Jets(NamedTuple):
    """Enclosures of the hidden vector on boxes, each array of shape (boxes, units).

    Attributes:
        centre: h(c) is within `centre_radius` of it.
        centre_radius: see `centre`.
        low: a lower bound of h on the box.
        high: an upper bound.
        slope: h′ on the box is within `slope_radius` of it.
        slope_radius: see `slope`.
        sound: of shape (boxes,): no number grew beyond what the arithmetic was proven for. Where
            False nothing else means anything.
    """

    centre: Any
    centre_radius: Any
    low: Any
    high: Any
    slope: Any
    slope_radius: Any
    sound: Any


def enclose(steps: tuple[Step, ...], a: Any, b: Any, c: Any, radius: Any, flushed: Any) -> Jets:
    """Enclose a network on the boxes [a, b] with centres c, all of shape (boxes,).

    Args:
        steps: the network, from `steps`.
        a: left ends.
        b: right ends.
        c: centres, a ≤ c ≤ b.
        radius: the centres are known to that much (0 for exact ones).
        flushed: entries of the network smaller than this may have been flushed to 0.
    """
    xp = a.__array_namespace__()
    a, b, c = a[:, None], b[:, None], c[:, None]
    reach = xp.maximum(b - c, c - a) * (1 + _ULPS) + _TINY
    zero = xp.zeros_like(c)
    sound = ((a >= -LARGEST) & (a <= b) & (b <= LARGEST))[:, 0]
    jets = Jets(c, zero + radius, a, b, zero + 1.0, zero, sound)
    for step in steps:
        jets = _affine(jets, step, reach, flushed)
        if step.smooth is not None:
            jets = _activate(jets, step, ENCLOSURES[step.smooth])
        elif step.slope is not None:
            jets = _activate(jets, step, piecewise_linear(step.slope))
    return jets


def _affine(jets: Jets, step: Step, reach: Any, flushed: Any) -> Jets:
    """Map all three enclosures as (middle, radius) pairs: W·m + b, |W|·r and what was rounded.

    With g ≥ (n + 3)u the computed W·m + b is within g(|W|·|m| + |b|) of the true one.
    """
    xp = jets.low.__array_namespace__()
    middle = 0.5 * (jets.low + jets.high)
    half = 0.5 * (jets.high - jets.low) + _ULPS * xp.abs(middle) + _TINY
    middles = xp.stack([jets.centre, middle, jets.slope])
    radii = xp.stack([jets.centre_radius, half, jets.slope_radius])
    g = (step.weight.shape[1] + 8) * 2 * 2.0**-53
    # A weight flushed to 0 was worth at most `flushed`: g times (flushed / g)·|m|.
    size = xp.abs(step.weight).T + flushed / g
    offset = np.array([1.0, 1.0, 0.0])[:, None, None] * step.bias[None, None, :]
    value = middles @ step.weight.T + offset
    radius = (radii * (1 + _ULPS) + g * xp.abs(middles) + _TINY) @ size
    radius = (radius + g * xp.abs(offset)) * (1 + 2 * g) + (_TINY + flushed)
    spread = (radius[0] + (xp.abs(value[2]) + radius[2]) * reach) * (1 + _ULPS)
    low = xp.maximum(value[1] - radius[1], value[0] - spread)
    high = xp.minimum(value[1] + radius[1], value[0] + spread)
    low, high = low - (_ULPS * xp.abs(low) + _TINY), high + (_ULPS * xp.abs(high) + _TINY)
    # Compared one by one: a minimum or maximum may drop a NaN, a comparison cannot.
    bounded = ((xp.abs(value) <= LARGEST) & (radius <= LARGEST)).all(axis=(0, 2))
    bounded &= ((xp.abs(low) <= LARGEST) & (xp.abs(high) <= LARGEST)).all(axis=1)
    return Jets(value[0], radius[0], low, high, value[2], radius[2], jets.sound & bounded)


def _activate(jets: Jets, step: Step, sigma: Enclosure) -> Jets:
    """Map the three enclosures through σ; κ has room for the roundings here."""
    xp = jets.low.__array_namespace__()
    value, slope = sigma.point(xp.stack([jets.low, jets.high, jets.centre]))
    least, greatest = sigma.span(jets.low, jets.high, value, sigma.extrema)
    flattest, steepest = sigma.span(jets.low, jets.high, slope, sigma.slope_extrema)
    kappa = KAPPA * xp.maximum(sigma.lipschitz, 1.0)
    doubt = kappa * (1.0 + xp.maximum(xp.abs(jets.low), xp.abs(jets.high)))
    centre_radius = sigma.lipschitz * jets.centre_radius * (1 + _ULPS)
    centre_radius = centre_radius + kappa * (1.0 + xp.abs(jets.centre))
    # (S ± s)(D ± d) = SD ± (|S|d + s(|D| + d)), S = σ′ and D the slope so far.
    S, s = 0.5 * (flattest + steepest), 0.5 * (steepest - flattest) + kappa
    D, d = jets.slope, jets.slope_radius
    slope_radius = (xp.abs(S) * d + s * (xp.abs(D) + d)) * (1 + _ULPS) + _TINY
    slope_radius = slope_radius + _ULPS * xp.abs(S * D)
    new = (value[2], centre_radius, least - doubt, greatest + doubt, S * D, slope_radius)
    small = (xp.abs(jets.low) <= sigma.largest) & (xp.abs(jets.high) <= sigma.largest)
    if step.live is not None:
        new = tuple(xp.where(step.live[None, :], array, 0.0) for array in new)
        new = tuple(
            xp.where(step.active, after, before)
            for after, before in zip(new, jets[:-1], strict=True)
        )
        small = small | ~step.live[None, :] | ~step.active
    return Jets(*new, jets.sound & small.all(axis=1))
