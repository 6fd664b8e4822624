import itertools
import math
from fractions import Fraction

import pytest

from jaxdepth import bounds


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


def test_piecewise_polynomials_cross_once_a_root():
    assert bounds.piecewise_poly_crossing_upper(3, 2) == 9


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
        (lambda: bounds.piecewise_poly_crossing_upper(1, -1), "alpha"),
    ],
)
def test_hypotheses_that_are_violated_are_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        call()
