"""How fast a periodic orbit makes the iterates of a map oscillate."""

from __future__ import annotations

from jaxdepth._misc import check_integer, refuse


def periodic_growth(period: int) -> float:
    """Return the growth of crossings that a cycle of odd period forces: the root of a polynomial.

    A continuous map f of an interval with a cycle of odd period p ≥ 3 has Cr(f^k) growing at least
    like ρ^k, for levels strictly within the range of the cycle; ρ is the largest root of

        x^p − 2x^{p−2} − 1.

    So a network that is f^k needs width at least of the order ρ^{k/l} in l layers. Attained by
    Štefan's cycles (`networks.ConnectTheDots.stefan`). Period 3 gives the golden ratio; as p → ∞
    the root falls to √2.

    Args:
        period: p, odd, at least 3.

    Returns:
        ρ, correctly rounded to float64.

    Raises:
        ValueError: a period that is even or below 3. (Of even periods, powers of 2 force no growth
            at all; if q is the odd part of p = 2^n·q, q > 1, apply this to f^{2^n} and q.)

    Example:
        >>> [round(periodic_growth(p), 5) for p in (3, 5, 7, 9)]
        [1.61803, 1.51288, 1.46557, 1.44132]

    Reference:
        The polynomial is derived from the intervals between the points of Štefan's cycle (1977);
        that no map with such a cycle grows more slowly is due to Block, Guckenheimer, Misiurewicz &
        Young, Periodic points and topological entropy of one dimensional maps (1980); for
        networks::

            @inproceedings{chatziafratis2020better,
              title={Better depth-width trade-offs for neural networks through the lens of dynamical
                systems},
              author={Chatziafratis, Vaggelis and Nagarajan, Sai Ganesh and Panageas, Ioannis},
              booktitle={International Conference on Machine Learning}, year={2020}}
    """
    period = check_integer("period", period, 3)
    if period % 2 == 0:
        refuse("period", "odd", period, "See the docstring for even periods.")
    # x^p − 2x^{p−2} − 1 has one positive root (one change of sign: Descartes), where x² = 2 +
    # x^{2−p}; so √2 < ρ < 2, and ρ falls with p. At p = 201 it is within 2^−99 of √2, and both
    # round to the same float: so does every ρ between.
    p = min(period, 201)

    def below(numerator: int, bits: int) -> bool:
        """Whether numerator/2^bits is less than ρ: the polynomial's sign, in integers."""
        return numerator ** (p - 2) * (numerator**2 - (2 << 2 * bits)) < 1 << p * bits

    low, high = 1 << 52, 2 << 52  # ρ·2^52 lies between, and ends up between neighbours
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if below(middle, 52) else (low, middle)
    nearest = high if below(low + high, 53) else low
    return nearest / 2.0**52
