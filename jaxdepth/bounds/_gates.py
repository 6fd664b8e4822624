"""What the theorems call a gate, checked once."""

from __future__ import annotations

from jaxdepth._misc import check_integer, refuse


def check_gates(
    t: int, alpha: int, beta: int, nodes: int, layers: int
) -> tuple[int, int, int, int, int]:
    """Return (t, α, β, m, l) of a network of semi-algebraic gates as integers in range.

    A (t, α, β)-semi-algebraic gate is cut into its pieces by t polynomials of degree at most α, and
    is a polynomial of degree at most β on each.
    """
    layers = check_integer("layers", layers, 1)
    nodes = check_integer("nodes", nodes, 1)
    if nodes < layers:
        refuse("nodes", f"at least layers={layers}: every layer holds a node", nodes)
    gate = (("t", t), ("alpha", alpha), ("beta", beta))
    t, alpha, beta = (check_integer(name, value, 1) for name, value in gate)
    return t, alpha, beta, nodes, layers
