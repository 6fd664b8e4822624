"""Telgarsky's theorems as numbers: architecture in, crossings, gaps and disagreements out.

Reference:
    @inproceedings{telgarsky2016benefits,
      title={Benefits of depth in neural networks}, author={Telgarsky, Matus},
      booktitle={Conference on Learning Theory}, year={2016}, note={arXiv:1602.04485}}
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from jaxdepth._misc import check_integer, refuse


def telgarsky16_crossing_upper(t: int, alpha: int, beta: int, nodes: int, layers: int) -> Fraction:
    """Bound the crossing number of every network of a given size: 2(2tmα/l)^l · β^(l²).

    Telgarsky 2016, Lemma 3.3: holds for every f: R → R computed by a network of m (t, α, β)-semi-
    algebraic gates in l layers, the output layer included. A ReLU is (1, 1, 1) in the paper's
    count; a (t, β)-poly activation on a polynomial of degree α is (t, α, αβ).

    Args:
        t: pieces of a gate, at least 1.
        alpha: degree of the polynomials that cut its pieces, at least 1.
        beta: degree of the polynomials on its pieces, at least 1.
        nodes: all gates m, at least `layers`.
        layers: l, at least 1.

    Returns:
        The bound as an exact Fraction; Cr, an integer, is at most its floor.

    Raises:
        ValueError: an argument that is not an integer in range.

    Example:
        >>> int(telgarsky16_crossing_upper(1, 1, 1, nodes=12, layers=2))
        288
    """
    t, alpha, beta, nodes, layers = _gates(t, alpha, beta, nodes, layers)
    return 2 * Fraction(2 * t * nodes * alpha, layers) ** layers * beta ** (layers * layers)


def log_telgarsky16_crossing_upper(t: int, alpha: int, beta: int, nodes: int, layers: int) -> float:
    """Return the natural logarithm of `telgarsky16_crossing_upper`, for sizes whose bound is long.

    Example:
        >>> math.isclose(log_telgarsky16_crossing_upper(1, 1, 1, nodes=12, layers=2), math.log(288))
        True
    """
    t, alpha, beta, nodes, layers = _gates(t, alpha, beta, nodes, layers)
    base = math.log(2 * t * nodes * alpha) - math.log(layers)
    return math.log(2) + layers * base + layers * layers * math.log(beta)


class Telgarsky16Separation(NamedTuple):
    """Theorem 1.1 for one k: the deep network, the gap, and whom it beats.

    Attributes:
        layers: of the deep network, 2k³ + 8.
        nodes: of the deep network, 3k³ + 12.
        parameters: its distinct parameters, 4 + d.
        gap: ∫ over [0, 1]^d of |f − g| is at least this for every rival g.
        rival_layers: a rival network has at most so many layers, k.
        rival_nodes: and at most so many nodes, 2^k/(tαβ).
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
        t: pieces of the rival's gates.
        alpha: degree of the polynomials that cut them.
        beta: degree of the polynomials on them.

    Returns:
        A `Telgarsky16Separation`.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> telgarsky16_separation(2)[:4]
        (24, 36, 5, Fraction(1, 64))
    """
    k, d = check_integer("k", k, 1), check_integer("d", d, 1)
    t, alpha, beta, _, _ = _gates(t, alpha, beta, 1, 1)
    rival = Fraction(2**k, t * alpha * beta)
    return Telgarsky16Separation(2 * k**3 + 8, 3 * k**3 + 12, 4 + d, Fraction(1, 64), k, rival)


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


def piecewise_poly_crossing_upper(t: int, alpha: int) -> int:
    """Bound the crossing number of a piecewise polynomial of t pieces of degree ≤ α: t(1 + α).

    Telgarsky 2016, Lemma 3.4.

    Args:
        t: pieces, at least 1.
        alpha: degree, at least 0.

    Example:
        >>> piecewise_poly_crossing_upper(3, 2)
        9
    """
    return check_integer("t", t, 1) * (1 + check_integer("alpha", alpha, 0))


def triangle_count(teeth: int, depth: int) -> int:
    """Return Cr of the `depth`-fold composition of a (teeth, [0, 1])-triangle: (2·teeth)^depth + 1.

    Telgarsky 2016, Corollary 3.14: the composition is a (2^(k−1)·t^k, [0, 1])-triangle, and a
    (t, [0, 1])-triangle has Cr = 2t + 1 on [0, 1]. Exact, with equality.

    Args:
        teeth: t, at least 1.
        depth: k, at least 1.

    Example:
        >>> triangle_count(1, 10)
        1025
    """
    return (2 * check_integer("teeth", teeth, 1)) ** check_integer("depth", depth, 1) + 1


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

    Example:
        >>> l1_gap(8, 64)
        Fraction(193, 2048)
    """
    depth, intervals = check_integer("depth", depth, 1), check_integer("intervals", intervals, 1)
    return max(Fraction(0), Fraction(2**depth + 1 - intervals, 2 ** (depth + 3)))


def _gates(
    t: int, alpha: int, beta: int, nodes: int, layers: int
) -> tuple[int, int, int, int, int]:
    layers = check_integer("layers", layers, 1)
    nodes = check_integer("nodes", nodes, 1)
    if nodes < layers:
        refuse("nodes", f"at least layers={layers}: every layer holds a node", nodes)
    gate = (("t", t), ("alpha", alpha), ("beta", beta))
    t, alpha, beta = (check_integer(name, value, 1) for name, value in gate)
    return t, alpha, beta, nodes, layers
