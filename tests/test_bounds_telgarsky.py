import itertools
import math
from fractions import Fraction

import pytest

from jaxdepth import bounds

# Python integers and Fractions do not know of JAX's precision.
pytestmark = pytest.mark.once


def test_the_crossing_bound_is_the_lemmas_formula():
    assert bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=12, layers=2) == 2 * 12**2
    assert (
        bounds.telgarsky16_crossing_upper(2, 3, 2, nodes=5, layers=3)
        == 2 * Fraction(20) ** 3 * 2**9
    )


@pytest.mark.parametrize("arguments", [(1, 1, 1, 12, 2), (2, 3, 5, 40, 7), (1, 1, 1, 7, 7)])
def test_the_logarithm_agrees_and_never_overflows(arguments):
    exact = bounds.telgarsky16_crossing_upper(*arguments)
    # Two logarithms of doubles, each within an ulp.
    assert bounds.log_telgarsky16_crossing_upper(*arguments) == pytest.approx(
        math.log(exact.numerator) - math.log(exact.denominator), rel=1e-14
    )
    assert math.isfinite(bounds.log_telgarsky16_crossing_upper(1, 1, 2, 10**6, 10**4))


def test_theorem_1_1_has_the_papers_sizes():
    sizes = [bounds.telgarsky16_separation(k)[:3] for k in (1, 2, 3)]
    assert sizes == [(10, 15, 5), (24, 36, 5), (62, 93, 5)]
    assert bounds.telgarsky16_separation(4, d=7).parameters == 11
    assert bounds.telgarsky16_separation(4, t=2, alpha=3, beta=1).rival_nodes == Fraction(16, 6)
    assert bounds.telgarsky16_separation(4).gap == Fraction(1, 64)


def test_the_rivals_of_theorem_1_1_cannot_oscillate_enough():
    for k in range(2, 8):
        stated = bounds.telgarsky16_separation(k)
        rival = bounds.telgarsky16_crossing_upper(
            1, 1, 1, int(stated.rival_nodes), stated.rival_layers
        )
        assert rival <= Fraction(bounds.triangle_count(1, k**3 + 4), 4)


def test_lemma_3_1_holds_for_every_pair_of_classifiers_on_a_line():
    """All classifiers g of s_g intervals against an alternating f, cuts between regions."""
    s_f = 7
    f = [i % 2 for i in range(s_f)]
    for s_g in range(1, s_f + 1):
        least = min(
            sum(a != b for a, b in zip(f, g, strict=True))
            for g in itertools.product((0, 1), repeat=s_f)
            if 1 + sum(a != b for a, b in itertools.pairwise(g)) <= s_g
        )
        assert Fraction(least, s_f) >= bounds.telgarsky16_disagreement_lower(s_f, s_g)


def test_the_disagreement_approaches_a_half_from_below():
    assert bounds.telgarsky16_disagreement_lower(10**9, 1) < Fraction(1, 2)
    assert bounds.telgarsky16_disagreement_lower(4, 2) == 0
    assert bounds.telgarsky16_disagreement_lower(3, 9) == 0


def shallow_gap(depth: int, intervals: int) -> Fraction:
    """inf ∫|m^K − g| by dynamic programming over where g changes label, in exact arithmetic.

    On a region of m^K labelled l, a g of the same label is free and one of the other label costs
    the area between the graph and ½; g may change label at every edge of a region and at its
    middle.
    """
    regions = 2**depth + 1
    area = Fraction(1, 2 ** (depth + 2))
    halves = []
    for region in range(regions):
        parts = 1 if region in (0, regions - 1) else 2
        halves += [(region % 2, area / 2)] * parts
    best = {(label, 1): Fraction(0) for label in (0, 1)}
    for truth, cost in halves:
        step: dict = {}
        for (label, used), total in best.items():
            for new in (0, 1):
                key = (new, used + (new != label))
                if key[1] <= intervals:
                    value = total + (cost if new != truth else 0)
                    step[key] = min(step.get(key, value), value)
        best = step
    return min(best.values())


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_l1_gap_equals_an_exact_dynamic_programme(depth):
    for intervals in range(1, 2**depth + 3):
        assert bounds.l1_gap(depth, intervals) == shallow_gap(depth, intervals)


