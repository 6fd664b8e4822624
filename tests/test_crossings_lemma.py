import itertools
import math
from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import PROBLEMS

from jaxdepth.bounds import (
    alternating_error_lower,
    l1_gap,
    telgarsky16_disagreement_lower,
    telgarsky16_gaps,
    triangle_count,
)
from jaxdepth.crossings import best_shallow, changes, min_disagreement
from jaxdepth.networks import Sawtooth
from jaxdepth.piecewise import Pieces, PiecesResult, pieces


def runs(labels) -> int:
    return 1 + sum(a != b for a, b in itertools.pairwise(labels))


@pytest.mark.parametrize("cells", [(1,) * 7, (3, 3, 3, 3), (2, 1, 3, 1, 2), (1, 3, 1, 3, 1, 1)])
@pytest.mark.once
def test_the_fewest_regions_wrong_throughout_over_every_classifier(cells):
    """Each region of f in one cell or several: g may cut inside, and regions may be one point."""
    regions = [region for region, number in enumerate(cells) for _ in range(number)]
    fewest = {s: len(cells) for s in range(1, len(cells) + 2)}
    for g in itertools.product((0, 1), repeat=len(regions)):
        right = {region for region, label in zip(regions, g, strict=True) if label == region % 2}
        for s in range(runs(g), len(cells) + 2):
            fewest[s] = min(fewest[s], len(cells) - len(right))
    for s, least in fewest.items():
        assert min_disagreement(len(cells), s) == least
        assert least >= len(cells) * telgarsky16_disagreement_lower(len(cells), s)


