"""How often a network, a tree or a sawtooth can cross a level, by Telgarsky's lemmas.

Reference:
    @inproceedings{telgarsky2016benefits,
      title={Benefits of depth in neural networks}, author={Telgarsky, Matus},
      booktitle={Conference on Learning Theory}, year={2016}, note={arXiv:1602.04485}}
"""

from __future__ import annotations

import math
from fractions import Fraction

from jaxdepth._misc import check_integer
from jaxdepth.bounds._gates import check_gates


def telgarsky16_crossing_upper(t: int, alpha: int, beta: int, nodes: int, layers: int) -> Fraction:
    """Bound the crossing number of every network of a given size: 2(2tmα/l)^l · β^(l²).

    Telgarsky 2016, Lemma 3.3: holds for every f: R → R computed by a network of m (t, α, β)-semi-
    algebraic gates in l layers, the output layer included. A ReLU is (1, 1, 1) in the paper's
    count; a (t, β)-poly activation on a polynomial of degree α is (t, α, αβ).

    Args:
        t: polynomials that cut a gate into its pieces, at least 1 (1 for a ReLU, which has two
            pieces).
        alpha: degree of these polynomials, at least 1.
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
    t, alpha, beta, nodes, layers = check_gates(t, alpha, beta, nodes, layers)
    return 2 * Fraction(2 * t * nodes * alpha, layers) ** layers * beta ** (layers * layers)


def log_telgarsky16_crossing_upper(t: int, alpha: int, beta: int, nodes: int, layers: int) -> float:
    """Return the natural logarithm of `telgarsky16_crossing_upper`, for sizes whose bound is long.

    Args:
        t: as for `telgarsky16_crossing_upper`.
        alpha: likewise.
        beta: likewise.
        nodes: likewise.
        layers: likewise.

    Returns:
        ln of the bound, a float, right to rounding.

    Raises:
        ValueError: an argument that is not an integer in range.

    Example:
        >>> math.isclose(log_telgarsky16_crossing_upper(1, 1, 1, nodes=12, layers=2), math.log(288))
        True

    Reference:
        Telgarsky 2016, Lemma 3.3.
    """
    t, alpha, beta, nodes, layers = check_gates(t, alpha, beta, nodes, layers)
    base = math.log(2 * t * nodes * alpha) - math.log(layers)
    return math.log(2) + layers * base + layers * layers * math.log(beta)


def telgarsky16_tree_crossing_upper(nodes: int, trees: int = 1) -> int:
    """Bound the crossing number of a decision tree, or of a weighted sum of trees (boosting).

    Telgarsky 2016, Lemma 3.3: Cr ≤ k for one tree of k nodes, Cr ≤ 2tk for a sum of t of them. The
    nodes are all nodes, leaves included: what splits on x alone is constant on one interval a leaf.

    Args:
        nodes: k of each tree, at least 1.
        trees: t, at least 1.

    Returns:
        k, or 2tk where there are several trees.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> telgarsky16_tree_crossing_upper(15), telgarsky16_tree_crossing_upper(15, trees=100)
        (15, 3000)
    """
    nodes, trees = check_integer("nodes", nodes, 1), check_integer("trees", trees, 1)
    return nodes if trees == 1 else 2 * trees * nodes


def triangle_count(teeth: int, depth: int) -> int:
    """Return Cr of the `depth`-fold composition of a (teeth, [0, 1])-triangle: (2·teeth)^depth + 1.

    Telgarsky 2016, Corollary 3.14: the composition is a (2^(k−1)·t^k, [0, 1])-triangle, and a
    (t, [0, 1])-triangle has Cr = 2t + 1 on [0, 1]. Exact, with equality.

    Args:
        teeth: t, at least 1.
        depth: k, at least 1.

    Returns:
        An exact int.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> triangle_count(1, 10)
        1025
    """
    return (2 * check_integer("teeth", teeth, 1)) ** check_integer("depth", depth, 1) + 1
