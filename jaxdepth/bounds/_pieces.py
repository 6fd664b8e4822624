"""How many affine pieces a ReLU network on the line can have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxdepth._misc import check_integer, refuse


def serra18_pieces_upper(widths: Sequence[int]) -> int:
    """Bound the affine pieces of a ReLU network R → R: Π (n_i + 1) over its hidden widths.

    Serra, Tjandraatmadja & Ramalingam 2018 (arXiv:1711.02114), Theorem 1, for one input: on each
    piece of the layers before, n_i neurons make at most n_i kinks. Attained for all n_i ≥ 3.

    Args:
        widths: the hidden widths n_1, n_2, …, each at least 1.

    Returns:
        An exact int; Cr of the network is at most this plus 1.

    Raises:
        ValueError: no widths, or one that is not a positive integer.

    Example:
        >>> serra18_pieces_upper([3, 3])
        16
    """
    if not isinstance(widths, Sequence) or not widths:
        refuse("widths", "a non-empty sequence of hidden widths", widths)
    return math.prod(check_integer("widths", width, 1) + 1 for width in widths)
