"""How far a function that crosses seldom stays from one that crosses often.

Sources: Telgarsky 2016 (see `_telgarsky`) and

    @article{telgarsky2015representation,
      title={Representation benefits of deep feedforward networks}, author={Telgarsky, Matus},
      journal={arXiv:1509.08101}, year={2015}}
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from jaxdepth._misc import check_integer, refuse
from jaxdepth.bounds._gates import check_gates


class Telgarsky16Separation(NamedTuple):
    """Theorem 1.1 for one k: the deep network, the gap, and whom it beats.

    Attributes:
        layers: of the deep network, 2k³ + 8.
        nodes: of the deep network, 3k³ + 12.
        parameters: its distinct parameters, 4 + d.
        gap: ∫ over [0, 1]^d of |f − g| is at least this for every rival g.
        rival_layers: a rival network has at most so many layers, k.
        rival_nodes: and at most so many nodes, 2^k/(tαβ).

    Example:
        >>> theorem = telgarsky16_separation(3)
        >>> theorem.layers, theorem.rival_layers, theorem.gap
        (62, 3, Fraction(1, 64))
    """

    layers: int
    nodes: int
    parameters: int
    gap: Fraction
    rival_layers: int
    rival_nodes: Fraction


def telgarsky16_separation(
    k: int, d: int = 1, *, t: int = 1, alpha: int = 1, beta: int = 1
) -> Telgarsky16Separation:
    """State the depth separation for a given k, with its constants.

    Telgarsky 2016, Theorem 1.1: a ReLU network f on R^d with 2k³ + 8 layers, 3k³ + 12 nodes and 4 +
    d distinct parameters has ∫_{[0,1]^d} |f − g| ≥ 1/64 against every network g of (t, α,
    β)-semialgebraic gates with at most k layers and at most 2^k/(tαβ) nodes.

    Args:
        k: at least 1.
        d: input dimension, at least 1.
        t: polynomials that cut the rival's gates into pieces.
        alpha: degree of these polynomials.
        beta: degree of the polynomials on the pieces.

    Returns:
        A `Telgarsky16Separation`.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> telgarsky16_separation(2)[:4]
        (24, 36, 5, Fraction(1, 64))
    """
    k, d = check_integer("k", k, 1), check_integer("d", d, 1)
    t, alpha, beta, _, _ = check_gates(t, alpha, beta, 1, 1)
    rival = Fraction(2**k, t * alpha * beta)
    return Telgarsky16Separation(2 * k**3 + 8, 3 * k**3 + 12, 4 + d, Fraction(1, 64), k, rival)


class Telgarsky16Gaps(NamedTuple):
    """Theorem 3.19: four distances between the k-fold mirror map and every rare crosser.

    Attributes:
        l1: ∫₀¹ |f − g|.
        labels: the measure of {x ∈ [0, 1]: f̃(x) ≠ g̃(x)}.
        points_l1: the mean of |f − g| over the 2^k + 1 points i/2^k.
        points_labels: the fraction of these points with f̃ ≠ g̃.

    Example:
        >>> telgarsky16_gaps(4, 4).points_labels
        Fraction(1, 4)
    """

    l1: Fraction
    labels: Fraction
    points_l1: Fraction
    points_labels: Fraction


def telgarsky16_gaps(k: int, intervals: int) -> Telgarsky16Gaps:
    """State the four gaps between f = m^k and every g with few label intervals.

    Telgarsky 2016, Theorem 3.19: for Cr(g) ≤ 2^(k−2) each distance is at least the constant
    returned. (`l1_gap` and `alternating_error_lower` are the exact values of the first and of the
    last.)

    Args:
        k: how often the mirror map is composed, at least 2.
        intervals: Cr(g), from 1 to 2^(k−2).

    Returns:
        `Telgarsky16Gaps`, exact Fractions.

    Raises:
        ValueError: an argument out of range; the theorem is for Cr(g) ≤ 2^(k−2) alone.

    Example:
        >>> [str(gap) for gap in telgarsky16_gaps(5, 8)]
        ['1/32', '1/8', '1/8', '1/4']
    """
    k, intervals = check_integer("k", k, 2), check_integer("intervals", intervals, 1)
    if intervals > 2 ** (k - 2):
        refuse("intervals", f"at most 2^(k−2) = {2 ** (k - 2)} in Theorem 3.19", intervals)
    return Telgarsky16Gaps(Fraction(1, 32), Fraction(1, 8), Fraction(1, 8), Fraction(1, 4))


def telgarsky16_disagreement_lower(s_f: int, s_g: int) -> Fraction:
    """Bound from below the fraction of f's label regions on which g is wrong throughout.

    Telgarsky 2016, Lemma 3.1: at least ½(1 − 2·s_g/s_f) of the s_f = Cr(f) regions have labels f̃ ≠
    g̃ on the whole region, for every g with Cr(g) ≤ s_g. It approaches a half from below, and says
    nothing (0 here) once 2·s_g ≥ s_f.

    Args:
        s_f: Cr(f), at least 1.
        s_g: Cr(g), at least 1.

    Returns:
        An exact Fraction in [0, ½).

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> telgarsky16_disagreement_lower(1025, 33)
        Fraction(959, 2050)
    """
    s_f, s_g = check_integer("s_f", s_f, 1), check_integer("s_g", s_g, 1)
    return max(Fraction(0), (1 - Fraction(2 * s_g, s_f)) / 2)


def l1_gap(depth: int, intervals: int) -> Fraction:
    """Return inf ∫₀¹ |m^K − g| over all g with Cr(g) ≤ s, exactly: (2^K + 1 − s)/2^(K+3), or 0.

    m^K is the K-fold mirror map, s the number of label intervals of g on [0, 1]. Derived here and
    checked against an exact dynamic programme; at s = 2^(K−2) it is 3/32 + 2^−(K+3), six times the
    1/64 of Telgarsky 2016, Theorem 1.1. Each of the 2^K + 1 label regions of m^K encloses a
    triangle of area 2^−(K+2) between the graph and ½ (half of that at either end), and g forgoes
    one for every two intervals it lacks.

    Args:
        depth: K, at least 1.
        intervals: s, at least 1.

    Returns:
        The gap, an exact Fraction.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> l1_gap(8, 64)
        Fraction(193, 2048)
    """
    depth, intervals = check_integer("depth", depth, 1), check_integer("intervals", intervals, 1)
    return max(Fraction(0), Fraction(2**depth + 1 - intervals, 2 ** (depth + 3)))


def telgarsky15_error_lower(k: int, nodes: int, layers: int) -> Fraction:
    """Bound the error of every small ReLU network on 2^k alternating labels: at least 1/6.

    Telgarsky 2015, Theorem 1.1: the points i/2^k, 0 ≤ i < 2^k, labelled 0, 1, 0, 1, … in order, are
    classified without error by a network of 2k layers of at most 2 nodes; every ReLU network of l
    layers with at most m ≤ 2^((k−3)/l − 1) nodes each is wrong on a sixth of them. The hypothesis,
    (2m)^l ≤ 2^(k−3), is checked in integers.

    Args:
        k: the logarithm of the number of points, at least 1.
        nodes: m of each layer, at least 1.
        layers: l, at least 1.

    Returns:
        1/6.

    Raises:
        ValueError: an argument that is not a positive integer, or the hypothesis violated.

    Example:
        >>> telgarsky15_error_lower(11, nodes=8, layers=2)
        Fraction(1, 6)
    """
    k, layers = check_integer("k", k, 1), check_integer("layers", layers, 1)
    nodes = check_integer("nodes", nodes, 1)
    if 8 * (2 * nodes) ** layers > 2**k:
        refuse(
            "nodes", f"at most 2^((k−3)/l − 1), with k={k} and l={layers}", nodes, "Take k larger."
        )
    return Fraction(1, 6)


def alternating_error_lower(points: int, intervals: int) -> Fraction:
    """Return the least error of a classifier with few intervals on alternating points, exactly.

    Among n points labelled 0, 1, 0, 1, … a classifier of s ≤ n label intervals is wrong on at least
    ⌈(n − s)/2⌉, with equality. An interval that holds c of the points is wrong on at least ⌊c/2⌋,
    hence all s on at least Σ (c_i − 1)/2 = (n − s)/2; intervals of one point each and a last of all
    the others, which starts on the right label, attain it.

    Args:
        points: n, at least 1.
        intervals: s, at least 1.

    Returns:
        max(0, ⌈(n − s)/2⌉)/n.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> alternating_error_lower(2**11, 2**8)
        Fraction(7, 16)

    Reference:
        Derived here: the argument above is the whole proof.
    """
    points, intervals = check_integer("points", points, 1), check_integer("intervals", intervals, 1)
    return Fraction(max(0, (points - intervals + 1) // 2), points)