@pytest.mark.parametrize("depth", range(3, 9))
@pytest.mark.once
def test_on_the_sawtooth_the_best_shallow_classifier_has_the_gaps_in_closed_form(depth):
    """(2^K + 1 − s)/2^(K+3) in L1; four times that in measure of labels."""
    f = Sawtooth(depth)
    top = 2**depth + 1
    for s in [*range(1, 4), *range(4, top, max(1, top // 5)), top - 1, top, top + 3]:
        best = best_shallow(f, s, loss="l1")
        assert best.error == l1_gap(depth, s)
        assert best_shallow(f, s).error == 4 * l1_gap(depth, s)
        assert best_shallow(f, s, loss="regions").error * top == min_disagreement(top, s)
        assert best.regions == top
        assert len(best.labels) == len(best.edges) + 1 <= s


@pytest.mark.parametrize("depth", [3, 6])
def test_the_optimum_stays_above_lemma_3_1_and_theorem_3_19(depth):
    f, s = Sawtooth(depth), 2 ** (depth - 2)
    gaps = telgarsky16_gaps(depth, s)
    x = np.arange(2**depth + 1) / 2**depth
    sample = (x, np.asarray(jax.vmap(f)(jnp.asarray(x))))
    optima = [
        best_shallow(f, s, loss="l1"),
        best_shallow(f, s, loss="labels"),
        best_shallow(sample, s, loss="l1"),
        best_shallow(sample, s, loss="labels"),
    ]
    for optimum, gap in zip(optima, gaps, strict=True):
        assert optimum.error >= optimum.lemma >= gap


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", ["labels", "l1"])
@pytest.mark.once
def test_no_classifier_of_a_sample_is_better(seed, loss):
    """All 2^9 labellings of nine points, in exact arithmetic."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=9), rng.integers(0, 9, 9) / 8
    order = np.argsort(x)
    cost = [Fraction(float(v)) - Fraction(1, 2) for v in y[order]]
    for s in range(1, 10):
        best = best_shallow((x, y), s, loss=loss)
        least = min(
            sum(
                Fraction(1) if loss == "labels" else abs(gap)
                for gap, label in zip(cost, g, strict=True)
                if label != (gap >= 0)
            )
            for g in itertools.product((False, True), repeat=9)
            if runs(g) <= s
        )
        assert best.error == Fraction(least) / 9
        # The classifier itself has that error and so few intervals.
        labels = best.labels[np.searchsorted(best.edges, x[order], side="right")].tolist()
        assert runs(labels) == len(best.labels) <= s
        wrong = [abs(gap) for gap, label in zip(cost, labels, strict=True) if label != (gap >= 0)]
        assert (Fraction(len(wrong)) if loss == "labels" else sum(wrong, Fraction(0))) == least


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.once
def test_the_classifier_tells_neighbouring_floats_apart(dtype):
    x = np.cumsum(np.array([1, *[np.finfo(dtype).eps] * 5], dtype))
    best = best_shallow((x, np.arange(6) % 2), 6)
    with jax.enable_x64(True):
        assert jax.vmap(best)(jnp.asarray(x)).tolist() == [0, 1] * 3


@pytest.mark.parametrize("level", [0.5, 1.0, Fraction(1, 3)])
@pytest.mark.once
def test_with_intervals_enough_it_is_the_label_at_every_float(level):
    """Also on the one-point regions of level 1, and right beside every edge that no float holds."""
    best = best_shallow(Sawtooth(3), 20, loss="regions", level=level)
    x = np.concatenate([np.arange(65) / 64, best.edges, np.nextafter(best.edges, 0)])
    with jax.enable_x64(True):
        labels = jax.vmap(best)(jnp.asarray(x))
    teeth = [1 - abs(2 * (Fraction(v) * 4 % 1) - 1) for v in x.tolist()]
    assert labels.tolist() == [float(tooth >= level) for tooth in teeth]
    assert np.isnan(best(math.nan))


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.once
def test_alternating_points_are_fitted_by_the_closed_form(n):
    for s in range(1, n + 2):
        best = best_shallow((np.arange(n), np.arange(n) % 2), s)
        assert best.error == alternating_error_lower(n, s)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.once
def test_the_regions_are_those_that_exact_counting_counts(problem):
    best = best_shallow(problem.layers, 10**4, level=problem.level)
    assert best.regions == problem.crossings
    assert best.error == 0
    # A region of one point costs nothing to leave out.
    assert len(best.labels) <= best.regions


@pytest.mark.parametrize("loss", ["labels", "l1"])
@pytest.mark.once
def test_the_classifier_has_the_loss_that_it_says(loss):
    """A midpoint rule on 2^14 cells beside the exact integral, for a random broken line."""
    rng = np.random.default_rng(1)
    x, y = np.linspace(-1, 3, 16), rng.normal(size=16)
    f = Pieces(x, y, np.diff(y) / np.diff(x), 15, 15, PiecesResult.exact)
    cells = -1 + (np.arange(2**14) + 0.5) * 2.0**-12
    gap = np.interp(cells, x, y) - 0.25
    regions = runs(y >= 0.25)
    assert regions >= 6
    for s in range(1, regions + 1):
        best = best_shallow(f, s, loss=loss, level=0.25)
        wrong = best.labels[np.searchsorted(best.edges, cells)] != (gap >= 0)
        weight = np.abs(gap) if loss == "l1" else np.ones_like(gap)
        # The rule is wrong by a cell at most at each edge of either.
        doubt = 2 * regions * 2.0**-12 * weight.max()
        assert float(best.error) == pytest.approx(4 * np.mean(wrong * weight), abs=doubt)
        assert len(best.labels) <= s


@pytest.mark.once
def test_the_classifier_is_a_function_and_crosses_as_often_as_it_says():
    best = best_shallow(Sawtooth(5), 8)
    labels = jax.vmap(best)(jnp.linspace(0.0, 1.0, 2**10, dtype=jnp.float32))
    assert int(changes(labels)) + 1 == len(best.labels) == 8
    chex.assert_type(labels, jnp.float32)


def test_pieces_are_read_as_the_network_they_came_from():
    f = Sawtooth(4, teeth=2)
    one, two = best_shallow(f, 9, loss="l1"), best_shallow(pieces(f), 9, loss="l1")
    chex.assert_trees_all_equal((one.edges, one.labels), (two.edges, two.labels))
    assert one.error == two.error
    assert one.regions == two.regions == triangle_count(2, 4)


@pytest.mark.once
def test_points_at_both_ends_of_their_dtype_are_told_apart():
    for x in (EXTREMES, np.array([-1.7e308, 1.7e308])):
        assert best_shallow((x, np.arange(2)), 2).error == 0


@pytest.mark.once
def test_weights_beyond_64_bits_are_added_exactly():
    y = np.array([0, 1, 0, 1, 0]) * 2.0**-60 + np.array([0, 0, 0, 2.0**60, 0])
    best = best_shallow((np.arange(5), y), 3, loss="l1", level=Fraction(1, 2**61))
    # Wrong at 1 (or at a neighbour), whose weight is 2^-61, not at 3.
    assert best.error == Fraction(1, 5 * 2**61)


@pytest.mark.once
def test_the_answer_passes_through_jit():
    best = best_shallow(Sawtooth(3), 4)
    through = jax.jit(lambda answer: answer)(best)
    assert through.error == best.error
    assert float(jax.jit(lambda answer, x: answer(x))(best, 0.99)) == float(best(0.99))


FLAT = Pieces(np.zeros(0), np.zeros(0), np.zeros(0), 0, 0, PiecesResult.overflow)
STACK = Pieces(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 2)), 2, 2, PiecesResult.exact)
EXTREMES = np.array([-(2**63), 2**63 - 1])  # their difference overflows


ZIGZAG = np.arange(2**16), np.arange(2**16) % 2


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: min_disagreement(0, 1), "`s_f` must be"),
        (lambda: best_shallow(Sawtooth(2), 0), "`intervals` must be"),
        (lambda: best_shallow(Sawtooth(2), 1, loss="l2"), "`loss` must be 'labels'"),
        (lambda: best_shallow(Sawtooth(2), 1, interval=(1.0, 0.0)), "`interval` must be"),
        (lambda: best_shallow(Sawtooth(9), 1, max_pieces=100), "`max_pieces` must be no less"),
        (lambda: best_shallow(pieces(Sawtooth(2)), 1, interval=(0, 1)), "None beside `Pieces`"),
        (lambda: best_shallow(FLAT, 1), "`f` must be pieces that were enumerated; got .*overflow"),
        (lambda: best_shallow(STACK, 1), "`f` must be the pieces of one network"),
        (lambda: best_shallow((np.arange(3), np.arange(4)), 1), "`f` must be a pair of real array"),
        (lambda: best_shallow(([0, 1], [0, 1]), 1), "`f` must be a pair of real arrays"),
        (lambda: best_shallow((np.ones(2), np.ones(2, bool)), 1), r"n ≥ 1; got .*'bool\[2\]'"),
        (lambda: best_shallow((np.zeros(3), np.arange(3)), 1), "no x occurs twice"),
        (lambda: best_shallow((np.arange(3), np.full(3, np.nan)), 1), "`f` must be finite"),
        (lambda: best_shallow((np.arange(3), np.arange(3)), 1, interval=(0, 1)), "beside a sample"),
        (lambda: best_shallow(Sawtooth(2), 1, level=np.inf), "`level` must be finite"),
        (lambda: best_shallow(ZIGZAG, 2**16), r"fewer, f having 65,536 label regions; got 65536"),
        (lambda: best_shallow(jnp.sin, 1), "`f` must be a network that lists its layers"),
        (
            lambda: jax.jit(lambda y: best_shallow((np.arange(3), y), 1).edges)(jnp.ones(3)),
            "`f` must be concrete",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(call, match, untyped):
    with pytest.raises(ValueError, match=match):
        call()
