"""J_μ at very many points in ball arithmetic: Taylor polynomials instead of one series each."""

from __future__ import annotations

import math
from typing import Any

_NEAR = 16.0  # below it the power series serves
_TERMS_NEAR = 60
_TERMS = 26
_REACH = 12  # of the circle on which a Taylor coefficient is bounded


class BallBessel:
    """J_μ, μ = two_mu/2 ≥ −½, on 0 < w ≤ top.

    Up to 16 by the power series in w². Its terms fall from the 60th on by a ratio below 0.02.
    Beyond, by Taylor polynomials t ↦ Σ_{k<26} c_k t^k around c = 17, 19, …, |t| ≤ 1.001, whose
    coefficients the differential equation yields,

        c²(k+1)(k+2) c_{k+2} = −(c(k+1)(2k+1) c_{k+1} + (k²+c²−μ²) c_k + 2c c_{k−1} + c_{k−2}).

    By Cauchy's inequality |c_k| ≤ M e^r/r^k on the circle of radius r = 12, with the bounds
    M e^{|Im|} of `_hankel`.
    """

    def __init__(self, two_mu: int, top: float) -> None:
        from flint import arb, arb_poly

        self._half, self._whole = two_mu % 2 == 1, two_mu // 2
        self._series = arb_poly(_near_coefficients(arb, two_mu))
        mu = arb(two_mu) / 2
        count = max(0, math.ceil((top - _NEAR) / 2))
        self._centres = [arb(17 + 2 * i) for i in range(count)]
        self._taylor = [arb_poly(_far_coefficients(arb, mu, two_mu, c)) for c in self._centres]
        self._tail = arb(0, _near_tail(arb, two_mu).upper())
        self._ends = [arb(0, _far_tail(arb, two_mu, c).upper()) for c in self._centres]

    def __call__(self, w: Any, near: float) -> Any:
        """Enclose J_μ(w), where w is within 1e-6 of `near`."""
        if near < _NEAR:
            half = w / 2
            power = half**self._whole
            if self._half:
                power *= half.sqrt()
            return power * (self._series(w * w) + self._tail)
        index = min(int((near - _NEAR) / 2), len(self._centres) - 1)
        return self._taylor[index](w - self._centres[index]) + self._ends[index]


def _near_coefficients(arb: Any, two_mu: int) -> list[Any]:
    """(w/2)^{−μ} J_μ(w) = Σ (−w²/4)^k/(k!·Γ(μ+k+1))."""
    term, found = 1 / (arb(two_mu + 2) / 2).gamma(), []
    for k in range(_TERMS_NEAR):
        found.append(term)
        term = -term / (4 * (k + 1) * (arb(two_mu) / 2 + k + 1))
    return found


def _near_tail(arb: Any, two_mu: int) -> Any:
    """Bound the series' rest for w² ≤ 257: its first term, times 1/(1 − .02)."""
    first = arb(257) / 4
    size = first**_TERMS_NEAR * arb(_TERMS_NEAR + 1).rgamma()
    return size * (arb(two_mu) / 2 + _TERMS_NEAR + 1).rgamma() * 50 / 49


def _far_coefficients(arb: Any, mu: Any, two_mu: int, c: Any) -> list[Any]:
    order = c.bessel_j(mu)
    found = [order, mu / c * order - c.bessel_j(mu + 1)]
    for k in range(_TERMS - 2):
        rest = c * (k + 1) * (2 * k + 1) * found[k + 1] + (k * k + c * c - mu * mu) * found[k]
        if k >= 1:
            rest += 2 * c * found[k - 1]
        if k >= 2:
            rest += found[k - 2]
        found.append(-rest / (c * c * (k + 1) * (k + 2)))
    return found


def _far_tail(arb: Any, two_mu: int, c: Any) -> Any:
    """Bound Σ_{k≥26} |c_k t^k| for |t| ≤ 1.001."""
    if two_mu % 2 == 0:
        bound = arb(1)
    elif two_mu == -1:
        bound = (2 / (arb.pi() * (c - _REACH))).sqrt()
    else:
        bound = (2 * (c + _REACH) / arb.pi()).sqrt()
    ratio = arb(1001) / (1000 * _REACH)
    return bound * arb(_REACH).exp() * ratio**_TERMS / (1 - ratio)
