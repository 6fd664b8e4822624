"""How many labels a network of semi-algebraic gates can fit: VC dimension and random labels.

Telgarsky 2016, Section 4. Both theorems are sums of logarithms of rational numbers other than 1,
hence irrational: their integer parts are found by computing until no doubt is left.
"""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

from jaxdepth._misc import RealLike, check_integer, check_real, is_traced, refuse
from jaxdepth.bounds._gates import check_gates


def telgarsky16_vc_upper(
    t: int, alpha: int, beta: int, *, nodes: int, layers: int, parameters: int
) -> int:
    """Bound the VC dimension of all networks on one graph of (t, α, β)-semi-algebraic gates.

    Telgarsky 2016, Section 4: at most 6p(l+1)(ln 2p(l+1) + ln 8emtα + l·ln β).

    Args:
        t: polynomials that cut a gate into pieces, at least 1; a ReLU is (1, 1, 1).
        alpha: their degree, at least 1.
        beta: degree on the pieces, at least 1.
        nodes: gates m, at least `layers`.
        layers: l, the output layer included, at least 1.
        parameters: p, shared ones counted once, at least 1.

    Returns:
        The integer part of the bound, exactly: the VC dimension is an integer.

    Raises:
        ValueError: an argument that is not an integer in range.

    Example:
        >>> telgarsky16_vc_upper(1, 1, 1, nodes=9, layers=2, parameters=25)
        4629
    """
    t, alpha, beta, m, layers = check_gates(t, alpha, beta, nodes, layers)
    p = check_integer("parameters", parameters, 1)
    factor = 6 * p * (layers + 1)
    # ln 2p(l+1) + ln 8emtα = 1 + ln 16p(l+1)mtα
    return _floor(
        factor, [(factor, 16 * p * (layers + 1) * m * t * alpha), (factor * layers, beta)]
    )


def telgarsky16_random_label_samples(
    t: int,
    alpha: int,
    beta: int,
    *,
    nodes: int,
    layers: int,
    parameters: int,
    delta: RealLike | Fraction,
) -> int:
    """Say how many random labels defeat a network: more than it can fit to an error below 1/4.

    Telgarsky 2016, Theorem 1.2: give any n ≥ 8pl²·ln(8emtαβp(l+1)) + 4·ln(1/δ) points fair random
    labels. With probability at least 1 − δ every network on the graph is wrong on a quarter of
    them.

    Args:
        t: as for `telgarsky16_vc_upper`.
        alpha: likewise.
        beta: likewise.
        nodes: likewise.
        layers: likewise.
        parameters: likewise.
        delta: δ, 0 < δ < 1; a float stands for the rational that it is.

    Returns:
        The least such n, exactly.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> telgarsky16_random_label_samples(
        ...     1, 1, 1, nodes=9, layers=2, parameters=25, delta=Fraction(1, 100))
        7694
    """
    t, alpha, beta, m, layers = check_gates(t, alpha, beta, nodes, layers)
    p = check_integer("parameters", parameters, 1)
    probability = check_real("delta", delta)
    if is_traced(probability) or not 0 < probability < 1:
        refuse("delta", "a probability, 0 < delta < 1", delta)
    odds = 1 / Fraction(probability)
    factor = 8 * p * layers * layers
    logarithms = [
        (factor, 8 * m * t * alpha * beta * p * (layers + 1)),
        (4, odds.numerator),
        (-4, odds.denominator),
    ]
    return _floor(factor, logarithms) + 1


def _floor(constant: int, logarithms: list[tuple[int, int]]) -> int:
    """Return ⌊constant + Σ c·ln n⌋ over the pairs (c, n), for a sum that is not an integer."""
    digits = 30
    while True:
        context = decimal.Context(prec=digits, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
        terms = [
            context.multiply(decimal.Decimal(c), context.ln(decimal.Decimal(n)))
            for c, n in logarithms
        ]
        sizes, total = decimal.Decimal(constant), decimal.Decimal(constant)
        for term in terms:
            sizes, total = context.add(sizes, term.copy_abs()), context.add(total, term)
        # Every operation is right to half a unit in its last digit, and there are three a term.
        error = Fraction(sizes) * 4 * len(terms) / 10 ** (digits - 1)
        low, high = (math.floor(Fraction(total) + sign * error) for sign in (-1, 1))
        if low == high:
            return low
        digits *= 2
