"""The sizes of piecewise polynomials against functions whose pieces are counted one by one."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import Chebyshev, Polynomial

from jaxdepth.bounds import (
    PiecewisePoly,
    piecewise_poly_composition,
    piecewise_poly_crossing_upper,
    piecewise_poly_product,
    piecewise_poly_sum,
)

# Python integers and Fractions do not know of JAX's precision.
pytestmark = pytest.mark.once

GRID = np.linspace(-1, 1, 20_001)


def runs(labels) -> int:
    """Maximal runs of equal entries."""
    return 1 + sum(a != b for a, b in itertools.pairwise(list(labels)))


def steps(number: int, x):
    """A step function of `number` pieces cut within (−1, 1), of degree 0, told apart by value."""
    cuts = np.linspace(-1, 1, number + 1)[1:-1] + 0.013
    return np.searchsorted(cuts, x, side="right")


@pytest.mark.parametrize("alpha", [1, 2, 3, 5])
@pytest.mark.parametrize("t", [1, 2, 4])
def test_a_step_of_a_chebyshev_polynomial_has_every_piece_of_the_composition_rule(t, alpha):
    """T_α runs through (−1, 1) α times, and so through each of the t − 1 cuts."""
    bound = piecewise_poly_composition((t, 0), (1, alpha))
    assert bound == PiecewisePoly(1 + alpha * (t - 1), 0)
    assert runs(steps(t, Chebyshev.basis(alpha)(GRID))) == bound.t


def test_a_touching_point_is_an_interval_and_the_rule_knows():
    """1[u > 0] of x²: false at 0 alone, which cuts the line in three."""
    assert runs(np.square(GRID) > 0) == piecewise_poly_composition((2, 0), (1, 2)).t == 3


@pytest.mark.parametrize("seed", range(20))
def test_random_compositions_keep_to_the_rule(seed):
    rng = np.random.default_rng(seed)
    t, s, alpha = (int(n) for n in rng.integers(1, 5, 3))
    pieces = [Chebyshev(rng.normal(size=alpha + 1)) for _ in range(s)]
    inner = np.choose(steps(s, GRID), [poly(GRID) for poly in pieces])
    cuts = np.sort(rng.normal(size=t - 1))
    # Pieces of f∘g: where f's piece changes within a piece of g, and where g's own piece does.
    labels = np.stack([np.searchsorted(cuts, inner), steps(s, GRID)], axis=1)
    bound = piecewise_poly_composition((t, 3), (s, alpha))
    assert runs(map(tuple, labels)) <= bound.t
    composed = Polynomial(rng.normal(size=4))(pieces[0].convert(kind=Polynomial))
    assert composed.degree() <= bound.alpha == 3 * alpha


def test_degrees_multiply_in_a_composition_add_in_a_product_and_at_most_survive_a_sum():
    square, cubic = Polynomial([0, 0, 1]), Polynomial([1, 0, 0, 2])
    assert cubic(square).degree() == piecewise_poly_composition((1, 3), (1, 2)).alpha == 6
    assert (cubic * square).degree() == piecewise_poly_product((1, 3), (1, 2)).alpha == 5
    cancelled = (cubic + square - cubic).trim().degree()
    assert cancelled == 2 < piecewise_poly_sum((1, 3), (1, 2), (1, 3)).alpha == 3


def test_numpy_s_integers_are_counted_in_python_s(untyped):
    """Sums of int8 would wrap at 127."""
    poly = (np.int8(100), np.int8(100))
    found = [rule(poly, poly) for rule in (piecewise_poly_sum, piecewise_poly_product)]
    found.append(piecewise_poly_composition(poly, poly))
    assert found == [(199, 100), (199, 200), (100 * (1 + 100 * 99), 10_000)]
    assert {type(number) for size in found for number in size} == {int}


def test_the_cuts_of_a_sum_are_those_of_its_summands():
    """n steps at n places make n + 1 pieces, which is attained; n at one place make 2."""
    places = np.array([[-0.5], [0.1], [0.7]])
    apart = np.sum(places < GRID, axis=0)
    together = 3 * (GRID > 0.1)
    bound = piecewise_poly_sum(*[(2, 0)] * 3)
    assert runs(apart) == bound.t == 4
    assert runs(together) == 2 < bound.t


def test_the_crossing_bound_is_attained_with_jumps_between_the_pieces():
    """Each of t pieces is a Chebyshev wave of α crossings that starts on the other side."""
    alpha, t = 3, 4
    x = (GRID + 1) / 2 * t
    piece = np.minimum(x.astype(int), t - 1)
    wave = Chebyshev.basis(alpha)(2 * (x - piece) - 1)
    # Odd waves end where they did not begin: turned by turns, every joint is a jump.
    assert runs(wave >= 0) == piecewise_poly_crossing_upper(t, alpha) == t * (1 + alpha)


def test_a_layer_of_relus_by_the_rules_is_the_paper_s_count():
    """relu of a sum of m functions of t affine pieces: at most 2(m(t − 1) + 1) ≤ 2mt pieces."""
    for m, t in itertools.product(range(1, 6), range(1, 6)):
        layer = piecewise_poly_composition((2, 1), piecewise_poly_sum(*[(t, 1)] * m))
        assert layer == PiecewisePoly(2 * (m * (t - 1) + 1), 1)
        assert layer.t <= 2 * m * t


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: piecewise_poly_sum(), "polys"),
        (lambda: piecewise_poly_sum((0, 1)), "polys"),
        (lambda: piecewise_poly_product((2, 1), (2, -1)), "polys"),
        (lambda: piecewise_poly_composition((2, 1, 1), (1, 1)), "outer"),
        (lambda: piecewise_poly_composition((2, 1), (Fraction(3, 2), 1)), "inner"),
        (lambda: piecewise_poly_crossing_upper(1, -1), "alpha"),
    ],
)
def test_what_is_no_size_of_a_piecewise_polynomial_is_named(call, argument, untyped):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        call()
