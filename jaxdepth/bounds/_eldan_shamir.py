"""Eldan & Shamir's widths: what 3 layers need for the radial function that 2 layers cannot have."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any

import numpy as np

from jaxdepth._misc import check_integer, refuse


def universal_units(
    R: int | float | Fraction,
    L: int | float | Fraction,
    delta: int | float | Fraction,
    *,
    c_sigma: int | float | Fraction = 3,
) -> int:
    """Count the units that assumption A1 grants one layer on a Lipschitz function of one variable.

    A1: every L-Lipschitz f: R→R that is constant outside [−R, R] is within δ, uniformly, of
    a + Σ_{i≤w} α_i σ(β_i x − γ_i) with some w ≤ c_σ·R·L/δ. The floor of that number, exactly
    (floats stand for the rationals they are).

    Args:
        R: half the interval's length, positive.
        L: the Lipschitz constant, positive.
        delta: the uniform error δ, positive.
        c_sigma: the activation's constant, at least 1; 3 for the ReLU in the paper.

    Returns:
        ⌊c_σRL/δ⌋.

    Raises:
        ValueError: an argument not positive and finite, or `c_sigma` below 1.

    Example:
        >>> universal_units(1, 2, Fraction(1, 10))
        60

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, assumption
        1::

            @inproceedings{eldan2016power,
              title={The Power of Depth for Feedforward Neural Networks},
              author={Eldan, Ronen and Shamir, Ohad},
              booktitle={Conference on Learning Theory}, pages={907--940}, year={2016}}
    """
    product = _at_least("c_sigma", c_sigma, 1) * _positive("R", R) * _positive("L", L)
    return math.floor(product / _positive("delta", delta))


def eldan_shamir16_width(
    dim: int,
    *,
    c_sigma: int | float | Fraction = 3,
    constant: int | float | Fraction = 1,
) -> int:
    """Evaluate the width C·c_σ·d^{19/4} of the 3-layer network in theorem 1, rounded up, exactly.

    There is a universal C such that for every d > C a measure μ and a g: R^d → [−2, 2], given by a
    3-layer network of this width, exist with E_μ(f − g)² ≥ c for every 2-layer f of width at most
    c·e^{cd}. The theorem does not say what C is: with the default 1 this is the growth in d, and
    the hypothesis d > C is the caller's to meet.

    Args:
        dim: d, a positive integer, greater than `constant` as the theorem asks.
        c_sigma: the constant of assumption A1 (see `universal_units`), at least 1.
        constant: C, positive.

    Returns:
        ⌈C·c_σ·d^{19/4}⌉.

    Raises:
        ValueError: arguments out of range, or `dim` not greater than `constant`.

    Example:
        >>> eldan_shamir16_width(16, c_sigma=1)
        524288

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, theorem 1 and
        proposition 1.
    """
    dim = check_integer("dim", dim, 1)
    factor = _at_least("c_sigma", c_sigma, 1) * _positive("constant", constant)
    if not dim > Fraction(constant):
        refuse("dim", f"greater than `constant` = {constant}", dim, "Theorem 1 is for d > C.")
    fourth = factor**4 * dim**19  # ⌈x^{1/4}⌉ in integers: the least n with n⁴ ≥ x
    ceiling = math.ceil(fourth)
    root = math.isqrt(math.isqrt(ceiling))
    return root if root**4 >= ceiling else root + 1


def _positive(argument: str, value: Any) -> Fraction:
    if isinstance(value, np.floating):
        value = float(value)
    real = isinstance(value, (float, numbers.Rational)) and not isinstance(value, bool)
    # A rational is finite, and may be too large for a float.
    if not real or (isinstance(value, float) and not math.isfinite(value)) or not value > 0:
        refuse(argument, "a positive, finite number", value)
    return Fraction(value)


def _at_least(argument: str, value: int | float | Fraction, least: int) -> Fraction:
    number = _positive(argument, value)
    if number < least:
        refuse(argument, f"at least {least}", value)
    return number
