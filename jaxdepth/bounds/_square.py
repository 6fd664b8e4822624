"""How well few affine pieces can follow a parabola."""

from __future__ import annotations

from fractions import Fraction

from jaxdepth._misc import check_integer


def square_error_lower(pieces: int) -> Fraction:
    """Return the least sup-norm error of n affine pieces on x², 0 ≤ x ≤ 1: exactly 1/(8n²).

    One of the n intervals has length h ≥ 1/n. With a and b its ends, c its middle and ℓ affine, e =
    x² − ℓ has e(a) − 2e(c) + e(b) = h²/2, so that max |e| ≥ h²/8 there: no such function does
    better, continuous or not. n equal intervals attain it: on each the chord lowered by 1/(8n²),
    which join to a continuous function.

    So every ReLU network R → R with at most n affine pieces (`serra18_pieces_upper`) has sup error
    at least this, whatever its weights; `networks.square` has 4^−(m+1) with m hidden layers of 3.
    (On an interval of length L both scale by L².)

    Args:
        pieces: n, at least 1.

    Returns:
        1/(8n²), a Fraction.

    Raises:
        ValueError: `pieces` not a positive integer.

    Example:
        >>> square_error_lower(4)
        Fraction(1, 128)

    Reference:
        Yarotsky, Error bounds for approximations with deep ReLU networks, Neural Networks 94, 2017,
        Section 4 (there of the order n^−2).
    """
    return Fraction(1, 8 * check_integer("pieces", pieces, 1) ** 2)