def test_the_l1_gap_is_six_times_the_papers():
    assert bounds.l1_gap(10, 2**8) == Fraction(3, 32) + Fraction(1, 2**13) > 6 * Fraction(1, 64)


def test_serra_counts_products_of_widths():
    assert bounds.serra18_pieces_upper([3, 3]) == 16
    assert bounds.serra18_pieces_upper((64,) * 8) == 65**8


def test_trees_cross_no_more_than_they_have_leaves():
    """A sum of t trees of k nodes has at most t·((k + 1)/2 − 1) cuts on the line."""
    for trees, nodes in itertools.product((1, 2, 7), (1, 3, 15)):
        leaves = (nodes + 1) // 2
        most = bounds.piecewise_poly_crossing_upper(
            *bounds.piecewise_poly_sum(*[(leaves, 0)] * trees)
        )
        assert most <= bounds.telgarsky16_tree_crossing_upper(nodes, trees)
    assert bounds.telgarsky16_tree_crossing_upper(15) == 15
    assert bounds.telgarsky16_tree_crossing_upper(15, trees=100) == 3000


@pytest.mark.parametrize("k", range(2, 9))
def test_the_four_gaps_of_theorem_3_19_hold_at_the_most_intervals_that_it_allows(k):
    """The exact least distances: of the graph, of the labels, of the points' labels and values."""
    s = 2 ** (k - 2)
    gaps = bounds.telgarsky16_gaps(k, s)
    least = bounds.alternating_error_lower(2**k + 1, s)
    assert bounds.l1_gap(k, s) >= gaps.l1 == Fraction(1, 32)
    assert least >= gaps.points_labels == Fraction(1, 4)
    assert least / 2 >= gaps.points_l1 == Fraction(1, 8)  # |m^k − ½| = ½ at every point
    assert gaps.labels == Fraction(1, 8)  # held against the optimal classifier in crossings


@pytest.mark.parametrize("n", range(1, 8))
def test_alternating_points_are_fitted_as_well_as_by_the_best_of_all_classifiers(n):
    truth = [i % 2 for i in range(n)]
    for s in range(1, n + 2):
        best = min(
            sum(a != b for a, b in zip(truth, g, strict=True))
            for g in itertools.product((0, 1), repeat=n)
            if 1 + sum(a != b for a, b in itertools.pairwise(g)) <= s
        )
        assert bounds.alternating_error_lower(n, s) == Fraction(best, n)


@pytest.mark.parametrize(("k", "layers"), [(3, 1), (4, 1), (9, 2), (12, 3), (203, 20)])
def test_a_sixth_is_wrong_up_to_the_very_width_that_the_2015_theorem_allows(k, layers):
    """At most (2m)^l pieces cross at most 2(2m)^l times: less than the alternating labels need."""
    widths = range(1, 2**10)
    allowed = [m for m in widths if (2 * m) ** layers <= Fraction(2**k, 8)]
    for m in allowed[-2:]:
        sixth = bounds.telgarsky15_error_lower(k, nodes=m, layers=layers)
        assert bounds.alternating_error_lower(2**k, 2 * (2 * m) ** layers) >= sixth
        assert sixth == Fraction(1, 6)
    with pytest.raises(ValueError, match="`nodes` must be at most 2"):
        bounds.telgarsky15_error_lower(k, nodes=len(allowed) + 1, layers=layers)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: bounds.telgarsky16_crossing_upper(0, 1, 1, 4, 2), "t"),
        (lambda: bounds.telgarsky16_crossing_upper(1, 1, 1, 2, 4), "nodes"),
        (lambda: bounds.telgarsky16_separation(0), "k"),
        (lambda: bounds.telgarsky16_disagreement_lower(0, 1), "s_f"),
        (lambda: bounds.triangle_count(1, 0), "depth"),
        (lambda: bounds.l1_gap(3, 0), "intervals"),
        (lambda: bounds.serra18_pieces_upper([]), "widths"),
        (lambda: bounds.serra18_pieces_upper([3, 0]), "widths"),
        (lambda: bounds.telgarsky16_tree_crossing_upper(0), "nodes"),
        (lambda: bounds.telgarsky16_gaps(5, 9), "intervals"),
        (lambda: bounds.telgarsky15_error_lower(0, 1, 1), "k"),
        (lambda: bounds.alternating_error_lower(0, 1), "points"),
    ],
)
def test_hypotheses_that_are_violated_are_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        call()
