import itertools
from fractions import Fraction

import pytest

from jaxdepth.bounds import square_error_lower

# Python integers and Fractions do not know of JAX's precision.
pytestmark = pytest.mark.once


def best_affine_error(a: Fraction, b: Fraction) -> Fraction:
    """min over affine ℓ of max |x² − ℓ| on [a, b], which takes its extremes at a, b and the middle.

    The second difference of the error at these three is that of x²: no affine function changes it.
    """
    c = (a + b) / 2
    return (a * a - 2 * c * c + b * b) / 4


def worst(breaks, shift: Fraction) -> Fraction:
    """Exact sup |x² − g| for g the chords of x² lowered by `shift`: at the ends and the middles."""
    middles = max(
        abs((a + b) ** 2 / 4 - ((a * a + b * b) / 2 - shift)) for a, b in itertools.pairwise(breaks)
    )
    return max(abs(shift), middles)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 32])
def test_equal_pieces_attain_the_floor(n):
    breaks = [Fraction(i, n) for i in range(n + 1)]
    floor = square_error_lower(n)
    assert worst(breaks, floor) == floor == Fraction(1, 8 * n * n)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_no_partition_does_better(n):
    """Every choice of breakpoints among twelfths, by dynamic programme over the last piece."""
    points = [Fraction(i, 12) for i in range(13)]
    best = {0: Fraction(0)}  # by the last breakpoint: least possible worst error so far
    for _ in range(n):
        step = {}
        for j in range(1, 13):
            errors = [
                max(so_far, best_affine_error(points[i], points[j]))
                for i, so_far in best.items()
                if i < j
            ]
            if errors:
                step[j] = min(errors)
        best = step
    assert best[12] == square_error_lower(n)


def test_a_piece_count_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`pieces` must be an integer, at least 1"):
        square_error_lower(0)
