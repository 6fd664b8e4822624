"""Functions of t polynomial pieces of degree α on the line, and how sums and compositions grow.

A (t, α)-poly is a function R → R that is a polynomial of degree at most α on each interval of some
partition of R into t of them (Telgarsky 2016, Definition of Section 3). It need not be continuous,
and a point is an interval.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxdepth._misc import check_integer, refuse


class PiecewisePoly(NamedTuple):
    """The size of a piecewise polynomial.

    Attributes:
        t: how many intervals, at least 1.
        alpha: the largest degree, at least 0.

    Example:
        >>> relu = PiecewisePoly(t=2, alpha=1)
        >>> piecewise_poly_composition(relu, relu)
        PiecewisePoly(t=4, alpha=1)
    """

    t: int
    alpha: int


def piecewise_poly_crossing_upper(t: int, alpha: int) -> int:
    """Bound the crossing number of a piecewise polynomial of t pieces of degree ≤ α: t(1 + α).

    Telgarsky 2016, Lemma 3.4: a polynomial that is not constant meets the level at most α times.

    Args:
        t: pieces, at least 1.
        alpha: degree, at least 0.

    Returns:
        The bound, an int.

    Raises:
        ValueError: an argument that is not an integer in range.

    Example:
        >>> piecewise_poly_crossing_upper(3, 2)
        9
    """
    t, alpha = _checked("t", (t, alpha), "alpha")
    return t * (1 + alpha)


def piecewise_poly_sum(*polys: tuple[int, int]) -> PiecewisePoly:
    """Bound the size of any linear combination of piecewise polynomials.

    The pieces of a sum are cut where a summand's are: Σ(t_i − 1) cuts, at most. Its degree is AT
    MOST the largest (leading terms may cancel).

    Args:
        polys: the (t_i, α_i), at least one.

    Returns:
        (1 + Σ(t_i − 1), max α_i).

    Raises:
        ValueError: no summand, or one that is not a pair of integers in range.

    Example:
        >>> piecewise_poly_sum((2, 1), (2, 1), (4, 3))
        PiecewisePoly(t=6, alpha=3)

    Reference:
        Derived here: each cut of the sum is a cut of a summand.
    """
    if not polys:
        refuse("polys", "at least one pair (t, alpha)", polys)
    checked = [_checked("polys", poly) for poly in polys]
    return PiecewisePoly(1 + sum(t - 1 for t, _ in checked), max(alpha for _, alpha in checked))


def piecewise_poly_product(*polys: tuple[int, int]) -> PiecewisePoly:
    """Bound the size of a product of piecewise polynomials: cuts add, and so do degrees.

    Args:
        polys: the (t_i, α_i), at least one.

    Returns:
        (1 + Σ(t_i − 1), Σ α_i).

    Raises:
        ValueError: as for `piecewise_poly_sum`.

    Example:
        >>> piecewise_poly_product((2, 1), (3, 2))
        PiecewisePoly(t=4, alpha=3)

    Reference:
        Derived here, as `piecewise_poly_sum`.
    """
    t, _ = piecewise_poly_sum(*polys)
    return PiecewisePoly(t, sum(int(alpha) for _, alpha in polys))


def piecewise_poly_composition(outer: tuple[int, int], inner: tuple[int, int]) -> PiecewisePoly:
    """Bound the size of f∘g, f a (t, β)-poly and g an (s, α)-poly.

    On a piece of g, a polynomial of degree α, each of f's t − 1 cuts b is met at most α times: g −
    b has at most α roots with multiplicity. A root of odd order cuts the piece once; one of even
    order, where g touches b, can cut out a single point and so cuts twice, but counts at least
    twice among the α. The piece falls into at most 1 + α(t − 1) parts, on each of which f∘g is a
    polynomial of degree at most αβ: degrees multiply, and α multiplies the intervals as well.

    This is Telgarsky 2016, Lemma 3.6, with 1 + α(t − 1) where αt would do; attained by Chebyshev
    polynomials under step functions.

    Args:
        outer: (t, β).
        inner: (s, α).

    Returns:
        (s(1 + α(t − 1)), αβ).

    Raises:
        ValueError: what is not a pair of integers in range.

    Example:
        >>> piecewise_poly_composition((2, 1), (1, 3))  # relu of a cubic
        PiecewisePoly(t=4, alpha=3)
    """
    t, beta = _checked("outer", outer)
    s, alpha = _checked("inner", inner)
    return PiecewisePoly(s * (1 + alpha * (t - 1)), alpha * beta)


def _checked(argument: str, poly: tuple[int, int], degree: str = "") -> PiecewisePoly:
    if not isinstance(poly, tuple) or len(poly) != 2:
        refuse(argument, "a pair (t, alpha)", poly)
    t, alpha = poly
    return PiecewisePoly(check_integer(argument, t, 1), check_integer(degree or argument, alpha, 0))
