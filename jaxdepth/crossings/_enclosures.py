"""Activations and their slopes, enclosed: what float64 arithmetic proves about tanh and the rest.

Nothing is assumed of a library's exp, tanh or erf. Every function is built here from +, −, ×, ÷,
floor, comparison and scaling by powers of two, whose errors are known: |fl(a∘b) − a∘b| ≤ u·|a∘b|, u
= 2^−53, in whatever order a compiler fuses them, and up to 2^−1022 absolutely where it flushes
subnormals. Errors below are counted in u to first order, and proven with room to spare:

    |value computed − σ(x)| ≤ κL(1 + |x|),   |slope computed − σ′(x)| ≤ κL,   κ = 128u = 2^−46,

L = max(1, sup |σ′|), which is above 1.13 only for a piecewise linear σ of a great slope.

Between points, σ and σ′ are monotone between the extrema listed in the table below, so their ranges
over an interval are spanned by their values at its ends and at the extrema inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import is_traced

KAPPA = 2.0**-46
LARGEST = 2.0**200  # arguments beyond are not enclosed: no product below can overflow

_LOG2_E = 1.4426950408889634
# ln 2 = HIGH + LOW with HIGH of 33 bits: k·HIGH is exact for every k that occurs.
_LN2_HIGH = 0.6931471804855391
_LN2_LOW = 7.440617110012397e-11
_POWERS = 2.0 ** -np.arange(997.0)
_EXP = [1 / math.factorial(n) for n in range(13)]


def _horner(coefficients: list[float], x: Any) -> Any:
    total = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * x + coefficient
    return total


def _exp_minus(y: Any) -> Any:
    """Return e^−y for y ≥ 0, to 16u relatively and 2^−995 absolutely.

    y is cut at 690, where e^−690 < 2^−995. With k = round(y/ln 2) and r = k·ln 2 − y, |r| ≤ .347,
    the computed r is off by at most u; Taylor's remainder of degree 12 is below .35¹³/13!·e^.35 <
    2.5u; Horner's rule adds at most 3u, its last addition 1u included; dividing by e^−.35 makes
    less than 10u, and scaling by 2^−k is exact.
    """
    xp = y.__array_namespace__()
    y = xp.minimum(y, 690.0)
    k = xp.floor(y * _LOG2_E + 0.5)
    r = (k * _LN2_HIGH - y) + k * _LN2_LOW
    power = xp.take(xp.asarray(_POWERS), k.astype(np.int32), mode="clip")
    return _horner(_EXP, r) * power


def _half_tanh(x: Any) -> tuple[Any, Any]:
    """Return tanh(x/2), to 40u absolutely, and its slope ½·sech²(x/2), to 40u relatively.

    With e = e^−|x|: (1 − e)/(1 + e), whose derivative in e is at most 2 in size, and 2e/(1 + e)².
    """
    xp = x.__array_namespace__()
    e = _exp_minus(xp.abs(x))
    inverse = 1.0 / (1.0 + e)
    return xp.copysign((1.0 - e) * inverse, x), 2.0 * e * (inverse * inverse)


def _tanh(x: Any) -> tuple[Any, Any]:
    half, slope = _half_tanh(2.0 * x)
    return half, 2.0 * slope


def _sigmoid(x: Any) -> tuple[Any, Any]:
    half, slope = _half_tanh(x)
    return 0.5 + 0.5 * half, 0.5 * slope


# 2 artanh s = 2s(1 + s²/3 + s⁴/5 + …); for s ≤ ⅓ what follows 17 terms is below 2·3^−35/35·9/8.
_ARTANH = [2 / (2 * n + 1) for n in range(17)]


def _softplus(x: Any) -> tuple[Any, Any]:
    """Return max(x, 0) + log(1 + e), e = e^−|x|, with log(1 + e) = 2 artanh(e/(2 + e))."""
    xp = x.__array_namespace__()
    e = _exp_minus(xp.abs(x))
    s = e / (2.0 + e)
    inverse = 1.0 / (1.0 + e)
    half = xp.copysign((1.0 - e) * inverse, x)
    return xp.maximum(x, 0.0) + s * _horner(_ARTANH, s * s), 0.5 + 0.5 * half


def _silu(x: Any) -> tuple[Any, Any]:
    sigma, slope = _sigmoid(x)
    return x * sigma, sigma + x * slope


_A, _B = 2 * math.sqrt(2 / math.pi), 0.044715


def _gelu(x: Any) -> tuple[Any, Any]:
    """Return x·S(q), q = a(x + bx³): the tanh form, for ½(1 + tanh(q/2)) is the sigmoid S.

    q carries 8u relatively, which moves S by 8u·|q|S′(q) ≤ 2.3u; and S′(q) ≤ e^−|q| by 8u·|q|
    relatively, so that x·q′·S′(q) moves by 8u·3q²e^−|q| ≤ 13u, as |x·q′| ≤ 3|q|. (Its own 40u
    count 3|q|e^−|q| ≤ 1.2 times.)
    """
    xp = x.__array_namespace__()
    square = x * x
    q = _A * x * (1.0 + _B * square)
    # Past |q| = 690 nothing is left of S′, and cutting keeps the products from overflowing.
    sigma, slope = _sigmoid(q)
    steepness = xp.minimum(_A * (1.0 + 3 * _B * square), 2.0**40)
    return x * sigma, sigma + x * steepness * slope


_CUT = 8.5  # 1 − Φ(8.5) < 1e-16


@cache
def _normal_table() -> list[np.ndarray]:
    """Return the Taylor coefficients of Φ at the nodes j/4, 0 ≤ j ≤ 34, one array for each power.

    Φ⁽ᵏ⁺¹⁾ = (−1)ᵏ He_k φ, He_{k+1} = x·He_k − k·He_{k−1}; Φ(x) = ½ + φ(x)·Σ x^{2k+1}/(2k+1)!!, a
    sum of positive terms. Decimal arithmetic of 60 digits, whose exp is correctly rounded.
    """
    root = Decimal("2.50662827463100050241576528481104525300698674060993831663")  # √(2π)
    rows = []
    with localcontext() as context:
        context.prec = 60
        for j in range(35):
            x = Decimal(j) / 4
            density = (-x * x / 2).exp() / root
            series, term, k = Decimal(0), x, 1
            while term > Decimal("1e-50"):
                series += term
                term *= x * x / (2 * k + 1)
                k += 1
            hermite = [Decimal(1), x]
            for k in range(1, 12):
                hermite.append(x * hermite[k] - k * hermite[k - 1])
            derivatives = [(-1) ** k * hermite[k] * density for k in range(12)]
            row = [Decimal("0.5") + density * series]
            row += [d / math.factorial(k + 1) for k, d in enumerate(derivatives)]
            rows.append([float(entry) for entry in row])
    return list(np.array(rows).T)


def _gelu_erf(x: Any) -> tuple[Any, Any]:
    """Return x·Φ(x), Φ by Taylor's series of degree 12 about the nearest j/4.

    By Cramér's inequality |He_k|φ ≤ .435√k!, so that the remainder is below (1/8)¹³/13!·.435√12!
    < 3e-18. Beyond |x| = 8.5, Φ is 0 or 1 to 1e-16·, and |x|·(1 − Φ(|x|)) < φ(8.5) < 1e-16.
    """
    xp = x.__array_namespace__()
    size = xp.minimum(xp.abs(x), _CUT)
    node = xp.floor(4.0 * size + 0.5)
    rows = node.astype(np.int32)
    h = size - 0.25 * node
    total = xp.zeros_like(h)
    for column in reversed(_normal_table()):
        total = total * h + xp.take(xp.asarray(column), rows, mode="clip")
    phi = 0.5 + xp.copysign(total - 0.5, x)
    density = _exp_minus(0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return x * phi, phi + x * density


# π/2 in three parts, the first two of 33 bits: k times them is exact for |k| ≤ 2^20.
_HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)
_SIN = [(-1) ** n / math.factorial(2 * n + 1) for n in range(9)]
_COS = [(-1) ** n / math.factorial(2 * n) for n in range(9)]


def _circle(x: Any) -> tuple[Any, Any]:
    """Return sin x and cos x, |x| ≤ 2^20, to 16u.

    x = k·π/2 + r, |r| ≤ .79, r off by at most 4u; Taylor's remainders are below .79¹⁸/18! < .1u.
    """
    xp = x.__array_namespace__()
    x = xp.clip(x, -(2.0**20), 2.0**20)
    k = xp.floor(x * (2 / math.pi) + 0.5)
    r = ((x - k * _HALF_PI[0]) - k * _HALF_PI[1]) - k * _HALF_PI[2]
    square = r * r
    sine, cosine = r * _horner(_SIN, square), _horner(_COS, square)
    quadrant = k - 4.0 * xp.floor(0.25 * k)
    odd = (quadrant == 1.0) | (quadrant == 3.0)
    s, c = xp.where(odd, cosine, sine), xp.where(odd, sine, cosine)
    return (
        xp.where(quadrant >= 2.0, -s, s),
        xp.where((quadrant == 1.0) | (quadrant == 2.0), -c, c),
    )


def _cos(x: Any) -> tuple[Any, Any]:
    sine, cosine = _circle(x)
    return cosine, -sine


def _rbf(x: Any) -> tuple[Any, Any]:
    """Return e^−y, y = x²; rounding y moves it by u·y·e^−y ≤ .4u."""
    value = _exp_minus(x * x)
    return value, -2.0 * x * value


class Enclosure(NamedTuple):
    """What is known of one activation σ.

    Attributes:
        point: x ↦ computed (σ(x), σ′(x)), within κL(1 + |x|) and κL.
        lipschitz: a bound on |σ′|.
        extrema: (place, value) of every local extremum of σ.
        slope_extrema: the same of σ′; of a kink, both slopes at its place.
        period: the extrema repeat at every multiple of it; None where they do not.
        largest: the arguments |x| that `point` may be asked for.
    """

    point: Callable[[Any], tuple[Any, Any]]
    lipschitz: Any
    extrema: tuple[tuple[float, float], ...]
    slope_extrema: tuple[tuple[float, float], ...]
    period: float | None = None
    largest: float = LARGEST

    def span(self, low: Any, high: Any, at: Any, extrema: Any) -> tuple[Any, Any]:
        """Return the least and greatest of the values `at` the two ends and of extrema inside."""
        xp = low.__array_namespace__()
        least, greatest = xp.minimum(at[0], at[1]), xp.maximum(at[0], at[1])
        for place, value in extrema:
            inside = self._meets(low, high, place)
            least = xp.where(inside, xp.minimum(least, value), least)
            greatest = xp.where(inside, xp.maximum(greatest, value), greatest)
        return least, greatest

    def _meets(self, low: Any, high: Any, place: float) -> Any:
        """Whether the place, known to κ, may lie in [low, high]: never wrongly False."""
        if self.period is None:
            return (low <= place + KAPPA) & (high >= place - KAPPA)
        xp = low.__array_namespace__()
        # For |x| ≤ 2^20 a turn number is off by at most 2^20·4u.
        slack = 2.0**-30
        first = xp.ceil((low - place) * (1 / self.period) - slack)
        return first <= (high - place) * (1 / self.period) + slack


def piecewise_linear(slope: Any) -> Enclosure:
    """Enclose max(x, 0) + slope·min(x, 0)."""

    def point(x: Any) -> tuple[Any, Any]:
        xp = x.__array_namespace__()
        return (
            xp.maximum(x, 0.0) + slope * xp.minimum(x, 0.0),
            xp.where(x < 0.0, slope, 1.0),
        )

    xp: Any = jnp if is_traced(slope) else np
    return Enclosure(
        point, xp.maximum(xp.abs(slope), 1.0), ((0.0, 0.0),), ((0.0, slope), (0.0, 1.0))
    )


_TURN = 2 * math.pi
_BEND = 1 / math.sqrt(2)
_STEEPEST = math.sqrt(2 / math.e)

# σ″ has no zeros but those listed: silu″ = σσ̄(2 − x·tanh(x/2)) with x·tanh(x/2) even and growing
# with |x| (σ the sigmoid, σ̄ = 1 − σ); gelu″ (tanh form) has the sign of (2 + 4w)/(1 + w)² −
# a·x·tanh(q/2), w = 3bx², where the first falls and the second grows with |x|; gelu″ (erf form) is
# φ(x)(2 − x²). So each slope falls from 0 at −∞ to a negative minimum, rises through its one zero,
# the minimum of σ, to a maximum above 1, and falls to 1.
ENCLOSURES: dict[str, Enclosure] = {
    "tanh": Enclosure(_tanh, 1.0, (), ((0.0, 1.0),)),
    "sigmoid": Enclosure(_sigmoid, 0.25, (), ((0.0, 0.25),)),
    "softplus": Enclosure(_softplus, 1.0, (), ()),
    "silu": Enclosure(
        _silu,
        1.1,
        ((-1.2784645427610737, -0.2784645427610738),),
        ((-2.3993572805154675, -0.09983932012886691), (2.3993572805154675, 1.099839320128867)),
    ),
    "gelu": Enclosure(
        _gelu,
        1.13,
        ((-0.7524614220710163, -0.17004075057125406),),
        ((-1.4185040087908283, -0.12899306865877178), (1.4185040087908283, 1.1289930686587717)),
    ),
    "gelu_erf": Enclosure(
        _gelu_erf,
        1.13,
        ((-0.7517915246935645, -0.16997120747990366),),
        ((-math.sqrt(2), -0.12890414518515478), (math.sqrt(2), 1.1289041451851547)),
    ),
    "sin": Enclosure(
        _circle,
        1.0,
        ((math.pi / 2, 1.0), (-math.pi / 2, -1.0)),
        ((0.0, 1.0), (math.pi, -1.0)),
        _TURN,
        2.0**20,
    ),
    "cos": Enclosure(
        _cos,
        1.0,
        ((0.0, 1.0), (math.pi, -1.0)),
        ((-math.pi / 2, 1.0), (math.pi / 2, -1.0)),
        _TURN,
        2.0**20,
    ),
    "rbf": Enclosure(_rbf, 0.86, ((0.0, 1.0),), ((-_BEND, _STEEPEST), (_BEND, -_STEEPEST))),
}
